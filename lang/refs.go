package lang

import (
	"fmt"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"

	"github.com/cofferhq/coffer/lang/addr"
)

// target is what a reference names.
type target struct {
	decl  *decl
	field string
}

// resolve finds what a traversal that starts with self, secret or app refers
// to, in no particular environment.
func (s *scope) resolve(t hcl.Traversal) (target, *hcl.Diagnostic) {
	names, d := s.l.attributes(t)
	if d != nil {
		return target{}, d
	}
	if t.RootName() == "self" {
		return s.resolveSelf(names, t)
	}
	a, rest := s.app, names[1:]
	if t.RootName() == "app" {
		if a, rest, d = s.l.resolveApp(names, t); d != nil {
			return target{}, d
		}
	}
	if len(rest) == 0 {
		return target{}, errorAt(t.SourceRange(), "Incomplete reference", "Write secret.NAME, and secret.NAME.FIELD for one with fields.")
	}
	to := a.of(addr.KindSecret)[rest[0]]
	if to == nil {
		return target{}, unknownSecret(a, rest[0], t.SourceRange())
	}
	return to.member(rest[1:], t)
}

// attributes returns the names of a traversal's steps, root included.
func (l *loader) attributes(t hcl.Traversal) ([]string, *hcl.Diagnostic) {
	var names []string
	for _, step := range t {
		switch step := step.(type) {
		case hcl.TraverseRoot:
			names = append(names, step.Name)
		case hcl.TraverseAttr:
			names = append(names, step.Name)
		case hcl.TraverseIndex:
			detail := "A reference is names with dots between: secret.NAME or secret.NAME.FIELD. It always means the same environment."
			if isText(step.Key) && !slices.Contains(l.envs, step.Key.AsString()) && addr.ValidName(step.Key.AsString()) {
				detail += fmt.Sprintf(" A field is written .%s, without brackets.", step.Key.AsString())
			}
			return nil, errorAt(step.SrcRange, "Brackets in a reference", "%s", detail)
		default:
			return nil, errorAt(t.SourceRange(), "Not a reference", "A reference is names with dots between: secret.NAME or secret.NAME.FIELD.")
		}
	}
	return names, nil
}

func (s *scope) resolveSelf(names []string, t hcl.Traversal) (target, *hcl.Diagnostic) {
	at := t.SourceRange()
	switch {
	case s.decl == nil || s.decl.kind != addr.KindSecret:
		return target{}, errorAt(at, "No secret here", "self is another field of the same secret. Here write secret.NAME or secret.NAME.FIELD.")
	case s.decl.single:
		return target{}, errorAt(at, "No fields here", "self.NAME is another field of the same secret, and this one has a single value. Write fields = { … } instead of value.")
	case len(names) != 2:
		return target{}, errorAt(at, "Incomplete reference", "Write self.NAME for another field of this secret.")
	}
	return s.decl.member(names[1:], t)
}

func (l *loader) resolveApp(names []string, t hcl.Traversal) (*app, []string, *hcl.Diagnostic) {
	at := t.SourceRange()
	if len(names) < 4 || names[2] != addr.KindSecret {
		detail := "Write app.APP.secret.NAME, and app.APP.secret.NAME.FIELD for one with fields."
		if len(names) > 2 && (names[2] == addr.KindPolicy || slices.Contains(copyKinds(), names[2])) {
			detail = fmt.Sprintf("Nothing can be taken from %s; refer to the secrets in it. %s", oneOf(names[2]), detail)
		}
		return nil, nil, errorAt(at, "Incomplete reference", "%s", detail)
	}
	a := l.apps[names[1]]
	if a == nil {
		return nil, nil, errorAt(at, "Unknown app", "There is no app %q.%s", names[1], didYouMean(names[1], sortedKeys(l.apps)))
	}
	return a, names[3:], nil
}

