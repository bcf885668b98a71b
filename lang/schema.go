package lang

import (
	"fmt"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"

	"github.com/cofferhq/coffer/lang/addr"
)

// schema is what the body of a block may hold.
type schema struct {
	what      string   // how messages call the block: "secret"
	arguments []string // in the order the documentation lists them
	blocks    []string
	repeat    []string // blocks that may be written more than once
}

// body is a block's body after [loader.content]: what is written and known.
type body struct {
	arguments map[string]*hclsyntax.Attribute
	blocks    hclsyntax.Blocks
}

// block returns the only block of a type, or nil.
func (b body) block(typ string) *hclsyntax.Block {
	for _, block := range b.blocks {
		if block.Type == typ {
			return block
		}
	}
	return nil
}

// content sorts a body by its schema and reports what does not fit.
func (l *loader) content(in *hclsyntax.Body, s schema) body {
	out := body{arguments: map[string]*hclsyntax.Attribute{}}
	for _, attr := range sortedAttributes(in) {
		if l.diags.full() && l.diags.hasErrors() {
			break
		}
		if slices.Contains(s.arguments, attr.Name) {
			out.arguments[attr.Name] = attr
		} else {
			l.unknownArgument(attr, s)
		}
	}
	for _, block := range in.Blocks {
		if !l.knownBlock(block, s.blocks, s.what, s.arguments...) {
			continue
		}
		if first := out.block(block.Type); first != nil && !slices.Contains(s.repeat, block.Type) {
			l.diags.add(errorAt(block.DefRange(), "Block written twice",
				"Only one %s block stands in %s; the first is at %s. Merge the two.", block.Type, oneOf(s.what), place(first.DefRange())))
			continue
		}
		out.blocks = append(out.blocks, block)
	}
	return out
}

func (l *loader) unknownArgument(attr *hclsyntax.Attribute, s schema) {
	if advice := reservedArgument(attr.Name); advice != "" {
		l.diags.add(errorAt(attr.NameRange, "Not in this language", "%s does not exist here: %s.", attr.Name, advice))
		return
	}
	if advice := otherArgument(s.what, attr.Name); advice != "" {
		l.diags.add(errorAt(attr.NameRange, "Argument of another block", "%s has no %s: %s.", capital(oneOf(s.what)), attr.Name, advice))
		return
	}
	if advice := laterArgument(s.what, attr.Name); advice != "" {
		l.diags.add(errorAt(attr.NameRange, "Not built yet", "The argument %s comes later: %s.", attr.Name, advice))
		return
	}
	if slices.Contains(s.blocks, attr.Name) {
		l.diags.add(errorAt(attr.NameRange, "Block written as an argument",
			"%s is a block: write %s { … } without the equals sign.", attr.Name, attr.Name))
		return
	}
	detail := fmt.Sprintf("There is no argument %q in %s.", attr.Name, oneOf(s.what))
	if len(s.arguments) == 0 {
		detail += " It takes none."
	}
	l.diags.add(errorAt(attr.NameRange, "Unknown argument", "%s%s", detail, didYouMean(attr.Name, slices.Concat(s.arguments, s.blocks))))
}

// knownBlock reports whether block may stand in parent ("" is the top of a
// file), and says why not.
func (l *loader) knownBlock(block *hclsyntax.Block, known []string, parent string, arguments ...string) bool {
	if slices.Contains(known, block.Type) {
		return true
	}
	at := block.TypeRange
	if slices.Contains(arguments, block.Type) {
		l.diags.add(errorAt(at, "Argument written as a block", "%s is an argument: write %s = … with an equals sign.", block.Type, block.Type))
		return false
	}
	if advice := reservedBlock(block.Type); advice != "" {
		l.diags.add(errorAt(at, "Not in this language", "%s blocks do not exist here: %s.", block.Type, advice))
		return false
	}
	if advice := laterBlock(parent, block.Type); advice != "" {
		l.diags.add(errorAt(at, "Not built yet", "%s blocks come later: %s.", block.Type, advice))
		return false
	}
	if home := homeOf(block.Type, parent); home != "" {
		l.diags.add(errorAt(at, "Block in the wrong place", "%s blocks stand %s.", block.Type, home))
		return false
	}
	where := "at the top of a file"
	if parent != "" {
		where = "in " + oneOf(parent)
	}
	hint := didYouMean(block.Type, slices.Concat(known, arguments))
	if len(known)+len(arguments) == 0 {
		hint = " It holds no blocks."
	}
	l.diags.add(errorAt(at, "Unknown block", "There is no block %q %s.%s", block.Type, where, hint))
	return false
}

