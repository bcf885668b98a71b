package cli

import (
	"context"
	"fmt"

	"github.com/urfave/cli/v2"
)

func validateCommand(inv *invocation) *cli.Command {
	var opts formats
	return &cli.Command{
		Name:  "validate",
		Usage: "check the configuration without any provider, state or network",
		UsageText: `coffer validate
coffer -chdir prod validate -json
coffer validate -format sarif=coffer.sarif,markdown=coffer.md
coffer validate -pin ../base`,
		Flags: append([]cli.Flag{opts.flag(reviewFormats()...)}, inv.pinned.flags()...),
		Action: func(c *cli.Context) error {
			if err := inv.noArguments(c); err != nil {
				return err
			}
			if err := opts.collect(c, inv); err != nil {
				return err
			}
			return opts.orError(c.Context, inv, runValidate(c.Context, inv, &opts))
		},
	}
}

func runValidate(_ context.Context, inv *invocation, opts *formats) error {
	cfg, blocks, err := inv.loadConfig()
	if err != nil {
		return err
	}
	if err := opts.mayHold(&workspace{inv: inv, cfg: cfg, blocks: blocks.providers}); err != nil {
		return err
	}
	if err := inv.judge(cfg); err != nil {
		return err
	}
	return opts.show(inv.validateResult(cfg))
}

// failed is the outcome of a command that has printed why.
func failed(yes bool) error {
	if yes {
		return outcome(ExitError)
	}
	return nil
}

// count returns "1 secret", "2 secrets".
func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
