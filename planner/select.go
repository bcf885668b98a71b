package planner

import (
	"slices"

	"github.com/cofferhq/coffer/lang/addr"
	"github.com/cofferhq/coffer/state"
)

// This file says what a plan with -target and -exclude is about.

// selection returns the resources that the plan is about: what -target names
// with all it depends on, less what -exclude names.
func (x *differ) selection() []bool {
	selected := make([]bool, len(x.d.Resources))
	for i := len(x.d.Resources) - 1; i >= 0; i-- { // dependants come last
		r := x.d.Resources[i]
		named := x.matches(r.Address) && !x.broughtByExcluded(r)
		if !selected[i] && !named && (x.excluded(r.Address) || !slices.ContainsFunc(r.By, x.matches)) {
			continue // an object goes along with the block that brings it
		}
		selected[i] = true
		if len(r.Rolls) > 0 && (!named || len(x.o.Targets) == 0) {
			continue // a restart follows from values and is no reason to make any
		}
		for _, need := range r.waitsFor() {
			if dep := x.d.byAddress[need]; dep != nil && !x.excluded(dep.Address) {
				selected[dep.n] = true
			}
		}
	}
	return selected
}

// broughtByExcluded reports whether r is there only for blocks that the plan is
// not about.
func (x *differ) broughtByExcluded(r *Resource) bool {
	return r.Address.Provider != "" && len(r.By) > 0 && !slices.ContainsFunc(r.By, func(a addr.Address) bool { return !x.excluded(a) })
}

func (x *differ) matches(a addr.Address) bool {
	if x.excluded(a) {
		return false
	}
	return len(x.o.Targets) == 0 || slices.ContainsFunc(x.o.Targets, func(t addr.Address) bool { return t.Contains(a) })
}

// selects reports whether the plan is about an entry: with its address, and
// with what its value has become, so that neither goes without the other.
func (x *differ) selects(e *state.Entry) bool {
	if heir := x.wantedElsewhere(e); heir != nil && !x.selected[heir.n] {
		return false
	}
	return x.matches(e.Address)
}

func (x *differ) excluded(a addr.Address) bool {
	return slices.ContainsFunc(x.o.Excludes, func(t addr.Address) bool { return t.Contains(a) })
}
