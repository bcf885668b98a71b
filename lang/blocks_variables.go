package lang

import (
	"fmt"
	"io"
	"os"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/ext/typeexpr"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"
)

// variable is one variable block, decoded but without its value.
type variable struct {
	name        string
	block       *hclsyntax.Block
	typ         cty.Type
	defaults    *typeexpr.Defaults
	fallback    *hclsyntax.Attribute // default, nil where a value is required
	validations []body
}

// given is a value from outside, with where it came from.
type given struct {
	text string         // of -var and COFFER_VAR_
	expr hcl.Expression // of a file, else nil
	from string
}

// loadVariables makes l.base with var in it.
func (l *loader) loadVariables() {
	declared := map[string]*variable{}
	for _, block := range l.blocks["variable"] {
		name, ok := l.name(block)
		if !ok {
			continue
		}
		if first := declared[name]; first != nil {
			l.twice(fmt.Sprintf("Variable %q", name), first.block.DefRange(), block.DefRange())
			continue
		}
		declared[name] = l.declareVariable(name, block)
	}
	l.vars = sortedKeys(declared)
	values := l.givenValues(declared)
	vars := map[string]cty.Value{}
	for _, name := range l.vars {
		value, ok := l.variableValue(declared[name], values)
		if !ok {
			l.poisoned = true
			value = cty.DynamicVal
		}
		vars[name] = value
	}
	l.base = &hcl.EvalContext{
		Variables: map[string]cty.Value{"var": cty.ObjectVal(vars), "local": cty.EmptyObjectVal},
		Functions: l.functions,
	}
	for _, name := range l.vars {
		for _, b := range declared[name].validations {
			l.validate(declared[name], b)
		}
	}
}

func (l *loader) declareVariable(name string, block *hclsyntax.Block) *variable {
	b := l.content(block.Body, schema{
		what:      "variable",
		arguments: []string{"type", "default", "description"},
		blocks:    []string{"validation"},
		repeat:    []string{"validation"},
	})
	v := &variable{name: name, block: block, typ: cty.DynamicPseudoType, fallback: b.arguments["default"]}
	if attr := b.arguments["type"]; attr != nil {
		typ, defaults, diags := typeexpr.TypeConstraintWithDefaults(attr.Expr)
		for _, d := range diags {
			d.Detail += " Types are string, number, bool, list(string), map(string), object({ … }), and any."
			l.diags.add(d)
		}
		if !diags.HasErrors() {
			v.typ, v.defaults = typ, defaults
		}
	}
	if attr := b.arguments["description"]; attr != nil {
		l.literalText(attr)
	}
	for _, validation := range b.blocks {
		l.labels(validation)
		vb := l.content(validation.Body, schema{what: "validation", arguments: []string{"condition", "error_message"}})
		if vb.arguments["condition"] == nil || vb.arguments["error_message"] == nil {
			l.diags.add(missing(validation, "condition and error_message", `condition = … and error_message = "…"`))
			continue
		}
		v.validations = append(v.validations, vb)
	}
	return v
}

// givenValues merges what was given from outside; later sources win.
func (l *loader) givenValues(declared map[string]*variable) map[string]given {
	values := map[string]given{}
	for _, name := range sortedKeys(l.opts.Environ) {
		if declared[name] != nil {
			values[name] = given{text: l.opts.Environ[name], from: "COFFER_VAR_" + name}
		}
	}
	for _, path := range l.opts.VarFiles {
		l.readVarFile(path, declared, values)
	}
	for _, name := range sortedKeys(l.opts.Vars) {
		if declared[name] == nil && l.pinned {
			continue
		}
		if declared[name] == nil {
			l.diags.add(unplaced("Unknown variable", "-var %s=… sets a variable that no block declares.%s Declare it: variable %q { … }.", name, didYouMean(name, l.vars), name))
			continue
		}
		values[name] = given{text: l.opts.Vars[name], from: "-var " + name}
	}
	return values
}

