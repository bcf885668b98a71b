package cli

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/cofferhq/coffer/providers"
	"github.com/cofferhq/coffer/providers/memory"
	"github.com/cofferhq/coffer/providers/sops"
)

// planJob: plan N [FLAGS…] => EXIT EFFECTS…
func (s *story) planJob(ts stage, args []string) {
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
	flags, deep := without(flags, "shallow")
	dir := s.checkout(ts, deep, "main", fmt.Sprintf("pull-%d", n))
	vars := s.jobVariables(dir, "")
	s.pullRequest(ts, vars, dir, n, p)
	dir, flags = s.disturb(ts, dir, flags)
	s.run(ts, dir, vars, append([]string{"ci", "plan"}, flags...), code, want)
	s.handOn(ts, vars, dir, p)
}

// planMain is a plan of the newest commit of main, which is of no pull request.
func (s *story) planMain(ts stage, flags []string, code int, want string) {
	dir := s.checkout(ts, true, "main", "")
	vars := s.jobVariables(dir, s.git(ts, s.rel(dir), "rev-parse", "HEAD"))
	dir, flags = s.disturb(ts, dir, flags)
	s.run(ts, dir, vars, append([]string{"ci", "plan"}, flags...), code, want)
	s.main = &pullInStory{}
	s.handOn(ts, vars, dir, s.main)
}

// handOn keeps what the next jobs get of this one.
func (s *story) handOn(ts stage, vars map[string]string, dir string, p *pullInStory) {
	p.outputs, p.saved = s.outputs(ts, vars, dir), nil
	if saved, err := os.ReadFile(filepath.Join(dir, "coffer-plan", "coffer.plan")); err == nil {
		p.saved = saved
		if p.outputs["digest"] == "" { // elsewhere there are no outputs
			var head struct {
				Digest string `json:"plan_digest"`
			}
			ts.Check(json.Unmarshal(saved, &head))
			p.outputs["digest"] = head.Digest
		}
	}
}

// applyJob: apply N [FLAGS…] => EXIT EFFECTS…: the job of the newest commit with
// the plan of pull request N. The flag "old" checks out the commit before it.
// With "shallow" the checkout knows one commit.
func (s *story) applyJob(ts stage, args []string) {
	n, flags, code, want := expected(ts, args)
	p := s.pulls[n]
	if n == 0 {
		p = s.main
	}
	if p == nil || p.saved == nil {
		ts.Fatalf("no plan file was handed on")
	}
	flags, deep := without(flags, "shallow")
	flags, newest := without(flags, "old")
	dir, opened := s.checkout(ts, deep, map[bool]string{true: "main", false: "main^"}[newest], ""), s.opened
	ts.Check(os.MkdirAll(filepath.Join(dir, "coffer-plan"), 0o755))
	ts.Check(os.WriteFile(filepath.Join(dir, "coffer-plan", "coffer.plan"), p.saved, 0o644))
	vars := s.jobVariables(dir, s.git(ts, s.rel(dir), "rev-parse", "HEAD"))
	vars["COFFER_FINGERPRINT_KEY"], vars["SOPS_AGE_KEY"], vars["MAIL_PASSWORD"] = s.key, s.identity, string(s.input[0].Value)
	if n > 0 && !s.gitLab { // the event is that it was merged
		s.pullRequest(ts, vars, dir, n, p)
	}
	if !slices.Contains(flags, "-plan-digest") {
		flags = append(flags, "-plan-digest", cmp.Or(p.outputs["digest"], "none"))
	}
	dir, flags = s.disturb(ts, dir, flags)
	s.run(ts, dir, vars, append([]string{"ci", "apply"}, flags...), code, want)
	if !deep { // its pushes are not alice's
		s.git(ts, "alice", "fetch", "--quiet", "origin")
	}
	if !newest && s.opened != opened {
		ts.Fatalf("a store was opened before it was noticed that the branch has moved")
	}
}

// driftJob: drift [FLAGS…] => EXIT EFFECTS…
func (s *story) driftJob(ts stage, args []string) {
	s.begin(ts)
	_, flags, code, want := expected(ts, append([]string{"main"}, args...))
	dir := s.checkout(ts, true, "main", "")
	vars := s.jobVariables(dir, s.git(ts, s.rel(dir), "rev-parse", "HEAD"))
	s.run(ts, dir, vars, append([]string{"ci", "drift"}, flags...), code, want)
}

