package cli

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"filippo.io/age"
	"github.com/rogpeppe/go-internal/testscript"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/cofferhq/coffer/internal/forge/forgetest"
	"github.com/cofferhq/coffer/planner/fingerprint"
	"github.com/cofferhq/coffer/providers"
	"github.com/cofferhq/coffer/providers/memory"
	"github.com/cofferhq/coffer/providers/providertest/canary"
	"github.com/cofferhq/coffer/providers/secret"
	"github.com/cofferhq/coffer/providers/sops"
)

// story is what happens in one script about coffer ci: a repository with its
// pull requests, the forge that it is on, the stores, and a clock.
//
// A job runs as the forge runs it: in a fresh checkout that knows one commit, with
// the variables and the event file of the forge, and with what earlier jobs handed
// on. What the job wrote and asked for is kept, and searched for values at the end.
type story struct {
	dir    string // of the script
	now    time.Time
	gitLab bool
	forge  *forgetest.Server
	server *httptest.Server
	ill    bool   // the forge refuses or fails
	token  string // that jobs get, "" for none
	stores map[string]*storeInStory
	input  []canary.Canary // what from_env() reads
	key    string          // that fingerprints are made with
	// identity opens the encrypted files, and recipient writes them.
	identity, recipient string
	pulls               map[int]*pullInStory
	vars                map[string]string // more variables of a job

	main   *pullInStory // the last plan of main
	runs   int
	opened int    // how often a store was opened
	out    string // of the last job, both streams

	mu   sync.Mutex
	kept map[string][]byte // everything that anybody can see, by where
}

// storeInStory is a store that secrets are kept in, shared by all jobs.
type storeInStory struct {
	world *memory.World
	down  bool
}

// pullInStory is a pull request.
type pullInStory struct {
	fork    bool
	base    string            // commit of main that it starts from
	outputs map[string]string // of its last plan
	saved   []byte            // the plan file that was handed on
}

// repositoryInStory is what the forge calls it; projectInStory what GitLab does.
const (
	repositoryInStory = "acme/shop"
	projectInStory    = "7"
)

