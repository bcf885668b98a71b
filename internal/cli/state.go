package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/urfave/cli/v2"

	"github.com/cofferhq/coffer/internal/render"
	"github.com/cofferhq/coffer/lang/addr"
	"github.com/cofferhq/coffer/providers"
	"github.com/cofferhq/coffer/state"
)

func stateCommand(inv *invocation) *cli.Command {
	return &cli.Command{
		Name:  "state",
		Usage: "look at the state, and operate on it",
		Description: `What changes the state does so under its lock and leaves the old one beside it
as a backup. No secret is touched by any of these commands.`,
		UsageText: `coffer state list
coffer state mv app.shop app.checkout`,
		Subcommands: []*cli.Command{
			stateListCommand(inv),
			stateShowCommand(inv),
			stateMvCommand(inv),
			stateRmCommand(inv),
			stateRebuildCommand(inv),
			stateRepinCommand(inv),
			stateUnlockCommand(inv),
			stateMigrateCommand(inv),
			stateHistoryCommand(inv),
			statePullCommand(inv),
			statePushCommand(inv),
		},
	}
}

func stateListCommand(inv *invocation) *cli.Command {
	return &cli.Command{
		Name:      "list",
		Usage:     "print the address of everything in the state",
		ArgsUsage: "[ADDRESS…]",
		UsageText: `coffer state list
coffer state list app.checkout`,
		Action: func(c *cli.Context) error { return runStateList(c.Context, inv, c.Args().Slice()) },
	}
}

func runStateList(ctx context.Context, inv *invocation, args []string) error {
	entries, err := inv.entries(ctx, args)
	if err != nil {
		return err
	}
	if inv.json {
		return inv.document(func(w io.Writer) error { return render.EntriesJSON(w, entries) })
	}
	return render.StateListText(inv.Out, entries, inv.style(inv.Out))
}

// entries returns what the state has below the given addresses, in order; all
// of it without one. An address that has nothing is an error.
func (inv *invocation) entries(ctx context.Context, args []string) ([]*state.Entry, error) {
	backend, err := inv.backend(ctx)
	if err != nil {
		return nil, err
	}
	snapshot, err := backend.Read(ctx)
	if err != nil {
		return nil, err
	}
	return selectEntries(snapshot, args)
}

// selectEntries returns what s has below the given addresses, in order; all of
// it without one.
func selectEntries(s *state.Snapshot, args []string) ([]*state.Entry, error) {
	wanted, err := addresses(args)
	if err != nil {
		return nil, err
	}
	all := s.Sorted()
	for _, a := range wanted {
		if !slices.ContainsFunc(all, func(e *state.Entry) bool { return a.Contains(e.Address) }) {
			return nil, fmt.Errorf("nothing in the state has the address %s; coffer state list shows what there is", a)
		}
	}
	return slices.DeleteFunc(all, func(e *state.Entry) bool {
		return len(wanted) > 0 && !slices.ContainsFunc(wanted, func(a addr.Address) bool { return a.Contains(e.Address) })
	}), nil
}

func stateShowCommand(inv *invocation) *cli.Command {
	var serial uint64
	return &cli.Command{
		Name:      "show",
		Usage:     "print all that the state knows of something, or knew",
		ArgsUsage: "ADDRESS…",
		Description: `With -serial it is an older content of the state, see coffer state history; all
of it where no address is given.`,
		UsageText: `coffer state show 'app.checkout.secret.db["production"]'
coffer state show app.checkout -json
coffer state show -serial 41`,
		Flags: []cli.Flag{
			&cli.Uint64Flag{Name: "serial", Usage: "show the state as it was at serial `N`", Destination: &serial},
		},
		Action: func(c *cli.Context) error {
			least := 1
			if c.IsSet("serial") {
				least = 0
			}
			if err := inv.arguments(c, least, -1); err != nil {
				return err
			}
			if c.IsSet("serial") {
				return runStateShowAt(c.Context, inv, serial, c.Args().Slice())
			}
			return runStateShow(c.Context, inv, c.Args().Slice())
		},
	}
}

func runStateShowAt(ctx context.Context, inv *invocation, serial uint64, args []string) error {
	backend, err := inv.backend(ctx)
	if err != nil {
		return err
	}
	s, err := backend.At(ctx, serial)
	if err != nil {
		return err
	}
	entries, err := selectEntries(s, args)
	if err != nil {
		return err
	}
	return inv.showEntries(entries)
}

func runStateShow(ctx context.Context, inv *invocation, args []string) error {
	entries, err := inv.entries(ctx, args)
	if err != nil {
		return err
	}
	return inv.showEntries(entries)
}

func (inv *invocation) showEntries(entries []*state.Entry) error {
	if inv.json {
		return inv.document(func(w io.Writer) error { return render.EntriesJSON(w, entries) })
	}
	for i, e := range entries {
		if i > 0 {
			_, _ = io.WriteString(inv.Out, "\n")
		}
		if err := render.EntryText(inv.Out, e, inv.style(inv.Out)); err != nil {
			return err
		}
	}
	return nil
}

func stateMvCommand(inv *invocation) *cli.Command {
	return &cli.Command{
		Name:      "mv",
		Usage:     "give something in the state another address",
		ArgsUsage: "FROM TO",
		Description: `Everything below FROM goes below TO. Nothing moves in a store: where the new
address has another default path, the next plan relocates the value. A moved
block in the configuration does the same in review.`,
		UsageText: `coffer state mv app.shop app.checkout
coffer state mv app.shop.secret.db app.shop.secret.database`,
		Action: func(c *cli.Context) error {
			if err := inv.arguments(c, 2, 2); err != nil {
				return err
			}
			return runStateMv(c.Context, inv, c.Args().Slice())
		},
	}
}

