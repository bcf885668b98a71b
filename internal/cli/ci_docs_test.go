package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/cofferhq/coffer/providers/providertest/canary"
	"github.com/cofferhq/coffer/providers/sops"
)

// The workflows of docs/ci/github.md are run step by step, as they stand there:
// what a step runs that speaks of coffer is given to bash, with the program, the
// variables of the step and what GitHub puts in place of its expressions. Only the
// steps around them are played: the checkout, the installation, the artifact.

const gitHubPage = "../../docs/ci/github.md"

// workflow is what is read of one.
type workflow struct {
	On   map[string]any
	Jobs map[string]struct {
		Steps []workflowStep
	}
}

type workflowStep struct {
	ID, Name, Uses, Run string
	Env                 map[string]string
	With                map[string]any
}

// workflowsOf returns the workflows of a page, by the names of their files.
func workflowsOf(t *testing.T, page string) map[string]workflow {
	t.Helper()
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]workflow{}
	for _, m := range regexp.MustCompile("(?s)```yaml\n# \\.github/workflows/([a-z-]+)\\.yml\n(.*?)\n```").FindAllSubmatch(text, -1) {
		var w workflow
		if err := yaml.Unmarshal(m[2], &w); err != nil {
			t.Fatalf("%s of %s: %v", m[1], page, err)
		}
		found[string(m[1])] = w
	}
	return found
}

// stageOfTest lets a story play in a test.
type stageOfTest struct{ *testing.T }

func (s stageOfTest) Check(err error) {
	if err != nil {
		s.Fatal(err)
	}
}

// page is a story that follows a page.
type page struct {
	*story
	stageOfTest
	workflows map[string]workflow
	artifacts map[string]string // folders, by name
	expect    map[string]string // of an expression
}

// runs plays the job of a workflow and returns what it printed. pull is the pull
// request of its event, 0 for none.
func (p *page) runs(name, job string, pull int) string {
	p.Helper()
	steps := p.workflows[name].Jobs[job].Steps
	if len(steps) == 0 {
		p.Fatalf("%s has no job %s in %s", gitHubPage, job, name)
	}
	var dir, output string
	var vars map[string]string
	commands := 0
	for _, step := range steps {
		switch action, _, _ := strings.Cut(step.Uses, "@"); {
		case action == "actions/checkout":
			dir = p.checkedOut(step, pull)
			vars = p.jobVariables(dir, p.git(p, p.rel(dir), "rev-parse", "HEAD"))
			delete(vars, "GITHUB_TOKEN") // a step gets what its env says
			vars["PATH"] = os.Getenv("PATH")
			if pull > 0 {
				p.pullRequest(p, vars, dir, pull, p.pulls[pull])
			}
		case action == "actions/upload-artifact":
			p.artifacts[step.With["name"].(string)] = filepath.Join(dir, step.With["path"].(string))
		case strings.Contains(step.Run, "gh run download"):
			m := regexp.MustCompile(`--name (\S+) --dir (\S+)`).FindStringSubmatch(step.Run)
			p.Check(os.CopyFS(filepath.Join(dir, m[2]), os.DirFS(p.artifacts[m[1]])))
		case strings.Contains(step.Run, "coffer ci "):
			commands++
			output += p.bash(step, dir, vars)
		}
	}
	if commands != 1 {
		p.Fatalf("%s of %s runs coffer %d times", job, name, commands)
	}
	return output
}

// checkedOut does what actions/checkout does with the inputs of the page.
func (p *page) checkedOut(step workflowStep, pull int) string {
	deep := step.With["fetch-depth"] == 0
	if pull == 0 || step.With["ref"] == "main" {
		return p.checkout(p, deep, "main", "")
	}
	return p.checkout(p, deep, "main", fmt.Sprintf("pull-%d", pull))
}