func newStory(dir string) (*story, error) {
	s := &story{
		dir: dir, now: time.Date(2026, 3, 2, 8, 0, 0, 0, time.UTC),
		stores: map[string]*storeInStory{}, pulls: map[int]*pullInStory{}, vars: map[string]string{}, kept: map[string][]byte{},
	}
	s.input = canary.Values()[:1]
	s.use(false)
	file := filepath.Join(dir, "home", "fingerprint.key")
	if _, err := fingerprint.Create(file, rand.Reader); err != nil {
		return nil, err
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	s.key = strings.TrimSpace(string(text))
	id, err := age.GenerateX25519Identity()
	if err != nil {
		return nil, err
	}
	s.identity, s.recipient = id.String(), id.Recipient().String()
	return s, nil
}

// use makes the forge.
func (s *story) use(gitLab bool) {
	if s.server != nil {
		s.server.Close()
	}
	s.gitLab = gitLab
	s.forge = forgetest.GitHub(repositoryInStory)
	s.forge.Token = "ghs_Qz81LmXw93RkVt"
	if gitLab {
		s.forge = forgetest.GitLab(projectInStory)
		s.forge.Token = "glpat-Hs72KqWe55Zp"
	}
	for n := range 99 { // an issue has no number of a pull request
		s.forge.Open(n + 1)
	}
	s.token = s.forge.Token
	s.server = httptest.NewServer(s.forge)
}

// commandsOfStory are what a script about coffer ci can do.
func commandsOfStory() scriptCommands {
	with := func(f func(s *story, ts *testscript.TestScript, args []string)) func(*testscript.TestScript, bool, []string) {
		return func(ts *testscript.TestScript, neg bool, args []string) {
			if neg {
				ts.Fatalf("this command knows no !")
			}
			f(ts.Value(storyKey{}).(*story), ts, args)
		}
	}
	return scriptCommands{
		"clock": with((*story).clock), "gitlab": with(func(s *story, _ *testscript.TestScript, _ []string) { s.use(true) }),
		"propose": with((*story).propose), "revise": with((*story).revise), "merge": with((*story).merge),
		"plan": with((*story).planJob), "apply": with((*story).applyJob), "drift": with((*story).driftJob),
		"hand": with((*story).hand), "store": with((*story).store), "forge": with((*story).fault), "token": with((*story).setToken),
		"variable": with((*story).variable),
		"person":   with((*story).person), "takes": with((*story).takes), "protect": with((*story).protect), "stranger": with((*story).stranger),
		"says": sayings, "log": logged, "main": with((*story).onMain),
	}
}

type storyKey struct{}

// clock TIME sets the clock; a day without a time begins at eight.
func (s *story) clock(ts *testscript.TestScript, args []string) {
	if len(args) != 1 {
		ts.Fatalf("usage: clock 2026-03-05[T08:00:00Z]")
	}
	text := args[0]
	if len(text) == len(time.DateOnly) {
		text += "T08:00:00Z"
	}
	now, err := time.Parse(time.RFC3339, text)
	ts.Check(err)
	s.now = now
}

// token TEXT|none|ours says what token jobs get.
func (s *story) setToken(_ *testscript.TestScript, args []string) {
	s.token = map[string]string{"none": "", "ours": s.forge.Token}[args[0]]
}

// variable NAME[=VALUE] sets a variable of the jobs, or takes it away.
func (s *story) variable(_ *testscript.TestScript, args []string) {
	name, value, ok := strings.Cut(args[0], "=")
	if !ok {
		delete(s.vars, name)
		return
	}
	s.vars[name] = value
}

// git runs git in a folder of the script as a person with an own configuration.
func (s *story) git(ts *testscript.TestScript, dir string, args ...string) string {
	cmd := exec.Command("git", args...)
	cmd.Dir = filepath.Join(s.dir, dir)
	cmd.Env = append(s.gitVariables(), "GIT_AUTHOR_NAME=Alice", "GIT_AUTHOR_EMAIL=alice@example.com", "GIT_COMMITTER_NAME=Alice", "GIT_COMMITTER_EMAIL=alice@example.com")
	out, err := cmd.CombinedOutput()
	if err != nil {
		ts.Fatalf("git %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(string(out))
}

// gitVariables keep the git of this machine apart from its owner's settings.
func (s *story) gitVariables() []string {
	return []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + filepath.Join(s.dir, "home"), "GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL=" + os.DevNull,
		"GIT_AUTHOR_DATE=" + s.now.Format(time.RFC3339), "GIT_COMMITTER_DATE=" + s.now.Format(time.RFC3339),
	}
}

// begin makes the repository of what the script has below repo/.
func (s *story) begin(ts *testscript.TestScript) {
	if _, err := os.Stat(filepath.Join(s.dir, "origin")); err == nil {
		return
	}
	s.git(ts, ".", "init", "--quiet", "--bare", "--initial-branch=main", "origin")
	s.git(ts, ".", "clone", "--quiet", "origin", "alice")
	s.git(ts, "alice", "checkout", "--quiet", "-b", "main")
	s.copyTree(ts, "repo", "alice")
	s.commitAll(ts, "The shop")
	s.git(ts, "alice", "push", "--quiet", "origin", "main")
}

// copyTree copies files over others, with the recipient of the encrypted files
// where RECIPIENT stands.
func (s *story) copyTree(ts *testscript.TestScript, from, to string) {
	root := filepath.Join(s.dir, from)
	ts.Check(filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		rel, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		target := filepath.Join(s.dir, to, rel)
		if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
			return err
		}
		return os.WriteFile(target, bytes.ReplaceAll(text, []byte("RECIPIENT"), []byte(s.recipient)), 0o644)
	}))
}

func (s *story) commitAll(ts *testscript.TestScript, message string) {
	s.git(ts, "alice", "add", "--all")
	s.git(ts, "alice", "commit", "--quiet", "--allow-empty", "-m", message)
}

