package planner_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cofferhq/coffer/planner"
	"github.com/cofferhq/coffer/planner/plannertest"
	"github.com/cofferhq/coffer/providers/memory"
	"github.com/cofferhq/coffer/providers/secret"
)

// Whatever a plan is made of, its file is applied once: the second time every
// change is refused by name and nothing is written.
func TestASavedPlanIsUsedOnce(t *testing.T) {
	due := app(sec("key", "value = random_hex()", monthly("regenerate")))
	labelled := app(sec("key", "value = random_hex()", "labels = { a = \"b\" }"))
	for name, tt := range map[string]struct {
		before []string // configurations that were applied
		do     func(w *plannertest.World)
		now    string
		want   []planner.Action
	}{
		"creates":  {nil, nil, both, []planner.Action{planner.Create}},
		"updates":  {[]string{app(sec("key", `value = from_env("K")`))}, func(w *plannertest.World) { w.Environ["K"] = "new" }, app(sec("key", `value = from_env("K")`)), []planner.Action{planner.Update}},
		"rotates":  {[]string{due}, func(w *plannertest.World) { w.Now = w.Now.Add(40 * day) }, due, []planner.Action{planner.Rotate}},
		"metadata": {[]string{gen}, nil, labelled, []planner.Action{planner.Update}},
		"protects": {[]string{gen}, nil, app(sec("key", "value = random_hex()", "protect = true")), []planner.Action{planner.Update}},
		"adopts":   {[]string{both}, func(w *plannertest.World) { w.State.Lose() }, both, []planner.Action{planner.Adopt}},
		"imports": {
			nil, func(w *plannertest.World) { w.Stores["memory"].Edit("shop/dev/key", secret.String("x"), "alice") },
			gen + "import {\n  to = app.shop.secret.key[\"dev\"]\n  id = \"shop/dev/key\"\n}\n",
			[]planner.Action{planner.Adopt},
		},
		"renames":   {[]string{gen}, nil, app(sec("other", "value = random_hex()", `path = "shop/dev/key"`)) + "moved {\n  from = app.shop.secret.key\n  to = app.shop.secret.other\n}\n", []planner.Action{planner.Rename}},
		"relocates": {[]string{gen}, nil, app(sec("key", "value = random_hex()", `path = "elsewhere/key"`)), []planner.Action{planner.Relocate}},
		"deletes":   {[]string{both}, nil, app(sec("third", "value = manual()")), []planner.Action{planner.Delete}},
		"forgets": {
			[]string{gen},
			nil, app(sec("third", "value = manual()")) + "removed {\n  from = app.shop.secret.key\n  lifecycle {\n    destroy = false\n  }\n}\n",
			[]planner.Action{planner.Forget},
		},
		"restores": {[]string{gen}, func(w *plannertest.World) { w.Stores["memory"].Remove("shop/dev/key", time.Hour) }, gen, []planner.Action{planner.Restore}},
		"objects":  {[]string{gen}, func(w *plannertest.World) { readable(w) }, gen, []planner.Action{planner.Create}},
		"copies":   {[]string{gen}, nil, copies(gen), []planner.Action{planner.Create}},
	} {
		t.Run(name, func(t *testing.T) {
			w := full(t)
			w.AddStore("b", memory.Full())
			w.Environ["K"] = "old"
			for _, hcl := range tt.before {
				w.Configure(hcl).Apply()
			}
			if tt.do != nil {
				tt.do(w)
			}
			w.Configure(tt.now)
			p := saved(t, w.Plan())
			var actions []planner.Action
			for i := range p.Changes {
				actions = append(actions, p.Changes[i].Action)
			}
			slices.Sort(actions)
			if got := slices.Compact(actions); !slices.Equal(got, tt.want) {
				t.Fatalf("the plan has %q: %q", got, lines(p))
			}
			if r, err := applySaved(w, p); err != nil || r.Failed() {
				t.Fatalf("the first time: %v", err)
			}
			saves, appends, written := w.State.Saves, w.State.Appends, effects(w.Stores["memory"])+effects(w.Stores["memory.b"])
			_, err := applySaved(w, p)
			var refused *planner.RefusedError
			if !errors.As(err, &refused) || len(refused.Changes) != len(p.Changes) {
				t.Fatalf("the second time: %v", err)
			}
			for i := range p.Changes {
				if !strings.Contains(err.Error(), p.Changes[i].Address.String()+": ") {
					t.Errorf("the error does not name %s: %v", p.Changes[i].Address, err)
				}
			}
			r, err := applySaved(w, p, skipping)
			if err != nil || !r.Failed() || slices.ContainsFunc(r.Outcomes, func(o planner.ChangeResult) bool { return o.Err == nil && o.Skipped == "" }) {
				t.Errorf("skipping what moved: %v, %q", err, ended(r))
			}
			if w.State.Saves != saves || w.State.Appends != appends || effects(w.Stores["memory"])+effects(w.Stores["memory.b"]) != written {
				t.Error("something was written")
			}
		})
	}
}
