package remote

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/cofferhq/coffer/state"
)

// lease is the content of the lock blob. A lock that nobody holds stays there
// as released, so that taking it is always a conditional replace.
type lease struct {
	Format int            `json:"lease"`
	Lock   state.LockInfo `json:"lock"`
	// Heartbeat is when the holder last said that it lives, by its own clock: for
	// people. Whether the lease has run out is told by the store's clock.
	Heartbeat time.Time `json:"heartbeat"`
	Seconds   int       `json:"seconds"` // without a heartbeat until it runs out
	Released  bool      `json:"released,omitempty"`
	// Gripped: the holder also has the grip of the store, see [Gripper].
	Gripped bool `json:"gripped,omitempty"`
	// Nonce makes every lease another content: finding it tells who wrote it.
	Nonce []byte `json:"nonce"`

	damaged bool // what lies there is no lease

	tag string        // of the blob; "" where there is none
	age time.Duration // by the store's clock; negative is unknown
}

const (
	leaseFormat = 1
	// A holder stops believing in its lease this long before others do.
	leaseMargin = 10 * time.Second
	// skew is how far clocks may be apart where only the holder's own is known.
	skew = 5 * time.Minute
)

// lease reads the lock; one that was never taken is a released one.
func (s *Store) lease(ctx context.Context) (*lease, error) {
	l, err := s.look(ctx)
	if err == nil && l.damaged {
		err = fmt.Errorf("%s: the lock there is none that this coffer knows: was it written by a newer one, or by hand? "+
			"Where no run is at work: coffer state unlock damaged", s.Path())
	}
	return l, err
}

// look reads the lock as lease does, also a damaged one.
func (s *Store) look(ctx context.Context) (*lease, error) {
	b, err := s.get(ctx, LockBlob)
	if errors.Is(err, ErrNotFound) {
		return &lease{Released: true}, nil
	}
	if err != nil {
		return nil, err
	}
	l := &lease{}
	if err := json.Unmarshal(b.Data, l); err != nil || l.Format != leaseFormat {
		l = &lease{damaged: true}
	}
	l.tag, l.age = b.Tag, b.Age
	return l, nil
}

// until is how long the lease lives on without a heartbeat, at least.
func (l *lease) until(now time.Time) time.Duration {
	left := time.Duration(l.Seconds)*time.Second + leaseMargin/2
	if l.age >= 0 {
		return left - l.age
	}
	return left + skew - now.Sub(l.Heartbeat)
}

// holder returns who holds the lock, nil where nobody does or its lease has
// run out.
func (l *lease) holder(now time.Time) *state.LockInfo {
	if l.Released || l.damaged || l.until(now) <= 0 {
		return nil
	}
	return &l.Lock
}

// leaseOf is the lease of whoever takes the lock or keeps it.
func (s *Store) leaseOf(who state.LockInfo, grip Grip, tag string) lease {
	return lease{Lock: who, Gripped: grip != nil, Seconds: int(s.o.Lease / time.Second), tag: tag}
}

// putLease writes the lease on top of the one that it was read as.
func (s *Store) putLease(ctx context.Context, l lease) (tag string, err error) {
	l.Format, l.Heartbeat, l.Nonce = leaseFormat, s.o.Now().UTC(), make([]byte, 12)
	if _, err := io.ReadFull(s.o.Random, l.Nonce); err != nil {
		return "", err
	}
	data, err := json.Marshal(l)
	if err != nil {
		return "", err
	}
	return s.put(ctx, LockBlob, append(data, '\n'), l.tag)
}
