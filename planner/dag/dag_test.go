package dag

import (
	"context"
	"slices"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"github.com/cofferhq/coffer/internal/proptest"
)

func TestSortPutsDependenciesFirst(t *testing.T) {
	g := New(4)
	g.Edge(0, 1)
	g.Edge(1, 2)
	g.Edge(0, 3)
	order, cycle := g.Sort()
	if cycle != nil || !slices.Equal(order, []int{2, 1, 3, 0}) {
		t.Fatalf("order %v cycle %v", order, cycle)
	}
}

func TestSortReturnsTheCycle(t *testing.T) {
	g := New(5)
	g.Edge(0, 1)
	g.Edge(1, 2)
	g.Edge(2, 3)
	g.Edge(3, 1)
	g.Edge(4, 0)
	order, cycle := g.Sort()
	if order != nil || !slices.Equal(cycle, []int{1, 2, 3}) {
		t.Fatalf("order %v cycle %v", order, cycle)
	}
}

func TestEdgeDropsSelfAndTwins(t *testing.T) {
	g := New(2)
	g.Edge(0, 0)
	g.Edge(0, 1)
	g.Edge(0, 1)
	if got := g.WaitsFor(0); !slices.Equal(got, []int{1}) {
		t.Fatalf("edges %v", got)
	}
}

func TestSortOfALongChainDoesNotRecurse(t *testing.T) {
	const n = 300_000
	g := New(n)
	for i := range n - 1 {
		g.Edge(i, i+1)
	}
	order, _ := g.Sort()
	if order[0] != n-1 || order[n-1] != 0 {
		t.Fatalf("first %d last %d", order[0], order[n-1])
	}
}

func TestWalkVisitsOnceAndInOrder(t *testing.T) {
	proptest.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 30).Draw(t, "n")
		g := New(n)
		for i := 1; i < n; i++ {
			for _, j := range rapid.SliceOfN(rapid.IntRange(0, i-1), 0, 3).Draw(t, "deps") {
				g.Edge(i, j)
			}
		}
		var mu sync.Mutex
		done := make([]int, n)
		g.Walk(context.Background(), rapid.IntRange(1, 8).Draw(t, "limit"), func(node int) {
			mu.Lock()
			defer mu.Unlock()
			for _, other := range g.WaitsFor(node) {
				if done[other] == 0 {
					t.Errorf("%d ran before %d", node, other)
				}
			}
			done[node]++
		})
		for node, times := range done {
			if times != 1 {
				t.Fatalf("node %d visited %d times", node, times)
			}
		}
	})
}

func TestWalkStartsNothingAfterCancel(t *testing.T) {
	g := New(10)
	for i := 1; i < 10; i++ {
		g.Edge(i, i-1)
	}
	ctx, cancel := context.WithCancel(context.Background())
	visits := 0
	g.Walk(ctx, 4, func(int) {
		if visits++; visits == 3 {
			cancel()
		}
	})
	if visits != 3 {
		t.Fatalf("%d visits after a cancel in the third", visits)
	}
}
