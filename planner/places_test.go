package planner_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/cofferhq/coffer/lang"
	"github.com/cofferhq/coffer/lang/addr"
	"github.com/cofferhq/coffer/planner"
	"github.com/cofferhq/coffer/planner/plannertest"
	"github.com/cofferhq/coffer/providers"
	"github.com/cofferhq/coffer/providers/memory"
	"github.com/cofferhq/coffer/providers/secret"
)

// These are stories in which a live value was once lost, replaced or mixed up.

const gen8 = `value = random_hex({ bytes = 8 })`

func keyAt(path string) string { return app(sec("key", gen8, fmt.Sprintf("path = %q", path))) }

// settled applies until the plan is empty.
func settled(t *testing.T, w *plannertest.World) {
	t.Helper()
	for range 5 {
		if len(w.Plan().Changes) == 0 {
			return
		}
		w.Apply()
	}
	t.Fatalf("the plan does not become empty: %v", lines(w.Plan()))
}

// An open intent at the old place is no reason to make a new value.
func TestARelocationTakesUpAnIntent(t *testing.T) {
	for name, op := range map[string]string{"of a label": "set_attributes", "of the create": "write"} {
		t.Run(name, func(t *testing.T) {
			w := full(t)
			if op == "write" {
				w.Configure(keyAt("p"))
			} else {
				w.Configure(keyAt("p")).Apply()
				w.Configure(app(sec("key", gen8, `path = "p"`, `labels = { a = "b" }`)))
			}
			w.Stores["memory"].Inject(loseAnswer(op, "p"))
			mustTry(t, w)
			was := w.Value("memory", "p")
			w.Configure(keyAt("q"))
			expect(t, w.Plan(), "relocate "+key+" moved reads")
			settled(t, w)
			if w.Value("memory", "q") != was {
				t.Error("another value after the move")
			}
		})
	}
}

// a takes b's place while b moves on: each keeps its own value.
func TestAChainOfPaths(t *testing.T) {
	w := plannertest.New(t, memory.Versioned()).Configure(placesOf("a", "p/a", "b", "p/b"))
	w.Apply()
	a, b := w.Value("memory", "p/a"), w.Value("memory", "p/b")
	w.Configure(placesOf("a", "p/b", "b", "p/c"))
	settled(t, w)
	if w.Value("memory", "p/b") != a || w.Value("memory", "p/c") != b {
		t.Error("the values are mixed up")
	}
}

// The place of a secret that is taken out of the configuration goes to another
// one: first the old value is deleted, then the other moves in.
func TestThePlaceOfARemovedSecret(t *testing.T) {
	w := plannertest.New(t, memory.Versioned()).Configure(placesOf("a", "p/a", "b", "p/b"))
	w.Apply()
	b := w.Value("memory", "p/b")
	w.Configure(placesOf("b", "p/a"))
	settled(t, w)
	if w.Value("memory", "p/a") != b {
		t.Error("b has another value")
	}
}

// Where the platform keeps deleted names, the place stays taken; what was
// deleted there is not restored as if it were the newcomer's.
func TestAPlaceThatADeletedSecretHolds(t *testing.T) {
	w := full(t).Configure(placesOf("a", "p/a", "b", "p/b"))
	w.Apply()
	w.Configure(placesOf("b", "p/a")).Apply()
	expect(t, w.Plan(), "note "+at("b")+" moved", "error the name of "+at("b")+" is taken until 2026-01-08 00:00 UTC")
}

// The old place is not given up while the new one is not in order.
func TestTheOldPlaceStaysUntilTheNewIsInOrder(t *testing.T) {
	moved := func(t *testing.T) (*plannertest.World, *memory.World, string) {
		w := full(t)
		b := w.AddStore("b", memory.Full())
		w.Configure(app(sec("key", gen8))).Apply()
		was := w.Value("memory", "shop/dev/key")
		w.Configure(with(app(sec("key", gen8)), "store = memory", "store = memory.b")).Apply()
		return w, b, was
	}
	t.Run("unreachable", func(t *testing.T) {
		w, b, _ := moved(t)
		b.Inject(memory.Outage(0))
		expect(t, w.Plan(), "unknown "+key+" unreachable", "note "+key+" moved")
	})
	t.Run("changed by hand", func(t *testing.T) {
		w, b, _ := moved(t)
		b.Edit("shop/dev/key", secret.String("x"), "mallory")
		expect(t, w.Plan(), "conflict "+key+" changed_outside", "note "+key+" moved")
	})
	t.Run("lost: it moves again", func(t *testing.T) {
		w, b, was := moved(t)
		b.Remove("shop/dev/key", 0)
		expect(t, w.Plan(), "relocate "+key+" moved reads")
		settled(t, w)
		if w.Value("memory.b", "shop/dev/key") != was {
			t.Error("another value")
		}
	})
}