// expected takes "N FLAGS… => EXIT EFFECT, EFFECT" apart.
func expected(ts stage, args []string) (n int, flags []string, code int, want string) {
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

// without takes a flag of the script out of those of the program, and reports
// whether it was not there.
func without(flags []string, flag string) (rest []string, missing bool) {
	i := slices.Index(flags, flag)
	if i < 0 {
		return flags, true
	}
	return slices.Delete(flags, i, i+1), false
}

// disturb does to a checkout what a flag of the script says: "offline" is one
// without a way to origin, "dirty" one whose state somebody has touched, "bare" one
// without its repository, file:PATH:TEXT and link:PATH:TARGET bring a file and a link.
// It returns the folder to run in, which is another one with in:FOLDER.
func (s *story) disturb(ts stage, dir string, flags []string) (folder string, rest []string) {
	for _, flag := range flags {
		kind, what, _ := strings.Cut(flag, ":")
		path, text, _ := strings.Cut(what, ":")
		path = filepath.Join(dir, path)
		switch kind {
		case "offline":
			s.git(ts, s.rel(dir), "remote", "set-url", "origin", "https://robot:"+s.forge.Token+"@127.0.0.1:1/shop.git")
		case "dirty":
			ts.Check(appendTo(filepath.Join(dir, "coffer.state.json"), "\n"))
		case "bare":
			ts.Check(os.RemoveAll(filepath.Join(dir, ".git")))
		case "file":
			ts.Check(os.MkdirAll(filepath.Dir(path), 0o755))
			ts.Check(os.WriteFile(path, []byte(text), 0o644))
		case "in":
			folder = what
		case "link":
			ts.Check(os.Symlink(text, path))
		default:
			rest = append(rest, flag)
		}
	}
	return filepath.Join(dir, folder), rest
}

// handed: handed N|main NAME REGEXP: what the last plan handed to other jobs.
func handed(ts *testscript.TestScript, neg bool, args []string) {
	s := ts.Value(storyKey{}).(*story)
	p := s.main
	if args[0] != "main" {
		p = s.pulls[numberOf(ts, args[0])]
	}
	if regexp.MustCompile(args[2]).MatchString(p.outputs[args[1]]) == neg {
		ts.Fatalf("handed on: %v", p.outputs)
	}
}

// checkout is that of a job. As the forges do, that of a pull request is a merge
// with main that is on no branch. One that is not deep knows that commit alone.
func (s *story) checkout(ts stage, deep bool, commit, pull string) string {
	s.runs++
	s.pass(time.Minute) // no two jobs are at one time
	dir := filepath.Join(s.dir, fmt.Sprintf("job-%03d", s.runs), "shop")
	at := s.rel(dir)
	if !deep {
		at += "-whole"
	}
	s.git(ts, "alice", "worktree", "add", "--quiet", "--detach", filepath.Join(s.dir, at), "origin/"+commit)
	if pull != "" {
		s.git(ts, at, "merge", "--quiet", "--no-ff", "-m", "A merge to test", pull)
	}
	if deep {
		return dir
	}
	branch := "main"
	if pull != "" {
		branch = pull + "-merge"
		s.git(ts, at, "push", "--quiet", "--force", "origin", "HEAD:refs/heads/"+branch)
	}
	s.git(ts, ".", "clone", "--quiet", "--depth=1", "--branch", branch, "file://"+filepath.Join(s.dir, "origin"), s.rel(dir))
	if pull != "" {
		s.git(ts, s.rel(dir), "checkout", "--quiet", "--detach")
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
func (s *story) pullRequest(ts stage, vars map[string]string, dir string, n int, p *pullInStory) {
	base, head, _ := strings.Cut(s.git(ts, "alice", "rev-parse", "origin/main", fmt.Sprintf("pull-%d", n)), "\n")
	if p.fork { // whose jobs get nothing
		delete(vars, "GITHUB_TOKEN")
		delete(vars, "COFFER_GITLAB_TOKEN")
	}
	if s.gitLab {
		maps.Copy(vars, map[string]string{
			"CI_MERGE_REQUEST_IID": strconv.Itoa(n), "CI_PIPELINE_SOURCE": "merge_request_event", "CI_MERGE_REQUEST_DIFF_BASE_SHA": base,
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
		"number": n, "base": side(base, "main", repositoryInStory), "head": side(head, fmt.Sprintf("pull-%d", n), from),
	}})
	ts.Check(err)
	file := filepath.Join(filepath.Dir(dir), "event.json")
	ts.Check(os.WriteFile(file, event, 0o644))
	vars["GITHUB_EVENT_NAME"], vars["GITHUB_EVENT_PATH"], vars["GITHUB_REF_NAME"] = "pull_request", file, fmt.Sprintf("%d/merge", n)
}

// run runs the program in a job, and holds it to its exit code and to what it
// changed on the forge.
func (s *story) run(ts stage, dir string, vars map[string]string, args []string, code int, want string) {
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
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	if i := slices.Index(args, "interrupted"); i >= 0 {
		args = slices.Delete(args, i, i+1)
		s.writing = cancel
		defer func() { s.writing = nil }()
	}
	return Main(ctx, append([]string{"coffer", "-chdir", dir}, args...), Streams{In: strings.NewReader(""), Out: out, Err: errs}, env)
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
			return &storeOfJob{&cloud{Driver: memory.New(store.world, o), config: &c, phase: env.Phase}, s}, nil
		},
	})
}

// storeOfJob tells the story when something is written.
type storeOfJob struct {
	*cloud
	story *story
}

func (d *storeOfJob) Write(ctx context.Context, req providers.WriteRequest) (providers.Meta, error) {
	if d.story.writing != nil {
		d.story.writing()
	}
	return d.cloud.Write(ctx, req)
}

// outputs reads what a job handed on, and forgets what earlier ones did.
func (s *story) outputs(ts stage, vars map[string]string, dir string) map[string]string {
	file := vars["GITHUB_OUTPUT"]
	if s.gitLab {
		file = filepath.Join(dir, "coffer-plan", "coffer.env")
	}
	text, err := os.ReadFile(file)
	if !errors.Is(err, fs.ErrNotExist) { // elsewhere there is none
		ts.Check(err)
	}
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
