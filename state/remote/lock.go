package remote

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/cofferhq/coffer/state"
)

// How often a lock that somebody holds is looked at.
const (
	firstLook = 100 * time.Millisecond
	lastLook  = 5 * time.Second
)

// Lock takes the lease, see [state.Store.Lock]. The lease of a run that died
// can be taken once it has run out; what that run had begun is then part of
// the loaded state.
func (s *Store) Lock(ctx context.Context, who state.LockInfo) (state.Session, error) {
	who = who.WithID()
	for pause := firstLook; ; pause = min(2*pause, lastLook) {
		session, err := s.tryLock(ctx, who)
		if _, locked := errors.AsType[*state.LockedError](err); !locked {
			return session, err
		}
		if errors.Is(ctx.Err(), context.Canceled) {
			return nil, ctx.Err()
		}
		if ctx.Err() != nil || sleep(ctx, pause) != nil {
			return nil, err
		}
	}
}

// tryLock takes the lock if nobody holds it. The deadline of ctx bounds the
// wait for a holder, not the requests.
func (s *Store) tryLock(ctx context.Context, who state.LockInfo) (_ state.Session, err error) {
	ctx, stop := unhurried(ctx)
	defer stop()
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	grip, err := s.grip(ctx)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil && grip != nil {
			grip.Release()
		}
	}()
	for {
		l, err := s.lease(ctx)
		if err != nil {
			return nil, err
		}
		if h := l.holder(s.o.Now()); h != nil && grip == nil {
			return nil, &state.LockedError{Holder: *h, Until: s.o.Now().Add(l.until(s.o.Now()))}
		}
		asked := s.o.Now()
		tag, err := s.putLease(ctx, lease{Lock: who, Seconds: int(s.o.Lease / time.Second), tag: l.tag})
		if errors.Is(err, ErrConflict) {
			continue // somebody was faster: look who
		}
		if err != nil {
			return nil, err
		}
		session := s.newSession(ctx, who, tag, asked, grip)
		if !l.Released { // whoever had it may still be at work
			if err := session.fence(ctx); err != nil {
				return nil, errors.Join(err, session.Unlock(ctx))
			}
		}
		return session, nil
	}
}

// grip takes the grip of a store that has one.
func (s *Store) grip(ctx context.Context) (Grip, error) {
	g, ok := s.b.(Gripper)
	if !ok {
		return nil, nil
	}
	grip, err := g.Grip(ctx)
	if err != nil || grip != nil {
		return grip, err
	}
	l, err := s.lease(ctx)
	if err != nil {
		return nil, err
	}
	return nil, &state.LockedError{Holder: l.Lock}
}

// unhurried is ctx without its deadline.
func unhurried(ctx context.Context) (context.Context, func()) {
	free, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() {
		if errors.Is(ctx.Err(), context.Canceled) {
			cancel()
		}
	})
	if errors.Is(ctx.Err(), context.Canceled) {
		cancel()
	}
	return free, func() { stop(); cancel() }
}

// BreakLock takes the lock id away from its holder, who may still be running:
// its next write fails, and it stops before its next call once it notices. What
// it had begun stays in the journal, so that the next apply recovers first. It
// returns who held the lock.
func (s *Store) BreakLock(ctx context.Context, id string, who state.LockInfo) (state.LockInfo, error) {
	who = who.WithID()
	l, err := s.lease(ctx)
	switch {
	case err != nil:
		return state.LockInfo{}, err
	case l.Released:
		return state.LockInfo{}, errors.New("the state is not locked: nothing to break")
	case l.Lock.ID != id:
		return l.Lock, fmt.Errorf("lock %q is not the one that is held: %w", id, &state.LockedError{Holder: l.Lock})
	}
	asked := s.o.Now()
	tag, err := s.putLease(ctx, lease{Lock: who, Seconds: int(s.o.Lease / time.Second), BrokenBy: &who, tag: l.tag})
	if errors.Is(err, ErrConflict) {
		return l.Lock, errors.New("the lock changed hands meanwhile: its holder is alive; look again with coffer plan")
	}
	if err != nil {
		return l.Lock, err
	}
	session := s.newSession(ctx, who, tag, asked, nil)
	return l.Lock, errors.Join(session.fence(ctx), session.Unlock(ctx))
}
