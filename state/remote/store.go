package remote

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cofferhq/coffer/state"
)

// Options are the surroundings of a [Store].
type Options struct {
	// Project is the configuration's. A state of another project is refused with
	// [*state.ProjectError]; the first apply needs it for its journal.
	Project string
	// Moved: a state that was migrated away is opened all the same.
	Moved bool
	// Now is the clock, by which leases are kept. It must not jump back.
	Now func() time.Time
	// Random tells two runs apart that begin at the same time.
	Random io.Reader
	// Seal encrypts state and journal; nil keeps them as they are.
	Seal Sealer
	// Say tells a person that the store does not answer; it may be nil.
	Say func(text string)
	// Lease is how long a lock lives without a sign of its holder; 0 is a minute.
	Lease time.Duration
	// Patience bounds how long a request is repeated; 0 is a minute.
	Patience time.Duration
	// At, when not nil, is called before and after every request that writes,
	// with "before-write-state" and the like. An error from it is the answer.
	At func(point string) error
}

// Sealer encrypts what is kept, see state/seal.
type Sealer interface {
	// Seal encrypts one blob. What it is bound to can be read without a key and
	// cannot be changed without being noticed.
	Seal(ctx context.Context, bound Bound, plain []byte) ([]byte, error)
	// Open returns what was sealed. Data that is not sealed is an error, unless
	// that is configured.
	Open(ctx context.Context, kind string, data []byte) (Opened, error)
}

// Opened is a blob that was opened.
type Opened struct {
	Bound Bound // zero for one that was not sealed
	Plain []byte
	// Stale: it would be sealed otherwise now, with another key or at all.
	Stale bool
}

// SealedPrefix is what every sealed blob begins with, and no other does.
const SealedPrefix = `{"coffer_sealed":`

// Bound is what a sealed blob belongs to.
type Bound struct {
	Kind    string `json:"kind"` // StateBlob or JournalBlob
	Project string `json:"project"`
	Lineage string `json:"lineage"`
	Serial  uint64 `json:"serial"`
}

const (
	defaultLease    = time.Minute
	defaultPatience = time.Minute
)

// Store is the [state.Store] of every remote backend.
type Store struct {
	b Blobs
	o Options

	said atomic.Bool // that the store does not answer

	mu       sync.Mutex
	warnings []string
}

var _ state.Store = (*Store)(nil)

// New returns the state that b keeps. It asks nothing yet.
func New(b Blobs, o Options) *Store {
	if o.Lease <= 0 {
		o.Lease = defaultLease
	}
	if o.Patience <= 0 {
		o.Patience = defaultPatience
	}
	return &Store{b: b, o: o}
}

// Path names the place for people.
func (s *Store) Path() string { return s.b.String() }

// Blobs returns what the store keeps its state in.
func (s *Store) Blobs() Blobs { return s.b }

// Warnings returns what was odd when the state was last read, in sentences for
// people.
func (s *Store) Warnings() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.warnings)
}

// Read returns the snapshot with the journal replayed, see [state.Store.Read].
// It asks for the three blobs at once.
func (s *Store) Read(ctx context.Context) (*state.Snapshot, error) {
	for attempt := 1; ; attempt++ {
		var (
			holder *state.LockInfo
			lock   error
			wg     sync.WaitGroup
		)
		wg.Go(func() {
			var l *lease
			if l, lock = s.look(ctx); lock == nil {
				holder = l.holder(s.o.Now())
			}
		})
		l, err := s.load(ctx)
		wg.Wait()
		if err == nil {
			err = lock
		}
		if err != nil {
			return nil, err
		}
		if l.Misfit() && holder != nil && attempt < readAttempts {
			continue // whoever holds the lock is saving
		}
		snapshot := l.Snapshot()
		if snapshot == nil {
			return nil, state.ErrNotExist
		}
		snapshot.Holder = holder
		return snapshot, nil
	}
}

// readAttempts bounds how often Read looks again while somebody saves.
const readAttempts = 5

