package planner_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/cofferhq/coffer/planner"
	"github.com/cofferhq/coffer/planner/plannertest"
	"github.com/cofferhq/coffer/providers"
	"github.com/cofferhq/coffer/providers/memory"
	"github.com/cofferhq/coffer/providers/secret"
)

func moved(from, to string) string {
	return "moved {\n  from = app." + from + "\n  to   = app." + to + "\n}\n"
}

// An app with templates moves: its values are relocated, and the new names in
// what refers to them are no new templates.
func TestAnAppWithTemplatesMoves(t *testing.T) {
	shop := plus(gen, urlSecret)
	reader := with(gen[strings.Index(gen, "app"):], `"shop"`, `"reader"`, `random_hex({ bytes = 16 })`, `"r-${app.shop.secret.key}"`)
	w := full(t).Configure(shop + reader)
	w.Apply()
	was, url := w.Value("memory", "shop/dev/key"), w.Value("memory", "shop/dev/url")
	w.Configure(with(shop+reader, `"shop"`, `"store"`, "app.shop.", "app.store.") + moved("shop", "store"))
	expect(t, w.Plan(), `update app.reader.secret.key["dev"] metadata_changed`, `relocate app.store.secret.key["dev"] moved reads`, `relocate app.store.secret.url["dev"] moved reads`)
	w.Apply()
	if w.Value("memory", "store/dev/key") != was || w.Value("memory", "store/dev/url") != url {
		t.Errorf("another value after the move")
	}
	expect(t, w.Plan(), "delete "+key+" moved", "delete "+at("url")+" moved")
	w.Apply()
	expect(t, w.Plan())
	w.Apply(plannertest.Settle(`app.store.secret.key["dev"]`, planner.SettleRotate))
	if w.Value("memory", "reader/dev/key") != "r-"+w.Value("memory", "store/dev/key") {
		t.Errorf("the reader lost what it refers to")
	}
}

// a became b, and b became c: whoever still has a in the state ends at c, in
// whatever order the blocks stand.
func TestAChainOfMoves(t *testing.T) {
	ab, bc := moved("shop.secret.key", "shop.secret.b"), moved("shop.secret.b", "shop.secret.c")
	named := func(name string) string {
		return app(sec(name, "value = random_hex()", `path = "fixed/place"`) + sec("url", `value = "u-${secret.`+name+`}"`))
	}
	for name, blocks := range map[string]string{"in order": ab + bc, "the other way round": bc + ab} {
		t.Run(name, func(t *testing.T) {
			w := full(t).Configure(named("key"))
			w.Apply()
			was := w.Value("memory", "fixed/place")
			w.Configure(named("c") + blocks)
			expect(t, w.Plan(), `rename `+at("c")+` moved`, "update "+at("url")+" metadata_changed")
			if r := w.Apply(); r.ValuesRead != 0 {
				t.Errorf("%d values read", r.ValuesRead)
			}
			if w.Value("memory", "fixed/place") != was {
				t.Errorf("a rename changed the value")
			}
			expect(t, w.Plan())
			w.Apply(plannertest.Settle(at("c"), planner.SettleRotate))
			if w.Value("memory", "shop/dev/url") != "u-"+w.Value("memory", "fixed/place") {
				t.Errorf("the template does not follow")
			}
			expect(t, w.Plan())
		})
	}
}

func TestProtectionMovesAlong(t *testing.T) {
	w := full(t).Configure(protected)
	w.Apply()
	w.Configure(with(protected, "protect = true", "protect = true\n    path = \"at/new\""))
	expect(t, w.Plan(), "relocate "+key+" moved reads")
	w.Apply()
	expect(t, w.Plan(), "delete "+key+" moved")
	w.Apply()
	if m, _ := w.Stores["memory"].Meta("at/new"); !m.Attributes.Mark.Protected {
		t.Errorf("the new place is not protected")
	}
	w.Configure(without)
	expect(t, w.Plan(), "error "+key+" is protected")
}

// Another alias for the same instance is another word, and moves nothing.
func TestAnotherAliasMovesNothing(t *testing.T) {
	w := readable(full(t))
	w.AddStore("b", memory.Full())
	w.Configure(replicated).Apply()
	w.Stores["memory.eu"], w.Knobs["memory.eu"] = w.Stores["memory.b"], w.Knobs["memory.b"]
	delete(w.Stores, "memory.b")
	calls := w.Stores["memory.eu"].Calls("write")
	w.Configure(with(replicated, "memory.b", "memory.eu"))
	for _, line := range lines(w.Plan()) {
		if !strings.HasPrefix(line, "rename ") || strings.Contains(line, "reads") {
			t.Errorf("more than a name: %s", line)
		}
	}
	w.Apply()
	if n := w.Stores["memory.eu"].Calls("write"); n != calls {
		t.Errorf("%d writes, %d before", n, calls)
	}
	expect(t, w.Plan())
	// The old word is free for another instance.
	w.AddStore("b", memory.Full())
	w.Stores["memory.b"].SetIdentity("mem-third")
	w.Configure(with(replicated, "[memory.b]", "[memory.eu]"))
	expect(t, w.Plan())
}

