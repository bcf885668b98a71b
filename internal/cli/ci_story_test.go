package cli

import (
	"bytes"
	"cmp"
	"crypto/rand"
	"fmt"
	"io/fs"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"filippo.io/age"
	"github.com/rogpeppe/go-internal/testscript"

	"github.com/cofferhq/coffer/internal/forge/forgetest"
	"github.com/cofferhq/coffer/planner/fingerprint"
	"github.com/cofferhq/coffer/providers/memory"
	"github.com/cofferhq/coffer/providers/providertest/canary"
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

	main    *pullInStory // the last plan of main
	runs    int
	opened  int    // how often a store was opened
	writing func() // is called before something is written
	out     string // of the last job, both streams

	mu   sync.Mutex
	kept map[string][]byte // everything that anybody can see, by where
}

// stage is where a story plays: a script, or a test.
type stage interface {
	Fatalf(format string, args ...any)
	Logf(format string, args ...any)
	Check(err error)
}

// storeInStory is a store that secrets are kept in, shared by all jobs.
type storeInStory struct {
	world *memory.World
	down  bool
}

// pullInStory is a pull request.
type pullInStory struct {
	fork    bool
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
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		return nil, err
	}
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
	with := func(f func(s *story, ts stage, args []string)) func(*testscript.TestScript, bool, []string) {
		return func(ts *testscript.TestScript, neg bool, args []string) {
			if neg {
				ts.Fatalf("this command knows no !")
			}
			f(ts.Value(storyKey{}).(*story), ts, args)
		}
	}
	return scriptCommands{
		"clock": with((*story).clock), "gitlab": with(func(s *story, _ stage, _ []string) { s.use(true) }),
		"propose": with((*story).propose), "revise": with((*story).revise), "merge": with((*story).merge),
		"plan": with((*story).planJob), "apply": with((*story).applyJob), "drift": with((*story).driftJob),
		"hand": with((*story).hand), "store": with((*story).store), "forge": with((*story).fault), "token": with((*story).setToken),
		"variable": with((*story).variable),
		"person":   with((*story).person), "takes": with((*story).takes), "undo": with((*story).undo), "protect": with((*story).protect), "stranger": with((*story).stranger),
		"says": sayings, "log": logged, "handed": handed, "main": with((*story).onMain),
	}
}

type storyKey struct{}

// clock TIME sets the clock; a day without a time begins at eight.
func (s *story) clock(ts stage, args []string) {
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
func (s *story) setToken(_ stage, args []string) {
	s.token = map[string]string{"none": "", "ours": s.forge.Token}[args[0]]
}

// variable NAME[=VALUE] sets a variable of the jobs, or takes it away.
func (s *story) variable(_ stage, args []string) {
	name, value, ok := strings.Cut(args[0], "=")
	if !ok {
		delete(s.vars, name)
		return
	}
	s.vars[name] = value
}

// git runs git in a folder of the script as a person with an own configuration.
func (s *story) git(ts stage, dir string, args ...string) string {
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
func (s *story) begin(ts stage) {
	if _, err := os.Stat(filepath.Join(s.dir, "origin")); err == nil {
		return
	}
	s.git(ts, ".", "init", "--quiet", "--bare", "--initial-branch=main", "origin")
	s.git(ts, ".", "clone", "--quiet", "origin", "alice")
	s.git(ts, "alice", "checkout", "--quiet", "-b", "main")
	s.copyTree(ts, "repo", "alice")
	s.commitAll(ts, "The shop")
	s.git(ts, "alice", "push", "--quiet", "origin", "main")
	// What a push is given of the environment is for everybody to see from now on.
	ts.Check(os.MkdirAll(filepath.Join(s.dir, "origin", "hooks"), 0o755))
	ts.Check(os.WriteFile(filepath.Join(s.dir, "origin", "hooks", "pre-receive"), []byte("#!/bin/sh\nenv >>'"+filepath.Join(s.dir, "environment")+"'\n"), 0o755))
}

// copyTree copies files over others, with the recipient of the encrypted files
// where RECIPIENT stands.
func (s *story) copyTree(ts stage, from, to string) {
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

// newestMain makes alice's main that of origin.
func (s *story) newestMain(ts stage) {
	s.git(ts, "alice", "checkout", "--quiet", "-B", "main", "origin/main")
}

func (s *story) commitAll(ts stage, message string) {
	s.git(ts, "alice", "add", "--all")
	s.git(ts, "alice", "commit", "--quiet", "--allow-empty", "-m", message)
}

// propose N TITLE [fork] [+APP[:N]] [-PATH] opens pull request N from the
// newest commit: it brings what the script has below pull/N/, N apps with one
// generated secret each for every +APP, and removes each -PATH.
func (s *story) propose(ts stage, args []string) {
	if len(args) < 2 {
		ts.Fatalf("usage: propose N TITLE [fork] [+APP] [-PATH]")
	}
	s.begin(ts)
	s.pulls[numberOf(ts, args[0])] = &pullInStory{fork: slices.Contains(args, "fork")}
	s.git(ts, "alice", "checkout", "--quiet", "-b", "pull-"+args[0], "--no-track", "origin/main")
	s.change(ts, args)
}

// revise N TITLE [+APP] [-PATH] adds a commit to a pull request, with what the
// script has below pull/N-again/.
func (s *story) revise(ts stage, args []string) {
	s.git(ts, "alice", "checkout", "--quiet", "pull-"+args[0])
	s.change(ts, append([]string{args[0] + "-again"}, args[1:]...))
}

func (s *story) change(ts stage, args []string) {
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
}

// merge N brings a pull request into main.
func (s *story) merge(ts stage, args []string) {
	s.newestMain(ts)
	s.git(ts, "alice", "merge", "--quiet", "--no-ff", "-m", "Merge pull request #"+args[0], "pull-"+args[0])
	s.git(ts, "alice", "push", "--quiet", "origin", "main")
	s.forge.Merge(s.git(ts, "alice", "rev-parse", "HEAD"), "main", numberOf(ts, args[0]))
}

func numberOf(ts stage, text string) int {
	n, err := strconv.Atoi(text)
	ts.Check(err)
	return n
}

// onMain ARGS… runs git on the newest main and keeps what it prints for log: main
// log -1
func (s *story) onMain(ts stage, args []string) {
	s.out = s.git(ts, "alice", append([]string{"--no-pager", args[0]}, append(args[1:], "origin/main")...)...)
}
