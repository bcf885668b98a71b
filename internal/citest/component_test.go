//go:build unix

package citest

import (
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "put action/install.sh into templates/coffer.yml")

// embedded finds the script in the component.
var embedded = regexp.MustCompile(`(?s)( +sh <<'INSTALL' \|\| exit 1\n)(.*?)( +INSTALL\n)`)

// A component is one file, so it holds a copy of the script.
func TestComponentHoldsTheScript(t *testing.T) {
	const indent = "      "
	file := filepath.Join(root, component)
	script, whole := read(t, filepath.Join(root, "action/install.sh")), read(t, file)
	var want strings.Builder
	for line := range strings.Lines(script) {
		if line != "\n" {
			line = indent + line
		}
		want.WriteString(line)
	}
	m := embedded.FindStringSubmatchIndex(whole)
	if m == nil {
		t.Fatalf("%s has no place for action/install.sh", component)
	}
	if *update {
		must(t, os.WriteFile(file, []byte(whole[:m[4]]+want.String()+whole[m[5]:]), 0o644))
		return
	}
	if whole[m[4]:m[5]] != want.String() {
		t.Errorf("%s holds another script than action/install.sh: go test ./internal/citest -run TestComponentHoldsTheScript -update", component)
	}
}

// interpolate puts inputs into the jobs, as GitLab does before it reads them.
func interpolate(t *testing.T, inputs map[string]string) any {
	t.Helper()
	d := one(t, component)
	_, body, _ := strings.Cut(d.text, "\n---\n")
	body = inputUse.ReplaceAllStringFunc(body, func(use string) string {
		name := inputUse.FindStringSubmatch(use)[1]
		if value, ok := inputs[name]; ok {
			return value
		}
		return text(d.docs[0], "spec", "inputs", name, "default")
	})
	jobs, err := parse(component, gitlab, body)
	must(t, err)
	return jobs.docs[0]
}

// Each job installs the release and runs its command in the folder of the
// configuration.
func TestComponentRuns(t *testing.T) {
	s := newSite(t)
	pin := s.publish(t)
	jobs := interpolate(t, map[string]string{"version": version, "sha256": `"` + pin + `"`, "directory": "deploy/secrets", "releases": s.URL})
	for name, c := range map[string]struct {
		environ map[string]string
		args    string
		exit    int
	}{
		"coffer-plan":  {nil, "ci\nplan", 0},
		"coffer-apply": {map[string]string{"COFFER_DIGEST": "sha256:d"}, "ci\napply\n-plan-digest\nsha256:d", 0},
		"coffer-drift": {map[string]string{"FAKE_EXIT": "2"}, "ci\ndrift", 2},
	} {
		m := newMachine(t, s)
		project := t.TempDir()
		plan := filepath.Join(project, "deploy/secrets/coffer-plan/coffer.plan")
		must(t, os.MkdirAll(filepath.Dir(plan), 0o755))
		must(t, os.WriteFile(plan, nil, 0o666))
		must(t, os.Chmod(plan, 0o666))
		env := map[string]string{"CI_PROJECT_DIR": project}
		for _, from := range []map[string]any{object(jobs, ".coffer", "variables"), object(jobs, name, "variables")} {
			for k := range from {
				env[k] = text(from, k)
			}
		}
		for k, v := range c.environ {
			env[k] = v
		}
		var lines []string
		for _, line := range append(list(jobs, ".coffer", "before_script"), list(jobs, name, "script")...) {
			lines = append(lines, line.(string))
		}
		said, code := m.run(project, env, "sh", "-e", "-c", strings.Join(lines, "\n"))
		if code != c.exit || m.told("args") != c.args || !strings.HasSuffix(m.told("pwd"), "/deploy/secrets") {
			t.Errorf("%s: exit code %d, coffer was asked %q in %s\n%s", name, code, m.told("args"), m.told("pwd"), said)
		}
		if info, err := os.Stat(plan); name == "coffer-apply" && (err != nil || info.Mode()&0o022 != 0) {
			t.Errorf("others can write the plan: %v %v", info.Mode(), err)
		}
		if c.exit == 2 && at(jobs, name, "allow_failure", "exit_codes") != 2 {
			t.Errorf("drift fails the pipeline")
		}
	}
	m := newMachine(t, s)
	before := list(jobs, ".coffer", "before_script")[0].(string)
	said, code := m.run(m.home, map[string]string{"CI_PROJECT_DIR": m.home, "COFFER_DIRECTORY": ".", "COFFER_VERSION": "9.9.9"}, "sh", "-c", before+"\necho went on")
	if code == 0 || strings.Contains(said, "went on") {
		t.Errorf("a job goes on without coffer: exit code %d\n%s", code, said)
	}
}

