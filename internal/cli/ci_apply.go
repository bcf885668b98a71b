package cli

import (
	"context"
	"fmt"
	"io"
	"path/filepath"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/cofferhq/coffer/internal/render"
	"github.com/cofferhq/coffer/planner"
)

type ciApplyOptions struct {
	ciOptions
	apply  applyOptions
	branch string
}

func ciApplyCommand(inv *invocation) *cli.Command {
	var opts ciApplyOptions
	return &cli.Command{
		Name:      "apply",
		Usage:     "do exactly the reviewed plan, and commit the state",
		ArgsUsage: "[PLANFILE]",
		Description: `PLANFILE is coffer-plan/coffer.plan unless another one is named; its digest is
the one that the reviewer saw.

Where the state is a file of the repository, it is committed after the apply and
pushed to the branch, with the files of the stores that the apply changed. So
nothing is done at all where the branch has moved past the checkout, or where
these files have changes of their own. What cannot be pushed to the branch is
pushed to one of its own, so that it is not lost.

The result goes into a comment of the pull request that the commit came with. In
the run of a pull request, settings, providers and rules have to be those of the
branch that it goes to.

The outputs of the step are commit and exitcode, as those of coffer ci plan.`,
		UsageText: `coffer ci apply -plan-digest sha256:…
coffer ci apply release.plan -plan-digest sha256:… -on-conflict skip`,
		Flags: append(append(opts.flags("coffer-apply", "comment", "keep one comment on the pull request"),
			&cli.StringFlag{Name: "branch", Usage: "push the state to branch `NAME`, instead of the one that the run is of", Destination: &opts.branch},
		), append(opts.apply.savedFlags(), inv.pinned.flags()...)...),
		Action: func(c *cli.Context) error {
			if err := inv.arguments(c, 0, 1); err != nil {
				return err
			}
			if opts.apply.planFile = c.Args().First(); opts.apply.planFile == "" {
				opts.apply.planFile = filepath.Join("coffer-plan", "coffer.plan")
			}
			return runCIApply(c.Context, inv, &opts)
		},
	}
}

func runCIApply(ctx context.Context, inv *invocation, opts *ciApplyOptions) error {
	opts.apply.confirmDeletes, opts.apply.confirmRotations = notGiven, notGiven
	opts.apply.rotations = string(planner.RotationsDue) // what a saved plan is applied with
	if opts.apply.planDigest == "" {
		return usagef("coffer ci apply does what was reviewed and nothing else: give the digest that the comment of the plan shows, with -plan-digest")
	}
	if _, err := opts.apply.check(); err != nil {
		return err
	}
	j, err := inv.beginCI("apply", &opts.ciOptions)
	if err != nil {
		return err
	}
	return j.end(ctx, j.apply(ctx, opts))
}

// apply carries the plan out, keeps what that changed in the repository, and says
// on the pull request what became of it.
func (j *ciJob) apply(ctx context.Context, opts *ciApplyOptions) error {
	inv := j.inv
	j.chooseFiles()
	if err := j.trustBranch(ctx); err != nil {
		return err
	}
	release, err := j.trust(ctx)
	if err != nil {
		return err
	}
	defer release()
	inv.command = "ci apply" // the apply itself warns of the configuration
	cfg, blocks, err := inv.loadConfig()
	if err != nil {
		return j.nameBase(err)
	}
	inv.command = j.name
	j.project, j.doc.Digest = cfg.Settings.Project, shownDigest(opts.apply.planDigest)
	k, err := j.keeper(ctx, cfg, blocks, opts.branch)
	if err != nil {
		return err
	}
	var done *render.ApplySummary
	opts.apply.format = j.formats
	opts.apply.told = func(sum render.ApplySummary) { done = &sum }
	err = runApply(ctx, inv, opts.apply)
	ctx, cancel := patiently(ctx) // what was done has to be kept
	defer cancel()
	err = worse(err, k.keep(ctx, j))
	if done == nil {
		return err
	}
	return worse(err, j.showApply(ctx, *done, err))
}

// trustBranch makes the branch that a pull request goes to the one that is
// trusted: once it is merged, that is what was applied for.
func (j *ciJob) trustBranch(ctx context.Context) error {
	if j.run.Change == 0 || j.inv.trusted != "" {
		return nil
	}
	here, err := j.inv.repository(ctx)
	if err == nil {
		j.run.Base, err = here.tip(ctx, j.run.Branch)
	}
	if err == nil && j.run.Base == "" {
		err = fmt.Errorf("origin has no branch %s", j.run.Branch)
	}
	if err != nil {
		return fmt.Errorf("what is trusted could not be told, so nothing was changed: %w; name a copy of the branch that the pull request goes to with -pin DIR", err)
	}
	return nil
}

// showApply shows how it ended: in files, the summary of the job and the pull
// request.
func (j *ciJob) showApply(ctx context.Context, done render.ApplySummary, err error) error {
	r := j.inv.applyResult(done)
	r.comment = func(out io.Writer, limit int) error {
		return render.ApplyMarkdown(out, done, render.MarkdownOptions{Limit: limit, Digest: j.doc.Digest, Undated: true})
	}
	if err := j.show(r); err != nil {
		return err
	}
	var end strings.Builder
	if c := j.doc.Commit; c != nil && c.Pushed {
		fmt.Fprintf(&end, "\nThe state is commit %s.\n", c.ID)
	}
	if isFailure(err) {
		end.WriteString("\n")
		indented(&end, cutLines(err.Error(), maxErrorText))
	}
	something := len(done.Carried)+len(done.Failed)+len(done.Conflicts)+len(done.Skipped) > 0 || isFailure(err)
	j.comment(ctx, r, something, end.String())
	return nil
}

// maxErrorText is how much of an error a comment shows.
const maxErrorText = 8 << 10

// shownDigest is a digest that a person gave, as far as it is one.
func shownDigest(digest string) string {
	hex := strings.TrimPrefix(digest, digestPrefix)
	if len(hex) != 64 || strings.Trim(hex, "0123456789abcdef") != "" {
		return "(not one)"
	}
	return digestPrefix + hex
}

// indented writes text as an indented code block: nothing in it can end it.
func indented(b *strings.Builder, text string) {
	for line := range strings.Lines(text) {
		b.WriteString("    " + render.Sanitize(strings.TrimRight(line, "\n")) + "\n")
	}
}

// cutLines returns as much of a text as fits.
func cutLines(text string, limit int) string {
	if len(text) <= limit {
		return text
	}
	return strings.ToValidUTF8(text[:limit], "") + " …"
}
