package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/urfave/cli/v2"

	"github.com/cofferhq/coffer/internal/render"
	"github.com/cofferhq/coffer/planner"
	"github.com/cofferhq/coffer/state"
)

func stateRepinCommand(inv *invocation) *cli.Command {
	var opts approval
	return &cli.Command{
		Name:      "repin",
		Usage:     "accept that a provider is another instance than before",
		ArgsUsage: "PROVIDER",
		Description: `For a folder, cluster or account that was moved on purpose. It shows what of
ours the new instance holds, asks, and changes the state alone.`,
		UsageText: `coffer state repin sops`,
		Flags:     opts.flags()[:1],
		Action: func(c *cli.Context) error {
			if err := inv.arguments(c, 1, 1); err != nil {
				return err
			}
			return runStateRepin(c.Context, inv, opts, c.Args().First())
		},
	}
}

func runStateRepin(ctx context.Context, inv *invocation, opts approval, ref string) (err error) {
	w, list, err := inv.openUnconnected(ctx, opening{operation: "state repin"})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.close()) }()
	w.stores, _ = planner.Connect(ctx, list, w.snapshot) // the difference is why we are here
	w.lookForNewer(ctx)
	if w.newer > 0 {
		if err := w.check([]planner.Diagnostic{w.older()}); err != nil {
			return err
		}
	}
	store := w.stores[ref]
	switch {
	case store == nil:
		return fmt.Errorf("the configuration has no provider %q; it has %v", ref, w.stores.Refs())
	case store.Err != nil:
		return store.Err
	}
	if err := inv.mayAsk(opts); err != nil {
		return err
	}
	moved, err := planner.Repin(w.snapshot, store)
	if err != nil {
		return err
	}
	found, err := countThere(ctx, store, moved)
	if err != nil {
		return err
	}
	out := render.NewWriter(inv.Err, render.Style{})
	if store.Incarnation != "" {
		fmt.Fprintf(out, "What it keeps secrets in is %q now.\n", store.Incarnation)
	}
	fmt.Fprintf(out, "Provider %s is %q now. Of the %s that the state has there, it holds %d.\n",
		ref, store.Identity, entries(len(moved)), found)
	if !opts.auto {
		if err := inv.approve(ctx, "Take it for the same store?"); err != nil {
			return err
		}
	}
	if err := w.session.Save(ctx, w.snapshot); err != nil {
		return err
	}
	w.markFresh(ctx)
	return inv.showState(w.snapshot)
}

func entries(n int) string {
	if n == 1 {
		return "1 entry"
	}
	return fmt.Sprintf("%d entries", n)
}

// countThere returns how many of the secrets the store has.
func countThere(ctx context.Context, store *planner.Store, list []*state.Entry) (int, error) {
	var paths []string
	for _, e := range list {
		if e.Role != state.RoleObject {
			paths = append(paths, e.Location.Path)
		}
	}
	slices.Sort(paths)
	found, err := store.Inspect(ctx, paths)
	return len(found), err
}
