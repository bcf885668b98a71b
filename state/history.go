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
	// Problem is why this content cannot be read: it is damaged, or not encrypted
	// as the configuration says. Serial and Entries are 0 then.
	Problem string `json:"problem,omitempty"`
}

// Read returns p with what data says, and what it holds; nil where it cannot be
// read.
func (p Past) Read(data []byte) (Past, *Snapshot) {
	s, err := Decode(data)
	if err != nil {
		p.Problem = err.Error()
		return p, nil
	}
	p.Serial, p.Entries = s.Serial, len(s.Entries)
	return p, s
}

// Historian is what a [Store] implements that may know older contents.
type Historian interface {
	// History returns up to limit of them, the newest first, the present one
	// included. [ErrNoHistory] means that none are kept there.
	History(ctx context.Context, limit int) ([]Past, error)
	// At returns the content with a serial.
	At(ctx context.Context, serial uint64) (*Snapshot, error)
}

// ErrNoHistory means that a store keeps no older versions. Whoever returns it
// says what to do about that.
var ErrNoHistory = errors.New("the store of this state keeps no older versions")

// NoSerialError means that no content with that serial is kept.
type NoSerialError struct {
	Serial uint64
	// Oldest is the lowest that is kept; 0 where none can be read.
	Oldest uint64
	// Unread is how many contents could not be read.
	Unread int
}

func (e *NoSerialError) Error() string {
	text := fmt.Sprintf("serial %d is not kept", e.Serial)
	if e.Oldest > 0 {
		text += fmt.Sprintf("; the oldest is %d", e.Oldest)
	}
	if e.Unread > 0 {
		text += fmt.Sprintf("; %d of what is kept could not be read", e.Unread)
	}
	return text + ": coffer state history lists them"
}

// Missed notes a content that is not the one.
func (e *NoSerialError) Missed(p Past) {
	switch {
	case p.Problem != "":
		e.Unread++
	case e.Oldest == 0 || p.Serial < e.Oldest:
		e.Oldest = p.Serial
	}
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
		missing.Missed(p)
		if s != nil && p.Serial == serial {
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
// returns false; without a snapshot for one that cannot be read.
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
		p := Past{Written: info.ModTime().UTC(), Where: path}
		if !visit(p.Read(data)) {
			return nil
		}
	}
	return nil
}
