package planner_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/cofferhq/coffer/lang"
	"github.com/cofferhq/coffer/planner/plannertest"
	"github.com/cofferhq/coffer/providers"
	"github.com/cofferhq/coffer/providers/memory"
	"github.com/cofferhq/coffer/state"
)

// TestUnreachedCouldHaveTheRole: a store that is down may be another place than
// the one that the state says, so a removed block could mean a role of it.
func TestUnreachedCouldHaveTheRole(t *testing.T) {
	for name, recorded := range map[string]bool{"never reached": false, "as the state says": true} {
		t.Run(name, func(t *testing.T) {
			w := counting(t, role())
			w.Apply()
			knobs := memory.Counting()
			knobs.Share = "b"
			knobs.At = func(point string) error {
				if strings.Contains(point, "identity") {
					return errors.New("down")
				}
				return nil
			}
			w.AddStore("b", knobs)
			w.Objects = nil
			w.Configure(gen + removing("role.memory.web", true))
			if recorded {
				s, err := w.State.Load(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				s.Providers["memory.b"] = "mem-1/b" // where the same objects are
				text, err := state.Encode(s)
				if err != nil {
					t.Fatal(err)
				}
				w.State.Recall(text)
			}
			l := w.Look()
			expect(t, l.Plan, "forget role.memory.web removed")
			if got := l.Plan.Changes[0].Detail; !strings.Contains(got, "memory.b could have role.memory.web as well") {
				t.Errorf("it says %q", got)
			}
			if _, err := applyPlan(w, l); err != nil {
				t.Fatal(err)
			}
			if w.Stores["memory"].Document(roleRef) == "" {
				t.Error("the role was deleted")
			}
		})
	}
}

// TestDeletedByHandAlone: what a driver does not delete is forgotten, and the
// command to delete it is told where a block and not the state says which it is.
func TestDeletedByHandAlone(t *testing.T) {
	moved := func(w *plannertest.World) {
		forged(w, mountRef, func(e *state.Entry) { e.Location.Path = "team/kv" })
		w.Stores["memory"].SetDocument(providers.ObjectRef{Kind: memory.KindMount, Path: "team/kv"}, "max = 3\nname = kv\n")
	}
	for name, tt := range map[string]struct {
		hcl    string
		by     func(*plannertest.World)
		detail string
		tells  bool
	}{
		"a removed block": {removing("mount.memory.kv", true), nil, "by hand, with `unmount kv`", true},
		"no block":        {"", nil, "deleted there by hand", false},
		"at another place, as only the state would tell": {removing("mount.memory.kv", true), moved, "only the state says", false},
	} {
		t.Run(name, func(t *testing.T) {
			knobs := memory.Counting()
			knobs.ByHand = "with `unmount kv`"
			w := plannertest.New(t, knobs)
			w.Objects = []*lang.Object{mount()}
			w.Configure(gen).Apply()
			if tt.by != nil {
				tt.by(w)
			}
			w.Objects = nil
			w.Configure(gen + tt.hcl)
			l := w.Look()
			expect(t, l.Plan, "forget mount.memory.kv removed")
			got := l.Plan.Changes[0].Detail
			if !strings.Contains(got, tt.detail) || strings.Contains(got, "`unmount kv`") != tt.tells || strings.Contains(got, "destroy = true") {
				t.Errorf("it says %q", got)
			}
			if _, err := applyPlan(w, l); err != nil {
				t.Fatal(err)
			}
			if w.Stores["memory"].Document(mountRef) == "" {
				t.Error("the mount was deleted")
			}
		})
	}
}

// TestTakenOverSettingsAreTold: what a role that was there lets in is said when
// it is taken over, as far as its block does not and it is not the standard.
func TestTakenOverSettingsAreTold(t *testing.T) {
	const told = "not written here, not the standard, and left as it is: cidrs = any"
	for name, tt := range map[string]struct {
		objects []*lang.Object
		imports string
		want    string
		detail  string
	}{
		"as it is declared":       {[]*lang.Object{role()}, "", "adopt role.memory.web imported", told},
		"an import":               {[]*lang.Object{role("secret", "no")}, "import role.memory.web web", "adopt role.memory.web imported", told},
		"an import and an update": {[]*lang.Object{role("secret", "yes")}, "import role.memory.web web", "update role.memory.web imported", told},
		"all of it is declared":   {[]*lang.Object{role("secret", "no", "cidrs", "any")}, "", "adopt role.memory.web imported", ""},
	} {
		t.Run(name, func(t *testing.T) {
			knobs := memory.Counting()
			knobs.Standard = "name = web\ncidrs = none\nsecret = no\nuses = 0\n"
			w := plannertest.New(t, knobs)
			w.Configure(gen).Apply()
			w.Stores["memory"].SetDocument(roleRef, "name = web\ncidrs = any\nsecret = no\nuses = 0\n")
			w.Objects = tt.objects
			if tt.imports != "" {
				w.Imports = imported(tt.imports)
			}
			p := w.Plan()
			expect(t, p, tt.want)
			got := p.Changes[0].Detail
			if tt.detail != "" && !strings.HasSuffix(got, tt.detail) || tt.detail == "" && strings.Contains(got, "standard") {
				t.Errorf("it says %q", got)
			}
			w.Apply()
			expect(t, w.Plan())
		})
	}
}
