package planner_test

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cofferhq/coffer/lang"
	"github.com/cofferhq/coffer/lang/addr"
	"github.com/cofferhq/coffer/planner"
	"github.com/cofferhq/coffer/planner/plannertest"
	"github.com/cofferhq/coffer/providers"
	"github.com/cofferhq/coffer/providers/memory"
	"github.com/cofferhq/coffer/state"
)

// forged changes the entry of an object in the state as somebody with an editor
// does.
func forged(w *plannertest.World, ref providers.ObjectRef, edit func(*state.Entry)) {
	s, err := w.State.Load(context.Background())
	if err != nil {
		w.Fatalf("%v", err)
	}
	loc := addr.Location{Provider: "mem-1", Kind: ref.Kind, Path: ref.Path}
	e := s.Entries[loc]
	delete(s.Entries, loc)
	edit(e)
	s.Entries[e.Location] = e
	text, err := state.Encode(s)
	if err != nil {
		w.Fatalf("%v", err)
	}
	w.State.Recall(text)
}

// TestUnwantedObjects are the rows for objects that the configuration no longer
// has: what the state says is no reason to delete what others may depend on.
func TestUnwantedObjects(t *testing.T) {
	attached := []any{"shop-runtime-dev"}
	tie := func(w *plannertest.World) { w.Stores["memory"].SetDocument(bindingRef, "attached\n") }
	there := func(w *plannertest.World) { w.Stores["memory"].SetDocument(roleRef, "name = web\n") }
	set := func(ref providers.ObjectRef, text string) func(*plannertest.World) {
		return func(w *plannertest.World) { w.Stores["memory"].SetDocument(ref, text) }
	}
	elsewhere := func(ref providers.ObjectRef, path string) func(*plannertest.World) {
		return func(w *plannertest.World) {
			to := providers.ObjectRef{Kind: ref.Kind, Path: path}
			text := w.Stores["memory"].Document(ref)
			theirs(w, to, "theirs", text)
			forged(w, ref, func(e *state.Entry) { e.Location.Path, e.Version, e.Made = path, "o1", true })
		}
	}
	goes := removing("role.memory.web", true)
	for name, tt := range map[string]struct {
		before  func(*plannertest.World)
		applied []*lang.Object
		by      func(*plannertest.World)
		hcl     string
		opts    []plannertest.Option
		want    []string
		detail  string // of the first change
		left    []providers.ObjectRef
	}{
		"a role":                   {nil, []*lang.Object{role()}, nil, "", nil, []string{"forget role.memory.web removed"}, "a removed block with lifecycle { destroy = true }", []providers.ObjectRef{roleRef}},
		"a role, named by a block": {nil, []*lang.Object{role()}, nil, goes, nil, []string{"delete role.memory.web removed"}, "", nil},
		"a role that was there, named by a block": {
			there, []*lang.Object{role()}, nil, goes, nil, []string{"delete role.memory.web removed"}, "", nil,
		},
		"a role, named by a block and changed since": {
			nil, []*lang.Object{role()}, set(roleRef, "name = root\n"), goes, nil, []string{"conflict role.memory.web changed_outside"}, "coffer accept", []providers.ObjectRef{roleRef},
		},
		"a role, named by a block, the change accepted": {
			nil,
			[]*lang.Object{role()},
			set(roleRef, "name = root\n"),
			goes,
			[]plannertest.Option{plannertest.Settle("role.memory.web", planner.SettleAccept)},
			[]string{"adopt role.memory.web changed_outside"},
			"",
			[]providers.ObjectRef{roleRef},
		},
		"a role, the block names another": {
			nil, []*lang.Object{role()}, nil, removing("role.memory.other", true), nil, []string{"forget role.memory.web removed"}, "", []providers.ObjectRef{roleRef},
		},
		"another's role under the name of one that a block names": {
			nil,
			[]*lang.Object{role()},
			elsewhere(roleRef, "theirs"), goes, nil,
			[]string{"forget role.memory.web removed"},
			"",
			[]providers.ObjectRef{{Kind: memory.KindRole, Path: "theirs"}, roleRef},
		},
		"a role of another type": {
			nil,
			[]*lang.Object{role()},
			elsewhere(roleRef, "jwt:web"), goes, nil,
			[]string{"forget role.memory.web removed"},
			"",
			[]providers.ObjectRef{{Kind: memory.KindRole, Path: "jwt:web"}, roleRef},
		},
		"a role of the same name at another place, whatever the state says": {
			nil,
			[]*lang.Object{role()},
			elsewhere(roleRef, "ci/web"), goes, nil,
			[]string{"forget role.memory.web removed"},
			`that role.memory.web is "ci/web" only the state says`,
			[]providers.ObjectRef{{Kind: memory.KindRole, Path: "ci/web"}, roleRef},
		},
		"a role that was declared at another place": {
			nil,
			[]*lang.Object{role("at", "ci")},
			nil, goes, nil,
			[]string{"forget role.memory.web removed"},
			"deleted there by hand",
			[]providers.ObjectRef{{Kind: memory.KindRole, Path: "ci/web"}},
		},
		"a mount at another place, whatever the state says": {
			nil,
			[]*lang.Object{mount()},
			elsewhere(mountRef, "team/kv"),
			removing("mount.memory.kv", true), nil,
			[]string{"forget mount.memory.kv removed"},
			"only the state says",
			[]providers.ObjectRef{mountRef, {Kind: memory.KindMount, Path: "team/kv"}},
		},
		"a role that another instance could have": {
			nil,
			[]*lang.Object{role()},
			func(w *plannertest.World) { w.AddStore("b", memory.Counting()) },
			goes, nil,
			[]string{"forget role.memory.web removed"},
			"memory.b could have role.memory.web as well",
			[]providers.ObjectRef{roleRef},
		},
		"a role that a provider brought along": {
			nil,
			[]*lang.Object{role()},
			func(w *plannertest.World) {
				forged(w, roleRef, func(e *state.Entry) { e.Address = addr.ProviderObject("memory", memory.KindRole, "web") })
			}, "", nil,
			[]string{`forget provider.memory.role["web"] removed`},
			"by hand",
			[]providers.ObjectRef{roleRef},
		},
		"a mount": {nil, []*lang.Object{mount()}, nil, "", nil, []string{"forget mount.memory.kv removed"}, "", []providers.ObjectRef{mountRef}},
		"a binding": {
			nil,
			[]*lang.Object{role("policies", attached)},
			func(w *plannertest.World) { w.Policies = nil }, goes, nil,
			[]string{"delete role.memory.web removed", "delete " + runtime + " removed", "delete " + binding + " removed"},
			"", nil,
		},
		"a binding that was there": {
			tie,
			[]*lang.Object{role("policies", attached)},
			nil, goes, nil,
			[]string{"delete role.memory.web removed", "delete " + runtime + " removed", "forget " + binding + " removed"},
			"",
			[]providers.ObjectRef{bindingRef},
		},
		"a binding, changed since": {
			nil,
			[]*lang.Object{role("policies", attached)},
			set(bindingRef, "x"), "", nil,
			[]string{"forget role.memory.web removed", "delete " + runtime + " removed", "conflict " + binding + " changed_outside"},
			"",
			[]providers.ObjectRef{bindingRef, roleRef},
		},
		"a policy, changed since": {
			nil, []*lang.Object{ops("read")}, set(opsRef, "sudo"), "", nil, []string{"conflict " + opsAddress + " changed_outside"}, "coffer accept", []providers.ObjectRef{opsRef},
		},
		"a policy, changed since, whatever the state says": {
			nil,
			[]*lang.Object{ops("read")},
			func(w *plannertest.World) {
				w.Stores["memory"].SetDocument(opsRef, "sudo")
				forged(w, opsRef, func(e *state.Entry) { e.AcceptsOutside = true })
			}, "", nil,
			[]string{"conflict " + opsAddress + " changed_outside"},
			"",
			[]providers.ObjectRef{opsRef},
		},
		"a policy of another address of ours": {
			nil,
			[]*lang.Object{ops("read")},
			func(w *plannertest.World) {
				forged(w, opsRef, func(e *state.Entry) { e.Address.Name = "other" })
			}, "", nil,
			[]string{"forget policy_document.other removed"},
			"marked as something else",
			[]providers.ObjectRef{opsRef},
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := counting(t, tt.applied...)
			if strings.Contains(name, "binding") {
				granted(w).Policies[0].Readers[0].Args = []string{"web"}
			}
			if tt.before != nil {
				tt.before(w)
			}
			w.Apply()
			if tt.by != nil {
				tt.by(w)
			}
			w.Objects, w.Policies = nil, nil
			w.Configure(gen + tt.hcl)
			l := w.Look(tt.opts...)
			expect(t, l.Plan, tt.want...)
			if got := l.Plan.Changes[0].Detail; !strings.Contains(got, tt.detail) {
				t.Errorf("it says %q", got)
			}
			if _, err := applyPlan(w, l); err != nil {
				t.Fatal(err)
			}
			var left []providers.ObjectRef
			for _, ref := range []providers.ObjectRef{bindingRef, policyRef, opsRef, {Kind: memory.KindRole, Path: "jwt:web"}, {Kind: memory.KindRole, Path: "theirs"}, {Kind: memory.KindRole, Path: "ci/web"}, roleRef, mountRef, {Kind: memory.KindMount, Path: "team/kv"}} {
				if w.Stores["memory"].Document(ref) != "" {
					left = append(left, ref)
				}
			}
			if name == "a binding, changed since" { // its policy waits for a person too
				left = slices.DeleteFunc(left, func(r providers.ObjectRef) bool { return r == policyRef })
			}
			if diff := cmp.Diff(tt.left, left); diff != "" {
				t.Errorf("left (-want +got):\n%s", diff)
			}
		})
	}
}

