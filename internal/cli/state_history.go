package cli

import (
	"context"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/cofferhq/coffer/internal/render"
	"github.com/cofferhq/coffer/state"
)

func stateHistoryCommand(inv *invocation) *cli.Command {
	limit := 20
	return &cli.Command{
		Name:  "history",
		Usage: "list the older contents of the state that are kept",
		Description: `Of a state in a file these are its backups, of a shared one the versions that
its store keeps, where it is told to keep any. Each is read, so a long list
takes a while. coffer state show -serial N prints one.`,
		UsageText: `coffer state history
coffer state history -limit 100`,
		Flags: []cli.Flag{
			&cli.IntFlag{Name: "limit", Usage: "list at most `N`, the newest first", Value: limit, Destination: &limit},
		},
		Action: func(c *cli.Context) error {
			if err := inv.noArguments(c); err != nil {
				return err
			}
			if limit < 1 {
				return usagef("-limit wants a number from 1, not %d", limit)
			}
			return runStateHistory(c.Context, inv, limit)
		},
	}
}

func runStateHistory(ctx context.Context, inv *invocation, limit int) error {
	backend, err := inv.backend(ctx)
	if err != nil {
		return err
	}
	past, err := backend.History(ctx, limit)
	if err != nil {
		return err
	}
	if inv.json {
		if past == nil {
			past = []state.Past{}
		}
		return inv.printJSON(struct {
			FormatVersion int          `json:"format_version"`
			History       []state.Past `json:"history"`
		}{1, past})
	}
	return historyText(inv.Out, past)
}

func historyText(out io.Writer, past []state.Past) error {
	w := tabwriter.NewWriter(render.NewWriter(out, render.Style{}), 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "SERIAL\tENTRIES\tWRITTEN\tWHERE")
	for _, p := range past {
		if p.Problem != "" {
			problem := strings.Join(strings.Fields(p.Problem), " ")
			fmt.Fprintf(w, "-\t-\t%s\t%s: cannot be read: %s\n", p.Written.UTC().Format(time.RFC3339), p.Where, problem)
			continue
		}
		fmt.Fprintf(w, "%d\t%d\t%s\t%s\n", p.Serial, p.Entries, p.Written.UTC().Format(time.RFC3339), p.Where)
	}
	return w.Flush()
}
