package cli

import (
	"context"
	"fmt"
	"io"
	"slices"

	"github.com/urfave/cli/v2"

	"github.com/cofferhq/coffer/internal/render"
	"github.com/cofferhq/coffer/lang"
	"github.com/cofferhq/coffer/lang/addr"
	"github.com/cofferhq/coffer/planner"
	"github.com/cofferhq/coffer/providers"
)

type rotationOptions struct {
	format       formats
	addresses    []string
	detailedExit bool
}

func rotationCommand(inv *invocation) *cli.Command {
	var opts rotationOptions
	return &cli.Command{
		Name:      "rotation",
		Usage:     "show the age of every secret, and when it is due",
		ArgsUsage: "[ADDRESS…]",
		Description: `Told from the configuration and the state alone: no store is asked, so an age is
that of the recorded value. What is most urgent comes first. "follows" is made
of other secrets and changes when they do.

-format prometheus prints metrics by address: age, next rotation, overdue.
github, gitlab, sarif and junit show what is overdue, as coffer plan does.`,
		UsageText: `coffer rotation
coffer rotation app.checkout -detailed-exitcode
coffer rotation -json | jq '.secrets[] | select(.overdue).address'
coffer rotation -format markdown=rotation.md,html=rotation.html
coffer rotation -format prometheus=/var/lib/node_exporter/coffer.prom`,
		Flags: append([]cli.Flag{
			&cli.BoolFlag{Name: "detailed-exitcode", Usage: "exit 2 if a secret is overdue", Destination: &opts.detailedExit},
			opts.format.flag(append(reviewFormats(), formatPrometheus)...),
		}, inv.pinned.flags()...),
		Action: func(c *cli.Context) error {
			if err := inv.arguments(c, 0, -1); err != nil {
				return err
			}
			opts.addresses = c.Args().Slice()
			if err := opts.format.collect(c, inv); err != nil {
				return err
			}
			return opts.format.orError(c.Context, inv, runRotation(c.Context, inv, &opts))
		},
	}
}

func runRotation(ctx context.Context, inv *invocation, opts *rotationOptions) error {
	chosen, err := addresses(opts.addresses)
	if err != nil {
		return err
	}
	w, err := inv.openStateless(ctx, providers.PhasePlan)
	if err != nil {
		return err
	}
	if err := opts.format.mayHold(w); err != nil {
		return err
	}
	if err := w.loadState(ctx, ""); err != nil {
		return err
	}
	if err := w.declares(chosen); err != nil {
		return err
	}
	status := planner.Rotation(w.cfg, w.snapshot, inv.Now(), selects(planner.DiffOptions{Targets: chosen}))
	status.Diagnostics = append(status.Diagnostics, inv.planWarnings()...)
	if err := opts.format.show(w.rotationResult(status)); err != nil {
		return err
	}
	if opts.detailedExit && status.Overdue > 0 {
		return outcome(ExitChanges)
	}
	return nil
}

// declares refuses addresses that the configuration has no secret at: a mistyped
// one must not look like "nothing is due".
func (w *workspace) declares(chosen []addr.Address) error {
	for _, a := range chosen {
		if !slices.ContainsFunc(w.cfg.Secrets, func(s *lang.Secret) bool { return s.Address.Kind == addr.KindSecret && a.Contains(s.Address) }) {
			return fmt.Errorf("the configuration has no secret at %s; coffer rotation lists those that it has", a)
		}
	}
	return nil
}

// rotationResult returns a rotation status in every form.
func (w *workspace) rotationResult(status *planner.RotationStatus) *result {
	r := &result{
		inv: w.inv, found: render.ReportOfRotation(status), options: w.inv.reportOptions(w.cfg),
		text:       func(out io.Writer, s render.Style) error { return render.RotationText(out, status, s) },
		json:       func(out io.Writer) error { return render.RotationJSON(out, status) },
		prometheus: func(out io.Writer) error { return render.RotationPrometheus(out, status) },
		markdown: func(out io.Writer, limit int) error {
			return render.RotationMarkdown(out, status, render.MarkdownOptions{Limit: limit})
		},
		html: func(out io.Writer) error { return render.RotationHTML(out, status, render.HTMLOptions{}) },
	}
	r.options.Unchanged = render.RotationInTime(status)
	return r
}
