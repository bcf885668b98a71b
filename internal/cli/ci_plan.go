package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/cofferhq/coffer/internal/forge"
	"github.com/cofferhq/coffer/planner"
)

type ciPlanOptions struct {
	ciOptions
	out          string
	detailedExit bool
	bases        cli.StringSlice
}

func ciPlanCommand(inv *invocation) *cli.Command {
	var opts ciPlanOptions
	return &cli.Command{
		Name:  "plan",
		Usage: "plan a pull request: files, summary and one comment",
		Description: `Makes a plan without rotations, supplied values and fingerprints, and saves it
with every format that the place shows. On a pull request, settings, providers
and rules have to be those of its base commit, which git is asked for unless
-pin names a copy: a change of them is told and nothing is planned against it.

One comment of the pull request is kept up to date; where nothing would change,
none is made. A fork's pull request, or a job without a token, has the files and
the summary alone.

The outputs of the step are digest, plan, changes and exitcode; on GitLab
DIR/coffer.env has them as COFFER_DIGEST and so on. exitcode is that of
-detailed-exitcode.`,
		UsageText: `coffer ci plan
coffer ci plan -chdir deploy/production -detailed-exitcode
coffer ci plan -pin ../base -comment=false
coffer ci plan -format markdown=plan.md,junit=plan.xml`,
		Flags: append(append(opts.flags("coffer-plan", "comment", "keep one comment on the pull request"),
			&cli.StringFlag{Name: "out", Usage: "save the plan in `FILE`, instead of coffer.plan in the folder of -dir", Destination: &opts.out},
			&cli.BoolFlag{Name: "detailed-exitcode", Usage: "exit 2 if there are changes", Destination: &opts.detailedExit},
			&cli.StringSliceFlag{
				Name: "base", Usage: "trust the commits of `BRANCH` too, not only those of the repository's own; may be repeated", Destination: &opts.bases,
			},
			opts.format.flag(reviewFormats()...),
		), inv.pinned.flags()...),
		Action: func(c *cli.Context) error {
			if err := inv.noArguments(c); err != nil {
				return err
			}
			if err := opts.format.collect(c, inv); err != nil {
				return err
			}
			return runCIPlan(c.Context, inv, &opts)
		},
	}
}

func runCIPlan(ctx context.Context, inv *invocation, opts *ciPlanOptions) error {
	if opts.out == "" {
		opts.out = filepath.Join(opts.dir, "coffer.plan")
	}
	if strings.ContainsAny(opts.out, "\r\n") {
		return usagef("-out takes a name without a line break")
	}
	j, err := inv.beginCI("plan", &opts.ciOptions)
	if err != nil {
		return err
	}
	j.bases = opts.bases.Value()
	return j.end(ctx, j.plan(ctx, opts))
}

// plan makes, shows, saves and posts the plan.
func (j *ciJob) plan(ctx context.Context, opts *ciPlanOptions) error {
	inv := j.inv
	j.chooseFiles()
	release, err := j.trust(ctx)
	if err != nil {
		return errors.Join(err, j.dropStale(nil, opts.out))
	}
	defer release()
	w, plan, diff, err := inv.makePlan(ctx, &planOptions{
		selection: selection{rotations: string(planner.RotationsNone)}, format: j.formats, out: opts.out, refresh: "true", withhold: true,
	})
	if err != nil {
		return errors.Join(j.nameBase(err), j.dropStale(w, opts.out))
	}
	j.project = w.cfg.Settings.Project
	r := w.planResult(plan, diff, true)
	// Before anything else can fail.
	if err := j.dropStale(w, opts.out); err != nil {
		return err
	}
	if err := j.show(r); err != nil {
		return err
	}
	j.output("changes", strconv.Itoa(len(plan.Changes)))
	if !hasErrors(plan.Diagnostics) {
		if err := inv.savePlan(w.lasting(plan), opts.out); err != nil {
			return err
		}
		j.doc.Files["plan"], j.doc.Digest = inv.path(opts.out), w.lasting(plan).Digest()
		j.output("plan", j.doc.Files["plan"])
		j.output("digest", j.doc.Digest)
	}
	j.comment(ctx, r, len(plan.Changes) > 0 || hasErrors(plan.Diagnostics), j.link())
	if len(plan.Changes) > 0 {
		j.found = ExitChanges
	}
	return planOutcome(plan, opts.detailedExit)
}

// link leads from the comment to the runs of the pull request. It is not the
// address of this one: the comment would be another one in every run.
func (j *ciJob) link() string {
	switch {
	case j.run.Web == "":
		return ""
	case j.run.Kind == forge.GitLab:
		return fmt.Sprintf("\nThe plan file and the page are artifacts of [the pipeline](%s/-/merge_requests/%d/pipelines).\n", j.run.Web, j.run.Change)
	}
	return fmt.Sprintf("\nThe plan file and the page are artifacts of [the run](%s/pull/%d/checks).\n", j.run.Web, j.run.Change)
}

// dropStale removes what an earlier run, or a commit, left where this one saves
// no plan: it would be taken for this one's. w is nil where it is not known what
// may stand there.
func (j *ciJob) dropStale(w *workspace, out string) error {
	if w == nil {
		w = &workspace{inv: j.inv}
	}
	if w.mayHold(out) != nil {
		return nil // it is no plan, and the error says so or is another one
	}
	if err := os.Remove(j.inv.path(out)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

// exampleOfFetch says how a checkout comes to have the base commit.
func exampleOfFetch(place forge.Kind) string {
	switch place {
	case forge.GitHub:
		return "give actions/checkout `fetch-depth: 0`"
	case forge.GitLab:
		return "set the variable GIT_DEPTH to 0"
	}
	return "fetch the whole history"
}
