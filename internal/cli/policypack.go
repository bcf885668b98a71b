package cli

import (
	"github.com/cofferhq/coffer/lang"
	"github.com/cofferhq/coffer/lang/addr"
	"github.com/cofferhq/coffer/planner"
)

// judge shows what the policy pack finds in a configuration. A rule that fails
// is an error.
func (inv *invocation) judge(cfg *lang.Config) error {
	diags := fromPlanner(planner.PolicyFindings(cfg), cfg.Files)
	if diags.HasErrors() {
		return &diagnosticsError{diags, cfg.Files}
	}
	inv.warn(diags, cfg.Files)
	return nil
}

// judgeSaved refuses a saved plan that a rule fails now: the rules may have been
// made stricter since it was made. What they warn of is in the plan.
func (w *workspace) judgeSaved(plan *planner.Plan) error {
	about := map[addr.Address]bool{}
	for i := range plan.Changes {
		about[plan.Changes[i].Address] = true
	}
	pick := func(a addr.Address) bool { return !plan.Partial || about[a] }
	var fails []planner.Diagnostic
	for _, d := range w.desired.PolicyFindings(w.snapshot, plan, w.inv.Now(), pick) {
		if d.Severity == planner.SeverityError {
			fails = append(fails, d)
		}
	}
	return w.check(fails)
}
