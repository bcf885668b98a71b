package state

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// Past is an older content of a state, or the present one.
type Past struct {
	Serial  uint64    `json:"serial"`
	Entries int       `json:"entries"`
	Written time.Time `json:"written,omitzero"` // by the clock of where it is kept
	Where   string    `json:"where"`            // a file, or the store's name of the version
}

// Historian is what a [Store] implements that may know older contents.
type Historian interface {
	// History returns up to limit of them, the newest first, the present one
	// included. [ErrNoHistory] means that the place is not told to keep any.
	History(ctx context.Context, limit int) ([]Past, error)
	// At returns the content with a serial.
	At(ctx context.Context, serial uint64) (*Snapshot, error)
}

// ErrNoHistory means that a store keeps no older versions.
var ErrNoHistory = errors.New("the store of this state keeps no older versions: turn versioning on there")

// NoSerialError means that no content with that serial is kept.
type NoSerialError struct {
	Serial, Oldest uint64
}

func (e *NoSerialError) Error() string {
	return fmt.Sprintf("serial %d is not kept; the oldest that was looked at is %d: coffer state history lists them", e.Serial, e.Oldest)
}

var _ Historian = (*File)(nil)

// History returns the present content and the backups, see [Historian].
func (f *File) History(ctx context.Context, limit int) ([]Past, error) {
	var all []Past
	err := f.each(ctx, func(p Past, _ *Snapshot) bool {
		all = append(all, p)
		return len(all) < limit
	})
	return all, err
}

// At implements [Historian].
func (f *File) At(ctx context.Context, serial uint64) (found *Snapshot, err error) {
	missing := &NoSerialError{Serial: serial}
	err = f.each(ctx, func(p Past, s *Snapshot) bool {
		missing.Oldest = p.Serial
		if p.Serial == serial {
			found = s
		}
		return found == nil
	})
	if err == nil && found == nil {
		err = missing
	}
	return found, err
}

// each calls visit for every content that is kept, the newest first, until it
// returns false.
func (f *File) each(ctx context.Context, visit func(Past, *Snapshot) bool) error {
	paths, err := f.Backups()
	if err != nil {
		return err
	}
	slices.Reverse(paths)
	for _, path := range append([]string{f.path}, paths...) {
		if err := ctx.Err(); err != nil {
			return err
		}
		data, info, err := readIfThere(f.o.FS, path)
		if err != nil {
			return err
		}
		if data == nil {
			continue
		}
		s, err := Decode(data)
		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		if !visit(Past{Serial: s.Serial, Entries: len(s.Entries), Written: info.ModTime().UTC(), Where: path}, s) {
			return nil
		}
	}
	return nil
}
