package planner_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/hcl/v2"

	"github.com/cofferhq/coffer/lang"
	"github.com/cofferhq/coffer/lang/addr"
	"github.com/cofferhq/coffer/planner"
	"github.com/cofferhq/coffer/planner/plannertest"
	"github.com/cofferhq/coffer/providers"
	"github.com/cofferhq/coffer/providers/memory"
	"github.com/cofferhq/coffer/state"
)

// line is a place in a configuration that only tests have.
func line(n int) hcl.Range {
	return hcl.Range{Filename: "objects.hcl", Start: hcl.Pos{Line: n, Column: 1}}
}

// declared is a block beside apps; arguments are name, value, name, value, …
func declared(at int, kind, typ, name string, arguments ...any) *lang.Object {
	o := &lang.Object{Address: addr.Beside(kind, typ, name), Provider: "memory", Range: line(at)}
	for i := 0; i < len(arguments); i += 2 {
		o.Arguments = append(o.Arguments, lang.Argument{Name: arguments[i].(string), Value: arguments[i+1], Range: line(at + 1 + i/2)})
	}
	return o
}

func ops(text string) *lang.Object {
	return declared(10, "policy_document", "", "ops", "document", text)
}

func role(arguments ...any) *lang.Object { return declared(20, "role", "memory", "web", arguments...) }

func mount() *lang.Object { return declared(30, "mount", "memory", "kv", "max", 3.0) }

var (
	opsRef     = providers.ObjectRef{Kind: memory.KindPolicy, Path: "ops"}
	roleRef    = providers.ObjectRef{Kind: memory.KindRole, Path: "web"}
	bindingRef = providers.ObjectRef{Kind: memory.KindBinding, Path: "web shop-runtime-dev"}
	policyRef  = providers.ObjectRef{Kind: memory.KindPolicy, Path: "shop-runtime-dev"}
	mountRef   = providers.ObjectRef{Kind: memory.KindMount, Path: "kv"}
)

const (
	opsAddress = "policy_document.ops"
	runtime    = `app.shop.policy.runtime["dev"]`
	binding    = `provider.memory.binding["web shop-runtime-dev"]`
)

// counting is a world on a store that counts, with gen and what is declared.
func counting(t *testing.T, objects ...*lang.Object) *plannertest.World {
	w := plannertest.New(t, memory.Counting())
	w.Objects = objects
	return w.Configure(gen)
}

// granted lets the role web read the secret key.
func granted(w *plannertest.World) *plannertest.World {
	a, _ := addr.Parse(key)
	p := addr.Address{App: "shop", Kind: addr.KindPolicy, Name: "runtime", Environment: "dev"}
	w.Policies = []*lang.Policy{{
		Address: p, Secrets: []addr.Address{a}, Range: line(40),
		Readers: []lang.Reader{{Func: memory.ReaderFunc, Args: []string{"web"}, Range: line(41)}},
	}}
	return w
}

// imported is an import block; words are "import ADDRESS ID".
func imported(words string) []*lang.Import {
	part := strings.Fields(words)
	to, err := addr.Parse(part[1])
	if err != nil {
		panic(err)
	}
	return []*lang.Import{{To: to, ID: part[2], Range: line(70)}}
}

func theirs(w *plannertest.World, ref providers.ObjectRef, project, text string) {
	d := memory.New(w.Stores["memory"], memory.Counting())
	o := d.Powers().ObjectDriver
	_, err := o.WriteObject(context.Background(), providers.ObjectRequest{
		Ref: ref, Document: text, Attributes: providers.Attributes{Mark: providers.Mark{Project: project}},
	})
	if err != nil {
		w.Fatalf("%v", err)
	}
}

