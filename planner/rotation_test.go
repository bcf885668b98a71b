package planner_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/cofferhq/coffer/planner"
	"github.com/cofferhq/coffer/planner/plannertest"
	"github.com/cofferhq/coffer/providers/memory"
)

const day = 24 * time.Hour

// monthly is a secret's rotation block with a strategy, "" being none.
func monthly(strategy string) string {
	if strategy != "" {
		strategy = fmt.Sprintf("\n      strategy = %q", strategy)
	}
	return "rotation {\n      every = \"30d\"" + strategy + "\n    }"
}

// Due times lie in the last tenth of the period, evenly and always alike.
func TestDueTimesSpread(t *testing.T) {
	var blocks []string
	for i := range 100 {
		blocks = append(blocks, sec(fmt.Sprintf("s%d", i), "value = random_hex()", monthly("regenerate")))
	}
	w := full(t).Configure(app(strings.Join(blocks, "")))
	w.Apply()
	due := func(after time.Duration) int {
		l := w.Look(func(o *planner.DiffOptions) { o.Now = plannertest.Start.Add(after) })
		return l.Plan.Summary.Rotate
	}
	if n := due(27*day - time.Minute); n != 0 {
		t.Errorf("%d are due before the last tenth", n)
	}
	if n := due(30*day + time.Minute); n != 100 {
		t.Errorf("%d of 100 are due at the end of the period", n)
	}
	for d := range 10 { // ten slices of the last tenth
		from := 27*day + time.Duration(d)*(3*day/10)
		if n := due(from+3*day/10) - due(from); n < 2 || n > 25 {
			t.Errorf("%d of 100 fall due in slice %d", n, d)
		}
	}
}

func TestStrategies(t *testing.T) {
	for name, tt := range map[string]struct {
		block string
		want  []string
	}{
		"regenerate": {sec("key", "value = random_hex()", monthly("regenerate")), []string{"rotate " + key + " rotation_due new-value"}},
		"none":       {sec("key", "value = random_hex()", monthly("")), []string{"note " + key + " rotation_due"}},
		"manual":     {sec("key", "value = random_hex()", monthly("manual")), []string{"note " + key + " rotation_due"}},
		"never":      {sec("key", "value = random_hex()", "rotation = never"), nil},
	} {
		t.Run(name, func(t *testing.T) {
			w := full(t).Configure(app(tt.block))
			w.Apply()
			w.Now = w.Now.Add(31 * day)
			expect(t, w.Plan(), tt.want...)
			w.Apply()
			if name == "regenerate" {
				expect(t, w.Plan()) // the clock starts anew
				w.Now = w.Now.Add(31 * day)
				expect(t, w.Plan(), tt.want...)
			}
		})
	}
}

func TestRotationsNoneAndOnly(t *testing.T) {
	w := full(t)
	w.AddStore("b", memory.Full())
	hcl := copies(app(sec("key", "value = random_hex()", monthly("regenerate")) + sec("url", `value = "u-${secret.key}"`)))
	w.Configure(hcl).Apply()
	w.Now = w.Now.Add(31 * day)
	w.Configure(plus(hcl, otherSecret))
	none := w.Plan(plannertest.Rotations(planner.RotationsNone))
	expect(t, none, "create "+at("other")+" new", "create "+at("other")+"@memory.b new", "note "+key+" rotation_due")
	only := w.Plan(plannertest.Rotations(planner.RotationsOnly))
	expect(t, only, "rotate "+key+" rotation_due new-value", "update "+keyB+" replica_behind",
		"update "+at("url")+" source_changed", "update "+at("url")+"@memory.b replica_behind")
	if only.Summary.Create != 0 || only.Summary.Rotate != 1 || only.Summary.Update != 3 {
		t.Errorf("summary: %+v", only.Summary)
	}
	r := w.Apply(plannertest.Rotations(planner.RotationsOnly))
	if r.ValuesRead != 0 {
		t.Errorf("%d values read", r.ValuesRead)
	}
	if alike(t, w); w.Value("memory.b", "shop/dev/url") != "u-"+w.Value("memory", "shop/dev/key") {
		t.Errorf("what follows a rotation did not follow")
	}
	expect(t, w.Plan(), "create "+at("other")+" new", "create "+at("other")+"@memory.b new")
}

// What follows a rotation and also needs something that -rotations only leaves
// out is left out with it.
func TestOnlyRotationsKeepsNoChangeThatCannotBeDone(t *testing.T) {
	w := full(t).Configure(app(sec("key", "value = random_hex()", monthly("regenerate")) + sec("url", `value = "u-${secret.key}"`)))
	w.Apply()
	w.Now = w.Now.Add(31 * day)
	w.Configure(app(sec("key", "value = random_hex()", monthly("regenerate")) +
		sec("next", "value = random_hex()") + sec("url", `value = "u-${secret.key}-${secret.next}"`)))
	expect(t, w.Plan(plannertest.Rotations(planner.RotationsOnly)), "rotate "+key+" rotation_due new-value")
	w.Apply(plannertest.Rotations(planner.RotationsOnly))
	w.Apply()
	if got := w.Value("memory", "shop/dev/url"); got != "u-"+w.Value("memory", "shop/dev/key")+"-"+w.Value("memory", "shop/dev/next") {
		t.Errorf("the template is behind")
	}
	expect(t, w.Plan())
}

