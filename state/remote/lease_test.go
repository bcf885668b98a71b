package remote_test

import (
	"context"
	"crypto/rand"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cofferhq/coffer/state"
	"github.com/cofferhq/coffer/state/remote"
	"github.com/cofferhq/coffer/state/statetest"
)

// machine is one of several that share a store. It may be cut off.
type machine struct {
	*statetest.Memory
	cut atomic.Bool
}

func (m *machine) refused() error {
	return &remote.Error{Code: remote.Unreachable, Place: "memory", Op: "reach", Unchanged: true, Err: errors.New("cut off")}
}

func (m *machine) Get(ctx context.Context, name string) (remote.Blob, error) {
	if m.cut.Load() {
		return remote.Blob{}, m.refused()
	}
	return m.Memory.Get(ctx, name)
}

func (m *machine) Put(ctx context.Context, name string, data []byte, match string) (string, error) {
	if m.cut.Load() {
		return "", m.refused()
	}
	return m.Memory.Put(ctx, name, data, match)
}

func (m *machine) store() *remote.Store {
	return remote.New(m, remote.Options{Project: statetest.Project, Now: time.Now, Random: rand.Reader})
}

func two() (a, b *machine) {
	m := &statetest.Memory{Now: time.Now}
	return &machine{Memory: m}, &machine{Memory: m}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func isLost(err error) bool {
	_, ok := errors.AsType[*state.LostLockError](err)
	return ok
}

// A run that dies leaves a lease that runs out, and what it began is pending.
func TestTheLeaseOfADeadRunRunsOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := two()
		began := time.Now()
		dead, err := a.store().Lock(t.Context(), statetest.Who("apply"))
		must(t, err)
		must(t, dead.Append(t.Context(), statetest.Intent("db", "op-1", "")))
		a.cut.Store(true)
		defer func() { _ = dead.Unlock(t.Context()) }()

		short, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		_, err = b.store().Lock(short, statetest.Who("import"))
		locked, ok := errors.AsType[*state.LockedError](err)
		if !ok || locked.Holder.Operation != "apply" || !strings.Contains(err.Error(), "the lock ends at") {
			t.Fatalf("lock while the lease lives: %v", err)
		}
		heir, err := b.store().Lock(t.Context(), statetest.Who("import"))
		must(t, err)
		defer func() { must(t, heir.Unlock(t.Context())) }()
		if took := time.Since(began); took < 60*time.Second || took > 80*time.Second {
			t.Errorf("taken over after %s", took)
		}
		if err := dead.(state.RemoteSession).Lost(); !isLost(err) {
			t.Errorf("the dead run believes in its lock: %v", err)
		}
		s, err := heir.Load(t.Context())
		must(t, err)
		if e := s.Entries[statetest.At("db")]; e == nil || e.Pending == nil {
			t.Error("what the dead run began is not pending")
		}
	})
}

// A run that works on is never taken for a dead one.
func TestALeaseIsRenewed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := two()
		session, err := a.store().Lock(t.Context(), statetest.Who("apply"))
		must(t, err)
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		if _, err := b.store().Lock(ctx, statetest.Who("import")); !errors.As(err, new(*state.LockedError)) {
			t.Errorf("lock: %v", err)
		}
		must(t, session.Append(t.Context(), statetest.Intent("db", "op-1", "")))
		must(t, session.Unlock(t.Context()))
		other, err := b.store().Lock(t.Context(), statetest.Who("import"))
		must(t, err)
		must(t, other.Unlock(t.Context()))
	})
}

// A run that was asleep for longer than its lease writes nothing over what
// others did meanwhile: neither its journal nor its state.
func TestASleeperWritesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := two()
		sleeper, err := a.store().Lock(t.Context(), statetest.Who("apply"))
		must(t, err)
		must(t, sleeper.Append(t.Context(), statetest.Intent("db", "op-1", "")))
		stale, err := sleeper.Load(t.Context())
		must(t, err)
		a.cut.Store(true)
		<-time.After(2 * time.Minute)
		if err := sleeper.(state.RemoteSession).Lost(); !isLost(err) {
			t.Errorf("lost: %v", err)
		}
		heir, err := b.store().Lock(t.Context(), statetest.Who("import"))
		must(t, err)
		s, err := heir.Load(t.Context())
		must(t, err)
		s.Entries[statetest.At("db")] = statetest.Entry("db", "v7")
		must(t, heir.Append(t.Context(), statetest.Outcome("db", "v7")))
		a.cut.Store(false)
		if err := sleeper.Append(t.Context(), statetest.Outcome("db", "v1")); !isLost(err) {
			t.Errorf("append: %v", err)
		}
		must(t, heir.Save(t.Context(), s))
		must(t, heir.Unlock(t.Context()))
		if err := sleeper.Save(t.Context(), stale); err == nil {
			t.Error("the sleeper saved")
		}
		must(t, sleeper.Unlock(t.Context()))
		got, err := b.store().Read(t.Context())
		must(t, err)
		if e := got.Entries[statetest.At("db")]; e == nil || e.Version != "v7" || e.Pending != nil || got.Holder != nil {
			t.Errorf("entry %+v, holder %v", e, got.Holder)
		}
	})
}

// A broken lock stops its holder, and leaves what it began for the next run.
func TestABrokenLock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := two()
		session, err := a.store().Lock(t.Context(), statetest.Who("apply"))
		must(t, err)
		must(t, session.Append(t.Context(), statetest.Intent("db", "op-1", "")))
		s, err := session.Load(t.Context())
		must(t, err)
		if _, err := b.store().BreakLock(t.Context(), "another", statetest.Who("state unlock")); err == nil {
			t.Error("a lock was broken that nobody named")
		}
		broken, err := b.store().BreakLock(t.Context(), statetest.Who("apply").ID, statetest.Who("state unlock"))
		must(t, err)
		if broken.Operation != "apply" {
			t.Errorf("broken: %+v", broken)
		}
		if _, err := b.store().BreakLock(t.Context(), broken.ID, statetest.Who("state unlock")); err == nil {
			t.Error("a lock was broken twice")
		}
		if err := session.Append(t.Context(), statetest.Outcome("db", "v1")); !isLost(err) {
			t.Errorf("append: %v", err)
		}
		if err := session.Save(t.Context(), s); err == nil {
			t.Error("saved without the lock")
		}
		must(t, session.Unlock(t.Context()))
		got, err := b.store().Read(t.Context())
		must(t, err)
		if e := got.Entries[statetest.At("db")]; e == nil || e.Pending == nil || got.Holder != nil {
			t.Errorf("entry %+v, holder %v", e, got.Holder)
		}
	})
}

// A lock is taken once, however many want it, and each of them gets it in turn.
func TestManyWantTheLock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &statetest.Memory{Now: time.Now}
		var inside atomic.Int32
		for range 8 {
			go func() {
				for range 5 {
					s, err := (&machine{Memory: m}).store().Lock(t.Context(), statetest.Who("apply"))
					if err != nil {
						t.Error(err)
						return
					}
					if inside.Add(1) != 1 {
						t.Error("two hold it")
					}
					<-time.After(time.Second)
					inside.Add(-1)
					if err := s.Unlock(t.Context()); err != nil {
						t.Error(err)
					}
				}
			}()
		}
		synctest.Wait()
		<-time.After(time.Hour)
	})
}
