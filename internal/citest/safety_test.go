package citest

import (
	"bytes"
	"fmt"
	"maps"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// script is one text that a shell runs.
type script struct{ at, shell, text string }

// scripts returns those of a document, in order.
func scripts(d document) []script {
	var all []script
	switch d.kind {
	case githubAction:
		all = stepScripts(list(d.docs[0], "runs", "steps"))
	case githubSteps:
		all = stepScripts(list(d.docs[0]))
	case githubWorkflow:
		jobs := object(d.docs[0], "jobs")
		for _, name := range slices.Sorted(maps.Keys(jobs)) {
			all = append(all, stepScripts(list(jobs, name, "steps"))...)
		}
	case gitlab:
		jobs := object(d.docs[len(d.docs)-1])
		for _, name := range slices.Sorted(maps.Keys(jobs)) {
			for _, key := range anyScript {
				for _, line := range list(jobs, name, key) {
					all = append(all, script{name, "sh", fmt.Sprint(line)})
				}
			}
		}
	case atlantisServer:
		for _, name := range slices.Sorted(maps.Keys(object(d.docs[0], "workflows"))) {
			for _, stage := range []string{"plan", "apply"} {
				for _, step := range list(d.docs[0], "workflows", name, stage, "steps") {
					for _, s := range []string{text(step, "run"), text(step, "run", "command"), text(step, "env", "command")} {
						if s != "" {
							all = append(all, script{name + " " + stage, "sh", s})
						}
					}
				}
			}
		}
	}
	for i := range all {
		all[i].at = d.name + " " + all[i].at
	}
	return all
}

func stepScripts(steps []any) []script {
	var all []script
	for i, step := range steps {
		if run := text(step, "run"); run != "" {
			all = append(all, script{fmt.Sprintf("step %d", i+1), "bash", run})
		}
	}
	return all
}

// steps returns the GitHub steps of a document.
func steps(d document) []any {
	switch d.kind {
	case githubAction:
		return list(d.docs[0], "runs", "steps")
	case githubSteps:
		return list(d.docs[0])
	case githubWorkflow:
		var all []any
		for _, job := range object(d.docs[0], "jobs") {
			all = append(all, list(job, "steps")...)
		}
		return all
	}
	return nil
}

var pinnedUse = regexp.MustCompile(`(?m)uses: [\w.-]+/[\w./-]+@[0-9a-f]{40} # v[0-9.]+$`)

// unsafe returns what an attacker could use.
func unsafe(d document) []string {
	var problems []string
	for _, s := range scripts(d) {
		// what stands in such an expression becomes part of the script
		if strings.Contains(s.text, "${{") || strings.Contains(s.text, "$[[") {
			problems = append(problems, s.at+": an expression in a script")
		}
		if said := syntax(s); said != "" {
			problems = append(problems, s.at+": "+said)
		}
	}
	// both run with the secrets of the repository beside a stranger's files
	for _, event := range []string{"pull_request_target", "workflow_run"} {
		if strings.Contains(d.text, event) {
			problems = append(problems, d.name+": the event "+event)
		}
	}
	if uses := strings.Count(d.text, "uses: "); uses != len(pinnedUse.FindAllString(d.text, -1)) {
		problems = append(problems, d.name+": an action that is pinned by no commit, or whose version is not said")
	}
	if d.kind == githubWorkflow {
		problems = append(problems, unsafeJobs(d)...)
	}
	return problems
}

func unsafeJobs(d document) []string {
	var problems []string
	workflow := object(d.docs[0])
	if p, ok := workflow["permissions"].(map[string]any); !ok || len(p) > 0 {
		problems = append(problems, d.name+": the workflow gives permissions to every job; they belong to each")
	}
	for name := range object(workflow, "jobs") {
		job, where := object(workflow, "jobs", name), d.name+" job "+name
		permissions := object(job, "permissions")
		if len(permissions) == 0 || job["timeout-minutes"] == nil {
			problems = append(problems, where+": no permissions, or no end")
		}
		if permissions["contents"] == "write" && job["environment"] == nil {
			problems = append(problems, where+": may push without an environment")
		}
		for _, step := range list(job, "steps") {
			keep := at(step, "with", "persist-credentials")
			if strings.HasPrefix(text(step, "uses"), "actions/checkout@") && permissions["contents"] != "write" && keep != false {
				problems = append(problems, where+": the checkout keeps a token that nothing needs")
			}
			if strings.Contains(text(step, "run"), "ci apply") && (job["environment"] == nil || at(job, "concurrency", "group") == nil) {
				problems = append(problems, where+": applies without an environment, or beside another apply")
			}
		}
	}
	return problems
}

// syntax returns what the shell says of a script without running it.
func syntax(s script) string {
	cmd := exec.Command(s.shell, "-n")
	var said bytes.Buffer
	cmd.Stdin, cmd.Stderr = strings.NewReader(s.text), &said
	if err := cmd.Run(); err != nil {
		return fmt.Sprintf("%v: %s", err, said.String())
	}
	return ""
}

func TestDocumentsAreSafe(t *testing.T) {
	run := 0
	for _, d := range documents(t) {
		run += len(scripts(d))
		for _, problem := range unsafe(d) {
			t.Error(problem)
		}
	}
	if run < 15 {
		t.Errorf("found only %d scripts", run)
	}
	for _, b := range blocks(t) {
		if b.language == "sh" {
			if said := syntax(script{text: b.text, shell: "bash"}); said != "" {
				t.Errorf("%s: %s", b.at, said)
			}
		}
	}
	for _, file := range []string{"install.sh", "idtoken.sh", "run.sh"} {
		for _, shell := range []string{"bash", "sh"} {
			if said := syntax(script{text: read(t, root+"/action/"+file), shell: shell}); said != "" {
				t.Errorf("%s, %s: %s", file, shell, said)
			}
		}
	}
}

// Documents with one hole each: what TestDocumentsAreSafe relies on.
func TestHolesAreFound(t *testing.T) {
	const head, job = "on: push\npermissions: {}\njobs:\n  a:\n", "    runs-on: b\n    timeout-minutes: 5\n    permissions:\n      contents: read\n    steps:\n"
	sha := strings.Repeat("0a", 20)
	for name, bad := range map[string]struct {
		kind kind
		text string
	}{
		"an input in a script":                    {githubAction, "runs:\n  steps:\n    - run: echo ${{ inputs.a }}\n"},
		"an expression in a script of a workflow": {githubWorkflow, head + job + "      - run: echo ${{ github.head_ref }}\n"},
		"an input of a component in a script":     {gitlab, "a:\n  script:\n    - echo $[[ inputs.a ]]\n"},
		"a script that does not parse":            {gitlab, "a:\n  script:\n    - if true\n"},
		"a stranger's files beside secrets":       {githubWorkflow, strings.Replace(head, "push", "pull_request_target", 1) + job + "      - run: a\n"},
		"an action by its tag":                    {githubSteps, "- uses: actions/checkout@v7 # v7.0.1\n"},
		"an action by half a commit":              {githubSteps, "- uses: actions/checkout@" + sha[:20] + " # v7.0.1\n"},
		"an action whose version is not said":     {githubSteps, "- uses: actions/checkout@" + sha + "\n"},
		"permissions for all":                     {githubWorkflow, strings.Replace(head, "{}", "write-all", 1) + job + "      - run: a\n"},
		"no permissions at the top":               {githubWorkflow, strings.Replace(head, "permissions: {}\n", "", 1) + job + "      - run: a\n"},
		"no permissions of a job":                 {githubWorkflow, head + "    runs-on: b\n    timeout-minutes: 5\n    steps:\n      - run: a\n"},
		"no end":                                  {githubWorkflow, head + strings.Replace(job, "    timeout-minutes: 5\n", "", 1) + "      - run: a\n"},
		"a token that is kept":                    {githubWorkflow, head + job + "      - uses: actions/checkout@" + sha + " # v7\n"},
		"a push without an environment":           {githubWorkflow, head + strings.Replace(job, "read", "write", 1) + "      - run: a\n"},
		"an apply without an environment":         {githubWorkflow, head + job + "      - run: coffer ci apply\n"},
	} {
		d, err := parse(name, bad.kind, bad.text)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if len(unsafe(d)) == 0 {
			t.Errorf("%s: nothing is found in\n%s", name, bad.text)
		}
	}
}
