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
	"github.com/cofferhq/coffer/providers"
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
or .sops.yaml gives to whole files. Policies, and what they come to on a
provider, such as roles and grants, are nodes of their own. It shows what the
configuration wants, as coffer apply makes it: no store and no state is asked.`,
		UsageText: `coffer graph
coffer graph -format dot | dot -Tsvg > graph.svg
coffer graph -reads app.shop.secret.db
coffer graph -reads 'vault_approle("checkout-production")'
coffer graph -reads age1…
coffer graph -reads 'provider.sops.recipients["production/shop.yaml"]'`,
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "format", Usage: "`FORMAT` is text, dot or mermaid", Value: "text", Destination: &opts.format},
			&cli.StringFlag{
				Name: "reads", Usage: "who reads `ADDRESS`, or what a principal, a policy or the readers of a file read", Destination: &opts.reads,
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

// graph is the configuration as nodes and edges: secrets, then policies, then
// the objects of providers, each in address order.
type graph struct {
	FormatVersion int         `json:"format_version"`
	Nodes         []graphNode `json:"nodes"`
}

type graphNode struct {
	Address  addr.Address   `json:"address"`
	Kind     string         `json:"kind"`
	Store    string         `json:"store,omitempty"`
	Replicas []string       `json:"replicas,omitempty"`
	Uses     []addr.Address `json:"uses,omitempty"`
	Covers   []addr.Address `json:"covers,omitempty"` // what a policy lets read
	Readers  []graphReader  `json:"readers,omitempty"`
	Reads    string         `json:"reads,omitempty"` // what an object gives, for people
	lists    []addr.Address // the objects that decide who reads it
}

// isSecret tells what can be read from what decides who reads.
func (n *graphNode) isSecret() bool {
	switch n.Kind {
	case addr.KindSecret, addr.KindEnvFile, addr.KindKubernetesSecret, addr.KindSealedSecret, addr.KindExternalSecret:
		return true
	}
	return false
}

// graphReader is a reader by a policy, or by the recipients of a file.
type graphReader struct {
	Reader string       `json:"reader"`
	Policy addr.Address `json:"policy,omitzero"` // or the external_secret whose operator it is
	List   addr.Address `json:"list,omitzero"`
	args   []string
}

// is reports whether r is the principal that a person names: the reader as
// written, its arguments with slashes between, or the first of them, which is
// its name.
func (r graphReader) is(what string) bool {
	return r.Reader == what || len(r.args) > 0 && (r.args[0] == what || strings.Join(r.args, "/") == what)
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
	w, err := inv.openStateless(ctx, providers.PhasePlan)
	if err != nil {
		return err
	}
	g := newGraph(w.cfg)
	switch diags, err := w.readable(ctx); {
	case err != nil:
		return err
	case !diags.HasErrors():
		g.access(w.desired)
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
	var policies []graphNode
	for _, p := range cfg.Policies {
		n := graphNode{Address: p.Address, Kind: addr.KindPolicy, Covers: p.Secrets}
		for _, r := range p.Readers {
			n.Readers = append(n.Readers, graphReader{Reader: readerText(r), Policy: p.Address, args: r.Args})
		}
		for _, a := range p.Secrets {
			readers[a] = append(readers[a], n.Readers...)
		}
		policies = append(policies, n)
	}
	for _, s := range cfg.Secrets {
		g.Nodes = append(g.Nodes, graphNode{
			Address: s.Address, Kind: s.Address.Kind, Store: s.Store, Replicas: s.Replicas,
			Uses: uses(s.Fields, s.Address), Readers: readers[s.Address],
		})
	}
	for _, d := range cfg.Deliveries {
		g.Nodes = append(g.Nodes, graphNode{
			Address: d.Address, Kind: d.Address.Kind, Store: d.Provider, Uses: uses(d.Items, d.Address), Readers: readers[d.Address],
		})
	}
	g.Nodes = append(g.Nodes, policies...)
	return g
}

// readable finds out who reads what. That the readers cannot be told yet comes
// back as diagnostics.
func (w *workspace) readable(ctx context.Context) (hcl.Diagnostics, error) {
	list, err := w.openProviders(ctx)
	if err != nil {
		return nil, err
	}
	w.stores = w.unconnected(list)
	err = w.desire()
	if d, ok := errors.AsType[*diagnosticsError](err); ok {
		return d.diags, nil
	}
	return nil, err
}

// kindRecipients is the kind of the objects that list the recipients of a
// file, one a line.
const kindRecipients = "recipients"

// access adds what decides who reads: the objects that the policies and the
// blocks of providers come to, and those who read a secret because they open its
// whole file, or that of a replica. Those that a policy made recipients are
// listed with it.
func (g *graph) access(desired *planner.Desired) {
	at := map[addr.Address]int{}
	for i, n := range g.Nodes {
		at[n.Address] = i
	}
	for _, r := range desired.Resources {
		i, known := at[r.Address.Primary()]
		switch {
		case r.IsObject():
			g.object(r, i, known)
		case known:
			g.Nodes[i].decidedBy(r, desired)
		}
	}
	for _, o := range desired.Operators {
		for _, a := range o.Secrets {
			n := &g.Nodes[at[a]]
			n.Readers = append(n.Readers, graphReader{Reader: readerText(o.Reader), Policy: o.Block, args: o.Reader.Args})
		}
	}
}

// object adds an object, to the policy that it stands for where there is one.
// The recipients of a file are shown as the readers that they are.
func (g *graph) object(r *planner.Resource, i int, known bool) {
	switch {
	case known && g.Nodes[i].Kind == addr.KindExternalSecret:
		g.Nodes[i].Uses = append(g.Nodes[i].Uses, r.Needs...)
	case known:
		g.Nodes[i].Store = r.Store
		if !slices.Contains(g.Nodes[i].lists, r.Address) {
			g.Nodes[i].lists = append(g.Nodes[i].lists, r.Address)
		}
	case r.Location.Kind != kindRecipients:
		g.Nodes = append(g.Nodes, graphNode{
			Address: r.Address, Kind: r.Location.Kind, Store: r.Store, Uses: r.Needs, Reads: r.Reads,
		})
	}
}

// decidedBy adds what decides who reads the secret n, of which r is one place.
func (n *graphNode) decidedBy(r *planner.Resource, desired *planner.Desired) {
	for _, need := range r.Needs {
		list := desired.At(need)
		if list == nil || !list.IsObject() {
			continue
		}
		n.lists = append(n.lists, need)
		if list.Location.Kind != kindRecipients {
			continue
		}
		for who := range strings.Lines(list.Document) {
			n.addRecipient(strings.TrimSuffix(who, "\n"), need)
		}
	}
}

func (n *graphNode) addRecipient(who string, list addr.Address) {
	if !slices.ContainsFunc(n.Readers, func(r graphReader) bool { return r.List.IsZero() && slices.Equal(r.args, []string{who}) }) {
		n.Readers = append(n.Readers, graphReader{Reader: who, List: list, args: []string{who}})
	}
}

// uses returns the other secrets that something is made of, in order and each
// once.
func uses(fields []lang.Field, self addr.Address) []addr.Address {
	var found []addr.Address
	seen := map[addr.Address]bool{self: true}
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
	for _, f := range fields {
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
