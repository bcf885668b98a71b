package lang

import (
	"fmt"
	"slices"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"

	"github.com/cofferhq/coffer/lang/addr"
)

// declared reports whether the configuration has something at or below a.
func (l *loader) declared(a addr.Address) bool {
	if a.App == "" {
		return l.objects[a] != nil
	}
	for _, app := range l.apps {
		if a.App != app.name {
			continue
		}
		if a.Kind == "" {
			return true
		}
		d := app.of(a.Kind)[a.Name]
		return d != nil && (a.Environment == "" || slices.Contains(d.envs, a.Environment))
	}
	return false
}

// undeclared says why nothing is at a.
func (l *loader) undeclared(a addr.Address, at hcl.Range) *hcl.Diagnostic {
	if a.App == "" {
		return l.undeclaredObject(a, at)
	}
	app := l.apps[a.App]
	if app == nil {
		return errorAt(at, "Unknown app", "There is no app %q.%s", a.App, didYouMean(a.App, sortedKeys(l.apps)))
	}
	in := app.of(a.Kind)
	d := in[a.Name]
	if d == nil {
		return errorAt(at, "Unknown secret", "App %q has no %s %q.%s", a.App, a.Kind, a.Name, didYouMean(a.Name, sortedKeys(in)))
	}
	return errorAt(at, "Secret is not in this environment", "%s exists in %s.%s", d.address(), environmentList(d.envs), didYouMean(a.Environment, d.envs))
}

// address evaluates an argument that is an address. It returns false after
// reporting a problem.
func (l *loader) address(block *hclsyntax.Block, b body, name string) (addr.Address, hcl.Range, bool) {
	attr := b.arguments[name]
	if attr == nil {
		l.diags.add(missing(block, name, fmt.Sprintf("for example %s = app.checkout.secret.db[\"production\"]", name)))
		return addr.Address{}, block.DefRange(), false
	}
	a, d := l.addressOf(attr.Expr)
	if d != nil {
		l.diags.add(d)
		return a, attr.Expr.Range(), false
	}
	return a, attr.Expr.Range(), true
}

func (l *loader) loadImports() {
	s := l.global()
	u := usage{what: "an argument of an import"}
	seen := map[Import]hcl.Range{}
	for _, block := range l.blocks["import"] {
		l.labels(block)
		b := l.content(block.Body, schema{what: "import block", arguments: []string{"to", "id", "store"}})
		im := &Import{Range: block.DefRange(), ID: s.filled(b.arguments["id"], u)}
		if b.arguments["id"] == nil {
			l.diags.add(missing(block, "id", "the path of what exists on the store: id = \"PATH\""))
		}
		if attr := b.arguments["store"]; attr != nil {
			im.Store = s.providerRef(attr.Expr, u)
		}
		to, at, ok := l.address(block, b, "to")
		switch {
		case !ok:
			continue
		case to.App == "" && im.Store != "":
			l.diags.add(errorAt(b.arguments["store"].Range(), "Not a copy", "%s is on the provider that its block names and has no copies. Remove store.", to))
			continue
		case to.Kind == addr.KindExternalSecret:
			l.diags.add(errorAt(at, "Nothing to adopt", "An external_secret holds no value: apply makes its objects. Delete those that are there, or let the block write under another name."))
			continue
		case to.App != "" && to.Environment == "":
			l.diags.add(errorAt(at, "Which environment?", "An import adopts one secret: write %s[\"ENVIRONMENT\"].", to))
			continue
		case !l.declared(to):
			l.diags.add(l.undeclared(to, at))
			continue
		}
		im.To = to
		key := Import{To: im.To, Store: im.Store}
		if first, twice := seen[key]; twice {
			l.twiceFix(fmt.Sprintf("An import to %s", to), first, block.DefRange(), "Remove one of them.")
			continue
		}
		seen[key] = block.DefRange()
		l.cfg.Imports = append(l.cfg.Imports, im)
	}
	slices.SortStableFunc(l.cfg.Imports, func(a, b *Import) int { return a.To.Compare(b.To) })
}

