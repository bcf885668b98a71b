package cli

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/cofferhq/coffer/lang/addr"
)

// reads narrows the graph to the secrets that an address or a principal asks
// about, each with the readers that are asked for.
func (g graph) reads(what string) (graph, error) {
	keep := func(n graphNode) (graphNode, bool) { return n.only(func(r graphReader) bool { return r.is(what) }) }
	switch a, err := addr.Parse(what); {
	case err != nil:
	case a.App != "" && a.Kind == addr.KindPolicy:
		keep = func(n graphNode) (graphNode, bool) {
			return n.only(func(r graphReader) bool { return !r.Policy.IsZero() && a.Contains(r.Policy) })
		}
	case a.App != "":
		keep = func(n graphNode) (graphNode, bool) { return n, a.Contains(n.Address) }
	case a.Provider != "" || a.Kind != "" && a.Name != "":
		through := g.through(a)
		keep = func(n graphNode) (graphNode, bool) {
			return n, through[n.Address] || slices.ContainsFunc(n.lists, func(l addr.Address) bool { return through[l] })
		}
	}
	narrow := graph{FormatVersion: g.FormatVersion, Nodes: []graphNode{}}
	for _, n := range g.Nodes {
		if !n.isSecret() {
			continue
		}
		if n, ok := keep(n); ok {
			n.Uses = nil
			narrow.Nodes = append(narrow.Nodes, n)
		}
	}
	if len(narrow.Nodes) == 0 {
		return g, fmt.Errorf("%q is neither an address nor a reader in this configuration; coffer graph lists both", what)
	}
	return narrow, nil
}

// only returns n with the readers that fit, and whether there are any.
func (n graphNode) only(fits func(graphReader) bool) (graphNode, bool) {
	var mine []graphReader
	for _, r := range n.Readers {
		if fits(r) {
			mine = append(mine, r)
		}
	}
	n.Readers = mine
	return n, len(mine) > 0
}

// through returns what an object leads to, itself included: a grant to its
// policy, and that to the secrets that it covers.
func (g graph) through(a addr.Address) map[addr.Address]bool {
	found := map[addr.Address]bool{}
	var visit func(addr.Address)
	visit = func(a addr.Address) {
		if found[a] {
			return
		}
		found[a] = true
		for _, n := range g.Nodes {
			if n.Address == a && !n.isSecret() {
				for _, next := range slices.Concat(n.Uses, n.Covers) {
					visit(next)
				}
			}
		}
	}
	visit(a)
	return found
}

func writeGraphText(w io.Writer, g graph) {
	for _, n := range g.Nodes {
		stores := n.Replicas
		if n.Store != "" {
			stores = append([]string{n.Store}, stores...)
		}
		fmt.Fprintln(w, strings.TrimSpace(n.Address.String()+"  "+strings.Join(stores, ", ")))
		if n.Reads != "" {
			fmt.Fprintf(w, "  gives %s\n", n.Reads)
		}
		for _, a := range n.Uses {
			fmt.Fprintf(w, "  uses %s\n", a)
		}
		for _, a := range n.Covers {
			fmt.Fprintf(w, "  covers %s\n", a)
		}
		for _, r := range n.Readers {
			if n.isSecret() {
				fmt.Fprintf(w, "  read by %s %s\n", r.Reader, r.why())
			} else {
				fmt.Fprintf(w, "  for %s\n", r.Reader)
			}
		}
	}
}

// throughPolicy reports whether the edge of a reader goes through a node of its
// policy, and is drawn there.
func (g graph) throughPolicy(n *graphNode, r graphReader) bool {
	return n.isSecret() && slices.ContainsFunc(g.Nodes, func(p graphNode) bool { return !p.isSecret() && p.Address == r.Policy })
}

func writeGraphDot(w io.Writer, g graph) {
	quote := func(s string) string {
		return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"`
	}
	fmt.Fprint(w, "digraph coffer {\n  rankdir = LR;\n  node [shape = box];\n")
	for _, n := range g.Nodes {
		shape := ""
		if !n.isSecret() {
			shape = " [shape = note]"
		}
		fmt.Fprintf(w, "  %s%s;\n", quote(n.Address.String()), shape)
		for _, a := range n.Uses {
			fmt.Fprintf(w, "  %s -> %s;\n", quote(n.Address.String()), quote(a.String()))
		}
		for _, a := range n.Covers {
			fmt.Fprintf(w, "  %s -> %s [style = dashed];\n", quote(n.Address.String()), quote(a.String()))
		}
		for _, r := range n.Readers {
			if g.throughPolicy(&n, r) {
				continue
			}
			fmt.Fprintf(w, "  %s [shape = ellipse];\n  %s -> %s [style = dashed];\n",
				quote(r.Reader), quote(r.Reader), quote(n.Address.String()))
		}
	}
	fmt.Fprint(w, "}\n")
}

func writeGraphMermaid(w io.Writer, g graph) {
	ids := map[string]string{}
	node := func(label, shape string) string {
		id, ok := ids[label]
		if !ok {
			id = fmt.Sprintf("n%d", len(ids))
			ids[label] = id
			text := strings.NewReplacer("#", "#35;", `"`, "#quot;", "<", "#lt;", ">", "#gt;").Replace(label)
			fmt.Fprintf(w, "  %s%c\"%s\"%c\n", id, shape[0], text, shape[1])
		}
		return id
	}
	fmt.Fprint(w, "flowchart LR\n")
	for _, n := range g.Nodes {
		from := node(n.Address.String(), "[]")
		for _, a := range n.Uses {
			fmt.Fprintf(w, "  %s --> %s\n", from, node(a.String(), "[]"))
		}
		for _, a := range n.Covers {
			fmt.Fprintf(w, "  %s -.-> %s\n", from, node(a.String(), "[]"))
		}
		for _, r := range n.Readers {
			if !g.throughPolicy(&n, r) {
				fmt.Fprintf(w, "  %s -.-> %s\n", node(r.Reader, "()"), from)
			}
		}
	}
}
