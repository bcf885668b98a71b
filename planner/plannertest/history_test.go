package plannertest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/cofferhq/coffer/internal/proptest"
	"github.com/cofferhq/coffer/planner"
	"github.com/cofferhq/coffer/providers/memory"
	"github.com/cofferhq/coffer/providers/secret"
)

// history is a model of a configuration with what a person may do to it, and
// the promise under test: no generated value is ever replaced unless somebody
// asked for it.
type history struct {
	*World
	t       *rapid.T
	secrets map[string]*modelled // by name
	moved   [][2]string          // moved blocks: from, to
	next    int
	// values are the generated values as last seen settled, by secret name.
	values map[string]string
	// free are the names whose value may be another one after the next apply:
	// somebody edited and accepted it, it was lost, or a rotation was asked for.
	free map[string]bool
	// assumed are the templates that were adopted after a lost state: nobody
	// knows of which values they were made until they are written again.
	assumed map[string]bool
}

type modelled struct {
	kind   string // generated, supplied, template, fields
	bytes  int
	path   string
	label  string
	ref    string // of a template
	fields []string
}

func (h *history) names() []string { return slices.Sorted(maps.Keys(h.secrets)) }

func (h *history) pick(kinds ...string) string {
	var of []string
	for _, n := range h.names() {
		if len(kinds) == 0 || slices.Contains(kinds, h.secrets[n].kind) {
			of = append(of, n)
		}
	}
	if len(of) == 0 {
		return ""
	}
	return rapid.SampledFrom(of).Draw(h.t, "secret")
}

// hcl renders the model, in an order that the draw decides.
func (h *history) hcl(shuffle bool) string {
	blocks := []string{}
	for _, name := range h.names() {
		blocks = append(blocks, h.block(name))
	}
	if shuffle {
		blocks = rapid.Permutation(blocks).Draw(h.t, "order")
	}
	replicas := ""
	if _, two := h.Stores["memory.b"]; two {
		replicas = "\n  replicas = [memory.b]"
	}
	moved := ""
	for _, m := range h.moved {
		moved += fmt.Sprintf("moved {\n  from = app.shop.secret.%s\n  to = app.shop.secret.%s\n}\n", m[0], m[1])
	}
	return "environment \"dev\" {\n  store = memory" + replicas + "\n}\napp \"shop\" {\n  environments = [\"dev\"]\n" +
		strings.Join(blocks, "") + "}\n" + moved
}

func (h *history) block(name string) string {
	m := h.secrets[name]
	var b strings.Builder
	fmt.Fprintf(&b, "  secret %q {\n", name)
	switch m.kind {
	case "generated":
		fmt.Fprintf(&b, "    value = random_hex({ bytes = %d })\n", m.bytes)
	case "supplied":
		fmt.Fprintf(&b, "    value = from_env(%q)\n", strings.ToUpper(name))
	case "template":
		fmt.Fprintf(&b, "    value = \"x-${secret.%s}\"\n", m.ref)
	case "fields":
		b.WriteString("    fields = {\n      dsn = \"u:${self.f0}\"\n")
		for _, f := range m.fields {
			fmt.Fprintf(&b, "      %s = random_hex({ bytes = 8 })\n", f)
		}
		b.WriteString("    }\n")
	}
	if m.path != "" {
		fmt.Fprintf(&b, "    path = %q\n", m.path)
	}
	if m.label != "" {
		fmt.Fprintf(&b, "    labels = { l = %q }\n", m.label)
	}
	b.WriteString("  }\n")
	return b.String()
}

func (h *history) path(name string) string {
	if p := h.secrets[name].path; p != "" {
		return p
	}
	return "shop/dev/" + name
}

func (h *history) add() {
	h.next++
	name := fmt.Sprintf("s%d", h.next)
	m := &modelled{kind: rapid.SampledFrom([]string{"generated", "generated", "supplied", "template", "fields"}).Draw(h.t, "kind"), bytes: 8}
	switch m.kind {
	case "template":
		if m.ref = h.pick("generated", "supplied"); m.ref == "" {
			m.kind = "generated"
		}
	case "fields":
		m.fields = []string{"f0"}
	}
	h.secrets[name] = m
	h.Environ[strings.ToUpper(name)] = "v1"
}

// edit changes the configuration in one way.
func (h *history) edit() {
	switch rapid.IntRange(0, 8).Draw(h.t, "edit") {
	case 0, 1:
		h.add()
	case 2:
		if n := h.pick("generated"); n != "" {
			h.secrets[n].bytes++
		}
	case 3:
		if n := h.pick(); n != "" {
			h.next++
			h.secrets[n].path = fmt.Sprintf("at/%d", h.next)
		}
	case 4:
		h.rename()
	case 5:
		if n := h.pick(); n != "" {
			h.secrets[n].label = fmt.Sprint(h.next)
			h.next++
		}
	case 6:
		if n := h.pick("supplied"); n != "" {
			h.next++
			h.Environ[strings.ToUpper(n)] = fmt.Sprint("v", h.next)
		}
	case 7:
		if n := h.pick("fields"); n != "" {
			m := h.secrets[n]
			if len(m.fields) > 1 && rapid.Bool().Draw(h.t, "drop") {
				m.fields = m.fields[:len(m.fields)-1]
			} else {
				m.fields = append(m.fields, fmt.Sprintf("f%d", len(m.fields)))
			}
		}
	case 8:
		h.remove()
	}
}

