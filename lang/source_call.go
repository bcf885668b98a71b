package lang

import (
	"fmt"
	"math/big"
	"path/filepath"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"
)

// call is a function that gives a secret.
func (b *sourceBuilder) call(e *hclsyntax.FunctionCallExpr, whole bool) *Source {
	w := b.scope.l.words[e.Name]
	if w.kind == plainWord {
		b.computed(e)
		return nil
	}
	if e.ExpandFinal {
		b.scope.report(errorAt(rangeOfCall(e), "Arguments not written out", "Write the arguments of %s() one by one, without ….", e.Name))
		return nil
	}
	switch w.kind {
	case publicWord:
		args, ok := b.plainArgs(e, "text")
		if !ok {
			return nil
		}
		return &Source{Kind: Public, Plain: args[0], Range: rangeOfCall(e)}
	case derivedWord:
		return b.derived(e, w.signature)
	case templateWord:
		return b.textTemplate(e)
	case rotationUserWord:
		b.scope.report(errorAt(rangeOfCall(e), "Not built yet", "rotation_user() is the user that strategy = \"alternate_users\" made active, and that strategy comes later. Today write the name as public(\"NAME\")."))
		return nil
	}
	if b.plainText || !whole {
		b.notHere(e)
		return nil
	}
	switch w.kind {
	case generatorWord:
		return b.generated(e, w.signature)
	case manualWord:
		if _, ok := b.plainArgs(e); !ok {
			return nil
		}
		return &Source{Kind: Manual, Range: rangeOfCall(e)}
	default:
		return b.supplied(e)
	}
}

func (b *sourceBuilder) notHere(e *hclsyntax.FunctionCallExpr) {
	if b.plainText {
		b.scope.report(errorAt(rangeOfCall(e), "A secret has no place of its own here",
			"%s() needs a secret that keeps the value. Declare secret \"NAME\" { value = %s(…) } in this app and write secret.NAME here.", e.Name, e.Name))
		return
	}
	b.scope.report(errorAt(rangeOfCall(e), "A secret inside another",
		"%s() is a whole value, not a part of one: what it gives must be kept to make the same again. Give it a field (or a secret) of its own and refer to it, such as ${self.NAME} or secret.NAME.", e.Name))
}

// plainArgs evaluates exactly as many arguments as there are names, to text
// that is not empty.
func (b *sourceBuilder) plainArgs(e *hclsyntax.FunctionCallExpr, names ...string) ([]string, bool) {
	if len(e.Args) != len(names) {
		b.scope.report(errorAt(rangeOfCall(e), "Wrong number of arguments", "Write %s(%s).", e.Name, strings.Join(names, ", ")))
		return nil, false
	}
	var out []string
	for i, arg := range e.Args {
		text, ok := b.plain(arg, fmt.Sprintf("The %s of %s()", names[i], e.Name))
		if !ok {
			return nil, false
		}
		if text == "" {
			b.scope.report(errorAt(arg.Range(), "Empty text", "The %s of %s() is empty.", names[i], e.Name))
			return nil, false
		}
		out = append(out, text)
	}
	return out, true
}

// supplied is from_env() and its like.
func (b *sourceBuilder) supplied(e *hclsyntax.FunctionCallExpr) *Source {
	s := &Source{Range: rangeOfCall(e)}
	names := []string{"path", "key"}
	switch e.Name {
	case "from_env":
		s.Kind, names = FromEnv, []string{"name"}
	case "from_file":
		s.Kind, names = FromFile, []string{"path"}
	case "from_dotenv":
		s.Kind, names = FromDotenv, []string{"path", "name"}
	case "from_sops":
		s.Kind = FromSops
	}
	args, ok := b.plainArgs(e, names...)
	if !ok {
		return nil
	}
	s.Plain = args[0]
	if len(args) > 1 {
		s.Key = args[1]
	}
	for i, name := range names {
		at := e.Args[i].Range()
		switch {
		case name == "name" && !envName().MatchString(args[i]):
			b.scope.report(errorAt(at, "Invalid name", "%q is not the name of a variable: a letter or _, then letters, digits and _.", args[i]))
			return nil
		case name == "path" && !filepath.IsLocal(args[i]):
			b.scope.report(errorAt(at, "File outside the configuration", "%s() reads below the configuration folder only. Write a relative path without .. in it.", e.Name))
			return nil
		}
	}
	return s
}

