package remote

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/cofferhq/coffer/state"
)

// This file keeps the lock of a session: its heartbeats, and its end.

func (s *Store) newSession(ctx context.Context, who state.LockInfo, tag string, asked time.Time, grip Grip) *session {
	beating, stop := context.WithCancel(context.WithoutCancel(ctx))
	asking, cut := context.WithCancel(context.WithoutCancel(ctx))
	n := &session{
		s: s, who: who, done: make(chan struct{}), grip: grip,
		lease: tag, lives: asked.Add(s.o.Lease - leaseMargin),
	}
	n.ends = func() {
		stop()
		defer cut()
		patience := time.NewTimer(lastBeat)
		defer patience.Stop()
		select {
		case <-n.done:
		case <-patience.C:
			cut()
			<-n.done
		}
	}
	go n.heartbeats(beating, asking)
	return n
}

// lastBeat is how long the end of a run waits for a heartbeat that is under way:
// one that is cut off may have landed, and then the lock is another than we know.
const lastBeat = 5 * time.Second

// heartbeats renews the lease three times in its life until beating ends.
func (n *session) heartbeats(beating, asking context.Context) {
	defer close(n.done)
	for sleep(beating, n.s.o.Lease/3) == nil {
		n.renew(asking)
	}
}

// renew writes the lease anew. A store that does not answer is asked again at
// the next heartbeat: the lease says for how long that is no matter.
func (n *session) renew(ctx context.Context) {
	n.hold.Lock()
	tag, lost := n.lease, n.lost
	n.hold.Unlock()
	if lost {
		return
	}
	asked := n.s.o.Now()
	next, err := n.s.putLease(ctx, n.s.leaseOf(n.who, n.grip, tag))
	n.hold.Lock()
	defer n.hold.Unlock()
	switch {
	case err == nil:
		n.lease, n.lives = next, asked.Add(n.s.o.Lease-leaseMargin)
	case errors.Is(err, ErrConflict):
		n.lost = true
	}
}

// Lost implements [state.RemoteSession].
func (n *session) Lost() error {
	n.hold.Lock()
	defer n.hold.Unlock()
	switch {
	case n.lost, n.grip != nil && !n.grip.Held():
		return &state.LostLockError{Path: n.s.Path()}
	case n.outlived():
		return &state.LostLockError{Path: n.s.Path(), Expired: true}
	}
	return nil
}

// outlived reports whether the lease may have run out: by the monotonic clock,
// and by the wall clock, which goes on while a machine sleeps.
func (n *session) outlived() bool {
	now := n.s.o.Now()
	return now.After(n.lives) || now.Round(0).After(n.lives.Round(0))
}

// Unlock implements [state.Session]. A lock that cannot be released runs out by
// itself.
func (n *session) Unlock(ctx context.Context) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.ended {
		return nil
	}
	n.abandonLocked()
	n.hold.Lock()
	defer n.hold.Unlock()
	if n.grip != nil {
		defer n.grip.Release()
	}
	if n.lost {
		return nil
	}
	err := n.release(ctx)
	if err != nil {
		return fmt.Errorf("the lock could not be released, it runs out within %s: %w", n.s.o.Lease, err)
	}
	return nil
}

// release writes the lock as released. A conflict is a heartbeat of ours that
// landed unheard, or somebody who broke the lock.
func (n *session) release(ctx context.Context) error {
	released := n.s.leaseOf(n.who, n.grip, n.lease)
	released.Released = true
	_, err := n.s.putLease(ctx, released)
	if !errors.Is(err, ErrConflict) {
		return err
	}
	now, err := n.s.lease(ctx)
	if err != nil || now.Released || now.Lock != n.who {
		return err
	}
	released.tag = now.tag
	if _, err = n.s.putLease(ctx, released); errors.Is(err, ErrConflict) {
		return nil
	}
	return err
}

// abandon ends the session without releasing its lock.
func (n *session) abandon() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.abandonLocked()
	if n.grip != nil {
		n.grip.Release()
	}
}

func (n *session) abandonLocked() {
	n.ended = true
	n.ends()
}
