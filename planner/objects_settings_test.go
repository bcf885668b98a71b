package planner_test

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/cofferhq/coffer/lang"
	"github.com/cofferhq/coffer/planner"
	"github.com/cofferhq/coffer/planner/plannertest"
	"github.com/cofferhq/coffer/providers"
	"github.com/cofferhq/coffer/providers/memory"
)

// stage is one step in the life of an object, and what there is to see of it.
type stage struct {
	name   string
	by     func(w *plannertest.World)
	opts   []plannertest.Option
	drift  []string // before the plan
	plan   []string
	detail string // of the first change
	shown  string // its difference, "-" and "+" of each line that changes
	text   string // at ref, after the apply
	writes int
}

// lived runs stages one after another.
func lived(t *testing.T, w *plannertest.World, ref providers.ObjectRef, stages []stage) {
	t.Helper()
	for _, s := range stages {
		if s.by != nil {
			s.by(w)
		}
		found := w.Drift()
		if got := drifts(found); !slices.Equal(got, s.drift) {
			t.Fatalf("%s: drift %v, want %v", s.name, got, s.drift)
		}
		for _, d := range found.Drift {
			if d.Kind == planner.DriftDocument && shownLines(d.Before, d.After) == "" {
				t.Errorf("%s: the drift shows no line", s.name)
			}
		}
		l := w.Look(s.opts...)
		expect(t, l.Plan, s.plan...)
		if len(s.plan) > 0 {
			c := &l.Plan.Changes[0]
			if !strings.Contains(c.Detail, s.detail) || s.detail == "" && strings.Contains(c.Detail, "declared") {
				t.Errorf("%s: it says %q, want %q", s.name, c.Detail, s.detail)
			}
			if got := shownLines(c.Before, c.After); got != s.shown {
				t.Errorf("%s: it shows %q, want %q", s.name, got, s.shown)
			}
		}
		w.Stores["memory"].ResetCalls()
		if _, err := applyPlan(w, l); err != nil {
			t.Fatal(err)
		}
		if got, n := w.Stores["memory"].Document(ref), w.Stores["memory"].Calls("write_object"); got != s.text || n != s.writes {
			t.Errorf("%s: it is %q after %d writes, want %q after %d", s.name, got, n, s.text, s.writes)
		}
	}
}

// shownLines are the lines that only one of two texts has.
func shownLines(before, after string) string {
	var out []string
	for _, side := range []struct{ sign, text, other string }{{"-", before, after}, {"+", after, before}} {
		for line := range strings.Lines(side.text) {
			if !strings.Contains("\n"+side.other, "\n"+line) {
				out = append(out, side.sign+strings.TrimSpace(line))
			}
		}
	}
	return strings.Join(out, " ")
}

func wanting(list ...*lang.Object) func(*plannertest.World) {
	return func(w *plannertest.World) { w.Objects = list }
}

func hand(ref providers.ObjectRef, text string) func(*plannertest.World) {
	return func(w *plannertest.World) { w.Stores["memory"].SetDocument(ref, text) }
}

// TestOnlyDeclaredSettingsAreOurs: what a block does not write is neither changed
// nor reported, be it imported, updated, or taken out of the block.
func TestOnlyDeclaredSettingsAreOurs(t *testing.T) {
	const update, foreign = "update role.memory.web metadata_changed", "name = web\nnum = 3\nttl = 1h\n"
	w := counting(t)
	w.Apply()
	lived(t, w, roleRef, []stage{
		{"import of what is as declared", func(w *plannertest.World) {
			w.Stores["memory"].SetDocument(roleRef, foreign)
			w.Objects, w.Imports = []*lang.Object{role("ttl", "1h")}, imported("import role.memory.web web")
		}, nil, nil, []string{"adopt role.memory.web imported"}, "", "", foreign, 0},
		{"nothing", nil, nil, nil, nil, "", "", foreign, 0},
		{"somebody else's setting", hand(roleRef, "extra = x\nname = web\nnum = 4\nttl = 1h\n"), nil, nil, nil, "", "", "extra = x\nname = web\nnum = 4\nttl = 1h\n", 0},
		{"ours", hand(roleRef, "name = web\nnum = 5\nttl = 9h\n"), nil, []string{"document role.memory.web"}, []string{"update role.memory.web changed_outside"}, "", "-ttl = 9h +ttl = 1h", "name = web\nnum = 5\nttl = 1h\n", 1},
		{"another value", wanting(role("ttl", "2h")), nil, nil, []string{update}, "", "-ttl = 1h +ttl = 2h", "name = web\nnum = 5\nttl = 2h\n", 1},
		{"one more, and it is so", wanting(role("ttl", "2h", "num", 5.0)), nil, nil, []string{update}, "declared now, and so already: num = 5", "", "name = web\nnum = 5\nttl = 2h\n", 0},
		{"and so it is ours", hand(roleRef, "name = web\nnum = 6\nttl = 2h\n"), nil, []string{"document role.memory.web"}, []string{"update role.memory.web changed_outside"}, "", "-num = 6 +num = 5", "name = web\nnum = 5\nttl = 2h\n", 1},
		{"one less, another changed", wanting(role("num", 7.0)), nil, nil, []string{update}, "no longer declared, and left as it is: ttl = 2h", "-num = 5 +num = 7", "name = web\nnum = 7\nttl = 2h\n", 1},
		{"none", wanting(role()), nil, nil, []string{update}, "no longer declared, and left as it is: num = 7", "", "name = web\nnum = 7\nttl = 2h\n", 0},
		{"nor is it reported", hand(roleRef, "name = web\n"), nil, nil, nil, "", "", "name = web\n", 0},
		{"import of what is not", func(w *plannertest.World) {
			w.State.Lose()
			w.Stores["memory"].SetDocument(roleRef, foreign)
			w.Objects = []*lang.Object{role("ttl", "2h")}
		}, nil, nil, []string{"update role.memory.web imported", "adopt " + key + " state_lost"}, "", "-ttl = 1h +ttl = 2h", "name = web\nnum = 3\nttl = 2h\n", 1},
	})
	w.Objects, w.Imports = []*lang.Object{role()}, nil // and without a look at the store
	l := w.Look()
	p := planner.Diff(l.Desired, l.Snapshot, planner.Recorded(l.Snapshot), l.Stores, l.Options)
	if c := change(t, p, "role.memory.web"); c.Before != c.After || !strings.Contains(c.Detail, "left as it is: ttl = 2h") {
		t.Errorf("from the state alone: %+v", c)
	}
}