// homeOf says where a block of a known type belongs, if not in parent.
func homeOf(typ, parent string) string {
	switch typ {
	case "secret", "env_file", "kubernetes_secret", "sealed_secret", "external_secret", "policy":
		return `inside an app block: app "NAME" { … }`
	case "rotation":
		if parent != "" {
			return "at the top of a file, with a name, or inside a secret"
		}
	case "assert":
		return "inside a check block"
	case "auth":
		if parent == "" {
			return `inside the provider block that signs in with it: provider "vault" { … }`
		}
		if parent == "external_secret" {
			return "inside the store block of an external_secret"
		}
	case "store":
		if parent != "" {
			return "inside an external_secret: how the operator signs in to the store"
		}
	case "sealed_secrets", "external_secrets":
		return `inside the provider block of the cluster: provider "kubernetes" { … }`
	case "backend", "encryption", "audit", "policy_pack":
		return "inside the coffer block"
	case "rule":
		return "inside the policy_pack block of the coffer block"
	case "validation":
		return "inside a variable block"
	}
	if parent != "" && slices.Contains(topLevelBlocks(), typ) {
		return "at the top of a file"
	}
	return ""
}

// labels returns the labels of a block, exactly as many as there are names, or
// false after saying what is wrong.
func (l *loader) labels(block *hclsyntax.Block, names ...string) ([]string, bool) {
	if len(block.Labels) == len(names) {
		return block.Labels, true
	}
	form := block.Type
	for _, name := range names {
		form += fmt.Sprintf(" %q", name)
	}
	l.diags.add(errorAt(block.DefRange(), "Wrong number of labels", "Write %s { … }.", form))
	return nil, false
}

// name returns the only label of a block, checked to be a name.
func (l *loader) name(block *hclsyntax.Block) (string, bool) {
	labels, ok := l.labels(block, "NAME")
	if !ok {
		return "", false
	}
	return labels[0], l.checkName(labels[0], block.LabelRanges[0])
}

func (l *loader) checkName(name string, at hcl.Range) bool {
	if addr.ValidName(name) {
		return true
	}
	detail := "A name is a small letter, then up to 62 of a-z, 0-9, _ and -."
	if s := nameLike(name); s != "" {
		detail += fmt.Sprintf(" %q would do.", s)
	}
	l.diags.add(errorAt(at, "Invalid name", "%s", detail))
	return false
}

// nameLike returns a valid name that reads like s, or "".
func nameLike(s string) string {
	s = strings.Map(func(r rune) rune {
		if (r >= 'a' && r <= 'z') || (r >= '0' && r <= '9') || r == '_' || r == '-' {
			return r
		}
		return '_'
	}, strings.ToLower(s))
	if s = strings.TrimLeft(s, "_-0123456789"); addr.ValidName(s) {
		return s
	}
	return ""
}

// twice reports a second block of one name, at both.
func (l *loader) twice(what string, first, second hcl.Range) {
	l.twiceFix(what, first, second, "Merge the two, or rename one.")
}

func (l *loader) twiceFix(what string, first, second hcl.Range, fix string) {
	l.diags.add(
		errorAt(first, "Declared twice", "%s is declared again at %s. %s", what, place(second), fix),
		errorAt(second, "Declared twice", "%s is declared at %s already. %s", what, place(first), fix),
	)
}

func place(r hcl.Range) string { return fmt.Sprintf("%s:%d", r.Filename, r.Start.Line) }

func sortedAttributes(b *hclsyntax.Body) []*hclsyntax.Attribute {
	attrs := make([]*hclsyntax.Attribute, 0, len(b.Attributes))
	for _, a := range b.Attributes {
		attrs = append(attrs, a)
	}
	slices.SortFunc(attrs, func(a, b *hclsyntax.Attribute) int { return a.NameRange.Start.Byte - b.NameRange.Start.Byte })
	return attrs
}