// Back to a place that still holds an older value: the newer one wins.
func TestMovingBackKeepsTheNewestValue(t *testing.T) {
	w := full(t)
	w.AddStore("b", memory.Full())
	here := app(sec("key", gen8))
	w.Configure(here).Apply()
	w.Configure(with(here, "store = memory", "store = memory.b")).Apply()
	w.Stores["memory"].Inject(refuse("delete"))
	mustTry(t, w, plannertest.Settle(key, planner.SettleRotate))
	w.Stores["memory"].Heal()
	newest := w.Value("memory.b", "shop/dev/key")
	w.Configure(here)
	settled(t, w)
	if w.Value("memory", "shop/dev/key") != newest {
		t.Error("an older value came back")
	}
}

// A selection that leaves out the new place leaves the old one alone.
func TestASelectionDoesNotTearAMoveApart(t *testing.T) {
	w := full(t).Configure(app(sec("old", gen8) + sec("z", gen8)))
	w.Apply()
	w.Configure(app(sec("new", gen8)+sec("z", gen8)) + moved("shop.secret.old", "shop.secret.new"))
	expect(t, w.Plan(plannertest.Exclude(at("new"))))
	expect(t, w.Plan(plannertest.Target(at("old"))))
}

// While a copy lives, or may live, no new value is made.
func TestNoNewValueWhileACopyMayLive(t *testing.T) {
	gone := func(t *testing.T) (*plannertest.World, *memory.World) {
		w := full(t)
		b := w.AddStore("b", memory.Full())
		w.Configure(replicated).Apply()
		w.Stores["memory"].Remove("shop/dev/key", 0)
		return w, b
	}
	t.Run("it cannot be seen", func(t *testing.T) {
		w, b := gone(t)
		b.Inject(memory.Outage(0))
		expect(t, w.Plan(), "unknown "+key+" unreachable", "unknown "+key+"@memory.b unreachable")
	})
	t.Run("it is no longer declared", func(t *testing.T) {
		w, _ := gone(t)
		w.Configure(gen)
		expect(t, w.Plan(), "conflict "+key+" missing", "note "+key+"@memory.b removed")
	})
	t.Run("the primary was to move", func(t *testing.T) {
		w, _ := gone(t)
		w.AddStore("c", memory.Full())
		w.Configure(with(replicated, "store    = memory\n", "store    = memory.c\n"))
		expect(t, w.Plan(), "conflict "+key+" missing")
	})
	t.Run("the old place is only soft-deleted", func(t *testing.T) {
		w := full(t).Configure(keyAt("p"))
		w.Apply()
		w.Stores["memory"].Remove("p", 1e9)
		w.Configure(keyAt("q"))
		expect(t, w.Plan(), "conflict "+key+" soft_deleted")
	})
}

// A count of values that began again would make what depends on them look up
// to date.
func TestTheCountOfValuesGoesOnAfterStateRm(t *testing.T) {
	w := full(t).Configure(plus(never, `  secret "t" { value = "x-${secret.key}" }`))
	w.Apply()
	w.Stores["memory"].Remove("shop/dev/key", 0)
	snap := w.Look().Snapshot
	for loc, e := range snap.Entries {
		if e.Address.String() == key {
			delete(snap.Entries, loc)
		}
	}
	if err := w.State.Save(t.Context(), snap); err != nil {
		t.Fatal(err)
	}
	expect(t, w.Plan(), "create "+key+" new", "update "+at("t")+" source_changed")
	settled(t, w)
	if w.Value("memory", "shop/dev/t") != "x-"+w.Value("memory", "shop/dev/key") {
		t.Error("the template holds the old value")
	}
}

// What somebody wrote over a template is not made official by moving it.
func TestAMovedTemplateIsMadeAgain(t *testing.T) {
	tmpl := func(path string) string {
		return app(sec("key", gen8) + sec("t", `value = "x-${secret.key}"`, fmt.Sprintf("path = %q", path)))
	}
	w := full(t).Configure(tmpl("p"))
	w.Apply()
	w.Stores["memory"].Edit("p", secret.String("evil"), "mallory")
	w.Configure(tmpl("q")).Apply()
	if got := w.Value("memory", "q"); got != "x-"+w.Value("memory", "shop/dev/key") {
		t.Errorf("the new place holds %s", got)
	}
}