func (h *history) rename() {
	old := h.pick("generated")
	if old == "" {
		return
	}
	h.next++
	name := fmt.Sprintf("s%d", h.next)
	h.secrets[name] = h.secrets[old]
	delete(h.secrets, old)
	for _, m := range h.secrets {
		if m.ref == old {
			m.ref = name
		}
	}
	h.moved = append(h.moved, [2]string{old, name})
	if v, ok := h.values[old]; ok {
		h.values[name] = v
		delete(h.values, old)
	}
	h.free[name] = h.free[old]
}

func (h *history) remove() {
	n := h.pick()
	if n == "" || len(h.secrets) == 1 {
		return
	}
	for _, m := range h.secrets {
		if m.ref == n {
			return
		}
	}
	delete(h.secrets, n)
	delete(h.values, n)
	for i := len(h.moved) - 1; i >= 0; i-- {
		if h.moved[i][1] == n {
			n = h.moved[i][0]
			h.moved = slices.Delete(h.moved, i, i+1)
		}
	}
}

// byHand changes a store behind the program's back.
func (h *history) byHand() {
	n := h.pick("generated", "template", "supplied")
	if n == "" {
		return
	}
	if _, exists := h.Stores["memory"].Meta(h.path(n)); !exists {
		return
	}
	switch rapid.IntRange(0, 3).Draw(h.t, "hand") {
	case 0, 1:
		h.next++
		h.Stores["memory"].Edit(h.path(n), secret.String(fmt.Sprint("hand", h.next)), "mallory")
		h.free[n] = true
	case 2:
		if b := h.Stores["memory.b"]; b != nil {
			if _, exists := b.Meta(h.path(n)); exists {
				b.Edit(h.path(n), secret.String("hand"), "mallory")
			}
			return
		}
		h.Stores["memory"].Remove(h.path(n), 0)
		h.free[n] = true
	case 3:
		if !h.Knobs["memory"].Attributes {
			// Without marks a lost state and a new place at once cannot be told
			// from a new secret: what was to move has moved before the loss.
			h.Configure(h.hcl(false))
			h.settle()
			h.State.Lose()
			h.settle()
			return
		}
		h.State.Lose()
	}
}

// settle plans and applies until nothing is left, deciding every conflict the
// way a person would.
func (h *history) settle() *planner.Plan {
	for range 12 {
		p := h.Plan()
		if len(p.Diagnostics) > 0 {
			h.Fatalf("diagnostic: %s: %s", p.Diagnostics[0].Summary, p.Diagnostics[0].Detail)
		}
		if len(p.Changes) == 0 {
			return p
		}
		h.watchTemplates(p)
		var opts []Option
		for _, c := range p.Changes {
			if c.Action == planner.Conflict {
				a := c.Address.Primary().String()
				if c.Reason == planner.ReasonMissing {
					opts = append(opts, RestoreFrom(a, "memory.b"))
					continue
				}
				opts = append(opts, Settle(a, planner.SettleAccept))
			}
			if c.Action == planner.Unknown {
				h.Now = h.Now.Add(5 * time.Minute)
			}
		}
		if _, err := h.TryApply(opts...); err != nil {
			h.Fatalf("apply: %v", err)
		}
	}
	p := h.Plan()
	for _, c := range p.Changes {
		h.Logf("%s %s %s: %s (from %q entry %q)", c.Action, c.Address, c.Reason, c.Detail, c.VersionFrom, c.Entry)
	}
	h.Fatalf("the plan does not become empty")
	return nil
}

// watchTemplates keeps what the plans said about templates.
func (h *history) watchTemplates(p *planner.Plan) {
	for _, c := range p.Changes {
		if c.Fields[""].Op == planner.OpSet {
			delete(h.assumed, c.Address.Name)
		}
	}
	h.assume(p)
}

func (h *history) assume(p *planner.Plan) {
	for _, n := range p.Notes {
		if n.Reason == planner.ReasonNotCompared {
			h.assumed[n.Address.Name] = true
		}
	}
}

// check compares every generated value with what it was.
func (h *history) check() {
	for _, n := range h.names() {
		if h.secrets[n].kind != "generated" {
			continue
		}
		now := h.Value("memory", h.path(n))
		if was, known := h.values[n]; known && was != now && !h.free[n] {
			h.Fatalf("%s had a generated value, and it was replaced without a word", n)
		}
		h.values[n] = now
		if b := h.Stores["memory.b"]; b != nil {
			if v, ok := b.Value(h.path(n)); !ok || Text(v) != now {
				h.Fatalf("the copy of %s is not the primary's value", n)
			}
		}
	}
	// After a lost state there is no fingerprint left to compare with.
	blind := map[string]bool{}
	for _, n := range h.Plan().Notes {
		blind[n.Address.Name] = n.Reason == planner.ReasonNotCompared
	}
	for n, m := range h.secrets {
		if m.kind == "template" && !h.assumed[n] && h.Value("memory", h.path(n)) != "x-"+h.Value("memory", h.path(m.ref)) {
			h.Fatalf("%s is not made of %s any more", n, m.ref)
		}
		if m.kind == "supplied" && !h.free[n] && !blind[n] && h.Value("memory", h.path(n)) != h.Environ[strings.ToUpper(n)] {
			h.Fatalf("%s is not what was supplied", n)
		}
	}
	h.free = map[string]bool{}
}

