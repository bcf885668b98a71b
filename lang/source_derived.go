package lang

import (
	"fmt"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
)

// derived is a function over secrets.
func (b *sourceBuilder) derived(e *hclsyntax.FunctionCallExpr, sig Signature) *Source {
	s := &Source{Kind: Computed, Func: e.Name, Range: rangeOfCall(e)}
	args := e.Args
	if n := len(args); n > 0 && len(sig.Params) > 0 {
		if _, isObject := args[n-1].(*hclsyntax.ObjectConsExpr); isObject {
			var ok bool
			if s.Params, ok = b.params(e, args[n-1:], sig); !ok {
				return nil
			}
			args = args[:n-1]
		}
	}
	if len(args) < len(sig.PlainArgs)+1 {
		return b.wrongForm(e, sig)
	}
	if !b.leadingText(s, args, sig) {
		return nil
	}
	secrets := args[len(sig.PlainArgs):]
	switch {
	case len(secrets) != 1:
		return b.wrongForm(e, sig)
	case e.Name == "join":
		return b.joined(s, secrets[0])
	case e.Name == "jsonencode":
		return b.encoded(s, secrets[0])
	}
	arg := b.source(secrets[0], false)
	if arg == nil {
		return nil
	}
	s.Args = append(s.Args, arg)
	return s
}

func (b *sourceBuilder) wrongForm(e *hclsyntax.FunctionCallExpr, sig Signature) *Source {
	form := slices.Clone(sig.PlainArgs)
	switch e.Name {
	case "join":
		form = append(form, "[a, b]")
	case "jsonencode":
		form = append(form, "{ name = a }")
	default:
		form = append(form, "secret")
	}
	if len(sig.Params) > 0 {
		form = append(form, "{ … }")
	}
	b.scope.report(errorAt(rangeOfCall(e), "Wrong number of arguments", "Write %s(%s).", e.Name, strings.Join(form, ", ")))
	return nil
}

// leadingText puts the plain arguments first, each a Literal.
func (b *sourceBuilder) leadingText(s *Source, args []hclsyntax.Expression, sig Signature) bool {
	var plain []string
	for i, name := range sig.PlainArgs {
		text, ok := b.plain(args[i], fmt.Sprintf("The %s of %s()", name, sig.Name))
		if !ok {
			return false
		}
		plain = append(plain, text)
		s.Args = append(s.Args, &Source{Kind: Literal, Plain: text, Range: args[i].Range()})
	}
	if err := sig.CheckPlain(plain); err != nil {
		b.scope.report(errorAt(args[0].Range(), "Invalid argument", "%s: %s.", sig.Name, err))
		return false
	}
	return true
}

// joined takes the elements of a list.
func (b *sourceBuilder) joined(s *Source, list hclsyntax.Expression) *Source {
	list = b.scope.choose(list, b.usage)
	tuple, ok := list.(*hclsyntax.TupleConsExpr)
	if !ok {
		if list != nil {
			b.scope.report(errorAt(list.Range(), "Not a list", "join() over secrets takes a list written out: join(\",\", [secret.a, secret.b])."))
		}
		return nil
	}
	if len(tuple.Exprs) == 0 {
		b.scope.report(errorAt(list.Range(), "Nothing in it", "The list of join() is empty."))
		return nil
	}
	for _, element := range tuple.Exprs {
		arg := b.source(element, false)
		if arg == nil {
			return nil
		}
		s.Args = append(s.Args, arg)
	}
	return s
}

// encoded takes an object of texts, or one value.
func (b *sourceBuilder) encoded(s *Source, expr hclsyntax.Expression) *Source {
	expr = b.scope.choose(expr, b.usage)
	if expr == nil {
		return nil
	}
	object, ok := expr.(*hclsyntax.ObjectConsExpr)
	if !ok {
		arg := b.source(expr, false)
		if arg == nil {
			return nil
		}
		s.Args = []*Source{arg}
		return s
	}
	byKey := map[string]*Source{}
	for _, item := range object.Items {
		key, ok := b.plain(item.KeyExpr, "A key of jsonencode()")
		if !ok {
			return nil
		}
		if byKey[key] != nil {
			b.scope.report(errorAt(item.KeyExpr.Range(), "Written twice", "The key %q is in the object already.", key))
			return nil
		}
		if byKey[key] = b.jsonText(item.ValueExpr); byKey[key] == nil {
			return nil
		}
	}
	s.Keys = sortedKeys(byKey)
	for _, key := range s.Keys {
		s.Args = append(s.Args, byKey[key])
	}
	return s
}

// jsonText is one value of an object. Numbers and nesting are refused rather
// than turned into text behind the user's back.
func (b *sourceBuilder) jsonText(expr hclsyntax.Expression) *Source {
	const instead = "Other JSON is a template, in which jsonencode(secret.x) is a JSON string: \"{\\\"port\\\": 5432, \\\"password\\\": ${jsonencode(secret.x)}}\"."
	expr = b.scope.choose(expr, b.usage)
	if expr == nil {
		return nil
	}
	switch expr.(type) {
	case *hclsyntax.ObjectConsExpr, *hclsyntax.TupleConsExpr:
		b.scope.report(errorAt(expr.Range(), "Nested JSON", "jsonencode() over secrets takes one object of texts. %s", instead))
		return nil
	}
	if b.scope.l.isPlain(expr) {
		v, ok := b.scope.evalLinted(expr)
		if !ok {
			return nil
		}
		if v.IsNull() || v.Type() != cty.String {
			b.scope.report(errorAt(expr.Range(), "Not text", "jsonencode() over secrets takes one object of texts. Put it in quotes. %s", instead))
			return nil
		}
		return &Source{Kind: Literal, Plain: v.AsString(), Range: expr.Range()}
	}
	return b.source(expr, false)
}
