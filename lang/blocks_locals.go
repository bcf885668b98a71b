package lang

import (
	"fmt"
	"slices"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
)

// localValues evaluates locals in order of reference.
type localValues struct {
	l      *loader
	attrs  map[string]*hclsyntax.Attribute
	values map[string]cty.Value
	path   []string // those being evaluated, outermost first
	open   map[string]bool
}

// loadLocals adds local to l.base.
func (l *loader) loadLocals() {
	v := &localValues{l: l, attrs: map[string]*hclsyntax.Attribute{}, values: map[string]cty.Value{}, open: map[string]bool{}}
	for _, block := range l.blocks["locals"] {
		l.labels(block)
		for _, inner := range block.Body.Blocks {
			l.diags.add(errorAt(inner.DefRange(), "Block among local values", "locals holds lines of the form name = value. For an object write %s = { … }.", inner.Type))
		}
		for _, attr := range sortedAttributes(block.Body) {
			if !l.checkName(attr.Name, attr.NameRange) {
				continue
			}
			if first := v.attrs[attr.Name]; first != nil {
				l.twice(fmt.Sprintf("Local value %q", attr.Name), first.NameRange, attr.NameRange)
				continue
			}
			v.attrs[attr.Name] = attr
		}
	}
	l.locals = sortedKeys(v.attrs)
	for _, name := range l.locals {
		v.value(name)
	}
	l.base = &hcl.EvalContext{
		Variables: map[string]cty.Value{"var": l.base.Variables["var"], "local": cty.ObjectVal(v.values)},
		Functions: l.functions,
	}
}

func (v *localValues) value(name string) cty.Value {
	if value, done := v.values[name]; done {
		return value
	}
	v.open[name] = true
	v.path = append(v.path, name)
	value, ok := v.evaluate(v.attrs[name])
	v.path = v.path[:len(v.path)-1]
	delete(v.open, name)
	if !ok {
		v.l.poisoned = true
		value = cty.DynamicVal
	}
	v.values[name] = value
	return value
}

// evaluate gives an expression only the locals it names: a whole object of
// them for each would take quadratic time.
func (v *localValues) evaluate(attr *hclsyntax.Attribute) (cty.Value, bool) {
	s := v.l.global()
	if !s.lint(attr.Expr, usage{what: "a local value"}) {
		return cty.DynamicVal, false
	}
	needs := map[string]cty.Value{}
	for _, t := range hclsyntax.Variables(attr.Expr) {
		if t.RootName() != "local" {
			continue
		}
		name, ok := member(t)
		if !ok {
			v.l.diags.add(errorAt(t.SourceRange(), "All local values at once", "A local value can use another one by name, local.NAME, not all of them."))
			return cty.DynamicVal, false
		}
		if v.open[name] {
			v.cycle(name, t.SourceRange())
			return cty.DynamicVal, false
		}
		needs[name] = v.value(name)
	}
	s.ctx = s.l.base.NewChild()
	s.ctx.Variables = map[string]cty.Value{"local": cty.ObjectVal(needs)}
	return s.evalLinted(attr.Expr)
}

func (v *localValues) cycle(name string, at hcl.Range) {
	var names []string
	for _, open := range v.path[slices.Index(v.path, name):] {
		names = append(names, "local."+open)
	}
	v.l.diags.add(errorAt(at, "Local values in a circle", "%s. One of them must not refer to the next.", chain(names)))
}
