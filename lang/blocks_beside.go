package lang

import (
	"fmt"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"

	"github.com/cofferhq/coffer/lang/addr"
)

// besideKinds are the blocks beside apps that declare an object of a provider,
// each with the names of its labels.
func besideKinds() map[string][]string {
	return map[string][]string{
		addr.KindPolicyDocument: {"NAME"},
		addr.KindRole:           {"TYPE", "NAME"},
		addr.KindMount:          {"TYPE", "NAME"},
	}
}

// besideForm is how a block or an address of a kind is written.
func besideForm(kind string) (block, address string) {
	block, address = kind, kind
	for _, label := range besideKinds()[kind] {
		block += fmt.Sprintf(" %q", label)
		address += "." + label
	}
	return block, address
}

func (l *loader) loadObjects() {
	for _, kind := range sortedKeys(besideKinds()) {
		for _, block := range l.blocks[kind] {
			o := l.loadObject(block)
			if o == nil {
				continue
			}
			if first := l.objects[o.Address]; first != nil {
				l.twice(o.Address.String(), first.Range, o.Range)
				continue
			}
			l.objects[o.Address] = o
			l.cfg.Objects = append(l.cfg.Objects, o)
		}
	}
	slices.SortFunc(l.cfg.Objects, func(a, b *Object) int { return a.Address.Compare(b.Address) })
}

// loadObject evaluates a block whose arguments only the driver knows. It
// returns nil where the block has no address.
func (l *loader) loadObject(block *hclsyntax.Block) *Object {
	kind := block.Type
	labels, ok := l.labels(block, besideKinds()[kind]...)
	if !ok {
		return nil
	}
	for i, label := range labels {
		ok = l.checkName(label, block.LabelRanges[i]) && ok
	}
	if !ok {
		return nil
	}
	o := &Object{Address: addr.Beside(kind, "", labels[0]), Range: block.DefRange()}
	if len(labels) == 2 {
		o.Address = addr.Beside(kind, labels[0], labels[1])
	}
	for _, inner := range block.Body.Blocks {
		l.noBlockIn(inner, kind)
	}
	s := l.global()
	u := usage{
		what: "an argument of " + oneOf(kind),
		flow: "What a " + kind + " says is public text, shown in plans and kept in the state.",
	}
	if attr := block.Body.Attributes["provider"]; attr != nil {
		o.Provider = s.providerRef(attr.Expr, u)
	} else {
		l.diags.add(missing(block, "provider", "the provider block that has it, for example provider = vault"))
	}
	if kind == addr.KindPolicyDocument && block.Body.Attributes["document"] == nil {
		l.diags.add(missing(block, "document", `the text of the policy: document = file("policies/NAME.hcl")`))
	}
	for _, attr := range sortedAttributes(block.Body) {
		if l.diags.full() && l.diags.hasErrors() {
			break
		}
		if attr.Name != "provider" {
			s.objectArgument(o, attr, u)
		}
	}
	return o
}

// noBlockIn says how to write what stands as a block in a body of arguments.
func (l *loader) noBlockIn(inner *hclsyntax.Block, kind string) {
	if reservedBlock(inner.Type) != "" {
		l.knownBlock(inner, nil, kind)
		return
	}
	l.knownBlock(inner, nil, kind, inner.Type)
}

func (s *scope) objectArgument(o *Object, attr *hclsyntax.Attribute, u usage) {
	if o.Address.Kind == addr.KindPolicyDocument && attr.Name == "document" {
		s.document(o, attr, u)
		return
	}
	if value, ok := s.argument(attr, u); ok {
		o.Arguments = append(o.Arguments, Argument{Name: attr.Name, Value: value, Range: attr.Expr.Range()})
	}
}

func (s *scope) document(o *Object, attr *hclsyntax.Attribute, u usage) {
	v, ok := s.eval(attr.Expr, u)
	if !ok {
		return
	}
	text, isText := plainData(v).(string)
	if !isText || strings.TrimSpace(text) == "" {
		s.report(errorAt(attr.Expr.Range(), "Not a document", "document is the text of the policy, and not empty: document = file(\"policies/NAME.hcl\")."))
		return
	}
	o.Arguments = append(o.Arguments, Argument{Name: attr.Name, Value: text, Range: attr.Expr.Range()})
}

// argument evaluates an argument that only a driver knows to plain data. It
// returns false where it is null, as if it were not written, and after reporting
// a problem.
func (s *scope) argument(attr *hclsyntax.Attribute, u usage) (any, bool) {
	if advice := reservedArgument(attr.Name); advice != "" {
		s.report(errorAt(attr.NameRange, "Not in this language", "%s does not exist here: %s.", attr.Name, advice))
		return nil, false
	}
	v, ok := s.eval(attr.Expr, u)
	if !ok {
		return nil, false
	}
	value := plainData(v)
	if value != nil && holdsNull(value) {
		s.report(errorAt(attr.Expr.Range(), "No value", "%s has an element that is null.", attr.Name))
		return nil, false
	}
	return value, value != nil
}

func holdsNull(v any) bool {
	switch v := v.(type) {
	case nil:
		return true
	case []any:
		return slices.ContainsFunc(v, holdsNull)
	case map[string]any:
		for _, element := range v {
			if holdsNull(element) {
				return true
			}
		}
	}
	return false
}

// undeclaredObject says why nothing is at the address of an object.
func (l *loader) undeclaredObject(a addr.Address, at hcl.Range) *hcl.Diagnostic {
	var known []string
	for other := range l.objects {
		if other.Kind == a.Kind {
			known = append(known, other.String())
		}
	}
	slices.Sort(known)
	hint := didYouMean(a.String(), known)
	if len(known) == 0 {
		form, _ := besideForm(a.Kind)
		hint = fmt.Sprintf(" Declare it: %s { … }.", form)
	}
	return errorAt(at, "Unknown object", "There is no %s.%s", a, hint)
}

// besideAddress checks the address of a thing beside apps.
func besideAddress(a addr.Address, at hcl.Range) *hcl.Diagnostic {
	_, form := besideForm(a.Kind)
	switch typed := len(besideKinds()[a.Kind]) == 2; {
	case typed != (a.Type != ""):
		return errorAt(at, "Not an address", "A %s is written %s.", a.Kind, form)
	case a.Environment != "" || a.Key != "":
		return errorAt(at, "Not an address", "A %s stands beside apps, in no environment: write %s.", a.Kind, form)
	}
	return nil
}
