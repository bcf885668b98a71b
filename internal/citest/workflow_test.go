//go:build unix

package citest

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// step returns the script of a step of the workflows in docs/ci/github.md.
func step(t *testing.T, name string) string {
	t.Helper()
	for _, d := range documents(t) {
		for _, s := range steps(d) {
			if d.kind == githubWorkflow && text(s, "name") == name {
				return text(s, "run")
			}
		}
	}
	t.Fatalf("no workflow has the step %q", name)
	return ""
}

// What the artifact of a pull request says is nothing but a number and a digest,
// or refused: in the outputs it decides what is applied.
func TestReviewedPlanIsFound(t *testing.T) {
	digest := "sha256:" + strings.Repeat("0a", 32)
	found := map[string]string{"FOUND_RUN": "77", "FOUND_DIGEST": digest, "FOUND_CHANGES": "3", "HEAD": "c0ffee", "RUN": "", "DIGEST": ""}
	for name, c := range map[string]struct {
		environ map[string]string
		exit    int
		outputs string
		says    string
	}{
		"a merge":                    {nil, 0, "run=77\nchanges=3\ndigest=" + digest + "\n", ""},
		"no plan succeeded":          {map[string]string{"FOUND_RUN": ""}, 0, "", "No plan of c0ffee succeeded"},
		"by hand":                    {map[string]string{"FOUND_RUN": "", "RUN": "88", "DIGEST": digest, "FOUND_DIGEST": "x"}, 0, "run=88\nchanges=3\ndigest=" + digest + "\n", ""},
		"by hand, an option":         {map[string]string{"RUN": "--repo=evil/evil"}, 1, "", "not the number of a run"},
		"by hand, two lines":         {map[string]string{"RUN": "88\ndigest=x"}, 1, "", "not the number of a run"},
		"by hand, half a digest":     {map[string]string{"RUN": "88", "DIGEST": "sha256:0a"}, 1, "", "no digest"},
		"a digest with an output":    {map[string]string{"FOUND_DIGEST": digest + "\nrun=99"}, 1, "", "no digest"},
		"an output, then a digest":   {map[string]string{"FOUND_DIGEST": "x\n" + digest}, 1, "", "no digest"},
		"a digest that is a command": {map[string]string{"FOUND_DIGEST": "$(touch owned)"}, 1, "", "no digest"},
		"changes with an output":     {map[string]string{"FOUND_CHANGES": "3\nrun=99"}, 1, "", "no digest"},
		"no plan in the artifact":    {map[string]string{"FOUND_CHANGES": "", "FOUND_DIGEST": "null"}, 1, "", "no digest"},
	} {
		t.Run(name, func(t *testing.T) {
			m := newMachine(t, newSite(t))
			m.stub("gh", `printf '%s\n' "$*" >>"$FAKE_DIR/gh"
if [ "$2" = list ]; then printf '%s' "$FOUND_RUN"; fi`)
			m.stub("jq", `case $* in
"-r .plan_digest coffer-plan/coffer.plan") printf '%s\n' "$FOUND_DIGEST" ;;
".changes | length coffer-plan/plan.json") printf '%s\n' "$FOUND_CHANGES" ;;
*) exit 9 ;;
esac`)
			outputs := filepath.Join(m.home, "outputs")
			must(t, os.WriteFile(outputs, nil, 0o600))
			env := maps.Clone(found)
			env["GITHUB_OUTPUT"] = outputs
			maps.Copy(env, c.environ)
			said, code := m.run(m.home, env, "bash", "-e", "-c", step(t, "Find the plan that was reviewed"))
			if code != c.exit || read(t, outputs) != c.outputs || !strings.Contains(said, c.says) {
				t.Errorf("exit code %d, outputs %q\n%s", code, read(t, outputs), said)
			}
			if asked := m.told("gh"); strings.Contains(asked, "evil") {
				t.Errorf("gh was asked %s", asked)
			}
			if entries, _ := os.ReadDir(m.home); slices.ContainsFunc(entries, func(e os.DirEntry) bool { return e.Name() == "owned" }) {
				t.Error("what the artifact says was run")
			}
		})
	}
}

// Drift alone is no failure of the scheduled run.
func TestDriftIsNoFailure(t *testing.T) {
	m := newMachine(t, newSite(t))
	m.stub("coffer", strings.TrimPrefix(program, "#!/bin/sh\n"))
	for exit, fails := range map[string]bool{"0": false, "1": true, "2": false, "3": true, "130": true} {
		if said, code := m.run(m.home, map[string]string{"FAKE_EXIT": exit}, "bash", "-e", "-c", step(t, "Look for drift")); (code != 0) != fails || m.told("args") != "ci\ndrift" {
			t.Errorf("coffer ends with %s: the step with %d\n%s", exit, code, said)
		}
	}
}
