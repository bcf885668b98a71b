package lang

import (
	"fmt"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
)

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
