package signin

import (
	"bytes"
	"context"
	"strings"
	"time"

	"github.com/cofferhq/coffer/providers"
	"github.com/cofferhq/coffer/providers/secret"
)

// Rejected is told that the server answered a call with 403, which means a
// missing permission as well as a dead token. It finds out which, and signs in
// anew if it is the token; true says that there is now another one, and that
// the call is worth exactly one more try. A configured token is read again, in
// case somebody keeps it fresh; the same one is never tried twice.
func (s *Session) Rejected(ctx context.Context, used secret.Value) bool {
	for {
		s.mu.Lock()
		h := s.held
		wait := s.flight
		switch {
		case !same(h.Value, used):
			s.mu.Unlock()
			return !h.Value.IsZero()
		case wait == nil && s.provenAt(s.now()):
			s.mu.Unlock()
			return false
		case wait == nil:
			end := s.begin()
			s.mu.Unlock()
			next, err := s.replace(ctx, h)
			end(next, err)
			return err == nil && !same(next.Value, used)
		}
		s.mu.Unlock()
		if await(ctx, wait) != nil {
			return false
		}
	}
}

// provenAt reports whether the server said just now that the token is good; mu
// is held.
func (s *Session) provenAt(t time.Time) bool {
	return !s.aliveAt.IsZero() && t.Sub(s.aliveAt).Abs() < proven
}

// replace returns the token to go on with after one was rejected.
func (s *Session) replace(ctx context.Context, h held) (held, error) {
	if s.method.Anew() == Never {
		fresh, err := s.signIn(ctx)
		if err != nil || same(fresh.Value, h.Value) {
			return h, nil
		}
		return fresh, nil
	}
	if h.usable(s.now()) {
		looked, state := s.check(ctx, h)
		if state == alive || state == doubtful && h.afresh {
			return looked, nil
		}
		if state == unreachable {
			return h, nil
		}
	}
	fresh, err := s.signIn(ctx)
	fresh.afresh = true
	if err != nil && !refusal(providers.CodeOf(err)) {
		return h, nil // not refused: the next call may have better luck
	}
	return fresh, err
}

type state int

const (
	alive       state = iota
	dead              // expired or revoked
	doubtful          // refused, and a good token could be refused as well
	unreachable       // no answer
)

// check asks whether the token is good. A token without the default policy may
// not look at itself: then the server's text tells, which puts the refusal of a
// policy into a list and that of a token not.
func (s *Session) check(ctx context.Context, h held) (held, state) {
	looked, err := s.look(ctx, h)
	switch {
	case err == nil:
		return looked, alive
	case providers.CodeOf(err) != providers.Denied:
		return h, unreachable
	}
	s.mu.Lock()
	looks := s.looks
	s.mu.Unlock()
	text := err.Error()
	switch {
	case looks, strings.Contains(text, "invalid token"):
		return h, dead
	case strings.Contains(text, "1 error occurred"):
		return h, alive
	}
	return h, doubtful
}

// Diagnose says what is wrong with the token after a call was rejected for
// good: that the server refused to sign in anew, or that it does not take the
// token any more, with the next step. It returns nil where the token is good,
// so that a permission is missing, and where the server does not tell.
func (s *Session) Diagnose(ctx context.Context) error {
	for {
		s.mu.Lock()
		h, wait := s.held, s.flight
		known := h.Value.IsZero() || s.provenAt(s.now())
		err := s.refused
		if known || err != nil {
			s.mu.Unlock()
			return err
		}
		if wait == nil {
			end := s.begin()
			s.mu.Unlock()
			looked, state := s.check(ctx, h)
			end(looked, nil)
			if state != dead && state != doubtful {
				return nil
			}
			return s.gone(state)
		}
		s.mu.Unlock()
		if await(ctx, wait) != nil {
			return nil
		}
	}
}

func (s *Session) gone(st state) error {
	text := "it is expired or was revoked"
	if st == doubtful {
		text = "it is expired, was revoked, or may not look at itself"
	}
	return providers.Errorf(providers.Denied, "the server does not take the %s: %s", s.method.Name(), text).
		WithHint("%s", s.method.Next())
}

// same reports whether two values are the same token.
func same(a, b secret.Value) bool {
	equal := false
	_ = a.Expose(func(x []byte) error {
		return b.Expose(func(y []byte) error {
			equal = bytes.Equal(x, y)
			return nil
		})
	})
	return equal && a.IsZero() == b.IsZero()
}