// TestForgetLeavesAnothersMark: what carries our mark for another address stays
// that one's.
func TestForgetLeavesAnothersMark(t *testing.T) {
	w := counting(t, ops("read"))
	w.Apply()
	forged(w, opsRef, func(e *state.Entry) { e.Address.Name = "other" })
	w.Objects = nil
	w.Apply()
	w.Objects = []*lang.Object{ops("read")}
	expect(t, w.Plan(), "adopt "+opsAddress+" state_lost")
}

// TestDeletedObjectsAreConfirmed: they count as secrets do, unless a block asks
// for it; what only ties two others together goes with them.
func TestDeletedObjectsAreConfirmed(t *testing.T) {
	w := granted(counting(t, ops("read"), role()))
	w.Apply()
	w.Objects, w.Policies = nil, nil
	p := w.Plan()
	expect(t, p, "delete "+opsAddress+" removed", "forget role.memory.web removed", "delete "+runtime+" removed", "delete "+binding+" removed")
	if deletes, _ := p.Guard(); deletes != 2 {
		t.Errorf("%d deletes to confirm", deletes)
	}
	if err := p.Confirm(0, 0); err == nil || !strings.Contains(err.Error(), "2 policies and other objects") || p.Confirm(2, 0) != nil {
		t.Errorf("confirm: %v", err)
	}
	w.Configure("environment \"dev\" { store = memory }\n" + removing("app.shop", true) + removing(opsAddress, true))
	p = w.Plan()
	for _, a := range []string{opsAddress, runtime, binding} {
		if !change(t, p, a).Confirmed {
			t.Errorf("the delete of %s is not confirmed", a)
		}
	}
	if deletes, _ := p.Guard(); deletes != 0 {
		t.Errorf("%d deletes to confirm", deletes)
	}
	w.Configure("environment \"dev\" { store = memory }\n" + removing(opsAddress, true))
	if err := w.Plan().Confirm(0, 0); err != nil { // one secret, and the policy that goes with it
		t.Errorf("confirm: %v", err)
	}
}

