package planner_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cofferhq/coffer/planner"
)

func check(name, condition string) string {
	return "check \"" + name + "\" {\n  assert {\n    condition     = " + condition + "\n    error_message = \"no " + name + "\"\n  }\n}\n"
}

func holds(states []planner.CheckState) map[string]bool {
	out := map[string]bool{}
	for _, s := range states {
		out[s.Name] = s.Holds
		if !s.Holds && s.Message != "no "+s.Name || s.Range == nil {
			out[s.Name+" "+s.Message] = false
		}
	}
	return out
}

func expectChecks(t *testing.T, states []planner.CheckState, want map[string]bool) {
	t.Helper()
	if diff := cmp.Diff(want, holds(states)); diff != "" {
		t.Errorf("checks (-want +got):\n%s", diff)
	}
}

func TestChecksAreEvaluatedAtPlanAndAfterApply(t *testing.T) {
	hcl := app(sec("key", "value = random_hex()", "rotation {\n      every = \"30d\"\n      notify_before = \"7d\"\n      strategy = \"regenerate\"\n    }")+
		sec("safe", "value = random_hex()", "protect = true")) +
		check("overdue", `length(overdue("dev")) == 0`) + check("due", `length(due("dev")) == 0`) +
		check("conflicts", `length(conflicts("dev")) == 0`) + check("unprotected", `length(unprotected("dev")) == 1`)
	w := full(t).Configure(hcl)
	r := w.Apply()
	good := map[string]bool{"overdue": true, "due": true, "conflicts": true, "unprotected": true}
	expectChecks(t, r.Checks, good)
	expectChecks(t, w.Plan().Checks, good)

	w.Now = w.Now.Add(25 * day)
	expectChecks(t, w.Plan().Checks, map[string]bool{"overdue": true, "due": false, "conflicts": true, "unprotected": true})
	w.Now = w.Now.Add(6 * day)
	expectChecks(t, w.Plan().Checks, map[string]bool{"overdue": false, "due": false, "conflicts": true, "unprotected": true})
	expectChecks(t, w.Apply().Checks, good) // the rotation settled it
	edit(w)
	expectChecks(t, w.Plan().Checks, map[string]bool{"overdue": true, "due": true, "conflicts": false, "unprotected": true})
	expectChecks(t, w.Drift().Checks, good)
}
