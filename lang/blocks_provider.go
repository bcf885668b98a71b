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

// providerBody is what a provider block, or a block inside one, holds. What of
// it may stand there only the driver knows; see [Provider.Decode].
type providerBody struct {
	arguments []argument
	blocks    []providerBlock
}

// providerBlock is a block inside a provider: auth "approle" { … }.
type providerBlock struct {
	typ       string
	labels    []string
	typeRange hcl.Range
	defRange  hcl.Range
	body      providerBody
}

// argument is one argument of a provider block: plain data or a credential.
type argument struct {
	name   string
	value  any     // string, bool, float64, []any, map[string]any; nil for null and for a credential
	source *Source // a credential: from_env(…) or its like
	// text is where plain data stands that this argument can be, in any branch
	// of a conditional; nil if it is nothing but a credential or null.
	text      *hcl.Range
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
		if seen[ref].Type == clusterType {
			l.clusters = append(l.clusters, ref)
		}
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
	if alias := block.Body.Attributes["alias"]; alias != nil {
		p.Alias = s.filled(alias, u)
		if p.Alias != "" && !l.checkName(p.Alias, alias.Expr.Range()) {
			return nil
		}
	}
	u.credentials = true
	u.flow = "A credential of a provider comes from from_env(), from_file(), from_dotenv() or from_sops()."
	p.body = s.providerBody(block.Body, u, "alias")
	return p
}

// providerBody evaluates a body without the arguments named in but.
func (s *scope) providerBody(in *hclsyntax.Body, u usage, but ...string) providerBody {
	var out providerBody
	for _, attr := range sortedAttributes(in) {
		if slices.Contains(but, attr.Name) {
			continue
		}
		if arg, ok := s.providerArgument(attr, u); ok {
			out.arguments = append(out.arguments, arg)
		}
	}
	for _, block := range in.Blocks {
		out.blocks = append(out.blocks, providerBlock{
			typ: block.Type, labels: block.Labels, typeRange: block.TypeRange, defRange: block.DefRange(),
			body: s.providerBody(block.Body, u),
		})
	}
	return out
}

// providerArgument evaluates one argument. A credential stays a source: what it
// stands for never enters cty. It returns false after reporting a problem.
func (s *scope) providerArgument(attr *hclsyntax.Attribute, u usage) (argument, bool) {
	arg := argument{name: attr.Name, nameRange: attr.NameRange, exprRange: attr.Expr.Range()}
	if !s.lint(attr.Expr, u) || !s.credentialBranches(attr.Expr, &arg) {
		return arg, false
	}
	chosen := attr.Expr
	if !s.l.isPlain(chosen) { // a condition of plain text is HCL's to evaluate
		if chosen = s.choose(chosen, u); chosen == nil {
			return arg, false
		}
	}
	if !s.l.isPlain(chosen) {
		b := sourceBuilder{scope: s, usage: u, name: attr.Name}
		arg.source = b.call(chosen.(*hclsyntax.FunctionCallExpr), true)
		return arg, arg.source != nil
	}
	v, ok := s.evalLinted(chosen)
	if !ok {
		return arg, false
	}
	arg.value = plainData(v)
	return arg, true
}

// credentialBranches checks that a credential is a whole argument or a whole
// branch of it, and notes where plain data stands.
func (s *scope) credentialBranches(expr hclsyntax.Expression, arg *argument) bool {
	if s.l.isPlain(expr) {
		if literal, ok := expr.(*hclsyntax.LiteralValueExpr); !ok || !literal.Val.IsNull() {
			arg.text = expr.Range().Ptr()
		}
		return true
	}
	switch e := expr.(type) {
	case *hclsyntax.ParenthesesExpr:
		return s.credentialBranches(e.Expression, arg)
	case *hclsyntax.ConditionalExpr:
		first := s.credentialBranches(e.TrueResult, arg)
		return s.credentialBranches(e.FalseResult, arg) && first
	case *hclsyntax.FunctionCallExpr:
		if s.l.words[e.Name].kind == suppliedWord {
			return true
		}
	}
	s.report(errorAt(*firstSecret(s.l, expr), "A credential inside something else",
		"A credential is read when it is used, so it is a whole argument: write %s = from_env(\"NAME\"), not in quotes, in a list or in another function.", arg.name))
	return false
}

func (l *loader) builtIn(typ string, at hcl.Range) bool {
	types := slices.DeleteFunc(slices.Clone(l.opts.ProviderTypes), func(t string) bool { return t == manifestsType })
	if slices.Contains(types, typ) {
		return true
	}
	switch typ {
	case manifestsType:
		l.diags.add(errorAt(at, "Not a provider to declare", "Files with manifests are written by a block with output = \"FILE.yaml\" and the provider of its cluster: provider \"kubernetes\" { … }."))
	case "vault", "aws", "azure", "gcp", "kubernetes", "sops":
		l.diags.add(errorAt(at, "Not built yet", "The provider %q is not built into this coffer.%s", typ, didYouMean("", types)))
	default:
		l.diags.add(errorAt(at, "Unknown provider", "There is no provider %q.%s", typ, didYouMean(typ, types)))
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
		if suggest(ref, known) == "" && s.l.mayDeclare(ref) {
			hint = fmt.Sprintf(" Declare it: provider %q { … }.", providerType(ref))
			if _, alias, ok := strings.Cut(ref, "."); ok {
				hint = fmt.Sprintf(" Declare it, with alias = %q: provider %q { … }.", alias, providerType(ref))
			}
		}
		s.report(errorAt(expr.Range(), "Unknown store", "No provider block is called %s.%s", ref, hint))
		return ""
	}
	return ref
}

// mayDeclare reports whether a reference names what is not declared, rather than
// is another word for what is.
func (l *loader) mayDeclare(ref string) bool {
	sameType := slices.ContainsFunc(l.providers, func(known string) bool { return providerType(known) == providerType(ref) })
	return len(l.providers) == 0 || !sameType && slices.Contains(l.opts.ProviderTypes, providerType(ref))
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
