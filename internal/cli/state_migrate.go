package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/urfave/cli/v2"

	"github.com/cofferhq/coffer/lang"
	"github.com/cofferhq/coffer/providers"
	"github.com/cofferhq/coffer/state"
	"github.com/cofferhq/coffer/state/remote"
)

type migration struct {
	approval
	from string
}

func stateMigrateCommand(inv *invocation) *cli.Command {
	var opts migration
	return &cli.Command{
		Name:  "migrate",
		Usage: "bring the state to where the configuration says now",
		Description: `Write the new backend block first, then say where the state was: "local" for
the default file, a state file, or a folder with the configuration as it was
before (git worktree add ../before HEAD). Both are locked; what is written is
read back and compared; the old one is kept, and marked so that no run uses it
any more.`,
		UsageText: `coffer state migrate -from local
coffer state migrate -from ../before -auto-approve`,
		Flags: append([]cli.Flag{
			&cli.StringFlag{Name: "from", Usage: "`PLACE` of the state until now: local, a file, or a folder of configuration", Destination: &opts.from},
		}, opts.flags()[:1]...),
		Action: func(c *cli.Context) error {
			if err := inv.noArguments(c); err != nil {
				return err
			}
			if opts.from == "" {
				return usagef("say where the state is now: coffer state migrate -from local")
			}
			return runStateMigrate(c.Context, inv, opts)
		},
	}
}

func runStateMigrate(ctx context.Context, inv *invocation, opts migration) (err error) {
	if err := inv.mayAsk(opts.approval); err != nil {
		return err
	}
	to, err := inv.migrating(ctx, inv.dir())
	if err != nil {
		return err
	}
	from, err := inv.migratingFrom(ctx, opts.from, to)
	if err != nil {
		return err
	}
	defer func() { inv.opened = append(append(inv.opened, to.inv.opened...), from.inv.opened...) }() // to be closed
	if from.backend.Path() == to.backend.Path() {
		return fmt.Errorf("the state is at %s already; write the new backend block first", to.backend.Path())
	}
	if err := inv.proveBackend(ctx, to.backend); err != nil {
		return err
	}
	old, err := inv.lock(ctx, from.backend, "state migrate")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, old.Unlock(context.WithoutCancel(ctx))) }()
	next, err := inv.lock(ctx, to.backend, "state migrate")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, next.Unlock(context.WithoutCancel(ctx))) }()
	s, err := inv.migrate(ctx, opts, old, next, from, to)
	if err != nil {
		return err
	}
	inv.noteSeen(to.seenFile().raise(s.Serial))
	if inv.json {
		return inv.printJSON(struct {
			FormatVersion int    `json:"format_version"`
			From          string `json:"from"`
			To            string `json:"to"`
			Serial        uint64 `json:"serial"`
			Entries       int    `json:"entries"`
		}{1, from.backend.Path(), to.backend.Path(), s.Serial, len(s.Entries)})
	}
	inv.say("The state is at %s now: serial %d, %s, read back and compared.\n%s is kept as it was, marked as moved. Commit the new backend block.",
		to.backend.Path(), s.Serial, entries(len(s.Entries)), from.backend.Path())
	return nil
}

// migrate brings the state along under both locks, and returns what is at the
// new place.
func (inv *invocation) migrate(ctx context.Context, opts migration, old, next state.Session, from, to *workspace) (*state.Snapshot, error) {
	s, err := inv.toMigrate(ctx, old, from, to)
	if err != nil {
		return nil, err
	}
	there, err := vacant(ctx, next, s, to.backend.Path())
	if err != nil {
		return nil, err
	}
	if !opts.auto {
		question := fmt.Sprintf("Bring the state of %s, serial %d, from %s to %s?", entries(len(s.Entries)), s.Serial, from.backend.Path(), to.backend.Path())
		if there != nil {
			question = fmt.Sprintf("%s has it already, from a migration that was interrupted. Mark %s as moved?", to.backend.Path(), from.backend.Path())
		}
		if err := inv.approve(ctx, question); err != nil {
			return nil, err
		}
	}
	if there == nil {
		if there, err = bring(ctx, next, s, to.backend); err != nil {
			return nil, err
		}
	}
	return there, leave(ctx, old, s, to.backend)
}

// migrating opens the state of a configuration for a migration, which takes
// one that was moved away.
func (inv *invocation) migrating(ctx context.Context, dir string) (*workspace, error) {
	there := *inv
	there.chdir, there.state, there.moved = dir, "", true
	return there.openStateless(ctx, providers.PhaseApply)
}

