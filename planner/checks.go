package planner

import (
	"fmt"
	"slices"
	"time"

	"github.com/cofferhq/coffer/lang"
	"github.com/cofferhq/coffer/state"
)

// EvaluateChecks asks every check of the configuration about the state as it
// stands and the plan at hand. A check that cannot be evaluated does not hold.
func EvaluateChecks(d *Desired, s *state.Snapshot, p *Plan, now time.Time) []CheckState {
	facts := checkFacts(d, s, p, now)
	var states []CheckState
	for _, c := range d.Checks {
		failed, diags := c.Evaluate(facts)
		for _, diag := range diags {
			states = append(states, CheckState{Name: c.Name, Message: diag.Summary + ": " + diag.Detail, Range: rangeOf(c.Range)})
		}
		for _, f := range failed {
			states = append(states, CheckState{Name: c.Name, Message: f.Message, Range: rangeOf(f.Range)})
		}
		if len(failed) == 0 && !diags.HasErrors() {
			states = append(states, CheckState{Name: c.Name, Holds: true, Range: rangeOf(c.Range)})
		}
	}
	return states
}

func checkFacts(d *Desired, s *state.Snapshot, p *Plan, now time.Time) lang.CheckFacts {
	list := func(environment string, keep func(*Resource, *state.Entry) bool) []string {
		var out []string
		for _, r := range d.Resources {
			if r.Role == state.RolePrimary && r.Address.Environment == environment && keep(r, s.Entries[r.Location]) {
				out = append(out, r.Address.String())
			}
		}
		slices.Sort(out)
		return out
	}
	return lang.CheckFacts{
		Overdue: func(env string) []string {
			return list(env, func(r *Resource, e *state.Entry) bool { at, ok := dueAt(r.Secret, e); return ok && isDue(at, now) })
		},
		Due: func(env string) []string {
			return list(env, func(r *Resource, e *state.Entry) bool {
				at, ok := dueAt(r.Secret, e)
				return ok && isDue(noticeAt(r.Secret, at), now)
			})
		},
		Conflicts: func(env string) []string {
			return list(env, func(r *Resource, _ *state.Entry) bool {
				return slices.ContainsFunc(p.Changes, func(c Change) bool { return c.Action == Conflict && c.Address == r.Address })
			})
		},
		Unprotected: func(env string) []string {
			return list(env, func(r *Resource, _ *state.Entry) bool { return !r.Protect })
		},
	}
}

// Guard says how many confirmations a plan needs: the number of live secrets
// and objects it deletes and of those it gives new values, where that is more than
// max(1, 10 %) of the live secrets; 0 where none is needed. One secret and the
// policy that goes with it are no mass of either.
func (p *Plan) Guard() (deletes, rotations int) {
	deletes, rotations = p.Counts()
	limit := max(1, p.Live/10)
	if objects := p.deletedObjects(); objects <= limit && deletes-objects <= limit {
		deletes = 0
	}
	if rotations <= limit {
		rotations = 0
	}
	return deletes, rotations
}

// Counts returns what the two confirmations are about: deletes that no block
// confirms, dropped fields among them, and new values of live secrets.
func (p *Plan) Counts() (deletes, rotations int) {
	for _, c := range p.Changes {
		if c.asksToDelete() || dropsField(&c) {
			deletes++
		}
		if c.NewValue && c.Role == state.RolePrimary {
			rotations++
		}
	}
	return deletes, rotations
}

func (p *Plan) deletedObjects() int {
	n := 0
	for i := range p.Changes {
		if c := &p.Changes[i]; c.Role == state.RoleObject && c.asksToDelete() {
			n++
		}
	}
	return n
}

// asksToDelete reports whether c is a delete that no block confirms. What a
// provider has for others (a grant goes with its policy) is not asked for apart.
func (c *Change) asksToDelete() bool {
	return c.Action == Delete && !c.Confirmed && c.Reason != ReasonMoved && c.Address.Provider == ""
}

func dropsField(c *Change) bool {
	for _, fc := range c.Fields {
		if fc.Op == OpDrop {
			return true
		}
	}
	return false
}

// GuardError says which confirmation is missing.
type GuardError struct {
	Deletes, Rotations int // what the plan does; 0 where it needs no confirmation
	Objects            int // how many of Deletes are no secrets
}

func (e *GuardError) Error() string {
	if e.Deletes > 0 {
		return fmt.Sprintf("the plan deletes %s, more than a tenth of what is live: confirm it with -confirm-deletes %d", e.deletes(), e.Deletes)
	}
	return fmt.Sprintf("the plan makes new values for %d secrets, more than a tenth of what is live: confirm it with -confirm-rotations %d", e.Rotations, e.Rotations)
}

func (e *GuardError) deletes() string {
	switch e.Objects {
	case 0:
		return plural(e.Deletes, "secret", "secrets")
	case e.Deletes:
		return fmt.Sprintf("%d policies and other objects", e.Objects)
	}
	return fmt.Sprintf("%s and %d policies and other objects", plural(e.Deletes-e.Objects, "secret", "secrets"), e.Objects)
}

// Confirm checks the numbers that a person gave against the plan.
func (p *Plan) Confirm(deletes, rotations int) error {
	wantDeletes, wantRotations := p.Guard()
	if wantDeletes > 0 && wantDeletes != deletes {
		return &GuardError{Deletes: wantDeletes, Objects: p.deletedObjects()}
	}
	if wantRotations > 0 && wantRotations != rotations {
		return &GuardError{Rotations: wantRotations}
	}
	return nil
}

// plural is a number with its word.
func plural(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}
