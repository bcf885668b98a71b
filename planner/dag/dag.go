// Package dag orders work: a [Graph] of numbered nodes with "waits for" edges,
// sorted, split into strongly connected parts, or walked in parallel. It knows
// nothing of what the nodes are.
package dag

import (
	"context"
	"slices"
	"sync"
)

// Graph is a set of nodes 0..n-1 and edges between them. The zero Graph is
// empty; make one with [New].
type Graph struct {
	waitsFor [][]int
}

// New returns a graph of n nodes without edges.
func New(n int) *Graph { return &Graph{waitsFor: make([][]int, n)} }

// Len returns the number of nodes.
func (g *Graph) Len() int { return len(g.waitsFor) }

// Edge makes node wait for other. A node may not wait for itself; such an edge
// is dropped, and so is a second edge between the same nodes.
func (g *Graph) Edge(node, other int) {
	if node == other || slices.Contains(g.waitsFor[node], other) {
		return
	}
	g.waitsFor[node] = append(g.waitsFor[node], other)
}

// WaitsFor returns the nodes that node waits for. The caller must not change it.
func (g *Graph) WaitsFor(node int) []int { return g.waitsFor[node] }

// Sort returns every node behind all it waits for; nodes that do not depend on
// each other keep their numeric order as far as possible. If there is a cycle
// it is returned instead, first node first, and order is nil.
func (g *Graph) Sort() (order, cycle []int) {
	for _, part := range g.Components() {
		if len(part) > 1 {
			return nil, g.cycleIn(part)
		}
		order = append(order, part[0])
	}
	return order, nil
}

// cycleIn returns one cycle inside a strongly connected part.
func (g *Graph) cycleIn(part []int) []int {
	start := slices.Min(part)
	inside := map[int]bool{}
	for _, n := range part {
		inside[n] = true
	}
	from := map[int]int{start: start}
	for queue := []int{start}; len(queue) > 0; queue = queue[1:] {
		node := queue[0]
		for _, next := range g.waitsFor[node] {
			if next == start {
				path := []int{node}
				for node != start {
					node = from[node]
					path = append(path, node)
				}
				slices.Reverse(path)
				return path
			}
			if _, seen := from[next]; inside[next] && !seen {
				from[next] = node
				queue = append(queue, next)
			}
		}
	}
	return part
}

// Components returns the strongly connected parts, each behind all that it
// waits for (Tarjan's algorithm, iterative because a chain of templates may be
// longer than a stack should be deep).
func (g *Graph) Components() [][]int {
	t := tarjan{g: g, index: make([]int, g.Len()), low: make([]int, g.Len()), onStack: make([]bool, g.Len())}
	for node := range g.waitsFor {
		if t.index[node] == 0 {
			t.visit(node)
		}
	}
	return t.parts
}

type tarjan struct {
	g          *Graph
	index, low []int // 1-based; 0 is not visited
	onStack    []bool
	stack      []int
	next       int
	parts      [][]int
}

type frame struct{ node, edge int }

func (t *tarjan) visit(root int) {
	frames := []frame{t.enter(root)}
	for len(frames) > 0 {
		f := &frames[len(frames)-1]
		edges := t.g.waitsFor[f.node]
		if f.edge < len(edges) {
			other := edges[f.edge]
			f.edge++
			switch {
			case t.index[other] == 0:
				frames = append(frames, t.enter(other))
			case t.onStack[other]:
				t.low[f.node] = min(t.low[f.node], t.index[other])
			}
			continue
		}
		node := f.node
		frames = frames[:len(frames)-1]
		if len(frames) > 0 {
			up := frames[len(frames)-1].node
			t.low[up] = min(t.low[up], t.low[node])
		}
		if t.low[node] == t.index[node] {
			t.pop(node)
		}
	}
}

func (t *tarjan) enter(node int) frame {
	t.next++
	t.index[node], t.low[node] = t.next, t.next
	t.stack = append(t.stack, node)
	t.onStack[node] = true
	return frame{node: node}
}

func (t *tarjan) pop(root int) {
	for i := len(t.stack) - 1; ; i-- {
		node := t.stack[i]
		t.onStack[node] = false
		if node == root {
			part := slices.Clone(t.stack[i:])
			slices.Sort(part)
			t.parts = append(t.parts, part)
			t.stack = t.stack[:i]
			return
		}
	}
}

// Walk calls visit once for every node, each after all it waits for have
// returned, at most limit at a time, and returns when all that were started
// are done. When ctx ends nothing new is started. The graph must be acyclic.
// A visit that fails is the caller's to remember: its dependants are visited
// all the same, so that each can say why it was skipped.
func (g *Graph) Walk(ctx context.Context, limit int, visit func(node int)) {
	w := walk{blocked: make([]int, g.Len()), unblocks: make([][]int, g.Len())}
	for node, others := range g.waitsFor {
		w.blocked[node] = len(others)
		for _, other := range others {
			w.unblocks[other] = append(w.unblocks[other], node)
		}
	}
	var ready []int
	for node, n := range w.blocked {
		if n == 0 {
			ready = append(ready, node)
		}
	}
	var wg sync.WaitGroup
	done := make(chan int)
	running := 0
	for len(ready) > 0 || running > 0 {
		for len(ready) > 0 && running < max(limit, 1) && ctx.Err() == nil {
			node := ready[0]
			ready = ready[1:]
			running++
			wg.Go(func() { visit(node); done <- node })
		}
		if running == 0 {
			break
		}
		node := <-done
		running--
		ready = append(ready, w.unblock(node)...)
	}
	wg.Wait()
}

type walk struct {
	blocked  []int
	unblocks [][]int
}

func (w *walk) unblock(node int) (ready []int) {
	for _, n := range w.unblocks[node] {
		if w.blocked[n]--; w.blocked[n] == 0 {
			ready = append(ready, n)
		}
	}
	return ready
}
