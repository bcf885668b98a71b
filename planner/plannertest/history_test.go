package plannertest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/cofferhq/coffer/internal/proptest"
	"github.com/cofferhq/coffer/lang/addr"
	"github.com/cofferhq/coffer/planner"
	"github.com/cofferhq/coffer/providers"
	"github.com/cofferhq/coffer/providers/memory"
	"github.com/cofferhq/coffer/providers/secret"
)

// byHand changes a store behind the program's back.
func (h *history) byHand() {
	n := h.pick()
	if n == "" {
		return
	}
	if _, exists := h.Stores["memory"].Meta(h.path(n)); !exists {
		return
	}
	switch rapid.IntRange(0, 4).Draw(h.t, "hand") {
	case 0, 1:
		h.next++
		h.Stores["memory"].Edit(h.path(n), h.secrets[n].byHand(fmt.Sprint("hand", h.next)), "mallory")
		h.touched(h.path(n))
	case 4:
		if window := h.Knobs["memory"].SoftDelete; window > 0 {
			h.Stores["memory"].Remove(h.path(n), window)
		}
	case 2:
		if b := h.Stores["memory.b"]; b != nil {
			if _, exists := b.Meta(h.path(n)); exists {
				b.Edit(h.path(n), secret.String("hand"), "mallory")
			}
			return
		}
		h.touched(h.path(n))
		h.Stores["memory"].Remove(h.path(n), 0)
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

// touched frees whom a place on the store is of: who is declared there may not
// have come yet, and then it is of another, as the state or the mark says.
func (h *history) touched(path string) {
	mark := ""
	if m, ok := h.Stores["memory"].Meta(path); ok {
		mark = m.Attributes.Mark.Address
	}
	for _, e := range h.State.snapshot("test-1").Entries {
		if e.Location.Provider == "mem-1" && e.Location.Path == path {
			h.free[h.called(e.Address.Name)] = true
		}
	}
	for n := range h.secrets {
		for _, name := range append(h.was(n), n) {
			if h.path(n) == path || mark == providers.AddressHash(addr.Secret("shop", "dev", name).String()) {
				h.free[n] = true
			}
		}
	}
}

// rotate asks for another value, of which something may go wrong.
func (h *history) rotate() {
	if n := h.pick("generated", "fields"); n != "" {
		h.free[n] = true
		l := h.Look(Settle(fmt.Sprintf("app.shop.secret.%s[\"dev\"]", n), planner.SettleRotate))
		h.watchTemplates(l.Plan)
		_, _ = h.Applier(l).Apply(context.Background(), l.Plan)
	}
}

// settle plans and applies until nothing is left, deciding every conflict the
// way a person would.
func (h *history) settle() *planner.Plan {
	for range 12 {
		p := h.Plan()
		if len(p.Diagnostics) > 0 {
			h.elsewhere(p.Diagnostics)
			continue
		}
		if len(p.Changes) == 0 {
			if h.onItsWay {
				h.arrive()
				continue
			}
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
				if c.Reason == planner.ReasonSoftDeleted {
					opts = append(opts, Settle(a, planner.SettleRotate))
					h.free[c.Address.Name] = true
					continue
				}
				opts = append(opts, Settle(a, planner.SettleAccept))
			}
			if c.Action == planner.Unknown {
				h.arrive()
			}
		}
		l := h.Look(opts...)
		h.assume(l.Plan)
		if _, err := h.Applier(l).Apply(context.Background(), l.Plan); err != nil {
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

// arrive lets the time pass in which late writes arrive.
func (h *history) arrive() {
	h.onItsWay = false
	for _, store := range h.Stores {
		store.Settle()
	}
	h.Now = h.Now.Add(5 * time.Minute)
}

// taken are the errors that a person answers with another path.
var taken = []string{"the name of ", "the new place of ", " change places in a circle", " exists already, managed under another address"}

// elsewhere does what errors about a place that is taken ask for.
func (h *history) elsewhere(diags []planner.Diagnostic) {
	for _, d := range diags {
		if !slices.ContainsFunc(taken, func(text string) bool { return strings.Contains(d.Summary, text) }) {
			h.Fatalf("diagnostic: %s: %s", d.Summary, d.Detail)
		}
		h.next++
		h.secrets[d.Address.Name].path = fmt.Sprintf("at/%d", h.next)
	}
	h.Configure(h.hcl(false))
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
	for _, n := range h.names() {
		if h.secrets[n].kind == "fields" {
			h.checkFields(n)
		}
	}
	h.checkMirrors()
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

// checkFields is check for the parts of a secret.
func (h *history) checkFields(n string) {
	now := map[string]string{}
	for line := range strings.SplitSeq(h.Value("memory", h.path(n)), "\n") {
		name, text, _ := strings.Cut(line, "=")
		now[name] = text
	}
	for _, f := range h.secrets[n].fields {
		if was, known := h.values[n+"."+f]; known && was != now[f] && !h.free[n] {
			h.Fatalf("%s had a generated field %s, and it was replaced without a word", n, f)
		}
		if now[f] != "" {
			h.values[n+"."+f] = now[f]
		}
	}
	// Which fields an adopted secret has is not known where the store hides it.
	if blind := h.assumed[n] && h.Knobs["memory"].HideFields; !blind && len(now) != len(h.secrets[n].fields)+1 || now["dsn"] != "u:"+now["f0"] {
		h.Fatalf("%s has other fields, or its template is not made of them", n)
	}
	if b := h.Stores["memory.b"]; b != nil && h.Value("memory.b", h.path(n)) != h.Value("memory", h.path(n)) {
		h.Fatalf("the copy of %s is not the primary's value", n)
	}
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
	if knobs.Settle > 0 && rapid.Bool().Draw(h.t, "late") {
		h.onItsWay = true
		h.Stores["memory"].Inject(memory.Fault{
			Op: "write", Skip: rapid.IntRange(0, 2).Draw(h.t, "skip"), Times: 1, Effect: memory.Land, Calls: rapid.IntRange(0, 20).Draw(h.t, "calls"),
		})
		defer h.Stores["memory"].Heal()
	}
	h.State.Fail = cut
	died := knobs
	died.At = cut
	h.Knobs["memory"] = died
	if cluster, there := h.Knobs["kubernetes"]; there {
		cluster.At = cut
		h.Knobs["kubernetes"] = cluster
		defer func() { h.Knobs["kubernetes"] = memory.Cluster() }()
	}
	l = h.Look()
	_, _ = h.Applier(l).Apply(context.Background(), l.Plan)
	h.State.Fail = nil
	h.Knobs["memory"] = knobs
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
			switch rapid.IntRange(0, 6).Draw(t, "step") {
			case 0, 1, 2:
				h.edit()
			case 3:
				h.byHand()
			case 4, 5:
				h.Configure(h.hcl(false))
				h.fail()
			case 6:
				h.Configure(h.hcl(false))
				h.rotate()
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
