package planner

import (
	"fmt"

	"github.com/cofferhq/coffer/planner/dag"
)

// unit is what is written at once: all steps of one container, or one step
// where the platform writes one by one. Steps are in dependency order.
type unit []int

// units groups the given steps so that each container is written as few times
// as their order allows, and returns the order between the groups.
//
// A container whose steps do not wait for each other by way of another
// container is one unit. Containers that wait for each other in a circle are
// cut by depth: a step is as deep as the longest chain of container changes
// that leads to it.
func (r *run) units(steps []int) ([]unit, *dag.Graph) {
	position := make(map[int]int, len(steps)) // step -> its number here
	for i, s := range steps {
		position[s] = i
	}
	order := dag.New(len(steps))
	containers := map[string]int{}
	of := make([]int, len(steps))
	for i, s := range steps {
		of[i] = r.containerOf(s, containers)
		for _, k := range r.changes[s].DependsOn {
			if j, ok := r.byKey[k]; ok {
				if p, here := position[j]; here {
					order.Edge(i, p)
				}
			}
		}
	}
	r.afterKeys(steps, order)
	group := grouping(order, of, len(containers))
	return assemble(steps, order, group)
}

// afterKeys lets a step that only records what is live wait for a change of the
// container's own object: new recipients may mean a new key, under which
// everything in the container gets another version.
func (r *run) afterKeys(steps []int, order *dag.Graph) {
	at := func(s *step) string {
		if !s.store.Batches() {
			return ""
		}
		return s.loc.Provider + "\x00" + s.store.Container(s.loc.Kind, s.loc.Path)
	}
	objects := map[string][]int{}
	for i, s := range steps {
		if step := r.steps[s]; step.isObject() && !step.stateOnly {
			objects[at(step)] = append(objects[at(step)], i)
		}
	}
	for i, s := range steps {
		if step := r.steps[s]; step.stateOnly && !step.isObject() && at(step) != "" {
			for _, j := range objects[at(step)] {
				order.Edge(i, j)
			}
		}
	}
}

// containerOf numbers the container that a step writes to; steps that cannot
// be written together get a number each.
func (r *run) containerOf(s int, numbers map[string]int) int {
	step := r.steps[s]
	key := fmt.Sprintf("#%d", s)
	if step.store.Batches() && step.batches() {
		key = step.loc.Provider + "\x00" + step.store.Container(step.loc.Kind, step.loc.Path)
	}
	n, ok := numbers[key]
	if !ok {
		n = len(numbers)
		numbers[key] = n
	}
	return n
}

// batches reports whether the step is one plain operation on its container.
func (s *step) batches() bool {
	switch s.change.Action {
	case Create, Update, Rotate, Relocate:
		return !s.stateOnly && !s.live.Meta.IsDeleted() // which is brought back first
	case Delete:
		return !s.stateOnly
	case Restore:
		return s.change.From != nil && !s.live.Meta.IsDeleted()
	}
	return false
}

// grouping gives every step the number of its unit.
func grouping(order *dag.Graph, container []int, containers int) []int {
	between := dag.New(containers)
	for i := range container {
		for _, j := range order.WaitsFor(i) {
			between.Edge(container[i], container[j])
		}
	}
	inCircle := make([]bool, containers)
	for _, part := range between.Components() {
		for _, c := range part {
			inCircle[c] = len(part) > 1
		}
	}
	sorted, _ := order.Sort() // the plan's changes never wait in a circle
	depth := make([]int, len(container))
	type slot struct{ container, depth int }
	numbers := map[slot]int{}
	group := make([]int, len(container))
	for _, i := range sorted {
		at := slot{container: container[i]}
		if inCircle[container[i]] {
			for _, j := range order.WaitsFor(i) {
				d := depth[j]
				if container[j] != container[i] {
					d++
				}
				depth[i] = max(depth[i], d)
			}
			at.depth = depth[i]
		}
		n, ok := numbers[at]
		if !ok {
			n = len(numbers)
			numbers[at] = n
		}
		group[i] = n
	}
	return group
}

// assemble builds the units and the graph between them.
func assemble(steps []int, order *dag.Graph, group []int) ([]unit, *dag.Graph) {
	n := 0
	for _, g := range group {
		n = max(n, g+1)
	}
	units := make([]unit, n)
	graph := dag.New(n)
	sorted, _ := order.Sort()
	for _, i := range sorted {
		units[group[i]] = append(units[group[i]], steps[i])
		for _, j := range order.WaitsFor(i) {
			graph.Edge(group[i], group[j])
		}
	}
	return units, graph
}