// propose N TITLE [fork] [+APP[:N]] [-PATH] opens pull request N from the
// newest commit: it brings what the script has below pull/N/, N apps with one
// generated secret each for every +APP, and removes each -PATH.
func (s *story) propose(ts *testscript.TestScript, args []string) {
	if len(args) < 2 {
		ts.Fatalf("usage: propose N TITLE [fork] [+APP] [-PATH]")
	}
	s.begin(ts)
	n := numberOf(ts, args[0])
	s.git(ts, "alice", "checkout", "--quiet", "main")
	s.git(ts, "alice", "pull", "--quiet", "--ff-only", "origin", "main")
	p := &pullInStory{base: s.git(ts, "alice", "rev-parse", "HEAD"), fork: slices.Contains(args, "fork")}
	s.pulls[n] = p
	s.git(ts, "alice", "checkout", "--quiet", "-b", "pull-"+args[0])
	s.change(ts, args)
}

// revise N TITLE [+APP] [-PATH] adds a commit to a pull request, with what the
// script has below pull/N-again/.
func (s *story) revise(ts *testscript.TestScript, args []string) {
	s.git(ts, "alice", "checkout", "--quiet", "pull-"+args[0])
	s.change(ts, append([]string{args[0] + "-again"}, args[1:]...))
}

func (s *story) change(ts *testscript.TestScript, args []string) {
	if _, err := os.Stat(filepath.Join(s.dir, "pull", args[0])); err == nil {
		s.copyTree(ts, filepath.Join("pull", args[0]), "alice")
	}
	for _, arg := range args[2:] {
		switch arg[0] {
		case '+':
			name, many, _ := strings.Cut(arg[1:], ":")
			var text strings.Builder
			for i := range numberOf(ts, cmp.Or(many, "1")) {
				app, value := name, "random_uuid()"
				if i > 0 { // no two are alike, so that none stand together
					app, value = name+strconv.Itoa(i), fmt.Sprintf("random_password({ length = %d })", 8+i)
				}
				fmt.Fprintf(&text, "app %q {\n  environments = [\"production\"]\n  secret \"key\" {\n    value = %s\n  }\n}\n", app, value)
			}
			ts.Check(os.WriteFile(filepath.Join(s.dir, "alice", name+".hcl"), []byte(text.String()), 0o644))
		case '-':
			ts.Check(os.RemoveAll(filepath.Join(s.dir, "alice", arg[1:])))
		}
	}
	s.commitAll(ts, args[1])
	s.git(ts, "alice", "push", "--quiet", "origin", "HEAD")
}

// merge N brings a pull request into main.
func (s *story) merge(ts *testscript.TestScript, args []string) {
	s.git(ts, "alice", "checkout", "--quiet", "main")
	s.git(ts, "alice", "pull", "--quiet", "--ff-only", "origin", "main")
	s.git(ts, "alice", "merge", "--quiet", "--no-ff", "-m", "Merge pull request #"+args[0], "pull-"+args[0])
	s.git(ts, "alice", "push", "--quiet", "origin", "main")
	s.forge.Merge(s.git(ts, "alice", "rev-parse", "HEAD"), "main", numberOf(ts, args[0]))
}

func numberOf(ts *testscript.TestScript, text string) int {
	n, err := strconv.Atoi(text)
	ts.Check(err)
	return n
}

// person ARGS… runs a command as a person does, in a checkout of main, and pushes
// what it changed there: person accept app.mail -auto-approve
func (s *story) person(ts *testscript.TestScript, args []string) {
	s.git(ts, "alice", "checkout", "--quiet", "main")
	s.git(ts, "alice", "pull", "--quiet", "--ff-only", "origin", "main")
	dir := filepath.Join(s.dir, "alice")
	vars := map[string]string{"HOME": filepath.Join(s.dir, "home"), "COFFER_FINGERPRINT_KEY": s.key, "SOPS_AGE_KEY": s.identity, "MAIL_PASSWORD": string(s.input[0].Value)}
	var out, errs bytes.Buffer
	if code := s.program(dir, vars, args, &out, &errs); code != ExitDone {
		ts.Fatalf("coffer %s ended with exit code %d:\n%s%s", strings.Join(args, " "), code, out.String(), errs.String())
	}
	s.commitAll(ts, "coffer "+args[0])
	s.git(ts, "alice", "push", "--quiet", "origin", "main")
}

