package lang

import (
	"fmt"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
)

// lint reports names in an expression that cannot mean anything there: unknown
// variables and functions, and secrets where none may flow. It looks at every
// branch and at no environment, so it runs once for each expression; an
// expression that fails is never evaluated.
func (s *scope) lint(expr hclsyntax.Expression, u usage) bool {
	if ok, done := s.l.linted[expr]; done {
		return ok
	}
	ok := true
	report := func(d *hcl.Diagnostic) {
		if d != nil {
			ok = false
			s.l.diags.add(d)
		}
	}
	var texts []hcl.Range
	for _, t := range hclsyntax.Variables(expr) {
		d := s.lintTraversal(t, u)
		if d != nil && d.Summary == "Unknown name" {
			if texts == nil {
				texts = append(templateTexts(expr), hcl.Range{})
			}
			at := t.SourceRange()
			if slices.ContainsFunc(texts, func(r hcl.Range) bool { return r.Filename == at.Filename && r.Overlaps(at) }) {
				d.Detail += fmt.Sprintf(" In a quoted text of template() write $${%s}.", t.RootName())
			}
		}
		report(d)
	}
	_ = hclsyntax.VisitAll(expr, func(n hclsyntax.Node) hcl.Diagnostics {
		if call, isCall := n.(*hclsyntax.FunctionCallExpr); isCall {
			report(s.l.lintCall(call, u))
		}
		return nil
	})
	s.l.linted[expr] = ok
	return ok
}

func (s *scope) lintTraversal(t hcl.Traversal, u usage) *hcl.Diagnostic {
	l := s.l
	switch root := t.RootName(); root {
	case "var":
		return lintMember(t, l.vars, "variable", `Declare it: variable "NAME" { … }.`)
	case "local":
		return lintMember(t, l.locals, "local value", "Declare it: locals { NAME = … }.")
	case "each":
		if u.each == nil {
			return errorAt(t.SourceRange(), "No app here", "each is known only inside an app block; %s is the same for all apps and environments.", u.what)
		}
		if name, ok := member(t); ok && !slices.Contains(u.each, name) {
			return errorAt(t[:2].SourceRange(), "Unknown name", "each has no %q. It has %s.", name, wordList(u.each))
		}
		return nil
	case "secret", "self", "app":
		if !u.secrets {
			return errorAt(t.SourceRange(), "A secret may not be used here", "This is %s. %s", u.what, u.secretsFlow())
		}
		_, d := s.resolve(t)
		return d
	default:
		if slices.Contains(copyKinds(), root) {
			return errorAt(t.SourceRange(), "Not a value", "Nothing can be taken from %s. Refer to the secrets in it.", oneOf(root))
		}
		if besideKinds()[root] != nil {
			return errorAt(t.SourceRange(), "Not a value", "%s names a block, and what a block declares is named by its text: write the name in quotes. No reference is needed for the order.", traversalText(t))
		}
		if slices.Contains(l.providers, root) || slices.Contains(l.opts.ProviderTypes, root) {
			return errorAt(t.SourceRange(), "A store may not be used here", "%s is a store; it is named in store, replicas and provider only.", root)
		}
		return errorAt(t.SourceRange(), "Unknown name", "There is nothing called %q here.%s Text stands in quotes.", root, didYouMean(root, u.roots()))
	}
}

// traversalText is what a traversal of names says: role.approle.checkout.
func traversalText(t hcl.Traversal) string {
	text := t.RootName()
	for _, step := range t[1:] {
		name, ok := stepName(step)
		if !ok {
			break
		}
		text += "." + name
	}
	return text
}

// member returns the name behind the first dot.
func member(t hcl.Traversal) (string, bool) {
	if len(t) < 2 {
		return "", false
	}
	return stepName(t[1])
}

// lintMember checks the name behind var or local against the sorted known ones. A name that is not
// written plainly is left to evaluation.
func lintMember(t hcl.Traversal, known []string, what, fix string) *hcl.Diagnostic {
	name, ok := member(t)
	if !ok {
		return nil
	}
	if _, found := slices.BinarySearch(known, name); found {
		return nil
	}
	hint := didYouMean(name, known)
	if !strings.HasPrefix(hint, " Did") {
		hint += " " + fix
	}
	return errorAt(t[:2].SourceRange(), "Unknown name", "There is no %s %q.%s", what, name, hint)
}

// stepName returns the name of an attribute step or of an index with text.
func stepName(step hcl.Traverser) (string, bool) {
	switch step := step.(type) {
	case hcl.TraverseAttr:
		return step.Name, true
	case hcl.TraverseIndex:
		if isText(step.Key) {
			return step.Key.AsString(), true
		}
	}
	return "", false
}

func (l *loader) lintCall(call *hclsyntax.FunctionCallExpr, u usage) *hcl.Diagnostic {
	w, known := l.words[call.Name]
	switch {
	case !known && laterReader(call.Name):
		return errorAt(call.NameRange, "Not built yet", "%s() comes with its platform. Today readers are age_recipient(\"age1…\"), a recipient of sops files, and vault_approle(\"ROLE\") and its like.", call.Name)
	case !known:
		hint := didYouMean(call.Name, l.callable(u))
		if hint == "" {
			hint = " The language reference lists all functions."
		}
		return errorAt(call.NameRange, "Unknown function", "There is no function %q.%s", call.Name, hint)
	case w.plain || u.allows(w.kind):
		return nil
	case w.kind == readerWord:
		return errorAt(call.NameRange, "A reader may not be used here", "%s() names a reader. It stands in the readers of a policy.", call.Name)
	case w.kind == workloadWord:
		return errorAt(call.NameRange, "A workload may not be used here", "%s() names what runs programs. It stands in the rollout of a kubernetes_secret, sealed_secret or external_secret.", call.Name)
	case w.kind == factWord:
		return errorAt(call.NameRange, "Unknown here", "%s() asks about the state. It stands in the condition of a check.", call.Name)
	default:
		return errorAt(call.NameRange, "A secret may not be used here", "%s() gives a secret, and this is %s. %s", call.Name, u.what, u.secretsFlow())
	}
}

// isPlain reports whether HCL can evaluate expr: it speaks of no secret and
// calls nothing that gives one.
func (l *loader) isPlain(expr hclsyntax.Expression) bool {
	if plain, done := l.plain[expr]; done {
		return plain
	}
	plain := firstSecret(l, expr) == nil
	l.plain[expr] = plain
	return plain
}

// firstSecret returns the place in expr that brings a secret in, or nil.
func firstSecret(l *loader, expr hclsyntax.Expression) *hcl.Range {
	for _, t := range hclsyntax.Variables(expr) {
		switch t.RootName() {
		case "secret", "self", "app":
			return t.SourceRange().Ptr()
		}
	}
	var at *hcl.Range
	_ = hclsyntax.VisitAll(expr, func(n hclsyntax.Node) hcl.Diagnostics {
		if call, isCall := n.(*hclsyntax.FunctionCallExpr); isCall && at == nil && !l.words[call.Name].plain {
			at = call.Range().Ptr()
		}
		return nil
	})
	return at
}
