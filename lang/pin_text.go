package lang

import (
	"cmp"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
)

// This file writes an expression so that two texts are the same exactly when the
// two mean the same in every configuration: spaces, line ends, comments, trailing
// commas, needless parentheses and the kind of quotes are gone.

func (c *pinCollector) expression(expr hclsyntax.Expression) string {
	switch e := expr.(type) {
	case *hclsyntax.ParenthesesExpr:
		return c.expression(e.Expression)
	case *hclsyntax.TemplateWrapExpr: // "${x}" is x
		return c.expression(e.Wrapped)
	case *hclsyntax.LiteralValueExpr:
		return literalText(e.Val)
	case *hclsyntax.TemplateExpr:
		return `"` + c.templateParts(e.Parts) + `"`
	case *hclsyntax.TemplateJoinExpr:
		return "%{" + c.expression(e.Tuple) + "%}"
	case *hclsyntax.ScopeTraversalExpr:
		return pinnedTraversal(e.Traversal)
	case *hclsyntax.RelativeTraversalExpr:
		return c.expression(e.Source) + pinnedTraversal(e.Traversal)
	case *hclsyntax.FunctionCallExpr:
		end := ")"
		if e.ExpandFinal {
			end = "...)"
		}
		return e.Name + "(" + c.expressions(e.Args) + end
	case *hclsyntax.ConditionalExpr:
		return "(" + c.expression(e.Condition) + " ? " + c.expression(e.TrueResult) + " : " + c.expression(e.FalseResult) + ")"
	case *hclsyntax.BinaryOpExpr:
		return "(" + c.expression(e.LHS) + " " + operator(e.Op) + " " + c.expression(e.RHS) + ")"
	case *hclsyntax.UnaryOpExpr:
		return "(" + operator(e.Op) + c.expression(e.Val) + ")"
	case *hclsyntax.IndexExpr:
		return c.expression(e.Collection) + "[" + c.expression(e.Key) + "]"
	case *hclsyntax.SplatExpr:
		return c.expression(e.Source) + "[*](" + c.expression(e.Each) + ")"
	case *hclsyntax.AnonSymbolExpr:
		return "*"
	case *hclsyntax.TupleConsExpr:
		return "[" + c.expressions(e.Exprs) + "]"
	case *hclsyntax.ObjectConsExpr:
		return c.object(e)
	case *hclsyntax.ObjectConsKeyExpr:
		return c.objectKey(e)
	case *hclsyntax.ForExpr:
		return c.loop(e)
	}
	return c.written(expr.Range()) // of a kind that is not known here
}

func (c *pinCollector) expressions(list []hclsyntax.Expression) string {
	out := make([]string, len(list))
	for i, e := range list {
		out[i] = c.expression(e)
	}
	return strings.Join(out, ", ")
}

// templateParts writes what stands between the quotes. Text that the source has
// in several pieces, such as the lines of a heredoc, is one.
func (c *pinCollector) templateParts(parts []hclsyntax.Expression) string {
	var b, plain strings.Builder
	flush := func() {
		b.WriteString(escaped(plain.String()))
		plain.Reset()
	}
	for _, part := range parts {
		if literal, ok := part.(*hclsyntax.LiteralValueExpr); ok && isText(literal.Val) {
			plain.WriteString(literal.Val.AsString())
			continue
		}
		flush()
		b.WriteString("${" + c.expression(part) + "}")
	}
	flush()
	return b.String()
}

func literalText(v cty.Value) string {
	switch {
	case v.IsNull():
		return "null"
	case isText(v):
		return quoted(v.AsString())
	case v.Type() == cty.Number:
		return v.AsBigFloat().Text('g', -1)
	case v.Type() == cty.Bool && v.True():
		return "true"
	}
	return "false"
}

func pinnedTraversal(t hcl.Traversal) string {
	var b strings.Builder
	for _, step := range t {
		switch step := step.(type) {
		case hcl.TraverseRoot:
			b.WriteString(step.Name)
		case hcl.TraverseAttr:
			b.WriteString("." + step.Name)
		case hcl.TraverseIndex:
			b.WriteString("[" + literalText(step.Key) + "]")
		}
	}
	return b.String()
}

// object writes the entries in order of their keys, unless a key is computed: of
// two that come to the same the last one counts.
func (c *pinCollector) object(e *hclsyntax.ObjectConsExpr) string {
	type entry struct{ key, value string }
	var entries []entry
	plain := true
	for _, item := range e.Items {
		key := c.expression(item.KeyExpr)
		plain = plain && strings.HasPrefix(key, `"`) && !strings.Contains(key, "${")
		entries = append(entries, entry{key, c.expression(item.ValueExpr)})
	}
	if plain {
		slices.SortStableFunc(entries, func(a, b entry) int { return cmp.Compare(a.key, b.key) })
	}
	var out []string
	for _, e := range entries {
		out = append(out, e.key+" = "+e.value)
	}
	return "{ " + strings.Join(out, ", ") + " }"
}

// objectKey: a bare word is a text, one in parentheses is a reference.
func (c *pinCollector) objectKey(e *hclsyntax.ObjectConsKeyExpr) string {
	if word := hcl.ExprAsKeyword(e.Wrapped); word != "" && !e.ForceNonLiteral {
		return quoted(word)
	}
	return c.expression(e.Wrapped)
}

func (c *pinCollector) loop(e *hclsyntax.ForExpr) string {
	var b strings.Builder
	b.WriteString("[for ")
	if e.KeyVar != "" {
		b.WriteString(e.KeyVar + ", ")
	}
	b.WriteString(e.ValVar + " in " + c.expression(e.CollExpr) + " : ")
	if e.KeyExpr != nil {
		b.WriteString(c.expression(e.KeyExpr) + " => ")
	}
	b.WriteString(c.expression(e.ValExpr))
	if e.Group {
		b.WriteString("...")
	}
	if e.CondExpr != nil {
		b.WriteString(" if " + c.expression(e.CondExpr))
	}
	return b.String() + "]"
}

func operator(op *hclsyntax.Operation) string {
	for text, known := range map[string]*hclsyntax.Operation{
		"||": hclsyntax.OpLogicalOr, "&&": hclsyntax.OpLogicalAnd, "!": hclsyntax.OpLogicalNot,
		"==": hclsyntax.OpEqual, "!=": hclsyntax.OpNotEqual,
		">": hclsyntax.OpGreaterThan, ">=": hclsyntax.OpGreaterThanOrEqual, "<": hclsyntax.OpLessThan, "<=": hclsyntax.OpLessThanOrEqual,
		"+": hclsyntax.OpAdd, "-": hclsyntax.OpSubtract, "*": hclsyntax.OpMultiply, "/": hclsyntax.OpDivide, "%": hclsyntax.OpModulo,
	} {
		if op == known {
			return text
		}
	}
	return "-" // of one value, the only one that is left
}

// written is the text of a place as it stands in its file.
func (c *pinCollector) written(at hcl.Range) string {
	if file := c.files[at.Filename]; file != nil && at.CanSliceBytes(file.Bytes) {
		return string(at.SliceBytes(file.Bytes))
	}
	return at.String()
}
