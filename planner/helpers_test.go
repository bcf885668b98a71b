package planner_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cofferhq/coffer/lang/addr"
	"github.com/cofferhq/coffer/planner"
	"github.com/cofferhq/coffer/planner/plannertest"
	"github.com/cofferhq/coffer/providers"
	"github.com/cofferhq/coffer/providers/memory"
	"github.com/cofferhq/coffer/providers/secret"
	"github.com/cofferhq/coffer/state"
)

// full is a world on one store that can do everything.
func full(t *testing.T) *plannertest.World { return plannertest.New(t, memory.Full()) }

// app is an environment and one app "shop" with the given secrets.
func app(secrets string) string {
	return "environment \"dev\" { store = memory }\napp \"shop\" {\n  environments = [\"dev\"]\n" + secrets + "\n}\n"
}

// copies adds the replica memory.b to the environment.
func copies(hcl string) string {
	return with(hcl, "{ store = memory }", "{\n  store    = memory\n  replicas = [memory.b]\n}")
}

// sec is a secret block of the given lines.
func sec(name string, lines ...string) string {
	return "  secret \"" + name + "\" {\n    " + strings.Join(lines, "\n    ") + "\n  }\n"
}

// at is the address of a secret of app.
func at(name string) string { return "app.shop.secret." + name + `["dev"]` }

func address(t *testing.T, text string) addr.Address {
	t.Helper()
	a, err := addr.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// expect compares a plan with its lines, see lines.
func expect(t *testing.T, p *planner.Plan, want ...string) {
	t.Helper()
	if diff := cmp.Diff(want, lines(p)); diff != "" {
		t.Fatalf("plan (-want +got):\n%s", diff)
	}
}

// change returns the change of a plan at an address.
func change(t *testing.T, p *planner.Plan, a string) *planner.Change {
	t.Helper()
	for i := range p.Changes {
		if p.Changes[i].Address.String() == a {
			return &p.Changes[i]
		}
	}
	t.Fatalf("no change at %s in %q", a, lines(p))
	return nil
}

// entry returns what the state has at a path of the first store.
func entry(t *testing.T, w *plannertest.World, path string) *state.Entry {
	t.Helper()
	s, err := w.State.Load(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	e := s.Entries[addr.Location{Provider: "mem-1", Kind: addr.KindSecret, Path: path}]
	if e == nil {
		t.Fatalf("no entry at %s", path)
	}
	return e
}

// ended prints what became of a plan, one line a change.
func ended(r *planner.Result) []string {
	var out []string
	for _, o := range r.Outcomes {
		line := fmt.Sprintf("%s %s", o.Change.Action, o.Change.Address)
		switch {
		case o.Err != nil:
			line += " failed"
		case o.Skipped != "":
			line += " skipped: " + o.Skipped
		}
		out = append(out, line)
	}
	return out
}

func expectEnd(t *testing.T, r *planner.Result, want ...string) {
	t.Helper()
	if diff := cmp.Diff(want, ended(r)); diff != "" {
		t.Fatalf("outcomes (-want +got):\n%s", diff)
	}
}

// mustTry is TryApply for a run whose error is none, whatever failed in it.
func mustTry(t *testing.T, w *plannertest.World, opts ...plannertest.Option) *planner.Result {
	t.Helper()
	r, err := w.TryApply(opts...)
	if err != nil {
		t.Fatalf("apply: %v", err)
	}
	return r
}

// effects counts the calls that change a store.
func effects(w *memory.World) int {
	n := 0
	for _, op := range []string{"write", "patch", "delete", "set_attributes", "undelete", "batch", "write_object"} {
		n += w.Calls(op)
	}
	return n
}

// notes returns the texts of a plan's notes.
func notes(p *planner.Plan) string {
	var out []string
	for _, n := range p.Notes {
		out = append(out, n.Text)
	}
	return strings.Join(out, "\n")
}

// on runs hook once, at the first call of a point such as "before write".
func on(knobs memory.Options, point string, hook func()) memory.Options {
	var once sync.Once
	knobs.At = func(p string) error {
		if strings.HasPrefix(p, point) {
			once.Do(hook)
		}
		return nil
	}
	return knobs
}

// auditor is an audit log in memory that can fail.
type auditor struct {
	mu     sync.Mutex
	events []planner.AuditEvent
	fail   bool
}

func (a *auditor) Record(_ context.Context, e planner.AuditEvent) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.fail {
		return errors.New("disk full")
	}
	a.events = append(a.events, e)
	return nil
}

// actions counts the records by action.
func (a *auditor) actions() map[string]int {
	out := map[string]int{}
	for _, e := range a.events {
		out[e.Action]++
	}
	return out
}

// give supplies the fields of a manual secret in the next apply.
func give(t *testing.T, w *plannertest.World, a string, fields map[string]string) plannertest.Option {
	values := map[string]secret.Value{}
	for name, text := range fields {
		values[name] = secret.String(text)
	}
	w.Manual = map[addr.Address]map[string]secret.Value{address(t, a): values}
	return plannertest.Settle(a, planner.SettleSet, slices.Sorted(maps.Keys(fields))...)
}

// applyPlan applies the plan of a look, as a program does after a person has
// read it.
func applyPlan(w *plannertest.World, l *plannertest.Look) (*planner.Result, error) {
	return w.Applier(l).Apply(context.Background(), l.Plan)
}

func loseAnswer(op, path string) memory.Fault {
	return memory.Fault{Op: op, Path: path, Times: 1, Effect: memory.LoseAnswer}
}

func refuseOnce(op, path string, code providers.Code) memory.Fault {
	return memory.Fault{Op: op, Path: path, Times: 1, Code: code}
}

// refuse denies an operation for ever.
func refuse(op string) memory.Fault { return memory.Deny(op, "") }