func TestASwappedInstanceIsSeen(t *testing.T) {
	w := full(t).Configure(both)
	w.Apply()
	w.Stores["memory"].SetIdentity("mem-2")
	s, err := w.State.Load(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	_, diags := planner.Connect(t.Context(), w.Providers(), s)
	if len(diags) != 1 || !strings.Contains(diags[0].Detail, "coffer state repin memory") || !strings.Contains(diags[0].Detail, "2 entries") {
		t.Errorf("diagnostics: %+v", diags)
	}
}

func TestAProviderThatIsNoLongerConfigured(t *testing.T) {
	w := full(t)
	w.AddStore("b", memory.Full())
	w.AddStore("c", memory.Full())
	w.Configure(with(replicated, "[memory.b]", "[memory.b, memory.c]")).Apply()
	delete(w.Stores, "memory.b")
	delete(w.Stores, "memory.c")
	w.Configure(gen)
	first := w.Plan()
	const gone = "error a provider that holds 1 secret is not configured"
	expect(t, first, gone, gone)
	for range 20 {
		if again := w.Plan(); again.Diagnostics[0].Detail != first.Diagnostics[0].Detail {
			t.Fatalf("the order of diagnostics is an accident")
		}
	}
}

// -- orphans and removed blocks

func TestARemovedBlockDeletesAllOfAnApp(t *testing.T) {
	w := full(t).Configure(both + with(gen[strings.Index(gen, "app"):], `"shop"`, `"bank"`))
	w.Apply()
	w.Configure(with(gen, `"shop"`, `"bank"`) + "removed {\n  from = app.shop\n  lifecycle {\n    destroy = true\n  }\n}\n")
	p := w.Plan()
	expect(t, p, "delete "+key+" removed", "delete "+at("other")+" removed")
	for _, c := range p.Changes {
		if !c.Confirmed || c.Range == nil {
			t.Errorf("%s: confirmed %v, range %v", c.Address, c.Confirmed, c.Range)
		}
	}
	w.Apply()
	expect(t, w.Plan())
}

// The narrowest removed block decides.
func TestTheNarrowestRemovedBlockDecides(t *testing.T) {
	w := full(t).Configure(both + with(gen[strings.Index(gen, "app"):], `"shop"`, `"bank"`))
	w.Apply()
	w.Configure(with(gen, `"shop"`, `"bank"`) + "removed {\n  from = app.shop\n  lifecycle {\n    destroy = true\n  }\n}\n" + removed(false))
	expect(t, w.Plan(), "forget "+key+" removed", "delete "+at("other")+" removed")
	w.Apply()
	if m, exists := w.Stores["memory"].Meta("shop/dev/key"); !exists || m.Attributes.Mark.Project != "" {
		t.Errorf("the forgotten secret: %v, mark %+v", exists, m.Attributes.Mark)
	}
	expect(t, w.Plan())
}

func TestAnOrphanOfAnotherProjectIsNobodysBusiness(t *testing.T) {
	w := full(t).Configure(gen)
	w.Apply()
	w.Stores["memory"].Edit("bank/dev/x", secret.String("x"), "")
	w.Stores["memory"].SetMark("bank/dev/x", providers.Mark{Project: "theirs"})
	expect(t, w.Plan())
}

func TestAnOrphanIsDeletedByARemovedBlock(t *testing.T) {
	w := full(t).Configure(both)
	w.Apply()
	w.State.Lose()
	w.Configure(without + removed(true))
	w.Apply()
	if _, exists := w.Stores["memory"].Value("shop/dev/key"); exists {
		t.Errorf("the orphan is still there")
	}
	expect(t, w.Plan())
}

// -- eventual consistency

// eventual is a store that answers from the past for a while.
func eventual(lag int) memory.Options {
	o := memory.Eventual()
	o.Lag = lag
	return o
}

// lookAt is a refresh whose pause between two looks is a hook.
func lookAt(t *testing.T, w *plannertest.World, pause func()) *planner.Plan {
	t.Helper()
	l := w.Look()
	pauses := 0
	r := &planner.Refresher{Stores: l.Stores, Wait: func(_ context.Context, d time.Duration) error {
		if pauses++; d != 2*time.Minute {
			t.Errorf("paused %s, want the settle time", d)
		}
		pause()
		return nil
	}}
	live, err := r.Refresh(t.Context(), l.Desired, l.Snapshot)
	if err != nil {
		t.Fatal(err)
	}
	if pauses > 1 {
		t.Errorf("%d pauses for one store", pauses)
	}
	return planner.Diff(l.Desired, l.Snapshot, live, l.Stores, l.Options)
}

func TestOneMissingProvesNothingOnAnEventualStore(t *testing.T) {
	w := plannertest.New(t, eventual(1)).Configure(both)
	w.Apply() // and the first look after it answers "missing"
	expect(t, lookAtFirst(t, w))
}

// lookAtFirst looks once, with a store that settles during the pause.
func lookAtFirst(t *testing.T, w *plannertest.World) *planner.Plan {
	t.Helper()
	s, err := w.State.Load(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	stores := w.Connect(s)
	desired, _ := planner.Desire(w.Load(), stores)
	r := &planner.Refresher{Stores: stores, Wait: func(context.Context, time.Duration) error { w.Stores["memory"].Settle(); return nil }}
	live, err := r.Refresh(t.Context(), desired, s)
	if err != nil {
		t.Fatal(err)
	}
	return planner.Diff(desired, s, live, stores, planner.DiffOptions{Now: w.Now})
}

func TestTwoLooksProveIt(t *testing.T) {
	w := plannertest.New(t, eventual(1)).Configure(both)
	w.Apply()
	w.Stores["memory"].Settle()
	w.Stores["memory"].Remove("shop/dev/key", 0)
	expect(t, lookAt(t, w, func() {}), "create "+key+" missing new-value")
}

func TestASecondLookThatFailsIsUnknown(t *testing.T) {
	w := plannertest.New(t, eventual(1)).Configure(both)
	w.Apply()
	w.Stores["memory"].Settle()
	w.Stores["memory"].Remove("shop/dev/key", 0)
	expect(t, lookAt(t, w, func() { w.Stores["memory"].Inject(memory.Outage(0)) }), "unknown "+key+" unreachable")
}
