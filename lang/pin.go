package lang

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
)

// Loaded is a configuration and the folder that it was read from.
type Loaded struct {
	Dir    string
	Config *Config
}

// PinDifference is the Extra of a diagnostic of [ComparePinned]: what differs
// from the trusted copy.
type PinDifference struct {
	// Block names it for people: "provider vault.eu", "policy_pack", "local.address".
	Block string
	// Trusted and Proposed are its canonical text, "" where it does not exist.
	// They hold no value and no credential.
	Trusted, Proposed string
}

// LoadPinned reads of the configuration in dir what [ComparePinned] compares: the
// coffer block, the providers, and the variables and locals that these are made
// of. Nothing else has to be right. The Config is good for nothing but that.
//
// Variables that are given and that no block declares are left alone: they may be
// new where this is compared with. The rest is as in [Load].
func LoadPinned(dir string, o Options) (*Config, hcl.Diagnostics) {
	l := newLoader(dir, o)
	l.pinned = true
	if !l.read() {
		return nil, l.diags.sorted()
	}
	if diag := within(o.Deadline, memoryLimit(l.size), l.loadPinned); diag != nil {
		return nil, hcl.Diagnostics{diag}
	}
	for name, file := range l.cfg.Files {
		l.cfg.Files[name] = &hcl.File{Bytes: file.Bytes}
	}
	return l.cfg, l.diags.sorted()
}

func (l *loader) loadPinned() {
	defer func() { _ = l.root.Close() }() // nothing reads files later
	l.parse()
	if l.diags.hasErrors() {
		return
	}
	l.sortBlocks()
	if !l.checkVersion() {
		return
	}
	l.loadSettings()
	l.functions = functions(l.root)
	l.words = l.vocabulary()
	l.loadVariables()
	l.loadLocals()
	l.loadProviders()
	l.loadStateKeeping()
}

// ComparePinned returns one error for each block of proposed that decides where
// credentials or values go, or which rules judge, and that is not the one of
// trusted: another text, another value that it comes to, one more or one less.
// How it is formatted, in which file and in which order it stands, and what the
// comments say, is no difference. Both configurations have been loaded without
// an error.
//
// Compared are the coffer block with all in it, the providers, the variables and
// locals that these use, and the files below the folder that they name. A
// credential is compared by where it comes from; it is not read.
func ComparePinned(trusted, proposed Loaded) hcl.Diagnostics {
	before, now := collectPins(trusted.Config), collectPins(proposed.Config)
	var out hcl.Diagnostics
	for _, key := range sortedKeys(before.units) {
		was, is := before.units[key], now.units[key]
		switch {
		case is == nil:
			out = append(out, pinMissing(was))
		case !slices.EqualFunc(was.lines, is.lines, pinLine.same):
			out = append(out, pinChanged(was, is))
		}
	}
	for _, key := range sortedKeys(now.units) {
		if before.units[key] == nil {
			out = append(out, pinAdded(now.units[key]))
		}
	}
	for _, name := range sortedKeys(before.uses) {
		was, is := before.uses[name], now.uses[name]
		if is != nil && !slices.EqualFunc(was.lines, is.lines, pinLine.same) {
			out = append(out, pinChanged(was, is))
		}
	}
	out = append(out, compareFiles(trusted, proposed, before, now)...)
	slices.SortStableFunc(out, func(a, b *hcl.Diagnostic) int {
		x, y := subjectOf(a), subjectOf(b)
		return cmp.Or(strings.Compare(x.Filename, y.Filename), cmp.Compare(x.Start.Byte, y.Start.Byte))
	})
	return out[:min(len(out), maxFindings)]
}

// What a block decides, for the sentence that says why it is pinned.
const (
	decidesProject = "It decides which project and which state this is"
	decidesRules   = "It holds the rules that every plan is held to"
	decidesWhere   = "It decides where credentials and values go"
	decidesReads   = "It decides who can read the files of a store"
	decidesMade    = "What decides where credentials and values go is made of it"
)

const pinnedAdvice = "so nothing is planned against it. Take the change out, or have it merged on its own, by people who may say where credentials go."

