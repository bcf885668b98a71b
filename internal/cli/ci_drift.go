package cli

import (
	"bytes"
	"context"
	"slices"
	"strconv"

	"github.com/urfave/cli/v2"

	"github.com/cofferhq/coffer/internal/forge"
	"github.com/cofferhq/coffer/internal/render"
	"github.com/cofferhq/coffer/planner"
)

type ciDriftOptions struct{ ciOptions }

func ciDriftCommand(inv *invocation) *cli.Command {
	var opts ciDriftOptions
	return &cli.Command{
		Name:  "drift",
		Usage: "look for changes made outside: files, summary and one issue",
		Description: `For a schedule. One issue has the drift: it is opened, changed when the drift is
another one, and closed when there is none. What could not be told neither opens
nor closes it. Nothing is written to any store, nor to the state.

The outputs of the step are drift, a number, and exitcode, as those of
coffer ci plan.`,
		UsageText: `coffer ci drift
coffer ci drift -issue=false -format junit=drift.xml`,
		Flags: append(append(opts.flags("coffer-drift", "issue", "keep one issue with the drift"), opts.format.flag(reviewFormats()...)), inv.pinned.flags()...),
		Action: func(c *cli.Context) error {
			if err := inv.noArguments(c); err != nil {
				return err
			}
			if err := opts.format.collect(c, inv); err != nil {
				return err
			}
			return runCIDrift(c.Context, inv, &opts)
		},
	}
}

func runCIDrift(ctx context.Context, inv *invocation, opts *ciDriftOptions) error {
	j, err := inv.beginCI("drift", &opts.ciOptions)
	if err != nil {
		return err
	}
	return j.end(ctx, j.drift(ctx))
}

func (j *ciJob) drift(ctx context.Context) error {
	j.chooseFiles()
	release, err := j.trust(ctx)
	if err != nil {
		return err
	}
	defer release()
	w, report, diff, err := j.inv.makeDrift(ctx, &driftOptions{
		selection: selection{rotations: string(planner.RotationsNone)}, format: j.formats, withhold: true,
	})
	if err != nil {
		return j.nameBase(err)
	}
	j.project = w.cfg.Settings.Project
	r := w.driftResult(report, diff)
	if err := j.show(r); err != nil {
		return err
	}
	j.output("drift", strconv.Itoa(len(report.Drift)))
	err = driftOutcome(report)
	j.keepIssue(ctx, r, report, err)
	return err
}

// keepIssue opens, updates or closes the issue. Only what is certain does: a
// report of nothing but what could not be told leaves it alone.
func (j *ciJob) keepIssue(ctx context.Context, r *result, report *planner.DriftReport, err error) {
	certain := slices.ContainsFunc(report.Drift, func(d planner.Drift) bool { return d.Kind != planner.DriftUnknown })
	switch {
	case hasErrors(report.Diagnostics), err != nil && !certain:
		return
	case j.forge == nil:
		if certain && j.mute != "" {
			j.muted("issue")
			j.doc.Issue = &ciPost{What: "muted", Because: j.mute}
		}
		return
	}
	marker := render.Marker(j.project, "drift")
	var done forge.Done
	var failed error
	if certain {
		var body bytes.Buffer
		if failed = r.comment(&body, j.forge.Limit()); failed == nil {
			done, failed = j.forge.OpenIssue(ctx, marker, "Coffer: somebody changed what "+render.Sanitize(j.project)+" manages", body.String())
		}
	} else {
		done, failed = j.forge.CloseIssue(ctx, marker, "No drift any more: the stores show what the state recorded.")
	}
	j.doc.Issue = j.posted("Issue with the drift", done, failed)
}