// TestObjectDecisions are the rows of the table for objects, with what each
// change then does.
func TestObjectDecisions(t *testing.T) {
	byHand := func(ref providers.ObjectRef, text string) func(*plannertest.World) {
		return func(w *plannertest.World) { w.Stores["memory"].SetDocument(ref, text) }
	}
	for name, tt := range map[string]struct {
		applied []*lang.Object // before
		by      func(w *plannertest.World)
		wanted  []*lang.Object
		hcl     string // "" is gen, "-" nothing but what is wanted, "removed" or "import ADDRESS ID" such a block
		opts    []plannertest.Option
		want    []string
		// text is what the object then is, at ref, and writes how often it was
		// written for that; not asked where the plan is an error.
		ref    providers.ObjectRef
		text   string
		writes int
	}{
		"missing: create":          {nil, nil, []*lang.Object{ops("read")}, "", nil, []string{"create " + opsAddress + " new"}, opsRef, "read", 1},
		"alone is a configuration": {nil, nil, []*lang.Object{ops("read")}, "-", nil, []string{"create " + opsAddress + " new"}, opsRef, "read", 1},
		"denied: unknown": {
			[]*lang.Object{ops("read")},
			func(w *plannertest.World) { w.Stores["memory"].Inject(memory.Deny("inspect_objects", "ops")) },
			[]*lang.Object{ops("write")},
			"", nil,
			[]string{"unknown " + opsAddress + " forbidden"},
			opsRef, "read", 0,
		},
		"nobody's, without room for a mark, as wanted: adopt": {
			nil, byHand(roleRef, "name = web\n"), []*lang.Object{role()}, "", nil, []string{"adopt role.memory.web imported"}, roleRef, "name = web\n", 0,
		},
		"nobody's, without room for a mark, as wanted and more: adopt": {
			nil, byHand(roleRef, "name = web\nttl = 1h\n"), []*lang.Object{role()}, "", nil, []string{"adopt role.memory.web imported"}, roleRef, "name = web\nttl = 1h\n", 0,
		},
		"nobody's, without room for a mark, another text: refuse": {
			nil, byHand(roleRef, "name = web\nttl = 1h\n"), []*lang.Object{role("ttl", "2h")}, "", nil, []string{"error role.memory.web exists already, managed by nobody"}, roleRef, "", 0,
		},
		"nobody's, without room for a mark, imported: update": {
			nil, byHand(roleRef, "name = web\nnum = 3\nttl = 1h\n"),
			[]*lang.Object{role("ttl", "2h")},
			"import role.memory.web web", nil,
			[]string{"update role.memory.web imported"},
			roleRef, "name = web\nnum = 3\nttl = 2h\n", 1,
		},
		"nobody's: refuse": {nil, byHand(opsRef, "read"), []*lang.Object{ops("read")}, "", nil, []string{"error " + opsAddress + " exists already, managed by nobody"}, opsRef, "", 0},
		"nobody's, imported: our mark is written": {
			nil, byHand(opsRef, "read"), []*lang.Object{ops("read")}, "import " + opsAddress + " ops", nil, []string{"adopt " + opsAddress + " imported"}, opsRef, "read", 1,
		},
		"another project's: refuse": {
			nil, func(w *plannertest.World) { theirs(w, opsRef, "theirs", "read") },
			[]*lang.Object{ops("read")},
			"", nil,
			[]string{"error " + opsAddress + ` exists already, managed by project "theirs"`},
			opsRef, "", 0,
		},
		"the state was lost: adopt": {
			[]*lang.Object{ops("read")},
			func(w *plannertest.World) { w.State.Lose() },
			[]*lang.Object{ops("read")},
			"", nil,
			[]string{"adopt " + opsAddress + " state_lost", "adopt " + key + " state_lost"},
			opsRef, "read", 0,
		},
		"changed outside: put back": {
			[]*lang.Object{ops("read")}, byHand(opsRef, "sudo"), []*lang.Object{ops("read")}, "", nil, []string{"update " + opsAddress + " changed_outside"}, opsRef, "read", 1,
		},
		"changed outside, without room for a mark: put back": {
			[]*lang.Object{role()}, byHand(roleRef, "name = root\n"), []*lang.Object{role()}, "", nil, []string{"update role.memory.web changed_outside"}, roleRef, "name = web\n", 1,
		},
		"changed here": {
			[]*lang.Object{ops("read")}, nil, []*lang.Object{ops("write")}, "", nil, []string{"update " + opsAddress + " metadata_changed"}, opsRef, "write", 1,
		},
		"changed outside to what is wanted now: the state follows": {
			[]*lang.Object{ops("read")}, byHand(opsRef, "write"), []*lang.Object{ops("write")}, "", nil, []string{"adopt " + opsAddress + " changed_outside"}, opsRef, "write", 0,
		},
		"the mark is gone: conflict": {
			[]*lang.Object{ops("read")},
			func(w *plannertest.World) { w.Stores["memory"].SetDocument(opsRef, ""); theirs(w, opsRef, "", "read") },
			[]*lang.Object{ops("read")},
			"", nil,
			[]string{"conflict " + opsAddress + " mark_lost"},
			opsRef, "read", 0,
		},
		"the mark is gone, accepted: written again": {
			[]*lang.Object{ops("read")},
			func(w *plannertest.World) { w.Stores["memory"].SetDocument(opsRef, ""); theirs(w, opsRef, "", "read") },
			[]*lang.Object{ops("read")},
			"",
			[]plannertest.Option{plannertest.Settle(opsAddress, planner.SettleAccept)},
			[]string{"adopt " + opsAddress + " mark_lost"},
			opsRef, "read", 1,
		},
		"gone: create again": {
			[]*lang.Object{role()}, byHand(roleRef, ""), []*lang.Object{role()}, "", nil, []string{"create role.memory.web missing"}, roleRef, "name = web\n", 1,
		},
		"gone, accepted: nothing is made": {
			[]*lang.Object{role()},
			byHand(roleRef, ""),
			[]*lang.Object{role()},
			"",
			[]plannertest.Option{plannertest.Settle("role.memory.web", planner.SettleAccept)},
			[]string{"error role.memory.web is not there, so there is nothing to accept"},
			roleRef, "", 0,
		},
		"another name for the same place: the mark follows": {
			[]*lang.Object{ops("read")}, nil, []*lang.Object{{
				Address: addr.Beside("policy_document", "x", "ops"), Provider: "memory", Arguments: []lang.Argument{{Name: "document", Value: "read"}},
			}}, "", nil, []string{"rename policy_document.x.ops moved"}, opsRef, "read", 1,
		},
		"protected: the mark says so": {
			[]*lang.Object{ops("read")},
			nil,
			[]*lang.Object{declared(10, "policy_document", "", "ops", "document", "read", "protect", true)},
			"", nil,
			[]string{"update " + opsAddress + " metadata_changed"},
			opsRef, "read", 1,
		},
		"undeclared: delete": {[]*lang.Object{ops("read")}, nil, nil, "", nil, []string{"delete " + opsAddress + " removed"}, opsRef, "", 1},
		"undeclared, protected: refuse": {
			[]*lang.Object{declared(10, "policy_document", "", "ops", "document", "read", "protect", true)},
			nil, nil, "", nil,
			[]string{"error " + opsAddress + " is protected"},
			opsRef, "", 0,
		},
		"undeclared, not ours any more: forget": {
			[]*lang.Object{ops("read")},
			func(w *plannertest.World) {
				w.Stores["memory"].SetDocument(opsRef, "")
				theirs(w, opsRef, "theirs", "x")
			}, nil, "", nil,
			[]string{"forget " + opsAddress + " removed"},
			opsRef, "x", 0,
		},
		"undeclared, destroy = false: our mark goes": {
			[]*lang.Object{ops("read")}, func(w *plannertest.World) {}, nil, "removed", nil, []string{"forget " + opsAddress + " removed"}, opsRef, "read", 1,
		},
		"an interrupted write that landed: adopt": {
			[]*lang.Object{role("ttl", "1h")},
			func(w *plannertest.World) { w.Objects = []*lang.Object{role("ttl", "2h")}; crashed(w, true) },
			[]*lang.Object{role("ttl", "2h")},
			"", nil,
			[]string{"adopt role.memory.web interrupted"},
			roleRef, "name = web\nttl = 2h\n", 0,
		},
		"an interrupted create that landed, and the block has more now: update": {
			nil,
			func(w *plannertest.World) { w.Objects = []*lang.Object{role("ttl", "2h")}; crashed(w, true) },
			[]*lang.Object{role("num", 3.0)},
			"", nil,
			[]string{"update role.memory.web interrupted"},
			roleRef, "name = web\nnum = 3\nttl = 2h\n", 1,
		},
		"an interrupted create, and another has written: refuse": {
			nil, func(w *plannertest.World) {
				w.Objects = []*lang.Object{role()}
				crashed(w, false)
				w.Stores["memory"].SetDocument(roleRef, "name = root\n")
			}, []*lang.Object{role()}, "", nil, []string{"error role.memory.web exists already, managed by nobody"}, roleRef, "", 0,
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := counting(t, tt.applied...)
			if tt.hcl != "-" {
				w.Apply()
			}
			if tt.by != nil {
				tt.by(w)
			}
			w.Objects = tt.wanted
			removed := tt.hcl == "removed"
			switch {
			case tt.hcl == "-":
				w.Configure("")
			case strings.HasPrefix(tt.hcl, "import"):
				w.Imports = imported(tt.hcl)
			}
			l := w.Look(tt.opts...)
			if removed {
				a, _ := addr.Parse(opsAddress)
				l.Desired.Removed = []*lang.Removed{{From: a}}
				l.Plan = planner.Diff(l.Desired, l.Snapshot, l.Live, l.Stores, l.Options)
			}
			expect(t, l.Plan, tt.want...)
			if strings.HasPrefix(tt.want[0], "error ") {
				return
			}
			w.Stores["memory"].ResetCalls()
			if _, err := applyPlan(w, l); err != nil {
				t.Fatal(err)
			}
			if got, n := w.Stores["memory"].Document(tt.ref), w.Stores["memory"].Calls("write_object"); got != tt.text || n != tt.writes {
				t.Errorf("it is %q after %d writes, want %q after %d", got, n, tt.text, tt.writes)
			}
			w.Stores["memory"].Heal()
			if rest := w.Plan(tt.opts...); !removed && !slices.ContainsFunc(l.Plan.Changes, func(c planner.Change) bool { return c.Action == planner.Conflict || c.Action == planner.Unknown }) {
				expect(t, rest)
			}
		})
	}
}