func TestRotateIsRefused(t *testing.T) {
	for name, tt := range map[string]struct{ block, want, way string }{
		"manual": {sec("key", "value = manual()"), key + " has no source that could make a value", "coffer secret set"},
		"never":  {sec("key", "value = random_hex()", "rotation = never"), key + " is never rotated", "rotation = never"},
	} {
		t.Run(name, func(t *testing.T) {
			w := full(t)
			if name == "manual" {
				edit(w)
			}
			w.Configure(app(tt.block)).Apply()
			p := w.Plan(plannertest.Settle(key, planner.SettleRotate))
			expect(t, p, "error "+tt.want)
			if !strings.Contains(p.Diagnostics[0].Detail, tt.way) {
				t.Errorf("detail: %s", p.Diagnostics[0].Detail)
			}
			if _, err := w.TryApply(plannertest.Settle(key, planner.SettleRotate)); err == nil {
				t.Errorf("a plan with an error was applied")
			}
		})
	}
}

func TestRotateTakesADueParameterAlong(t *testing.T) {
	w := full(t).Configure(gen)
	w.Apply()
	w.Configure(with(gen, "bytes = 16", "bytes = 32"))
	w.Apply(plannertest.Settle(key, planner.SettleRotate))
	if n := len(w.Value("memory", "shop/dev/key")); n != 64 {
		t.Errorf("the new value has %d digits, want 64", n)
	}
	expect(t, w.Plan())
}

func TestTheClockOfAnImportStartsAtTheImport(t *testing.T) {
	w := full(t)
	edit(w)
	w.Configure(app(sec("key", "value = random_hex()", monthly("regenerate"))) + "import {\n  to = " + key + "\n  id = \"shop/dev/key\"\n}\n")
	w.Now = w.Now.Add(365 * day)
	w.Apply()
	expect(t, w.Plan())
	w.Now = w.Now.Add(31 * day)
	expect(t, w.Plan(), "rotate "+key+" rotation_due new-value")
}

func TestAcceptRestartsTheClock(t *testing.T) {
	w := full(t).Configure(app(sec("key", "value = random_hex()", monthly("regenerate"))))
	w.Apply()
	w.Now = w.Now.Add(20 * day)
	edit(w)
	w.Apply(plannertest.Settle(key, planner.SettleAccept))
	w.Now = w.Now.Add(20 * day)
	expect(t, w.Plan())
}

// A template field that follows another secret is not a new password, and
// neither is a field that was added.
func TestATemplateDoesNotRestartTheClock(t *testing.T) {
	hcl := func(extra string) string {
		return app(sec("host", `value = from_env("H")`) +
			sec("db", "fields = {", "  password = random_hex()", `  dsn = "${secret.host}:${self.password}"`, extra, "}", monthly("regenerate")))
	}
	w := full(t)
	w.Environ["H"] = "a"
	w.Configure(hcl("")).Apply()
	w.Now = w.Now.Add(20 * day)
	w.Environ["H"] = "b"
	w.Apply()
	w.Configure(hcl("  pepper = random_hex()")).Apply()
	w.Now = w.Now.Add(11 * day)
	expect(t, w.Plan(), "rotate "+at("db")+" rotation_due reads new-value")
}

func TestASuppliedValueRestartsTheClock(t *testing.T) {
	w := full(t)
	w.Environ["K"] = "a"
	w.Configure(app(sec("key", `value = from_env("K")`, monthly("")))).Apply()
	w.Now = w.Now.Add(20 * day)
	w.Environ["K"] = "b"
	w.Apply()
	w.Now = w.Now.Add(20 * day)
	expect(t, w.Plan())
	w.Now = w.Now.Add(11 * day)
	expect(t, w.Plan(), "note "+key+" rotation_due")
}

func TestASettlementOfOneAppLeavesOthersAlone(t *testing.T) {
	w := full(t).Configure(gen + with(gen[strings.Index(gen, "app"):], `"shop"`, `"bank"`))
	w.Apply()
	expect(t, w.Plan(plannertest.Settle("app.bank", planner.SettleRotate)), `rotate app.bank.secret.key["dev"] rotation_requested new-value`)
}

// A rotation that is due on the way to another place, name or life is made
// once.
func TestADueRotationThatComesWithAnotherChangeIsMadeOnce(t *testing.T) {
	block := func(lines ...string) string {
		return app(sec("key", append([]string{"value = random_hex()", monthly("regenerate")}, lines...)...))
	}
	for name, tt := range map[string]struct {
		before, after string
		do            func(w *plannertest.World)
		left          []string
	}{
		"relocate": {block(), block(`path = "at/new"`), func(*plannertest.World) {}, []string{"delete " + key + " moved"}},
		"rename": {
			block(`path = "at/new"`), with(block(`path = "at/new"`), `"key"`, `"token"`) + moved("shop.secret.key", "shop.secret.token"),
			func(*plannertest.World) {}, nil,
		},
		"restore": {block(), block(), func(w *plannertest.World) { w.Stores["memory"].Remove("shop/dev/key", day) }, nil},
	} {
		t.Run(name, func(t *testing.T) {
			w := full(t).Configure(tt.before)
			w.Apply()
			w.Now = w.Now.Add(31 * day)
			tt.do(w)
			w.Configure(tt.after)
			w.Apply()
			expect(t, w.Plan(), tt.left...)
		})
	}
}
