package lang

import (
	"fmt"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"

	"github.com/cofferhq/coffer/lang/addr"
)

// argument is one argument of a provider block, evaluated.
type argument struct {
	name      string
	value     any // string, bool, float64, []any, map[string]any; nil for null
	nameRange hcl.Range
	exprRange hcl.Range
}

func (l *loader) loadProviders() {
	seen := map[string]*Provider{}
	for _, block := range l.blocks["provider"] {
		p := l.loadProvider(block)
		if p == nil {
			continue
		}
		if first := seen[p.Ref()]; first != nil {
			l.twiceFix("Provider "+p.Ref(), first.Range, p.Range,
				fmt.Sprintf("Give one of them another alias: with alias = \"NAME\" it is referred to as %s.NAME.", p.Type))
			continue
		}
		seen[p.Ref()] = p
	}
	l.providers = sortedKeys(seen)
	for _, ref := range l.providers {
		l.cfg.Providers = append(l.cfg.Providers, seen[ref])
	}
}

// loadProvider evaluates a block whose arguments only its driver knows.
func (l *loader) loadProvider(block *hclsyntax.Block) *Provider {
	labels, ok := l.labels(block, "TYPE")
	if !ok {
		return nil
	}
	if !l.builtIn(labels[0], block.LabelRanges[0]) {
		l.refused = append(l.refused, labels[0])
		return nil
	}
	s := l.global()
	p := &Provider{Type: labels[0], Range: block.DefRange()}
	u := usage{what: "an argument of a provider"}
	for _, inner := range block.Body.Blocks {
		l.knownBlock(inner, nil, "provider")
	}
	for _, attr := range sortedAttributes(block.Body) {
		if attr.Name == "alias" {
			p.Alias = s.filled(attr, u)
			if p.Alias != "" && !l.checkName(p.Alias, attr.Expr.Range()) {
				return nil
			}
			continue
		}
		if call := credentialCall(attr.Expr); call != nil {
			l.diags.add(errorAt(call.Range(), "Not built yet", "%s() in a provider comes with providers that need credentials. Today take plain text from a variable; sops takes its identity from SOPS_AGE_KEY or SOPS_AGE_KEY_FILE.", call.Name))
			continue
		}
		v, ok := s.eval(attr.Expr, u)
		if !ok {
			continue
		}
		p.arguments = append(p.arguments, argument{
			name: attr.Name, value: plainData(v), nameRange: attr.NameRange, exprRange: attr.Expr.Range(),
		})
	}
	return p
}

// credentialCall returns the call where an argument is from_env(…) or its like.
func credentialCall(expr hclsyntax.Expression) *hclsyntax.FunctionCallExpr {
	call, ok := expr.(*hclsyntax.FunctionCallExpr)
	if ok && slices.Contains([]string{"from_env", "from_file", "from_dotenv", "from_sops"}, call.Name) {
		return call
	}
	return nil
}

func (l *loader) builtIn(typ string, at hcl.Range) bool {
	if slices.Contains(l.opts.ProviderTypes, typ) {
		return true
	}
	switch typ {
	case "vault", "aws", "azure", "gcp", "kubernetes", "sops":
		l.diags.add(errorAt(at, "Not built yet", "The provider %q is not built into this coffer.%s", typ, didYouMean("", l.opts.ProviderTypes)))
	default:
		l.diags.add(errorAt(at, "Unknown provider", "There is no provider %q.%s", typ, didYouMean(typ, l.opts.ProviderTypes)))
	}
	return false
}

// plainData turns a known value into plain Go data.
func plainData(v cty.Value) any {
	typ := v.Type()
	switch {
	case v.IsNull():
		return nil
	case typ == cty.String:
		return v.AsString()
	case typ == cty.Bool:
		return v.True()
	case typ == cty.Number:
		f, _ := v.AsBigFloat().Float64()
		return f
	case typ.IsMapType() || typ.IsObjectType():
		out := map[string]any{}
		for it := v.ElementIterator(); it.Next(); {
			key, element := it.Element()
			out[key.AsString()] = plainData(element)
		}
		return out
	default:
		out := []any{}
		for it := v.ElementIterator(); it.Next(); {
			_, element := it.Element()
			out = append(out, plainData(element))
		}
		return out
	}
}

// providerRef reads a reference to a store: sops, aws.eu. It returns "" after
// reporting a problem.
func (s *scope) providerRef(expr hclsyntax.Expression, u usage) string {
	expr = s.choose(expr, u)
	if expr == nil {
		return ""
	}
	known := s.l.providers
	if text, isText := plainText(expr); isText {
		s.report(errorAt(expr.Range(), "Store in quotes", "A store is referred to without quotes: %s", orExample(text, known)))
		return ""
	}
	ref := ""
	if t, diags := hcl.AbsTraversalForExpr(expr); !diags.HasErrors() && len(t) <= 2 {
		ref = t.RootName()
		if len(t) == 2 {
			name, _ := stepName(t[1])
			ref += "." + name
		}
	}
	switch {
	case ref == "" || ref == "true" || ref == "false" || ref == "null":
		s.report(errorAt(expr.Range(), "Not a store", "This must name a provider block: its type, and its alias where it has one, such as sops or aws.eu."))
		return ""
	case !slices.Contains(known, ref) && slices.Contains(s.l.refused, strings.Split(ref, ".")[0]):
		return "" // said at the provider block
	case !slices.Contains(known, ref):
		hint := didYouMean(ref, known)
		if len(known) == 0 {
			hint = fmt.Sprintf(" Declare it: provider %q { … }.", ref)
		}
		s.report(errorAt(expr.Range(), "Unknown store", "No provider block is called %s.%s", ref, hint))
		return ""
	}
	return ref
}

// plainText returns the text of a quoted literal.
func plainText(expr hclsyntax.Expression) (string, bool) {
	template, ok := expr.(*hclsyntax.TemplateExpr)
	if !ok || !template.IsStringLiteral() {
		return "", false
	}
	v, diags := template.Value(nil)
	return v.AsString(), !diags.HasErrors()
}

func orExample(text string, known []string) string {
	if addr.ValidName(text) || slices.Contains(known, text) {
		return text
	}
	if len(known) > 0 {
		return known[0]
	}
	return "sops"
}
