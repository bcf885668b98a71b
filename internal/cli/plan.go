package cli

import (
	"context"
	"io"

	"github.com/urfave/cli/v2"

	"github.com/cofferhq/coffer/internal/render"
	"github.com/cofferhq/coffer/planner"
)

type planOptions struct {
	selection
	format       formats
	at           planAt
	out          string
	refresh      string
	detailedExit bool
	withhold     bool // see [opening]
}

func planCommand(inv *invocation) *cli.Command {
	var opts planOptions
	return &cli.Command{
		Name:  "plan",
		Usage: "show what apply would do; reads no values",
		Description: `Compares the configuration with the state and with what the stores show of their
secrets without their values. Nothing is written but the file of -out. A plan
file holds no value; coffer apply FILE does exactly that plan, for a day.`,
		UsageText: `coffer plan
coffer plan -out release.plan
coffer plan -target app.checkout -detailed-exitcode
coffer plan -json | jq .summary
coffer plan -format markdown=plan.md,sarif=plan.sarif,junit=plan.xml`,
		Flags: append([]cli.Flag{
			&cli.StringFlag{Name: "out", Usage: "save the plan in `FILE`", Destination: &opts.out},
			&cli.BoolFlag{Name: "detailed-exitcode", Usage: "exit 2 if there are changes", Destination: &opts.detailedExit},
			&cli.StringFlag{
				Name: "refresh", Usage: "`true`, or false: only compare with the state; not checked, exit 3, never applied",
				Value: "true", Destination: &opts.refresh,
			},
			opts.at.flag(),
			opts.format.flag(reviewFormats()...),
		}, append(inv.pinned.flags(), opts.flags()...)...),
		Action: func(c *cli.Context) error {
			if err := inv.noArguments(c); err != nil {
				return err
			}
			opts.collect(c)
			if err := opts.format.collect(c, inv); err != nil {
				return err
			}
			return opts.format.orError(c.Context, inv, runPlan(c.Context, inv, &opts))
		},
	}
}

func runPlan(ctx context.Context, inv *invocation, opts *planOptions) error {
	w, plan, diff, err := inv.makePlan(ctx, opts)
	if err != nil {
		return err
	}
	if err := opts.format.show(w.planResult(plan, diff, opts.out != "")); err != nil {
		return err
	}
	if opts.out != "" {
		if err := inv.savePlan(w.lasting(plan), opts.out); err != nil {
			return err
		}
		inv.say("To do exactly this: coffer apply %s", opts.out)
	}
	return planOutcome(plan, opts.detailedExit)
}

// makePlan makes the plan that the options ask for, after a look at where it and
// its formats go.
func (inv *invocation) makePlan(ctx context.Context, opts *planOptions) (*workspace, *planner.Plan, planner.DiffOptions, error) {
	diff, err := opts.check(inv)
	if err != nil {
		return nil, nil, diff, err
	}
	w, err := inv.open(ctx, opening{prefetch: opts.refresh == "true", withhold: opts.withhold})
	if err != nil {
		return nil, nil, diff, err
	}
	if opts.out != "" {
		if err := w.mayHold(opts.out); err != nil {
			return nil, nil, diff, err
		}
	}
	if err := opts.format.mayHold(w); err != nil {
		return nil, nil, diff, err
	}
	if err := w.knows(diff); err != nil {
		return nil, nil, diff, err
	}
	plan, err := w.plan(ctx, opts.refresh == "true", diff)
	return w, plan, diff, err
}

// check refuses flags that contradict each other.
func (o *planOptions) check(inv *invocation) (planner.DiffOptions, error) {
	switch {
	case o.refresh != "true" && o.refresh != "false":
		return planner.DiffOptions{}, usagef("-refresh is true or false, not %q", o.refresh)
	case o.refresh == "false" && o.out != "":
		return planner.DiffOptions{}, usagef("a plan of -refresh=false is never applied, so it is not saved: leave out -refresh=false or -out")
	case o.out != "" && o.format.writes(o.out):
		return planner.DiffOptions{}, usagef("-out and -format both write %s: give each a file of its own", o.out)
	}
	diff, err := o.options()
	if err == nil {
		diff.At, err = o.at.time(inv.Now(), o.out)
	}
	return diff, err
}

// showPlan prints a plan as the result of the command.
func (inv *invocation) showPlan(plan *planner.Plan) error {
	if inv.json {
		return inv.document(func(w io.Writer) error { return render.PlanJSON(w, plan) })
	}
	return render.PlanText(inv.Out, plan, inv.style(inv.Out))
}

func hasErrors(list []planner.Diagnostic) bool {
	for _, d := range list {
		if d.Severity == planner.SeverityError {
			return true
		}
	}
	return false
}

// planOutcome returns how a command that only looked ends: an error beats what
// could not be told, and that beats changes.
func planOutcome(plan *planner.Plan, changesCount bool) error {
	unknown := !plan.Refreshed
	for i := range plan.Changes {
		unknown = unknown || plan.Changes[i].Action == planner.Unknown
	}
	switch {
	case hasErrors(plan.Diagnostics):
		return outcome(ExitError)
	case unknown:
		return outcome(ExitUnknown)
	case changesCount && len(plan.Changes) > 0:
		return outcome(ExitChanges)
	}
	return nil
}
