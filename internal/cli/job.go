package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/cofferhq/coffer/internal/render"
	"github.com/cofferhq/coffer/lang/addr"
	"github.com/cofferhq/coffer/planner"
	"github.com/cofferhq/coffer/providers"
	"github.com/cofferhq/coffer/providers/secret"
	"github.com/cofferhq/coffer/state"
)

// approval are the flags with which a person answers before being asked.
type approval struct {
	auto             bool
	confirmDeletes   int
	confirmRotations int
}

// notGiven is the number of a confirmation that a person did not give.
const notGiven = -1

func (a *approval) flags() []cli.Flag {
	return []cli.Flag{
		&cli.BoolFlag{Name: "auto-approve", Usage: "do not ask", Destination: &a.auto},
		&cli.IntFlag{
			Name: "confirm-deletes", Usage: "confirm that exactly `N` secrets are deleted",
			Value: notGiven, Destination: &a.confirmDeletes,
		},
		&cli.IntFlag{
			Name: "confirm-rotations", Usage: "confirm that exactly `N` secrets get new values",
			Value: notGiven, Destination: &a.confirmRotations,
		},
	}
}

// job is a plan to carry out, with what a person said about it.
type job struct {
	plan *planner.Plan
	approval
	saved         bool // the plan comes from a file
	confirmed     bool // by its digest
	given         bool // the person's own act is the approval: nothing is asked
	skipConflicts bool
	told          func(render.ApplySummary) // how it ended, nil where nobody else asks
	manual        map[addr.Address]map[string]secret.Value
}

// carryOut shows the plan, asks, applies it and shows how that ended.
func (w *workspace) carryOut(ctx context.Context, j job) error {
	inv := w.inv
	if err := w.mayDelete(j.plan); err != nil {
		return err
	}
	if !inv.json {
		if err := inv.showPlan(j.plan); err != nil {
			return err
		}
	}
	if hasErrors(j.plan.Diagnostics) {
		if inv.json {
			return &diagnosticsError{fromPlanner(j.plan.Diagnostics, w.cfg.Files), w.cfg.Files}
		}
		return outcome(ExitError)
	}
	if err := j.exact(); err != nil {
		return err
	}
	if doable(j.plan) > 0 {
		if err := j.approve(ctx, inv); err != nil {
			return err
		}
	}
	applier, err := w.applier(j)
	if err != nil {
		return err
	}
	w.noteMissingKey(j.plan)
	inv.began = true
	done := inv.acknowledge(ctx, applier)
	result, err := applier.Apply(ctx, j.plan)
	done()
	w.markFresh(ctx)
	if err == nil && w.newer > 0 {
		inv.say("The state is at serial %d now, above the newer one that was seen.", w.snapshot.Serial)
	}
	if result != nil {
		sum := summarize(j.plan, result)
		sum.Behind, sum.Project, sum.At = behind(w.snapshot, result), w.cfg.Settings.Project, inv.Now()
		if j.told != nil {
			j.told(sum)
		}
		if showErr := inv.showResult(result, sum, j.told == nil); err == nil {
			err = showErr
		}
	}
	if err != nil {
		return err
	}
	return applyOutcome(j.plan, result)
}

func (w *workspace) applier(j job) (*planner.Applier, error) {
	var log planner.Auditor
	if doable(j.plan) > 0 {
		var err error
		if log, err = w.auditor(); err != nil {
			return nil, err
		}
	}
	return &planner.Applier{
		Desired: w.desired, Stores: w.stores, Session: w.session, Snapshot: w.snapshot,
		Inputs: w.inputs, Manual: j.manual, Rand: w.inv.Random, Now: w.inv.Now, Key: w.key,
		Audit: log, Events: w.inv.progress(),
		SkipConflicts: j.skipConflicts, Saved: j.saved, Parallelism: w.inv.parallelism,
	}, nil
}

// doable counts the changes that an apply would carry out.
func doable(plan *planner.Plan) int {
	n := 0
	for i := range plan.Changes {
		if a := plan.Changes[i].Action; a != planner.Conflict && a != planner.Unknown {
			n++
		}
	}
	return n
}

// exact refuses a number that a person confirmed and that is not the plan's,
// whether the plan needs it or not: they looked at another plan.
func (j *job) exact() error {
	if j.given {
		return nil
	}
	deletes, rotations := j.plan.Counts()
	for _, n := range []struct {
		given, planned int
		flag, what     string
	}{
		{j.confirmDeletes, deletes, "-confirm-deletes", "deletes %s"},
		{j.confirmRotations, rotations, "-confirm-rotations", "makes new values for %s"},
	} {
		if n.given != notGiven && n.given != n.planned {
			return fmt.Errorf("%s %d was given, and the plan "+n.what+"; nothing was changed: look at the plan again",
				n.flag, n.given, count(n.planned, "secret"))
		}
	}
	return nil
}

