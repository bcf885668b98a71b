package state

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/cofferhq/coffer/internal/durable"
	"github.com/cofferhq/coffer/lang/addr"
)

// Edit changes the state under its lock and saves it, which leaves the old one
// as a backup. An error of change saves nothing. It is what the commands for
// surgery run.
func Edit(ctx context.Context, store Store, who LockInfo, change func(*Snapshot) error) (err error) {
	session, err := store.Lock(ctx, who)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, session.Unlock(context.WithoutCancel(ctx))) }()
	s, err := session.Load(ctx)
	if err != nil {
		return err
	}
	if err := change(s); err != nil {
		return err
	}
	return session.Save(ctx, s)
}

// Move gives everything that from contains an address below to instead, and
// returns what it moved. Locations stay. from and to name the same kind of
// thing; a for_each key may come or go. Open intents and addresses that are
// taken are refused.
func (s *Snapshot) Move(from, to addr.Address) ([]*Entry, error) {
	if err := sameShape(from, to); err != nil {
		return nil, err
	}
	moved, err := s.selected(from)
	if err != nil {
		return nil, err
	}
	if err := settled(moved); err != nil {
		return nil, err
	}
	taken := map[addr.Address]bool{}
	for _, e := range s.Entries {
		if !from.Contains(e.Address) {
			taken[e.Address] = true
		}
	}
	renamed := map[string]string{}
	for _, e := range moved {
		a := rebase(e.Address, from, to)
		if taken[a] {
			return nil, fmt.Errorf("%s is in the state already: choose another name, or remove that entry first with \"coffer state rm\"", a)
		}
		renamed[e.Address.String()] = a.String()
	}
	for _, e := range moved {
		e.Address = rebase(e.Address, from, to)
	}
	for _, e := range s.Entries {
		inputs := make(map[string]int, len(e.Inputs))
		for a, generation := range e.Inputs {
			if to, ok := renamed[a]; ok {
				a = to
			}
			inputs[a] = generation
		}
		if len(inputs) > 0 {
			e.Inputs = inputs
		}
	}
	return moved, nil
}

func sameShape(from, to addr.Address) error {
	same := (from.Provider == "") == (to.Provider == "") && (from.App == "") == (to.App == "") && from.Kind == to.Kind &&
		(from.Name == "") == (to.Name == "") && (from.Environment == "") == (to.Environment == "") && from.Store == to.Store
	if !same || from.IsZero() {
		return fmt.Errorf("cannot move %s to %s: both must name the same kind of thing", from, to)
	}
	return nil
}

func rebase(a, from, to addr.Address) addr.Address {
	set := func(part *string, from, to string) {
		if from != "" || to != "" {
			*part = to
		}
	}
	set(&a.Provider, from.Provider, to.Provider)
	set(&a.App, from.App, to.App)
	set(&a.AppKey, from.AppKey, to.AppKey)
	set(&a.Name, from.Name, to.Name)
	set(&a.Key, from.Key, to.Key)
	set(&a.Environment, from.Environment, to.Environment)
	return a
}

// Remove takes everything that a contains out of the state and returns it.
// What the stores hold stays. An entry with an open intent goes too: the owner
// marks still say what is ours.
func (s *Snapshot) Remove(a addr.Address) ([]*Entry, error) {
	removed, err := s.selected(a)
	if err != nil {
		return nil, err
	}
	for _, e := range removed {
		delete(s.Entries, e.Location)
	}
	return removed, nil
}

// selected returns what a contains, in order; nothing is an error.
func (s *Snapshot) selected(a addr.Address) ([]*Entry, error) {
	if a.IsZero() {
		return nil, errors.New("name an address; \"coffer state list\" shows them")
	}
	found := slices.DeleteFunc(s.Sorted(), func(e *Entry) bool { return !a.Contains(e.Address) })
	if len(found) == 0 {
		return nil, fmt.Errorf("nothing in the state has the address %s: \"coffer state list\" shows what there is", a)
	}
	return found, nil
}

func settled(entries []*Entry) error {
	for _, e := range entries {
		if e.Pending != nil {
			return fmt.Errorf("%s has an open intent of an apply that was interrupted: run coffer apply first", e.Address)
		}
	}
	return nil
}

