package citest

import (
	"fmt"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// schema compiles one of SchemaStore's.
func schema(t *testing.T, k kind) *jsonschema.Schema {
	t.Helper()
	path, err := filepath.Abs(filepath.Join("testdata/schemastore", string(k)+".json"))
	if err != nil {
		t.Fatal(err)
	}
	s, err := jsonschema.NewCompiler().Compile(path)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// structure returns what does not fit the documented form of a document.
func structure(t *testing.T, d document) []string {
	t.Helper()
	switch d.kind {
	case gitlab:
		return gitlabStructure(d)
	case atlantisServer, atlantisRepo:
		return atlantisStructure(d)
	case preCommitUse:
		return preCommitStructure(d)
	}
	if len(d.docs) != 1 {
		return []string{fmt.Sprintf("%d documents in one file", len(d.docs))}
	}
	instance, k := d.docs[0], d.kind
	if k == githubSteps {
		k = githubWorkflow
		instance = map[string]any{"on": "push", "jobs": map[string]any{"a": map[string]any{"runs-on": "ubuntu-24.04", "steps": d.docs[0]}}}
	}
	if err := schema(t, k).Validate(instance); err != nil {
		return []string{err.Error()}
	}
	return nil
}

func TestDocumentsFitTheirForm(t *testing.T) {
	seen := map[kind]bool{}
	for _, d := range documents(t) {
		seen[d.kind] = true
		for _, problem := range structure(t, d) {
			t.Errorf("%s: %s", d.name, problem)
		}
	}
	if len(seen) != 8 {
		t.Errorf("only these kinds are shown: %v", slices.Collect(maps.Keys(seen)))
	}
}

// keys complains of keys that are not documented.
func keys(where string, m map[string]any, known string) []string {
	var problems []string
	for _, key := range slices.Sorted(maps.Keys(m)) {
		if !slices.Contains(strings.Fields(known), key) {
			problems = append(problems, fmt.Sprintf("%s has the key %q", where, key))
		}
	}
	return problems
}

// The keywords of https://docs.gitlab.com/ci/yaml/ that have a use here.
const (
	gitlabTop       = "include stages workflow default variables"
	gitlabJob       = "extends stage image variables id_tokens before_script script after_script artifacts needs rules environment resource_group interruptible allow_failure timeout tags cache"
	gitlabInput     = "default description options regex type"
	gitlabArtifacts = "when access expire_in paths reports name expose_as"
	gitlabReports   = "codequality junit dotenv"
	gitlabRule      = "if when allow_failure variables changes exists"
)

var (
	inputUse  = regexp.MustCompile(`\$\[\[ *inputs\.([a-z0-9-]+) *\]\]`)
	atCommit  = regexp.MustCompile(`[/@][0-9a-f]{40}(/|$)`)
	pinnedRev = regexp.MustCompile(`^[0-9a-f]{40}$`)
	anyScript = []string{"before_script", "script", "after_script"}
)

func gitlabStructure(d document) []string {
	var problems []string
	jobs := object(d.docs[len(d.docs)-1])
	if len(d.docs) > 1 {
		problems = append(problems, gitlabInputs(d)...)
	}
	for _, name := range slices.Sorted(maps.Keys(jobs)) {
		if slices.Contains(strings.Fields(gitlabTop), name) {
			continue
		}
		job := object(jobs, name)
		problems = append(problems, keys(name, job, gitlabJob)...)
		problems = append(problems, keys(name+" artifacts", object(job, "artifacts"), gitlabArtifacts)...)
		problems = append(problems, keys(name+" reports", object(job, "artifacts", "reports"), gitlabReports)...)
		for i, rule := range list(job, "rules") {
			problems = append(problems, keys(fmt.Sprintf("%s rule %d", name, i), object(rule), gitlabRule)...)
		}
		for _, needed := range list(job, "needs") {
			if n := text(needed, "job"); jobs[n] == nil {
				problems = append(problems, fmt.Sprintf("%s needs %q, which is no job", name, n))
			}
		}
		if base := text(job, "extends"); base != "" && jobs[base] == nil {
			problems = append(problems, fmt.Sprintf("%s extends %q, which is no job", name, base))
		}
		for _, key := range anyScript {
			if s, ok := job[key]; ok && len(list(s)) == 0 {
				problems = append(problems, fmt.Sprintf("%s %s is no list of commands", name, key))
			}
		}
		// a job that only adds to one of the component has neither
		if len(d.docs) > 1 && !strings.HasPrefix(name, ".") && (job["script"] == nil || job["stage"] == nil || job["rules"] == nil) {
			problems = append(problems, name+" lacks its script, stage or rules")
		}
	}
	for _, in := range list(jobs, "include") {
		problems = append(problems, keys("include", object(in), "remote component local inputs integrity")...)
		if from := text(in, "remote") + text(in, "component"); !atCommit.MatchString(from) {
			problems = append(problems, fmt.Sprintf("include of %q names no commit", from))
		}
	}
	return problems
}

// gitlabInputs compares the inputs of a component with their uses.
func gitlabInputs(d document) []string {
	problems := keys("the header", object(d.docs[0]), "spec")
	inputs := object(d.docs[0], "spec", "inputs")
	_, body, _ := strings.Cut(d.text, "\n---\n")
	used := map[string]bool{}
	for _, m := range inputUse.FindAllStringSubmatch(body, -1) {
		used[m[1]] = true
		if _, ok := inputs[m[1]]; !ok {
			problems = append(problems, fmt.Sprintf("uses the input %s, which is not declared", m[1]))
		}
	}
	for name := range inputs {
		in := object(inputs, name)
		problems = append(problems, keys("input "+name, in, gitlabInput)...)
		if !used[name] || text(in, "description") == "" {
			problems = append(problems, fmt.Sprintf("input %s is not used, or not described", name))
		}
		if form := text(in, "regex"); form != "" {
			re, err := regexp.Compile(form)
			if value, has := in["default"]; err != nil || has && !re.MatchString(fmt.Sprint(value)) || !strings.HasPrefix(form, "^") || !strings.HasSuffix(form, "$") {
				problems = append(problems, fmt.Sprintf("input %s: %q is no form of the whole, or not that of its default: %v", name, form, err))
			}
		}
	}
	return problems
}

// preCommitStructure knows the keys of https://pre-commit.com/#plugins; the schema
// has patterns that Go does not read.
func preCommitStructure(d document) []string {
	problems := keys("the file", object(d.docs[0]), "repos")
	for _, r := range list(d.docs[0], "repos") {
		problems = append(problems, keys("a repo", object(r), "repo rev hooks")...)
		if text(r, "repo") == "" || !pinnedRev.MatchString(text(r, "rev")) {
			problems = append(problems, "a repo has no address, or no commit as its rev")
		}
		for _, h := range list(r, "hooks") {
			problems = append(problems, keys("a hook", object(h), "id files exclude args name stages")...)
		}
	}
	return problems
}

// The keys of https://www.runatlantis.io/docs/server-side-repo-config.html,
// custom-workflows.html and repo-level-atlantis-yaml.html.
func atlantisStructure(d document) []string {
	doc := object(d.docs[0])
	if d.kind == atlantisRepo {
		problems := keys("the file", doc, "version automerge parallel_plan parallel_apply projects")
		for _, p := range list(doc, "projects") {
			problems = append(problems, keys("a project", object(p), "name branch dir workspace autoplan execution_order_group")...)
			problems = append(problems, keys("autoplan", object(p, "autoplan"), "enabled when_modified")...)
			if text(p, "dir") == "" {
				problems = append(problems, "a project has no dir")
			}
		}
		if doc["version"] != 3 {
			problems = append(problems, "the version is not 3")
		}
		return problems
	}
	problems := keys("the file", doc, "repos workflows policies metrics team_authz")
	workflows := object(doc, "workflows")
	for _, r := range list(doc, "repos") {
		problems = append(problems, keys("a repo", object(r), "id branch workflow plan_requirements apply_requirements allowed_overrides allow_custom_workflows repo_locks")...)
		if workflows[text(r, "workflow")] == nil {
			problems = append(problems, "a repo has a workflow that is not there")
		}
		for _, key := range []string{"plan_requirements", "apply_requirements"} {
			for _, req := range list(r, key) {
				if !slices.Contains([]any{"approved", "mergeable", "undiverged"}, req) {
					problems = append(problems, fmt.Sprintf("%s has %v", key, req))
				}
			}
		}
	}
	for name := range workflows {
		problems = append(problems, keys("workflow "+name, object(workflows, name), "plan apply")...)
		for _, stage := range []string{"plan", "apply"} {
			for _, step := range list(workflows, name, stage, "steps") {
				problems = append(problems, keys("a step", object(step), "run env")...)
				problems = append(problems, keys("env", object(step, "env"), "name value command")...)
				problems = append(problems, keys("run", object(step, "run"), "command output shell shellArgs")...)
			}
		}
	}
	return problems
}

// Documents with one mistake each: what TestDocumentsFitTheirForm relies on.
func TestMistakesOfFormAreFound(t *testing.T) {
	const steps = "- name: a\n  uses: a/b@c\n"
	for name, bad := range map[string]struct {
		kind kind
		text string
	}{
		"action: a step without a shell":       {githubAction, "name: a\ndescription: b\nruns:\n  using: composite\n  steps:\n    - run: a\n"},
		"action: an output without a value":    {githubAction, "name: a\ndescription: b\noutputs:\n  a:\n    description: b\nruns:\n  using: composite\n  steps: []\n"},
		"workflow: an unknown key":             {githubWorkflow, "on: push\njob: {}\njobs: {}\n"},
		"workflow: an unknown permission":      {githubWorkflow, "on: push\njobs:\n  a:\n    runs-on: b\n    permissions:\n      content: read\n    steps:\n      - run: a\n"},
		"workflow: an unknown event":           {githubWorkflow, "on: pull_requests\njobs:\n  a:\n    runs-on: b\n    steps:\n      - run: a\n"},
		"steps: run and uses":                  {githubSteps, steps + "  run: b\n"},
		"hooks: no language":                   {preCommitHooks, "- id: a\n  name: b\n  entry: c\n"},
		"hooks: yes is a text":                 {preCommitHooks, "- id: a\n  name: b\n  entry: c\n  language: golang\n  pass_filenames: \"no\"\n"},
		"pre-commit: a repo without a commit":  {preCommitUse, "repos:\n  - repo: https://a.example\n    rev: v1\n    hooks:\n      - id: a\n"},
		"gitlab: an unknown keyword":           {gitlab, "a:\n  scripts: [b]\n"},
		"gitlab: needs nobody":                 {gitlab, "a:\n  script: [b]\n  needs:\n    - job: c\n"},
		"gitlab: extends nobody":               {gitlab, "a:\n  script: [b]\n  extends: .c\n"},
		"gitlab: an unknown report":            {gitlab, "a:\n  script: [b]\n  artifacts:\n    reports:\n      sarif: c\n"},
		"gitlab: included by a branch":         {gitlab, "include:\n  - remote: https://a.example/main/b.yml\n"},
		"gitlab: an input that is not there":   {gitlab, "spec:\n  inputs: {}\n---\na:\n  stage: $[[ inputs.b ]]\n  script: [b]\n  rules: []\n"},
		"gitlab: an input that nobody uses":    {gitlab, "spec:\n  inputs:\n    b:\n      description: c\n---\na:\n  stage: c\n  script: [b]\n  rules: []\n"},
		"gitlab: a default of the wrong form":  {gitlab, "spec:\n  inputs:\n    b:\n      description: c\n      regex: ^d$\n      default: e\n---\na:\n  stage: $[[ inputs.b ]]\n  script: [b]\n  rules: []\n"},
		"atlantis: an unknown key of a repo":   {atlantisServer, "repos:\n  - id: a\n    workflow: b\n    apply_requirement: []\nworkflows:\n  b: {}\n"},
		"atlantis: an unknown requirement":     {atlantisServer, "repos:\n  - id: a\n    workflow: b\n    apply_requirements: [reviewed]\nworkflows:\n  b: {}\n"},
		"atlantis: an unknown step":            {atlantisServer, "workflows:\n  b:\n    plan:\n      steps:\n        - shell: a\n"},
		"atlantis: another version":            {atlantisRepo, "version: 2\nprojects: []\n"},
		"atlantis: a workflow of a repository": {atlantisRepo, "version: 3\nprojects:\n  - dir: .\n    workflow: a\n"},
	} {
		d, err := parse(name, bad.kind, bad.text)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if len(structure(t, d)) == 0 {
			t.Errorf("%s: nothing is found in\n%s", name, bad.text)
		}
	}
	good, err := parse("steps", githubSteps, steps)
	if problems := structure(t, good); err != nil || len(problems) > 0 {
		t.Errorf("a good document: %v %v", err, problems)
	}
}
