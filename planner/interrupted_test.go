package planner_test

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cofferhq/coffer/lang"
	"github.com/cofferhq/coffer/lang/addr"
	"github.com/cofferhq/coffer/planner"
	"github.com/cofferhq/coffer/planner/plannertest"
	"github.com/cofferhq/coffer/providers/memory"
	"github.com/cofferhq/coffer/state"
)

// TestWhoWroteTheNextNumber: on a store that counts, the number that an
// interrupted run was to write is that run's only as long as it can have lived.
func TestWhoWroteTheNextNumber(t *testing.T) {
	for name, tt := range map[string]struct {
		heard time.Duration // how long the run was heard of
		later time.Duration // when the version was made, from then on
		want  string
	}{
		"while it ran":                  {0, 0, "adopt " + key + " interrupted"},
		"as late as a request takes":    {0, 11 * time.Minute, "adopt " + key + " interrupted"},
		"later: a person":               {0, 11*time.Minute + time.Second, "conflict " + key + " interrupted"},
		"a long run, at its end":        {time.Hour, 10 * time.Minute, "adopt " + key + " interrupted"},
		"a long run, and later":         {time.Hour, time.Hour, "conflict " + key + " interrupted"},
		"by a clock that is far behind": {0, -24 * time.Hour, "adopt " + key + " interrupted"},
	} {
		t.Run(name, func(t *testing.T) {
			w := plannertest.New(t, memory.Counting()).Configure(gen)
			w.Apply()
			crashed(w, false, plannertest.Settle(key, planner.SettleRotate))
			if tt.heard > 0 { // another outcome of that run, which is the last line of its journal
				loc := addr.Location{Provider: "mem-1", Kind: addr.KindSecret, Path: "shop/dev/beside"}
				must(t, w.State.Append(context.Background(), state.Record{
					Kind: state.RecordDrop, Location: loc, At: w.Now.Add(tt.heard),
				}))
			}
			store := w.Stores["memory"]
			store.Advance(w.Now.Add(tt.heard+tt.later).Sub(store.Now()) - time.Second) // a write takes one
			edit(w)
			expect(t, w.Plan(), tt.want)
			if strings.HasPrefix(tt.want, "conflict") {
				w.Apply(plannertest.Settle(key, planner.SettleAccept))
			} else {
				w.Apply()
			}
			expect(t, w.Plan())
		})
	}
}

// noting is a state that keeps what is appended.
type noting struct {
	*plannertest.State
	mu      sync.Mutex
	records []state.Record
}

func (n *noting) Append(ctx context.Context, records ...state.Record) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.records = append(n.records, records...)
	return n.State.Append(ctx, records...)
}

// TestRecordsHaveATime: each is a sign of life.
func TestRecordsHaveATime(t *testing.T) {
	kinds := map[string]bool{}
	for _, knobs := range []memory.Options{memory.Counting(), memory.Files()} {
		w := plannertest.New(t, knobs).Configure(both)
		for range 2 { // the second takes over what the first left
			w.Stores["memory"].Inject(loseAnswer("set_attributes", "shop/dev/key"))
			l := w.Look()
			a := w.Applier(l)
			n := &noting{State: w.State}
			a.Session = n
			_, err := a.Apply(context.Background(), l.Plan)
			must(t, err)
			for _, r := range n.records {
				kinds[r.Kind] = true
				if !r.At.Equal(w.Now) {
					t.Errorf("%s at %s", r.Kind, r.At)
				}
			}
			w.Now = w.Now.Add(time.Minute)
		}
	}
	if !kinds[state.RecordIntent] || !kinds[state.RecordEntry] || !kinds[state.RecordPromise] {
		t.Errorf("only %v", kinds)
	}
}