// TestAcceptedText: what a person accepts is what is recorded. What the
// configuration says is a change of its own then, which accept does not make.
func TestAcceptedText(t *testing.T) {
	accept := func(address string) []plannertest.Option {
		return []plannertest.Option{plannertest.Settle(address, planner.SettleAccept), plannertest.Target(address)}
	}
	adopt, drift := []string{"adopt " + opsAddress + " changed_outside"}, []string{"document " + opsAddress}
	w := counting(t, ops("read\nlist\n"))
	w.Apply()
	lived(t, w, opsRef, []stage{
		{"accepted", hand(opsRef, "read\nsudo\n"), accept(opsAddress), drift, adopt, "", "-list +sudo", "read\nsudo\n", 0},
		{"accepted again", nil, accept(opsAddress), nil, nil, "", "", "read\nsudo\n", 0},
		{"a plan", nil, nil, nil, []string{"update " + opsAddress + " metadata_changed"}, "", "-sudo +list", "read\nlist\n", 1},
		{"accepted, without our mark", func(w *plannertest.World) {
			w.Stores["memory"].SetDocument(opsRef, "")
			theirs(w, opsRef, "", "sudo\n")
		}, accept(opsAddress), drift, []string{"adopt " + opsAddress + " mark_lost"}, "", "-read -list +sudo", "sudo\n", 1},
		{"and the configuration follows", wanting(ops("sudo\n")), nil, nil, nil, "", "", "sudo\n", 0},
		{"accepted, its block is gone", func(w *plannertest.World) {
			w.Objects = nil
			w.Stores["memory"].SetDocument(opsRef, "list\n")
		}, accept(opsAddress), drift, adopt, "", "-sudo +list", "list\n", 0},
		{"and deleted then", nil, nil, nil, []string{"delete " + opsAddress + " removed"}, "", "-list", "", 1},
	})

	w = counting(t, role("ttl", "1h"))
	w.Apply()
	lived(t, w, roleRef, []stage{
		{
			"settings", hand(roleRef, "name = web\nnum = 3\nttl = 9h\n"), accept("role.memory.web"),
			[]string{"document role.memory.web"},
			[]string{"adopt role.memory.web changed_outside"},
			"", "-ttl = 1h +ttl = 9h", "name = web\nnum = 3\nttl = 9h\n", 0,
		},
		{"and a plan", nil, nil, nil, []string{"update role.memory.web metadata_changed"}, "", "-ttl = 9h +ttl = 1h", "name = web\nnum = 3\nttl = 1h\n", 1},
	})
}

// TestConflictShowsLines: what somebody changed about an object that is to go.
func TestConflictShowsLines(t *testing.T) {
	w := counting(t, ops("read\nlist\n"))
	w.Apply()
	w.Stores["memory"].SetDocument(opsRef, "read\nsudo\n")
	w.Objects = nil
	c := change(t, w.Plan(), opsAddress)
	if got := shownLines(c.Before, c.After); c.Action != planner.Conflict || got != "-list +sudo" {
		t.Errorf("%s shows %q", c.Action, got)
	}
}

