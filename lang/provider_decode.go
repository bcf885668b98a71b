package lang

import (
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
)

// configDecoder is how a field of a driver's configuration takes several
// shapes; see providers.ConfigDecoder, which has the same method.
type configDecoder interface {
	DecodeConfig(v any) error
}

// blockDecoder is how a block with labels chooses what its body decodes into;
// see providers.BlockDecoder, which has the same method.
type blockDecoder interface {
	DecodeBlock(labels []string) (any, error)
}

// Decode fills into, a pointer to a struct whose fields carry `hcl:"name"` or
// `hcl:"name,optional"` tags. Fields are string, bool, int, []string,
// map[string]string, or a type whose pointer has DecodeConfig(any) error, which
// is given string, bool, float64, []any or map[string]any. An argument that is
// null counts as not written. A field `hcl:"name,block"` is a slice of a type
// whose pointer has DecodeBlock(labels) (any, error): each block of that name,
// in order, becomes an element, and its body fills what DecodeBlock returns.
//
// A field of the type that credential returns is a credential: the argument is
// from_env(…) or its like, which reaches credential as it is written and is not
// read here. With the tag `credential:"plain"` text will do too; it is then a
// source of kind [Literal]. credential may be called for arguments that are not
// used afterwards; it is nil where no field is one.
//
// Unknown, missing and ill-typed arguments and blocks are diagnostics at their
// place. The alias is no argument of a driver's. Decode panics if into is not
// such a pointer, which is a mistake in the driver.
func (p *Provider) Decode(into any, credential func(*Source) any) hcl.Diagnostics {
	d := &providerDecoder{provider: p.Type, credential: credential}
	d.credentialIs(credential)
	d.body(p.body, into, bodyName{text: "The provider " + p.Type, at: p.Range, also: []string{"alias"}})
	return d.diags
}

func (d *providerDecoder) credentialIs(credential func(*Source) any) {
	if credential != nil {
		d.credentialType = reflect.TypeOf(credential(&Source{Kind: Literal}))
	}
}

// CredentialUse says in a few words what a source that [Provider.Decode] gave
// away is for: `auth "approle"`, or the name of the provider's own argument.
func (p *Provider) CredentialUse(s *Source) string {
	for _, arg := range p.body.arguments {
		if arg.source == s {
			return arg.name
		}
	}
	for _, block := range p.body.blocks {
		if block.body.holds(s) {
			return block.form()
		}
	}
	return ""
}

func (b providerBody) holds(s *Source) bool {
	return slices.ContainsFunc(b.arguments, func(a argument) bool { return a.source == s }) ||
		slices.ContainsFunc(b.blocks, func(inner providerBlock) bool { return inner.body.holds(s) })
}

// form is how the head of the block is written: auth "approle".
func (b providerBlock) form() string {
	text := b.typ
	for _, label := range b.labels {
		text += " " + quoted(label)
	}
	return text
}

// providerDecoder is one run of [Provider.Decode].
type providerDecoder struct {
	provider       string // its type
	credential     func(*Source) any
	credentialType reflect.Type
	diags          hcl.Diagnostics
}

// bodyName is how messages speak of a body.
type bodyName struct {
	text string    // starts a sentence: "The provider vault"
	at   hcl.Range // for what is missing
	also []string  // names that are known besides the fields
}

// decodeTarget is a struct to decode into, its fields by the name in their tag.
type decodeTarget struct {
	fields map[string]reflect.StructField
	value  reflect.Value
}

func targetOf(into any) decodeTarget {
	t := decodeTarget{fields: map[string]reflect.StructField{}, value: reflect.ValueOf(into).Elem()}
	for i := range t.value.NumField() {
		field := t.value.Type().Field(i)
		if name, _, _ := strings.Cut(field.Tag.Get("hcl"), ","); name != "" {
			t.fields[name] = field
		}
	}
	return t
}

// names lists the arguments, or the blocks.
func (t decodeTarget) names(blocks bool) []string {
	var names []string
	for _, name := range sortedKeys(t.fields) {
		if t.isBlock(name) == blocks {
			names = append(names, name)
		}
	}
	return names
}

func (t decodeTarget) option(name string) string {
	field, known := t.fields[name]
	if !known {
		return ""
	}
	_, option, _ := strings.Cut(field.Tag.Get("hcl"), ",")
	return option
}

func (t decodeTarget) isBlock(name string) bool { return t.option(name) == "block" }

func (t decodeTarget) field(name string) reflect.Value {
	return t.value.FieldByIndex(t.fields[name].Index)
}

func (d *providerDecoder) report(at hcl.Range, summary, format string, args ...any) {
	d.add(errorAt(at, summary, format, args...))
}

func (d *providerDecoder) add(diag *hcl.Diagnostic) {
	if len(d.diags) < maxFindings {
		d.diags = append(d.diags, diag)
	}
}

