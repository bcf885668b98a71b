package lang

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/cofferhq/coffer/internal/proptest"
)

// pinNode is an expression of a drawn configuration.
type pinNode struct {
	kind string // "text", "number", "bool", "env", "file", "ref", "list", "object", "if", "call", "join"
	text string
	kids []*pinNode
}

func (n *pinNode) clone() *pinNode {
	out := *n
	out.kids = nil
	for _, k := range n.kids {
		out.kids = append(out.kids, k.clone())
	}
	return &out
}

// leaves are the nodes that can be changed alone.
func (n *pinNode) leaves() []*pinNode {
	if len(n.kids) == 0 {
		return []*pinNode{n}
	}
	var out []*pinNode
	for _, k := range n.kids {
		out = append(out, k.leaves()...)
	}
	return out
}

// refs are the names that an expression uses.
func (n *pinNode) refs() []string {
	var out []string
	for _, l := range n.leaves() {
		if l.kind == "ref" {
			out = append(out, l.text)
		}
	}
	return out
}

func drawNode(t *rapid.T, depth int, refs []string) *pinNode {
	kinds := []string{"text", "text", "text", "file"}
	if len(refs) > 0 {
		kinds = append(kinds, "ref", "ref")
	}
	if depth > 0 {
		kinds = append(kinds, "if", "call", "join")
	}
	n := &pinNode{kind: rapid.SampledFrom(kinds).Draw(t, "kind")}
	kids := 0
	switch n.kind {
	case "text":
		n.text = rapid.SampledFrom([]string{"a", "", "https://x.example:8200", "two\nlines\n", `q"\${x}`, "%{", "tab\t", "ü", "a b"}).Draw(t, "text")
	case "file":
		n.text = rapid.SampledFrom([]string{"one.txt", "two.txt"}).Draw(t, "file")
	case "ref":
		n.text = rapid.SampledFrom(refs).Draw(t, "ref")
	case "if":
		n.text = fmt.Sprint(rapid.Bool().Draw(t, "holds"))
		kids = 2
	case "call":
		kids = 1
	case "join":
		kids = rapid.IntRange(2, 3).Draw(t, "parts")
	}
	for range kids {
		n.kids = append(n.kids, drawNode(t, depth-1, refs))
	}
	return n
}

// pinModel is a drawn configuration.
type pinModel struct {
	vars, locals map[string]*pinNode // by name; all that may be used elsewhere come first in their order
	providers    []*pinModelBlock
	pack         *pinModelBlock
	files        map[string]string
}

type pinModelBlock struct {
	head   []string // type and labels
	args   map[string]*pinNode
	blocks []*pinModelBlock
}

func (b *pinModelBlock) all() []*pinNode {
	var out []*pinNode
	for _, name := range sortedKeys(b.args) {
		out = append(out, b.args[name])
	}
	for _, inner := range b.blocks {
		out = append(out, inner.all()...)
	}
	return out
}

