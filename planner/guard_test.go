package planner_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/cofferhq/coffer/planner"
	"github.com/cofferhq/coffer/planner/plannertest"
)

// several is n generated secrets s0 … and what else is given.
func several(n int, more ...string) string {
	var b strings.Builder
	for i := range n {
		b.WriteString(sec(fmt.Sprintf("s%d", i), "value = random_hex()"))
	}
	return app(b.String() + strings.Join(more, ""))
}

// guards returns the numbers that a plan wants confirmed.
func guards(p *planner.Plan) [2]int {
	deletes, rotations := p.Guard()
	return [2]int{deletes, rotations}
}

func TestDeletesBeyondATenthAreConfirmed(t *testing.T) {
	for _, tt := range []struct{ live, left, want int }{
		{2, 1, 0}, {3, 1, 2}, {10, 9, 0}, {10, 8, 2}, {20, 18, 0}, {20, 17, 3}, {29, 27, 0}, {29, 26, 3}, {30, 27, 0},
	} {
		w := full(t).Configure(several(tt.live))
		w.Apply()
		w.Configure(several(tt.left))
		p := w.Plan()
		if got := guards(p); got != [2]int{tt.want, 0} || p.Live != tt.live {
			t.Errorf("%d of %d live: guard %v, live %d, want %d", tt.live-tt.left, tt.live, got, p.Live, tt.want)
		}
	}
}

func TestTheExactNumberConfirms(t *testing.T) {
	w := full(t).Configure(several(10))
	w.Apply()
	w.Configure(several(7))
	p := w.Plan()
	for n := range 6 {
		err := p.Confirm(n, 0)
		var guard *planner.GuardError
		if n == 3 && err != nil || n != 3 && (!errors.As(err, &guard) || guard.Deletes != 3) {
			t.Errorf("-confirm-deletes %d: %v", n, err)
		}
	}
	if text := p.Confirm(0, 0).Error(); !strings.Contains(text, "-confirm-deletes 3") {
		t.Errorf("the error does not say the next step: %s", text)
	}
}

func TestARemovedBlockConfirmsItsDeletes(t *testing.T) {
	w := full(t).Configure(several(5, sec("key", "value = random_hex()"), sec("token", "value = random_hex()")))
	w.Apply()
	gone := several(4) + removed(true) + strings.ReplaceAll(removed(true), "key", "token")
	w.Configure(gone)
	p := w.Plan()
	if p.Summary.Delete != 3 || guards(p) != [2]int{} {
		t.Errorf("%d deletes, guard %v: only one is not confirmed", p.Summary.Delete, guards(p))
	}
	if err := p.Confirm(0, 0); err != nil {
		t.Errorf("%v", err)
	}
}

func TestMovedDeletesDoNotCount(t *testing.T) {
	shop := several(4)
	w := full(t).Configure(shop)
	w.Apply()
	w.Configure(with(shop, `"shop"`, `"store"`) + "moved {\n  from = app.shop\n  to   = app.store\n}\n")
	p := w.Plan()
	if p.Summary.Relocate != 4 || guards(p) != [2]int{} {
		t.Fatalf("%q, guard %v", lines(p), guards(p))
	}
	w.Apply()
	p = w.Plan()
	if p.Summary.Delete != 4 || guards(p) != [2]int{} {
		t.Errorf("%q, guard %v", lines(p), guards(p))
	}
	w.Apply()
	expect(t, w.Plan())
}

func TestDroppedFieldsCountAsDeletes(t *testing.T) {
	two := func(name, more string) string {
		return sec(name, "fields = {", "  a = random_hex()", more, "}")
	}
	const b = "  b = random_hex()"
	w := full(t).Configure(app(two("x", b) + two("y", b)))
	w.Apply()
	w.Configure(app(two("x", "") + two("y", b)))
	if got := guards(w.Plan()); got != [2]int{} {
		t.Errorf("one dropped field: guard %v", got)
	}
	w.Configure(app(two("x", "") + two("y", "")))
	if got := guards(w.Plan()); got != [2]int{2, 0} {
		t.Errorf("two dropped fields: guard %v", got)
	}
}

