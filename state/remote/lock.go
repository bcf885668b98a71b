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
	for attempt := 1; ; attempt++ {
		l, err := s.lease(ctx)
		if err != nil {
			return nil, err
		}
		if err := s.held(l, grip); err != nil {
			return nil, err
		}
		asked := s.o.Now()
		tag, err := s.putLease(ctx, s.leaseOf(who, grip, l.tag))
		if errors.Is(err, ErrConflict) && attempt < quickTries {
			continue // somebody was faster: look who
		}
		if errors.Is(err, ErrConflict) {
			return nil, s.contended(ctx, l)
		}
		if err != nil {
			return nil, err
		}
		return s.begin(ctx, who, tag, asked, grip, l.Released)
	}
}

// quickTries is how often a lock that changes hands is asked for without a pause.
const quickTries = 3

// held says who holds the lock; nil is nobody. Whoever took it with a grip is
// gone once the grip is ours. And while somebody else has that grip, a lease that
// ran out or was released by its last holder is not free: a run begins, or hangs.
// Only the lease of one that went on without it (its lock was broken) decides
// alone.
func (s *Store) held(l *lease, grip Grip) error {
	now := s.o.Now()
	_, grips := s.b.(Gripper)
	h := l.holder(now)
	switch {
	case grip != nil && l.Gripped:
		return nil
	case h != nil:
		return &state.LockedError{Holder: *h, Until: now.Add(l.until(now))}
	case !grips || grip != nil || !l.Gripped:
		return nil
	case l.Released:
		return &state.LockedError{}
	}
	return &state.LockedError{Holder: l.Lock}
}

// contended is the error where the lock was free and could not be taken.
func (s *Store) contended(ctx context.Context, seen *lease) error {
	l, err := s.lease(ctx)
	if err != nil {
		return err
	}
	if l.tag == seen.tag {
		return &Error{
			Code: Invalid, Place: s.Path(), Op: "lock", Unchanged: true,
			Err:  errors.New("the store refuses to replace the lock, though nobody changed it since it was read"),
			Hint: "see that nothing between here and the store rewrites ETags or refuses conditional writes: `coffer init` tries them",
		}
	}
	return &state.LockedError{Holder: l.Lock}
}

// begin makes the session of a lock that was taken. Whoever had it before may
// still be at work, unless it was released.
func (s *Store) begin(ctx context.Context, who state.LockInfo, tag string, asked time.Time, grip Grip, released bool) (state.Session, error) {
	session := s.newSession(ctx, who, tag, asked, grip)
	if released {
		return session, nil
	}
	if err := session.fence(ctx); err != nil {
		session.abandon() // not released: the next one fences too
		return nil, err
	}
	return session, nil
}

// grip takes the grip of a store that has one and gives it; nil is none, or one
// that somebody else has.
func (s *Store) grip(ctx context.Context) (Grip, error) {
	g, ok := s.b.(Gripper)
	if !ok {
		return nil, nil
	}
	return g.Grip(ctx)
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
	l, err := s.look(ctx)
	switch {
	case err != nil:
		return state.LockInfo{}, err
	case l.Released:
		return state.LockInfo{}, errors.New("the state is not locked: nothing to break")
	case l.damaged: // by whatever name
	case l.Lock.ID != id:
		return l.Lock, fmt.Errorf("lock %q is not the one that is held: %w", id, &state.LockedError{Holder: l.Lock})
	}
	asked := s.o.Now()
	tag, err := s.putLease(ctx, s.leaseOf(who, nil, l.tag))
	if errors.Is(err, ErrConflict) {
		return l.Lock, errors.New("the lock changed hands meanwhile: its holder is alive; look again with coffer plan")
	}
	if err != nil {
		return l.Lock, err
	}
	session, err := s.begin(ctx, who, tag, asked, nil, false)
	if err != nil {
		return l.Lock, err
	}
	return l.Lock, session.Unlock(ctx)
}
