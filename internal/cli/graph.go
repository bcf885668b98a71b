package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/urfave/cli/v2"

	"github.com/cofferhq/coffer/internal/render"
	"github.com/cofferhq/coffer/lang"
	"github.com/cofferhq/coffer/lang/addr"
	"github.com/cofferhq/coffer/planner"
)

type graphOptions struct {
	format string
	reads  string
}

func graphCommand(inv *invocation) *cli.Command {
	var opts graphOptions
	return &cli.Command{
		Name:  "graph",
		Usage: "show what depends on what, and who can read what",
		Description: `Readers are those that policies name, and the recipients that the provider block
or .sops.yaml gives to whole files. It shows what the configuration wants, as
coffer apply makes it: no state is asked and no file with secrets is looked at.`,
		UsageText: `coffer graph
coffer graph -format dot | dot -Tsvg > graph.svg
coffer graph -reads app.shop.secret.db
coffer graph -reads age1…
coffer graph -reads 'provider.sops.recipients["production/shop.yaml"]'`,
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "format", Usage: "`FORMAT` is text, dot or mermaid", Value: "text", Destination: &opts.format},
			&cli.StringFlag{
				Name: "reads", Usage: "who reads `ADDRESS`, or what a principal or the readers of a file read", Destination: &opts.reads,
			},
		},
		Action: func(c *cli.Context) error {
			if err := inv.noArguments(c); err != nil {
				return err
			}
			return runGraph(c.Context, inv, opts)
		},
	}
}

// graph is the configuration as nodes and edges, each in address order.
type graph struct {
	FormatVersion int         `json:"format_version"`
	Nodes         []graphNode `json:"nodes"`
}

type graphNode struct {
	Address  addr.Address   `json:"address"`
	Store    string         `json:"store"`
	Replicas []string       `json:"replicas,omitempty"`
	Uses     []addr.Address `json:"uses,omitempty"`
	Readers  []graphReader  `json:"readers,omitempty"`
	lists    []addr.Address // the objects that decide who reads it
}

// graphReader is a reader by a policy, or by the recipients of a file.
type graphReader struct {
	Reader string       `json:"reader"`
	Policy addr.Address `json:"policy,omitzero"`
	List   addr.Address `json:"list,omitzero"`
	args   []string
}

// why says what makes r a reader.
func (r graphReader) why() string {
	if r.List.IsZero() {
		return " " + r.Policy.String()
	}
	return "(recipient of " + r.List.Key + ")"
}

func runGraph(ctx context.Context, inv *invocation, opts graphOptions) error {
	write, ok := map[string]func(io.Writer, graph){
		"text": writeGraphText, "dot": writeGraphDot, "mermaid": writeGraphMermaid,
	}[opts.format]
	if !ok {
		return usagef("there is no graph format %q; use text, dot or mermaid", opts.format)
	}
	w, err := inv.openStateless()
	if err != nil {
		return err
	}
	g := newGraph(w.cfg)
	switch diags, err := w.readable(ctx); {
	case err != nil:
		return err
	case !diags.HasErrors():
		g.recipients(w.desired)
	case opts.reads != "": // half an answer to who can read is a wrong one
		return &diagnosticsError{diags, w.cfg.Files}
	default: // a project at its beginning has dependencies and no readers yet
		for _, d := range diags {
			d.Severity = hcl.DiagWarning
		}
		inv.warn(diags, w.cfg.Files)
	}
	if opts.reads != "" {
		if g, err = g.reads(opts.reads); err != nil {
			return err
		}
	}
	if inv.json {
		return inv.printJSON(g)
	}
	out := render.NewWriter(inv.Out, render.Style{})
	write(out, g)
	return out.Err()
}

func newGraph(cfg *lang.Config) graph {
	g := graph{FormatVersion: 1, Nodes: []graphNode{}}
	readers := map[addr.Address][]graphReader{}
	for _, p := range cfg.Policies {
		for _, a := range p.Secrets {
			for _, r := range p.Readers {
				readers[a] = append(readers[a], graphReader{Reader: readerText(r), Policy: p.Address, args: r.Args})
			}
		}
	}
	for _, s := range cfg.Secrets {
		g.Nodes = append(g.Nodes, graphNode{
			Address: s.Address, Store: s.Store, Replicas: s.Replicas,
			Uses: uses(s), Readers: readers[s.Address],
		})
	}
	return g
}

// openStateless loads a workspace for what the configuration alone answers.
func (inv *invocation) openStateless() (*workspace, error) {
	log, err := inv.logger()
	if err != nil {
		return nil, err
	}
	cfg, blocks, err := inv.loadConfig()
	if err != nil {
		return nil, err
	}
	return &workspace{inv: inv, cfg: cfg, blocks: blocks, log: log}, nil
}

