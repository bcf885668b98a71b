package cli

import (
	"context"
	"errors"

	"github.com/urfave/cli/v2"

	"github.com/cofferhq/coffer/planner"
)

// Three ways on from a secret that somebody else wrote: accept, restore and
// rotate. Each makes a plan for the named addresses alone, shows it, asks, and
// does it.

type settleOptions struct {
	approval
	operation string
	addresses []string
	word      planner.Settlement // Kind, Version, From
	reason    string
}

func acceptCommand(inv *invocation) *cli.Command {
	opts := settleOptions{operation: "accept", word: planner.Settlement{Kind: planner.SettleAccept}}
	return &cli.Command{
		Name:      "accept",
		Usage:     "make the live version, written by somebody else, ours",
		ArgsUsage: "ADDRESS…",
		Description: `The value is not written, and the rotation clock restarts. Only the version that
the plan shows is accepted, no later one. Where a whole file was encrypted anew
and the fingerprint key is here, the value is read and compared with what was
written: one that is the same keeps its clock. Where nothing is,
nothing is made.

Of a policy, a role or a mount the live text is recorded. Drift is then silent
about it, and the next plan shows what the configuration says as a change.`,
		UsageText: `coffer accept 'app.checkout.secret.db["production"]'
coffer accept app.checkout -auto-approve`,
		Flags:  opts.approval.flags(),
		Action: settleAction(inv, &opts, -1),
	}
}

func restoreCommand(inv *invocation) *cli.Command {
	opts := settleOptions{operation: "restore", word: planner.Settlement{Kind: planner.SettleRestore}}
	return &cli.Command{
		Name:      "restore",
		Usage:     "write the recorded version again, an older one, or a replica's",
		ArgsUsage: "ADDRESS",
		Description: `Needs a store that keeps versions, or -from a replica. It reads the value that
it writes, and that is audited.`,
		UsageText: `coffer restore 'app.checkout.secret.db["production"]'
coffer restore 'app.checkout.secret.db["production"]' -version 4
coffer restore 'app.checkout.secret.db["production"]' -from sops.backup`,
		Flags: append([]cli.Flag{
			&cli.StringFlag{Name: "version", Usage: "restore `VERSION` instead of the recorded one", Destination: &opts.word.Version},
			&cli.StringFlag{Name: "from", Usage: "take the value of the replica on `STORE`", Destination: &opts.word.From},
		}, opts.approval.flags()...),
		Action: settleAction(inv, &opts, 1),
	}
}

func rotateCommand(inv *invocation) *cli.Command {
	opts := settleOptions{operation: "rotate", word: planner.Settlement{Kind: planner.SettleRotate}}
	return &cli.Command{
		Name:      "rotate",
		Usage:     "give secrets a new value now",
		ArgsUsage: "ADDRESS…",
		Description: `Writes what the source gives now: a generator makes a new value. This is the
only way a live generated value is ever replaced by another. What is made from
the secret follows with the next coffer apply.`,
		UsageText: `coffer rotate 'app.checkout.secret.db["production"]' -reason "laptop stolen"
coffer rotate app.checkout -confirm-rotations 12`,
		Flags: append([]cli.Flag{
			&cli.StringFlag{Name: "reason", Usage: "say why, for the audit log: `TEXT`", Destination: &opts.reason},
		}, opts.approval.flags()...),
		Action: settleAction(inv, &opts, -1),
	}
}

func settleAction(inv *invocation, opts *settleOptions, most int) cli.ActionFunc {
	return func(c *cli.Context) error {
		if err := inv.arguments(c, 1, most); err != nil {
			return err
		}
		opts.addresses = c.Args().Slice()
		return runSettle(c.Context, inv, *opts)
	}
}

func runSettle(ctx context.Context, inv *invocation, opts settleOptions) (err error) {
	targets, err := addresses(opts.addresses)
	if err != nil {
		return err
	}
	if err := inv.mayAsk(opts.approval); err != nil {
		return err
	}
	w, err := inv.openWorkspace(ctx, opts.operation)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.close()) }()
	w.reason = opts.reason
	diff := planner.DiffOptions{Targets: targets, Rotations: planner.RotationsNone}
	for _, a := range targets {
		word := opts.word
		word.Address = a
		diff.Settle = append(diff.Settle, word)
	}
	plan, err := w.plan(ctx, true, diff)
	if err != nil {
		return err
	}
	if len(plan.Changes) == 0 && !hasErrors(plan.Diagnostics) {
		if err := w.known(targets); err != nil {
			return err
		}
	}
	return w.carryOut(ctx, job{plan: plan, approval: opts.approval})
}