// TestTargetTakesWhatABlockBrings: the bindings that a role declares come with
// it, and what those are made of.
func TestTargetTakesWhatABlockBrings(t *testing.T) {
	w := granted(counting(t, role("policies", []any{"ops", "shop-runtime-dev"}), ops("read")))
	tie := `provider.memory.binding["web ops"]`
	expect(t, w.Plan(plannertest.Target("role.memory.web")),
		"create "+opsAddress+" new", "create role.memory.web new", "create "+runtime+" new", "create "+tie+" new", "create "+binding+" new")
	expect(t, w.Plan(plannertest.Target("role.memory.web"), plannertest.Exclude(tie)), "create role.memory.web new", "create "+runtime+" new", "create "+binding+" new")
	expect(t, w.Plan(plannertest.Target(opsAddress)), "create "+opsAddress+" new")
}

// shares are two providers of one world, which have one set of objects.
func shares(t *testing.T) *plannertest.World {
	knobs := memory.Counting()
	knobs.Share, knobs.Prefix = "a", "a/"
	w := plannertest.New(t, knobs)
	knobs.Share, knobs.Prefix = "b", "b/"
	w.AddStore("b", knobs)
	w.Stores["memory.b"] = w.Stores["memory"]
	return w
}

// TestSharedObjects: two providers that have the same objects do not both get
// one.
func TestSharedObjects(t *testing.T) {
	on := func(o *lang.Object, provider string, line_ int) *lang.Object {
		o.Provider, o.Range = provider, line(line_)
		return o
	}
	twoWays := `the policy "shop-runtime-dev" is wanted in two ways`
	for name, tt := range map[string]struct {
		do   func(w *plannertest.World)
		want []string
		at   []int
	}{
		"two blocks": {func(w *plannertest.World) {
			w.Objects = []*lang.Object{on(ops("x"), "memory", 10), on(declared(0, "policy_document", "x", "ops", "document", "x"), "memory.b", 60)}
		}, []string{`the policy "ops" on memory.b is declared twice`, `the policy "ops" on memory.b is declared twice`}, []int{10, 60}},
		"a block says another thing": {func(w *plannertest.World) {
			o := on(ops("x"), "memory.b", 50)
			o.Address.Name = "shop-runtime-dev"
			w.Objects = []*lang.Object{o}
		}, []string{twoWays, twoWays}, []int{50, 40}},
	} {
		t.Run(name, func(t *testing.T) {
			w := granted(shares(t)).Configure(gen)
			tt.do(w)
			_, diags := desire(w)
			var got []string
			var at []int
			for _, d := range diags {
				got, at = append(got, d.Summary), append(at, d.Range.Line)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("diagnostics (-want +got):\n%s", diff)
			}
			if !slices.Equal(at, tt.at) {
				t.Errorf("at %v, want %v", at, tt.at)
			}
		})
	}

	// Equal ones are one, whoever asks, and pass from one provider to the other.
	w := granted(shares(t)).Configure(copies(gen))
	w.Objects = []*lang.Object{on(role("policies", []any{"shop-runtime-dev"}), "memory.b", 20)}
	d, diags := desire(w)
	if len(diags) > 0 {
		t.Fatal(diags)
	}
	r := d.At(addr.ProviderObject("memory.b", memory.KindBinding, bindingRef.Path))
	if r == nil || len(r.Needs) != 2 {
		t.Fatalf("the binding is %+v", r)
	}
	w.Apply()
	w.Stores["memory"].SetUndeclared(providers.Undeclared{Ref: roleRef, Reads: []string{"shop/dev/key"}})
	l := w.Look()
	if found, _ := planner.Undeclared(context.Background(), l.Desired, state.New("test-1", "x"), l.Stores); len(found) != 0 {
		t.Errorf("declared by way of the other provider, and found: %v", found)
	}
	w.Objects[0].Provider = "memory"
	moved := `provider.memory.binding["web shop-runtime-dev"]`
	expect(t, w.Plan(), "adopt role.memory.web imported", "forget role.memory.web moved", "adopt "+moved+" imported",
		`forget provider.memory.b.binding["web shop-runtime-dev"] moved`)
	w.Stores["memory"].ResetCalls()
	w.Apply()
	if n := w.Stores["memory"].Calls("write_object"); n != 0 {
		t.Errorf("%d writes", n)
	}
	expect(t, w.Plan())
	w.Objects, w.Policies = nil, nil
	expect(t, w.Plan(), "forget role.memory.web removed", "delete "+runtime+" removed", "delete "+moved+" removed")
	w.Apply()
	if w.Stores["memory"].Document(bindingRef) != "" {
		t.Error("it is not known any more that the binding was made here")
	}
}

// TestSharedObjectsCoverBoth: the secrets of both providers wait for an object
// that both want.
func TestSharedObjectsCoverBoth(t *testing.T) {
	w := granted(shares(t)).Configure(copies(gen))
	for ref, knobs := range w.Knobs {
		knobs.Bindings = false
		w.Knobs[ref] = knobs
	}
	p := w.Plan()
	one := `provider.memory.access["shop/dev/key"]`
	expect(t, p, "create "+key+" new", "create "+keyB+" new", "create "+one+" new")
	for _, a := range []string{key, keyB} {
		if !slices.Contains(dependsOn(change(t, p, a)), one) {
			t.Errorf("%s does not wait for it", a)
		}
	}
}
