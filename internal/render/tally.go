package render

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/cofferhq/coffer/planner"
	"github.com/cofferhq/coffer/state"
)

// tally counts the changes of a plan as its last line does: secrets by action,
// objects apart by kind. Deletes count as -confirm-deletes does.
type tally struct {
	actions map[planner.Action]int
	objects map[string]int
	// confirmed are the deletes that need no confirmation: a block of the
	// configuration asks for them.
	confirmed int
}

func tallyOf(changes []planner.Change) tally {
	t := tally{map[planner.Action]int{}, map[string]int{}, 0}
	for i := range changes {
		c := &changes[i]
		undone := c.Action == planner.Conflict || c.Action == planner.Unknown
		switch {
		case c.Role == state.RoleObject && !undone:
			t.objects[c.Location.Kind]++
			continue
		case c.Action == planner.Update && dropsField(c):
			// What it deletes is what a reader must see.
			t.actions[planner.Delete]++
			continue
		case c.Action == planner.Delete && (c.Confirmed || c.Reason == planner.ReasonMoved):
			t.confirmed++
		case c.Action != planner.Delete && !undone && dropsField(c):
			t.actions[planner.Delete]++
		}
		t.actions[c.Action]++
	}
	return t
}

func (t tally) parts() []string {
	parts := countParts(t.actions, func(k kindOfChange) string {
		if k.action == planner.Delete && t.confirmed > 0 {
			return fmt.Sprintf("%s (%d confirmed)", k.todo, t.confirmed)
		}
		return k.todo
	})
	return append(parts, objectParts(t.objects, "to change")...)
}

// countText is what the title of a section says: "14", "14 secrets and 4 recipients
// lists".
func countText(changes []*planner.Change) string {
	secrets, objects := 0, map[string]int{}
	for _, c := range changes {
		if c.Role == state.RoleObject {
			objects[c.Location.Kind]++
		} else {
			secrets++
		}
	}
	parts := objectParts(objects, "")
	switch {
	case len(parts) == 0:
		return strconv.Itoa(secrets)
	case secrets > 0:
		parts = append([]string{plural(secrets, "secret", "secrets")}, parts...)
	}
	return strings.Join(parts, " and ")
}

// objectParts returns "2 recipients lists to change" and so on by kind.
func objectParts(counts map[string]int, what string) []string {
	var parts []string
	for _, kind := range slices.Sorted(maps.Keys(counts)) {
		if n := counts[kind]; n > 0 {
			parts = append(parts, strings.TrimSpace(kindText(n, kind)+" "+what))
		}
	}
	return parts
}

// countParts returns "3 to create" and so on in fixed order. Create and delete
// are always named, the others where there are any.
func countParts(counts map[planner.Action]int, word func(kindOfChange) string) []string {
	var parts []string
	for _, action := range countOrder() {
		if n := counts[action]; n > 0 || action == planner.Create || action == planner.Delete {
			parts = append(parts, fmt.Sprintf("%d %s", n, word(lookOf(action))))
		}
	}
	return parts
}
