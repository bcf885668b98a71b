package planner_test

import (
	"cmp"
	"slices"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/cofferhq/coffer/lang"
	"github.com/cofferhq/coffer/lang/addr"
	"github.com/cofferhq/coffer/planner"
	"github.com/cofferhq/coffer/planner/plannertest"
	"github.com/cofferhq/coffer/providers"
	"github.com/cofferhq/coffer/providers/memory"
	"github.com/cofferhq/coffer/providers/secret"
	"github.com/cofferhq/coffer/state"
)

func use(path string, write bool, reads ...string) providers.Use {
	return providers.Use{Path: "shop/dev/" + path, Write: write, Reads: reads}
}

// TestPermissionRequest: the least that any plan of a configuration needs,
// while the state has nothing.
func TestPermissionRequest(t *testing.T) {
	w := plannertest.New(t, memory.Counting())
	w.AddStore("b", memory.Files())
	granted(w)
	w.Configure(copies(app(
		sec("key", "value = random_hex()") + sec("url", `value = "x-${secret.key}"`) + sec("hand", "value = manual()") +
			sec("db", "fields = {\n      user = random_hex()\n      dsn  = \"u:${self.user}\"\n    }") +
			sec("old", "value = random_hex()", `on_outside_change = "restore"`))))
	l := w.Look()
	const fill, restore = "to fill and mend its copy on memory.b", "for `coffer restore -from memory.b`"
	objects := []providers.ObjectRef{bindingRef, policyRef}
	for _, tt := range []struct {
		ref   string
		phase providers.Phase
		want  providers.PermissionRequest
	}{
		{"memory", providers.PhasePlan, providers.PermissionRequest{
			Phase:   providers.PhasePlan,
			Secrets: []providers.Use{use("db", false), use("hand", false), use("key", false), use("old", false), use("url", false)}, Objects: objects,
		}},
		{"memory", providers.PhaseApply, providers.PermissionRequest{
			Phase: providers.PhaseApply,
			Secrets: []providers.Use{
				use("db", true, fill, "to make its dsn of its user"), use("hand", false, fill), use("key", true, fill, "to make "+at("url")+" of it"),
				use("old", true, fill, "to write the recorded version again, as on_outside_change says"), use("url", true, fill),
			}, Objects: objects,
		}},
		{"memory.b", providers.PhaseApply, providers.PermissionRequest{
			Phase:   providers.PhaseApply,
			Secrets: []providers.Use{use("db", true, restore), use("hand", true, restore), use("key", true, restore), use("old", true, restore), use("url", true, restore)},
			Objects: []providers.ObjectRef{{Kind: memory.ObjectKind, Path: "shop/dev"}},
		}},
	} {
		if diff := gocmp.Diff(tt.want, planner.PermissionRequest(l.Desired, l.Snapshot, l.Stores, tt.ref, tt.phase)); diff != "" {
			t.Errorf("%s on %s (-want +got):\n%s", tt.phase, tt.ref, diff)
		}
	}
}

// leave is a secret of app that leaves.
func leave(path string, end providers.End, reads ...string) providers.Leaving {
	return providers.Leaving{ObjectRef: providers.ObjectRef{Kind: addr.KindSecret, Path: path}, End: end, Reads: reads}
}

func leaveObject(kind, path string, end providers.End) providers.Leaving {
	return providers.Leaving{ObjectRef: providers.ObjectRef{Kind: kind, Path: path}, End: end}
}

