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

// objectCounts counts what happens to objects: by kind, then by action.
type objectCounts map[string]map[planner.Action]int

func (o objectCounts) add(kind string, action planner.Action) {
	if o[kind] == nil {
		o[kind] = map[planner.Action]int{}
	}
	o[kind][action]++
}

// tally counts the changes of a plan as its last line does: secrets by action,
// objects apart by kind. Deletes count as -confirm-deletes does.
type tally struct {
	actions map[planner.Action]int
	objects objectCounts
	// confirmed are the deletes that need no confirmation: a block of the
	// configuration asks for them.
	confirmed int
}

func tallyOf(changes []planner.Change) tally {
	t := tally{map[planner.Action]int{}, objectCounts{}, 0}
	for i := range changes {
		c := &changes[i]
		undone := c.Action == planner.Conflict || c.Action == planner.Unknown
		switch {
		case c.Role == state.RoleObject && !undone:
			t.objects.add(c.Location.Kind, c.Action)
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
	return append(parts, t.objects.parts("to change", func(k kindOfChange) string { return k.todo })...)
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
	parts := kindParts(objects)
	switch {
	case len(parts) == 0:
		return strconv.Itoa(secrets)
	case secrets > 0:
		parts = append([]string{plural(secrets, "secret", "secrets")}, parts...)
	}
	last := len(parts) - 1
	return strings.Join(append([]string{strings.Join(parts[:max(last, 1)], ", ")}, parts[max(last, 1):]...), " and ")
}

// parts returns "2 recipients lists to change", "1 role to delete" and so on:
// what goes and what is let go stand apart from what changes, which is all else.
func (o objectCounts) parts(changes string, word func(kindOfChange) string) []string {
	var parts []string
	group := func(what string, holds func(planner.Action) bool) {
		counts := map[string]int{}
		for kind, actions := range o {
			for action, n := range actions {
				if holds(action) {
					counts[kind] += n
				}
			}
		}
		for _, part := range kindParts(counts) {
			parts = append(parts, part+" "+what)
		}
	}
	apart := []planner.Action{planner.Delete, planner.Forget}
	group(changes, func(a planner.Action) bool { return !slices.Contains(apart, a) })
	for _, action := range apart {
		group(word(lookOf(action)), func(a planner.Action) bool { return a == action })
	}
	return parts
}

// kindParts returns "2 recipients lists" and so on by kind.
func kindParts(counts map[string]int) []string {
	var parts []string
	for _, kind := range slices.Sorted(maps.Keys(counts)) {
		if n := counts[kind]; n > 0 {
			parts = append(parts, kindText(n, kind))
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