func pinChanged(was, is *pinUnit) *hcl.Diagnostic {
	d := diffPins(was, is)
	at := is.at
	if d.at != nil {
		at = *d.at
	}
	about := "it differs"
	if len(d.names) > 0 {
		about = wordList(d.names) + " " + map[bool]string{true: "differs", false: "differ"}[len(d.names) == 1]
	}
	diag := errorAt(at, "Another "+is.name+" than the trusted copy has",
		"%s is not the one at %s of the trusted copy: %s. %s, %s\n\n%s", is.name, place(was.at), about, is.decides, pinnedAdvice, d.text)
	diag.Extra = PinDifference{is.name, was.text(), is.text()}
	return diag
}

func pinAdded(is *pinUnit) *hcl.Diagnostic {
	diag := errorAt(is.at, "A "+is.name+" that the trusted copy does not have", "%s, %s\n\n%s", is.decides, pinnedAdvice, diffPins(&pinUnit{}, is).text)
	diag.Extra = PinDifference{Block: is.name, Proposed: is.text()}
	return diag
}

// pinMissing has no place: what is gone stands nowhere.
func pinMissing(was *pinUnit) *hcl.Diagnostic {
	diag := unplaced("No "+was.name+", which the trusted copy has", "It stands there at %s. %s, %s\n\n%s",
		place(was.at), was.decides, pinnedAdvice, diffPins(was, &pinUnit{}).text)
	diag.Extra = PinDifference{Block: was.name, Trusted: was.text()}
	return diag
}

// PinnedLine is a line of a file that is compared by its lines, in canonical form.
type PinnedLine struct {
	Text string
	Line int
}

// ComparePinnedLines returns how a file beside the configuration differs from that
// of the trusted copy, nil where it does not. No lines at all are no file.
func ComparePinnedLines(file string, trusted, proposed []PinnedLine) *hcl.Diagnostic {
	unit := func(list []PinnedLine) *pinUnit {
		u := &pinUnit{name: file, decides: decidesReads, at: hcl.Range{Filename: file, Start: hcl.Pos{Line: 1, Byte: -1}, End: hcl.Pos{Line: 1, Byte: -1}}}
		for _, l := range list {
			at := u.at
			at.Start.Line, at.End.Line = l.Line, l.Line
			u.lines = append(u.lines, pinLine{text: l.Text, at: at})
		}
		return u
	}
	was, is := unit(trusted), unit(proposed)
	switch {
	case slices.EqualFunc(was.lines, is.lines, pinLine.same):
		return nil
	case len(is.lines) == 0:
		return pinMissing(was)
	case len(was.lines) == 0:
		return pinAdded(is)
	}
	return pinChanged(was, is)
}

// pins are what is compared of one configuration.
type pins struct {
	units map[string]*pinUnit // pinned blocks, by name
	uses  map[string]*pinUnit // "local.x" and "var.x" that these use
	// named are the texts of the evaluated arguments, each with its unit.
	named map[string]*pinUnit
}

// pinUnit is one block, or what one is made of, in canonical form.
type pinUnit struct {
	name, decides string
	at            hcl.Range
	lines         []pinLine
}

func (u *pinUnit) text() string {
	var b strings.Builder
	for _, l := range u.lines {
		b.WriteString(l.shown(false) + "\n")
	}
	return b.String()
}

// pinLine is one argument, or the head or end of a block.
type pinLine struct {
	indent int
	text   string // as it is written, in canonical form
	value  string // what it comes to, "" where that is what is written
	name   string // of the argument, with the blocks it stands in; "" for other lines
	at     hcl.Range
}

func (l pinLine) same(o pinLine) bool {
	return l.indent == o.indent && l.text == o.text && l.value == o.value && l.name == o.name
}

func (l pinLine) shown(value bool) string {
	text := strings.Repeat("  ", l.indent) + l.text
	if value && l.value != "" {
		text += " # = " + l.value
	}
	return text
}

// pinCollector is one run of [collectPins].
type pinCollector struct {
	pins
	files     map[string]*hcl.File
	locals    map[string]*hclsyntax.Attribute
	variables map[string]*hclsyntax.Block
}