func (d *providerDecoder) body(in providerBody, into any, name bodyName) {
	t := targetOf(into)
	given := map[string]bool{}
	for _, arg := range in.arguments {
		if len(d.diags) >= maxFindings {
			return
		}
		switch _, known := t.fields[arg.name]; {
		case !known:
			d.unknownArgument(arg, t, name)
		case t.isBlock(arg.name):
			d.report(arg.nameRange, "Block written as an argument", "%s is a block: write %s { … } without the equals sign.", arg.name, arg.name)
		case arg.value != nil || arg.source != nil:
			given[arg.name] = true
			d.argument(arg, t)
		}
	}
	for _, block := range in.blocks {
		if len(d.diags) >= maxFindings {
			return
		}
		if t.isBlock(block.typ) {
			d.block(block, t.field(block.typ))
		} else {
			d.unknownBlock(block, t, name)
		}
	}
	for _, argument := range t.names(false) {
		if !given[argument] && t.option(argument) != "optional" {
			d.report(name.at, "Missing argument", "%s needs the argument %q.", name.text, argument)
		}
	}
}

func (d *providerDecoder) unknownArgument(arg argument, t decodeTarget, name bodyName) {
	if advice := reservedArgument(arg.name); advice != "" {
		d.report(arg.nameRange, "Not in this language", "%s does not exist here: %s.", arg.name, advice)
		return
	}
	hint := didYouMean(arg.name, slices.Concat(sortedKeys(t.fields), name.also))
	if len(t.fields)+len(name.also) == 0 {
		hint = " It takes none."
	}
	d.report(arg.nameRange, "Unknown argument", "%s has no argument %q.%s", name.text, arg.name, hint)
}

func (d *providerDecoder) unknownBlock(block providerBlock, t decodeTarget, name bodyName) {
	if _, known := t.fields[block.typ]; known {
		d.report(block.typeRange, "Argument written as a block", "%s is an argument: write %s = … with an equals sign.", block.typ, block.typ)
		return
	}
	if advice := reservedBlock(block.typ); advice != "" {
		d.report(block.typeRange, "Not in this language", "%s blocks do not exist here: %s.", block.typ, advice)
		return
	}
	if home := homeOf(block.typ, "provider"); home != "" {
		d.report(block.typeRange, "Block in the wrong place", "%s blocks stand %s.", block.typ, home)
		return
	}
	hint := didYouMean(block.typ, t.names(true))
	if len(t.names(true)) == 0 {
		hint = " It holds no blocks."
	}
	if near := suggest(block.typ, sortedKeys(t.fields)); near != "" {
		hint = didYouMean(block.typ, []string{near})
	}
	d.report(block.typeRange, "Unknown block", "%s has no block %q.%s", name.text, block.typ, hint)
}

// block appends an element to field and fills it.
func (d *providerDecoder) block(block providerBlock, field reflect.Value) {
	element := reflect.New(field.Type().Elem())
	decoder, ok := element.Interface().(blockDecoder)
	if !ok {
		panic(fmt.Sprintf("lang: a provider's block cannot be a %s: it has no DecodeBlock", field.Type().Elem()))
	}
	into, err := decoder.DecodeBlock(block.labels)
	if err != nil {
		d.report(block.defRange, "Invalid block", "%s: %s.", block.form(), strings.TrimSuffix(err.Error(), "."))
		return
	}
	d.body(block.body, into, bodyName{text: "The block " + block.form(), at: block.defRange})
	field.Set(reflect.Append(field, element.Elem()))
}

func (d *providerDecoder) argument(arg argument, t decodeTarget) {
	field := t.field(arg.name)
	if d.credentialType != nil && field.Type() == d.credentialType {
		d.credentialArgument(arg, field, t.fields[arg.name].Tag.Get("credential") == "plain")
		return
	}
	if arg.source != nil {
		d.report(arg.exprRange, "A credential may not be used here",
			"%s is plain text, which plans may show, and %s() gives a credential. Take it from a variable: var.NAME.", arg.name, arg.source.function())
		return
	}
	if err := decodeInto(field, arg.value); err != nil {
		d.report(arg.exprRange, "Invalid argument", "%s: %s.", arg.name, strings.TrimSuffix(err.Error(), "."))
	}
}

// credentialArgument sets a field that is a credential. What is written in the
// configuration itself is told wherever it stands, also in the branch that does
// not hold today.
func (d *providerDecoder) credentialArgument(arg argument, field reflect.Value, plain bool) {
	source := arg.source
	if arg.text != nil && !plain {
		d.add(writtenSecret(*arg.text,
			"%s is a secret: write where it comes from, never the secret itself: %s = from_env(\"%s_%s\"), or from_file(), from_dotenv() or from_sops(). A variable is plain text too.",
			arg.name, arg.name, strings.ToUpper(d.provider), strings.ToUpper(arg.name)))
		return
	}
	if source == nil {
		text, ok := arg.value.(string)
		switch {
		case !ok:
			d.report(arg.exprRange, "Invalid argument", "%s: it must be text, or from_env(\"NAME\") and its like.", arg.name)
			return
		case text == "":
			d.report(arg.exprRange, "Empty text", "%s is empty. Give it a value, or leave the argument out.", arg.name)
			return
		}
		source = &Source{Kind: Literal, Plain: text, Range: arg.exprRange}
	}
	field.Set(reflect.ValueOf(d.credential(source)))
}

// function returns the name of the function that a supplied source is.
func (s *Source) function() string {
	name, _, _ := strings.Cut(s.Text(), "(")
	return name
}
