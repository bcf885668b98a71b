package remote_test

import (
	"context"
	"crypto/rand"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cofferhq/coffer/state"
	"github.com/cofferhq/coffer/state/remote"
	"github.com/cofferhq/coffer/state/statetest"
)

// gripping is a store with a grip.
type gripping struct {
	*statetest.Memory
	taken atomic.Pointer[taken]
}

type taken struct{ of *gripping }

func (g *gripping) Grip(context.Context) (remote.Grip, error) {
	mine := &taken{g}
	if g.taken.CompareAndSwap(nil, mine) {
		return mine, nil
	}
	return nil, nil
}

func (t *taken) Held() bool { return t.of.taken.Load() == t }
func (t *taken) Release()   { t.of.taken.CompareAndSwap(t, nil) }

func newGripping() (*gripping, *remote.Store) {
	g := &gripping{Memory: &statetest.Memory{Now: time.Now}}
	return g, remote.New(g, remote.Options{Project: statetest.Project, Now: time.Now, Random: rand.Reader})
}

// blocked is who a lock is refused for, at once.
func blocked(t *testing.T, store *remote.Store) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 0)
	defer cancel()
	_, err := store.Lock(ctx, statetest.Who("plan"))
	locked, ok := errors.AsType[*state.LockedError](err)
	if !ok {
		t.Fatalf("lock: %v", err)
	}
	return locked.Holder.ID
}

// The grip of a run that died is free at once, and with it its lease.
func TestAGripEndsBeforeTheLease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, store := newGripping()
		dead, err := store.Lock(t.Context(), statetest.Who("apply"))
		must(t, err)
		<-time.After(5 * time.Minute) // its lease is renewed
		if id := blocked(t, store); id != "lock-of-apply" {
			t.Errorf("locked by %q", id)
		}
		g.taken.Store(nil)
		began := time.Now()
		soon, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		heir, err := store.Lock(soon, statetest.Who("import"))
		must(t, err)
		if time.Since(began) > 0 || !isLost(dead.(state.RemoteSession).Lost()) {
			t.Errorf("after %s; the dead run: %v", time.Since(began), dead.(state.RemoteSession).Lost())
		}
		must(t, dead.Unlock(t.Context()))
		must(t, heir.Unlock(t.Context()))
	})
}

// A grip that was taken this moment is nobody's that an older lease names.
func TestALateGripNamesNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, store := newGripping()
		session, err := store.Lock(t.Context(), statetest.Who("apply"))
		must(t, err)
		must(t, session.Unlock(t.Context()))
		if _, err := g.Grip(t.Context()); err != nil {
			t.Fatal(err)
		}
		if id := blocked(t, store); id != "" {
			t.Errorf("locked by %q, which is over", id)
		}
	})
}

// A process that hangs keeps the grip of the store although its lock is broken:
// others go on without, one after the other, until it lets go.
func TestABrokenLockWhoseGripStays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, store := newGripping()
		hung, err := store.Lock(t.Context(), statetest.Who("apply"))
		must(t, err)
		must(t, hung.Append(t.Context(), statetest.Intent("db", "op-1", "")))
		_, err = store.BreakLock(t.Context(), "lock-of-apply", statetest.Who("state unlock"))
		must(t, err)
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		for range 2 {
			next, err := store.Lock(ctx, statetest.Who("import"))
			must(t, err)
			if id := blocked(t, store); id != "lock-of-import" {
				t.Errorf("locked by %q", id)
			}
			<-time.After(5 * time.Minute) // its lease is renewed
			if id := blocked(t, store); id != "lock-of-import" {
				t.Errorf("later locked by %q", id)
			}
			must(t, next.Unlock(t.Context()))
		}
		without, err := store.Lock(ctx, statetest.Who("import"))
		must(t, err)
		if err := hung.Append(t.Context(), statetest.Outcome("db", "v1")); !isLost(err) {
			t.Errorf("append: %v", err)
		}
		must(t, hung.Unlock(t.Context()))
		if g.taken.Load() != nil {
			t.Fatal("the grip stays")
		}
		if id := blocked(t, store); id != "lock-of-import" { // who has no grip
			t.Errorf("with the grip at hand, locked by %q", id)
		}
		must(t, without.Unlock(t.Context()))
		last, err := store.Lock(ctx, statetest.Who("apply"))
		must(t, err)
		if g.taken.Load() == nil {
			t.Error("the last one has no grip")
		}
		must(t, last.Unlock(t.Context()))
	})
}
