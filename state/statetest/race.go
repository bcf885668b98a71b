package statetest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/cofferhq/coffer/state"
)

// Race lets pairs of writers want the state at the same time, each with an
// entry of its own, and checks that every serial was committed once and no
// entry is lost. open is called once for every writer, with the test of its
// pair, at the end of which what it opened can be closed.
func Race(t *testing.T, open func(t testing.TB) state.Store, pairs int) {
	t.Helper()
	var (
		mu        sync.Mutex
		committed = map[uint64]string{}
		wanted    []string
	)
	saved(t, open(t))
	for pair := range pairs {
		t.Run(fmt.Sprintf("pair %d", pair), func(t *testing.T) {
			var wg sync.WaitGroup
			for _, side := range []string{"a", "b"} {
				name, store := fmt.Sprintf("s%d%s", pair, side), open(t)
				wanted = append(wanted, name)
				wg.Go(func() {
					serial, err := commit(t.Context(), store, name)
					mu.Lock()
					defer mu.Unlock()
					switch other, twice := committed[serial]; {
					case err != nil:
						t.Errorf("%s: %v", name, err)
					case twice:
						t.Errorf("%s and %s both committed serial %d", name, other, serial)
					default:
						committed[serial] = name
					}
				})
			}
			wg.Wait()
		})
		if t.Failed() {
			return // the other pairs would only wait for what is broken
		}
	}
	got, err := open(t).Read(t.Context())
	must(t, err)
	if want := uint64(2*pairs + 1); got.Serial != want {
		t.Errorf("the state is at serial %d, want %d", got.Serial, want)
	}
	for _, name := range wanted {
		if got.Entries[At(name)] == nil {
			t.Errorf("%s is lost", name)
		}
	}
}

// commit adds one entry, as an apply does.
func commit(ctx context.Context, store state.Store, name string) (serial uint64, err error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	who := Who("apply")
	who.ID = "lock-of-" + name
	session, err := store.Lock(ctx, who)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, session.Unlock(ctx)) }()
	s, err := session.Load(ctx)
	if err != nil {
		return 0, err
	}
	if err := session.Append(ctx, Intent(name, "op-1", "")); err != nil {
		return 0, err
	}
	s.Entries[At(name)] = Entry(name, "v1")
	err = session.Save(ctx, s)
	return s.Serial, err
}