// Repin accepts identity as what is behind the provider reference ref, and
// returns the entries whose location moved with it. Which incarnation it is
// says the next save. The caller has shown what of ours lives there.
func (s *Snapshot) Repin(ref, identity string) ([]*Entry, error) {
	old, known := s.Providers[ref]
	switch {
	case ref == "" || identity == "":
		return nil, errors.New("name the provider and its identity")
	case !known:
		return nil, fmt.Errorf("the state pins no provider %q", ref)
	case old == identity:
		return nil, fmt.Errorf("%q is %s already", ref, identity)
	}
	var moved []*Entry
	for _, e := range s.Sorted() {
		if e.Store == ref && e.Location.Provider == old {
			moved = append(moved, e)
		}
	}
	if err := settled(moved); err != nil {
		return nil, err
	}
	for _, e := range moved {
		l := e.Location
		l.Provider = identity
		if s.Entries[l] != nil {
			return nil, fmt.Errorf("the state has an entry at %s already: remove one of the two first with \"coffer state rm\"", l)
		}
	}
	for _, e := range moved {
		delete(s.Entries, e.Location)
		e.Location.Provider = identity
		s.put(e)
	}
	s.Providers[ref] = identity
	delete(s.Incarnations, ref)
	return moved, nil
}

// Reincarnate accepts incarnation as the container behind the provider
// reference ref, whose identity stays, and returns the entries that lie there.
// "" forgets which it was: the container is gone.
func (s *Snapshot) Reincarnate(ref, incarnation string) ([]*Entry, error) {
	identity, known := s.Providers[ref]
	switch old := s.Incarnations[ref]; {
	case !known:
		return nil, fmt.Errorf("the state pins no provider %q", ref)
	case old == incarnation:
		return nil, fmt.Errorf("%q is %s already", ref, identity)
	}
	there := slices.DeleteFunc(s.Sorted(), func(e *Entry) bool { return e.Location.Provider != identity })
	if err := settled(there); err != nil {
		return nil, err
	}
	if incarnation == "" {
		delete(s.Incarnations, ref)
		return there, nil
	}
	if s.Incarnations == nil {
		s.Incarnations = map[string]string{}
	}
	s.Incarnations[ref] = incarnation
	return there, nil
}

// Pull returns the state as a file, with the journal replayed.
func Pull(ctx context.Context, store Store) ([]byte, error) {
	s, err := store.Read(ctx)
	if err != nil {
		return nil, err
	}
	return Encode(s)
}

// Push replaces the state with data, a file that somebody pulled and edited,
// and returns what was saved. It refuses another project or lineage, a serial
// older than the current one, and intents that are open on either side.
func Push(ctx context.Context, session Session, project string, data []byte) (*Snapshot, error) {
	pushed, err := Decode(data)
	if err != nil {
		return nil, fmt.Errorf("the pushed state: %w", err)
	}
	if err := pushed.CheckProject(project); err != nil {
		return nil, err
	}
	if err := settled(pushed.Pending()); err != nil {
		return nil, fmt.Errorf("the pushed state: %w", err)
	}
	current, err := session.Load(ctx)
	switch {
	case errors.Is(err, ErrNotExist):
		return pushed, session.Save(ctx, pushed)
	case err != nil:
		return nil, err
	case current.Lineage != pushed.Lineage:
		return nil, &LineageError{Got: pushed.Lineage, Want: current.Lineage}
	case pushed.Serial < current.Serial:
		return nil, fmt.Errorf("the pushed state has serial %d and the current one %d: pull again and repeat the edit there", pushed.Serial, current.Serial)
	}
	if err := settled(current.Pending()); err != nil {
		return nil, err
	}
	return pushed, session.Save(ctx, pushed)
}

// BreakLock takes the lock id away from its holder, who may still be running:
// it notices before its next write and stops. What it had begun stays in the
// journal, so that the next apply recovers first. The state is kept as a
// backup. It returns who held the lock.
func (f *File) BreakLock(ctx context.Context, id string, who LockInfo) (LockInfo, error) {
	holder, err := f.o.Locks.Holder(f.lockPath())
	switch {
	case err != nil:
		return LockInfo{}, err
	case holder == nil:
		return LockInfo{}, errors.New("the state is not locked: nothing to break (the lock of a process that died went with it)")
	case holder.ID != id:
		return *holder, fmt.Errorf("lock %q is not the one that is held: %w", id, &LockedError{Holder: *holder})
	}
	if err := f.o.Locks.Break(f.lockPath()); err != nil {
		return *holder, err
	}
	session, err := f.lock(ctx, who)
	if err != nil {
		return *holder, err
	}
	return *holder, errors.Join(f.seal(), session.Unlock(context.WithoutCancel(ctx)))
}

// seal puts the journal into a file of its own, which whoever lost the lock
// has not open, and keeps the state as a backup.
func (f *File) seal() error {
	data, _, err := readIfThere(f.o.FS, f.path)
	if err != nil {
		return err
	}
	if err := f.backup(data); err != nil {
		return err
	}
	journal, _, err := readIfThere(f.o.FS, f.journalPath())
	if err != nil || journal == nil {
		return err
	}
	return durable.Replace(f.o.FS, f.journalPath(), journal, stateMode, nil)
}