// TestForgetTakesTheMarkOff: what stays is then nobody's.
func TestForgetTakesTheMarkOff(t *testing.T) {
	w := counting(t, ops("read"))
	w.Apply()
	w.Objects = nil
	l := w.Look()
	a, _ := addr.Parse(opsAddress)
	l.Desired.Removed = []*lang.Removed{{From: a}}
	l.Plan = planner.Diff(l.Desired, l.Snapshot, l.Live, l.Stores, l.Options)
	if _, err := applyPlan(w, l); err != nil {
		t.Fatal(err)
	}
	w.Objects = []*lang.Object{ops("read")}
	expect(t, w.Plan(), "error "+opsAddress+" exists already, managed by nobody")
}

// TestGrantsAreObjects: a policy has its own address, a binding that of its
// provider; both come before what they are about, and go in the other order.
func TestGrantsAreObjects(t *testing.T) {
	w := granted(counting(t, role("policies", []any{"shop-runtime-dev"})))
	l := w.Look()
	expect(t, l.Plan, "create role.memory.web new", "create "+runtime+" new", "create "+key+" new", "create "+binding+" new")
	c := change(t, l.Plan, binding)
	if want := []string{"role.memory.web", runtime}; !slices.Equal(dependsOn(c), want) && !slices.Equal(dependsOn(c), []string{want[1], want[0]}) {
		t.Errorf("the binding waits for %v", dependsOn(c))
	}
	if r := l.Desired.At(c.Address); r.Range == nil || r.Range.Line != 20 {
		t.Errorf("the binding that a role brings along is declared at %v", r.Range)
	}
	w.Apply()
	expect(t, w.Plan())
	w.Policies, w.Objects = nil, nil
	p := w.Plan()
	expect(t, p, "forget role.memory.web removed", "delete "+runtime+" removed", "delete "+binding+" removed")
	for _, a := range []string{"role.memory.web", runtime} {
		if got := dependsOn(change(t, p, a)); !slices.Equal(got, []string{binding}) {
			t.Errorf("%s goes after %v", a, got)
		}
	}
	w.Stores["memory"].Inject(memory.Deny("write_object", bindingRef.Path))
	ended := mustTry(t, w)
	if w.Stores["memory"].Document(policyRef) == "" || !ended.Failed() {
		t.Error("the policy went while its binding was there")
	}
}

