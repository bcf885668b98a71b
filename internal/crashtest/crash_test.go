//go:build unix

package crashtest

import (
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// scenario is one thing that a person does, and how it must end whatever the
// point at which it was killed.
type scenario struct {
	name string
	// start is the configuration that was applied before, "" for none; byHand
	// is what somebody then did to the files.
	start  string
	byHand func(t *testing.T, f *folder)
	// hcl is the configuration from then on ("" is start) and env what changed
	// in the environment.
	hcl string
	env map[string]string
	// command is killed, apply unless set; again is what a person runs after
	// it, apply unless set.
	command []string
	again   []again
	// replaces are the values that change on purpose, removes those that go,
	// moves those that are elsewhere afterwards. A name may be a prefix.
	replaces, removes []string
	moves             map[string]string
	// left counts the applies after the first that a relocation needs.
	left int
	// forgets: what stays and is declared no more is an orphan from then on.
	forgets bool
	// check looks at the values at the end.
	check func(v map[string]string) error
	// during, where it is set, runs around each run that is killed, such as
	// somebody who holds the lock.
	during func(t *testing.T, f *folder) (end func())
	// nested also kills the recovery, at every point; all of them are in a soak.
	nested bool
	least  int // fewer points mean that the scenario no longer tests anything
}

// again is a command of the recovery.
type again struct {
	command []string
	mayFail bool // where it was done already
}

var apply = []string{"apply", "-auto-approve"}

// total counts over all scenarios.
type total struct {
	sync.Mutex
	scenarios, points, nested int
}

// TestEveryPoint kills every scenario at every point, runs it again, and looks:
// the plan is empty, no value that was live is lost or another one, nothing is
// orphaned, and nothing lies around.
func TestEveryPoint(t *testing.T) {
	var sum total
	t.Run("scenarios", func(t *testing.T) {
		for _, s := range scenarios() {
			t.Run(s.name, func(t *testing.T) {
				t.Parallel()
				e := &enumeration{scenario: s, base: s.prepare(t), dir: t.TempDir()}
				e.whole(t)
				points := e.each(t)
				sum.Lock()
				defer sum.Unlock()
				sum.scenarios++
				sum.points += points
				sum.nested += e.nestedPoints
			})
		}
	})
	t.Logf("%d points over %d scenarios, and %d points inside recoveries", sum.points, sum.scenarios, sum.nested)
}

// prepare makes the folder in which the scenario begins.
func (s *scenario) prepare(t *testing.T) *folder {
	t.Helper()
	f := newFolder(t, nil)
	if s.start != "" {
		f.configure(t, s.start)
		if r := f.run(apply...); r.code != 0 {
			t.Fatalf("first apply: %s", r)
		}
	}
	if s.byHand != nil {
		s.byHand(t, f)
	}
	if s.hcl != "" {
		f.configure(t, s.hcl)
	}
	maps.Copy(f.env, s.env)
	if s.command == nil {
		s.command = apply
	}
	if s.again == nil {
		s.again = []again{{command: apply}}
	}
	return f
}

// enumeration is one scenario under way.
type enumeration struct {
	*scenario
	base *folder
	dir  string // for the copies

	before map[string]string
	end    map[string]string // of a run that was not killed
	points []string          // of that run
	seen   map[string]bool   // kinds of what a crash left, for nested
	done   map[string]bool   // digests of what was recovered from

	nestedPoints int
}

// whole runs the scenario without a crash.
func (e *enumeration) whole(t *testing.T) {
	t.Helper()
	var err error
	e.before, err = e.base.values()
	must(t, err)
	f := e.base.copy(t, filepath.Join(e.dir, "whole"))
	r := e.killed(t, f, "0")
	if r.killed || r.code != 0 {
		t.Fatalf("without a crash: %s", r)
	}
	must(t, e.recover(f))
	e.end, err = f.values()
	must(t, err)
	must(t, e.kept(e.before, e.end))
	e.points = r.points
	if len(r.points) < e.least {
		t.Errorf("only %d points, there should be at least %d: %s", len(r.points), e.least, strings.Join(r.points, ", "))
	}
}

// killed runs the command as a process that dies at a point.
func (e *enumeration) killed(t *testing.T, f *folder, at string) ran {
	t.Helper()
	if e.during != nil {
		defer e.during(t, f)()
	}
	return f.start(t, at, e.command)
}

// each kills a run at every point and returns how many there are.
func (e *enumeration) each(t *testing.T) int {
	t.Helper()
	e.seen, e.done = map[string]bool{}, map[string]bool{}
	hit := map[string]bool{}
	points := 0
	for r, f := e.kill(t, "1"); ; r, f = e.kill(t, strconv.Itoa(points+1)) {
		if !r.killed {
			if r.code != 0 || r.passed > points {
				t.Fatalf("point %d: %s", points+1, r)
			}
			break
		}
		points++
		hit[r.at] = true
		e.after(t, f, fmt.Sprintf("killed at point %d, %s", points, r.at))
	}
	// Outcomes are journalled beside the calls, so two points can change places
	// from one run to the next: what was passed over is asked for by name.
	for _, name := range e.points {
		if r, f := e.missed(t, hit, name); r.killed {
			points++
			e.after(t, f, "killed at "+name)
		}
	}
	t.Logf("%d points", points)
	return points
}

func (e *enumeration) kill(t *testing.T, at string) (ran, *folder) {
	t.Helper()
	f := e.base.copy(t, filepath.Join(e.dir, "killed"))
	return e.killed(t, f, at), f
}

// missed kills a run at the point of a name that no run was killed at.
func (e *enumeration) missed(t *testing.T, hit map[string]bool, name string) (ran, *folder) {
	t.Helper()
	if hit[name] {
		return ran{}, nil
	}
	hit[name] = true
	return e.kill(t, name)
}

// after looks at what a crash left.
func (e *enumeration) after(t *testing.T, f *folder, where string) {
	t.Helper()
	if e.nested || soaking {
		e.inside(t, f, where)
	}
	e.look(t, f, where)
}

// look finishes what a crash left and compares. The first problem ends the
// scenario: the others would be the same one. What is byte for byte what an
// earlier crash left, as before the first effect, was recovered from already.
func (e *enumeration) look(t *testing.T, f *folder, where string) {
	t.Helper()
	left := f.digest(t)
	if e.done[left] {
		return
	}
	e.done[left] = true
	after, err := f.values()
	if err != nil {
		t.Fatalf("%s: the files do not open: %v", where, err)
	}
	if err := e.recover(f); err != nil {
		t.Fatalf("%s: %v", where, err)
	}
	end, err := f.values()
	if err != nil {
		t.Fatalf("%s: the files do not open at the end: %v", where, err)
	}
	if err := e.survived(after, end); err != nil {
		t.Fatalf("%s: %v\nafter the crash:\n%sat the end:\n%s", where, err, text(after), text(end))
	}
}

// inside kills the recovery from what a crash left at every point of its own.
// Crashes that left the same are told apart by nothing, so one stands for all.
func (e *enumeration) inside(t *testing.T, left *folder, where string) {
	t.Helper()
	kind := left.kind(t, e.before)
	if e.seen[kind] {
		return
	}
	e.seen[kind] = true
	after, err := left.values()
	must(t, err)
	for at := 1; ; at++ {
		f := left.copy(t, filepath.Join(e.dir, "nested"))
		r := f.start(t, strconv.Itoa(at), apply)
		if !r.killed {
			if r.code != 0 || r.passed >= at {
				t.Fatalf("%s, then at point %d: %s", where, at, r)
			}
			return
		}
		e.nestedPoints++
		twice := fmt.Sprintf("%s, then at point %d, %s", where, at, r.at)
		between, err := f.values()
		if err == nil {
			err = e.newValuesKept(after, between)
		}
		if err != nil {
			t.Fatalf("%s: %v", twice, err)
		}
		e.look(t, f, twice)
	}
}

// recover runs what a person runs after a crash, and makes sure that it ends.
func (e *enumeration) recover(f *folder) error {
	for _, a := range e.again {
		if r := f.run(a.command...); r.code != 0 && !a.mayFail {
			return fmt.Errorf("%s after the crash: %s", strings.Join(a.command, " "), r)
		}
	}
	for range e.left {
		if r := f.run(apply...); r.code != 0 {
			return fmt.Errorf("the apply after the relocation: %s", r)
		}
	}
	changes, orphans, err := f.planned()
	if err != nil {
		return err
	}
	if !e.forgets {
		changes = append(changes, orphans...)
	}
	if len(changes) > 0 {
		return fmt.Errorf("the plan is not empty:\n  %s", strings.Join(changes, "\n  "))
	}
	return f.settled()
}

// survived compares what was live after a crash with what is live at the end.
func (e *enumeration) survived(after, end map[string]string) error {
	if err := e.kept(e.before, end); err != nil {
		return err
	}
	if err := e.newValuesKept(after, end); err != nil {
		return err
	}
	if got, want := slices.Sorted(maps.Keys(end)), slices.Sorted(maps.Keys(e.end)); !slices.Equal(got, want) {
		return fmt.Errorf("there are %q, and there should be %q", got, want)
	}
	return nil
}

// kept makes sure that what was live before lives, where it is to live now.
func (e *enumeration) kept(before, end map[string]string) error {
	for name, was := range before {
		if matches(e.removes, name) {
			continue
		}
		at := name
		if to, moved := e.moves[name]; moved {
			at = to
		}
		now, lives := end[at]
		if !lives {
			return fmt.Errorf("%s is lost", name)
		}
		if now != was && !matches(e.replaces, name) {
			return fmt.Errorf("%s has another value", name)
		}
	}
	if e.check != nil {
		return e.check(end)
	}
	return nil
}

// newValuesKept makes sure that a value which a killed run had made live stays.
func (e *enumeration) newValuesKept(after, end map[string]string) error {
	for name, made := range after {
		if matches(e.removes, name) || e.before[name] == made {
			continue
		}
		if _, old := e.moves[name]; old {
			continue
		}
		if end[name] != made {
			return fmt.Errorf("%s was live after the crash, and is another one now", name)
		}
	}
	return nil
}

func matches(prefixes []string, name string) bool {
	return slices.ContainsFunc(prefixes, func(p string) bool { return strings.HasPrefix(name, p) })
}