// The workflow of Atlantis hands the digest of the comment to the apply, whatever
// it is, and pins the plan to the base branch.
func TestAtlantisRuns(t *testing.T) {
	var d document
	for _, each := range documents(t) {
		if each.kind == atlantisServer {
			d = each
		}
	}
	stage := func(m *machine, dir, name string, env map[string]string) (string, int) {
		said := ""
		for _, step := range list(d.docs[0], "workflows", "coffer", name, "steps") {
			command := text(step, "run") + text(step, "run", "command") + text(step, "env", "command")
			out, code := m.run(dir, env, "sh", "-c", command)
			said += out
			if code != 0 {
				return said, code
			}
			if variable := text(step, "env", "name"); variable != "" {
				env[variable] = strings.TrimSpace(out)
			}
		}
		return said, 0
	}
	s := newSite(t)
	m := newMachine(t, s)
	m.stub("coffer", strings.TrimPrefix(program, "#!/bin/sh\n"))
	work := filepath.Join(m.home, "work tree")
	git := func(dir string, args ...string) {
		t.Helper()
		if said, code := m.run(dir, nil, "git", append([]string{"-c", "user.name=a", "-c", "user.email=a@b", "-c", "init.defaultBranch=main"}, args...)...); code != 0 {
			t.Fatalf("git %v: %s", args, said)
		}
	}
	origin := filepath.Join(m.home, "origin")
	must(t, os.MkdirAll(filepath.Join(origin, "deploy"), 0o755))
	must(t, os.WriteFile(filepath.Join(origin, "deploy/coffer.hcl"), []byte("base"), 0o644))
	git(origin, "init", "-q")
	git(origin, "add", ".")
	git(origin, "commit", "-q", "-m", "base")
	git(m.home, "clone", "-q", origin, work)
	must(t, os.WriteFile(filepath.Join(work, "deploy/coffer.hcl"), []byte("head"), 0o644))
	dir := filepath.Join(work, "deploy")
	for range 2 { // atlantis plans again in the same folder
		env := map[string]string{"PLANFILE": filepath.Join(dir, "secrets-default.tfplan"), "BASE_BRANCH_NAME": "main", "COMMENT_ARGS": ""}
		said, code := stage(m, dir, "plan", env)
		want := "ci\nplan\n-pin\n" + env["PLANFILE"] + ".base\n-out\n" + env["PLANFILE"] + "\n-dir\n" + env["PLANFILE"] + ".reports"
		if code != 0 || m.told("args") != want {
			t.Errorf("exit code %d, coffer was asked %q\n%s", code, m.told("args"), said)
		}
		if got := read(t, env["PLANFILE"]+".base/coffer.hcl"); got != "base" {
			t.Errorf("what is trusted is %q", got)
		}
	}
	for comment, digest := range map[string]string{
		`\s\h\a\2\5\6\:\d`: "sha256:d", "": "", `\$\(\t\o\u\c\h\ \o\w\n\e\d\)`: "$(touch owned)",
	} {
		env := map[string]string{"PLANFILE": "a b.tfplan", "COMMENT_ARGS": comment}
		if said, code := stage(m, dir, "apply", env); code != 0 || m.told("args") != "ci\napply\na b.tfplan\n-plan-digest\n"+digest+"\n-dir\na b.tfplan.reports" {
			t.Errorf("%q: exit code %d, coffer was asked %q\n%s", comment, code, m.told("args"), said)
		}
	}
}
