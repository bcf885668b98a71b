package remote_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cofferhq/coffer/state"
	"github.com/cofferhq/coffer/state/remote"
	"github.com/cofferhq/coffer/state/statetest"
)

// who is somebody with a lock of this id.
func who(id string) state.LockInfo {
	w := statetest.Who("state mv")
	w.ID = id
	return w
}

// A run whose lock was broken saves nothing, also one that has nothing in a
// journal, and whoever has the lock since is not disturbed. Not even where both
// say the same.
func TestABrokenLockSavesNothing(t *testing.T) {
	for _, alike := range []bool{false, true} {
		t.Run(fmt.Sprintf("alike=%v", alike), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store := (&machine{Memory: seeded(t)}).store()
				a, err := store.Lock(t.Context(), who("a"))
				must(t, err)
				mine, err := a.Load(t.Context())
				must(t, err)
				_, err = store.BreakLock(t.Context(), "a", who("c"))
				must(t, err)
				b, err := store.Lock(t.Context(), who("b"))
				must(t, err)
				theirs, err := b.Load(t.Context())
				must(t, err)
				mine.Providers = map[string]string{"x": "x:1"}
				theirs.Providers = map[string]string{"x": "x:1"}
				if !alike {
					theirs.Providers["y"] = "y:1"
				}
				if err := a.Save(t.Context(), mine); !isLost(err) {
					t.Errorf("the broken one's save: %v", err)
				}
				must(t, b.Save(t.Context(), theirs))
				if _, err := a.Load(t.Context()); !isLost(err) {
					t.Errorf("the broken one's load: %v", err)
				}
				must(t, a.Unlock(t.Context()))
				must(t, b.Unlock(t.Context()))
			})
		})
	}
}

// A run whose lock was broken before it loaded anything is told when it does.
func TestABrokenLockLoadsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := (&machine{Memory: seeded(t)}).store()
		a, err := store.Lock(t.Context(), who("a"))
		must(t, err)
		_, err = store.BreakLock(t.Context(), "a", who("c"))
		must(t, err)
		if _, err := a.Load(t.Context()); !isLost(err) {
			t.Errorf("load: %v", err)
		}
		must(t, a.Unlock(t.Context()))
	})
}

// The end of a run while its heartbeat is under way, and lands, leaves the lock
// released.
func TestUnlockDuringAHeartbeat(t *testing.T) {
	for _, slow := range []time.Duration{2 * time.Second, 20 * time.Second} {
		synctest.Test(t, func(t *testing.T) {
			m := seeded(t)
			store := (&machine{Memory: m}).store()
			session, err := store.Lock(t.Context(), who("a"))
			must(t, err)
			beating := make(chan struct{})
			m.Fault = func(c statetest.Call, after bool) error {
				if c.Name == remote.LockBlob && c.Op == "put" && after {
					m.Fault = nil
					close(beating)
					<-time.After(slow)
				}
				return nil
			}
			<-beating
			must(t, session.Unlock(t.Context()))
			next, err := store.Lock(t.Context(), who("b"))
			must(t, err)
			if _, err := next.Load(t.Context()); err != nil {
				t.Error(err)
			}
			must(t, next.Unlock(t.Context()))
		})
	}
}

// A lock whose journal could not be taken away is not released: the next one
// tries that again before it does anything.
func TestAFenceThatFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := seeded(t)
		store := (&machine{Memory: m}).store()
		a, err := store.Lock(t.Context(), who("a"))
		must(t, err)
		before, err := m.Get(t.Context(), remote.JournalBlob)
		must(t, err)
		m.Fault = func(c statetest.Call, after bool) error {
			if c.Name == remote.JournalBlob && c.Op == "put" && !after {
				return &remote.Error{Code: remote.Denied, Op: "write", Unchanged: true, Err: errors.New("denied")}
			}
			return nil
		}
		if _, err := store.BreakLock(t.Context(), "a", who("c")); err == nil {
			t.Fatal("broken without a fence")
		}
		m.Fault = nil
		next, err := store.Lock(t.Context(), who("b")) // when that lease has run out
		must(t, err)
		after, err := m.Get(t.Context(), remote.JournalBlob)
		must(t, err)
		if bytes.Equal(before.Data, after.Data) {
			t.Error("the next one does not fence")
		}
		must(t, next.Unlock(t.Context()))
		must(t, a.Unlock(t.Context()))
	})
}

// contrary refuses every write, as a gateway that rewrites tags makes it.
type contrary struct{ *statetest.Memory }

func (contrary) Put(context.Context, string, []byte, string) (string, error) {
	return "", remote.ErrConflict
}

// A store that refuses what nobody changed is an error after a few requests, not
// a loop.
func TestAStoreThatAlwaysConflicts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := seeded(t)
		before := len(m.Calls())
		store := remote.New(contrary{m}, remote.Options{Project: statetest.Project, Now: time.Now, Random: rand.Reader})
		_, err := store.Lock(t.Context(), who("a"))
		if err == nil || !strings.Contains(err.Error(), "rewrites ETags") {
			t.Errorf("lock: %v", err)
		}
		if n := len(m.Calls()) - before; n > 10 {
			t.Errorf("%d requests", n)
		}
	})
}

// A lock that is none stands in the way of no plan, and is broken by whatever
// name.
func TestADamagedLock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := seeded(t)
		m.Set(remote.LockBlob, []byte("{"))
		store := (&machine{Memory: m}).store()
		if _, err := store.Read(t.Context()); err != nil {
			t.Errorf("read: %v", err)
		}
		if _, err := store.Lock(t.Context(), who("a")); err == nil || !strings.Contains(err.Error(), "coffer state unlock") {
			t.Errorf("lock: %v", err)
		}
		_, err := store.BreakLock(t.Context(), "damaged", who("c"))
		must(t, err)
		session, err := store.Lock(t.Context(), who("a"))
		must(t, err)
		must(t, session.Unlock(t.Context()))
	})
}

// A serial that cannot be counted on is refused, in a state and on the way to one.
func TestTheGreatestSerial(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := seeded(t)
		b, err := m.Get(t.Context(), remote.StateBlob)
		must(t, err)
		store := (&machine{Memory: m}).store()
		for serial, taken := range map[string]bool{"18446744073709551615": false, "9007199254740992": false, "9007199254740991": true} {
			m.Set(remote.StateBlob, bytes.Replace(b.Data, []byte(`"serial": 1,`), []byte(`"serial": `+serial+`,`), 1))
			m.Set(remote.JournalBlob, nil)
			s, err := store.Read(t.Context())
			if (err == nil) != taken {
				t.Errorf("serial %s: %v", serial, err)
			}
			if err != nil {
				continue
			}
			session, err := store.Lock(t.Context(), who("a"))
			must(t, err)
			s.Providers["x"] = "x:1"
			if session.Save(t.Context(), s) == nil {
				t.Errorf("serial %s was counted on", serial)
			}
			must(t, session.Unlock(t.Context()))
		}
	})
}
