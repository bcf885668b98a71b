package planner_test

import (
	"slices"
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

// waitsFor reports whether c waits for the change at an address.
func waitsFor(c *planner.Change, a string) bool {
	return slices.ContainsFunc(c.DependsOn, func(k planner.Key) bool { return k.Address.String() == a })
}

func TestATemplateWaitsForWhatItRefersTo(t *testing.T) {
	w := full(t).Configure(app(
		sec("a", `value = "1-${secret.b}"`) + sec("b", `value = "2-${secret.c}"`) + sec("c", `value = random_hex()`)))
	p := w.Plan()
	if !waitsFor(change(t, p, at("a")), at("b")) || !waitsFor(change(t, p, at("b")), at("c")) {
		t.Fatalf("the chain is not in DependsOn")
	}
	if len(change(t, p, at("c")).DependsOn) != 0 {
		t.Errorf("c waits for something")
	}
	w.Apply()
	c := w.Value("memory", "shop/dev/c")
	if got := w.Value("memory", "shop/dev/a"); got != "1-2-"+c {
		t.Errorf("a is not made of b and c")
	}
}

func TestADeleteWaitsForWhatReplacesIt(t *testing.T) {
	w := full(t).Configure(app(sec("key", "value = random_hex()") + sec("url", `value = "u-${secret.key}"`)))
	w.Apply()
	w.Configure(app(sec("next", "value = random_hex()") + sec("url", `value = "u-${secret.next}"`)))
	p := w.Plan()
	expect(t, p, "delete "+at("key")+" removed", "create "+at("next")+" new", "update "+at("url")+" source_changed")
	if !waitsFor(change(t, p, at("key")), at("url")) {
		t.Fatalf("the delete does not wait for the template that still uses the secret")
	}
	w.Stores["memory"].Inject(refuseOnce("write", "shop/dev/url", providers.Denied))
	expectEnd(t, mustTry(t, w),
		"delete "+at("key")+" skipped: it depends on "+at("url")+", which was not done",
		"create "+at("next"), "update "+at("url")+" failed")
	w.Value("memory", "shop/dev/key") // still there
	w.Apply()
	expect(t, w.Plan())
}

func TestACircleIsADiagnostic(t *testing.T) {
	w := full(t).Configure(app(sec("a", `value = random_hex()`) + sec("b", `value = random_hex()`)))
	cfg := w.Load()
	refer := func(from, to *lang.Secret) {
		from.Fields[0].Source = &lang.Source{Kind: lang.Template, Args: []*lang.Source{{Kind: lang.Reference, Ref: lang.Ref{Address: to.Address}}}}
	}
	refer(cfg.Secrets[0], cfg.Secrets[1])
	refer(cfg.Secrets[1], cfg.Secrets[0])
	_, diags := planner.Desire(cfg, w.Connect(nil))
	if len(diags) != 1 || diags[0].Summary != "secrets refer to each other in a circle" {
		t.Fatalf("diagnostics: %+v", diags)
	}
	for _, part := range []string{at("a") + " -> ", at("b") + " -> "} {
		if !strings.Contains(diags[0].Detail, part) {
			t.Errorf("the detail does not name %s: %s", part, diags[0].Detail)
		}
	}
}

func TestDependantsOfAFailureAreSkippedAndOthersGoOn(t *testing.T) {
	w := full(t).Configure(app(
		sec("a", `value = "1-${secret.b}"`) + sec("b", `value = "2-${secret.c}"`) + sec("c", `value = random_hex()`) +
			sec("x", `value = random_hex()`) + sec("y", `value = "3-${secret.x}"`)))
	w.Stores["memory"].Inject(memory.Deny("write", "shop/dev/c"))
	expectEnd(t, mustTry(t, w),
		"create "+at("a")+" skipped: it depends on "+at("b")+", which was not done",
		"create "+at("b")+" skipped: it depends on "+at("c")+", which was not done",
		"create "+at("c")+" failed", "create "+at("x"), "create "+at("y"))
	w.Stores["memory"].Heal()
	expect(t, w.Plan(), "create "+at("a")+" new", "create "+at("b")+" new", "create "+at("c")+" new")
	w.Apply()
	expect(t, w.Plan())
}

// What waits for a secret without a settled value is not planned.
func TestABlockedSecretBlocksWhatNeedsIt(t *testing.T) {
	url := sec("url", `value = "u-${secret.key}"`)
	generated := app(sec("key", "value = random_hex()"))
	tests := []struct {
		name string
		do   func(w *plannertest.World)
		want []string
		note string
	}{
		{"conflict", func(w *plannertest.World) {
			w.Configure(generated).Apply()
			edit(w)
			w.Configure(plus(generated, url))
		}, []string{"conflict " + key + " changed_outside", "note " + at("url") + " awaiting_value"}, "is in conflict"},
		{"unknown", func(w *plannertest.World) {
			w.Configure(generated).Apply()
			w.Stores["memory"].Inject(memory.Deny("list", ""), memory.Deny("inspect", "shop/dev/key"))
			w.Configure(plus(generated, url))
		}, []string{"unknown " + key + " forbidden", "note " + at("url") + " awaiting_value"}, "could not be told"},
		{"awaiting", func(w *plannertest.World) {
			w.Configure(app(sec("key", "value = manual()") + url))
		}, []string{"note " + key + " awaiting_value", "note " + at("url") + " awaiting_value"}, "has no value yet"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := full(t)
			tt.do(w)
			p := w.Plan()
			expect(t, p, tt.want...)
			if !strings.Contains(notes(p), tt.note) {
				t.Errorf("the notes do not say %q: %s", tt.note, notes(p))
			}
		})
	}
}