func unknownSecret(a *app, name string, at hcl.Range) *hcl.Diagnostic {
	hint := didYouMean(name, sortedKeys(a.of(addr.KindSecret)))
	for _, kind := range copyKinds() {
		if a.of(kind)[name] != nil {
			hint = fmt.Sprintf(" There is %s of that name, but nothing can be taken from one; refer to the secrets in it.", oneOf(kind))
			break
		}
	}
	return errorAt(at, "Unknown secret", "App %q has no secret %q.%s", a.name, name, hint)
}

// member resolves what follows the name of a secret.
func (d *decl) member(rest []string, t hcl.Traversal) (target, *hcl.Diagnostic) {
	at := t.SourceRange()
	switch {
	case len(d.items) == 0:
		return target{decl: d}, errorAt(at, "Secret cannot be referred to", "Secret %q of app %q has neither value nor fields; see its block at %s.", d.name, d.app.name, place(d.block.DefRange()))
	case d.single && len(rest) > 0:
		return target{}, errorAt(at, "No such field", "Secret %q has a single value and no fields. Write it without .%s.", d.name, strings.Join(rest, "."))
	case d.single:
		return target{decl: d}, nil
	case len(rest) == 0:
		return target{}, errorAt(at, "Which field?", "Secret %q has fields, so a reference names one.%s", d.name, fieldHint(d))
	case len(rest) > 1:
		return target{}, errorAt(at, "No such field", "A field has no parts. Write secret.%s.%s.", d.name, rest[0])
	case !d.has(rest[0]):
		return target{}, errorAt(at, "Unknown field", "Secret %q has no field %q.%s", d.name, rest[0], didYouMean(rest[0], d.fieldNames()))
	}
	return target{decl: d, field: rest[0]}, nil
}

func fieldHint(d *decl) string {
	names := d.fieldNames()
	if len(names) == 1 {
		return fmt.Sprintf(" Write secret.%s.%s.", d.name, names[0])
	}
	return fmt.Sprintf(" It has %s.", strings.Join(names, ", "))
}

// elsewhere says that what is referred to is not in this environment.
func (s *scope) elsewhere(to *decl, at hcl.Range) *hcl.Diagnostic {
	return errorAt(at, "Secret is not in this environment",
		"%s exists in %s, and this is evaluated for %s. Widen environments there, narrow them here, or choose with a conditional on each.environment.",
		to.address(), environmentList(to.envs), s.env)
}

// addressOf reads an address written as an expression:
// app.checkout.secret.db["production"].
func (l *loader) addressOf(expr hcl.Expression) (addr.Address, *hcl.Diagnostic) {
	const form = `Write for example app.checkout.secret.db["production"], app.checkout.secret.db for every environment, or app.checkout for a whole app.`
	t, diags := hcl.AbsTraversalForExpr(expr)
	if diags.HasErrors() {
		return addr.Address{}, errorAt(expr.Range(), "Not an address", "An address is written plainly, without quotes and functions. %s", form)
	}
	var text strings.Builder
	for _, step := range t {
		switch step := step.(type) {
		case hcl.TraverseRoot:
			text.WriteString(step.Name)
		case hcl.TraverseAttr:
			text.WriteString("." + step.Name)
		case hcl.TraverseIndex:
			if step.Key.Type() != cty.String {
				return addr.Address{}, errorAt(step.SrcRange, "Not an address", "Between the brackets stands an environment in quotes. %s", form)
			}
			fmt.Fprintf(&text, "[%q]", step.Key.AsString())
		}
	}
	a, err := addr.Parse(text.String())
	if err != nil {
		return a, errorAt(expr.Range(), "Not an address", "%s. %s", err, form)
	}
	if a.App == "" && besideKinds()[a.Kind] != nil {
		return a, besideAddress(a, expr.Range())
	}
	switch {
	case a.App == "" || a.Kind != "" && !slices.Contains(valueKinds(), a.Kind):
		return a, errorAt(expr.Range(), "Not an address", "This names no app, no secret and nothing made of secrets. %s", form)
	case a.AppKey != "" || a.Key != "":
		return a, errorAt(expr.Range(), "Not built yet", "Keys of for_each come later; one pair of brackets behind a secret is its environment. %s", form)
	}
	return a, nil
}
