package remote

import (
	"cmp"
	"context"
	"errors"
	"sync"
	"time"

	"github.com/cofferhq/coffer/state"
)

// session is a locked [Store].
type session struct {
	s   *Store
	who state.LockInfo

	group state.GroupCommit
	ends  func()        // stops the heartbeats, one that is under way after a while
	done  chan struct{} // closed when they have stopped
	grip  Grip          // nil where the store has none

	hold  sync.Mutex // guards what follows
	lease string     // the lock's tag
	lives time.Time  // until when nobody else may take the lock
	lost  bool       // somebody did

	mu      sync.Mutex // guards what follows, and the order of writes
	ended   bool
	base    *loaded        // what was there; nil before the first load
	journal *state.Journal // as it was last written; nil before the first append after a load or save
	pace    time.Duration
}

var _ state.RemoteSession = (*session)(nil)

// ready says why nothing more may be done; mu is held.
func (n *session) ready(ctx context.Context) error {
	switch {
	case n.ended:
		return errors.New("the state is not locked any more")
	case ctx.Err() != nil:
		return ctx.Err()
	}
	return n.Lost()
}

// Load implements [state.Session].
func (n *session) Load(ctx context.Context) (*state.Snapshot, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if err := n.ready(ctx); err != nil {
		return nil, err
	}
	l, err := n.loadHeld(ctx)
	if err != nil {
		return nil, err
	}
	snapshot := l.Snapshot()
	n.keep(l)
	if snapshot == nil {
		return nil, state.ErrNotExist
	}
	return snapshot, nil
}

// loadHeld loads, and sees at the same time whether the lock is ours still: what
// is loaded after it was lost would pass for the ground of a write of ours.
func (n *session) loadHeld(ctx context.Context) (*loaded, error) {
	var (
		held   *lease
		failed error
		wg     sync.WaitGroup
	)
	wg.Go(func() { held, failed = n.s.look(ctx) })
	l, err := n.s.load(ctx)
	wg.Wait()
	if err = cmp.Or(err, failed); err != nil {
		return nil, err
	}
	if held.Released || held.Lock.ID != n.who.ID {
		return nil, n.beaten(ErrConflict)
	}
	return l, nil
}

func (n *session) keep(l *loaded) {
	l.Slim()
	n.base, n.journal = l, nil
}

func (n *session) loadOnce(ctx context.Context) error {
	if n.base != nil {
		return nil
	}
	l, err := n.s.load(ctx)
	if err == nil {
		n.keep(l)
	}
	return err
}

// Append implements [state.Session]. Once the records are on their way a
// cancelled ctx does not stop them.
func (n *session) Append(ctx context.Context, records ...state.Record) error {
	if len(records) == 0 {
		return nil
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := state.CheckRecords(records); err != nil {
		return err
	}
	ctx = context.WithoutCancel(ctx)
	return n.group.Do(records, func(records []state.Record) error {
		n.mu.Lock()
		defer n.mu.Unlock()
		if err := n.ready(ctx); err != nil {
			return err
		}
		j, err := n.current(ctx)
		if err != nil {
			return err
		}
		if j, err = j.Add(records...); err != nil {
			return err
		}
		return n.beaten(n.write(ctx, j))
	})
}

// current returns the journal to go on with; mu is held.
func (n *session) current(ctx context.Context) (*state.Journal, error) {
	if err := n.loadOnce(ctx); err != nil {
		return nil, err
	}
	if n.journal != nil {
		return n.journal, nil
	}
	return n.base.Journal(n.s.o.Project, n.who)
}

// write puts a journal in place; mu is held.
func (n *session) write(ctx context.Context, j *state.Journal) error {
	project, lineage := n.base.Of(n.s.o.Project)
	sealed, err := n.s.seal(ctx, Bound{Kind: JournalBlob, Project: project, Lineage: lineage, Serial: n.base.Serial()}, j.Bytes())
	if err != nil {
		return err
	}
	tag, err := n.s.put(ctx, JournalBlob, sealed, n.base.journalTag)
	if err != nil {
		return err
	}
	n.journal, n.base.journalTag = j, tag
	return nil
}

// beaten turns a conflict into what it means: the lock is somebody else's.
func (n *session) beaten(err error) error {
	if !errors.Is(err, ErrConflict) {
		return err
	}
	n.hold.Lock()
	defer n.hold.Unlock()
	n.lost = true
	return &state.LostLockError{Path: n.s.Path()}
}

// fence takes the journal away from whoever wrote it last, so that its next
// write fails, also where there is none.
func (n *session) fence(ctx context.Context) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	for attempt := 1; ; attempt++ {
		l, err := n.s.load(ctx)
		if err != nil {
			return err
		}
		n.keep(l)
		if project, _ := n.base.Of(n.s.o.Project); project == "" {
			return nil // there is nothing yet that a run could have begun with
		}
		j, err := n.current(ctx)
		if err != nil {
			return err
		}
		if j, err = j.Seal(n.who); err != nil {
			return err
		}
		err = n.write(ctx, j)
		if !errors.Is(err, ErrConflict) || attempt == fenceAttempts {
			return n.beaten(err)
		}
		// The one before us wrote a last time: once more, on top of that.
	}
}