func collectPins(cfg *Config) *pins {
	c := &pinCollector{
		pins:   pins{units: map[string]*pinUnit{}, uses: map[string]*pinUnit{}, named: map[string]*pinUnit{}},
		files:  map[string]*hcl.File{},
		locals: map[string]*hclsyntax.Attribute{}, variables: map[string]*hclsyntax.Block{},
	}
	var pinned hclsyntax.Blocks
	for _, name := range sortedKeys(cfg.Files) {
		file, _ := parseSource(name, cfg.Files[name].Bytes) // it was read before
		c.files[name] = file
		for _, block := range file.Body.(*hclsyntax.Body).Blocks {
			switch block.Type {
			case "coffer", "provider":
				pinned = append(pinned, block)
			case "variable":
				c.variables[strings.Join(block.Labels, " ")] = block
			case "locals":
				for name, attr := range block.Body.Attributes {
					c.locals[name] = attr
				}
			}
		}
	}
	providers := map[hcl.Range]*Provider{}
	for _, p := range cfg.Providers {
		providers[p.Range] = p
	}
	for _, block := range pinned {
		if p := providers[block.DefRange()]; p != nil {
			c.provider(block, p)
		} else if block.Type == "coffer" {
			c.settings(block, cfg.Settings)
		}
	}
	return &c.pins
}

func (c *pinCollector) provider(block *hclsyntax.Block, p *Provider) {
	u := &pinUnit{name: "provider " + p.Ref(), decides: decidesWhere, at: p.Range}
	c.units[u.name] = u
	c.block(u, block, &p.body, "", 0)
}

// settings takes the coffer block apart: the rules are a thing of their own.
func (c *pinCollector) settings(block *hclsyntax.Block, s Settings) {
	u := &pinUnit{name: "coffer block", decides: decidesProject, at: s.Range}
	c.units[u.name] = u
	u.head(block, 0)
	c.arguments(u, block.Body, nil, "", 1)
	encryptions := 0
	for _, inner := range pinOrder(block.Body.Blocks) {
		switch inner.Type {
		case "policy_pack":
			pack := &pinUnit{name: "policy_pack", decides: decidesRules, at: inner.DefRange()}
			c.units[pack.name] = pack
			c.block(pack, inner, nil, "", 0)
		case "backend":
			var body *providerBody
			if s.Backend != nil {
				body = &s.Backend.body
			}
			c.block(u, inner, body, pathTo("", inner), 1)
		case "encryption":
			var body *providerBody
			if encryptions < len(s.Encryption) {
				e := s.Encryption[encryptions]
				body = &providerBody{arguments: append(slices.Clip(e.body.arguments),
					argument{name: "fallback", value: e.Fallback}, argument{name: "provider", value: providerWord(e.Provider)}), blocks: e.body.blocks}
			}
			encryptions++
			c.block(u, inner, body, pathTo("", inner), 1)
		default:
			c.block(u, inner, nil, pathTo("", inner), 1)
		}
	}
	u.end(block, 0)
}

// providerWord is a reference as a value: it stands without quotes.
type providerWord string

// pinOrder puts the blocks of a body in an order that does not depend on where
// they stand, as far as theirs means nothing: those of one type follow one
// another as they are written.
func pinOrder(blocks hclsyntax.Blocks) hclsyntax.Blocks {
	out := slices.Clone(blocks)
	slices.SortStableFunc(out, func(a, b *hclsyntax.Block) int {
		if a.Type == "rule" && b.Type == "rule" { // each has a name of its own
			return slices.Compare(a.Labels, b.Labels)
		}
		return strings.Compare(a.Type, b.Type)
	})
	return out
}

func (u *pinUnit) head(block *hclsyntax.Block, indent int) {
	text := block.Type
	for _, label := range block.Labels {
		text += " " + quoted(label)
	}
	u.lines = append(u.lines, pinLine{indent: indent, text: text + " {", at: block.DefRange()})
}

func (u *pinUnit) end(block *hclsyntax.Block, indent int) {
	u.lines = append(u.lines, pinLine{indent: indent, text: "}", at: block.CloseBraceRange})
}

// pathTo is what stands before the names of the arguments of a block.
func pathTo(path string, block *hclsyntax.Block) string {
	return path + strings.Join(append([]string{block.Type}, block.Labels...), " ") + " "
}

