package lang

import (
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"

	"github.com/cofferhq/coffer/lang/addr"
)

// node is a secret, or one field of it: a secret is written at once, so
// secrets may not wait for each other even where their fields would not.
type node struct {
	address addr.Address
	field   string
}

// edge is a reference.
type edge struct {
	to node
	at hcl.Range
}

// findCycles reports references that lead back to where they start.
func (l *loader) findCycles() {
	g := graph{edges: map[node][]edge{}, state: map[node]visit{}}
	for _, s := range l.cfg.Secrets {
		for _, f := range s.Fields {
			f.Source.leaves(func(leaf *Source) bool {
				switch {
				case leaf.Kind != Reference:
				case leaf.self && !s.Single:
					g.add(node{s.Address, "." + f.Name}, edge{node{s.Address, "." + leaf.Ref.Field}, leaf.Range})
				default:
					g.add(node{address: s.Address}, edge{node{address: leaf.Ref.Address}, leaf.Range})
				}
				return true
			})
		}
	}
	for _, n := range g.nodes {
		g.visit(n, func(cycle []node, at hcl.Range) {
			env := cycle[0].address.Environment
			l.diags.addIn(env, l.envs, errorAt(at, "Secrets in a circle", "%s. One of them must not refer to the next.", chain(nodeNames(cycle))))
		})
	}
}

type visit int

const (
	unvisited visit = iota
	onPath
	visited
)

// graph is walked depth first, in the order in which nodes and edges came.
type graph struct {
	nodes []node
	edges map[node][]edge
	state map[node]visit
	path  []node
}

func (g *graph) add(from node, e edge) {
	if g.edges[from] == nil {
		g.nodes = append(g.nodes, from)
	}
	g.edges[from] = append(g.edges[from], e)
}

func (g *graph) visit(n node, found func(cycle []node, at hcl.Range)) {
	if g.state[n] == visited {
		return
	}
	g.state[n] = onPath
	g.path = append(g.path, n)
	for _, e := range g.edges[n] {
		if g.edges[e.to] == nil {
			continue
		}
		if g.state[e.to] == onPath {
			start := slices.Index(g.path, e.to)
			found(slices.Clone(g.path[start:]), e.at)
			continue
		}
		g.visit(e.to, found)
	}
	g.path = g.path[:len(g.path)-1]
	g.state[n] = visited
}

func nodeNames(cycle []node) []string {
	names := make([]string, 0, len(cycle))
	for _, n := range cycle {
		if n.field != "" {
			names = append(names, "self"+n.field)
		} else {
			names = append(names, n.address.In("").String())
		}
	}
	return names
}

// chain shows a circle, back to its start. Of a long one it shows the ends.
func chain(names []string) string {
	const most = 12
	names = append(names, names[0])
	if len(names) > most {
		names = slices.Concat(names[:most/2], []string{"…"}, names[len(names)-most/2:])
	}
	return strings.Join(names, " → ")
}
