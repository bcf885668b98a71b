package cli

import (
	"context"
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/urfave/cli/v2"
)

// version is what required_version in a coffer block is compared with.
const version = "0.1.0"

func versionCommand(inv *invocation) *cli.Command {
	return &cli.Command{
		Name:  "version",
		Usage: "print the version",
		UsageText: `coffer version
coffer version -json`,
		Action: func(c *cli.Context) error {
			if err := inv.noArguments(c); err != nil {
				return err
			}
			return runVersion(c.Context, inv)
		},
	}
}

func runVersion(_ context.Context, inv *invocation) error {
	v := struct {
		FormatVersion int    `json:"format_version"`
		Version       string `json:"version"`
		Revision      string `json:"revision,omitempty"`
		Go            string `json:"go"`
		Platform      string `json:"platform"`
	}{
		FormatVersion: 1, Version: version, Revision: revision(),
		Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH,
	}
	if inv.json {
		return inv.printJSON(v)
	}
	fmt.Fprintf(inv.Out, "coffer %s\n", v.Version)
	if v.Revision != "" {
		fmt.Fprintf(inv.Out, "revision %s\n", v.Revision)
	}
	fmt.Fprintf(inv.Out, "%s %s\n", v.Go, v.Platform)
	return nil
}

// revision returns the commit the binary was built from, where the Go tool
// recorded one.
func revision() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return ""
	}
	rev, dirty := "", ""
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision":
			rev = s.Value
		case s.Key == "vcs.modified" && s.Value == "true":
			dirty = "+changes"
		}
	}
	if rev == "" {
		return ""
	}
	return rev + dirty
}