// bash runs a step as a runner does.
func (p *page) bash(step workflowStep, dir string, vars map[string]string) string {
	p.Helper()
	cmd := exec.Command("bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step.Run)
	cmd.Dir = dir
	for name, value := range vars {
		cmd.Env = append(cmd.Env, name+"="+value)
	}
	for name, value := range step.Env {
		cmd.Env = append(cmd.Env, name+"="+p.evaluated(value))
	}
	out, err := cmd.CombinedOutput()
	p.keep(fmt.Sprintf("job %d", p.story.runs), out)
	if err != nil {
		p.Fatalf("the step %q: %v\n%s", step.Name, err, out)
	}
	return string(out)
}

// evaluated puts values in place of expressions.
func (p *page) evaluated(text string) string {
	return regexp.MustCompile(`\$\{\{ *([^}]*?) *\}\}`).ReplaceAllStringFunc(text, func(e string) string {
		value, ok := p.expect[strings.TrimSpace(strings.Trim(e, "${}"))]
		if !ok {
			p.Fatalf("nobody says what %s is", e)
		}
		return value
	})
}

// TestGitHubPage follows the three stories of docs/ci/github.md: review a plan,
// apply it after the merge, look for drift every morning.
func TestGitHubPage(t *testing.T) {
	s, err := newStory(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer s.server.Close()
	p := &page{
		story: s, stageOfTest: stageOfTest{t}, workflows: workflowsOf(t, gitHubPage), artifacts: map[string]string{},
		expect: map[string]string{"github.token": s.token, "steps.coffer.outputs.id-token": "an.identity.token"},
	}
	p.vars["SOPS_AGE_KEY"], p.vars["COFFER_FINGERPRINT_KEY"] = s.identity, s.key // secrets of the environment
	p.put("repo/coffer.hcl", "coffer {\n  project = \"shop\"\n}\nprovider \"sops\" {\n  recipients = [\"RECIPIENT\"]\n}\nenvironment \"production\" {\n  store = sops\n}\n")
	p.put("repo/.gitignore", "*.plan\n.coffer.lock\ncoffer.state.json.*\n")
	p.put("pull/1/shop.hcl", "app \"shop\" {\n  environments = [\"production\"]\n  secret \"key\" {\n    value = random_uuid()\n  }\n}\n")
	p.put("pull/2/shop.hcl", "app \"shop\" {\n  environments = [\"production\"]\n  secret \"key\" {\n    value = random_uuid()\n  }\n  secret \"mail\" {\n    value = from_env(\"MAIL_PASSWORD\")\n  }\n}\n")
	p.vars["MAIL_PASSWORD"] = string(s.input[0].Value)

	for _, pull := range []int{1, 2} {
		p.reviewed(pull)
		p.applied(pull)
	}
	p.drifts()
	s.search(t)
	p.searchFiles()
}

func (p *page) put(name, text string) {
	path := filepath.Join(p.dir, name)
	p.Check(os.MkdirAll(filepath.Dir(path), 0o755))
	p.Check(os.WriteFile(path, []byte(text), 0o644))
}

// reviewed is the first story: a pull request gets its plan.
func (p *page) reviewed(pull int) {
	p.Helper()
	p.begin(p)
	p.propose(p, []string{fmt.Sprint(pull), "A key"})
	before := p.posted()
	p.runs("coffer-plan", "plan", pull)
	if did := effects(before, p.posted()); did != fmt.Sprintf("comment on %d created", pull) {
		p.Fatalf("the plan: %s", did)
	}
	digest := p.digest()
	if said := p.said(p, fmt.Sprint(pull)); !strings.Contains(said, "1 to create") || !strings.Contains(said, digest) {
		p.Fatalf("the comment has not the digest %s:\n%s", digest, said)
	}
	for _, file := range []string{"coffer.plan", "plan.html", "plan.md", "plan.json", "plan.sarif"} { // what the page names
		if _, err := os.Stat(filepath.Join(p.artifacts["coffer-plan"], file)); err != nil {
			p.Error(err)
		}
	}
}

// digest reads it as the second workflow does.
func (p *page) digest() string {
	var head struct {
		Digest string `json:"plan_digest"`
	}
	data, err := os.ReadFile(filepath.Join(p.artifacts["coffer-plan"], "coffer.plan"))
	p.Check(err)
	p.Check(json.Unmarshal(data, &head))
	return head.Digest
}

// applied is the second: the merge starts it, and that plan is done.
func (p *page) applied(pull int) {
	p.Helper()
	p.merge(p, []string{fmt.Sprint(pull)})
	p.expect["needs.reviewed.outputs.digest"], p.expect["needs.reviewed.outputs.run"] = p.digest(), "1"
	before := p.posted()
	out := p.runs("coffer-apply", "apply", pull)
	if did := effects(before, p.posted()); did != fmt.Sprintf("comment on %d created", pull) {
		p.Fatalf("the apply: %s\n%s", did, out)
	}
	p.git(p, "alice", "fetch", "--quiet", "origin")
	if last := p.git(p, "alice", "log", "-1", "--stat", "--format=%B", "origin/main"); !strings.Contains(last, p.digest()) ||
		!strings.Contains(last, "coffer.state.json") || !strings.Contains(last, "secrets/production/shop.yaml") {
		p.Fatalf("the last commit of main:\n%s", last)
	}
}

// drifts is the third: one issue, as long as there is drift.
func (p *page) drifts() {
	p.Helper()
	morning := func(want string) {
		p.Helper()
		before := p.posted()
		out := p.runs("coffer-drift", "drift", 0)
		if did := effects(before, p.posted()); did != want {
			p.Fatalf("drift: %s, not %s\n%s", did, want, out)
		}
	}
	p.git(p, "alice", "fetch", "--quiet", "origin")
	morning("quiet")
	// Somebody puts the file back to what it was after the first apply.
	p.undo(p, []string{"secrets"})
	morning("issue 1 opened")
	morning("quiet")
	p.undo(p, []string{"secrets"})
	morning("issue 1 closed")
	morning("quiet")
}

// searchFiles looks for the values of the encrypted files.
func (p *page) searchFiles() {
	p.Helper()
	file, err := os.ReadFile(filepath.Join(p.dir, "alice", "secrets", "production", "shop.yaml"))
	p.Check(err)
	v, err := sops.Decrypt(file, sops.FormatYAML, "key", func(name string) string {
		return map[string]string{"SOPS_AGE_KEY": p.identity}[name]
	})
	p.Check(err)
	var value []byte
	p.Check(v.Expose(func(b []byte) error {
		value = bytes.Clone(b)
		return nil
	}))
	finder := canary.NewFinder(canary.Of("key", value, true))
	names := make([]string, 0, len(p.kept))
	for where, data := range p.kept {
		names = append(names, where)
		for _, hit := range finder.Find(data) {
			p.Errorf("%s: %s", where, hit)
		}
	}
	if !slices.Contains(names, "job 1") {
		p.Errorf("nothing was kept of the first job: %v", names)
	}
}