func runStateMv(ctx context.Context, inv *invocation, args []string) error {
	both, err := addresses(args)
	if err != nil {
		return err
	}
	return inv.edit(ctx, "state mv", func(s *state.Snapshot) ([]*state.Entry, error) { return s.Move(both[0], both[1]) })
}

func stateRmCommand(inv *invocation) *cli.Command {
	return &cli.Command{
		Name:      "rm",
		Usage:     "forget something; its secrets stay where they are",
		ArgsUsage: "ADDRESS…",
		Description: `What is still in the configuration is adopted again by the next apply. To forget
it for good use a removed block with lifecycle { destroy = false }.`,
		UsageText: `coffer state rm 'app.checkout.secret.db["production"]'`,
		Action: func(c *cli.Context) error {
			if err := inv.arguments(c, 1, -1); err != nil {
				return err
			}
			return runStateRm(c.Context, inv, c.Args().Slice())
		},
	}
}

func runStateRm(ctx context.Context, inv *invocation, args []string) error {
	targets, err := addresses(args)
	if err != nil {
		return err
	}
	return inv.edit(ctx, "state rm", func(s *state.Snapshot) ([]*state.Entry, error) {
		var all []*state.Entry
		for _, a := range targets {
			removed, err := s.Remove(a)
			if err != nil {
				return nil, err
			}
			all = append(all, removed...)
		}
		return all, nil
	})
}

// edit changes the state and prints the addresses of what was changed.
func (inv *invocation) edit(ctx context.Context, operation string, change func(*state.Snapshot) ([]*state.Entry, error)) error {
	backend, err := inv.backendFor(ctx, providers.PhaseApply)
	if err != nil {
		return err
	}
	var changed []*state.Entry
	err = state.Edit(ctx, backend, inv.lockInfo(operation), func(s *state.Snapshot) (err error) {
		changed, err = change(s)
		return err
	})
	if err != nil {
		return err
	}
	if inv.json {
		return inv.document(func(w io.Writer) error { return render.EntriesJSON(w, changed) })
	}
	return render.StateListText(inv.Out, changed, inv.style(inv.Out))
}

func stateUnlockCommand(inv *invocation) *cli.Command {
	return &cli.Command{
		Name:      "unlock",
		Usage:     "take the lock away from whoever holds it",
		ArgsUsage: "LOCK",
		Description: `Only for a lock whose holder cannot be stopped: the lock of a process that died
went with it. LOCK is the id that the error about the lock shows. The holder
notices before its next write; the next apply finishes what it had begun.`,
		UsageText: `coffer state unlock 4711-18a2f3c4d5e6f708`,
		Action: func(c *cli.Context) error {
			if err := inv.arguments(c, 1, 1); err != nil {
				return err
			}
			return runStateUnlock(c.Context, inv, c.Args().First())
		},
	}
}

func runStateUnlock(ctx context.Context, inv *invocation, id string) error {
	backend, err := inv.backendFor(ctx, providers.PhaseApply)
	if err != nil {
		return err
	}
	holder, err := backend.BreakLock(ctx, id, inv.lockInfo("state unlock"))
	if err != nil {
		return err
	}
	if inv.json {
		return inv.printJSON(struct {
			FormatVersion int            `json:"format_version"`
			Broken        state.LockInfo `json:"broken"`
		}{1, holder})
	}
	inv.say("The lock of %s (%s, process %d) is broken. Run coffer apply to finish what it had begun.",
		holder.Who, holder.Operation, holder.PID)
	return nil
}

func statePullCommand(inv *invocation) *cli.Command {
	return &cli.Command{
		Name:      "pull",
		Usage:     "print the state file, the journal of a crash replayed",
		UsageText: `coffer state pull > state.json`,
		Action: func(c *cli.Context) error {
			if err := inv.noArguments(c); err != nil {
				return err
			}
			return runStatePull(c.Context, inv)
		},
	}
}

func runStatePull(ctx context.Context, inv *invocation) error {
	backend, err := inv.backend(ctx)
	if err != nil {
		return err
	}
	data, err := state.Pull(ctx, backend)
	if err != nil {
		return err
	}
	return inv.document(func(w io.Writer) error { // the state file is JSON itself
		_, err := w.Write(data)
		return err
	})
}

func statePushCommand(inv *invocation) *cli.Command {
	return &cli.Command{
		Name:      "push",
		Usage:     "replace the state by FILE, or by stdin for -",
		ArgsUsage: "FILE",
		Description: `Another project or lineage, a serial older than that of the state, and intents
that an interrupted apply left open are refused.`,
		UsageText: `coffer state push state.json
coffer state push - < state.json`,
		Action: func(c *cli.Context) error {
			if err := inv.arguments(c, 1, 1); err != nil {
				return err
			}
			return runStatePush(c.Context, inv, c.Args().First())
		},
	}
}

func runStatePush(ctx context.Context, inv *invocation, file string) (err error) {
	w, err := inv.openStateless(ctx, providers.PhaseApply)
	if err != nil {
		return err
	}
	data, err := inv.readInput(ctx, file)
	if err != nil {
		return err
	}
	session, err := w.knowing().Lock(ctx, inv.lockInfo("state push"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, session.Unlock(context.WithoutCancel(ctx))) }()
	saved, err := state.Push(ctx, session, w.cfg.Settings.Project, data)
	if err != nil {
		return err
	}
	return inv.showState(saved)
}
