package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/urfave/cli/v2"

	"github.com/cofferhq/coffer/internal/durable"
	"github.com/cofferhq/coffer/internal/render"
	"github.com/cofferhq/coffer/lang"
)

// maxConfigFile is the largest file that the language reads (docs/language.md).
const maxConfigFile = 1 << 20

type fmtOptions struct {
	check bool
	diff  bool
	paths []string
}

func fmtCommand(inv *invocation) *cli.Command {
	var opts fmtOptions
	return &cli.Command{
		Name:      "fmt",
		Usage:     "rewrite configuration files in their canonical form",
		ArgsUsage: "[PATH…]",
		Description: `Without a path every *.hcl file of the configuration is formatted. A path is a
file or a folder. The names of the files that changed are printed.
-diff writes them too; -check -diff only shows.`,
		UsageText: `coffer fmt
coffer fmt -check -diff
coffer fmt app.hcl`,
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "check", Usage: "write nothing; exit 1 if a file is not formatted", Destination: &opts.check},
			&cli.BoolFlag{Name: "diff", Usage: "show what changes, as a patch; without -check the files are written all the same", Destination: &opts.diff},
		},
		Action: func(c *cli.Context) error {
			opts.paths = c.Args().Slice()
			return runFmt(c.Context, inv, opts)
		},
	}
}

func runFmt(ctx context.Context, inv *invocation, opts fmtOptions) error {
	files, err := inv.configFiles(opts.paths)
	if err != nil {
		return err
	}
	changed := []string{}
	for _, file := range files {
		if err := ctx.Err(); err != nil {
			return err
		}
		before, info, err := durable.Read(durable.OS(), file, maxConfigFile)
		if err != nil {
			return err
		}
		after := lang.Format(before)
		if bytes.Equal(before, after) {
			continue
		}
		changed = append(changed, file)
		if opts.diff && !inv.json {
			err = render.Patch(inv.Out, file, string(before), string(after))
		} else if !inv.json {
			_, err = fmt.Fprintln(inv.Out, render.Sanitize(file))
		}
		if err == nil && !opts.check {
			err = durable.Replace(durable.OS(), file, after, info.Mode().Perm(), nil)
		}
		if err != nil {
			return err
		}
	}
	if inv.json {
		err = inv.printJSON(struct {
			FormatVersion int      `json:"format_version"`
			Written       bool     `json:"written"`
			Changed       []string `json:"changed"` // or would be
		}{1, !opts.check, changed})
	}
	return errors.Join(err, failed(opts.check && len(changed) > 0))
}

// configFiles returns the *.hcl files that paths name, each a file or a folder.
func (inv *invocation) configFiles(paths []string) ([]string, error) {
	if len(paths) == 0 {
		paths = []string{"."}
	}
	var files []string
	for _, p := range paths {
		p = inv.path(p)
		info, err := os.Stat(p)
		if err != nil {
			return nil, err
		}
		if !info.IsDir() {
			files = append(files, p)
			continue
		}
		entries, err := os.ReadDir(p)
		if err != nil {
			return nil, err
		}
		for _, e := range entries {
			if filepath.Ext(e.Name()) == ".hcl" && e.Type().IsRegular() {
				files = append(files, filepath.Join(p, e.Name()))
			}
		}
	}
	slices.Sort(files)
	return slices.Compact(files), nil
}
