package lang

import (
	"fmt"
	"slices"
	"time"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"

	"github.com/cofferhq/coffer/lang/addr"
)

func (l *loader) declareRotations() {
	l.rotations = map[string]*hclsyntax.Block{}
	for _, block := range l.blocks["rotation"] {
		name, ok := l.name(block)
		if !ok {
			continue
		}
		if first := l.rotations[name]; first != nil {
			l.twice(fmt.Sprintf("Rotation %q", name), first.DefRange(), block.DefRange())
			continue
		}
		l.rotations[name] = block
	}
	for _, name := range sortedKeys(l.rotations) {
		// Evaluated for nobody, so that an unused block is checked too.
		each := func() map[string]cty.Value {
			return map[string]cty.Value{"environment": cty.UnknownVal(cty.String)}
		}
		poisoned := l.poisoned
		l.poisoned = true
		l.in(nil, nil, "", nil, each).rotationBody(l.rotations[name], namedRotationEach())
		l.poisoned = poisoned
	}
}

func namedRotationEach() []string { return []string{"environment"} }

// rotation works out what applies to a secret: its own rotation, the one it
// names, or that of defaults.
func (s *scope) rotation(b body) Rotation {
	attr, block := b.arguments["rotation"], b.block("rotation")
	switch {
	case attr != nil && block != nil:
		s.report(errorAt(block.DefRange(), "Rotation written twice", "This secret names a rotation and has one of its own. Keep one of them."))
		return Rotation{}
	case block != nil:
		if len(block.Labels) > 0 {
			s.l.labels(block)
			return Rotation{}
		}
		r := s.rotationBody(block, secretEach())
		s.warnUntold(r, block.DefRange())
		return r
	case attr != nil:
		r := s.namedRotation(attr.Expr, usage{what: "the rotation of a secret", each: secretEach()})
		s.warnUntold(r, attr.Expr.Range())
		return r
	case s.l.defaults.rotation != nil:
		return s.inheritedRotation(s.l.defaults.rotation)
	}
	return Rotation{}
}

// inheritedRotation is that of defaults: it makes due and changes nothing.
func (s *scope) inheritedRotation(attr *hclsyntax.Attribute) Rotation {
	r := s.namedRotation(attr.Expr, usage{what: "the rotation of defaults", each: namedRotationEach()})
	if r.Strategy != "" && r.Strategy != "manual" {
		s.l.diags.add(warningAt(attr.Expr.Range(), "Strategy is not inherited",
			"Through defaults a rotation only makes secrets due; nothing changes by itself. Write rotation in each secret that is to change."))
	}
	r.Strategy = ""
	return r
}

// namedRotation reads rotation.NAME or never.
func (s *scope) namedRotation(expr hclsyntax.Expression, u usage) Rotation {
	expr = s.choose(expr, u)
	if expr == nil {
		return Rotation{}
	}
	t, diags := hcl.AbsTraversalForExpr(expr)
	if !diags.HasErrors() && len(t) == 1 && t.RootName() == "never" {
		return Rotation{Never: true, Range: expr.Range()}
	}
	if diags.HasErrors() || len(t) != 2 || t.RootName() != "rotation" {
		s.report(errorAt(expr.Range(), "Not a rotation", "Write rotation.NAME for a rotation block, or never, or a block: rotation { every = \"30d\" }."))
		return Rotation{}
	}
	name, _ := stepName(t[1])
	block := s.l.rotations[name]
	if block == nil {
		hint := didYouMean(name, sortedKeys(s.l.rotations))
		if len(s.l.rotations) == 0 {
			hint = fmt.Sprintf(" Declare it: rotation %q { every = \"30d\" }.", name)
		}
		s.report(errorAt(expr.Range(), "Unknown rotation", "There is no rotation %q.%s", name, hint))
		return Rotation{}
	}
	return s.rotationBody(block, namedRotationEach())
}