func drawModel(t *rapid.T) *pinModel {
	m := &pinModel{vars: map[string]*pinNode{}, locals: map[string]*pinNode{}, files: map[string]string{"one.txt": "1", "two.txt": "2"}}
	var refs []string
	for i := range rapid.IntRange(0, 2).Draw(t, "variables") {
		name := fmt.Sprintf("v%d", i)
		m.vars[name] = &pinNode{kind: "text", text: rapid.SampledFrom([]string{"a", "b"}).Draw(t, "default")}
		refs = append(refs, "var."+name)
	}
	for i := range rapid.IntRange(0, 3).Draw(t, "locals") {
		name := fmt.Sprintf("l%d", i)
		m.locals[name] = drawNode(t, 2, slices.Clone(refs))
		refs = append(refs, "local."+name)
	}
	for i := range rapid.IntRange(1, 3).Draw(t, "providers") {
		p := &pinModelBlock{head: []string{"provider", "network"}, args: map[string]*pinNode{}}
		if i > 0 {
			p.args["alias"] = &pinNode{kind: "text", text: fmt.Sprintf("n%d", i)}
		}
		for range rapid.IntRange(0, 4).Draw(t, "arguments") {
			name := rapid.SampledFrom([]string{"address", "mount", "list", "tags"}).Draw(t, "name")
			p.args[name] = drawNode(t, 2, refs)
			if name == "list" || name == "tags" {
				p.args[name] = &pinNode{kind: map[string]string{"list": "list", "tags": "object"}[name], kids: []*pinNode{p.args[name], drawNode(t, 1, refs)}}
			}
		}
		if rapid.Bool().Draw(t, "auth") {
			p.blocks = append(p.blocks, &pinModelBlock{head: []string{"auth", "approle"}, args: map[string]*pinNode{
				"secret_id": {kind: "env", text: "SID"}, "max": {kind: "number", text: "3"}, "on": {kind: "bool", text: "true"},
			}})
		}
		m.providers = append(m.providers, p)
	}
	m.pack = &pinModelBlock{head: []string{"policy_pack"}, blocks: []*pinModelBlock{
		{head: []string{"rule", "production_protected"}, args: map[string]*pinNode{"level": {kind: "text", text: "warn"}}},
		{head: []string{"rule", "max_age"}, args: map[string]*pinNode{"level": {kind: "text", text: "fail"}, "age": {kind: "text", text: "90d"}}},
	}}
	return m
}

// used are the names of the locals and variables that pinned blocks are made of.
func (m *pinModel) used() map[string]bool {
	used := map[string]bool{}
	var follow func(refs []string)
	follow = func(refs []string) {
		for _, r := range refs {
			if used[r] {
				continue
			}
			used[r] = true
			if name, ok := strings.CutPrefix(r, "local."); ok {
				follow(m.locals[name].refs())
			}
		}
	}
	for _, p := range m.providers {
		for _, n := range p.all() {
			follow(n.refs())
		}
	}
	return used
}

// change makes one small change, of what is pinned or of what is not. It returns
// whether that is to be seen.
func (m *pinModel) change(t *rapid.T) bool {
	used := m.used()
	type target struct {
		n    *pinNode
		seen bool
	}
	var targets []target
	for _, name := range sortedKeys(m.vars) {
		targets = append(targets, target{m.vars[name], used["var."+name]})
	}
	for _, name := range sortedKeys(m.locals) {
		for _, l := range m.locals[name].leaves() {
			targets = append(targets, target{l, used["local."+name]})
		}
	}
	for _, p := range m.providers {
		for _, n := range p.all() {
			for _, l := range n.leaves() {
				targets = append(targets, target{l, true})
			}
		}
	}
	rule := m.pack.blocks[0].args["level"]
	targets = append(targets, target{rule, true})
	chosen := targets[rapid.IntRange(0, len(targets)-1).Draw(t, "changed")]
	switch n := chosen.n; {
	case n == rule:
		n.text = "off"
	case n.kind == "text":
		n.text += "x"
	case n.kind == "number":
		n.text = "4"
	case n.kind == "bool":
		n.text = "false"
	case n.kind == "env":
		n.text = "OTHER"
	default: // a file or a reference
		*n = pinNode{kind: "text", text: "other"}
	}
	return chosen.seen
}

func (m *pinModel) clone() *pinModel {
	out := &pinModel{vars: map[string]*pinNode{}, locals: map[string]*pinNode{}, files: m.files, pack: m.pack.clone()}
	for name, n := range m.vars {
		out.vars[name] = n.clone()
	}
	for name, n := range m.locals {
		out.locals[name] = n.clone()
	}
	for _, p := range m.providers {
		out.providers = append(out.providers, p.clone())
	}
	return out
}

func (b *pinModelBlock) clone() *pinModelBlock {
	out := &pinModelBlock{head: b.head, args: map[string]*pinNode{}}
	for name, n := range b.args {
		out.args[name] = n.clone()
	}
	for _, inner := range b.blocks {
		out.blocks = append(out.blocks, inner.clone())
	}
	return out
}