// generated is a generator with its parameters.
func (b *sourceBuilder) generated(e *hclsyntax.FunctionCallExpr, sig Signature) *Source {
	if len(e.Args) > 1 {
		b.scope.report(errorAt(rangeOfCall(e), "Wrong number of arguments", "%s takes one object: %s.", e.Name, exampleCall(sig)))
		return nil
	}
	s := &Source{Kind: Generated, Func: e.Name, Range: rangeOfCall(e)}
	var ok bool
	s.Params, ok = b.params(e, e.Args, sig)
	if !ok {
		return nil
	}
	return s
}

func exampleCall(sig Signature) string {
	if len(sig.Params) == 0 {
		return sig.Name + "()"
	}
	p := sig.Params[0]
	return fmt.Sprintf("%s({ %s = %s })", sig.Name, p.Name, paramText(p.Default))
}

// params evaluates the object at the end of a call, which may be absent.
func (b *sourceBuilder) params(e *hclsyntax.FunctionCallExpr, last []hclsyntax.Expression, sig Signature) (map[string]any, bool) {
	given := map[string]any{}
	at := rangeOfCall(e)
	if len(last) > 0 {
		expr := last[0]
		at = expr.Range()
		if secret := firstSecret(b.scope.l, expr); secret != nil {
			b.scope.report(errorAt(*secret, "A secret may not be used here", "The parameters of %s() are plain text. %s", e.Name, whereSecretsFlow))
			return nil, false
		}
		v, ok := b.scope.evalLinted(expr)
		if !ok {
			return nil, false
		}
		if v.IsNull() || !(v.Type().IsObjectType() || v.Type().IsMapType()) {
			b.scope.report(errorAt(at, "Not an object", "The parameters of %s() are an object: %s.", e.Name, exampleCall(sig)))
			return nil, false
		}
		if !b.paramsFrom(v, expr, sig, given) {
			return nil, false
		}
	}
	if err := checkParams(sig, given); err != nil {
		b.scope.report(errorAt(at, "Invalid parameters", "%s: %s.", e.Name, err))
		return nil, false
	}
	if len(given) == 0 {
		return nil, true
	}
	return given, true
}

func (b *sourceBuilder) paramsFrom(v cty.Value, expr hclsyntax.Expression, sig Signature, into map[string]any) bool {
	names := make([]string, 0, len(sig.Params))
	for _, p := range sig.Params {
		names = append(names, p.Name)
	}
	ok := true
	for it := v.ElementIterator(); it.Next(); {
		key, value := it.Element()
		name := key.AsString()
		i := slices.Index(names, name)
		if i < 0 {
			b.scope.report(errorAt(itemRange(expr, name), "Unknown parameter", "%s() has no parameter %q.%s", sig.Name, name, didYouMean(name, names)))
			ok = false
			continue
		}
		if value.IsNull() {
			continue // as if it were not written
		}
		param, fits := paramValue(value, sig.Params[i].Type)
		if !fits {
			b.scope.report(errorAt(itemRange(expr, name), "Wrong type", "%s of %s() must be a %s.", name, sig.Name, sig.Params[i].Type))
			ok = false
			continue
		}
		into[name] = param
	}
	return ok
}

// itemRange returns the place of a name in an object literal, else of the
// whole expression.
func itemRange(expr hclsyntax.Expression, name string) hcl.Range {
	if object, ok := expr.(*hclsyntax.ObjectConsExpr); ok {
		for _, item := range object.Items {
			if v, diags := item.KeyExpr.Value(nil); !diags.HasErrors() && isText(v) && v.AsString() == name {
				return item.KeyExpr.Range()
			}
		}
	}
	return expr.Range()
}

func paramValue(v cty.Value, typ ParamType) (any, bool) {
	switch typ {
	case ParamInt:
		n, err := convert.Convert(v, cty.Number)
		if err != nil {
			return nil, false
		}
		i, exact := n.AsBigFloat().Int64()
		return int(i), exact == big.Exact
	case ParamBool:
		b, err := convert.Convert(v, cty.Bool)
		return err == nil && b.True(), err == nil
	case ParamString:
		s, err := convert.Convert(v, cty.String)
		if err != nil {
			return nil, false
		}
		return s.AsString(), true
	default:
		list, err := convert.Convert(v, cty.List(cty.String))
		if err != nil {
			return nil, false
		}
		out := []string{}
		for it := list.ElementIterator(); it.Next(); {
			_, element := it.Element()
			if element.IsNull() {
				return nil, false
			}
			out = append(out, element.AsString())
		}
		return out, true
	}
}