// A moved block whose target does not have the secrets confirms no deletes.
func TestAMovedBlockConfirmsNothing(t *testing.T) {
	var many string
	for i := range 20 {
		many += sec(fmt.Sprintf("k%d", i), gen8)
	}
	w := full(t).Configure(app(many))
	w.Apply()
	w.Configure(with(app(sec("other", gen8)), `app "shop"`, `app "new"`) + moved("shop", "new"))
	if deletes, _ := w.Plan().Guard(); deletes != 20 {
		t.Errorf("%d deletes need a confirmation, want 20", deletes)
	}
}

// Two changes of one address at one path, on two stores, are two changes.
func TestAMoveBetweenStoresKeepsItsErrors(t *testing.T) {
	w := full(t)
	b := w.AddStore("b", memory.Full())
	w.Configure(app(sec("key", gen8))).Apply()
	w.Configure(with(app(sec("key", gen8)), "store = memory", "store = memory.b")).Apply()
	w.Configure(with(app(sec("key", gen8, `labels = { a = "b" }`)), "store = memory", "store = memory.b"))
	b.Inject(refuseOnce("set_attributes", "shop/dev/key", providers.Denied))
	if r := mustTry(t, w); !r.Failed() {
		t.Errorf("the denied change is not told: %v", ended(r))
	}
}

// Copies and relocations of many secrets at once: for the race detector.
func TestManyCopiesAndMovesAtOnce(t *testing.T) {
	w := full(t)
	w.AddStore("b", memory.Full())
	var here, there string
	for i := range 100 {
		here += sec(fmt.Sprintf("k%d", i), gen8, "protect = true")
		there += sec(fmt.Sprintf("k%d", i), gen8, "protect = true", fmt.Sprintf("path = \"n/%d\"", i))
	}
	w.Configure(app(here)).Apply()
	w.Configure(copies(app(there))).Apply()
	settled(t, w)
}

// One apply takes a reader away from a container, which moves every version in
// it, and deletes a secret of it.
func TestADeleteAfterTheContainerMoved(t *testing.T) {
	knobs := memory.Files()
	w := plannertest.New(t, knobs)
	readers := func(names ...string) {
		a := address(t, at("key"))
		w.Policies = []*lang.Policy{{Address: a, Secrets: []addr.Address{a}}}
		for _, name := range names {
			w.Policies[0].Readers = append(w.Policies[0].Readers, lang.Reader{Func: memory.ReaderFunc, Args: []string{name}})
		}
	}
	readers("alice", "bob")
	w.Configure(both).Apply()
	readers("alice")
	w.Configure(gen).Apply()
	expect(t, w.Plan())
}

// Fields that come or go together with a path are the only ones that change.
func TestFieldsComeAndGoOnTheWay(t *testing.T) {
	block := func(lines ...string) string { return app(sec("key", lines...)) }
	for _, knobs := range []memory.Options{memory.Full(), memory.Counting(), memory.Files()} {
		for _, more := range []string{"", "c = random_hex()"} {
			w := plannertest.New(t, knobs).Configure(block("fields = {", "a = random_hex()", "b = random_hex()", `d = "x-${self.a}"`, "}"))
			w.Apply()
			was := w.Value("memory", "shop/dev/key")
			w.Configure(block(`path = "p/q"`, "fields = {", "a = random_hex()", `d = "x-${self.a}"`, more, "}"))
			settled(t, w)
			got := map[string]string{}
			for line := range strings.SplitSeq(w.Value("memory", "p/q"), "\n") {
				name, text, _ := strings.Cut(line, "=")
				got[name] = text
			}
			if !strings.HasPrefix(was, "a="+got["a"]+"\n") || got["d"] != "x-"+got["a"] || (got["c"] == "") != (more == "") || got["b"] != "" {
				t.Errorf("it held %s, and holds %s", was, got)
			}
		}
	}
}

// A copy is made of its own primary, also where another's copy lay.
func TestACopyTakesAnothersPlace(t *testing.T) {
	for _, knobs := range []memory.Options{memory.Versioned(), memory.Files()} {
		w := plannertest.New(t, knobs)
		b := w.AddStore("b", knobs)
		w.Configure(copies(placesOf("a", "p/a", "b", "p/b"))).Apply()
		w.Configure(copies(placesOf("a", "p/b", "b", "p/c")))
		settled(t, w)
		for _, path := range []string{"p/b", "p/c"} {
			if v, _ := b.Value(path); plannertest.Text(v) != w.Value("memory", path) {
				t.Errorf("the copy at %s is of another value", path)
			}
		}
	}
}