// pinLayout writes a pinModel in a form that it draws.
type pinLayout struct{ t *rapid.T }

func (l pinLayout) flip(label string) bool { return rapid.Bool().Draw(l.t, label) }

func (l pinLayout) expression(n *pinNode) string {
	text := l.bare(n)
	if n.kind != "env" && l.flip("parentheses") {
		return "( " + text + ")"
	}
	return text
}

func (l pinLayout) bare(n *pinNode) string {
	var kids []string
	for _, k := range n.kids {
		kids = append(kids, l.expression(k))
	}
	comma := ", "
	if l.flip("lines") {
		comma = ",\n      "
	}
	switch n.kind {
	case "number", "bool", "ref":
		return n.text
	case "env":
		return "from_env(" + quoted(n.text) + ")"
	case "file":
		return "file(" + quoted(n.text) + ")"
	case "call":
		return "lower( " + kids[0] + " )"
	case "if":
		return n.text + " ? " + kids[0] + ":" + kids[1]
	case "join":
		out := `"`
		for _, k := range n.kids {
			if k.kind == "text" {
				out += escaped(k.text) + "-"
				continue
			}
			out += "-${" + l.expression(k) + "}"
		}
		return out + `"`
	case "list":
		if l.flip("trailing") {
			return "[ " + strings.Join(kids, comma) + ",\n]"
		}
		return "[" + strings.Join(kids, comma) + "]"
	case "object":
		pairs := []string{"a = " + kids[0], `"b" : ` + kids[1]}
		if l.flip("order") {
			slices.Reverse(pairs)
		}
		return "{\n" + strings.Join(pairs, comma) + "\n}"
	}
	return quoted(n.text)
}

// value writes what stands behind the equals sign.
func (l pinLayout) value(n *pinNode) string {
	if n.kind == "text" && strings.HasSuffix(n.text, "\n") && l.flip("heredoc") {
		return "<<X\n" + n.text + "X\n"
	}
	return l.expression(n)
}

func (l pinLayout) block(b *pinModelBlock) string {
	var parts []string
	for _, name := range sortedKeys(b.args) {
		text := name + " = " + l.value(b.args[name])
		if l.flip("comment") && !strings.HasSuffix(text, "X\n") {
			text += " # " + name
		}
		parts = append(parts, text)
	}
	if l.flip("order") {
		slices.Reverse(parts)
	}
	var blocks []string
	for _, inner := range b.blocks {
		blocks = append(blocks, l.block(inner))
	}
	if b.head[0] == "policy_pack" && l.flip("order") {
		slices.Reverse(blocks)
	}
	head := b.head[0]
	for _, label := range b.head[1:] {
		if l.flip("quotes") {
			label = quoted(label)
		}
		head += " " + label
	}
	return head + " {\n" + strings.Join(append(blocks, parts...), "\n") + "\n}\n"
}