// takes BRANCH merges a branch of origin into main, as a person does.
func (s *story) takes(ts *testscript.TestScript, args []string) {
	branch := args[0]
	s.git(ts, "alice", "fetch", "--quiet", "origin")
	s.git(ts, "alice", "checkout", "--quiet", "main")
	s.git(ts, "alice", "pull", "--quiet", "--ff-only", "origin", "main")
	found := s.git(ts, "alice", "branch", "--remotes", "--list", "origin/"+branch, "--format", "%(refname)")
	s.git(ts, "alice", "merge", "--quiet", "-m", "Bring the state home", found)
	s.git(ts, "alice", "push", "--quiet", "origin", "main")
}

// protect main|nothing: nobody but a person may push to main.
func (s *story) protect(ts *testscript.TestScript, args []string) {
	hook := filepath.Join(s.dir, "origin", "hooks", "update")
	if args[0] == "nothing" {
		ts.Check(os.Remove(hook))
		return
	}
	text := "#!/bin/sh\n[ \"$1\" != refs/heads/main ] || [ \"$(git log -1 --format=%an \"$3\")\" != Coffer ] || { echo 'main is protected' >&2; exit 1; }\n"
	ts.Check(os.MkdirAll(filepath.Dir(hook), 0o755))
	ts.Check(os.WriteFile(hook, []byte(text), 0o755))
}

// stranger N TEXT comments on a pull request as somebody else, with our marker.
func (s *story) stranger(ts *testscript.TestScript, args []string) {
	s.forge.AddComment(numberOf(ts, args[0]), forgetest.Comment{
		Author: forgetest.Person{ID: 666, Login: "mallory"}, Body: "<!-- coffer:shop:plan -->\n" + args[1],
	})
}

// onMain ARGS… runs git on the newest main and keeps what it prints for log: main
// log -1
func (s *story) onMain(ts *testscript.TestScript, args []string) {
	s.git(ts, "alice", "fetch", "--quiet", "origin")
	s.out = s.git(ts, "alice", append([]string{"--no-pager", args[0]}, append(args[1:], "origin/main")...)...)
}

// hand STORE put|rm PATH [VALUE] changes a store as somebody else.
func (s *story) hand(ts *testscript.TestScript, args []string) {
	if len(args) < 3 {
		ts.Fatalf("usage: hand STORE put PATH VALUE | hand STORE rm PATH")
	}
	w := s.storeOf(args[0]).world
	switch args[1] {
	case "put":
		w.Edit(args[2], secret.String(args[3]), "bob")
	case "rm":
		w.Remove(args[2], 30*24*time.Hour)
	case "destroy":
		w.Remove(args[2], 0)
	default:
		ts.Fatalf("hand: %q is not known", args[1])
	}
}

// store NAME down|up makes a store unreachable.
func (s *story) store(_ *testscript.TestScript, args []string) {
	s.storeOf(args[0]).down = args[1] == "down"
}

func (s *story) storeOf(name string) *storeInStory {
	if s.stores[name] == nil {
		s.stores[name] = &storeInStory{world: memory.NewWorld("cloud:" + name)}
	}
	return s.stores[name]
}

// fault WHAT lets something go wrong on the forge until: forge is well.
func (s *story) fault(ts *testscript.TestScript, args []string) {
	s.ill = true
	switch what := strings.Join(args, " "); what {
	case "is down":
		s.forge.Fail(forgetest.Always, "", 503)
	case "limits once":
		s.forge.RateLimit(1, "", 403, map[string]string{"Retry-After": "20"})
	case "limits for an hour":
		s.forge.RateLimit(forgetest.Always, "", 429, map[string]string{"Retry-After": "3600"})
	case "denies writing":
		s.forge.Deny("POST /issues/")
		s.forge.Deny("PATCH /issues/")
	case "loses an answer":
		s.forge.Cut(1, "POST /comments", forgetest.After)
	case "is well":
		s.ill = false
		s.forge.Heal()
	default:
		ts.Fatalf("forge: %q is not known", what)
	}
}

// sayings: says N REGEXP, or says issue REGEXP: what the last comment on a pull
// request, or the newest issue, says. With ! what it does not say.
func sayings(ts *testscript.TestScript, neg bool, args []string) {
	s := ts.Value(storyKey{}).(*story)
	if len(args) != 2 {
		ts.Fatalf("usage: says N|N/apply|issue REGEXP")
	}
	text := s.said(ts, args[0])
	if regexp.MustCompile("(?m)"+args[1]).MatchString(text) == neg {
		ts.Fatalf("%s says:\n%s", args[0], text)
	}
}

