package lang

import (
	"fmt"
	"maps"
	"math/big"
	"slices"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"

	"github.com/cofferhq/coffer/lang/addr"
)

// scope is where an expression is evaluated: the whole configuration, or one
// block of an app in one environment.
type scope struct {
	l *loader
	// ctx is what HCL evaluates with; see [scope.context]. What each holds waits
	// to be put into it: most blocks evaluate nothing.
	ctx  *hcl.EvalContext
	each func() map[string]cty.Value

	app   *app     // nil outside apps
	decl  *decl    // the secret or env_file, nil elsewhere
	env   string   // "" outside apps
	envs  []string // those the block is in, for messages
	owner addr.Address
}

// global is the scope of everything outside apps.
func (l *loader) global() *scope { return &scope{l: l, ctx: l.base} }

// in returns the scope of a block of a in one environment.
func (l *loader) in(a *app, d *decl, env string, envs []string, each func() map[string]cty.Value) *scope {
	return &scope{l: l, each: each, app: a, decl: d, env: env, envs: envs}
}

// context returns what HCL evaluates an expression of the scope with.
func (s *scope) context() *hcl.EvalContext {
	if s.ctx == nil {
		s.ctx = s.l.base.NewChild()
		s.ctx.Variables = map[string]cty.Value{"each": cty.ObjectVal(s.each())}
	}
	return s.ctx
}

func (s *scope) report(diags ...*hcl.Diagnostic) {
	for _, d := range diags {
		s.l.diags.addIn(s.env, s.envs, d)
	}
}

// eval evaluates what is not secret. It reports what is wrong and then returns
// false.
func (s *scope) eval(expr hclsyntax.Expression, u usage) (cty.Value, bool) {
	if !s.lint(expr, u) {
		return cty.DynamicVal, false
	}
	return s.evalLinted(expr)
}

func (s *scope) evalLinted(expr hclsyntax.Expression) (cty.Value, bool) {
	if s.joinsMuch(expr) {
		s.report(errorAt(expr.Range(), "Value cannot be used", "This joins more than %d MiB of text.", maxJoined>>20))
		return cty.DynamicVal, false
	}
	v, diags := expr.Value(s.context())
	s.report(diags...)
	if diags.HasErrors() {
		return cty.DynamicVal, false
	}
	if problem := checkValue(v); problem != "" {
		s.report(errorAt(expr.Range(), "Value cannot be used", "This cannot be used: %s.", problem))
		return cty.DynamicVal, false
	}
	if !v.IsWhollyKnown() {
		if !s.l.poisoned {
			s.report(errorAt(expr.Range(), "Value not known", "This has no value before apply. Use variables, locals and each here."))
		}
		return cty.DynamicVal, false
	}
	return v, true
}

// evalAs is eval with a conversion; null is refused.
func (s *scope) evalAs(attr *hclsyntax.Attribute, typ cty.Type, u usage) (cty.Value, bool) {
	v, ok := s.eval(attr.Expr, u)
	if !ok {
		return v, false
	}
	return s.convert(attr.Expr, v, typ, attr.Name)
}

// optional is evalAs for an argument that may be left out; null counts as left
// out.
func (s *scope) optional(attr *hclsyntax.Attribute, typ cty.Type, u usage) (cty.Value, bool) {
	if attr == nil {
		return cty.NullVal(typ), false
	}
	v, ok := s.eval(attr.Expr, u)
	if !ok || v.IsNull() {
		return v, false
	}
	return s.convert(attr.Expr, v, typ, attr.Name)
}

func (s *scope) convert(expr hclsyntax.Expression, v cty.Value, typ cty.Type, name string) (cty.Value, bool) {
	if v.IsNull() {
		s.report(errorAt(expr.Range(), "No value", "%s is null. Give it a value, or leave the argument out.", name))
		return v, false
	}
	out, err := convert.Convert(v, typ)
	if err != nil {
		why := "."
		if typ.IsCollectionType() {
			why = fmt.Sprintf(": %s.", err)
		}
		s.report(errorAt(expr.Range(), "Wrong type", "%s must be %s%s", name, typeWords(typ), why))
		return v, false
	}
	if typ.IsCollectionType() {
		for it := out.ElementIterator(); it.Next(); {
			if _, element := it.Element(); element.IsNull() {
				s.report(errorAt(expr.Range(), "No value", "%s has an element that is null.", name))
				return v, false
			}
		}
	}
	return out, true
}