// TestDamagedNeedsMakeNoCircle: objects that the state says need each other are
// deleted in any order.
func TestDamagedNeedsMakeNoCircle(t *testing.T) {
	w := counting(t, ops("read"), declared(20, "policy_document", "", "web", "document", "read"))
	w.Apply()
	w.Objects = nil
	l := w.Look()
	for _, e := range l.Snapshot.Entries {
		switch e.Location.Path {
		case "ops":
			e.Needs = []string{"policy web"}
		case "web":
			e.Needs = []string{"policy ops", "policy web"}
		}
	}
	l.Plan = planner.Diff(l.Desired, l.Snapshot, l.Live, l.Stores, l.Options)
	result, err := applyPlan(w, l)
	if err != nil || result.Failed() || len(result.Outcomes) != 2 {
		t.Errorf("%v, %v", ended(result), err)
	}
}

func dependsOn(c *planner.Change) []string {
	var out []string
	for _, k := range c.DependsOn {
		out = append(out, k.Address.String())
	}
	return out
}

// TestBlocksBesideApps: from the language to the store and back.
func TestBlocksBesideApps(t *testing.T) {
	w := counting(t).Configure(gen + `
policy_document "ops" {
  provider = memory
  document = "read"
}
role "memory" "web" {
  provider = memory
  policies = ["ops"]
  ttl      = "1h"
}
`)
	w.Apply()
	expect(t, w.Plan())
	if got := w.Stores["memory"].Document(roleRef); got != "name = web\nttl = 1h\n" || w.Stores["memory"].Document(opsRef) != "read" {
		t.Errorf("the role is %q", got)
	}
	l := w.Look(plannertest.Target("role.memory.web"))
	if len(l.Plan.Diagnostics) > 0 {
		t.Error(l.Plan.Diagnostics)
	}
	w.Configure(gen + removing("policy_document.ops", false) + removing("role.memory.web", true))
	p := w.Plan()
	expect(t, p, "forget "+opsAddress+" removed", "delete role.memory.web removed", `delete provider.memory.binding["web ops"] removed`)
	for _, a := range []string{opsAddress, "role.memory.web"} { // our mark stays on the policy until it is attached no more
		if got := dependsOn(change(t, p, a)); !slices.Equal(got, []string{`provider.memory.binding["web ops"]`}) {
			t.Errorf("%s goes after %v", a, got)
		}
	}
	w.Apply()
	if w.Stores["memory"].Document(roleRef) != "" || w.Stores["memory"].Document(opsRef) != "read" {
		t.Error("not as the removed blocks say")
	}
	expect(t, w.Plan())
}

