package cli

import (
	"slices"

	"github.com/cofferhq/coffer/lang/addr"
	"github.com/cofferhq/coffer/planner"
	"github.com/cofferhq/coffer/state"
)

// behind returns what is still made of older values of the secrets that an
// apply has written: rotate, accept and secret set write those alone, and the
// next apply what is made of them. What the apply itself did not get done is
// not in it.
func behind(s *state.Snapshot, result *planner.Result) []addr.Address {
	written := map[string]bool{}
	told := map[addr.Address]bool{}
	for _, o := range result.Outcomes {
		told[o.Change.Address] = true
		if o.Err == nil && o.Skipped == "" {
			written[o.Change.Address.String()] = true
		}
	}
	generations := map[string]int{}
	for _, e := range s.Entries {
		if e.Role == state.RolePrimary {
			generations[e.Address.String()] = e.Generation
		}
	}
	var list []addr.Address
	for _, e := range s.Entries {
		if e.Role != state.RolePrimary || told[e.Address] {
			continue
		}
		for input, generation := range e.Inputs {
			if written[input] && generation < generations[input] {
				list = append(list, e.Address)
				break
			}
		}
	}
	slices.SortFunc(list, addr.Address.Compare)
	return list
}
