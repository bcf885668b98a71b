package remote_test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cofferhq/coffer/state"
	"github.com/cofferhq/coffer/state/remote"
	"github.com/cofferhq/coffer/state/statetest"
)

// progress is how far a run came, as it was told.
type progress struct {
	announced, saved bool
	err              error
}

// apply is what a run does with a state: one secret is new, one is changed.
func apply(ctx context.Context, b remote.Blobs) (p progress) {
	store := remote.New(b, remote.Options{Project: statetest.Project, Now: time.Now, Random: rand.Reader})
	session, err := store.Lock(ctx, statetest.Who("apply"))
	if err != nil {
		return progress{err: err}
	}
	defer func() { p.err = errors.Join(p.err, session.Unlock(ctx)) }()
	s, err := session.Load(ctx)
	if err != nil {
		return progress{err: err}
	}
	intents := []state.Record{statetest.Intent("new", "op-2", ""), statetest.Intent("db", "op-2", "v1")}
	if err := session.Append(ctx, intents...); err != nil {
		return progress{err: err}
	}
	p.announced = true
	outcomes := []state.Record{statetest.Outcome("new", "v1"), statetest.Outcome("db", "v2")}
	if p.err = session.Append(ctx, outcomes...); p.err != nil {
		return p
	}
	for _, r := range append(intents, outcomes...) {
		if p.err = s.Apply(r); p.err != nil {
			return p
		}
	}
	p.err = session.Save(ctx, s)
	p.saved = p.err == nil
	return p
}

// seeded is a store with a state of one secret.
func seeded(t *testing.T) *statetest.Memory {
	m := &statetest.Memory{Now: time.Now}
	session, err := remote.New(m, remote.Options{Project: statetest.Project, Now: time.Now, Random: rand.Reader}).Lock(t.Context(), statetest.Who("apply"))
	must(t, err)
	must(t, session.Save(t.Context(), statetest.Snapshot("db")))
	must(t, session.Unlock(t.Context()))
	return m
}

var passing = map[string]error{
	"busy":      &remote.Error{Code: remote.Busy, Op: "ask", Unchanged: true, After: 3 * time.Second, Err: errors.New("slow down")},
	"no answer": &remote.Error{Code: remote.Unreachable, Op: "ask", Err: errors.New("timeout")},
}

// An answer that is lost once, before or after the effect, or a store that is
// busy once, changes nothing in what comes out: at every call.
func TestAFaultThatPasses(t *testing.T) {
	calls := countCalls(t)
	for name, fault := range passing {
		for _, after := range []bool{false, true} {
			if after && name == "busy" {
				continue
			}
			for at := range calls {
				t.Run(fmt.Sprintf("%s, after=%v, call %d", name, after, at), func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) {
						m := seeded(t)
						made := 0
						m.Fault = func(_ statetest.Call, now bool) error {
							if now != after {
								return nil
							}
							if made++; made == at+1 {
								return fault
							}
							return nil
						}
						if p := apply(t.Context(), m); p.err != nil {
							t.Fatal(p.err)
						}
						m.Fault = nil
						arrived(t, m)
					})
				})
			}
		}
	}
}

func countCalls(t *testing.T) (n int) {
	synctest.Test(t, func(t *testing.T) {
		m := seeded(t)
		before := len(m.Calls())
		must(t, apply(t.Context(), m).err)
		n = len(m.Calls()) - before
	})
	return n
}

// arrived checks what a whole apply leaves.
func arrived(t *testing.T, m *statetest.Memory) {
	t.Helper()
	got, err := remote.New(m, remote.Options{Project: statetest.Project, Now: time.Now, Random: rand.Reader}).Read(t.Context())
	must(t, err)
	if got.Serial != 2 || got.Holder != nil || len(got.Entries) != 2 || len(got.Pending()) != 0 || got.Entries[statetest.At("db")].Version != "v2" {
		t.Errorf("serial %d, holder %v, %d entries, pending %v", got.Serial, got.Holder, len(got.Entries), got.Pending())
	}
}

// A run that is cut off at any call, before or after its effect, loses nothing
// that it was told is durable, and the next run goes on from there.
func TestARunThatIsCutOff(t *testing.T) {
	gone := &remote.Error{Code: remote.Denied, Op: "ask", Unchanged: true, Err: errors.New("revoked")}
	for at := range countCalls(t) {
		for _, after := range []bool{false, true} {
			t.Run(fmt.Sprintf("call %d, after=%v", at, after), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					m := seeded(t)
					made := 0
					m.Fault = func(_ statetest.Call, now bool) error {
						if now == after {
							made++
						}
						if made > at {
							return gone
						}
						return nil
					}
					p := apply(t.Context(), m)
					m.Fault = nil
					recovered(t, m, p)
				})
			})
		}
	}
}

