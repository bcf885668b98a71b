package signin

import (
	"context"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/cofferhq/coffer/providers"
	"github.com/cofferhq/coffer/providers/secret"
)

const (
	// lookAfter is when a configured token, whose end nobody told, is looked
	// at: a short run saves the request.
	lookAfter = time.Minute
	// proven is how long one answer of the server that a token is good counts,
	// so that a thousand refused paths are not a thousand questions.
	proven = time.Second
	// shortly before its end a token that cannot be renewed is replaced.
	shortly = 30 * time.Second
)

// Session holds the token in use. Renewal is driven by use: a run that calls
// nothing renews nothing. All methods are safe for concurrent use, and none
// holds a lock while it waits for the server.
//
// The clock is only asked how old a token is. One that jumps makes a renewal
// too many or too few; whether a token is good is the server's word alone.
type Session struct {
	method Method
	caller Caller
	now    func() time.Time

	mu     sync.Mutex
	held   held
	flight chan struct{} // closed when the call under way ends; nil for none
	// refused is the answer of a server that does not accept the credentials:
	// the same again could lock an account.
	refused error
	// aliveAt is when the server last said that the token in use is good.
	aliveAt time.Time
	// looks: tokens of this session may look at themselves, so that a refusal
	// of that means that they are dead.
	looks bool
}

// held is a token with what is known of it.
type held struct {
	Token
	obtained time.Time     // before the request that gave it was sent
	full     time.Duration // the longest TTL it was given
	looked   bool          // a configured token: the server was asked about it
	afresh   bool          // made because the one before was rejected
	// After a renewal that failed the next try is not before waitUntil.
	waitFrom, waitUntil time.Time
}

// NewSession returns a session that signs in with the first use.
func NewSession(m Method, c Caller, now func() time.Time) *Session {
	return &Session{method: m, caller: c, now: now}
}

// Token returns the token to use now. It signs in, once for all who wait,
// renews a token of which two thirds are over, and signs in anew where that
// fails or the end is near. While a good token is being renewed others go on
// with it. Errors are those of the method; a sign-in that the server refused is
// not tried again.
func (s *Session) Token(ctx context.Context) (secret.Value, error) {
	for {
		s.mu.Lock()
		t := s.now()
		h := s.held
		due := h.Value.IsZero() || s.due(h, t)
		wait := s.flight
		switch {
		case !due, wait != nil && h.usable(t):
			s.mu.Unlock()
			return h.Value, nil
		case wait == nil && h.Value.IsZero() && s.refused != nil:
			err := s.refused
			s.mu.Unlock()
			return secret.Value{}, err
		case wait == nil:
			end := s.begin()
			s.mu.Unlock()
			h, err := s.refresh(ctx, h)
			end(h, err)
			return h.Value, err
		}
		s.mu.Unlock()
		if err := await(ctx, wait); err != nil {
			return secret.Value{}, err
		}
	}
}

// begin takes the one place for a call to the server; mu is held. The returned
// function gives it back with what is to be kept.
func (s *Session) begin() (end func(held, error)) {
	done := make(chan struct{})
	s.flight = done
	return func(h held, err error) {
		s.mu.Lock()
		s.held = h
		s.flight = nil
		if err != nil && refusal(providers.CodeOf(err)) && s.method.Anew() != Never {
			s.refused = err
		}
		s.mu.Unlock()
		close(done)
	}
}

func await(ctx context.Context, done <-chan struct{}) error {
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return providers.Errorf(providers.Cancelled, "wait for the sign-in: %w", ctx.Err())
	}
}

// usable reports whether the token is worth a call.
func (h held) usable(t time.Time) bool {
	return !h.Value.IsZero() && (h.TTL == 0 || t.Sub(h.obtained) < h.TTL)
}

// due reports whether something is to be done about a token.
func (s *Session) due(h held, t time.Time) bool {
	if !t.Before(h.waitFrom) && t.Before(h.waitUntil) {
		return false
	}
	age := t.Sub(h.obtained)
	back := age < 0 // the clock was set back, and the age is not known
	switch {
	case s.method.Anew() == Never && !h.looked:
		return age >= lookAfter || back
	case h.TTL == 0:
		return false
	case h.Renewable:
		return age >= h.TTL*2/3 || back
	case s.method.Anew() == Silently:
		return age >= h.TTL-min(h.TTL/10, shortly) || back
	case s.method.Anew() == ByPerson:
		return age >= h.TTL
	}
	return false
}

// refresh does what is due and returns the token to go on with. An error means
// that there is none.
func (s *Session) refresh(ctx context.Context, h held) (held, error) {
	if h.Value.IsZero() {
		return s.signIn(ctx)
	}
	if s.method.Anew() == Never && !h.looked {
		if looked, err := s.look(ctx, h); err == nil {
			return looked, nil
		}
		h.looked = true // nothing more can be known: the server will tell
		return h, nil
	}
	enough := false
	if h.Renewable {
		h, enough = s.renew(ctx, h)
	}
	if enough {
		return h, nil
	}
	t := s.now()
	if s.method.Anew() == Silently || s.method.Anew() == ByPerson && !h.usable(t) {
		fresh, err := s.signIn(ctx)
		if err == nil {
			return fresh, nil
		}
		if !h.usable(t) {
			return held{}, err
		}
	}
	left := max(0, h.TTL-t.Sub(h.obtained))
	h.waitFrom, h.waitUntil = t, t.Add(min(max(left/2, time.Second), shortly))
	return h, nil
}

