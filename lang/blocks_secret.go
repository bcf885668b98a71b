package lang

import (
	"maps"
	"regexp"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
)

func secretSchema() schema {
	return schema{
		what: "secret",
		arguments: []string{
			"value", "fields", "path", "key", "format", "labels", "description", "owner", "generation",
			"protect", "on_outside_change", "environments", "rotation", "type", "annotations", "immutable",
		},
		blocks: []string{"rotation"},
	}
}

// declareSecret reads what others may refer to: whether there are fields, and
// which.
func (l *loader) declareSecret(d *decl) {
	value, fields := d.body.arguments["value"], d.body.arguments["fields"]
	switch {
	case value != nil && fields != nil:
		l.diags.add(errorAt(fields.NameRange, "Value written twice", "A secret has a value or fields, not both. Make the value one of the fields."))
	case value != nil:
		d.single = true
		d.items = []item{{expr: value.Expr}}
	case fields != nil:
		d.items = l.items(fields, regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_-]{0,62}$`).MatchString, "field",
			"a letter or _, then up to 62 letters, digits, _ and -")
	default:
		l.diags.add(missing(d.block, "value or fields", "for example value = random_password()"))
	}
	if attr := d.body.arguments["key"]; attr != nil && fields != nil {
		l.diags.add(errorAt(attr.NameRange, "Key without use", "key renames the key of a single value. Fields have names of their own: rename the field."))
	}
	l.checkGeneration(d)
	l.checkOwner(d)
}

func (l *loader) checkGeneration(d *decl) {
	attr := d.body.arguments["generation"]
	if attr == nil || len(d.items) == 0 || d.calls(l, suppliedWord) {
		return
	}
	l.diags.add(errorAt(attr.NameRange, "Generation without use",
		"generation writes a supplied value again: from_env(), from_file(), from_dotenv(), from_sops(). For a new generated value run coffer rotate."))
}

func (l *loader) checkOwner(d *decl) {
	attr := d.body.arguments["owner"]
	if attr == nil || len(d.items) == 0 || d.calls(l, generatorWord) {
		return
	}
	l.diags.add(errorAt(attr.NameRange, "Owner without use",
		"owner = \"bootstrap\" generates a first value that others then change. This secret generates none: use manual() alone."))
}

// calls reports whether an expression of the secret calls such a function.
func (d *decl) calls(l *loader, kind wordKind) bool {
	found := false
	for _, i := range d.items {
		_ = hclsyntax.VisitAll(i.expr.(hclsyntax.Node), func(n hclsyntax.Node) hcl.Diagnostics {
			if call, ok := n.(*hclsyntax.FunctionCallExpr); ok && l.words[call.Name].kind == kind {
				found = true
			}
			return nil
		})
	}
	return found
}

// loadSecret evaluates a secret for one environment.
func (s *scope) loadSecret() {
	d, args := s.decl, s.decl.body.arguments
	env := s.l.cfg.Environments[s.env]
	u := usage{what: "an argument of a secret", each: secretEach()}
	secret := &Secret{
		Address:     s.owner,
		Store:       s.l.storeOf(s.env),
		Replicas:    env.Replicas,
		Path:        s.filled(args["path"], u),
		Key:         s.filled(args["key"], u),
		Format:      s.oneOf(args["format"], u, "json", "raw"),
		Labels:      s.labelsOf(args["labels"], u),
		Description: s.text(args["description"], u),
		Owner:       s.oneOf(args["owner"], u, "bootstrap"),
		Generation:  s.integer(args["generation"], 1, u),
		Protect:     s.boolean(args["protect"], env.Protect, u),
		Single:      d.single,
		Form:        s.form(args, u),
		Range:       d.block.DefRange(),
		PathRange:   d.block.DefRange(),
	}
	if attr := args["path"]; attr != nil {
		secret.PathRange = attr.Range()
	}
	secret.OnOutsideChange = s.onOutsideChange(args["on_outside_change"], u)
	b := sourceBuilder{scope: s, usage: usage{what: "a value", each: secretEach(), secrets: true}}
	for _, i := range d.items {
		if b.name = i.name; d.single {
			b.name = "value"
		}
		if source := b.build(i.expr); source != nil {
			secret.Fields = append(secret.Fields, Field{Name: i.name, Source: source})
		}
	}
	secret.Rotation = s.secretRotation(secret.Fields)
	s.l.cfg.Secrets = append(s.l.cfg.Secrets, secret)
}

func (s *scope) onOutsideChange(attr *hclsyntax.Attribute, u usage) string {
	choice := s.oneOf(attr, u, outsideChoices()...)
	if choice == "" {
		choice = s.l.defaults.onOutsideChange
	}
	if choice == "" {
		choice = "stop"
	}
	return choice
}

// labelsOf merges a secret's labels over those of defaults. The result may be
// shared by many secrets.
func (s *scope) labelsOf(attr *hclsyntax.Attribute, u usage) map[string]string {
	inherited := s.l.defaultLabels(s)
	own := s.textMap(attr, u)
	if len(own) == 0 {
		return inherited
	}
	merged := maps.Clone(inherited)
	if merged == nil {
		merged = map[string]string{}
	}
	maps.Copy(merged, own)
	return merged
}

// secretRotation leaves out what has nothing to rotate: a value made of other
// secrets changes when they do.
func (s *scope) secretRotation(fields []Field) Rotation {
	args := s.decl.body
	written := args.arguments["rotation"] != nil || args.block("rotation") != nil
	if len(fields) > 0 && onlyComputed(fields) {
		if !written {
			return Rotation{}
		}
		at := s.decl.block.DefRange()
		if attr := args.arguments["rotation"]; attr != nil {
			at = attr.NameRange
		}
		r := s.rotation(args)
		if !r.Never {
			s.report(warningAt(at, "Nothing to rotate", "This value is made of other secrets and changes when they do. Rotate those instead."))
			return Rotation{}
		}
		return r
	}
	return s.rotation(args)
}