// loaded is a state as it is kept, with the tags to replace it by.
type loaded struct {
	*state.Loaded
	tag, journalTag string
	stale           bool // one of the two would be sealed otherwise now
}

// load reads state and journal.
func (s *Store) load(ctx context.Context) (*loaded, error) {
	var (
		journal, data   Opened
		l               = &loaded{}
		failed, failed2 error
		wg              sync.WaitGroup
	)
	wg.Go(func() { journal, l.journalTag, failed2 = s.open(ctx, JournalBlob) })
	data, l.tag, failed = s.open(ctx, StateBlob)
	wg.Wait()
	err := cmp.Or(failed, failed2)
	if err != nil {
		return nil, err
	}
	l.stale = data.Stale || journal.Stale
	l.Loaded, err = state.Load(data.Plain, journal.Plain, state.LoadOptions{
		Project: s.o.Project, State: s.Path(), Journal: s.Path() + " (journal)", Probe: true, Moved: s.o.Moved,
		SetAside: "remove the journal there by hand; what that run wrote is then adopted, or a conflict to settle with coffer accept",
	})
	if err == nil {
		err = s.belongs(l, data.Bound, journal.Bound)
	}
	if err != nil {
		return nil, err
	}
	if l.stale && l.Snapshot() != nil {
		l.Snapshot().Replayed = true // worth a save, which seals it anew
	}
	s.warn(l)
	return l, nil
}

// belongs compares what was sealed with what it was bound to: whoever has the
// key could else put one project's blob in the place of another's.
func (s *Store) belongs(l *loaded, data, journal Bound) error {
	project, lineage := l.Of(s.o.Project)
	if data.Project != "" && (data.Project != project || data.Lineage != lineage || data.Serial != l.Serial()) {
		return fmt.Errorf("%s: the state was encrypted as serial %d of project %q, and says that it is serial %d of %q: somebody put it together", s.Path(), data.Serial, data.Project, l.Serial(), project)
	}
	if journal.Project != "" && (journal.Project != project || journal.Lineage != lineage) {
		return fmt.Errorf("%s: the journal was encrypted for project %q: somebody put it there", s.Path(), journal.Project)
	}
	return nil
}

func (s *Store) warn(l *loaded) {
	var warnings []string
	if l.Misfit() {
		warnings = []string{fmt.Sprintf("%s and its journal do not belong together: one of them was restored or replaced. "+
			"What the journal announced is looked after again", s.Path())}
	}
	if l.stale {
		warnings = append(warnings, fmt.Sprintf("%s is not encrypted as the configuration says now: the next apply does it. Keep the fallback block until then", s.Path()))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.warnings = warnings
}

// open returns the content of a blob, nothing where there is none.
func (s *Store) open(ctx context.Context, name string) (o Opened, tag string, err error) {
	b, err := s.get(ctx, name)
	if errors.Is(err, ErrNotFound) {
		return o, "", nil
	}
	if err != nil {
		return o, "", err
	}
	o, err = s.plain(ctx, name, b.Data)
	return o, b.Tag, err
}

// plain decrypts what a blob holds, where encryption is configured.
func (s *Store) plain(ctx context.Context, name string, data []byte) (Opened, error) {
	if s.o.Seal == nil {
		if bytes.HasPrefix(data, []byte(SealedPrefix)) {
			return Opened{}, fmt.Errorf("%s: the %s is encrypted, and the configuration has no encryption block: add the one it was written with", s.Path(), name)
		}
		return Opened{Plain: data}, nil
	}
	o, err := s.o.Seal.Open(ctx, name, data)
	if err != nil {
		return o, fmt.Errorf("%s: %w", s.Path(), err)
	}
	return o, nil
}

// seal encrypts a blob where that is configured.
func (s *Store) seal(ctx context.Context, b Bound, plain []byte) ([]byte, error) {
	if s.o.Seal == nil {
		return plain, nil
	}
	return s.o.Seal.Seal(ctx, b, plain)
}

func (s *Store) at(point string) error {
	if s.o.At == nil {
		return nil
	}
	return s.o.At(point)
}
