package lang

import (
	"slices"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"

	"github.com/cofferhq/coffer/lang/addr"
)

func policySchema() schema {
	return schema{what: "policy", arguments: []string{"readers", "secrets", "environments"}}
}

// loadPolicy evaluates a policy for one environment. A policy that covers
// nothing there is left out.
func (s *scope) loadPolicy() {
	args := s.decl.body.arguments
	p := &Policy{Address: s.owner, Range: s.decl.block.DefRange()}
	if attr := args["readers"]; attr == nil {
		s.report(missing(s.decl.block, "readers", `for example readers = [age_recipient("age1…")]`))
	} else {
		p.Readers = s.readers(attr)
	}
	p.Secrets = s.covered(args["secrets"])
	if len(p.Secrets) > 0 {
		s.l.cfg.Policies = append(s.l.cfg.Policies, p)
	}
}

// covered lists what a policy covers: what it names, else all of the app's in
// this environment.
func (s *scope) covered(attr *hclsyntax.Attribute) []addr.Address {
	var out []addr.Address
	add := func(d *decl) {
		if slices.Contains(d.envs, s.env) {
			out = append(out, d.address().In(s.env))
		}
	}
	if attr == nil {
		for _, kind := range valueKinds() {
			for _, name := range sortedKeys(s.app.of(kind)) {
				add(s.app.of(kind)[name])
			}
		}
		return out
	}
	for _, d := range s.named(attr) {
		add(d)
	}
	slices.SortFunc(out, addr.Address.Compare)
	return out
}

// named reads a list of whole secrets: [secret.db, env_file.web].
func (s *scope) named(attr *hclsyntax.Attribute) []*decl {
	expr := s.choose(attr.Expr, usage{what: "the list of a policy's secrets", each: inAppEach()})
	list, ok := expr.(*hclsyntax.TupleConsExpr)
	if !ok || len(list.Exprs) == 0 {
		if expr != nil {
			s.report(errorAt(expr.Range(), "Not a list", "secrets is a list: [secret.NAME, env_file.NAME]. Without it a policy covers all of the app's."))
		}
		return nil
	}
	var out []*decl
	for _, element := range list.Exprs {
		d, diag := s.wholeSecret(element)
		switch {
		case diag != nil:
			s.report(diag)
		case slices.Contains(out, d):
			s.report(errorAt(element.Range(), "Named twice", "%s %q is in the list already.", d.kind, d.name))
		default:
			out = append(out, d)
		}
	}
	return out
}

func (s *scope) wholeSecret(expr hclsyntax.Expression) (*decl, *hcl.Diagnostic) {
	const form = "A policy covers whole secrets of its own app, and what is made of them: secret.NAME, env_file.NAME, kubernetes_secret.NAME and its like."
	t, diags := hcl.AbsTraversalForExpr(expr)
	if diags.HasErrors() {
		return nil, errorAt(expr.Range(), "Not a secret", "%s", form)
	}
	names, d := s.l.attributes(t)
	if d != nil {
		return nil, d
	}
	kind := t.RootName()
	switch {
	case kind == "app":
		return nil, errorAt(expr.Range(), "Another app's secret", "%s Write a policy in that app.", form)
	case !slices.Contains(valueKinds(), kind), len(names) == 1:
		return nil, errorAt(expr.Range(), "Not a secret", "%s", form)
	case len(names) > 2:
		return nil, errorAt(expr.Range(), "A field in a policy", "%s Who can read it reads all its fields: write %s.%s.", form, kind, names[1])
	}
	in := s.app.of(kind)
	if to := in[names[1]]; to != nil {
		return to, nil
	}
	return nil, errorAt(expr.Range(), "Unknown secret", "App %q has no %s %q.%s", s.app.name, kind, names[1], didYouMean(names[1], sortedKeys(in)))
}

// readers evaluates the readers of a policy. Each element of a list written out
// is evaluated by itself, so that it has its own place.
func (s *scope) readers(attr *hclsyntax.Attribute) []Reader {
	u := usage{what: "a reader of a policy", each: inAppEach(), readers: true}
	if !s.lint(attr.Expr, u) {
		return nil
	}
	elements := []hclsyntax.Expression{attr.Expr}
	if list, ok := s.choose(attr.Expr, u).(*hclsyntax.TupleConsExpr); ok {
		elements = list.Exprs
	}
	var out []Reader
	failed := false
	for _, element := range elements {
		v, ok := s.evalLinted(element)
		if ok {
			ok = s.addReaders(&out, v, element.Range())
		}
		failed = failed || !ok
	}
	if len(out) == 0 && !failed {
		s.report(errorAt(attr.Expr.Range(), "No reader", "The list is empty, so this policy says nothing. Name a reader, or remove the block."))
	}
	return out
}

// addReaders takes one reader, or a list of them.
func (s *scope) addReaders(out *[]Reader, v cty.Value, at hcl.Range) bool {
	typ := v.Type()
	if !v.IsNull() && typ.Equals(s.l.reader) {
		r := v.EncapsulatedValue().(*Reader)
		for _, other := range *out {
			if other.Func == r.Func && slices.Equal(other.Args, r.Args) {
				s.report(errorAt(at, "Reader named twice", "This reader is in the list already."))
				return false
			}
		}
		*out = append(*out, Reader{Func: r.Func, Args: r.Args, Range: at})
		return true
	}
	if v.IsNull() || !(typ.IsTupleType() || typ.IsListType() || typ.IsSetType()) {
		s.report(errorAt(at, "Not a reader", "A reader is a call such as age_recipient(\"age1…\"), or a list of them."))
		return false
	}
	ok := true
	for it := v.ElementIterator(); it.Next(); {
		_, element := it.Element()
		ok = s.addReaders(out, element, at) && ok
	}
	return ok
}
