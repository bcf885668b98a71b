package remote

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/cofferhq/coffer/state"
)

var _ state.Historian = (*Store)(nil)

// History reads the versions that the store keeps, see [state.Historian].
func (s *Store) History(ctx context.Context, limit int) ([]state.Past, error) {
	var all []state.Past
	err := s.each(ctx, func(p state.Past, _ *state.Snapshot) bool {
		all = append(all, p)
		return len(all) < limit
	})
	return all, err
}

// At implements [state.Historian].
func (s *Store) At(ctx context.Context, serial uint64) (found *state.Snapshot, err error) {
	missing := &state.NoSerialError{Serial: serial}
	err = s.each(ctx, func(p state.Past, snapshot *state.Snapshot) bool {
		missing.Oldest = p.Serial
		if p.Serial == serial {
			found = snapshot
		}
		return found == nil && p.Serial > serial
	})
	if err == nil && found == nil {
		err = missing
	}
	return found, err
}

// each calls visit for every version of the state, the newest first, until it
// returns false. A version that went away meanwhile is left out.
func (s *Store) each(ctx context.Context, visit func(state.Past, *state.Snapshot) bool) error {
	h, ok := s.b.(Historian)
	if !ok {
		return state.ErrNoHistory
	}
	var versions []Version
	err := s.repeat(ctx, func(ctx context.Context) (err error) {
		versions, err = h.History(ctx, StateBlob)
		return err
	})
	if err != nil {
		return err
	}
	if len(versions) == 0 {
		return state.ErrNoHistory
	}
	slices.SortStableFunc(versions, func(a, b Version) int { return b.Written.Compare(a.Written) })
	for _, v := range versions {
		var data []byte
		err := s.repeat(ctx, func(ctx context.Context) (err error) {
			data, err = h.GetVersion(ctx, StateBlob, v.ID)
			return err
		})
		if errors.Is(err, ErrNotFound) {
			continue
		}
		if err != nil {
			return err
		}
		plain, err := s.plain(ctx, StateBlob, data)
		if err != nil {
			return fmt.Errorf("version %s: %w", v.ID, err)
		}
		snapshot, err := state.Decode(plain.Plain)
		if err != nil {
			return fmt.Errorf("%s, version %s: %w", s.Path(), v.ID, err)
		}
		if !visit(state.Past{Serial: snapshot.Serial, Entries: len(snapshot.Entries), Written: v.Written.UTC(), Where: v.ID}, snapshot) {
			return nil
		}
	}
	return nil
}