// TestTheMountComesFirst: a declared mount that is missing is made before the
// secrets in it, and which one it is gets recorded.
func TestTheMountComesFirst(t *testing.T) {
	knobs := memory.Counting()
	knobs.Mount = "kv"
	w := plannertest.New(t, knobs).Configure(gen)
	w.Objects = []*lang.Object{mount()}
	p := w.Plan()
	expect(t, p, "create mount.memory.kv new", "create "+key+" new")
	if got := dependsOn(change(t, p, key)); !slices.Equal(got, []string{"mount.memory.kv"}) {
		t.Errorf("the secret waits for %v", got)
	}
	w.Apply()
	expect(t, w.Plan())
	incarnation := func() string {
		s, err := w.State.Load(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		return s.Incarnations["memory"]
	}
	if incarnation() != "mount-1" {
		t.Errorf("the incarnation is recorded as %q", incarnation())
	}

	before := w.State.Remember()
	w.Stores["memory"].SetDocument(mountRef, "") // gone, with all that was in it
	w.Objects = nil
	if _, diags := desire(w); len(diags) != 1 || !strings.Contains(diags[0].Summary, "is gone") || !strings.Contains(diags[0].Detail, "repin memory") || diags[0].Range == nil {
		t.Errorf("gone: %v", diags)
	}
	w.Objects = []*lang.Object{mount()}
	expect(t, w.Plan(), "create mount.memory.kv missing", "create "+key+" missing new-value")
	w.Apply()
	if incarnation() != "mount-2" {
		t.Errorf("the incarnation is recorded as %q", incarnation())
	}
	expect(t, w.Plan())

	w.State.Recall(before) // for which it is another one
	s, _ := w.State.Load(context.Background())
	stores, diags := planner.Connect(context.Background(), w.Providers(), s)
	if len(diags) != 1 || !strings.Contains(diags[0].Summary, "made again") || !strings.Contains(diags[0].Detail, "repin memory") {
		t.Errorf("made again: %v", diags)
	}
	there, err := planner.Repin(s, stores["memory"])
	if err != nil || len(there) != 2 || s.Incarnations["memory"] != "mount-2" {
		t.Errorf("repin: %d entries, %v, %v", len(there), s.Incarnations, err)
	}
	if _, err := planner.Repin(s, stores["memory"]); err == nil {
		t.Error("repin of what is pinned already")
	}
}

// TestNoChangeAsksThreeThings: who it is, which one it is, and one list.
func TestNoChangeAsksThreeThings(t *testing.T) {
	knobs := memory.Counting()
	knobs.Mount, knobs.Lease = "kv", providers.Lease{Expires: plannertest.Start}
	w := plannertest.New(t, knobs).Configure(gen)
	w.Stores["memory"].SetDocument(mountRef, "kv")
	w.Apply()
	w.Stores["memory"].ResetCalls()
	expect(t, w.Plan())
	if n := w.Stores["memory"].Calls(""); n != 3 {
		t.Errorf("%d calls", n)
	}
}

// TestAMountOutlivesItsSecrets: it is not deleted while anything lies in it that
// is wanted or could be brought back.
func TestAMountOutlivesItsSecrets(t *testing.T) {
	knobs := memory.Counting()
	knobs.Mount = "kv"
	w := plannertest.New(t, knobs).Configure(gen)
	w.Objects = []*lang.Object{mount()}
	w.Apply()
	w.Objects = nil
	expect(t, w.Plan(), "forget mount.memory.kv removed") // nothing but a block deletes it
	gone := removing("mount.memory.kv", true)
	w.Configure(gen + gone)
	expect(t, w.Plan(), "note mount.memory.kv removed")
	knobs = memory.Full()
	knobs.Objects = false // else the mount could be one of its own
	other := w.AddStore("b", knobs)
	w.Configure(with(without, "store = memory", "store = memory.b") + gone)
	expect(t, w.Plan(), "delete "+key+" removed", `create app.shop.secret.other["dev"] new`, "note mount.memory.kv removed")
	w.Apply()
	expect(t, w.Plan(), "note mount.memory.kv removed") // the secret could be brought back
	l := w.Look()
	audit := &auditor{}
	if err := planner.Purge(context.Background(), l.Stores["memory"], "shop/dev/key", "test-1", audit); err != nil {
		t.Fatal(err)
	}
	expect(t, w.Plan(), "delete mount.memory.kv removed")
	w.Apply()
	if w.Stores["memory"].Document(mountRef) != "" || len(other.Paths()) != 1 {
		t.Error("the mount is still there")
	}
}

// removing is a removed block.
func removing(address string, destroy bool) string {
	return fmt.Sprintf("removed {\n  from = %s\n  lifecycle {\n    destroy = %t\n  }\n}\n", address, destroy)
}

// desire is the configuration of a world, with what is wrong with it.
func desire(w *plannertest.World) (*planner.Desired, []planner.Diagnostic) {
	s, err := w.State.Load(context.Background())
	if err != nil {
		s = state.New("test-1", state.Lineage("test-1"))
	}
	stores, _ := planner.Connect(context.Background(), w.Providers(), s)
	return planner.Desire(w.Load(), stores)
}

// TestWrongObjects: what cannot be declared is said where it is written.
func TestWrongObjects(t *testing.T) {
	same := ops("x")
	same.Address.Name, same.Range = "shop-runtime-dev", line(50)
	for name, tt := range map[string]struct {
		do   func(w *plannertest.World)
		want []string // summaries
		at   []int
	}{
		"a wrong argument": {func(w *plannertest.World) {
			w.Objects = []*lang.Object{declared(10, "policy_document", "", "ops", "x", 1.0, "document", true)}
		}, []string{"policy_document.ops cannot be declared on memory"}, []int{12}},
		"no such provider": {func(w *plannertest.World) { w.Objects = []*lang.Object{ops("x")}; w.Objects[0].Provider = "vault" }, []string{"policy_document.ops has no provider"}, []int{10}},
		"protect is a word": {func(w *plannertest.World) {
			w.Objects = []*lang.Object{declared(10, "policy_document", "", "ops", "document", "x", "protect", "no")}
		}, []string{"protect of policy_document.ops is neither true nor false"}, []int{12}},
		"another text than the policy's": {func(w *plannertest.World) { granted(w).Objects = []*lang.Object{same} }, []string{
			`the policy "shop-runtime-dev" on memory is wanted in two ways`, `the policy "shop-runtime-dev" on memory is wanted in two ways`,
		}, []int{50, 40}},
		"twice": {func(w *plannertest.World) {
			w.Objects = []*lang.Object{ops("x"), declared(60, "policy_document", "x", "ops", "document", "x")}
		}, []string{`the policy "ops" on memory is declared twice`, `the policy "ops" on memory is declared twice`}, []int{10, 60}},
		"imported from elsewhere": {func(w *plannertest.World) {
			w.Objects = []*lang.Object{role()}
			w.Imports = imported("import role.memory.web wob")
		}, []string{`"wob" is not where role.memory.web lives`}, []int{70}},
		"one store, twice": {func(w *plannertest.World) {
			w.AddStore("b", memory.Full()).SetIdentity("mem-1")
			w.Configure(gen)
		}, []string{"providers memory and memory.b are the same store", "providers memory and memory.b are the same store"}, nil},
		"raw with fields": {func(w *plannertest.World) {
			w.Configure(app(sec("key", "format = \"raw\"", "fields = {\n a = random_hex()\n b = random_hex()\n}")))
		}, []string{key + " cannot be kept as raw bytes"}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			w := counting(t)
			tt.do(w)
			_, diags := desire(w)
			var got []string
			var at []int
			for _, d := range diags {
				got = append(got, d.Summary)
				if d.Range != nil && d.Range.File == "objects.hcl" {
					at = append(at, d.Range.Line)
				}
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("diagnostics (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tt.at, at); diff != "" {
				t.Errorf("places (-want +got):\n%s", diff)
			}
		})
	}
}

// TestEqualObjectsAreOne: a block for what a policy compiles to as well gives it
// its own address, and what each of the two needs.
func TestEqualObjectsAreOne(t *testing.T) {
	o := ops("shop/dev/key\n")
	o.Address.Name = "shop-runtime-dev"
	w := granted(counting(t, o, role("policies", []any{"shop-runtime-dev"})))
	d, diags := desire(w)
	if len(diags) > 0 {
		t.Fatal(diags)
	}
	objects := map[string][]string{}
	for _, r := range d.Resources {
		if r.IsObject() {
			for _, n := range r.Needs {
				objects[r.Address.String()] = append(objects[r.Address.String()], n.String())
			}
			objects[r.Address.String()] = append([]string{}, objects[r.Address.String()]...)
		}
	}
	want := map[string][]string{
		"policy_document.shop-runtime-dev": {}, "role.memory.web": {}, binding: {"policy_document.shop-runtime-dev", "role.memory.web"},
	}
	if diff := cmp.Diff(want, objects); diff != "" {
		t.Errorf("objects (-want +got):\n%s", diff)
	}
}

// TestPolicyOnTwoStores: the one on the store of the primaries has the policy's
// address, the one beside the copies the store behind it.
func TestPolicyOnTwoStores(t *testing.T) {
	w := granted(counting(t))
	w.AddStore("b", memory.Counting())
	w.Configure(replicated)
	d, _ := desire(w)
	var got []string
	for _, r := range d.Resources {
		if r.IsObject() && r.Location.Kind == memory.KindPolicy {
			got = append(got, r.Address.String())
		}
	}
	if want := []string{runtime, runtime + "@memory.b"}; !slices.Equal(got, want) {
		t.Errorf("policies %v, want %v", got, want)
	}
	w.Apply()
	expect(t, w.Plan())
}

// TestPurge destroys what is deleted and ours, and says why nothing else.
func TestPurge(t *testing.T) {
	for name, tt := range map[string]struct {
		do    func(w *plannertest.World)
		audit *auditor
		want  error
	}{
		"ours":      {func(w *plannertest.World) { w.Stores["memory"].Remove("shop/dev/key", time.Hour) }, &auditor{}, nil},
		"live":      {func(*plannertest.World) {}, &auditor{}, planner.ErrNotDeleted},
		"not there": {func(w *plannertest.World) { w.Stores["memory"].Remove("shop/dev/key", 0) }, &auditor{}, planner.ErrNothingToPurge},
		"nobody's": {func(w *plannertest.World) {
			w.Stores["memory"].RemoveMark("shop/dev/key")
			w.Stores["memory"].Remove("shop/dev/key", time.Hour)
		}, &auditor{}, planner.ErrNotOurs},
		"no audit": {func(w *plannertest.World) { w.Stores["memory"].Remove("shop/dev/key", time.Hour) }, &auditor{fail: true}, errors.New("disk full")},
		"not allowed": {func(w *plannertest.World) {
			w.Stores["memory"].Remove("shop/dev/key", time.Hour)
			w.Stores["memory"].Inject(refuse("purge"))
		}, &auditor{}, errors.New("denied")},
	} {
		t.Run(name, func(t *testing.T) {
			w := counting(t)
			w.Apply()
			tt.do(w)
			_, before := w.Stores["memory"].Meta("shop/dev/key")
			stores := w.Connect(nil)
			err := planner.Purge(context.Background(), stores["memory"], "shop/dev/key", "test-1", tt.audit)
			_, there := w.Stores["memory"].Meta("shop/dev/key")
			switch {
			case tt.want == nil && (err != nil || there || len(tt.audit.events) != 1 || tt.audit.events[0].Action != "purge" || tt.audit.events[0].Version != "1"):
				t.Errorf("%v, there %v, audit %+v", err, there, tt.audit.events)
			case tt.want != nil && (err == nil || !errors.Is(err, tt.want) && !strings.Contains(err.Error(), tt.want.Error()) || there != before):
				t.Errorf("%v, there %v", err, there)
			}
		})
	}
}
