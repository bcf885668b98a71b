package planner_test

import (
	"strings"
	"testing"
	"time"

	"github.com/cofferhq/coffer/planner"
	"github.com/cofferhq/coffer/planner/plannertest"
	"github.com/cofferhq/coffer/providers/memory"
	"github.com/cofferhq/coffer/providers/secret"
)

// TestAListThatPassesOver: what is recorded and not in a list is looked at by
// itself, however many there are, since a policy can filter a list.
func TestAListThatPassesOver(t *testing.T) {
	wanted := sec("key", `value = random_hex()`) + sec("other", `value = random_hex()`) + sec("third", `value = from_env("K")`)
	for name, list := range map[string]bool{"listed": true, "inspected": false} {
		t.Run(name, func(t *testing.T) {
			knobs := memory.Counting()
			knobs.List = list
			w := plannertest.New(t, knobs).Configure(app(wanted))
			w.Environ["K"] = "v"
			w.Apply()
			knobs.Hides = func(path string) bool { return strings.HasPrefix(path, "shop/") }
			w.Knobs["memory"] = knobs
			expect(t, w.Plan())
			if found := w.Drift().Drift; len(found) > 0 {
				t.Errorf("drift %+v", found)
			}
			w.Stores["memory"].Remove("shop/dev/other", 0)
			w.Stores["memory"].Inject(memory.Deny("inspect", "shop/dev/third"))
			expect(t, w.Plan(), "create "+at("other")+" missing new-value", "unknown "+at("third")+" forbidden")
			w.Stores["memory"].Heal()
			w.Apply()
			w.Environ["K"] = "w" // what is written is looked at again, and found
			w.Apply(plannertest.Settle(key, planner.SettleRotate))
			expect(t, w.Plan())
		})
	}
}

// TestAClockBehind: a store that went on counting did not go back in time, when
// the node that took over only has another clock.
func TestAClockBehind(t *testing.T) {
	w := plannertest.New(t, memory.Counting()).Configure(gen)
	w.Apply()
	w.Stores["memory"].Advance(-time.Hour)
	edit(w)
	expect(t, w.Plan(), "conflict "+key+" changed_outside")
	expectDrift(t, w.Drift(), "changed "+key)
	w.Stores["memory"].Replace("shop/dev/key", secret.String("older"), "") // the number is not higher
	if p := w.Plan(); len(p.Diagnostics) != 1 || !strings.Contains(p.Diagnostics[0].Summary, "back in time") {
		t.Errorf("plan %q", lines(p))
	}
}

// TestDeletedWithoutAnEnd: where a platform does not say how long it keeps a
// deleted secret, neither do we.
func TestDeletedWithoutAnEnd(t *testing.T) {
	w := full(t).Configure(gen)
	w.Apply()
	w.Stores["memory"].Remove("shop/dev/key", -1)
	for _, d := range w.Drift().Drift {
		if !strings.HasSuffix(d.Detail, "kept by the platform") {
			t.Errorf("drift says %q", d.Detail)
		}
	}
}