// approve makes sure that a person wants this. -auto-approve does not cover
// mass deletes and mass rotations; a digest does.
func (j *job) approve(ctx context.Context, inv *invocation) error {
	if !j.confirmed {
		if err := j.plan.Confirm(j.confirmDeletes, j.confirmRotations); err != nil {
			return err
		}
	}
	if j.auto || j.saved || j.given {
		return nil
	}
	return inv.approve(ctx, "Do this?")
}

// mayAsk refuses to begin what would have to ask where nobody can answer.
func (inv *invocation) mayAsk(a approval) error {
	if a.auto || inv.canAsk() {
		return nil
	}
	return fmt.Errorf("coffer %s asks before it changes anything, and there is no terminal to ask on: "+
		"give -auto-approve, or for apply a saved plan (coffer plan -out FILE, coffer apply FILE)", inv.command)
}

// approve asks a question that only "yes" answers with yes.
func (inv *invocation) approve(ctx context.Context, question string) error {
	if err := inv.mayAsk(approval{}); err != nil {
		return err
	}
	answer, err := inv.ask(ctx, "\n"+question+" Only \"yes\" is taken for yes: ")
	if err != nil {
		return err
	}
	if strings.TrimSpace(answer) != "yes" {
		return fmt.Errorf("not confirmed; nothing was changed")
	}
	return nil
}

// showResult prints how an apply ended; document says that it is the document of
// -json, which else is somebody else's.
func (inv *invocation) showResult(result *planner.Result, sum render.ApplySummary, document bool) error {
	if result.Interrupted && !sum.Interrupted {
		inv.say("Interrupted, but all that the plan had was done already.")
	}
	if inv.json && !document {
		return nil
	}
	if inv.json {
		return inv.document(func(w io.Writer) error { return render.ApplyJSON(w, sum) })
	}
	if len(result.Outcomes) == 0 && len(sum.Conflicts) == 0 && !sum.Interrupted {
		return nil // the plan said so already
	}
	fmt.Fprintln(inv.Out)
	return render.ApplyText(inv.Out, sum, inv.style(inv.Out))
}

func summarize(plan *planner.Plan, result *planner.Result) render.ApplySummary {
	sum := render.ApplySummary{
		Done: map[planner.Action]int{}, Objects: map[string]map[planner.Action]int{},
		ValuesRead: result.ValuesRead, Checks: result.Checks,
	}
	done := 0
	for _, o := range result.Outcomes {
		switch out := (render.Outcome{Address: o.Change.Address, Action: o.Change.Action, Because: o.Skipped, Range: o.Change.Range}); {
		case o.Err != nil:
			explain(&out, o)
			sum.Failed = append(sum.Failed, out)
		case o.Skipped != "":
			sum.Skipped = append(sum.Skipped, out)
		default:
			sum.Done[o.Change.Action]++
			sum.Carried = append(sum.Carried, o.Change.Address)
			if kind := o.Change.Location.Kind; o.Change.Role == state.RoleObject {
				if sum.Objects[kind] == nil {
					sum.Objects[kind] = map[planner.Action]int{}
				}
				sum.Objects[kind][o.Change.Action]++
			}
			done++
		}
	}
	// With nothing left, nobody needs to run anything again.
	sum.Interrupted = result.Interrupted && done < doable(plan)
	for i := range plan.Changes {
		if c := &plan.Changes[i]; c.Action == planner.Conflict {
			sum.Conflicts = append(sum.Conflicts, render.Outcome{Address: c.Address, Action: c.Action, Because: c.Detail, Range: c.Range})
		}
	}
	return sum
}

// explain says why a change was not done: the error, the next step, and
// whether anything happened all the same.
func explain(out *render.Outcome, o planner.ChangeResult) {
	out.Err, out.Next = apart(o.Err)
	out.Path = o.Change.Location.Path
	e, ok := errors.AsType[*providers.Error](o.Err)
	if !ok {
		return
	}
	out.Effect = render.EffectUnknown
	if e.Code.Definite() {
		out.Effect = render.EffectNone
	}
	if path := o.Change.Location.Path; e.Path == path {
		out.Common = strings.Replace(out.Err, " "+path+": ", ": ", 1)
	}
}

// applyOutcome returns how an apply ends: what was not done is an error, what
// could not be told is its own code.
func applyOutcome(plan *planner.Plan, result *planner.Result) error {
	unknown := false
	conflict := false
	for i := range plan.Changes {
		unknown = unknown || plan.Changes[i].Action == planner.Unknown
		conflict = conflict || plan.Changes[i].Action == planner.Conflict
	}
	switch {
	case result.Interrupted:
		return outcome(ExitInterrupted)
	case result.Failed() || conflict:
		return outcome(ExitError)
	case unknown:
		return outcome(ExitUnknown)
	}
	return nil
}
