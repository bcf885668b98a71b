package cli

import (
	"context"
	"fmt"
	"io"

	"github.com/urfave/cli/v2"

	"github.com/cofferhq/coffer/internal/render"
)

func validateCommand(inv *invocation) *cli.Command {
	return &cli.Command{
		Name:  "validate",
		Usage: "check the configuration without any provider, state or network",
		UsageText: `coffer validate
coffer -chdir prod validate -json`,
		Action: func(c *cli.Context) error {
			if err := inv.noArguments(c); err != nil {
				return err
			}
			return runValidate(c.Context, inv)
		},
	}
}

func runValidate(_ context.Context, inv *invocation) error {
	cfg, _, err := inv.loadConfig()
	if err != nil {
		return err
	}
	if inv.json {
		return inv.document(func(w io.Writer) error { return render.DiagnosticsJSON(w, inv.warnings) })
	}
	fmt.Fprintf(inv.Out, "The configuration is valid: %s in %s.\n",
		count(len(cfg.Secrets), "secret"), count(len(cfg.Environments), "environment"))
	return nil
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
