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
		missing.Missed(p)
		if snapshot != nil && p.Serial == serial {
			found = snapshot
		}
		return found == nil // an older one may have been put back over it
	})
	if err == nil && found == nil {
		err = missing
	}
	return found, err
}

// each calls visit for every version of the state, the newest first, until it
// returns false; without a snapshot for one that cannot be read. A version that
// went away meanwhile is left out.
func (s *Store) each(ctx context.Context, visit func(state.Past, *state.Snapshot) bool) error {
	h, ok := s.b.(Historian)
	if !ok {
		return fmt.Errorf("%w, as this kind of store has none: keep backups of it, or choose a backend that has them", state.ErrNoHistory)
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
		if _, err := s.get(ctx, StateBlob); err != nil {
			if errors.Is(err, ErrNotFound) {
				return state.ErrNotExist
			}
			return err
		}
		return fmt.Errorf("%w: turn versioning on there", state.ErrNoHistory)
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
		p := state.Past{Written: v.Written.UTC(), Where: v.ID}
		var snapshot *state.Snapshot
		plain, err := s.plain(ctx, StateBlob, data)
		switch {
		case err == nil:
			p, snapshot = p.Read(plain.Plain)
		case ctx.Err() != nil:
			return ctx.Err()
		default: // damaged, or of another key: the others may be read all the same
			p.Problem = err.Error()
		}
		if !visit(p, snapshot) {
			return nil
		}
	}
	return nil
}