// block adds a block with what its arguments come to, nil where all of it is
// plain text.
func (c *pinCollector) block(u *pinUnit, block *hclsyntax.Block, body *providerBody, path string, indent int) {
	u.head(block, indent)
	c.arguments(u, block.Body, body, path, indent+1)
	values := map[*hclsyntax.Block]*providerBody{}
	if body != nil {
		for i := range min(len(body.blocks), len(block.Body.Blocks)) {
			values[block.Body.Blocks[i]] = &body.blocks[i].body
		}
	}
	for _, inner := range pinOrder(block.Body.Blocks) {
		c.block(u, inner, values[inner], pathTo(path, inner), indent+1)
	}
	u.end(block, indent)
}

func (c *pinCollector) arguments(u *pinUnit, in *hclsyntax.Body, body *providerBody, path string, indent int) {
	values := map[string]string{}
	if body != nil {
		for _, arg := range body.arguments {
			values[arg.name] = arg.pinned()
			c.name(u, arg.value)
		}
	}
	for _, name := range sortedKeys(in.Attributes) {
		attr := in.Attributes[name]
		text := c.expression(attr.Expr)
		line := pinLine{indent: indent, text: name + " = " + text, name: path + name, at: attr.SrcRange}
		if value, ok := values[name]; ok && value != text {
			line.value = value
		}
		u.lines = append(u.lines, line)
		c.use(attr.Expr)
	}
}

// pinned is what an argument comes to: the source of a credential, never the
// credential.
func (a argument) pinned() string {
	if a.source != nil {
		return a.source.Text()
	}
	return pinnedData(a.value)
}

// use adds the locals and variables that an expression names, and those that
// these name.
func (c *pinCollector) use(expr hclsyntax.Expression) {
	for _, t := range hclsyntax.Variables(expr) {
		name, ok := member(t)
		switch root := t.RootName(); {
		case root != "local" && root != "var":
		case !ok: // all of them
			for _, name := range sortedKeys(c.locals) {
				if root == "local" {
					c.local(name)
				}
			}
			for _, name := range sortedKeys(c.variables) {
				if root == "var" {
					c.variable(name)
				}
			}
		case root == "local":
			c.local(name)
		default:
			c.variable(name)
		}
	}
}

func (c *pinCollector) local(name string) {
	attr, key := c.locals[name], "local."+name
	if attr == nil || c.uses[key] != nil {
		return
	}
	c.uses[key] = &pinUnit{name: key, decides: decidesMade, at: attr.SrcRange, lines: []pinLine{
		{text: name + " = " + c.expression(attr.Expr), name: key, at: attr.SrcRange},
	}}
	c.use(attr.Expr)
}

// variable adds what a variable is without being set. Its description and what
// it is validated by lead nothing anywhere else.
func (c *pinCollector) variable(name string) {
	block, key := c.variables[name], "var."+name
	if block == nil || c.uses[key] != nil {
		return
	}
	u := &pinUnit{name: key, decides: decidesMade, at: block.DefRange()}
	c.uses[key] = u
	u.head(block, 0)
	for _, name := range []string{"default", "type"} {
		if attr := block.Body.Attributes[name]; attr != nil {
			u.lines = append(u.lines, pinLine{indent: 1, text: name + " = " + c.expression(attr.Expr), name: name, at: attr.SrcRange})
		}
	}
	u.end(block, 0)
}

// name adds the texts of a value, each of which may be the name of a file.
func (c *pinCollector) name(u *pinUnit, value any) {
	switch v := value.(type) {
	case string:
		if c.named[v] == nil {
			c.named[v] = u
		}
	case []any:
		for _, element := range v {
			c.name(u, element)
		}
	case map[string]any:
		for _, element := range v {
			c.name(u, element)
		}
	}
}

// pinnedData writes plain data as HCL has it.
func pinnedData(value any) string {
	switch v := value.(type) {
	case nil:
		return "null"
	case string:
		return quoted(v)
	case providerWord:
		return string(v)
	case []any:
		list := make([]string, len(v))
		for i, element := range v {
			list[i] = pinnedData(element)
		}
		return "[" + strings.Join(list, ", ") + "]"
	case map[string]any:
		var list []string
		for _, key := range sortedKeys(v) {
			list = append(list, quoted(key)+" = "+pinnedData(v[key]))
		}
		return "{ " + strings.Join(list, ", ") + " }"
	}
	return fmt.Sprint(value)
}