// TestPermissionsOfWhatLeaves: what the state has and the configuration does not
// is looked at by every plan, and an apply deletes it, lets go of it or moves its
// value on. What is asked for before a change is enough for all the applies that
// it takes.
func TestPermissionsOfWhatLeaves(t *testing.T) {
	const hex = "value = random_hex()"
	only := func(secrets string) string { return app(sec("other", "value = manual()") + secrets) }
	onB := func(hcl string) string { return with(hcl, "{ store = memory }", "{ store = memory.b }") }
	moveTo := func(place string) string { return "to move it to " + place }
	for name, tt := range map[string]struct {
		was, is string
		before  func(w *plannertest.World) // the first apply
		after   func(w *plannertest.World)
		ref     string // "memory" if empty
		knobs   func(*memory.Options)
		stuck   bool            // a person has to say something first
		secrets []providers.Use // less other
		leaving []providers.Leaving
	}{
		"a block is gone":     {was: only(sec("key", hex)), is: only(""), leaving: []providers.Leaving{leave("shop/dev/key", providers.EndDeleted)}},
		"a block lets go":     {was: only(sec("key", hex)), is: only("") + removing("app.shop.secret.key", false), leaving: []providers.Leaving{leave("shop/dev/key", providers.EndForgotten)}},
		"a protected one":     {was: only(sec("key", hex, "protect = true")), is: only(""), stuck: true, leaving: []providers.Leaving{leave("shop/dev/key", providers.EndLooked)}},
		"one without a value": {was: only(sec("key", "value = manual()")), is: only("")},
		"one that an apply died over": {
			was: only(sec("key", hex)), is: only(""), stuck: true, before: func(w *plannertest.World) {
				w.Stores["memory"].Inject(loseAnswer("write", "shop/dev/key"))
			},
			leaving: []providers.Leaving{leave("shop/dev/key", providers.EndDeleted), leave("shop/dev/key", providers.EndForgotten)},
		},
		"another path": {
			was: only(sec("key", hex, "protect = true")), is: only(sec("key", hex, "protect = true", `path = "new/key"`)),
			secrets: []providers.Use{{Path: "new/key", Write: true}}, leaving: []providers.Leaving{leave("shop/dev/key", providers.EndDeleted, moveTo("new/key on memory"))},
		},
		"a person's, at another path": {
			was: only(sec("key", "value = manual()")), before: byHand, is: only(sec("key", "value = manual()", `path = "new/key"`)),
			secrets: []providers.Use{{Path: "new/key", Write: true}}, leaving: []providers.Leaving{leave("shop/dev/key", providers.EndDeleted, moveTo("new/key on memory"))},
		},
		"another name": {
			was: only(sec("key", hex)), is: only(sec("name", hex)) + moved("shop.secret.key", "shop.secret.name"),
			secrets: []providers.Use{use("name", true)}, leaving: []providers.Leaving{leave("shop/dev/key", providers.EndDeleted, moveTo("shop/dev/name on memory"))},
		},
		"another name in its place": {
			was: only(sec("key", "value = manual()")), before: byHand, is: only(sec("name", "value = manual()", `path = "shop/dev/key"`)) + moved("shop.secret.key", "shop.secret.name"),
			secrets: []providers.Use{use("key", false)},
		},
		"a place changes hands": {
			knobs: func(o *memory.Options) { o.SoftDelete, o.Restore = 0, false }, was: only(sec("key", hex) + sec("name", hex, `path = "name"`)), is: only(sec("key", hex, `path = "new/key"`) + sec("name", hex, `path = "shop/dev/key"`)),
			secrets: []providers.Use{{Path: "new/key", Write: true}, use("key", true)},
			leaving: []providers.Leaving{leave("name", providers.EndDeleted, moveTo("shop/dev/key on memory")), leave("shop/dev/key", providers.EndDeleted, moveTo("new/key on memory"))},
		},
		"a place is left for another": {
			knobs: func(o *memory.Options) { o.SoftDelete, o.Restore = 0, false },
			was:   only(sec("key", hex) + sec("name", hex, `path = "name"`)), is: only(sec("name", hex, `path = "shop/dev/key"`)),
			secrets: []providers.Use{use("key", true)},
			leaving: []providers.Leaving{leave("name", providers.EndDeleted, moveTo("shop/dev/key on memory")), leave("shop/dev/key", providers.EndDeleted)},
		},
		"moved, and lost at its new place": {
			was: only(sec("key", hex)), is: only(sec("key", hex, `path = "new/key"`)), secrets: []providers.Use{{Path: "new/key", Write: true}},
			after: func(w *plannertest.World) {
				w.Configure(only(sec("key", hex, `path = "new/key"`))).Apply()
				w.Stores["memory"].Remove("new/key", 0)
			},
			leaving: []providers.Leaving{leave("shop/dev/key", providers.EndDeleted, moveTo("new/key on memory"))},
		},
		"to another store": {
			was: only(sec("key", hex)), is: onB(only(sec("key", hex))),
			leaving: []providers.Leaving{leave("shop/dev/key", providers.EndDeleted, moveTo("shop/dev/key on memory.b"))},
		},
		"from another store": {was: onB(only(sec("key", hex))), is: only(sec("key", hex)), secrets: []providers.Use{use("key", true)}},
		"a copy fewer": {
			was: copies(only(sec("key", hex))), is: only(sec("key", hex)), ref: "memory.b", leaving: []providers.Leaving{leave("shop/dev/key", providers.EndDeleted)},
		},
		"a field fewer": {
			was: only(sec("key", "fields = {\n      a = random_hex()\n      b = random_hex()\n    }")), is: only(sec("key", "fields = {\n      b = manual()\n    }")),
			secrets: []providers.Use{use("key", true)},
		},
		"another key": {
			was: only(sec("key", "value = manual()", `key = "a"`)), before: byHand, is: only(sec("key", "value = manual()", `key = "b"`)),
			secrets: []providers.Use{use("key", true, "to keep it under another key")},
		},
		"objects": {
			was: only(sec("key", hex)),
			before: func(w *plannertest.World) {
				granted(w).Objects = []*lang.Object{ops("x"), role(), declared(22, "role", "memory", "named"), declared(24, "policy_document", "", "let", "document", "x")}
			},
			is:    only(sec("key", hex)) + removing("role.memory.named", true) + removing("policy_document.let", false),
			after: func(w *plannertest.World) { w.Policies, w.Objects = nil, nil }, secrets: []providers.Use{use("key", true)},
			leaving: []providers.Leaving{
				leaveObject(bindingRef.Kind, bindingRef.Path, providers.EndDeleted),
				leaveObject(memory.KindPolicy, "let", providers.EndForgotten), leaveObject(memory.KindPolicy, "ops", providers.EndDeleted), leaveObject(policyRef.Kind, policyRef.Path, providers.EndDeleted),
				leaveObject(memory.KindRole, "named", providers.EndNamed), leaveObject(memory.KindRole, "web", providers.EndDeleted),
			},
		},
		"a mount that is filled": {
			knobs: func(o *memory.Options) { o.Mount = "kv" },
			was:   only(sec("key", hex)), before: func(w *plannertest.World) { w.Objects = []*lang.Object{mount()} },
			is: only(sec("key", hex)), after: func(w *plannertest.World) { w.Objects, w.Knobs["memory"] = nil, memory.Counting() }, secrets: []providers.Use{use("key", true)},
			leaving: []providers.Leaving{leaveObject(memory.KindMount, "kv", providers.EndLooked)},
		},
	} {
		t.Run(name, func(t *testing.T) {
			knobs := memory.Counting()
			if tt.knobs != nil {
				tt.knobs(&knobs)
			}
			w := plannertest.New(t, knobs)
			if strings.Contains(tt.was+tt.is, "memory.b") {
				w.AddStore("b", memory.Counting())
			}
			if tt.before != nil {
				tt.before(w)
			}
			w.Configure(tt.was)
			if _, err := w.TryApply(); err != nil {
				t.Fatal(err)
			}
			if tt.after != nil {
				tt.after(w)
			}
			w.Configure(tt.is)
			l, ref := w.Look(), cmp.Or(tt.ref, "memory")
			asked := map[string]providers.PermissionRequest{}
			for of := range l.Stores {
				asked[of] = planner.PermissionRequest(l.Desired, l.Snapshot, l.Stores, of, providers.PhaseApply)
			}
			got := asked[ref]
			got.Secrets = slices.DeleteFunc(got.Secrets, func(u providers.Use) bool { return u.Path == "shop/dev/other" })
			if diff := gocmp.Diff(tt.secrets, got.Secrets, cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("secrets (-want +got):\n%s", diff)
			}
			if diff := gocmp.Diff(tt.leaving, got.Leaving, cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("leaving (-want +got):\n%s", diff)
			}
			looked := planner.PermissionRequest(l.Desired, l.Snapshot, l.Stores, ref, providers.PhasePlan).Leaving
			for _, x := range looked {
				if x.End != providers.EndLooked || len(x.Reads) > 0 {
					t.Errorf("a plan does %+v", x)
				}
			}
			for n := 0; n < 3 && !tt.stuck; n++ { // a value that moves takes two, and its place one more
				covered(t, w.Plan(), asked)
				w.Apply()
			}
		})
	}
}

