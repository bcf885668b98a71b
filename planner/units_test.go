package planner_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/cofferhq/coffer/planner"
	"github.com/cofferhq/coffer/planner/plannertest"
	"github.com/cofferhq/coffer/providers/memory"
)

// contained is a world whose store keeps each app and environment in one
// container, as a folder of encrypted files does.
func contained(t *testing.T) *plannertest.World {
	knobs := memory.Files()
	whole := knobs.Container
	knobs.Container = func(kind, path string) string {
		if kind == memory.ObjectKind { // its readers are a part of the file
			return path
		}
		return whole(kind, path)
	}
	return plannertest.New(t, knobs)
}

// batches applies and returns how many containers were written.
func batches(t *testing.T, w *plannertest.World, opts ...plannertest.Option) int {
	t.Helper()
	w.Stores["memory"].ResetCalls()
	w.Apply(opts...)
	for _, op := range []string{"write", "patch", "delete"} {
		if n := w.Stores["memory"].Calls(op); n != 0 {
			t.Errorf("%d single calls of %s", n, op)
		}
	}
	return w.Stores["memory"].Calls("batch")
}

func TestAContainerIsWrittenOnce(t *testing.T) {
	w := contained(t).Configure(several(30, sec("url", `value = "u-${secret.s1}-${secret.s2}"`), sec("last", `value = "l-${secret.url}"`)))
	if n := batches(t, w); n != 1 {
		t.Errorf("32 creates of one container took %d writes", n)
	}
	if got := w.Value("memory", "shop/dev/url"); got != "u-"+w.Value("memory", "shop/dev/s1")+"-"+w.Value("memory", "shop/dev/s2") {
		t.Errorf("the template is not made of its neighbours")
	}
	expect(t, w.Plan())
	if n := batches(t, w, plannertest.Settle("app.shop", planner.SettleRotate)); n != 1 {
		t.Errorf("32 rotations took %d writes", n)
	}
	if w.State.Saves != 2 {
		t.Errorf("%d saves", w.State.Saves)
	}
	expect(t, w.Plan())
}

// Deletes are a phase of their own, after everything that makes something.
func TestDeletesAreASecondWrite(t *testing.T) {
	w := contained(t).Configure(several(10))
	w.Apply()
	w.Configure(several(7, sec("new", "value = random_hex()")))
	if n := batches(t, w); n != 2 {
		t.Errorf("one create and three deletes took %d writes, want 2", n)
	}
	w.Configure(several(5, sec("new", "value = random_hex()")))
	if n := batches(t, w); n != 1 {
		t.Errorf("two deletes took %d writes, want 1", n)
	}
	expect(t, w.Plan())
}

// two is two apps with the given secrets.
func two(a, b string) string {
	return "environment \"dev\" { store = memory }\napp \"a\" {\n  environments = [\"dev\"]\n" + a + "}\napp \"b\" {\n  environments = [\"dev\"]\n" + b + "}\n"
}

func TestContainersInARow(t *testing.T) {
	w := contained(t).Configure(two(
		sec("x", "value = random_hex()")+sec("y", "value = random_hex()"),
		sec("z", `value = "z-${app.a.secret.x}"`)+sec("w", "value = random_hex()")))
	if n := batches(t, w); n != 2 {
		t.Errorf("two containers took %d writes", n)
	}
	expect(t, w.Plan())
}

// Containers that wait for each other are cut, and no more than needed.
func TestContainersInACircleAreCut(t *testing.T) {
	w := contained(t).Configure(two(
		sec("x", "value = random_hex()")+sec("q", "value = random_hex()")+sec("z", `value = "z-${app.b.secret.y}"`),
		sec("y", `value = "y-${app.a.secret.x}"`)+sec("v", `value = "v-${secret.y}"`)))
	if n := batches(t, w); n != 3 {
		t.Errorf("a circle through two containers took %d writes, want 3: x and q, y and v, z", n)
	}
	if got := w.Value("memory", "a/dev/z"); got != "z-y-"+w.Value("memory", "a/dev/x") {
		t.Errorf("z is not made of y")
	}
	expect(t, w.Plan())
}

func TestAFailureInABatchTakesOnlyItsDependantsAlong(t *testing.T) {
	w := contained(t).Configure(app(sec("a", "value = random_hex()") + sec("b", `value = "b-${secret.a}"`) + sec("c", "value = random_hex()")))
	w.Stores["memory"].Inject(memory.Deny("write", "shop/dev/a"))
	r := mustTry(t, w)
	got := ended(r)
	if got[0] != "create "+at("a")+" failed" || strings.HasSuffix(got[1], at("b")) || got[2] != "create "+at("c") {
		t.Errorf("outcomes: %q", got)
	}
	if w.Stores["memory"].Calls("batch") != 1 {
		t.Errorf("%d writes", w.Stores["memory"].Calls("batch"))
	}
	w.Stores["memory"].Heal()
	w.Apply()
	if w.Value("memory", "shop/dev/b") != "b-"+w.Value("memory", "shop/dev/a") {
		t.Errorf("b is not made of a")
	}
	expect(t, w.Plan())
}

// A new reader is a new key for the whole container: what moves along is not
// changed outside, and a crash in between is told from a change too.
func TestWhatMovesWithItsContainer(t *testing.T) {
	for _, lost := range []bool{false, true} {
		t.Run(fmt.Sprintf("answer lost %v", lost), func(t *testing.T) {
			w := contained(t).Configure(both)
			w.Apply()
			was := w.Value("memory", "shop/dev/key")
			readable(w)
			p := w.Plan()
			expect(t, p, `create provider.memory.access["shop/dev"] new`)
			if lost {
				w.Stores["memory"].Inject(loseAnswer("batch", ""), loseAnswer("write_object", ""))
				mustTry(t, w)
				expect(t, w.Plan(), "adopt "+key+" interrupted", "adopt "+at("other")+" interrupted", `adopt provider.memory.access["shop/dev"] interrupted`)
			}
			w.Apply()
			expect(t, w.Plan())
			expectDrift(t, w.Drift())
			if w.Value("memory", "shop/dev/key") != was || w.Stores["memory"].Reads() != 0 {
				t.Errorf("a new reader touched a value")
			}
		})
	}
}

func TestParallelismOfOneComesToTheSame(t *testing.T) {
	w := full(t).Configure(chain)
	l := w.Look()
	a := w.Applier(l)
	a.Parallelism = 1
	if r, err := a.Apply(t.Context(), l.Plan); err != nil || r.Failed() {
		t.Fatalf("%v", err)
	}
	expect(t, w.Plan())
}