func TestNewValuesBeyondATenthAreConfirmed(t *testing.T) {
	w := full(t).Configure(several(10))
	w.Apply()
	rotate := plannertest.Settle("app.shop", planner.SettleRotate)
	if got := guards(w.Plan(rotate)); got != [2]int{0, 10} {
		t.Errorf("ten rotations: guard %v", got)
	}
	if got := guards(w.Plan(plannertest.Settle(at("s1"), planner.SettleRotate))); got != [2]int{} {
		t.Errorf("one rotation: guard %v", got)
	}
	// Lost values that a generator makes again count too.
	w.Stores["memory"].Remove("shop/dev/s1", 0)
	w.Stores["memory"].Remove("shop/dev/s2", 0)
	p := w.Plan()
	if got := guards(p); got != [2]int{0, 2} || p.Live != 8 {
		t.Errorf("two lost values: guard %v, live %d", got, p.Live)
	}
	err := p.Confirm(0, 1)
	var guard *planner.GuardError
	if !errors.As(err, &guard) || guard.Rotations != 2 || !strings.Contains(err.Error(), "-confirm-rotations 2") {
		t.Errorf("error: %v", err)
	}
	if err := p.Confirm(0, 2); err != nil {
		t.Errorf("%v", err)
	}
}

func TestNewSecretsNeedNoConfirmation(t *testing.T) {
	w := full(t).Configure(several(2))
	w.Apply()
	w.Configure(several(9))
	if got := guards(w.Plan()); got != [2]int{} {
		t.Errorf("guard %v", got)
	}
}

// An empty store is no reason to delete: what cannot be seen counts as live
// and is not deleted.
func TestAnUnreachableStoreDeletesNothing(t *testing.T) {
	w := full(t).Configure(several(4))
	w.Apply()
	w.Configure(several(1))
	w.Stores["memory"].Inject(refuse("list"), refuse("inspect"))
	p := w.Plan()
	if p.Summary.Delete != 0 || p.Summary.Unknown != 4 || p.Live != 4 {
		t.Errorf("%q, live %d", lines(p), p.Live)
	}
}

// Nothing overrides protect: not a removed block, not a confirmation, not a
// state from which the bit is gone.
func TestProtectIsNeverOverridden(t *testing.T) {
	w := full(t).Configure(protected)
	w.Apply()
	w.Configure(without + removed(true))
	p := w.Plan()
	expect(t, p, "error "+key+" is protected")
	if _, err := w.TryApply(); err == nil {
		t.Errorf("a plan with an error was applied")
	}
	s, err := w.State.Load(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range s.Entries {
		e.Protect = false
	}
	if err := w.State.Save(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	expect(t, w.Plan(), "error "+key+" is protected") // the mark says so too
	w.State.Lose()
	w.Configure(without + removed(true))
	expect(t, w.Plan(), `adopt app.shop.secret.other["dev"] state_lost`, "error "+key+" is protected")
	w.Value("memory", "shop/dev/key")
}

func TestProtectIsTakenOffFirst(t *testing.T) {
	w := full(t).Configure(protected)
	w.Apply()
	w.Configure(with(protected, "protect = true", "protect = false"))
	expect(t, w.Plan(), "update "+key+" metadata_changed")
	w.Apply()
	w.Configure(without)
	expect(t, w.Plan(), "delete "+key+" removed")
	w.Apply()
	expect(t, w.Plan())
}

func TestForgettingWhatIsProtected(t *testing.T) {
	w := full(t).Configure(protected)
	w.Apply()
	w.Configure(without + removed(false))
	expect(t, w.Plan(), "forget "+key+" removed")
	w.Apply()
	m, exists := w.Stores["memory"].Meta("shop/dev/key")
	if !exists || m.Attributes.Mark.Project != "" {
		t.Errorf("it should stay, without our mark: %v %+v", exists, m.Attributes.Mark)
	}
	expect(t, w.Plan())
}

// A forged plan does not delete what is protected or declared.
func TestAForgedPlanIsRefused(t *testing.T) {
	w := full(t).Configure(protected)
	w.Apply()
	l := w.Look()
	for _, name := range []string{"key", "other"} {
		forged := *l.Plan
		forged.Changes = []planner.Change{{
			Address: address(t, at(name)), Action: planner.Delete, VersionFrom: "1", Entry: "1",
			Location: planner.Location{Provider: "memory", Kind: "secret", Path: "shop/dev/" + name},
		}}
		var refused *planner.RefusedError
		if _, err := w.Applier(l).Apply(t.Context(), &forged); !errors.As(err, &refused) {
			t.Errorf("%s: %v", name, err)
		}
	}
	w.Value("memory", "shop/dev/key")
	w.Value("memory", "shop/dev/other")
}