func (s *story) said(ts *testscript.TestScript, where string) string {
	if where == "issue" {
		all := s.forge.Issues()
		if len(all) == 0 {
			return "there is no issue"
		}
		last := all[len(all)-1]
		return fmt.Sprintf("#%d %s closed=%v\n%s", last.Number, last.Title, last.Closed, last.Body)
	}
	number, kind, _ := strings.Cut(where, "/")
	n, err := strconv.Atoi(number)
	ts.Check(err)
	for _, c := range s.forge.Comments(n) {
		if strings.HasPrefix(c.Body, "<!-- coffer:shop:"+cmp.Or(kind, "plan")+" -->\n") {
			return c.Body
		}
	}
	return "there is no comment"
}

// logged: log REGEXP: what the last job printed, on both streams.
func logged(ts *testscript.TestScript, neg bool, args []string) {
	s := ts.Value(storyKey{}).(*story)
	if regexp.MustCompile("(?m)"+args[0]).MatchString(s.out) == neg {
		ts.Fatalf("the job printed:\n%s", s.out)
	}
}

// planJob: plan N [FLAGS…] => EXIT EFFECTS…
func (s *story) planJob(ts *testscript.TestScript, args []string) {
	s.begin(ts)
	n, flags, code, want := expected(ts, args)
	if n == 0 {
		s.planMain(ts, flags, code, want)
		return
	}
	p := s.pulls[n]
	if p == nil {
		ts.Fatalf("there is no pull request %d", n)
	}
	// As the forges do: what is checked out is a merge that is on no branch.
	s.git(ts, "alice", "fetch", "--quiet", "origin", "main")
	p.base = s.git(ts, "alice", "rev-parse", "origin/main")
	s.git(ts, "alice", "checkout", "--quiet", "--detach", p.base)
	s.git(ts, "alice", "merge", "--quiet", "--no-ff", "-m", "A merge to test", fmt.Sprintf("pull-%d", n))
	s.git(ts, "alice", "push", "--quiet", "--force", "origin", fmt.Sprintf("HEAD:refs/pull/%d/merge", n))
	dir := s.checkout(ts, fmt.Sprintf("refs/pull/%d/merge", n))
	vars := s.jobVariables(dir, "")
	s.pullRequest(ts, vars, dir, n, p)
	s.run(ts, dir, vars, append([]string{"ci", "plan"}, flags...), code, want)
	s.handOn(ts, vars, dir, p)
}

// planMain is a plan of the newest commit of main, which is of no pull request.
func (s *story) planMain(ts *testscript.TestScript, flags []string, code int, want string) {
	dir := s.checkout(ts, "main")
	vars := s.jobVariables(dir, s.git(ts, s.rel(dir), "rev-parse", "HEAD"))
	s.run(ts, dir, vars, append([]string{"ci", "plan"}, flags...), code, want)
	s.main = &pullInStory{}
	s.handOn(ts, vars, dir, s.main)
}

// handOn keeps what the next jobs get of this one.
func (s *story) handOn(ts *testscript.TestScript, vars map[string]string, dir string, p *pullInStory) {
	p.outputs, p.saved = s.outputs(ts, vars, dir), nil
	if saved, err := os.ReadFile(filepath.Join(dir, "coffer-plan", "coffer.plan")); err == nil {
		p.saved = saved
	}
}