// A template that exists is left alone while what it is made of is in conflict.
func TestAnExistingTemplateWaitsOutAConflict(t *testing.T) {
	w := full(t).Configure(plus(gen, urlSecret))
	w.Apply()
	edit(w)
	was := w.Value("memory", "shop/dev/url")
	expect(t, w.Plan(), "conflict "+key+" changed_outside")
	mustTry(t, w)
	if w.Value("memory", "shop/dev/url") != was {
		t.Errorf("the template was written from a value in conflict")
	}
	w.Apply(plannertest.Settle(key, planner.SettleAccept))
	if got := w.Value("memory", "shop/dev/url"); got != "https://by hand@example.org" {
		t.Errorf("the template does not follow the accepted value")
	}
	expect(t, w.Plan())
}

func TestPoliciesComeBeforeTheSecretsTheyCover(t *testing.T) {
	w := full(t).Configure(gen)
	a := address(t, key)
	w.Policies = []*lang.Policy{{Address: a, Secrets: []addr.Address{a}, Readers: []lang.Reader{{Func: memory.ReaderFunc, Args: []string{"alice"}}}}}
	p := w.Plan()
	object := `provider.memory.access["shop/dev/key"]`
	expect(t, p, "create "+key+" new", "create "+object+" new")
	if !waitsFor(change(t, p, key), object) {
		t.Fatalf("the secret does not wait for the object that says who reads it")
	}
	w.Stores["memory"].Inject(memory.Deny("write_object", ""))
	expectEnd(t, mustTry(t, w), "create "+key+" skipped: it depends on "+object+", which was not done", "create "+object+" failed")
	if len(w.Stores["memory"].Paths()) != 0 {
		t.Errorf("the secret was written before its readers were set")
	}
}

func TestWhatIsGoneCanBeReadByNoTemplateOfAnExcludedSecret(t *testing.T) {
	w := full(t).Configure(plus(gen, urlSecret))
	p := w.Plan(plannertest.Exclude(key))
	expect(t, p, "note "+at("url")+" awaiting_value")
}

// A template refers to a field that waits: only what needs that field waits.
func TestOnlyTheFieldThatWaitsBlocks(t *testing.T) {
	w := full(t).Configure(app(
		sec("db", "fields = {", "  user = random_hex()", "  password = manual()", "}") +
			sec("u", `value = "u-${secret.db.user}"`) + sec("p", `value = "p-${secret.db.password}"`)))
	p := w.Plan()
	expect(t, p, "create "+at("db")+" new", "create "+at("u")+" new", "note "+at("db")+" awaiting_value", "note "+at("p")+" awaiting_value")
	w.Apply()
	w.Stores["memory"].Edit("shop/dev/db", secret.Object(map[string]secret.Value{"user": secret.String("a"), "password": secret.String("b")}), "a person")
	w.Apply(plannertest.Settle(at("db"), planner.SettleAccept))
	w.Apply()
	if w.Value("memory", "shop/dev/p") != "p-b" || w.Value("memory", "shop/dev/u") != "u-a" {
		t.Errorf("the templates are not made of what the person wrote")
	}
	expect(t, w.Plan())
}

func TestAnEmptyConfigurationIsAnError(t *testing.T) {
	w := full(t).Configure(gen)
	w.Apply()
	cfg := w.Load()
	cfg.Secrets = nil
	_, diags := planner.Desire(cfg, w.Connect(nil))
	if len(diags) != 1 || diags[0].Summary != "the configuration declares no secret" {
		t.Errorf("diagnostics: %+v", diags)
	}
}

// A template that cannot be seen still holds what it was made of: the secret
// behind it is not deleted from under it, and a saved plan says the same.
func TestADeleteWaitsOutATemplateThatCannotBeSeen(t *testing.T) {
	w := full(t).Configure(app(sec("key", "value = random_hex()") + sec("url", `value = "u-${secret.key}"`)))
	w.Apply()
	w.Configure(app(sec("next", "value = random_hex()") + sec("url", `value = "u-${secret.next}"`)))
	w.Stores["memory"].Inject(memory.Deny("list", ""), memory.Deny("inspect", "shop/dev/url"))
	p := w.Plan()
	expect(t, p, "create "+at("next")+" new", "unknown "+at("url")+" forbidden", "note "+key+" removed")
	if _, err := applySaved(w, saved(t, p)); err != nil {
		t.Fatal(err)
	}
	w.Value("memory", "shop/dev/key")
	w.Stores["memory"].Heal()
	w.Apply()
	expect(t, w.Plan())
}