// recovered checks what a run that failed left, and that the next one can work.
func recovered(t *testing.T, m *statetest.Memory, p progress) {
	t.Helper()
	store := remote.New(m, remote.Options{Project: statetest.Project, Now: time.Now, Random: rand.Reader})
	session, err := store.Lock(t.Context(), statetest.Who("import")) // when the lease has run out
	must(t, err)
	got, err := session.Load(t.Context())
	must(t, err)
	if got.Entries[statetest.At("db")] == nil {
		t.Fatal("the secret of before is gone")
	}
	for _, name := range []string{"new", "db"} {
		e := got.Entries[statetest.At(name)]
		switch known := e != nil && (e.Pending != nil || e.Op == "op-1" && e.Version != "v1" || name == "new"); {
		case p.saved && (e == nil || e.Pending != nil):
			t.Errorf("saved, and %s is %+v", name, e)
		case p.announced && !known:
			t.Errorf("announced, and %s is %+v", name, e)
		}
	}
	if warnings := store.Warnings(); len(warnings) != 0 {
		t.Errorf("warnings %q", warnings)
	}
	must(t, session.Save(t.Context(), got))
	must(t, session.Unlock(t.Context()))
	if got, err = store.Read(t.Context()); err != nil || got.Replayed || got.Holder != nil {
		t.Errorf("after the next run: replayed %v, holder %v, %v", got.Replayed, got.Holder, err)
	}
}

// A state or a journal that was put back from an older copy is noticed, and
// what was begun is looked after.
func TestARestoredState(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := seeded(t)
		old, err := m.Get(t.Context(), remote.StateBlob)
		must(t, err)
		must(t, apply(t.Context(), m).err)
		m.Set(remote.StateBlob, old.Data)
		store := remote.New(m, remote.Options{Project: statetest.Project, Now: time.Now, Random: rand.Reader})
		session, err := store.Lock(t.Context(), statetest.Who("apply"))
		must(t, err)
		got, err := session.Load(t.Context())
		must(t, err)
		if e := got.Entries[statetest.At("new")]; e == nil {
			t.Errorf("what the lost serial made is forgotten: %v", got.Entries)
		}
		must(t, session.Append(t.Context(), statetest.Outcome("new", "v1")))
		must(t, session.Save(t.Context(), got))
		must(t, session.Unlock(t.Context()))
		if _, err := store.Read(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// A gateway that answers a read with a conflict is told from a lost race.
func TestAReadHasNoConflict(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := seeded(t)
		m.Fault = func(c statetest.Call, _ bool) error {
			if c.Op == "get" {
				return remote.ErrConflict
			}
			return nil
		}
		err := apply(t.Context(), m).err
		if e, ok := errors.AsType[*remote.Error](err); !ok || e.Place != "memory" || e.Hint == "" {
			t.Errorf("%v", err)
		}
	})
}

// What a journal announced that does not fit the state is pending, and stays so
// when the run that found it dies too.
func TestAJournalThatDoesNotFit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := seeded(t)
		old, err := m.Get(t.Context(), remote.StateBlob)
		must(t, err)
		must(t, apply(t.Context(), m).err)
		m.Fault = func(c statetest.Call, after bool) error {
			if c.Name == remote.StateBlob && c.Op == "put" && !after {
				return &remote.Error{Code: remote.Denied, Op: "write", Unchanged: true, Err: errors.New("denied")}
			}
			return nil
		}
		store := remote.New(m, remote.Options{Project: statetest.Project, Now: time.Now, Random: rand.Reader})
		session, err := store.Lock(t.Context(), statetest.Who("apply"))
		must(t, err)
		s, err := session.Load(t.Context())
		must(t, err)
		must(t, session.Append(t.Context(), statetest.Intent("third", "op-3", "")))
		s.Providers["x"] = "x:1"
		if session.Save(t.Context(), s) == nil {
			t.Fatal("saved")
		}
		must(t, session.Unlock(t.Context()))
		m.Fault = nil
		m.Set(remote.StateBlob, old.Data) // serial 1, and the journal began at 2

		for range 2 {
			session, err := store.Lock(t.Context(), statetest.Who("apply"))
			must(t, err)
			got, err := session.Load(t.Context())
			must(t, err)
			if e := got.Entries[statetest.At("third")]; e == nil || e.Pending == nil {
				t.Fatalf("what was announced is not pending: %+v", e)
			}
			must(t, session.Append(t.Context(), statetest.Intent("fourth", "op-4", ""))) // and dies
			must(t, session.Unlock(t.Context()))
			if got, err = store.Read(t.Context()); err != nil || len(got.Pending()) != 2 {
				t.Errorf("after another run that died: %v, %v", got.Pending(), err)
			}
		}
		if len(store.Warnings()) != 0 {
			t.Errorf("the journal still does not fit: %q", store.Warnings())
		}
	})
}
