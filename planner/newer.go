package planner

import "slices"

// keepWhatIsNewer takes the deletes out of a plan that is made from an older
// state than one that was seen: what this one has too much of may be in use.
// Nothing waits for a delete but other deletes.
func (x *differ) keepWhatIsNewer() {
	if x.o.Newer == 0 {
		return
	}
	x.plan.Changes = slices.DeleteFunc(x.plan.Changes, func(c Change) bool {
		if c.Action != Delete {
			return false
		}
		x.plan.Notes = append(x.plan.Notes, Note{
			Address: c.Address, Reason: ReasonStateBehind, Range: c.Range,
			Text: "not deleted: the state is older than one that was seen",
		})
		return true
	})
}