// migratingFrom opens what -from names.
func (inv *invocation) migratingFrom(ctx context.Context, from string, to *workspace) (*workspace, error) {
	path := inv.path(from)
	if from == "local" {
		path = inv.path(lang.DefaultStatePath)
	}
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("there is no state at %s; -from takes local, a state file, or a folder of configuration", path)
	}
	if info.IsDir() {
		return inv.migrating(ctx, path)
	}
	w := *to
	w.backend = state.OpenFile(path, state.FileOptions{Project: to.cfg.Settings.Project, At: inv.Seams.At, Moved: true})
	return &w, nil
}

// toMigrate returns the state to bring along.
func (inv *invocation) toMigrate(ctx context.Context, old state.Session, from, to *workspace) (*state.Snapshot, error) {
	s, err := old.Load(ctx)
	switch {
	case errors.Is(err, state.ErrNotExist):
		return nil, fmt.Errorf("there is no state at %s", from.backend.Path())
	case err != nil:
		return nil, err
	case s.MovedTo != "":
		return nil, &state.MovedError{Path: from.backend.Path(), To: s.MovedTo, Serial: s.Serial}
	}
	if err := s.CheckProject(to.cfg.Settings.Project); err != nil {
		return nil, err
	}
	seen, err := from.seenFile().highest()
	inv.noteSeen(err)
	if seen > s.Serial {
		return nil, fmt.Errorf("%s: put the newest version of %s back (coffer state history), or run coffer apply with the backend of before, then migrate",
			olderText(seen), from.backend.Path())
	}
	if n := len(s.Pending()); n > 0 {
		return nil, fmt.Errorf("an apply was interrupted and left %s open: run coffer apply with the backend of before, then migrate", entries(n))
	}
	return s, nil
}

// vacant makes sure that nothing is lost at the new place: it is empty, or was
// itself migrated away from once. It returns what is there where that is what a
// migration wrote that was interrupted before it marked the old place.
func vacant(ctx context.Context, next state.Session, s *state.Snapshot, place string) (*state.Snapshot, error) {
	there, err := next.Load(ctx)
	switch {
	case errors.Is(err, state.ErrNotExist):
		return nil, nil
	case err != nil:
		return nil, err
	case there.MovedTo == "" && brought(s, there):
		return there, nil
	case there.MovedTo == "":
		return nil, fmt.Errorf("there is a state at %s already, serial %d with %s: choose another key, or remove it there if nobody needs it", place, there.Serial, entries(len(there.Entries)))
	case there.Lineage != s.Lineage:
		return nil, &state.LineageError{Got: s.Lineage, Want: there.Lineage}
	}
	s.Serial = max(s.Serial, there.Serial)
	return nil, nil
}

// brought reports whether there is s, as a migration saves it.
func brought(s, there *state.Snapshot) bool {
	if there.Serial < s.Serial || there.Serial > s.Serial+1 {
		return false
	}
	was := s.Clone()
	was.Serial = there.Serial
	want, err := state.Encode(was)
	if err != nil {
		return false
	}
	got, err := state.Encode(there)
	return err == nil && bytes.Equal(got, want)
}

// bring writes s at the new place, reads it back, and returns that.
func bring(ctx context.Context, next state.Session, s *state.Snapshot, to stateBackend) (*state.Snapshot, error) {
	copied := s.Clone()
	copied.MovedTo = ""
	if err := next.Save(ctx, copied); err != nil {
		return nil, err
	}
	back, err := next.Load(ctx)
	if err != nil {
		return nil, fmt.Errorf("what was written to %s cannot be read back: %w", to.Path(), err)
	}
	want, err := state.Encode(copied)
	if err != nil {
		return nil, err
	}
	if got, err := state.Encode(back); err != nil || !bytes.Equal(got, want) {
		return nil, errors.Join(fmt.Errorf("what %s gives back is not what was written; the old state is as it was", to.Path()), err)
	}
	return back, nil
}

// leave marks the old state. What a crash before that leaves is two equal
// states, and migrating again goes on from there.
func leave(ctx context.Context, old state.Session, s *state.Snapshot, to stateBackend) error {
	s.MovedTo = to.Path()
	if err := old.Save(ctx, s); err != nil {
		return fmt.Errorf("the state is at %s, and the old one could not be marked: migrate again, so that no run uses it: %w", to.Path(), err)
	}
	return nil
}

// proveBackend tries the conditions of a remote store; a file needs none.
func (inv *invocation) proveBackend(ctx context.Context, b stateBackend) error {
	store, ok := b.(*remote.Store)
	if !ok {
		return nil
	}
	_, err := store.Prove(ctx)
	return err
}