func (s *scope) rotationBody(block *hclsyntax.Block, each []string) Rotation {
	b := s.l.content(block.Body, schema{
		what:      "rotation",
		arguments: []string{"every", "notify_before", "overlap", "strategy", "window"},
	})
	u := usage{what: "an argument of a rotation", each: each}
	r := Rotation{Range: block.DefRange()}
	if b.arguments["every"] == nil {
		s.report(missing(block, "every", `for example every = "30d"`))
		return r
	}
	r.Every = s.duration(b.arguments["every"], u)
	r.NotifyBefore = s.duration(b.arguments["notify_before"], u)
	r.Overlap = s.duration(b.arguments["overlap"], u)
	r.Strategy = s.strategy(b.arguments["strategy"], u)
	r.Window = s.window(b.arguments["window"], u)
	if r.Every > 0 && r.NotifyBefore >= r.Every {
		s.report(errorAt(b.arguments["notify_before"].Expr.Range(), "Notice too early",
			"notify_before (%s) must be less than every (%s).", FormatDuration(r.NotifyBefore), FormatDuration(r.Every)))
	}
	if attr := b.arguments["overlap"]; attr != nil && b.arguments["strategy"] == nil {
		s.report(errorAt(attr.NameRange, "Overlap without a strategy", "Two values overlap only with the strategies overlap and alternate_users, which come later. Remove overlap."))
	} else if attr != nil && (r.Strategy == "regenerate" || r.Strategy == "manual") {
		s.report(errorAt(attr.NameRange, "Overlap without use", "With strategy = %q the old value ends when the new one is written. Remove overlap.", r.Strategy))
	}
	return r
}

func (s *scope) duration(attr *hclsyntax.Attribute, u usage) time.Duration {
	text := s.filled(attr, u)
	if text == "" {
		return 0
	}
	d, err := ParseDuration(text)
	if err == nil && d <= 0 {
		err = fmt.Errorf("it must be more than zero")
	}
	if err != nil {
		s.report(errorAt(attr.Expr.Range(), "Invalid duration", "%s: %s.", attr.Name, err))
		return 0
	}
	return d
}

func (s *scope) strategy(attr *hclsyntax.Attribute, u usage) string {
	text := s.oneOf(attr, u, "regenerate", "manual", "overlap", "alternate_users", "provider")
	if why := laterStrategy(text); why != "" {
		s.report(errorAt(attr.Expr.Range(), "Not built yet", "The strategy %q comes later: %s. Today there are regenerate and manual.", text, why))
		return ""
	}
	return text
}

// window is when a rotation may happen: "Sun 02:00-06:00 UTC".
func (s *scope) window(attr *hclsyntax.Attribute, u usage) string {
	text := s.filled(attr, u)
	if text == "" {
		return ""
	}
	if _, err := ParseWindow(text); err != nil {
		s.report(errorAt(attr.Expr.Range(), "Invalid window", "%s: %s.", attr.Name, err))
		return ""
	}
	return text
}

// warnUntold notes that a value is replaced, which nothing may tell the program
// that uses it; see [loader.warnUntold].
func (s *scope) warnUntold(r Rotation, at hcl.Range) {
	if r.Strategy != "regenerate" {
		return
	}
	s.l.untold = append(s.l.untold, untold{s, at})
}

// untold is a secret that rotation replaces, and the place that says so.
type untold struct {
	scope *scope
	at    hcl.Range
}

// warnUntold warns of values that rotation replaces where no program that uses
// them is restarted.
func (l *loader) warnUntold() {
	refs, told := map[addr.Address][]Field{}, map[addr.Address]bool{}
	var tell func(fields []Field)
	tell = func(fields []Field) {
		for _, f := range fields {
			for _, ref := range f.Source.Refs() {
				if !told[ref.Address] {
					told[ref.Address] = true
					tell(refs[ref.Address])
				}
			}
		}
	}
	for _, s := range l.cfg.Secrets {
		refs[s.Address] = s.Fields
	}
	for _, s := range l.cfg.Secrets {
		if len(s.Rollouts) > 0 {
			tell(s.Fields)
		}
	}
	for _, d := range l.cfg.Deliveries {
		if len(d.Rollouts) > 0 {
			tell(d.Items)
		}
	}
	for _, u := range l.untold {
		if !told[u.scope.owner] {
			u.scope.report(warningAt(u.at, "Nothing tells the program",
				"regenerate writes a new value when it is due, and the program that uses the old one is not told. See that it reads the store again."))
		}
	}
}

// onlyComputed reports whether every source of a secret is made of others'.
func onlyComputed(fields []Field) bool {
	return !slices.ContainsFunc(fields, func(f Field) bool { return f.Source.makesValue() })
}