// readable finds out who reads what. That the readers cannot be told yet comes
// back as diagnostics.
func (w *workspace) readable(ctx context.Context) (hcl.Diagnostics, error) {
	list, err := w.openProviders(ctx, w.blocks)
	if err != nil {
		return nil, err
	}
	err = w.connect(ctx, list)
	if d, ok := errors.AsType[*diagnosticsError](err); ok {
		return d.diags, nil
	}
	return nil, err
}

// kindRecipients is the kind of the objects that list the recipients of a
// file, one a line.
const kindRecipients = "recipients"

// recipients adds who reads a secret because they open its whole file, or that
// of a replica. Those that a policy made recipients are listed with it.
func (g graph) recipients(desired *planner.Desired) {
	at := map[addr.Address]int{}
	for i, n := range g.Nodes {
		at[n.Address] = i
	}
	for _, r := range desired.Resources {
		i, ok := at[r.Address.Primary()]
		if !ok || r.IsObject() {
			continue
		}
		n := &g.Nodes[i]
		for _, need := range r.Needs {
			list := desired.At(need)
			if list == nil || !list.IsObject() || list.Location.Kind != kindRecipients {
				continue
			}
			n.lists = append(n.lists, need)
			for who := range strings.Lines(list.Document) {
				n.addRecipient(strings.TrimSuffix(who, "\n"), need)
			}
		}
	}
}

func (n *graphNode) addRecipient(who string, list addr.Address) {
	if !slices.ContainsFunc(n.Readers, func(r graphReader) bool { return r.List.IsZero() && slices.Equal(r.args, []string{who}) }) {
		n.Readers = append(n.Readers, graphReader{Reader: who, List: list, args: []string{who}})
	}
}

// uses returns the other secrets that s is made of, in order and each once.
func uses(s *lang.Secret) []addr.Address {
	var found []addr.Address
	seen := map[addr.Address]bool{s.Address: true}
	var visit func(*lang.Source)
	visit = func(src *lang.Source) {
		if src.Kind == lang.Reference && !seen[src.Ref.Address] {
			seen[src.Ref.Address] = true
			found = append(found, src.Ref.Address)
		}
		for _, arg := range src.Args {
			visit(arg)
		}
	}
	for _, f := range s.Fields {
		visit(f.Source)
	}
	return found
}

func readerText(r lang.Reader) string {
	quoted := make([]string, len(r.Args))
	for i, a := range r.Args {
		quoted[i] = fmt.Sprintf("%q", a)
	}
	return r.Func + "(" + strings.Join(quoted, ", ") + ")"
}

// reads narrows the graph to what an address or a principal asks about.
func (g graph) reads(what string) (graph, error) {
	keep := func(n graphNode) (graphNode, bool) {
		var mine []graphReader
		for _, r := range n.Readers {
			if r.Reader == what || len(r.args) > 0 && strings.Join(r.args, "/") == what {
				mine = append(mine, r)
			}
		}
		n.Readers = mine
		return n, len(mine) > 0
	}
	switch a, err := addr.Parse(what); {
	case err != nil:
	case a.Provider != "":
		keep = func(n graphNode) (graphNode, bool) { return n, slices.Contains(n.lists, a) }
	case a.App != "" || a.Kind != "" && a.Name != "":
		keep = func(n graphNode) (graphNode, bool) { return n, a.Contains(n.Address) }
	}
	narrow := graph{FormatVersion: g.FormatVersion, Nodes: []graphNode{}}
	for _, n := range g.Nodes {
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

func writeGraphText(w io.Writer, g graph) {
	for _, n := range g.Nodes {
		fmt.Fprintf(w, "%s  %s\n", n.Address, strings.Join(append([]string{n.Store}, n.Replicas...), ", "))
		for _, a := range n.Uses {
			fmt.Fprintf(w, "  uses %s\n", a)
		}
		for _, r := range n.Readers {
			fmt.Fprintf(w, "  read by %s %s\n", r.Reader, r.why())
		}
	}
}

func writeGraphDot(w io.Writer, g graph) {
	quote := func(s string) string {
		return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"`
	}
	fmt.Fprint(w, "digraph coffer {\n  rankdir = LR;\n  node [shape = box];\n")
	for _, n := range g.Nodes {
		fmt.Fprintf(w, "  %s;\n", quote(n.Address.String()))
		for _, a := range n.Uses {
			fmt.Fprintf(w, "  %s -> %s;\n", quote(n.Address.String()), quote(a.String()))
		}
		for _, r := range n.Readers {
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
		for _, r := range n.Readers {
			fmt.Fprintf(w, "  %s -.-> %s\n", node(r.Reader, "()"), from)
		}
	}
}