// applyJob: apply N [FLAGS…] => EXIT EFFECTS…: the job of the newest commit with
// the plan of pull request N. The flag "old" checks out the commit before it.
func (s *story) applyJob(ts *testscript.TestScript, args []string) {
	n, flags, code, want := expected(ts, args)
	p := s.pulls[n]
	if n == 0 {
		p = s.main
	}
	if p == nil || p.saved == nil {
		ts.Fatalf("no plan file was handed on")
	}
	dir, opened := s.checkout(ts, "main"), s.opened
	i := slices.Index(flags, "old")
	moved := i >= 0
	if moved {
		flags = slices.Delete(flags, i, i+1)
		s.git(ts, s.rel(dir), "fetch", "--quiet", "--depth=2", "origin", "main")
		s.git(ts, s.rel(dir), "reset", "--quiet", "--hard", "HEAD^")
	}
	ts.Check(os.MkdirAll(filepath.Join(dir, "coffer-plan"), 0o755))
	ts.Check(os.WriteFile(filepath.Join(dir, "coffer-plan", "coffer.plan"), p.saved, 0o644))
	vars := s.jobVariables(dir, s.git(ts, s.rel(dir), "rev-parse", "HEAD"))
	vars["COFFER_FINGERPRINT_KEY"], vars["SOPS_AGE_KEY"], vars["MAIL_PASSWORD"] = s.key, s.identity, string(s.input[0].Value)
	if n > 0 { // the event is that it was merged
		s.pullRequest(ts, vars, dir, n, p)
	}
	if !slices.Contains(flags, "-plan-digest") {
		flags = append(flags, "-plan-digest", cmp.Or(p.outputs["digest"], "none"))
	}
	s.run(ts, dir, vars, append([]string{"ci", "apply"}, flags...), code, want)
	if moved && s.opened != opened {
		ts.Fatalf("a store was opened before it was noticed that the branch has moved")
	}
}

// driftJob: drift [FLAGS…] => EXIT EFFECTS…
func (s *story) driftJob(ts *testscript.TestScript, args []string) {
	s.begin(ts)
	_, flags, code, want := expected(ts, append([]string{"main"}, args...))
	dir := s.checkout(ts, "main")
	vars := s.jobVariables(dir, s.git(ts, s.rel(dir), "rev-parse", "HEAD"))
	s.run(ts, dir, vars, append([]string{"ci", "drift"}, flags...), code, want)
}

// expected takes "N FLAGS… => EXIT EFFECT, EFFECT" apart.
func expected(ts *testscript.TestScript, args []string) (n int, flags []string, code int, want string) {
	at := slices.Index(args, "=>")
	if at < 1 || len(args) < at+3 {
		ts.Fatalf("usage: JOB [N] [FLAGS…] => EXIT EFFECTS…, such as: plan 3 => 0 comment on 3 created")
	}
	if args[0] != "main" {
		n = numberOf(ts, args[0])
	}
	code = numberOf(ts, args[at+1])
	return n, slices.Clone(args[1:at]), code, strings.Join(args[at+2:], " ")
}

func (s *story) rel(dir string) string {
	rel, _ := filepath.Rel(s.dir, dir)
	return rel
}

// checkout is that of a job: one commit, and nothing of the history.
func (s *story) checkout(ts *testscript.TestScript, ref string) string {
	s.runs++
	s.pass(time.Minute) // no two jobs are at one time
	dir := filepath.Join(s.dir, fmt.Sprintf("job-%03d", s.runs), "shop")
	ts.Check(os.MkdirAll(dir, 0o755))
	s.git(ts, s.rel(dir), "init", "--quiet", "--initial-branch=main")
	s.git(ts, s.rel(dir), "remote", "add", "origin", "file://"+filepath.Join(s.dir, "origin"))
	s.git(ts, s.rel(dir), "fetch", "--quiet", "--depth=1", "origin", ref)
	if ref == "main" && !s.gitLab {
		s.git(ts, s.rel(dir), "reset", "--quiet", "--hard", "FETCH_HEAD")
	} else {
		s.git(ts, s.rel(dir), "checkout", "--quiet", "--detach", "FETCH_HEAD")
	}
	return dir
}

