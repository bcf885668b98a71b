package plannertest

import (
	"context"
	"sync"

	"github.com/cofferhq/coffer/state"
)

// State is a state store in memory that keeps what a disk would keep: the
// encoded snapshot and the journal. It is its own session, without a lock.
type State struct {
	mu      sync.Mutex
	saved   []byte
	journal []state.Record
	// Saves and Appends count.
	Saves, Appends int
	// Fail, when not nil, is asked before each durable step; its error ends it.
	Fail func(step string) error
}

// snapshot returns the state with the journal replayed, a new one if none.
func (s *State) snapshot(project string) *state.Snapshot {
	snap, err := s.Load(context.Background())
	if err != nil {
		return state.New(project, state.Lineage(project))
	}
	return snap
}

// Load implements [state.Session].
func (s *State) Load(context.Context) (*state.Snapshot, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	snap := state.New("test-1", state.Lineage("test-1"))
	if s.saved != nil {
		var err error
		if snap, err = state.Decode(s.saved); err != nil {
			return nil, err
		}
	} else if len(s.journal) == 0 {
		return nil, state.ErrNotExist
	}
	if err := snap.Replay(s.journal); err != nil {
		return nil, err
	}
	snap.Replayed = len(s.journal) > 0
	return snap, nil
}

// Append implements [state.Session].
func (s *State) Append(_ context.Context, records ...state.Record) error {
	if s.Fail != nil {
		if err := s.Fail("append"); err != nil {
			return err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.Appends++
	for _, r := range records {
		s.journal = append(s.journal, copyRecord(r))
	}
	return nil
}

// copyRecord keeps what was true when the record was written.
func copyRecord(r state.Record) state.Record {
	if r.Entry != nil {
		r.Entry = r.Entry.Clone()
	}
	if r.Intent != nil {
		r.Intent = r.Intent.Clone()
	}
	return r
}

// Save implements [state.Session].
func (s *State) Save(_ context.Context, snap *state.Snapshot) error {
	if s.Fail != nil {
		if err := s.Fail("save"); err != nil {
			return err
		}
	}
	snap.Serial, snap.Replayed = snap.Serial+1, false
	data, err := state.Encode(snap)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.Saves++
	s.saved, s.journal = data, nil
	return nil
}

// Unlock implements [state.Session].
func (s *State) Unlock(context.Context) error { return nil }

// Lose forgets the state, as a person does who deletes the file.
func (s *State) Lose() { s.saved, s.journal = nil, nil }

// Remember returns the state as it is now, to go back to with Recall.
func (s *State) Remember() []byte { return s.saved }

// Recall puts an earlier state back.
func (s *State) Recall(saved []byte) { s.saved, s.journal = saved, nil }