// A new secret at the place that another left has nothing to do with the copies
// of that one, neither to be restored from nor to be asked about.
func TestANewSecretAtAPlaceWithACopy(t *testing.T) {
	w := plannertest.New(t, memory.Files())
	w.AddStore("b", memory.Files())
	w.Configure(copies(placesOf("old", "p/a"))).Apply()
	was := w.Value("memory", "p/a")
	w.Configure(copies(placesOf("old", "p/b", "new", "p/a")))
	settled(t, w)
	if w.Value("memory", "p/b") != was || w.Value("memory.b", "p/b") != was || w.Value("memory", "p/a") == was || w.Value("memory", "p/a") != w.Value("memory.b", "p/a") {
		t.Error("the two are mixed up")
	}
}

// Without the state the mark tells whose a value is, whatever place it lies at.
func TestPlacesAfterALostState(t *testing.T) {
	w := plannertest.New(t, memory.Versioned()).Configure(placesOf("a", "p/a", "b", "p/b"))
	w.Apply()
	a, b := w.Value("memory", "p/a"), w.Value("memory", "p/b")
	w.State.Lose()
	w.Configure(placesOf("a", "p/b", "b", "p/c"))
	expect(t, w.Plan(), "relocate "+at("b")+" moved reads",
		"error "+at("a")+" exists already, managed under another address")
	w.Apply(plannertest.Target(at("b")))
	settled(t, w.Configure(placesOf("a", "p/d", "b", "p/c")))
	if w.Value("memory", "p/d") != a || w.Value("memory", "p/c") != b {
		t.Error("the two are mixed up")
	}
}

// Two paths exchanged while the state is lost: nothing that is offered exchanges
// the values.
func TestExchangedPathsAfterALostState(t *testing.T) {
	w := plannertest.New(t, memory.Versioned()).Configure(placesOf("a", "p/a", "b", "p/b"))
	w.Apply()
	w.State.Lose()
	p := w.Configure(placesOf("a", "p/b", "b", "p/a")).Plan()
	if len(p.Diagnostics) != 2 {
		t.Fatalf("got %q, want two errors", lines(p))
	}
	for i, want := range []string{
		"value of " + at("b") + ". The own value of " + at("a") + ` lies at "p/a" on memory: set that as its path.`,
		"value of " + at("a") + ". The own value of " + at("b") + ` lies at "p/b" on memory: set that as its path.`,
	} {
		if d := p.Diagnostics[i].Detail; !strings.Contains(d, want) || strings.Contains(d, "coffer import") {
			t.Errorf("it says %q, want %q and no import", d, want)
		}
	}
	expect(t, w.Configure(placesOf("a", "p/b")+importing(at("a"), "p/b")).Plan(), // nobody declares b any more
		"adopt "+at("a")+" imported")
	took := w.Configure(placesOf("a", "p/b", "b", "p/c")+importing(at("a"), "p/b")).Plan(plannertest.TakeOver(), plannertest.Target(at("a")))
	expect(t, took, "adopt "+at("a")+" imported")
}

// What an interrupted run left open at a place is of the secret that the run was
// about, and not of the one that is to be there now.
func TestThePlaceOfAnInterruptedRun(t *testing.T) {
	for name, knobs := range map[string]memory.Options{"versioned": memory.Versioned(), "files": memory.Files()} {
		for _, landed := range []bool{true, false} {
			for _, rotated := range []bool{true, false} {
				w := plannertest.New(t, knobs)
				store := w.AddStore("b", knobs)
				w.Configure(copies(placesOf("a", "p/a"))).Apply()
				w.Configure(copies(placesOf("a", "p/a", "b", "p/b")))
				var opts []plannertest.Option
				if rotated {
					w.Apply()
					opts = append(opts, plannertest.Settle(at("b"), planner.SettleRotate))
				}
				crashed(w, landed, opts...)
				a := w.Value("memory", "p/a")
				b, made := w.Stores["memory"].Value("p/b")
				settled(t, w.Configure(copies(placesOf("a", "p/b", "b", "p/c"))))
				if w.Value("memory", "p/b") != a || made && w.Value("memory", "p/c") != plannertest.Text(b) {
					t.Errorf("%s, landed %v, rotated %v: the two are mixed up", name, landed, rotated)
				}
				for _, path := range []string{"p/b", "p/c"} {
					if v, ok := store.Value(path); !ok || plannertest.Text(v) != w.Value("memory", path) {
						t.Errorf("%s, landed %v, rotated %v: the copy at %s is of another value", name, landed, rotated, path)
					}
				}
			}
		}
	}
}
