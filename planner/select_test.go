package planner_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/cofferhq/coffer/planner"
	"github.com/cofferhq/coffer/planner/plannertest"
	"github.com/cofferhq/coffer/providers/memory"
)

// chain is c <- b <- a, and x beside them.
var chain = app(sec("a", `value = "1-${secret.b}"`) + sec("b", `value = "2-${secret.c}"`) +
	sec("c", `value = random_hex()`) + sec("x", `value = random_hex()`))

func TestTargetTakesItsDependenciesAndNotItsDependants(t *testing.T) {
	w := full(t).Configure(chain)
	p := w.Plan(plannertest.Target(at("b")))
	expect(t, p, "create "+at("b")+" new", "create "+at("c")+" new")
	if !p.Partial {
		t.Errorf("the plan does not say that it is partial")
	}
	w.Apply(plannertest.Target(at("b")))
	expect(t, w.Plan(), "create "+at("a")+" new reads", "create "+at("x")+" new")
	if w.Plan().Partial {
		t.Errorf("a whole plan says that it is partial")
	}
}

func TestTargetTakesTheReplicasOfWhatItNames(t *testing.T) {
	w := full(t)
	w.AddStore("b", memory.Full())
	w.Configure(replicated)
	expect(t, w.Plan(plannertest.Target(key)), "create "+key+" new", "create "+keyB+" new")
	expect(t, w.Plan(plannertest.Target(keyB)), "create "+key+" new", "create "+keyB+" new")
}

func TestAPrefixSelectsAllBelow(t *testing.T) {
	w := full(t).Configure(gen + with(gen[strings.Index(gen, "app"):], `"shop"`, `"bank"`))
	expect(t, w.Plan(plannertest.Target("app.bank")), `create app.bank.secret.key["dev"] new`)
	expect(t, w.Plan(plannertest.Exclude("app.bank")), "create "+key+" new")
}

func TestAPartialPlanDeletesNothingOutside(t *testing.T) {
	w := full(t).Configure(chain)
	w.Apply()
	w.Configure(app(sec("n", "value = random_hex()") + sec("b", `value = "3-${secret.c}"`) + sec("c", `value = random_hex()`)))
	p := w.Plan(plannertest.Target(at("b")))
	expect(t, p, "update "+at("b")+" source_changed reads")
	w.Apply(plannertest.Target(at("b")))
	for _, name := range []string{"a", "x"} {
		w.Value("memory", "shop/dev/"+name)
	}
	expect(t, w.Plan(plannertest.Target(at("x"))), "delete "+at("x")+" removed")
	expect(t, w.Plan(plannertest.Exclude(at("x")), plannertest.Exclude(at("n"))), "delete "+at("a")+" removed")
}

func TestExclude(t *testing.T) {
	w := full(t).Configure(chain)
	p := w.Plan(plannertest.Exclude(at("x")))
	expect(t, p, "create "+at("a")+" new", "create "+at("b")+" new", "create "+at("c")+" new")
	if !p.Partial {
		t.Errorf("the plan does not say that it is partial")
	}
	w.Apply(plannertest.Exclude(at("x")))
	// What is excluded is taken as it stands.
	before := w.Value("memory", "shop/dev/c")
	w.Apply(plannertest.Settle(at("c"), planner.SettleRotate), plannertest.Exclude(at("b")))
	if w.Value("memory", "shop/dev/b") != "2-"+before || w.Value("memory", "shop/dev/a") != "1-2-"+before {
		t.Errorf("something that was excluded changed")
	}
	w.Apply()
	if got := w.Value("memory", "shop/dev/a"); got != "1-2-"+w.Value("memory", "shop/dev/c") {
		t.Errorf("the rest did not catch up")
	}
	expect(t, w.Plan())
}

func TestATargetedPlanReportsNoOrphans(t *testing.T) {
	w := full(t).Configure(both)
	w.Apply()
	w.State.Lose()
	w.Configure(without)
	expect(t, w.Plan(plannertest.Target(at("other"))), "adopt "+at("other")+" state_lost")
}

// -refresh=false shows the state and is never applied.
func TestARecordedPlan(t *testing.T) {
	for name, knobs := range map[string]memory.Options{"full": memory.Full(), "files": memory.Files()} {
		t.Run(name, func(t *testing.T) {
			w := plannertest.New(t, knobs)
			w.AddStore("b", knobs)
			w.Configure(replicated).Apply()
			recorded := func() (*plannertest.Look, *planner.Plan) {
				l := w.Look()
				return l, planner.Diff(l.Desired, l.Snapshot, planner.Recorded(l.Snapshot), l.Stores, l.Options)
			}
			_, p := recorded()
			if p.Refreshed || !p.Partial || len(p.Changes) != 0 || len(p.Diagnostics) != 0 {
				t.Fatalf("refreshed %v, partial %v, %q", p.Refreshed, p.Partial, lines(p))
			}
			if len(p.Notes) != 1 || p.Notes[0].Reason != planner.ReasonNotChecked {
				t.Errorf("notes: %+v", p.Notes)
			}
			w.Configure(plus(replicated, otherSecret))
			l, p := recorded()
			if p.Summary.Create != 2 || len(p.Changes) != 2 {
				t.Errorf("plan: %q", lines(p))
			}
			var refused *planner.RefusedError
			if _, err := w.Applier(l).Apply(t.Context(), p); !errors.As(err, &refused) || !strings.Contains(err.Error(), "-refresh=false") {
				t.Errorf("error: %v", err)
			}
		})
	}
}
