package planner_test

import (
	"crypto/rand"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cofferhq/coffer/lang"
	"github.com/cofferhq/coffer/planner"
	"github.com/cofferhq/coffer/planner/fingerprint"
	"github.com/cofferhq/coffer/planner/plannertest"
	"github.com/cofferhq/coffer/providers/memory"
	"github.com/cofferhq/coffer/providers/secret"
)

// fromEnv is one supplied secret.
func fromEnv(lines ...string) string {
	return app(sec("key", append([]string{`value = from_env("K")`}, lines...)...))
}

// supplied is a world in which K was written once.
func supplied(t *testing.T) *plannertest.World {
	w := full(t)
	w.Environ["K"] = "one"
	w.Configure(fromEnv()).Apply()
	return w
}

func TestASuppliedValueIsComparedByItsFingerprint(t *testing.T) {
	w := supplied(t)
	expect(t, w.Plan())
	w.Environ["K"] = "two"
	expect(t, w.Plan(), "update "+key+" source_changed")
	w.Apply()
	if w.Value("memory", "shop/dev/key") != "two" {
		t.Errorf("the new value was not written")
	}
	expect(t, w.Plan())
	w.Environ["K"] = "one"
	expect(t, w.Plan(), "update "+key+" source_changed")
}

func TestNoKeyOrAnotherKeyIsNotCompared(t *testing.T) {
	other, err := fingerprint.NewKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		key  fingerprint.Key
		text string
	}{"no key": {fingerprint.Key{}, "there is no fingerprint key here"}, "another key": {other, "another key"}} {
		t.Run(name, func(t *testing.T) {
			w := supplied(t)
			w.Key = tt.key
			w.Environ["K"] = "two"
			p := w.Plan()
			expect(t, p, "note "+key+" not_compared")
			if !strings.Contains(notes(p), tt.text) {
				t.Errorf("note: %s", notes(p))
			}
			if p.Unchanged != 1 {
				t.Errorf("it does not count as unchanged")
			}
			w.Apply()
			if w.Value("memory", "shop/dev/key") != "one" {
				t.Errorf("it was written all the same")
			}
		})
	}
}

func TestGenerationForcesARewrite(t *testing.T) {
	w := supplied(t)
	teams := w.Key
	w.Key, w.Environ["K"] = fingerprint.Key{}, "two"
	w.Configure(fromEnv("generation = 2"))
	expect(t, w.Plan(), "update "+key+" source_changed")
	w.Apply()
	if w.Value("memory", "shop/dev/key") != "two" {
		t.Errorf("generation = 2 did not write")
	}
	// The fingerprint of the value before must not speak for this one.
	w.Key, w.Environ["K"] = teams, "one"
	expect(t, w.Plan(), "note "+key+" not_compared")
	w.Configure(fromEnv("generation = 3"))
	w.Apply()
	expect(t, w.Plan())
}

// strictEnv refuses what is set and empty, as the command line does.
type strictEnv struct{ text string }

func (s strictEnv) Supply(*lang.Source) (secret.Value, bool, error) {
	if s.text == "" {
		return secret.Value{}, true, errors.New("K is set, but empty")
	}
	return secret.String(s.text), true, nil
}

func TestAnUnusableInputIsADiagnosticAtTheBlock(t *testing.T) {
	w := supplied(t)
	l := w.Look()
	refresher := &planner.Refresher{Stores: l.Stores, Compare: &planner.Comparer{Inputs: strictEnv{}, Key: w.Key}}
	seen, err := refresher.Refresh(t.Context(), l.Desired, l.Snapshot)
	if err != nil {
		t.Fatal(err)
	}
	p := planner.Diff(l.Desired, l.Snapshot, seen, l.Stores, l.Options)
	expect(t, p, "error the value for "+key+" cannot be used")
	if d := p.Diagnostics[0]; d.Range == nil || d.Detail != "K is set, but empty" {
		t.Errorf("diagnostic: %+v", d)
	}
}

// All that is missing is named at once, before the first call.
func TestMissingInputsAreNamedBeforeTheFirstCall(t *testing.T) {
	w := full(t).Configure(app(
		sec("a", `value = from_env("A")`) + sec("b", `value = from_file("b.pem")`) + sec("c", "value = random_hex()") +
			sec("d", "fields = {", `  x = from_env("D")`, "  y = random_hex()", "}")))
	_, err := w.TryApply()
	var missing *planner.MissingInputsError
	if !errors.As(err, &missing) {
		t.Fatalf("error: %v", err)
	}
	want := []string{
		at("a") + `: from_env("A") is not set here`,
		at("b") + `: from_file("b.pem") is not here`,
		at("d") + `: from_env("D") is not set here`,
	}
	if diff := cmp.Diff(want, missing.Missing); diff != "" {
		t.Errorf("missing (-want +got):\n%s", diff)
	}
	if effects(w.Stores["memory"]) != 0 || w.State.Appends != 0 || w.State.Saves != 0 {
		t.Errorf("something was written")
	}
}

// What a run does not write needs no input.
func TestInputsOfUnchangedSecretsAreNotAskedFor(t *testing.T) {
	w := supplied(t)
	delete(w.Environ, "K")
	w.Configure(plus(fromEnv(), otherSecret))
	w.Apply()
	w.Apply(plannertest.Settle(at("other"), planner.SettleRotate))
}

// A fingerprint is bound to its place: one that moves along would call the
// same value another.
func TestARelocatedSuppliedValueIsTheSame(t *testing.T) {
	w := supplied(t)
	w.Configure(fromEnv(`path = "at/new"`))
	w.Apply()
	expect(t, w.Plan(), "delete "+key+" moved")
	w.Apply()
	expect(t, w.Plan())
	w.Environ["K"] = "two"
	expect(t, w.Plan(), "update "+key+" source_changed")
}

func TestACopyMadeLaterHasAFingerprintOfItsOwn(t *testing.T) {
	w := supplied(t)
	w.AddStore("b", memory.Full())
	w.Configure(copies(fromEnv())).Apply()
	l := w.Look()
	v := &planner.Verifier{Stores: l.Stores, Key: w.Key}
	verified, err := v.Verify(t.Context(), l.Snapshot, all)
	if err != nil {
		t.Fatal(err)
	}
	if len(verified) != 2 {
		t.Fatalf("%d of 2 places compared", len(verified))
	}
	for loc, result := range verified {
		if result.Outcome != fingerprint.Same {
			t.Errorf("%s: %v", loc, result)
		}
	}
}

func TestALostAnswerStaysComparable(t *testing.T) {
	w := full(t)
	w.Environ["K"] = "one"
	w.Configure(fromEnv())
	w.Stores["memory"].Inject(loseAnswer("write", ""))
	mustTry(t, w)
	w.Apply()
	expect(t, w.Plan())
	w.Environ["K"] = "two"
	expect(t, w.Plan(), "update "+key+" source_changed")
}

// An update whose answer was lost is not made a second time.
func TestASuppliedUpdateIsNotDoubled(t *testing.T) {
	w := supplied(t)
	w.Environ["K"] = "two"
	w.Stores["memory"].Inject(loseAnswer("write", ""))
	mustTry(t, w)
	expect(t, w.Plan(), "adopt "+key+" interrupted")
	w.Apply()
	if m, _ := w.Stores["memory"].Meta("shop/dev/key"); m.Version != "2" {
		t.Errorf("version %s, want 2", m.Version)
	}
	expect(t, w.Plan())
}