// jobVariables are the variables of a job that is of no pull request.
func (s *story) jobVariables(dir, commit string) map[string]string {
	vars := map[string]string{
		"TMPDIR": s.dir, "COFFER_FINGERPRINT_KEY": "not looked at by who only looks",
	}
	for _, v := range s.gitVariables() {
		name, value, _ := strings.Cut(v, "=")
		vars[name] = value
	}
	up := filepath.Dir(dir)
	if s.gitLab {
		maps.Copy(vars, map[string]string{
			"GITLAB_CI": "true", "CI_PROJECT_ID": projectInStory, "CI_API_V4_URL": s.server.URL + "/api/v4", "CI_PROJECT_URL": "https://gitlab.example/" + repositoryInStory,
			"CI_COMMIT_SHA": commit, "CI_COMMIT_BRANCH": "main", "CI_JOB_URL": "https://gitlab.example/acme/shop/-/jobs/" + strconv.Itoa(s.runs),
			"CI_PROJECT_DIR": dir, "COFFER_GITLAB_TOKEN": s.token,
		})
	} else {
		maps.Copy(vars, map[string]string{
			"GITHUB_ACTIONS": "true", "GITHUB_REPOSITORY": repositoryInStory, "GITHUB_API_URL": s.server.URL, "GITHUB_SHA": commit,
			"GITHUB_REF_NAME": "main", "GITHUB_REF_TYPE": "branch", "GITHUB_EVENT_NAME": "push", "GITHUB_RUN_ID": strconv.Itoa(1000 + s.runs),
			"GITHUB_OUTPUT": filepath.Join(up, "output"), "GITHUB_STEP_SUMMARY": filepath.Join(up, "summary.md"),
			"GITHUB_WORKSPACE": dir, "GITHUB_TOKEN": s.token,
		})
	}
	maps.Copy(vars, s.vars)
	return vars
}

// pullRequest adds what a job of a pull request is told.
func (s *story) pullRequest(ts *testscript.TestScript, vars map[string]string, dir string, n int, p *pullInStory) {
	head := s.git(ts, "alice", "rev-parse", fmt.Sprintf("pull-%d", n))
	if p.fork { // whose jobs get nothing
		delete(vars, "GITHUB_TOKEN")
		delete(vars, "COFFER_GITLAB_TOKEN")
	}
	if s.gitLab {
		maps.Copy(vars, map[string]string{
			"CI_MERGE_REQUEST_IID": strconv.Itoa(n), "CI_PIPELINE_SOURCE": "merge_request_event", "CI_MERGE_REQUEST_DIFF_BASE_SHA": p.base,
			"CI_MERGE_REQUEST_TARGET_BRANCH_NAME": "main", "CI_MERGE_REQUEST_PROJECT_ID": projectInStory,
			"CI_MERGE_REQUEST_SOURCE_PROJECT_ID": map[bool]string{true: "8", false: projectInStory}[p.fork], "CI_COMMIT_SHA": head, "CI_COMMIT_BRANCH": "",
		})
		return
	}
	side := func(sha, ref, repository string) map[string]any {
		return map[string]any{"sha": sha, "ref": ref, "repo": map[string]string{"full_name": repository}}
	}
	from := map[bool]string{true: "mallory/shop", false: repositoryInStory}[p.fork]
	event, err := json.Marshal(map[string]any{"pull_request": map[string]any{
		"number": n, "base": side(p.base, "main", repositoryInStory), "head": side(head, fmt.Sprintf("pull-%d", n), from),
	}})
	ts.Check(err)
	file := filepath.Join(filepath.Dir(dir), "event.json")
	ts.Check(os.WriteFile(file, event, 0o644))
	vars["GITHUB_EVENT_NAME"], vars["GITHUB_EVENT_PATH"], vars["GITHUB_REF_NAME"] = "pull_request", file, fmt.Sprintf("%d/merge", n)
}

// run runs the program in a job, and holds it to its exit code and to what it
// changed on the forge.
func (s *story) run(ts *testscript.TestScript, dir string, vars map[string]string, args []string, code int, want string) {
	s.forge.Forget()
	before := s.posted()
	var out, errs bytes.Buffer
	got := s.program(dir, vars, args, &out, &errs)
	s.out = out.String() + errs.String()
	where := fmt.Sprintf("job %d", s.runs)
	s.keep(where+" stdout", out.Bytes())
	s.keep(where+" stderr", errs.Bytes())
	var requests strings.Builder
	for _, r := range s.forge.Requests() {
		fmt.Fprintf(&requests, "%s %s\n%s\n", r.Method, r.Path, r.Body)
	}
	s.keep(where+" requests", []byte(requests.String()))
	ts.Logf("%s", s.out)
	if slices.Contains(args, "-json") {
		ts.Check(validDocument(out.Bytes()))
	}
	if got != code {
		ts.Fatalf("coffer %s ended with exit code %d, not %d", strings.Join(args, " "), got, code)
	}
	did := effects(before, s.posted())
	if did != want {
		ts.Fatalf("coffer %s: %s, not %s\n%s", strings.Join(args, " "), did, want, requests.String())
	}
	if did == "quiet" && !s.ill && len(s.forge.Written()) > 0 {
		ts.Fatalf("coffer %s changed nothing on the forge, and asked for it all the same:\n%s", strings.Join(args, " "), requests.String())
	}
}

