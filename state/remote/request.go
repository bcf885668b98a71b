package remote

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"
)

// get repeats a read that may succeed later.
func (s *Store) get(ctx context.Context, name string) (Blob, error) {
	var b Blob
	err := s.repeat(ctx, func(ctx context.Context) (err error) {
		b, err = s.b.Get(ctx, name)
		return err
	})
	if errors.Is(err, ErrConflict) { // a gateway's answer: a read has no condition
		err = &Error{
			Code: Unreachable, Place: s.Path(), Op: "read the " + name, Unchanged: true,
			Err: errors.New("the store answers as if it had been asked under a condition"), Hint: "see that no proxy stands in between",
		}
	}
	return b, err
}

// put writes a blob under its condition and finds out what became of it where
// the store did not say: data is unlike anything written before, so finding it
// there means that it was written.
func (s *Store) put(ctx context.Context, name string, data []byte, match string) (tag string, err error) {
	if len(data) > MaxBytes {
		return "", fmt.Errorf("%s: the %s has %d MiB, and %d are the most: split the project", s.Path(), name, len(data)>>20, MaxBytes>>20)
	}
	if err := s.at("before-write-" + name); err != nil {
		return "", err
	}
	err = s.repeat(ctx, func(ctx context.Context) error {
		tag, err = s.b.Put(ctx, name, data, match)
		if err == nil || unchanged(err) {
			return err
		}
		// A conflict may be with a first try of our own, repeated on the way.
		is, ask := s.b.Get(ctx, name)
		switch {
		case ask == nil && bytes.Equal(is.Data, data):
			tag = is.Tag
			return nil
		case errors.Is(err, ErrConflict):
			return err
		case ask == nil && is.Tag == match, errors.Is(ask, ErrNotFound) && match == "":
			return err // it did not land; should it come late, its condition fails
		case ask == nil, errors.Is(ask, ErrNotFound):
			return ErrConflict
		}
		return err
	})
	if err == nil {
		err = s.at("after-write-" + name)
	}
	return tag, err
}

// unchanged reports whether err says that the store certainly did nothing.
func unchanged(err error) bool {
	e, ok := errors.AsType[*Error](err)
	return ok && e.Unchanged
}

// passes reports whether err may be gone if the same is tried again.
func passes(err error) bool {
	e, ok := errors.AsType[*Error](err)
	return ok && (e.Code == Busy || e.Code == Unreachable)
}

// How long the pauses between tries are.
const (
	firstPause = 250 * time.Millisecond
	lastPause  = 8 * time.Second
)

// repeat tries until do succeeds, fails for good, or patience ends.
func (s *Store) repeat(ctx context.Context, do func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, s.o.Patience)
	defer cancel()
	pause := firstPause
	for {
		err := do(ctx)
		if err == nil || !passes(err) || ctx.Err() != nil {
			return err
		}
		wait := pause
		if e, ok := errors.AsType[*Error](err); ok && e.After > wait {
			wait = e.After
		}
		if deadline, ok := ctx.Deadline(); ok && s.o.Now().Add(wait).After(deadline) {
			return err
		}
		if s.o.Say != nil && pause > firstPause && !s.said.Swap(true) { // of several requests at once, one
			s.o.Say(fmt.Sprintf("Waiting for the state: %v", err))
		}
		if sleep(ctx, wait) != nil {
			return err
		}
		pause = min(2*pause, lastPause)
	}
}

// sleep waits for d or until ctx ends.
func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
