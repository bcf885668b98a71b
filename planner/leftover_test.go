package planner_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/cofferhq/coffer/lang/addr"
	"github.com/cofferhq/coffer/planner"
	"github.com/cofferhq/coffer/planner/plannertest"
	"github.com/cofferhq/coffer/providers/memory"
	"github.com/cofferhq/coffer/state"
)

// TestTheGenerationOfAnAcceptedLeftover: a value that was accepted while its
// block was gone counts, so that copies and templates see it when the block is
// back.
func TestTheGenerationOfAnAcceptedLeftover(t *testing.T) {
	accept := plannertest.Settle(key, planner.SettleAccept)
	t.Run("an interrupted create: it is copied", func(t *testing.T) {
		w := plannertest.New(t, memory.Counting())
		w.AddStore("b", memory.Counting())
		w.Configure(copies(without)).Apply()
		died := memory.Counting()
		died.At = func(point string) error {
			if point == "before set_attributes shop/dev/key" {
				return context.Canceled
			}
			return nil
		}
		w.Knobs["memory"] = died
		mustTry(t, w.Configure(copies(both)))
		w.Knobs["memory"] = memory.Counting()
		w.Configure(copies(without)).Apply(accept)
		if e := entry(t, w, "shop/dev/key"); e.Generation != 1 {
			t.Errorf("it has generation %d, want 1", e.Generation)
		}
		settled(t, w.Configure(copies(both)))
		alike(t, w)
	})
	t.Run("a changed value: its template follows", func(t *testing.T) {
		w := full(t).Configure(plus(both, urlSecret))
		w.Apply()
		edit(w)
		w.Configure(without).Apply(accept, plannertest.Target(key))
		settled(t, w.Configure(plus(both, urlSecret)))
		if got := w.Value("memory", "shop/dev/url"); got != "https://by hand@example.org" {
			t.Errorf("the template holds %s", got)
		}
	})
}

// TestALeftoverNamesTheBlockAsItIsWritten: destroy stands in lifecycle.
func TestALeftoverNamesTheBlockAsItIsWritten(t *testing.T) {
	w := full(t).Configure(both)
	w.Apply()
	edit(w)
	if d := change(t, w.Configure(without).Plan(), key).Detail; !strings.Contains(d, "lifecycle { destroy = false }") {
		t.Errorf("it says %q", d)
	}
}

// TestALeftoverWaitsOutALateWrite: what is on its way may arrive until the settle
// time is over, counted from when the run was last heard of.
func TestALeftoverWaitsOutALateWrite(t *testing.T) {
	knobs := memory.Options{Versions: true, Attributes: true, OpID: true, List: true, Settle: 2 * time.Minute}
	for name, opts := range map[string][]plannertest.Option{
		"of a create": nil, "of an update": {plannertest.Settle(key, planner.SettleRotate)},
	} {
		t.Run(name, func(t *testing.T) {
			w := plannertest.New(t, knobs).Configure(without)
			if opts != nil {
				w.Configure(both)
			}
			w.Apply()
			store := w.Stores["memory"]
			store.Inject(memory.Fault{Op: "write", Path: "shop/dev/key", Times: 1, Effect: memory.Land, Calls: 1000})
			l := w.Configure(both).Look(opts...)
			w.State.Fail = func(step string) error {
				if step == "save" { // the journal stays as it is
					return context.Canceled
				}
				return nil
			}
			_, _ = applyPlan(w, l)
			w.State.Fail = nil
			loc := addr.Location{Provider: "mem-1", Kind: addr.KindSecret, Path: "shop/dev/beside"}
			heard := w.Now.Add(10 * time.Minute)
			must(t, w.State.Append(context.Background(), state.Record{Kind: state.RecordDrop, Location: loc, At: heard}))
			w.Configure(without)
			w.Now = heard.Add(time.Minute)
			expect(t, w.Plan(), "unknown "+key+" interrupted")
			store.Settle()
			w.Now = heard.Add(2 * time.Minute)
			expect(t, w.Plan(), "delete "+key+" removed")
			w.Apply()
			expect(t, w.Plan())
		})
	}
}

// TestAMoveWaitsOutALateWrite: what is gone from its present place may come back
// by a write that is on its way, so nothing new is made yet.
func TestAMoveWaitsOutALateWrite(t *testing.T) {
	knobs := memory.Options{Versions: true, Attributes: true, OpID: true, List: true, Settle: 2 * time.Minute}
	w := plannertest.New(t, knobs).Configure(keyAt("p"))
	w.Apply()
	store := w.Stores["memory"]
	store.Inject(memory.Fault{Op: "write", Path: "p", Times: 1, Effect: memory.Land, Calls: 1000})
	mustTry(t, w, plannertest.Settle(key, planner.SettleRotate))
	store.Remove("p", 0)
	w.Configure(keyAt("q"))
	expect(t, w.Plan(), "unknown "+key+" interrupted")
	store.Settle()
	arrived := w.Value("memory", "p")
	w.Now = w.Now.Add(2 * time.Minute)
	w.Apply()
	if w.Value("memory", "q") != arrived {
		t.Error("another value was made")
	}
}
