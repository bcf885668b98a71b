package planner

import (
	"slices"
	"time"

	"github.com/cofferhq/coffer/state"
)

// onlyRotations keeps rotations and what follows from them, as far as nothing
// that is left out has to come first.
func onlyRotations(all []Change) []Change {
	keep, missing := map[Key]bool{}, map[Key]bool{}
	kept := []Change{}
	for _, c := range all { // in dependency order: what follows comes after
		follows := slices.ContainsFunc(c.DependsOn, func(k Key) bool { return keep[k] })
		lacks := slices.ContainsFunc(c.DependsOn, func(k Key) bool { return missing[k] })
		if !lacks && (c.Action == Rotate || follows && (c.Action == Update || c.Location.Kind == KindRollout)) {
			keep[c.Key()] = true
			c.DependsOn = slices.DeleteFunc(slices.Clone(c.DependsOn), func(k Key) bool { return !keep[k] })
			kept = append(kept, c)
			continue
		}
		missing[c.Key()] = c.Role != state.RoleObject && c.Action != Update && c.Action != Rename
	}
	return kept
}

// asOf is when a plan looks at rotations.
func (o *DiffOptions) asOf() time.Time {
	if o.At.IsZero() {
		return o.Now
	}
	return o.At
}
