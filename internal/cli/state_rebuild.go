package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/urfave/cli/v2"

	"github.com/cofferhq/coffer/planner"
	"github.com/cofferhq/coffer/state"
)

func stateRebuildCommand(inv *invocation) *cli.Command {
	var opts approval
	return &cli.Command{
		Name:  "rebuild",
		Usage: "make a state from the owner marks in the stores",
		Description: `For a state that is lost; where there is one, it is refused. Every secret of the
configuration that carries our mark is adopted as it is; none is read or
written. What the marks do not tell is lost: fingerprints, and when a value was
last rotated (the clocks start now). What is ours and in no block is shown as an
orphan.`,
		UsageText: `coffer state rebuild`,
		Flags:     opts.flags()[:1],
		Action: func(c *cli.Context) error {
			if err := inv.noArguments(c); err != nil {
				return err
			}
			return runStateRebuild(c.Context, inv, opts)
		},
	}
}

func runStateRebuild(ctx context.Context, inv *invocation, opts approval) (err error) {
	if err := inv.mayAsk(opts); err != nil {
		return err
	}
	w, err := inv.openWorkspace(ctx, "state rebuild")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.close()) }()
	if n := len(w.snapshot.Entries); n > 0 {
		return fmt.Errorf("the state is there and has %s, and a rebuilt one would know less: no fingerprints, and all clocks start anew. "+
			"coffer apply adopts what it lacks; to replace it all the same, move %s away first", entries(n), w.backend.Path())
	}
	fresh := state.New(w.snapshot.Project, w.snapshot.Lineage)
	fresh.Serial, fresh.Replayed = w.snapshot.Serial, w.snapshot.Replayed
	w.snapshot = fresh
	plan, err := w.plan(ctx, true, planner.DiffOptions{Rotations: planner.RotationsNone})
	if err != nil {
		return err
	}
	// The rest of the configuration is the next apply's business.
	plan.Changes = slices.DeleteFunc(plan.Changes, func(c planner.Change) bool {
		return c.Action != planner.Adopt && c.Action != planner.Unknown
	})
	return w.carryOut(ctx, job{plan: plan, approval: opts})
}
