package cli

import (
	"bytes"
	"context"
	"io"

	"github.com/urfave/cli/v2"

	"github.com/cofferhq/coffer/internal/durable"
	"github.com/cofferhq/coffer/internal/render"
	"github.com/cofferhq/coffer/planner"
	"github.com/cofferhq/coffer/state"
)

func showCommand(inv *invocation) *cli.Command {
	return &cli.Command{
		Name:      "show",
		Usage:     "show a saved plan or the state, for people or as JSON",
		ArgsUsage: "[FILE]",
		UsageText: `coffer show
coffer show release.plan
coffer show release.plan -json
coffer show coffer.state.json.3.backup`,
		Action: func(c *cli.Context) error {
			if err := inv.arguments(c, 0, 1); err != nil {
				return err
			}
			return runShow(c.Context, inv, c.Args().First())
		},
	}
}

func runShow(ctx context.Context, inv *invocation, file string) error {
	if file == "" {
		backend, err := inv.backend(ctx)
		if err != nil {
			return err
		}
		snapshot, err := backend.Read(ctx)
		if err != nil {
			return err
		}
		return inv.showState(snapshot)
	}
	data, _, err := durable.Read(durable.OS(), inv.path(file), maxPlanFile)
	if err != nil {
		return err
	}
	// A state begins with its version, a plan with its digest.
	if snapshot, err := state.Decode(data); err == nil {
		return inv.showState(snapshot)
	} else if bytes.HasPrefix(data, []byte(`{"version"`)) || bytes.HasPrefix(data, []byte("{\n")) {
		return err
	}
	plan, err := planner.DecodePlan(bytes.NewReader(data))
	if err != nil {
		return err
	}
	if err := inv.showPlan(plan); err != nil {
		return err
	}
	inv.say("Digest %s, made %s, may be applied until %s.", plan.Digest(),
		plan.CreatedAt.UTC().Format(minutes), plan.ExpiresAt.UTC().Format(minutes))
	return nil
}

// minutes is how a time is shown to people.
const minutes = "2006-01-02 15:04 MST"

func (inv *invocation) showState(snapshot *state.Snapshot) error {
	if inv.json {
		return inv.document(func(w io.Writer) error { return render.StateJSON(w, snapshot) })
	}
	return render.StateText(inv.Out, snapshot, inv.style(inv.Out))
}