func (l *loader) loadMoved() {
	byFrom := map[addr.Address]*Moved{}
	for _, block := range l.blocks["moved"] {
		l.labels(block)
		b := l.content(block.Body, schema{what: "moved block", arguments: []string{"from", "to"}})
		from, at, fromOK := l.address(block, b, "from")
		to, _, toOK := l.address(block, b, "to")
		if !fromOK || !toOK {
			continue
		}
		m := &Moved{From: from, To: to, Range: block.DefRange()}
		switch first := byFrom[from]; {
		case first != nil:
			l.twiceFix(fmt.Sprintf("The move of %s", from), first.Range, m.Range, "Remove one of them.")
			continue
		case from == to:
			l.diags.add(errorAt(at, "Moved to where it is", "from and to are the same. Remove the block."))
			continue
		case from.App == "" && (from.Kind != to.Kind || from.Type != to.Type):
			_, form := besideForm(from.Kind)
			l.diags.add(errorAt(m.Range, "Moved to something else", "%s can only get another name: from and to are both written %s, and nothing but NAME differs.", from, form))
			continue
		case from.Kind != to.Kind || (from.Environment == "") != (to.Environment == ""):
			l.diags.add(errorAt(m.Range, "Moved to something else", "from and to must be of one kind: two apps, or two secrets, both with an environment or both without."))
			continue
		case l.declared(from):
			l.diags.add(errorAt(at, "Moved but still here", "%s is still declared. Rename its block, or remove this one.", from))
			continue
		}
		byFrom[from] = m
		l.cfg.Moved = append(l.cfg.Moved, m)
	}
	for _, m := range l.cfg.Moved {
		l.checkDestination(m, byFrom)
	}
	slices.SortStableFunc(l.cfg.Moved, func(a, b *Moved) int { return a.From.Compare(b.From) })
}

// checkDestination follows a chain of moves to something that is declared.
func (l *loader) checkDestination(m *Moved, byFrom map[addr.Address]*Moved) {
	for at, steps := m.To, 0; ; steps++ {
		if l.declared(at) {
			return
		}
		next := byFrom[at]
		switch {
		case next == nil:
			l.diags.add(errorAt(m.Range, "Moved to nothing", "%s is not declared. Declare it, or remove the value with a removed block instead.", at))
			return
		case steps > len(byFrom):
			l.diags.add(errorAt(m.Range, "Moved in a circle", "The moved blocks lead back to %s. Remove one of them.", at))
			return
		}
		at = next.To
	}
}

func (l *loader) loadRemoved() {
	seen := map[addr.Address]hcl.Range{}
	for _, block := range l.blocks["removed"] {
		l.labels(block)
		b := l.content(block.Body, schema{what: "removed block", arguments: []string{"from"}, blocks: []string{"lifecycle"}})
		destroy, lifecycleOK := l.lifecycle(block, b.block("lifecycle"))
		from, at, ok := l.address(block, b, "from")
		if !ok || !lifecycleOK {
			continue
		}
		if first, twice := seen[from]; twice {
			l.twiceFix(fmt.Sprintf("The removal of %s", from), first, block.DefRange(), "Remove one of them.")
			continue
		}
		if l.declared(from) {
			l.diags.add(errorAt(at, "Removed but still here", "%s is still declared. Remove its block, or remove this one.", from))
			continue
		}
		seen[from] = block.DefRange()
		l.cfg.Removed = append(l.cfg.Removed, &Removed{From: from, Destroy: destroy, Range: block.DefRange()})
	}
	slices.SortStableFunc(l.cfg.Removed, func(a, b *Removed) int { return a.From.Compare(b.From) })
}

// lifecycle says whether what is removed is destroyed. It has no default:
// either answer would surprise somebody.
func (l *loader) lifecycle(parent, block *hclsyntax.Block) (destroy, ok bool) {
	if block == nil {
		l.diags.add(errorAt(parent.DefRange(), "Missing block", "Say what becomes of the values:\n\nlifecycle {\n  destroy = true\n}\n\ntrue deletes them, false only forgets them."))
		return false, false
	}
	l.labels(block)
	b := l.content(block.Body, schema{what: "lifecycle block", arguments: []string{"destroy"}})
	attr := b.arguments["destroy"]
	if attr == nil {
		l.diags.add(missing(block, "destroy", "destroy = true to delete the values, false to forget them"))
		return false, false
	}
	return l.global().boolean(attr, false, usage{what: "an argument of removed"}), true
}