// validDocument holds stdout to be one document, that of a job or that of an error.
func validDocument(stdout []byte) error {
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(stdout)) // refuses anything after the document
	if err != nil {
		return err
	}
	name := "ci"
	if _, ok := doc.(map[string]any)["code"]; ok {
		name = "diagnostics"
	}
	schema, err := jsonschema.NewCompiler().Compile("../../docs/schema/" + name + ".schema.json")
	if err != nil {
		return err
	}
	return schema.Validate(doc)
}

// pass lets time go by, and returns what it is then.
func (s *story) pass(d time.Duration) time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.now = s.now.Add(d)
	return s.now
}

// program is coffer in a folder.
func (s *story) program(dir string, vars map[string]string, args []string, out, errs *bytes.Buffer) int {
	env := Environ{Vars: vars, Now: func() time.Time { return s.pass(0) }, Random: rand.Reader}
	env.Seams.Registry = s.registry()
	env.Seams.Wait = func(_ context.Context, d time.Duration) error {
		s.pass(d)
		return nil
	}
	return Main(context.Background(), append([]string{"coffer", "-chdir", dir}, args...), Streams{In: strings.NewReader(""), Out: out, Err: errs}, env)
}

// registry is the list of drivers, with the stores of the story as the cloud.
func (s *story) registry() *providers.Registry {
	return providers.NewRegistry(sops.Factory(), providers.Factory{
		Type: "cloud", NewConfig: func() any { return &cloudConfig{} },
		Open: func(_ context.Context, env providers.Env, config any) (providers.Driver, error) {
			c := *config.(*cloudConfig)
			s.opened++
			store := s.storeOf(c.World)
			c.Down = store.down
			o := memory.Counting()
			o.Blind = env.Phase == providers.PhasePlan
			return &cloud{Driver: memory.New(store.world, o), config: &c, phase: env.Phase}, nil
		},
	})
}

// posted is what stands on the forge: each comment of a pull request and each
// issue, by its name for people.
func (s *story) posted() map[string]string {
	all := map[string]string{}
	for n := range s.pulls {
		for _, c := range s.forge.Comments(n) {
			all[fmt.Sprintf("comment on %d %d", n, c.ID)] = c.Body
		}
	}
	for n, i := range s.forge.Issues() { // GitHub numbers them with the pull requests
		all[fmt.Sprintf("issue %d", n+1)] = i.Title + "\n" + i.Body
		if i.Closed {
			all[fmt.Sprintf("issue %d", n+1)] = "closed"
		}
	}
	return all
}

// effects says what a job changed on the forge.
func effects(before, after map[string]string) string {
	var did []string
	for name, text := range after {
		was, there := before[name]
		name = regexp.MustCompile(` \d{5,}$`).ReplaceAllString(name, "") // the id of a comment
		switch {
		case !there && strings.HasPrefix(name, "issue"):
			did = append(did, name+" opened")
		case !there:
			did = append(did, name+" created")
		case was != text && text == "closed":
			did = append(did, name+" closed")
		case was != text:
			did = append(did, name+" updated")
		}
	}
	for name := range before {
		if _, there := after[name]; !there {
			did = append(did, name+" deleted")
		}
	}
	if len(did) == 0 {
		return "quiet"
	}
	slices.Sort(did)
	return strings.Join(did, ", ")
}

// outputs reads what a job handed on, and forgets what earlier ones did.
func (s *story) outputs(ts *testscript.TestScript, vars map[string]string, dir string) map[string]string {
	file := vars["GITHUB_OUTPUT"]
	if s.gitLab {
		file = filepath.Join(dir, "coffer-plan", "coffer.env")
	}
	text, err := os.ReadFile(file)
	ts.Check(err)
	found := map[string]string{}
	for line := range strings.Lines(string(text)) {
		name, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "=")
		found[strings.ToLower(strings.TrimPrefix(name, "COFFER_"))] = value
	}
	return found
}

func (s *story) keep(where string, data []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.kept[where] = data
}