func typeWords(typ cty.Type) string {
	switch {
	case typ == cty.String:
		return "text"
	case typ == cty.Bool:
		return "true or false"
	case typ == cty.Number:
		return "a number"
	case typ.IsMapType():
		return "an object of texts: { name = \"text\" }"
	case typ.IsListType():
		return "a list of texts: [\"a\", \"b\"]"
	}
	return typ.FriendlyName()
}

// The getters below return the zero value for an absent argument (nil or null)
// and after reporting a problem.

func (s *scope) text(attr *hclsyntax.Attribute, u usage) string {
	v, ok := s.optional(attr, cty.String, u)
	if !ok {
		return ""
	}
	return v.AsString()
}

// filled is text that may not be empty where it is written.
func (s *scope) filled(attr *hclsyntax.Attribute, u usage) string {
	v, ok := s.optional(attr, cty.String, u)
	if !ok {
		return ""
	}
	if v.AsString() == "" {
		s.report(errorAt(attr.Expr.Range(), "Empty text", "%s is empty. Give it a value, or leave the argument out.", attr.Name))
	}
	return v.AsString()
}

// oneOf is text from a closed list.
func (s *scope) oneOf(attr *hclsyntax.Attribute, u usage, values ...string) string {
	text := s.filled(attr, u)
	if text != "" && !slices.Contains(values, text) {
		s.report(errorAt(attr.Expr.Range(), "Unknown word", "%s cannot be %q.%s", attr.Name, text, didYouMean(text, values)))
		return ""
	}
	return text
}

func (s *scope) boolean(attr *hclsyntax.Attribute, otherwise bool, u usage) bool {
	v, ok := s.optional(attr, cty.Bool, u)
	if !ok {
		return otherwise
	}
	return v.True()
}

func (s *scope) integer(attr *hclsyntax.Attribute, least int, u usage) int {
	v, ok := s.optional(attr, cty.Number, u)
	if !ok {
		return 0
	}
	n, exact := v.AsBigFloat().Int64()
	if exact != big.Exact || n < int64(least) || n > 1<<31-1 {
		s.report(errorAt(attr.Expr.Range(), "Not a whole number", "%s is a whole number, %d or more.", attr.Name, least))
		return 0
	}
	return int(n)
}

func (s *scope) texts(attr *hclsyntax.Attribute, u usage) ([]string, bool) {
	v, ok := s.evalAs(attr, cty.List(cty.String), u)
	if !ok {
		return nil, false
	}
	out := make([]string, 0, v.LengthInt())
	for it := v.ElementIterator(); it.Next(); {
		_, element := it.Element()
		out = append(out, element.AsString())
	}
	return out, true
}

func (s *scope) textMap(attr *hclsyntax.Attribute, u usage) map[string]string {
	v, ok := s.optional(attr, cty.Map(cty.String), u)
	if !ok {
		return nil
	}
	out := make(map[string]string, v.LengthInt())
	for it := v.ElementIterator(); it.Next(); {
		key, element := it.Element()
		if key.AsString() == "" {
			s.report(errorAt(attr.Expr.Range(), "Empty name", "%s has an entry without a name.", attr.Name))
			continue
		}
		out[key.AsString()] = element.AsString()
	}
	return out
}

// choose walks through parentheses and conditionals to the branch that holds.
// It returns nil after reporting a problem.
func (s *scope) choose(expr hclsyntax.Expression, u usage) hclsyntax.Expression {
	for {
		switch e := expr.(type) {
		case *hclsyntax.ParenthesesExpr:
			expr = e.Expression
		case *hclsyntax.ConditionalExpr:
			holds, ok := s.condition(e.Condition, u)
			if !ok {
				return nil
			}
			expr = e.FalseResult
			if holds {
				expr = e.TrueResult
			}
		default:
			return expr
		}
	}
}

func (s *scope) condition(expr hclsyntax.Expression, u usage) (holds, ok bool) {
	if at := firstSecret(s.l, expr); at != nil {
		s.report(errorAt(*at, "A condition may not depend on a secret", "Which branch holds must be known from the configuration alone. Use each.environment, variables and locals here."))
		return false, false
	}
	u.secrets, u.credentials = false, false
	v, ok := s.eval(expr, u)
	if !ok {
		return false, false
	}
	v, ok = s.convert(expr, v, cty.Bool, "The condition")
	return ok && v.True(), ok
}

func isText(v cty.Value) bool {
	return v.Type() == cty.String && v.IsKnown() && !v.IsNull()
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
