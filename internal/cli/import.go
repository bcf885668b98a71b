package cli

import (
	"context"
	"errors"

	"github.com/urfave/cli/v2"

	"github.com/cofferhq/coffer/lang"
	"github.com/cofferhq/coffer/lang/addr"
	"github.com/cofferhq/coffer/planner"
)

type importOptions struct {
	approval
	to       string
	id       string
	takeOver bool
}

func importCommand(inv *invocation) *cli.Command {
	var opts importOptions
	return &cli.Command{
		Name:      "import",
		Usage:     "adopt one existing secret, policy, role or mount",
		ArgsUsage: "ADDRESS[@STORE] ID",
		Description: `Our mark is written; the value is neither read nor written. The block of ADDRESS
must exist, and ID is where the secret is, after the provider's prefix: the
place that the block says. What carries the mark of another project, or of
another secret that is declared, needs -take-over.

Of a policy, a role or a mount ID is the name that the platform has for it. A
role or mount gets the arguments of its block; others stay as they are.`,
		UsageText: `coffer import 'app.shop.secret.stripe["prod"]' prod/shop/stripe
coffer import role.approle.web approle:approle/web`,
		Flags: append([]cli.Flag{
			&cli.BoolFlag{
				Name: "take-over", Usage: "adopt it from the other project or secret that it is marked for", Destination: &opts.takeOver,
			},
		}, opts.approval.flags()...),
		Action: func(c *cli.Context) error {
			if err := inv.arguments(c, 2, 2); err != nil {
				return err
			}
			opts.to, opts.id = c.Args().Get(0), c.Args().Get(1)
			return runImport(c.Context, inv, opts)
		},
	}
}

func runImport(ctx context.Context, inv *invocation, opts importOptions) (err error) {
	to, err := addr.Parse(opts.to)
	if err != nil {
		return usageError{err}
	}
	if err := inv.mayAsk(opts.approval); err != nil {
		return err
	}
	w, err := inv.open(ctx, opening{operation: "import", edit: func(cfg *lang.Config) {
		cfg.Imports = append(cfg.Imports, &lang.Import{To: to.Primary(), ID: opts.id, Store: to.Store})
	}})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.close()) }()
	targets := []addr.Address{to}
	if err := w.known(targets); err != nil {
		return err
	}
	plan, err := w.plan(ctx, true, planner.DiffOptions{
		Targets: targets, Rotations: planner.RotationsNone, TakeOver: opts.takeOver,
	})
	if err != nil {
		return err
	}
	return w.carryOut(ctx, job{plan: plan, approval: opts.approval})
}