func (l *loader) readVarFile(path string, declared map[string]*variable, values map[string]given) {
	src, err := readLimited(path)
	if err != nil {
		l.diags.add(unplaced("Variable file cannot be read", "-var-file %s: %s.", path, cause(err)))
		return
	}
	file, diags := parseSource(path, src)
	l.cfg.Files[path] = file
	l.diags.add(diags...)
	body := file.Body.(*hclsyntax.Body)
	for _, block := range body.Blocks {
		l.diags.add(errorAt(block.DefRange(), "Block in a file of variables", "A file of variables holds only lines of the form name = value. Blocks belong into the configuration."))
	}
	for _, attr := range sortedAttributes(body) {
		if declared[attr.Name] == nil && l.pinned {
			continue
		}
		if declared[attr.Name] == nil {
			l.diags.add(errorAt(attr.NameRange, "Unknown variable", "No block declares the variable %q.%s Declare it: variable %q { … }.", attr.Name, didYouMean(attr.Name, l.vars), attr.Name))
			continue
		}
		values[attr.Name] = given{expr: attr.Expr, from: path}
	}
}

func readLimited(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, maxFileBytes+1))
}

// variableValue finds, converts and checks the value of one variable.
func (l *loader) variableValue(v *variable, values map[string]given) (cty.Value, bool) {
	value, at, from := cty.NilVal, v.block.DefRange(), ""
	if g, ok := values[v.name]; ok {
		from = " It comes from " + g.from + "."
		if value, ok = l.outsideValue(v, g); !ok {
			return value, false
		}
		if g.expr != nil {
			at = g.expr.Range()
		}
	} else if v.fallback != nil {
		at = v.fallback.Expr.Range()
		var diags hcl.Diagnostics
		if value, diags = v.fallback.Expr.Value(nil); diags.HasErrors() {
			l.diags.add(errorAt(at, "Not a plain value", "The default of a variable is a plain value, without variables and functions. What is computed belongs into locals { … }."))
			return value, false
		}
	} else {
		l.diags.add(errorAt(at, "Variable without a value", "Set it with -var %s=…, in a file given with -var-file or as COFFER_VAR_%s, or write a default.", v.name, v.name))
		return value, false
	}
	if v.defaults != nil && !value.IsNull() {
		value = v.defaults.Apply(value)
	}
	out, err := convert.Convert(value, v.typ)
	if err != nil {
		l.diags.add(errorAt(at, "Wrong type", "Variable %q must be %s: %s.%s", v.name, typeexpr.TypeString(v.typ), err, from))
		return value, false
	}
	if problem := checkValue(out); problem != "" {
		l.diags.add(errorAt(at, "Value cannot be used", "Variable %q cannot be used: %s.%s", v.name, problem, from))
		return value, false
	}
	return out, true
}

// outsideValue reads text or an expression from outside the configuration.
// Text is taken as it is for a variable that is text or says nothing, and else
// read as an HCL literal.
func (l *loader) outsideValue(v *variable, g given) (cty.Value, bool) {
	expr := g.expr
	if expr == nil {
		if v.typ == cty.String || v.typ == cty.DynamicPseudoType {
			return cty.StringVal(g.text), true
		}
		if diags := guard(g.from, []byte(g.text)); diags.HasErrors() {
			l.diags.add(unplaced("Value cannot be read", "%s: %s", g.from, diags[0].Detail))
			return cty.DynamicVal, false
		}
		parsed, diags := hclsyntax.ParseExpression([]byte(g.text), g.from, hcl.InitialPos)
		if diags.HasErrors() {
			l.diags.add(unplaced("Value cannot be read", "%s is not %s in HCL: %s", g.from, typeexpr.TypeString(v.typ), diags[0].Detail))
			return cty.DynamicVal, false
		}
		expr = parsed
	}
	value, diags := expr.Value(nil)
	if diags.HasErrors() {
		d := errorAt(expr.Range(), "Not a plain value", "The value of a variable is a plain value, without variables and functions. Text stands in quotes.")
		if g.expr == nil {
			d = unplaced(d.Summary, "%s: %s", g.from, d.Detail)
		}
		l.diags.add(d)
		return cty.DynamicVal, false
	}
	return value, true
}

func (l *loader) validate(v *variable, b body) {
	s := l.global()
	condition, message := b.arguments["condition"], b.arguments["error_message"]
	u := usage{what: "the validation of a variable"}
	holds, ok := s.evalAs(condition, cty.Bool, u)
	if !ok {
		return
	}
	text, ok := s.evalAs(message, cty.String, u)
	if ok && holds.False() {
		l.diags.add(errorAt(condition.Expr.Range(), "Invalid value of a variable", "Variable %q: %s", v.name, text.AsString()))
	}
}