// TestWhatCannotBeMadeYet: a reader that does not exist is said in the plan, and
// holds back nothing but its own grant.
func TestWhatCannotBeMadeYet(t *testing.T) {
	lack := func(ref providers.ObjectRef, needs providers.ObjectRef) func(*plannertest.World) {
		return func(w *plannertest.World) {
			w.Stores["memory"].SetLack(ref, providers.Lack{Ref: needs, Text: "web does not exist; make it"})
		}
	}
	others := []string{"create " + runtime + " new", "create " + key + " new"}
	for name, tt := range map[string]struct {
		objects []*lang.Object
		by      []func(*plannertest.World)
		opts    []plannertest.Option
		want    []string
	}{
		"nobody makes it": {
			nil,
			[]func(*plannertest.World){lack(bindingRef, providers.ObjectRef{})},
			nil, append(slices.Clone(others), "conflict "+binding+" missing"),
		},
		"a block could": {
			nil,
			[]func(*plannertest.World){lack(bindingRef, roleRef)},
			nil, append(slices.Clone(others), "conflict "+binding+" missing"),
		},
		"a block does": {
			[]*lang.Object{role()},
			[]func(*plannertest.World){lack(bindingRef, roleRef)},
			nil, append([]string{"create role.memory.web new"}, append(slices.Clone(others), "create "+binding+" new")...),
		},
		"a block does, and is left out": {
			[]*lang.Object{role()},
			[]func(*plannertest.World){lack(bindingRef, roleRef)},
			[]plannertest.Option{plannertest.Exclude("role.memory.web")},
			append(slices.Clone(others), "conflict "+binding+" missing"),
		},
		"nor can that be made": {
			[]*lang.Object{role()},
			[]func(*plannertest.World){lack(bindingRef, roleRef), lack(roleRef, providers.ObjectRef{})},
			nil, append([]string{"conflict role.memory.web missing"}, append(slices.Clone(others), "conflict "+binding+" missing")...),
		},
		"it went since": {
			nil,
			[]func(*plannertest.World){
				func(w *plannertest.World) { w.Apply() }, hand(bindingRef, ""), lack(bindingRef, providers.ObjectRef{}),
			},
			nil,
			[]string{"conflict " + binding + " missing"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := granted(counting(t, tt.objects...))
			for _, do := range tt.by {
				do(w)
			}
			l := w.Look(tt.opts...)
			expect(t, l.Plan, tt.want...)
			for i := range l.Plan.Changes {
				if c := &l.Plan.Changes[i]; c.Action == planner.Conflict && c.Detail != "web does not exist; make it" {
					t.Errorf("it says %q", c.Detail)
				}
			}
			if _, err := applyPlan(w, l); err != nil {
				t.Fatal(err)
			}
			if made := w.Stores["memory"].Document(bindingRef) != ""; made != (name == "a block does") {
				t.Errorf("made: %v", made)
			}
		})
	}
}

// TestUndeclaredElsewhere: what a provider finds above its own is measured by
// who has it; what may not be looked at is a note and no more.
func TestUndeclaredElsewhere(t *testing.T) {
	audit := func(w *plannertest.World) []string {
		l := w.Look()
		found, notes := planner.Undeclared(context.Background(), l.Desired, l.Snapshot, l.Stores)
		out := drifts(&planner.DriftReport{Drift: found})
		for _, n := range notes {
			out = append(out, "note "+n.Address.String()+" "+string(n.Reason)+": "+n.Text)
		}
		return out
	}
	world := func(t *testing.T, unseen ...string) *plannertest.World {
		knobs := memory.Counting()
		knobs.Unseen = unseen
		w := plannertest.New(t, knobs)
		w.AddStore("b", memory.Counting())
		w.Configure(gen + "\n")
		w.Stores["memory"].SetUndeclared(providers.Undeclared{Ref: opsRef, Scope: "mem-b", In: "above/", Reads: []string{"shop/dev/key"}, Text: "x"})
		return w
	}
	above := `grant_added provider.memory.policy["above/ops"]`
	onB := func(w *plannertest.World) { o := ops("read"); o.Provider = "memory.b"; w.Objects = []*lang.Object{o} }
	for name, tt := range map[string]struct {
		unseen []string
		do     func(w *plannertest.World)
		want   []string
	}{
		"above, and nobody's": {nil, nil, []string{above}},
		"above, and declared": {nil, onB, nil},
		"above, and declared on our own, which is another one": {nil, wanting(ops("read")), []string{above}},
		"what may not be seen": {[]string{"this", "that"}, func(w *plannertest.World) { w.Stores["memory"].SetUndeclared() }, []string{
			"note provider.memory not_checked: who else can read there was looked for without this and that, which the identity in use may not see",
		}},
		"declared by way of one that was never reached": {nil, func(w *plannertest.World) {
			onB(w)
			w.Stores["memory.b"].Inject(memory.Outage(0))
			w.Stores["memory"].SetUndeclared(providers.Undeclared{Ref: opsRef, Reads: []string{"shop/dev/key"}})
		}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			w := world(t, tt.unseen...)
			if tt.do != nil {
				tt.do(w)
			}
			if got := audit(w); !slices.Equal(got, tt.want) {
				t.Errorf("found %q, want %q", got, tt.want)
			}
		})
	}
}
