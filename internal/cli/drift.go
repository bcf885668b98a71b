package cli

import (
	"context"
	"slices"

	"github.com/urfave/cli/v2"

	"github.com/cofferhq/coffer/lang/addr"
	"github.com/cofferhq/coffer/planner"
	"github.com/cofferhq/coffer/providers"
)

type driftOptions struct {
	selection
	format       formats
	verifyValues bool
	withhold     bool // see [opening]
}

func driftCommand(inv *invocation) *cli.Command {
	var opts driftOptions
	return &cli.Command{
		Name:  "drift",
		Usage: "show what somebody changed outside; writes nothing",
		Description: `Compares what the stores show with what the state recorded, by metadata alone:
it says "unchanged since version V", never that a value is right. Policies,
grants and roles count too, and a policy that nobody declared and that can read
what is managed. So does what a controller of a cluster could not use. Nothing
is written, not even state. -verify-values also reads the values that have a
fingerprint, compares them, and audits that.`,
		UsageText: `coffer drift
coffer drift -target app.checkout -json
coffer drift -verify-values
coffer drift -format github
coffer drift -format gitlab=gl-code-quality-report.json`,
		Flags: append([]cli.Flag{
			&cli.BoolFlag{
				Name: "verify-values", Usage: "also read and compare fingerprinted values", Destination: &opts.verifyValues,
			},
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
			return opts.format.orError(c.Context, inv, runDrift(c.Context, inv, &opts))
		},
	}
}

func runDrift(ctx context.Context, inv *invocation, opts *driftOptions) error {
	w, report, diff, err := inv.makeDrift(ctx, opts)
	if err != nil {
		return err
	}
	if err := opts.format.show(w.driftResult(report, diff)); err != nil {
		return err
	}
	return driftOutcome(report)
}

// makeDrift finds out what was changed outside, after a look at where the formats
// go.
func (inv *invocation) makeDrift(ctx context.Context, opts *driftOptions) (*workspace, *planner.DriftReport, planner.DiffOptions, error) {
	diff, err := opts.options()
	if err != nil {
		return nil, nil, diff, err
	}
	var phase providers.Phase
	if opts.verifyValues {
		phase = providers.PhaseApply // only that identity reads values
	}
	w, err := inv.open(ctx, opening{phase: phase, prefetch: true, withhold: opts.withhold})
	if err != nil {
		return nil, nil, diff, err
	}
	if err := opts.format.mayHold(w); err != nil {
		return nil, nil, diff, err
	}
	if err := w.knows(diff); err != nil {
		return nil, nil, diff, err
	}
	live, err := w.refresh(ctx)
	if err != nil {
		return nil, nil, diff, err
	}
	var verified planner.Verified
	if opts.verifyValues {
		if verified, err = w.verify(ctx, selects(diff)); err != nil {
			return nil, nil, diff, err
		}
	}
	diff.Now = inv.Now()
	report := planner.DetectDrift(w.desired, w.snapshot, live, w.stores, diff, verified)
	if len(diff.Targets) == 0 { // who else can read is a question about all of a store
		w.undeclared(ctx, report, selects(diff))
	}
	w.unsynced(ctx, report, selects(diff))
	if len(report.Drift) > 0 {
		slices.SortStableFunc(report.Drift, func(a, b planner.Drift) int { return a.Address.Compare(b.Address) })
	}
	for i := range report.Drift {
		d := &report.Drift[i]
		d.Detail = w.hintApart(d.Detail, live, d.Location)
	}
	report.ValuesRead = w.valuesRead()
	report.Diagnostics = append(inv.planWarnings(), report.Diagnostics...)
	if w.newer > 0 {
		report.Diagnostics = append(report.Diagnostics, w.older())
	}
	return w, report, diff, nil
}

// verify reads and compares the values that have a fingerprint, audited.
func (w *workspace) verify(ctx context.Context, matches func(addr.Address) bool) (planner.Verified, error) {
	log, err := w.auditor()
	if err != nil {
		return nil, err
	}
	v := planner.Verifier{Stores: w.stores, Key: w.key, Audit: log}
	return v.Verify(ctx, w.snapshot, matches)
}

// undeclared adds what gives access and was declared by nobody.
func (w *workspace) undeclared(ctx context.Context, report *planner.DriftReport, matches func(addr.Address) bool) {
	found, notes := planner.Undeclared(ctx, w.desired, w.snapshot, w.stores)
	for i := range found {
		if matches(found[i].Address) {
			report.Drift = append(report.Drift, found[i])
		}
	}
	for _, n := range notes {
		if matches(n.Address) {
			report.Notes = append(report.Notes, n)
		}
	}
}

// unsynced adds what the controllers of a cluster could not use.
func (w *workspace) unsynced(ctx context.Context, report *planner.DriftReport, matches func(addr.Address) bool) {
	for _, d := range planner.Unsynced(ctx, w.desired, w.snapshot, w.stores) {
		if matches(d.Address) {
			report.Drift = append(report.Drift, d)
		}
	}
}

// selects returns whether an address is among the targets and not excluded.
func selects(o planner.DiffOptions) func(addr.Address) bool {
	return func(a addr.Address) bool {
		contains := func(b addr.Address) bool { return b.Contains(a) }
		return (len(o.Targets) == 0 || slices.ContainsFunc(o.Targets, contains)) && !slices.ContainsFunc(o.Excludes, contains)
	}
}

func driftOutcome(report *planner.DriftReport) error {
	unknown := slices.ContainsFunc(report.Drift, func(d planner.Drift) bool { return d.Kind == planner.DriftUnknown })
	switch {
	case hasErrors(report.Diagnostics):
		return outcome(ExitError)
	case unknown:
		return outcome(ExitUnknown)
	case len(report.Drift) > 0:
		return outcome(ExitChanges)
	}
	return nil
}
