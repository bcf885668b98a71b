package plannertest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/cofferhq/coffer/internal/proptest"
	"github.com/cofferhq/coffer/lang/addr"
	"github.com/cofferhq/coffer/planner"
	"github.com/cofferhq/coffer/providers/secret"
)

// sketch is a configuration of two environments that a property draws: some
// secrets, each with the kind that makes it.
type sketch struct {
	secrets map[string]drawn
	named   int // names ever used
	replica bool
}

type drawn struct {
	kind  string // generated, rotated, supplied, template, manual, fields
	ref   string // of a template
	path  bool   // at a path of its own
	label string
}

var environments = []string{"dev", "production"}

func drawSketch(t *rapid.T) sketch {
	s := sketch{secrets: map[string]drawn{}, replica: rapid.Bool().Draw(t, "replica")}
	for range rapid.IntRange(1, 5).Draw(t, "secrets") {
		s.add(t)
	}
	return s
}

// add adds a secret; a template refers to one that was there before, so there
// is never a circle.
func (s *sketch) add(t *rapid.T) {
	d := drawn{kind: rapid.SampledFrom([]string{"generated", "rotated", "supplied", "template", "manual", "fields"}).Draw(t, "kind")}
	if d.kind == "template" {
		names := slices.Sorted(maps.Keys(s.secrets))
		names = slices.DeleteFunc(names, func(n string) bool { return s.secrets[n].kind == "fields" })
		if len(names) == 0 {
			d.kind = "generated"
		} else {
			d.ref = rapid.SampledFrom(names).Draw(t, "ref")
		}
	}
	s.secrets[fmt.Sprintf("s%02d", s.named)] = d
	s.named++
}

// edited is the sketch after a person has worked on it.
func (s sketch) edited(t *rapid.T) sketch {
	next := sketch{secrets: maps.Clone(s.secrets), named: s.named, replica: rapid.Bool().Draw(t, "replica")}
	next.add(t)
	name := rapid.SampledFrom(slices.Sorted(maps.Keys(s.secrets))).Draw(t, "edited")
	d := next.secrets[name]
	switch rapid.IntRange(0, 3).Draw(t, "edit") {
	case 0:
		d.path = true
	case 1:
		d.label = "new"
	case 2:
		used := false
		for _, other := range next.secrets {
			used = used || other.ref == name
		}
		if !used {
			delete(next.secrets, name)
			return next
		}
	}
	next.secrets[name] = d
	return next
}

func (s sketch) hcl() string {
	var b strings.Builder
	for _, env := range environments {
		fmt.Fprintf(&b, "environment %q {\n  store = memory\n", env)
		if s.replica {
			b.WriteString("  replicas = [memory.b]\n")
		}
		b.WriteString("}\n")
	}
	b.WriteString("app \"shop\" {\n  environments = [\"dev\", \"production\"]\n")
	for _, name := range slices.Sorted(maps.Keys(s.secrets)) {
		b.WriteString(s.secrets[name].block(name))
	}
	return b.String() + "}\n"
}

func (d drawn) block(name string) string {
	body := map[string]string{
		"generated": "value = random_hex({ bytes = 8 })",
		"rotated":   "value = random_hex({ bytes = 8 })\n    rotation {\n      every = \"30d\"\n      strategy = \"regenerate\"\n    }",
		"supplied":  fmt.Sprintf("value = from_env(\"%s_${upper(each.environment)}\")", strings.ToUpper(name)),
		"template":  fmt.Sprintf("value = \"x-${secret.%s}\"", d.ref),
		"manual":    "value = manual()",
		"fields":    "fields = {\n      user = random_hex({ bytes = 8 })\n      password = manual()\n      dsn = \"${self.user}:${self.password}\"\n    }",
	}[d.kind]
	if d.path {
		body += fmt.Sprintf("\n    path = \"at/${each.environment}/%s\"", name)
	}
	if d.label != "" {
		body += fmt.Sprintf("\n    labels = { l = %q }", d.label)
	}
	return fmt.Sprintf("  secret %q {\n    %s\n  }\n", name, body)
}

// twin is one of two worlds that live through the same.
type twin struct{ *World }

func newTwin(t TB, dir, shape string) *twin {
	w := Bare(t, shapes[shape]).In(dir)
	w.AddStore("b", shapes[shape])
	w.Manual = map[addr.Address]map[string]secret.Value{}
	return &twin{w}
}