func (s *Session) signIn(ctx context.Context) (held, error) {
	start := s.now()
	t, err := s.method.SignIn(ctx, s.caller)
	if err != nil {
		return held{}, err
	}
	return held{Token: t, obtained: start, full: t.TTL}, nil
}

// renew asks for more time. What a server gives near the token's own maximum
// gets less and less: enough is false where asking again would be of no use.
func (s *Session) renew(ctx context.Context, h held) (renewed held, enough bool) {
	var answer struct {
		Auth struct {
			LeaseDuration int64 `json:"lease_duration"`
			Renewable     bool  `json:"renewable"`
		} `json:"auth"`
	}
	start := s.now()
	err := s.caller.Call(ctx, h.Value, http.MethodPost, "auth/token/renew-self", map[string]any{}, &answer)
	if err != nil {
		return h, false
	}
	h.obtained, h.TTL, h.Renewable = start, ttl(answer.Auth.LeaseDuration), answer.Auth.Renewable
	h.waitFrom, h.waitUntil = time.Time{}, time.Time{}
	h.full = max(h.full, h.TTL)
	if s.method.Anew() == Silently {
		return h, h.TTL == 0 || h.TTL >= h.full/2
	}
	if h.TTL < h.full/10 {
		h.Renewable = false
	}
	return h, true
}

// look asks the server about the token itself.
func (s *Session) look(ctx context.Context, h held) (held, error) {
	var answer struct {
		Data struct {
			TTL         int64 `json:"ttl"`
			CreationTTL int64 `json:"creation_ttl"`
			Renewable   bool  `json:"renewable"`
		} `json:"data"`
	}
	start := s.now()
	if err := s.caller.Call(ctx, h.Value, http.MethodGet, "auth/token/lookup-self", nil, &answer); err != nil {
		return h, err
	}
	s.mu.Lock()
	s.looks, s.aliveAt = true, start
	s.mu.Unlock()
	h.looked = true
	if s.method.Anew() == Never {
		h.obtained, h.TTL, h.Renewable = start, ttl(answer.Data.TTL), answer.Data.Renewable
		h.full = max(h.TTL, ttl(answer.Data.CreationTTL))
	}
	return h, nil
}

// Lease says how long the token in use lasts. It signs in where that did not
// happen yet; a configured token is looked up once. Errors are those of
// [Session.Token], and Denied where the server does not take the token.
func (s *Session) Lease(ctx context.Context) (providers.Lease, error) {
	if _, err := s.Token(ctx); err != nil {
		return providers.Lease{}, err
	}
	for {
		s.mu.Lock()
		h, wait := s.held, s.flight
		if s.method.Anew() != Never || h.looked {
			s.mu.Unlock()
			return s.lease(h), nil
		}
		if wait == nil {
			end := s.begin()
			s.mu.Unlock()
			looked, err := s.look(ctx, h)
			end(looked, nil)
			if err != nil {
				return providers.Lease{}, s.unknown(err)
			}
			return s.lease(looked), nil
		}
		s.mu.Unlock()
		if err := await(ctx, wait); err != nil {
			return providers.Lease{}, err
		}
	}
}

func (s *Session) unknown(err error) error {
	if providers.CodeOf(err) != providers.Denied {
		return err
	}
	if strings.Contains(err.Error(), "1 error occurred") {
		return providers.Errorf(providers.Denied, "the %s may not look at itself, so nobody knows how long it lasts", s.method.Name()).
			WithHint(`give it the default policy, or path "auth/token/lookup-self" { capabilities = ["read"] }`)
	}
	return s.gone(doubtful)
}

func (s *Session) lease(h held) providers.Lease {
	l := providers.Lease{Renewable: h.Renewable || s.method.Anew() == Silently, Identity: s.method.Name()}
	if h.TTL > 0 {
		l.Expires = h.obtained.Add(h.TTL)
	}
	return l
}

// Close revokes the token if this run made it, so that none is left behind. A
// configured token stays, and so does a batch token, which cannot be revoked.
// It is best effort: a token that is left over ends with its TTL.
func (s *Session) Close(ctx context.Context) error {
	s.mu.Lock()
	h := s.held
	s.held = held{}
	s.mu.Unlock()
	if h.Value.IsZero() || !h.Revocable {
		return nil
	}
	err := s.caller.Call(ctx, h.Value, http.MethodPost, "auth/token/revoke-self", map[string]any{}, nil)
	if providers.CodeOf(err) == providers.Denied && err != nil {
		return nil // it ended before
	}
	return err
}
