package lang

import (
	"slices"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
)

// sourceBuilder turns the expression of a value into a [Source]. HCL evaluates
// what is not secret; templates, conditionals, parentheses and calls over
// secrets are walked here.
type sourceBuilder struct {
	scope *scope
	usage usage
	// plainText is true in an env_file, where text is a value.
	plainText bool
	name      string // of the value, for messages
}

// build returns the source of a whole value, or nil after reporting why there
// is none. A call that uses no names gives the same wherever its text stands,
// and a configuration says random_password() a thousand times.
func (b *sourceBuilder) build(expr hclsyntax.Expression) *Source {
	call, ok := expr.(*hclsyntax.FunctionCallExpr)
	if !ok || b.plainText {
		return b.whole(expr)
	}
	l, at := b.scope.l, rangeOfCall(call)
	text := at.SliceBytes(l.cfg.Files[at.Filename].Bytes)
	if known := l.calls[string(text)]; known != nil {
		source := *known
		source.Range = at
		return &source
	}
	found := l.diags.found
	source := b.whole(expr)
	if source != nil && source.Args == nil && l.diags.found == found && len(hclsyntax.Variables(expr)) == 0 {
		l.calls[string(text)] = source
	}
	return source
}

func (b *sourceBuilder) whole(expr hclsyntax.Expression) *Source {
	if !b.scope.lint(expr, b.usage) {
		return nil
	}
	source := b.source(expr, true)
	switch {
	case source == nil || !source.onlyText():
		return source
	case !b.plainText:
		b.scope.report(writtenSecret(expr.Range(),
			"A value is where a secret comes from, never the secret itself. Use a generator such as random_password(), from_env(\"NAME\") or another from_ function, manual() to write it later with coffer secret set, or public(\"…\") for text that is no secret."))
		return nil
	case source.Kind == Literal:
		source.Kind = Public
	}
	return source
}

// source walks one expression. whole is false for a part of a template or an
// argument: there only references, functions over them and plain text stand.
func (b *sourceBuilder) source(expr hclsyntax.Expression, whole bool) *Source {
	switch e := expr.(type) {
	case *hclsyntax.ParenthesesExpr:
		return b.source(e.Expression, whole)
	case *hclsyntax.TemplateWrapExpr:
		return b.source(e.Wrapped, whole)
	case *hclsyntax.ConditionalExpr:
		holds, ok := b.scope.condition(e.Condition, b.usage)
		switch {
		case !ok:
			return nil
		case holds:
			return b.source(e.TrueResult, whole)
		default:
			return b.source(e.FalseResult, whole)
		}
	}
	if b.scope.l.isPlain(expr) {
		return b.literal(expr)
	}
	switch e := expr.(type) {
	case *hclsyntax.TemplateExpr:
		return b.template(e)
	case *hclsyntax.FunctionCallExpr:
		return b.call(e, whole)
	case *hclsyntax.ScopeTraversalExpr:
		return b.reference(e)
	}
	b.computed(expr)
	return nil
}

// computed reports an expression that does something with a secret that only
// its plaintext could answer.
func (b *sourceBuilder) computed(expr hclsyntax.Expression) {
	b.scope.report(errorAt(*firstSecret(b.scope.l, expr), "A secret may not be computed with",
		"A value is one secret, a template such as \"https://${secret.x}@host\", a conditional whose condition is not secret, or a call of %s.", wordList(derivedNames())))
}

func derivedNames() []string {
	names := []string{"template"}
	for _, sig := range DerivedFunctions() {
		names = append(names, sig.Name)
	}
	return names
}

// literal is what HCL evaluates to plain text.
func (b *sourceBuilder) literal(expr hclsyntax.Expression) *Source {
	text, ok := b.plain(expr, b.name)
	if !ok {
		return nil
	}
	return &Source{Kind: Literal, Plain: text, Range: expr.Range()}
}

// plain evaluates an expression to text.
func (b *sourceBuilder) plain(expr hclsyntax.Expression, name string) (string, bool) {
	if at := firstSecret(b.scope.l, expr); at != nil {
		b.scope.report(errorAt(*at, "A secret may not be used here", "%s is plain text. %s", name, whereSecretsFlow))
		return "", false
	}
	v, ok := b.scope.evalLinted(expr)
	if !ok {
		return "", false
	}
	v, ok = b.scope.convert(expr, v, cty.String, name)
	if !ok {
		return "", false
	}
	return v.AsString(), true
}

func (b *sourceBuilder) template(e *hclsyntax.TemplateExpr) *Source {
	t := &Source{Kind: Template, Range: e.Range()}
	ok := true
	for _, part := range e.Parts {
		source := b.source(part, false)
		if source == nil {
			ok = false
			continue
		}
		t.append(source)
	}
	if !ok {
		return nil
	}
	if len(t.Args) == 1 {
		return t.Args[0]
	}
	return t
}

// append adds a part: templates inside are taken apart and neighbouring texts
// joined, so that a template has one canonical form.
func (s *Source) append(part *Source) {
	switch {
	case part.Kind == Template:
		for _, inner := range part.Args {
			s.append(inner)
		}
	case part.Kind == Literal && part.Plain == "" && len(s.Args) > 0:
	case part.Kind == Literal && len(s.Args) > 0 && s.Args[len(s.Args)-1].Kind == Literal:
		last := *s.Args[len(s.Args)-1]
		last.Plain += part.Plain
		s.Args[len(s.Args)-1] = &last
	case len(s.Args) == 1 && s.Args[0].Kind == Literal && s.Args[0].Plain == "":
		s.Args[0] = part
	default:
		s.Args = append(s.Args, part)
	}
}

func (b *sourceBuilder) reference(e *hclsyntax.ScopeTraversalExpr) *Source {
	s := b.scope
	to, d := s.resolve(e.Traversal)
	if d == nil && !slices.Contains(to.decl.envs, s.env) {
		d = s.elsewhere(to.decl, e.Range())
	}
	if d != nil {
		s.report(d)
		return nil
	}
	return &Source{
		Kind:  Reference,
		Ref:   Ref{Address: to.decl.address().In(s.env), Field: to.field},
		Range: e.Range(),
		self:  to.decl == s.decl,
	}
}

// leaves calls f for every source that has no arguments, until it returns false.
func (s *Source) leaves(f func(*Source) bool) bool {
	if s.Kind != Template && s.Kind != Computed {
		return f(s)
	}
	for _, arg := range s.Args {
		if !arg.leaves(f) {
			return false
		}
	}
	return true
}

// onlyText reports whether nothing but literals is in s.
func (s *Source) onlyText() bool {
	return s.leaves(func(leaf *Source) bool { return leaf.Kind == Literal })
}

// makesValue reports whether s brings a value in, rather than being made of
// other secrets and text.
func (s *Source) makesValue() bool {
	return !s.leaves(func(leaf *Source) bool {
		return leaf.Kind == Reference || leaf.Kind == Literal || leaf.Kind == Public
	})
}

// Refs returns every reference in s, in order and without duplicates.
func (s *Source) Refs() []Ref {
	var refs []Ref
	s.leaves(func(leaf *Source) bool {
		if leaf.Kind == Reference && !slices.Contains(refs, leaf.Ref) {
			refs = append(refs, leaf.Ref)
		}
		return true
	})
	return refs
}

func rangeOfCall(e *hclsyntax.FunctionCallExpr) hcl.Range {
	return hcl.RangeBetween(e.NameRange, e.CloseParenRange)
}