// configure sets the configuration and everything that people supply for it.
func (w *twin) configure(s sketch, supplied string) {
	w.Configure(s.hcl())
	for name, d := range s.secrets {
		for _, env := range environments {
			switch a := addr.Secret("shop", env, name); d.kind {
			case "supplied":
				w.Environ[strings.ToUpper(name+"_"+env)] = supplied + env
			case "manual":
				w.Manual[a] = map[string]secret.Value{"": secret.String("by a person")}
			case "fields":
				w.Manual[a] = map[string]secret.Value{"password": secret.String("by a person")}
			}
		}
	}
}

// awaited are the values that a plan waits for and that a person now gives.
func (w *twin) awaited(p *planner.Plan) []Option {
	var opts []Option
	for _, n := range p.Notes {
		given := w.Manual[n.Address]
		if n.Reason == planner.ReasonAwaitingValue && given != nil {
			opts = append(opts, Settle(n.Address.String(), planner.SettleSet, slices.Sorted(maps.Keys(given))...))
		}
	}
	for _, c := range p.Changes { // a block that went while its secret had no mark yet
		if c.Action == planner.Conflict && c.Reason == planner.ReasonInterrupted && c.ConfigDigest == "" {
			opts = append(opts, Settle(c.Address.String(), planner.SettleAccept))
		}
	}
	return opts
}

// look is a plan with all that is awaited.
func (w *twin) look() *Look {
	l := w.Look()
	if opts := w.awaited(l.Plan); len(opts) > 0 {
		l = w.Look(opts...)
	}
	return l
}

// settle applies until nothing is left to do or to give.
func (w *twin) settle() {
	for range 12 {
		l := w.look()
		if len(l.Plan.Diagnostics) > 0 {
			w.Fatalf("diagnostic: %s: %s", l.Plan.Diagnostics[0].Summary, l.Plan.Diagnostics[0].Detail)
		}
		if len(l.Plan.Changes) == 0 {
			return
		}
		if r, err := w.Applier(l).Apply(context.Background(), l.Plan); err != nil || r.Failed() {
			w.Fatalf("apply: %v", err)
		}
	}
	w.Fatalf("the plan does not become empty")
}

// cut runs an apply that dies after that many steps, each call being two: one
// before its effect and one after.
func (w *twin) cut(left int) {
	looked := false // the process that looks lives
	die := func(string) error {
		if !looked {
			return nil
		}
		if left--; left < 0 {
			return errors.New("crashed")
		}
		return nil
	}
	knobs := maps.Clone(w.Knobs)
	for ref, k := range knobs {
		k.At = die
		w.Knobs[ref] = k
	}
	l := w.look()
	looked, w.State.Fail = true, die
	a := w.Applier(l)
	a.Parallelism = 1 // so that the same draw dies at the same step
	_, _ = a.Apply(context.Background(), l.Plan)
	w.State.Fail, w.Knobs = nil, knobs
}

// blind are the supplied secrets that can no longer be compared, because their
// relocation was interrupted, with the templates made of them. The plan says so
// in a note, and a person decides.
func (w *twin) blind(s sketch) map[string]bool {
	names := map[string]bool{}
	for _, n := range w.Plan().Notes {
		if n.Reason == planner.ReasonNotCompared {
			if !s.secrets[n.Address.Name].path {
				w.Fatalf("%s is not compared any more: %s", n.Address, n.Text)
			}
			names[n.Address.Name] = true
		}
	}
	for range s.secrets {
		for name, d := range s.secrets {
			names[name] = names[name] || names[d.ref]
		}
	}
	return names
}

// end is what a world has come to, without what differs between any two.
func (w *twin) end(s sketch, blind map[string]bool) []string {
	snap, err := w.State.Load(context.Background())
	if err != nil {
		w.Fatalf("%v", err)
	}
	var out []string
	for _, e := range snap.Sorted() {
		if e.Pending != nil {
			w.Fatalf("%s has an open intent", e.Address)
		}
		if blind[e.Address.Name] {
			continue
		}
		sources := map[string]string{}
		for name, f := range e.Fields {
			sources[name] = f.Source
		}
		generation := e.Generation
		if len(e.Inputs) > 0 {
			// How many values of another secret it was made from on the way is where
			// the run died, and which of two writes at once came first; which it is
			// made from in the end, its inputs tell.
			generation = 0
		}
		out = append(out, fmt.Sprintf("%s at %s: %s generation %d %v inputs %v labels %v protect %v",
			e.Address, e.Location, e.Role, generation, sources, e.Inputs, e.Labels, e.Protect))
	}
	for ref, store := range w.Stores {
		out = append(out, fmt.Sprint(ref, " holds ", store.Paths()))
	}
	for name, d := range s.secrets {
		if blind[name] {
			continue
		}
		for _, env := range environments {
			out = append(out, fmt.Sprintf("%s in %s is made %s", name, env, w.made(s, name, env, d)))
		}
	}
	slices.Sort(out)
	return out
}

