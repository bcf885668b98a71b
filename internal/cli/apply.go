package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/cofferhq/coffer/internal/render"
	"github.com/cofferhq/coffer/planner"
)

// digestPrefix names the algorithm of a plan's digest; a person may leave it out.
const digestPrefix = "sha256:"

type applyOptions struct {
	selection
	approval
	planDigest string
	onConflict string
	planFile   string
	format     formats
	told       func(render.ApplySummary) // see [job]
}

func applyCommand(inv *invocation) *cli.Command {
	var opts applyOptions
	return &cli.Command{
		Name:      "apply",
		Usage:     "plan, show, ask, do; or do exactly a saved plan",
		ArgsUsage: "[PLANFILE]",
		Description: `Without a terminal nothing asks: give -auto-approve or a saved plan. Neither
covers a mass delete: deleting, or giving new values to, more than a tenth of
the live secrets (and more than one) needs the exact number confirmed. A saved
plan with -plan-digest is a confirmation too. Nothing overrides protect.

An apply that was interrupted is no special case: run it again.`,
		UsageText: `coffer apply
coffer apply -auto-approve -target app.checkout
coffer plan -out release.plan && coffer apply release.plan
coffer apply release.plan -plan-digest sha256:… -format junit=apply.xml`,
		Flags: append(append(append(opts.savedFlags(), opts.format.flag(formatText, formatJSON, formatMarkdown, formatGitHub, formatJUnit)), append(inv.pinned.flags(), opts.approval.flags()...)...), opts.selection.flags()...),
		Action: func(c *cli.Context) error {
			if err := inv.arguments(c, 0, 1); err != nil {
				return err
			}
			opts.planFile = c.Args().First()
			opts.collect(c)
			if err := opts.format.collect(c, inv); err != nil {
				return err
			}
			return opts.format.orError(c.Context, inv, opts.run(c.Context, inv))
		},
	}
}

// run applies and shows how that ended in the formats.
func (o *applyOptions) run(ctx context.Context, inv *invocation) error {
	switch {
	case o.format.stdout == formatMarkdown || o.format.stdout == formatJUnit:
		return usagef("coffer apply shows its plan on stdout: write -format %s=FILE", o.format.stdout)
	case o.format.stdout == "" && len(o.format.files) == 0:
		return runApply(ctx, inv, *o)
	}
	var done *result
	o.told = func(sum render.ApplySummary) { done = inv.applyResult(sum) }
	err := runApply(ctx, inv, *o)
	if done != nil {
		if showErr := o.format.show(done); showErr != nil {
			inv.say("coffer: %v", showErr)
		}
	}
	return err
}

// savedFlags are those about a saved plan.
func (o *applyOptions) savedFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{
			Name: "plan-digest", Usage: "refuse PLANFILE unless its digest is `DIGEST`", Destination: &o.planDigest,
			Action: func(_ *cli.Context, digest string) error {
				if digest == "" { // a variable that is not set would take the check away
					return usagef("-plan-digest is empty; it is the digest that the plan shows, sha256:…")
				}
				return nil
			},
		},
		&cli.StringFlag{
			Name: "on-conflict", Usage: "when a change no longer fits: `WHAT` is stop (nothing is written) or skip (it alone)",
			Value: "stop", Destination: &o.onConflict,
		},
	}
}

func runApply(ctx context.Context, inv *invocation, opts applyOptions) (err error) {
	diff, err := opts.check()
	if err != nil {
		return err
	}
	if opts.planFile == "" {
		if err := inv.mayAsk(opts.approval); err != nil {
			return err
		}
	}
	w, err := inv.openWorkspace(ctx, "apply")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.close()) }()
	if err := opts.format.mayHold(w); err != nil {
		return err
	}
	if opts.planFile != "" {
		return w.applySaved(ctx, opts)
	}
	if err := w.knows(diff); err != nil {
		return err
	}
	plan, err := w.plan(ctx, true, diff)
	if err != nil {
		return err
	}
	job := job{plan: plan, approval: opts.approval, skipConflicts: opts.onConflict == "skip", told: opts.told}
	return w.carryOut(ctx, job)
}

// check refuses flags that contradict each other.
func (o *applyOptions) check() (planner.DiffOptions, error) {
	diff, err := o.options()
	switch {
	case err != nil:
	case o.onConflict != "stop" && o.onConflict != "skip":
		err = usagef("-on-conflict is stop or skip, not %q", o.onConflict)
	case o.planDigest != "" && o.planFile == "":
		err = usagef("-plan-digest is about a saved plan: coffer apply PLANFILE -plan-digest %s", o.planDigest)
	case o.planFile != "" && (len(o.targets) > 0 || len(o.excludes) > 0 || o.rotations != string(planner.RotationsDue)):
		err = usagef("a saved plan is applied as it is: give -target, -exclude and -rotations to coffer plan")
	}
	return diff, err
}

func (w *workspace) applySaved(ctx context.Context, opts applyOptions) error {
	plan, err := readPlan(w.inv.path(opts.planFile))
	if err != nil {
		return err
	}
	if opts.planDigest != "" && strings.TrimPrefix(plan.Digest(), digestPrefix) != strings.TrimPrefix(opts.planDigest, digestPrefix) {
		return fmt.Errorf("%s is not the plan that was reviewed: its digest is %s", opts.planFile, plan.Digest())
	}
	if err := w.judgeSaved(plan); err != nil {
		return err
	}
	if w.newer > 0 {
		if err := w.check([]planner.Diagnostic{w.older()}); err != nil {
			return err
		}
	}
	if doable(plan) > 0 {
		if err := w.check(planner.LeaseWarnings(ctx, plan, w.stores, w.inv.Now())); err != nil {
			return err
		}
	}
	return w.carryOut(ctx, job{
		plan: plan, approval: opts.approval, saved: true,
		confirmed: opts.planDigest != "", skipConflicts: opts.onConflict == "skip", told: opts.told,
	})
}