func byHand(w *plannertest.World) {
	w.Stores["memory"].Edit("shop/dev/key", secret.String("by hand"), "bob")
}

// covered checks that what a plan does was asked for.
func covered(t *testing.T, p *planner.Plan, asked map[string]providers.PermissionRequest) {
	t.Helper()
	for _, c := range p.Changes {
		may := allowed(asked, c.Location)
		switch writes := len(c.Fields) > 0 || c.From != nil && c.Action != planner.Rename; {
		case c.Action == planner.Delete && may.deletes, c.Action == planner.Forget && (may.forgets || c.Role == state.RoleObject):
		case c.Action != planner.Delete && c.Action != planner.Forget && may.wanted && (may.writes || !writes):
		default:
			t.Errorf("nobody asked for %s %s at %s", c.Action, c.Address, c.Location.Path)
		}
		if c.From != nil && c.ReadsValue && !allowed(asked, c.From.Location).reads {
			t.Errorf("nobody asked to read %s, which %s %s does", c.From.Location.Path, c.Action, c.Address)
		}
	}
}

type may struct{ wanted, writes, reads, deletes, forgets bool }

func allowed(asked map[string]providers.PermissionRequest, at planner.Location) (m may) {
	req := asked[at.Provider]
	ref := providers.ObjectRef{Kind: at.Kind, Path: at.Path}
	m.wanted = slices.Contains(req.Objects, ref)
	m.writes = m.wanted
	for _, u := range req.Secrets {
		if at.Kind == addr.KindSecret && u.Path == at.Path {
			m.wanted, m.writes, m.reads = true, u.Write, len(u.Reads) > 0
		}
	}
	for _, l := range req.Leaving {
		if l.ObjectRef == ref {
			m.deletes = m.deletes || l.End == providers.EndDeleted || l.End == providers.EndNamed
			m.forgets = m.forgets || l.End == providers.EndForgotten
			m.reads = m.reads || len(l.Reads) > 0
		}
	}
	return m
}