// write puts a pinModel into the files of a folder.
func (l pinLayout) write(dir string, m *pinModel) error {
	blocks := []string{"coffer {\nproject = \"p-1\"\n" + l.block(m.pack) + "}\n", "environment \"dev\" {\nstore = network\n}\n"}
	for _, name := range sortedKeys(m.vars) {
		blocks = append(blocks, "variable "+quoted(name)+" {\ndefault = "+quoted(m.vars[name].text)+"\n}\n")
	}
	for _, name := range sortedKeys(m.locals) {
		blocks = append(blocks, "locals {\n"+name+" = "+l.value(m.locals[name])+"\n}\n")
	}
	for _, p := range m.providers {
		blocks = append(blocks, l.block(p))
	}
	slices.Sort(blocks)
	if l.flip("order") {
		slices.Reverse(blocks)
	}
	files := map[string]string{}
	for _, b := range blocks {
		files[rapid.SampledFrom([]string{"a.hcl", "b.hcl"}).Draw(l.t, "file")] += "\n# " + fmt.Sprint(len(b)) + "\n" + b
	}
	for name, text := range m.files {
		files[name] = text
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// Whatever a configuration is: in another form it is the same, and a change of
// what decides where things go is seen, of anything else not.
func TestPinSeesMeaningAlone(t *testing.T) {
	root := t.TempDir()
	n, seen, unseen := 0, 0, 0
	proptest.Check(t, func(t *rapid.T) {
		n++
		base, same, other := filepath.Join(root, fmt.Sprint(n), "a"), filepath.Join(root, fmt.Sprint(n), "b"), filepath.Join(root, fmt.Sprint(n), "c")
		m := drawModel(t)
		changed := m.clone()
		pinned := changed.change(t)
		for i, dir := range []string{base, same, other} {
			if err := (pinLayout{t}).write(dir, []*pinModel{m, m, changed}[i]); err != nil {
				t.Fatal(err)
			}
		}
		trusted, diags := LoadPinned(base, pinOptions())
		if diags.HasErrors() {
			t.Fatalf("the trusted copy: %s", printDiags(diags, base))
		}
		for _, dir := range []string{same, other} {
			want := dir == other && pinned
			cfg, diags := Load(dir, pinOptions())
			if diags.HasErrors() {
				if dir == other {
					return // a change that nobody may write
				}
				t.Fatalf("the proposed one: %s", printDiags(diags, dir))
			}
			diags = ComparePinned(Loaded{base, trusted}, Loaded{dir, cfg})
			if (len(diags) > 0) != want {
				t.Fatalf("a difference: %v, want %v\n%s", len(diags) > 0, want, printDiags(diags, dir))
			}
			if was, is := comesTo(trusted), comesTo(cfg); !want && was != is {
				t.Fatalf("what differs was not seen:\n%s\n%s", was, is)
			}
		}
		if pinned {
			seen++
		} else {
			unseen++
		}
		_ = os.RemoveAll(filepath.Dir(base))
	})
	if seen < 20 || unseen < 3 {
		t.Errorf("only %d changes to be seen, %d not", seen, unseen)
	}
}

// comesTo is what the pinned blocks of a configuration come to, line by line and
// in no order.
func comesTo(cfg *Config) string {
	text := dump(&Config{Settings: cfg.Settings, Providers: cfg.Providers}, false)
	return strings.Join(slices.Sorted(strings.Lines(text)), "")
}

// FuzzPinned: a configuration has no difference from its own canonical form, and
// comparing it with anything ends.
func FuzzPinned(f *testing.F) {
	for _, archive := range archives(f) {
		f.Add(allText(archive), "provider \"sops\" {}\n")
	}
	f.Fuzz(func(t *testing.T, src, other string) {
		load := func(name, text string) Loaded {
			dir := filepath.Join(t.TempDir(), name)
			write(t, dir, "coffer.hcl", text)
			cfg, diags := LoadPinned(dir, Options{ProviderTypes: []string{"sops", "network"}, BackendTypes: []string{"s3"}, Version: "0.2.0"})
			if diags.HasErrors() {
				return Loaded{}
			}
			return Loaded{dir, cfg}
		}
		a := load("a", src)
		if a.Config == nil {
			return
		}
		if b := load("b", string(Format([]byte(src)))); b.Config != nil {
			if diags := ComparePinned(a, b); len(diags) > 0 {
				t.Errorf("formatted, it differs:\n%s", printDiags(diags, b.Dir))
			}
		}
		if b := load("c", other); b.Config != nil {
			there, back := ComparePinned(a, b), ComparePinned(b, a)
			if (len(there) == 0) != (len(back) == 0) {
				t.Errorf("differs in one direction only:\n%s\n%s", printDiags(there, b.Dir), printDiags(back, a.Dir))
			}
		}
	})
}
