package planner_test

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cofferhq/coffer/planner"
	"github.com/cofferhq/coffer/planner/plannertest"
	"github.com/cofferhq/coffer/providers/memory"
	"github.com/cofferhq/coffer/providers/providertest/canary"
	"github.com/cofferhq/coffer/providers/secret"
)

// saved is a plan that went through a file.
func saved(t *testing.T, p *planner.Plan) *planner.Plan {
	t.Helper()
	data, err := p.Encode()
	if err != nil {
		t.Fatal(err)
	}
	back, err := planner.DecodePlan(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	return back
}

// applySaved applies a plan from a file in a new process.
func applySaved(w *plannertest.World, p *planner.Plan, change ...func(*planner.Applier)) (*planner.Result, error) {
	a := w.Applier(w.Look())
	a.Saved = true
	for _, c := range change {
		c(a)
	}
	return a.Apply(context.Background(), p)
}

// rich is a plan with a change of every shape that a file has to keep.
func rich(t *testing.T) (*plannertest.World, *planner.Plan) {
	w := full(t)
	w.AddStore("b", memory.Full())
	w.Environ["K"] = "supplied-Zq7-supplied"
	hcl := copies(app(sec("key", "value = random_hex()") + sec("env", `value = from_env("K")`) + sec("url", `value = "u-${secret.key}"`) +
		sec("db", "fields = {", "  a = random_hex()", "  b = random_hex()", "  c = public(\"seen\")", "}") + sec("gone", "value = random_hex()")))
	readable(w).Configure(hcl).Apply()
	w.Configure(with(hcl, "  b = random_hex()", "  d = random_hex()", `"url" {`, "\"url\" {\n    path = \"at/url\"", `secret "gone"`, `secret "came"`) +
		"check \"c\" {\n  assert {\n    condition = length(overdue(\"dev\")) == 1\n    error_message = \"none is\"\n  }\n}\n")
	edit(w)
	w.Environ["K"] = "another-Zq7-another"
	return w, w.Plan()
}

func TestAPlanSurvivesItsFile(t *testing.T) {
	_, p := rich(t)
	if len(p.Changes) < 8 || len(p.Checks) != 1 {
		t.Fatalf("the plan is too poor for this test: %q", lines(p))
	}
	back := saved(t, p)
	if diff := cmp.Diff(p, back); diff != "" {
		t.Errorf("after the file (-before +after):\n%s", diff)
	}
	if p.Digest() != back.Digest() {
		t.Errorf("the digest changed")
	}
}

func TestNoValueIsInAPlanFile(t *testing.T) {
	w, p := rich(t)
	data, err := p.Encode()
	if err != nil {
		t.Fatal(err)
	}
	var values []canary.Canary
	for ref, store := range w.Stores {
		for _, path := range store.Paths() {
			if v, _ := store.Value(path); !v.IsObject() && len(plannertest.Text(v)) > 16 {
				values = append(values, canary.Of(ref+" "+path, []byte(plannertest.Text(v)), true))
			}
		}
	}
	for _, supplied := range []string{"supplied-Zq7-supplied", "another-Zq7-another"} {
		values = append(values, canary.Of(supplied, []byte(supplied), true))
	}
	if len(values) < 6 {
		t.Fatalf("only %d values to look for", len(values))
	}
	finder := canary.NewFinder(values...)
	if hits := finder.Find(data); len(hits) != 0 {
		t.Errorf("found: %v", hits)
	}
	if hits := finder.Find(append(data, "another-Zq7-another"...)); len(hits) == 0 {
		t.Errorf("the finder finds nothing at all")
	}
}

func TestAnEditedPlanFileIsNoticed(t *testing.T) {
	w := full(t).Configure(gen)
	data, err := w.Plan().Encode()
	if err != nil {
		t.Fatal(err)
	}
	for name, edited := range map[string]string{
		"another path":   strings.Replace(string(data), "shop/dev/key", "shop/dev/kez", 1),
		"another action": strings.Replace(string(data), `"action":"create"`, `"action":"delete"`, 1),
		"cut":            string(data[:len(data)/2]),
		"empty":          "",
		"more":           string(data) + "{}",
		"unknown key":    strings.Replace(string(data), `"plan":{`, `"plan":{"then":"rm",`, 1),
		"null":           "null",
	} {
		if edited == string(data) {
			t.Fatalf("%s: nothing was edited", name)
		}
		if _, err := planner.DecodePlan(strings.NewReader(edited)); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// What a saved plan was made for is another thing now: the whole of it is
// refused, and nothing is written.
func TestASavedPlanForSomethingElse(t *testing.T) {
	tests := map[string]struct {
		do   func(w *plannertest.World, p *planner.Plan)
		text string
	}{
		"another project":  {func(_ *plannertest.World, p *planner.Plan) { p.Project = "other" }, `project "other"`},
		"another lineage":  {func(_ *plannertest.World, p *planner.Plan) { p.Lineage = "abc" }, "another state"},
		"another identity": {func(_ *plannertest.World, p *planner.Plan) { p.Providers["memory"] = "mem-0" }, "provider memory"},
		"another format":   {func(_ *plannertest.World, p *planner.Plan) { p.FormatVersion = 9 }, "format 9"},
		"no refresh":       {func(_ *plannertest.World, p *planner.Plan) { p.Refreshed = false }, "-refresh=false"},
		"expired":          {func(w *plannertest.World, _ *planner.Plan) { w.Now = w.Now.Add(25 * time.Hour) }, "expired"},
		"errors": {func(_ *plannertest.World, p *planner.Plan) {
			p.Diagnostics = append(p.Diagnostics, planner.Diagnostic{Severity: planner.SeverityError, Summary: "boom"})
		}, "boom"},
		"open intents": {func(w *plannertest.World, _ *planner.Plan) {
			crashed(w, false, plannertest.Settle(key, planner.SettleRotate))
		}, "run `coffer apply` to recover"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			w := full(t).Configure(gen)
			w.Apply()
			w.Configure(both)
			p := saved(t, w.Plan())
			tt.do(w, p)
			before := effects(w.Stores["memory"])
			_, err := applySaved(w, p, skipping)
			var refused *planner.RefusedError
			if !errors.As(err, &refused) || !strings.Contains(err.Error(), tt.text) {
				t.Fatalf("error: %v", err)
			}
			if effects(w.Stores["memory"]) != before {
				t.Errorf("something was written")
			}
		})
	}
}

func skipping(a *planner.Applier) { a.SkipConflicts = true }

func TestAnOpenIntentIsNoReasonAgainstThePlanJustShown(t *testing.T) {
	w := full(t).Configure(gen)
	crashed(w, false)
	w.Apply()
	expect(t, w.Plan())
}

// A moved serial and an edited comment refuse nothing.
func TestWhatDoesNotRefuseASavedPlan(t *testing.T) {
	w := full(t).Configure(both)
	w.Apply()
	w.Configure(plus(both, sec("third", "value = random_hex()")))
	p := saved(t, w.Plan())
	w.Apply(plannertest.Target(at("key")), plannertest.Settle(at("key"), planner.SettleRotate)) // the serial moves
	w.Configure("# a comment\n\n" + plus(both, sec("third", "# another", "value = random_hex()")))
	r, err := applySaved(w, p)
	if err != nil || r.Failed() {
		t.Fatalf("%v", err)
	}
	expectEnd(t, r, "create "+at("third"))
	expect(t, w.Plan())
}

// Two changes, of which one no longer fits; the template depends on the first.
func TestASavedPlanOfWhichOneChangeNoLongerFits(t *testing.T) {
	hcl := func(a, b string) string {
		return app(a + sec("b", "value = "+b) + sec("c", "value = random_hex()"))
	}
	old := hcl(sec("a", "value = random_hex()"), `"b-${secret.a}"`)
	d := sec("d", "value = random_hex()")
	for name, tt := range map[string]struct {
		do   func(w *plannertest.World)
		text string
	}{
		"configuration": {func(w *plannertest.World) {
			w.Configure(plus(hcl(sec("a", "value = random_hex({ bytes = 8 })"), `"b-${secret.a}"`), d))
		}, "its configuration has changed since the plan"},
		"live version": {func(w *plannertest.World) { w.Stores["memory"].Edit("shop/dev/a", secret.String("x"), "mallory") }, "its version is 2 now, the plan was made for 1"},
		"entry": {func(w *plannertest.World) {
			w.Apply(plannertest.Target(at("a")), plannertest.Settle(at("a"), planner.SettleRotate))
		}, "its version is 2 now"},
		"unseen": {func(w *plannertest.World) { w.Stores["memory"].Inject(memory.Deny("inspect", "shop/dev/a")) }, "denied"},
		"gone from the configuration": {func(w *plannertest.World) {
			w.Configure(plus(hcl("", "random_hex()"), d))
		}, "the configuration no longer has it there"},
	} {
		t.Run(name, func(t *testing.T) {
			w := full(t).Configure(old)
			w.Apply()
			w.Configure(plus(old, d))
			p := saved(t, w.Plan(plannertest.Settle(at("a"), planner.SettleRotate)))
			expect(t, p, "rotate "+at("a")+" rotation_requested new-value", "update "+at("b")+" source_changed", "create "+at("d")+" new")
			tt.do(w)
			before := w.Value("memory", "shop/dev/b")
			_, err := applySaved(w, p)
			var refused *planner.RefusedError
			if !errors.As(err, &refused) || !strings.Contains(refused.Changes[0].Err.Error(), tt.text) || refused.Changes[0].Change.Address.String() != at("a") {
				t.Fatalf("error: %v", err)
			}
			if _, exists := w.Stores["memory"].Meta("shop/dev/d"); exists {
				t.Fatalf("with -on-conflict stop something was written")
			}
			r, err := applySaved(w, p, skipping)
			if err != nil {
				t.Fatal(err)
			}
			got := ended(r)
			if got[0] != "rotate "+at("a")+" failed" || got[2] != "create "+at("d") || !r.Failed() {
				t.Errorf("outcomes: %q", got)
			}
			if w.Value("memory", "shop/dev/b") != before {
				t.Errorf("the dependant was written")
			}
			w.Value("memory", "shop/dev/d")
		})
	}
}

// A saved plan does what it says although a new plan would say something else.
func TestASavedPlanIsNeverPlannedAgain(t *testing.T) {
	w := full(t).Configure(app(sec("key", "value = random_hex()", monthly("regenerate"))))
	w.Apply()
	w.Configure(app(sec("key", "value = random_hex()", monthly("regenerate")) + sec("other", "value = random_hex()")))
	for w.Now = w.Now.Add(27 * day); w.Plan().Summary.Rotate == 0; { // to the hour before it is due
		w.Now = w.Now.Add(time.Hour)
	}
	w.Now = w.Now.Add(-time.Hour)
	p := saved(t, w.Plan())
	w.Now = w.Now.Add(time.Hour)
	expect(t, w.Plan(), "rotate "+key+" rotation_due new-value", "create "+at("other")+" new")
	was := w.Value("memory", "shop/dev/key")
	r, err := applySaved(w, p)
	if err != nil {
		t.Fatal(err)
	}
	expectEnd(t, r, "create "+at("other"))
	if w.Value("memory", "shop/dev/key") != was {
		t.Errorf("the apply planned again")
	}
}

func TestASavedPlanTwice(t *testing.T) {
	w := full(t).Configure(gen)
	p := saved(t, w.Plan())
	if _, err := applySaved(w, p); err != nil {
		t.Fatal(err)
	}
	was := w.Value("memory", "shop/dev/key")
	var refused *planner.RefusedError
	if _, err := applySaved(w, p); !errors.As(err, &refused) || w.Value("memory", "shop/dev/key") != was {
		t.Errorf("the second time: %v", err)
	}
}