func (s sketch) pathOf(name, env string) string {
	if s.secrets[name].path {
		return "at/" + env + "/" + name
	}
	return "shop/" + env + "/" + name
}

// made says whether a value is what its sources say, and its copy the same.
func (w *twin) made(s sketch, name, env string, d drawn) string {
	value := w.Value("memory", s.pathOf(name, env))
	if s.replica && w.Value("memory.b", s.pathOf(name, env)) != value {
		return "differently on its copy"
	}
	switch d.kind {
	case "supplied":
		return "from " + value
	case "manual":
		return value
	case "template":
		return fmt.Sprintf("of its reference: %v", value == "x-"+w.Value("memory", s.pathOf(d.ref, env)))
	case "fields":
		fields := map[string]string{}
		for line := range strings.SplitSeq(value, "\n") {
			k, v, _ := strings.Cut(line, "=")
			fields[k] = v
		}
		return fmt.Sprintf("of its fields: %v", fields["dsn"] == fields["user"]+":by a person" && len(fields["user"]) == 16)
	}
	return fmt.Sprint("of ", len(value), " digits")
}

// TestAnyFailurePrefixReachesTheSameEnd: two worlds live through the same
// configurations, one undisturbed, the other with an apply that dies somewhere
// before each. In the end both hold the same.
func TestAnyFailurePrefixReachesTheSameEnd(t *testing.T) {
	dir := folder(t)
	proptest.Check(t, func(t *rapid.T) {
		shape := rapid.SampledFrom(slices.Sorted(maps.Keys(shapes))).Draw(t, "shape")
		calm, disturbed := newTwin(t, dir, shape), newTwin(t, dir, shape)
		s := drawSketch(t)
		for round := range 3 {
			supplied := fmt.Sprintf("v%d-", round)
			if round > 0 && rapid.Bool().Draw(t, "same inputs") {
				supplied = "v0-"
			}
			for _, w := range []*twin{calm, disturbed} {
				w.configure(s, supplied)
				if w == disturbed {
					for range rapid.IntRange(1, 2).Draw(t, "crashes") {
						w.cut(rapid.IntRange(0, 20).Draw(t, "survives"))
					}
				}
				w.settle()
			}
			blind := disturbed.blind(s)
			if diff := cmp.Diff(calm.end(s, blind), disturbed.end(s, blind)); diff != "" {
				t.Fatalf("round %d ends differently (-calm +disturbed):\n%s", round, diff)
			}
			s = s.edited(t)
			for _, w := range []*twin{calm, disturbed} {
				w.Now = w.Now.Add(31 * 24 * time.Hour)
			}
		}
	})
}

// TestTwoCrashesInARowRotateOnce enumerates pairs of steps at which an apply of
// due rotations and then its recovery die: each secret still gets exactly one
// new value, also on the way to another place.
func TestTwoCrashesInARowRotateOnce(t *testing.T) {
	points := 0
	for _, shape := range slices.Sorted(maps.Keys(shapes)) {
		for _, relocated := range []bool{false, true} {
			dir := folder(t)
			for first := range 9 {
				for second := range 9 {
					w := newTwin(t, dir, shape)
					w.configure(rotatedOnly(false), "")
					w.settle()
					w.Now = w.Now.Add(31 * 24 * time.Hour)
					w.configure(rotatedOnly(relocated), "")
					w.cut(first)
					w.cut(second)
					w.settle()
					snap, err := w.State.Load(context.Background())
					if err != nil {
						t.Fatal(err)
					}
					for _, e := range snap.Sorted() {
						if e.Generation != 2 {
							t.Errorf("%s, relocated %v, dead after %d and %d steps: %s has generation %d", shape, relocated, first, second, e.Address, e.Generation)
						}
					}
					points++
				}
			}
		}
	}
	t.Logf("%d pairs of crashes", points)
}

func rotatedOnly(path bool) sketch {
	return sketch{secrets: map[string]drawn{"k": {kind: "rotated", path: path}}}
}
