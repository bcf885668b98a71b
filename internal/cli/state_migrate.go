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
	s, err := inv.toMigrate(ctx, old, from, to)
	if err != nil {
		return err
	}
	if err := vacant(ctx, next, s, to.backend.Path()); err != nil {
		return err
	}
	if !opts.auto {
		question := fmt.Sprintf("Bring the state of %s, serial %d, from %s to %s?", entries(len(s.Entries)), s.Serial, from.backend.Path(), to.backend.Path())
		if err := inv.approve(ctx, question); err != nil {
			return err
		}
	}
	if err := migrate(ctx, old, next, s, to.backend); err != nil {
		return err
	}
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
	if n := len(s.Pending()); n > 0 {
		return nil, fmt.Errorf("an apply was interrupted and left %s open: run coffer apply with the backend of before, then migrate", entries(n))
	}
	return s, nil
}

// vacant makes sure that nothing is lost at the new place: it is empty, or was
// itself migrated away from once.
func vacant(ctx context.Context, next state.Session, s *state.Snapshot, place string) error {
	there, err := next.Load(ctx)
	switch {
	case errors.Is(err, state.ErrNotExist):
		return nil
	case err != nil:
		return err
	case there.MovedTo == "":
		return fmt.Errorf("there is a state at %s already, serial %d with %s: choose another key, or remove it there if nobody needs it", place, there.Serial, entries(len(there.Entries)))
	case there.Lineage != s.Lineage:
		return &state.LineageError{Got: s.Lineage, Want: there.Lineage}
	}
	s.Serial = max(s.Serial, there.Serial)
	return nil
}

// migrate writes s, reads it back, and marks the old one. What a crash leaves
// in between is two equal states, and migrating again says so.
func migrate(ctx context.Context, old, next state.Session, s *state.Snapshot, to stateBackend) error {
	copied := s.Clone()
	copied.MovedTo = ""
	if err := next.Save(ctx, copied); err != nil {
		return err
	}
	back, err := next.Load(ctx)
	if err != nil {
		return fmt.Errorf("what was written to %s cannot be read back: %w", to.Path(), err)
	}
	want, err := state.Encode(copied)
	if err != nil {
		return err
	}
	if got, err := state.Encode(back); err != nil || !bytes.Equal(got, want) {
		return errors.Join(fmt.Errorf("what %s gives back is not what was written; the old state is as it was", to.Path()), err)
	}
	serial := copied.Serial
	s.MovedTo = to.Path()
	if err := old.Save(ctx, s); err != nil {
		return fmt.Errorf("the state is at %s, and the old one could not be marked: remove it by hand, so that no run uses it: %w", to.Path(), err)
	}
	s.Serial = serial
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