// TestAnOutcomeThatCameLate: a call that a long run gave up near its end is still
// known as its own once the state is saved.
func TestAnOutcomeThatCameLate(t *testing.T) {
	w := plannertest.New(t, memory.Counting()).Configure(gen)
	store := w.Stores["memory"]
	store.Advance(w.Now.Sub(store.Now()))
	slow := memory.Counting()
	slow.At = func(point string) error {
		if strings.HasPrefix(point, "before write ") {
			w.Now = w.Now.Add(time.Hour)
			store.Advance(time.Hour)
		}
		return nil
	}
	w.Knobs["memory"] = slow
	store.Inject(loseAnswer("write", "shop/dev/key"))
	expectEnd(t, mustTry(t, w), "create "+key+" failed")
	w.Knobs["memory"] = memory.Counting()
	expect(t, w.Plan(), "adopt "+key+" interrupted")
	w.Apply()
	expect(t, w.Plan())
}

// staged is a world with a mount that was made by a run that was cut off before
// it configured it.
func staged(t *testing.T, objects ...*lang.Object) *plannertest.World {
	t.Helper()
	knobs := memory.Counting()
	knobs.Staged, knobs.Mount = true, "kv"
	w := plannertest.New(t, knobs).Configure(gen)
	w.Objects = objects
	died := knobs
	died.At = func(point string) error {
		if point == "before configure_object kv" {
			return context.Canceled
		}
		return nil
	}
	w.Knobs["memory"] = died
	if r := mustTry(t, w); !r.Failed() {
		t.Fatal("the apply did not fail")
	}
	w.Knobs["memory"] = knobs
	if text := w.Stores["memory"].Document(mountRef); text != memory.Begun {
		t.Fatalf("cut at another place: %q", text)
	}
	return w
}

// TestAnObjectMadeInTwoCalls: one that was made and not configured is our own,
// and is brought to what is wanted.
func TestAnObjectMadeInTwoCalls(t *testing.T) {
	const at = "mount.memory.kv"
	recorded := func(t *testing.T, w *plannertest.World) *state.Entry {
		t.Helper()
		s, err := w.State.Load(context.Background())
		must(t, err)
		return s.Entries[addr.Location{Provider: "mem-1", Kind: memory.KindMount, Path: "kv"}]
	}
	t.Run("the next run configures it", func(t *testing.T) {
		w := staged(t, mount())
		if c := change(t, w.Plan(), at); c.Action != planner.Update || c.Reason != planner.ReasonInterrupted || c.After == c.Before {
			t.Fatalf("%+v", c)
		}
		w.Apply()
		expect(t, w.Plan())
		if e := recorded(t, w); !e.Made || e.Document != w.Stores["memory"].Document(mountRef) || e.Document == memory.Begun {
			t.Errorf("recorded as %+v", e)
		}
	})
	t.Run("the next run dies on the way, twice", func(t *testing.T) {
		w := staged(t, mount())
		for range 2 {
			crashed(w, false)
			if e := recorded(t, w); e.Document != memory.Begun {
				t.Errorf("recorded as %q", e.Document)
			}
		}
		w.Apply()
		expect(t, w.Plan())
		if e := recorded(t, w); !e.Made {
			t.Errorf("recorded as %+v", e)
		}
	})
	t.Run("another text is wanted meanwhile", func(t *testing.T) {
		w := staged(t, mount())
		w.Objects = []*lang.Object{declared(30, "mount", "memory", "kv", "max", 5.0)}
		w.Apply()
		expect(t, w.Plan())
	})
	t.Run("its block is gone", func(t *testing.T) {
		w := staged(t, mount(), ops("read"))
		w.Objects = []*lang.Object{ops("read")}
		knobs := w.Knobs["memory"]
		knobs.Mount = "" // nothing that is wanted lies in it
		w.Knobs["memory"] = knobs
		for range 3 {
			mustTry(t, w)
		}
		if e := recorded(t, w); e != nil && e.Pending != nil {
			t.Errorf("it never converges: %+v", e)
		}
	})
	t.Run("somebody made it", func(t *testing.T) {
		w := staged(t, mount())
		w.Stores["memory"].SetDocument(mountRef, "theirs")
		if p := w.Plan(); len(p.Diagnostics) == 0 {
			t.Errorf("plan %q", lines(p))
		}
	})
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
