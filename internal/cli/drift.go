package cli

import (
	"context"
	"io"
	"slices"

	"github.com/urfave/cli/v2"

	"github.com/cofferhq/coffer/internal/render"
	"github.com/cofferhq/coffer/lang/addr"
	"github.com/cofferhq/coffer/planner"
)

type driftOptions struct {
	selection
	verifyValues bool
}

func driftCommand(inv *invocation) *cli.Command {
	var opts driftOptions
	return &cli.Command{
		Name:  "drift",
		Usage: "show what somebody changed outside; writes nothing, not even state",
		Description: `Compares what the stores show with what the state recorded, by metadata alone:
it says "unchanged since version V", never that a value is right. -verify-values
also reads the values that have a fingerprint, compares them, and audits that.`,
		UsageText: `coffer drift
coffer drift -target app.checkout -json
coffer drift -verify-values`,
		Flags: append([]cli.Flag{
			&cli.BoolFlag{
				Name: "verify-values", Usage: "also read and compare fingerprinted values", Destination: &opts.verifyValues,
			},
		}, opts.flags()...),
		Action: func(c *cli.Context) error {
			if err := inv.noArguments(c); err != nil {
				return err
			}
			opts.collect(c)
			return runDrift(c.Context, inv, opts)
		},
	}
}

func runDrift(ctx context.Context, inv *invocation, opts driftOptions) error {
	diff, err := opts.options()
	if err != nil {
		return err
	}
	w, err := inv.openWorkspace(ctx, "")
	if err != nil {
		return err
	}
	if err := w.knows(diff); err != nil {
		return err
	}
	live, err := w.refresh(ctx)
	if err != nil {
		return err
	}
	var verified planner.Verified
	if opts.verifyValues {
		log, err := w.auditor()
		if err != nil {
			return err
		}
		v := planner.Verifier{Stores: w.stores, Key: w.key, Audit: log}
		if verified, err = v.Verify(ctx, w.snapshot, selects(diff)); err != nil {
			return err
		}
	}
	diff.Now = inv.Now()
	report := planner.DetectDrift(w.desired, w.snapshot, live, w.stores, diff, verified)
	report.ValuesRead = w.valuesRead()
	report.Diagnostics = append(inv.planWarnings(), report.Diagnostics...)
	if inv.json {
		err = inv.document(func(out io.Writer) error { return render.DriftJSON(out, report) })
	} else {
		err = render.DriftText(inv.Out, report, inv.style(inv.Out))
	}
	if err != nil {
		return err
	}
	return driftOutcome(report)
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