const fenceAttempts = 10

// Save implements [state.Session]. A conflict keeps the journal.
func (n *session) Save(ctx context.Context, snapshot *state.Snapshot) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if err := n.ready(ctx); err != nil {
		return err
	}
	ctx = context.WithoutCancel(ctx)
	if err := n.loadOnce(ctx); err != nil {
		return err
	}
	if err := n.base.Follows(snapshot); err != nil {
		return err
	}
	if n.base.Is(snapshot) && !n.base.stale {
		return n.spend(ctx)
	}
	data, err := snapshot.EncodeNext()
	if err != nil {
		return err
	}
	serial := snapshot.Serial + 1
	if err := n.noteSave(ctx, snapshot, serial, data); err != nil {
		return err
	}
	sealed, err := n.s.seal(ctx, Bound{Kind: StateBlob, Project: snapshot.Project, Lineage: snapshot.Lineage, Serial: serial}, data)
	if err != nil {
		return err
	}
	tag, err := n.s.put(ctx, StateBlob, sealed, n.base.tag)
	if errors.Is(err, ErrConflict) {
		return &state.ChangedError{Path: n.s.Path()}
	}
	if err != nil {
		return err
	}
	snapshot.Serial, snapshot.Replayed = serial, false
	n.base = &loaded{Loaded: n.base.Saved(snapshot, data), tag: tag, journalTag: n.base.journalTag}
	n.journal = nil
	return nil
}

// spend writes behind the journal, if there is one that is not spent, that all
// of it is in the state; mu is held.
func (n *session) spend(ctx context.Context) error {
	if n.journal == nil && !n.base.HasJournal() {
		return nil
	}
	j, err := n.current(ctx)
	if err != nil {
		return err
	}
	if j, err = j.Spend(n.base.Loaded); err != nil {
		return err
	}
	return n.beaten(n.write(ctx, j))
}

// noteSave writes into the journal which state comes, also where there was none:
// it is where a run that has lost its lock is stopped, before it replaces the
// state. mu is held.
func (n *session) noteSave(ctx context.Context, snapshot *state.Snapshot, serial uint64, data []byte) error {
	j := n.journal
	if j == nil {
		project, _ := n.base.Of(cmp.Or(n.s.o.Project, snapshot.Project))
		var err error
		if j, err = n.base.Journal(project, n.who); err != nil {
			return err
		}
	}
	j, err := j.Saved(serial, data, n.who.ID)
	if err != nil {
		return err
	}
	return n.beaten(n.write(ctx, j))
}

// Pace implements [state.RemoteSession]: a second, and longer the longer the
// run takes, since an outcome that is lost is only asked for again.
func (n *session) Pace() time.Duration {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.pace = min(max(2*n.pace, firstPace), lastPace)
	return n.pace
}

const (
	firstPace = time.Second
	lastPace  = 15 * time.Second
)