// fail runs an apply that is cut at a random call, before or after its effect.
func (h *history) fail() {
	l := h.Look()
	if len(l.Plan.Diagnostics) > 0 {
		return
	}
	h.assume(l.Plan)
	left := rapid.IntRange(0, 12).Draw(h.t, "survives")
	cut := func(string) error {
		if left--; left < 0 {
			return errors.New("crashed")
		}
		return nil
	}
	knobs := h.Knobs["memory"]
	h.State.Fail = cut
	died := knobs
	died.At = cut
	h.Knobs["memory"] = died
	l = h.Look()
	_, _ = h.Applier(l).Apply(context.Background(), l.Plan)
	h.State.Fail = nil
	h.Knobs["memory"] = knobs
}

var shapes = map[string]memory.Options{"full": memory.Full(), "versioned": memory.Versioned(), "counting": memory.Counting(), "files": memory.Files()}

func newHistory(t *rapid.T, dir string) *history {
	shape := rapid.SampledFrom(slices.Sorted(maps.Keys(shapes))).Draw(t, "shape")
	h := &history{World: Bare(t, shapes[shape]).In(dir), t: t, secrets: map[string]*modelled{}, values: map[string]string{}, free: map[string]bool{}, assumed: map[string]bool{}}
	if rapid.Bool().Draw(t, "replica") {
		h.AddStore("b", shapes[shape])
	}
	h.add()
	return h
}

func folder(t *testing.T) string {
	dir, err := os.MkdirTemp(t.TempDir(), "h")
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// TestNoHistoryReplacesAValue: edits, moves, relocations, hand changes, lost
// states and crashes, in any order, replace no generated value, and the plan
// always becomes empty.
func TestNoHistoryReplacesAValue(t *testing.T) {
	dir := folder(t)
	proptest.Check(t, func(t *rapid.T) {
		h := newHistory(t, dir)
		for range rapid.IntRange(1, 8).Draw(t, "steps") {
			switch rapid.IntRange(0, 5).Draw(t, "step") {
			case 0, 1, 2:
				h.edit()
			case 3:
				h.byHand()
			case 4, 5:
				h.Configure(h.hcl(false))
				h.fail()
			}
			h.Configure(h.hcl(false))
			if rapid.IntRange(0, 2).Draw(t, "settle") > 0 {
				h.settle()
				h.check()
			}
		}
		h.settle()
		h.check()
	})
}

// TestPlanIsTheSameForShuffledInput: the order of blocks and of maps does not
// show in a plan.
func TestPlanIsTheSameForShuffledInput(t *testing.T) {
	dir := folder(t)
	proptest.Check(t, func(t *rapid.T) {
		h := newHistory(t, dir)
		for range rapid.IntRange(0, 6).Draw(t, "secrets") {
			h.add()
		}
		h.Configure(h.hcl(false))
		if rapid.Bool().Draw(t, "applied") {
			h.settle()
			h.edit()
		}
		h.Configure(h.hcl(false))
		first := encoded(h.Plan())
		h.Configure(h.hcl(true))
		if second := encoded(h.Plan()); first != second {
			t.Fatalf("the plan depends on the order of blocks:\n%s\n%s", first, second)
		}
	})
}

// encoded is a plan without the places of its blocks.
func encoded(p *planner.Plan) string {
	for i := range p.Changes {
		p.Changes[i].Range = nil
	}
	for i := range p.Notes {
		p.Notes[i].Range = nil
	}
	text, err := p.Encode()
	if err != nil {
		panic(err)
	}
	return string(text)
}

// TestApplyTwiceIsApplyOnce: the second apply calls nothing and saves nothing.
func TestApplyTwiceIsApplyOnce(t *testing.T) {
	dir := folder(t)
	proptest.Check(t, func(t *rapid.T) {
		h := newHistory(t, dir)
		for range rapid.IntRange(0, 6).Draw(t, "secrets") {
			h.add()
		}
		h.Configure(h.hcl(false))
		h.settle()
		saves := h.State.Saves
		h.Stores["memory"].ResetCalls()
		h.Apply()
		if h.State.Saves != saves {
			t.Fatalf("the second apply saved the state")
		}
		for _, op := range []string{"write", "patch", "delete", "read", "set_attributes", "write_batch", "undelete"} {
			if n := h.Stores["memory"].Calls(op); n != 0 {
				t.Fatalf("the second apply called %s %d times", op, n)
			}
		}
	})
}
