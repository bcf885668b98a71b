package lang

import (
	"fmt"
	"slices"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
)

// declareEnvironments collects names, which much of the rest refers to.
func (l *loader) declareEnvironments() {
	for _, block := range l.blocks["environment"] {
		name, ok := l.name(block)
		if !ok {
			continue
		}
		if first := l.cfg.Environments[name]; first != nil {
			l.twice(fmt.Sprintf("Environment %q", name), first.Range, block.DefRange())
			continue
		}
		l.cfg.Environments[name] = &Environment{Name: name, Range: block.DefRange()}
	}
	l.envs = sortedKeys(l.cfg.Environments)
}

func (l *loader) loadEnvironments() {
	s := l.global()
	for _, block := range l.blocks["environment"] {
		if len(block.Labels) != 1 {
			continue
		}
		env := l.cfg.Environments[block.Labels[0]]
		if env == nil || env.Range != block.DefRange() {
			continue
		}
		b := l.content(block.Body, schema{what: "environment", arguments: []string{"store", "replicas", "protect"}})
		u := usage{what: "an argument of an environment"}
		if attr := b.arguments["store"]; attr != nil {
			env.Store = s.providerRef(attr.Expr, u)
		}
		if attr := b.arguments["replicas"]; attr != nil {
			env.Replicas = s.providerRefs(attr, u, env.Store)
		}
		env.Protect = s.boolean(b.arguments["protect"], false, u)
	}
}

// providerRefs reads a list of stores, none twice and none the primary.
func (s *scope) providerRefs(attr *hclsyntax.Attribute, u usage, primary string) []string {
	expr := s.choose(attr.Expr, u)
	list, ok := expr.(*hclsyntax.TupleConsExpr)
	if !ok {
		if expr != nil {
			s.report(errorAt(expr.Range(), "Not a list", "%s is a list of stores: [aws.eu, gcp]", attr.Name))
		}
		return nil
	}
	var refs []string
	for _, element := range list.Exprs {
		ref := s.providerRef(element, u)
		switch {
		case ref == "":
		case ref == primary:
			s.report(errorAt(element.Range(), "A store as its own replica", "%s is the primary store. A replica is another one.", ref))
		case slices.Contains(refs, ref):
			s.report(errorAt(element.Range(), "Store named twice", "%s is in the list already.", ref))
		default:
			refs = append(refs, ref)
		}
	}
	return refs
}

// defaultsBlock is the defaults block, for every app and environment that says
// nothing else.
type defaultsBlock struct {
	store           string
	onOutsideChange string
	labels          *hclsyntax.Attribute
	rotation        *hclsyntax.Attribute

	labelsOf map[string]map[string]string // by app and environment
}

func (l *loader) loadDefaults() {
	l.defaults.labelsOf = map[string]map[string]string{}
	blocks := l.blocks["defaults"]
	if len(blocks) == 0 {
		return
	}
	for _, other := range blocks[1:] {
		l.twice("The defaults block", blocks[0].DefRange(), other.DefRange())
	}
	l.labels(blocks[0])
	b := l.content(blocks[0].Body, schema{what: "defaults block", arguments: []string{"store", "rotation", "labels", "on_outside_change"}})
	s := l.global()
	u := usage{what: "an argument of defaults"}
	if attr := b.arguments["store"]; attr != nil {
		l.defaults.store = s.providerRef(attr.Expr, u)
	}
	l.defaults.onOutsideChange = s.oneOf(b.arguments["on_outside_change"], u, outsideChoices()...)
	l.defaults.labels = b.arguments["labels"]
	l.defaults.rotation = b.arguments["rotation"]
}

func outsideChoices() []string { return []string{"stop", "accept", "restore"} }

// defaultLabels evaluates the labels of defaults once per app and environment.
func (l *loader) defaultLabels(s *scope) map[string]string {
	if l.defaults.labels == nil {
		return nil
	}
	key := s.app.name + "/" + s.env
	labels, done := l.defaults.labelsOf[key]
	if !done {
		each := func() map[string]cty.Value {
			return map[string]cty.Value{"app": cty.StringVal(s.app.name), "environment": cty.StringVal(s.env)}
		}
		labels = l.in(s.app, nil, s.env, s.app.envs, each).
			textMap(l.defaults.labels, usage{what: "a label of defaults", each: []string{"app", "environment"}})
		l.defaults.labelsOf[key] = labels
	}
	return labels
}

// storeOf returns the primary store of an environment, reporting once if there
// is none.
func (l *loader) storeOf(env string) string {
	e := l.cfg.Environments[env]
	if e.Store != "" {
		return e.Store
	}
	if l.defaults.store == "" && !l.storeFailed(env) {
		l.diags.add(errorAt(e.Range, "No store", "Environment %q has no store. Write store = %s here or in a defaults block.", env, exampleStore(l.providers)))
	}
	return l.defaults.store
}

// storeFailed reports whether a store is written somewhere and was refused.
func (l *loader) storeFailed(env string) bool {
	written := func(b *hclsyntax.Block) bool { return b.Body.Attributes["store"] != nil }
	return slices.ContainsFunc(l.blocks["defaults"], written) ||
		slices.ContainsFunc(l.blocks["environment"], func(b *hclsyntax.Block) bool {
			return len(b.Labels) == 1 && b.Labels[0] == env && written(b)
		})
}

func exampleStore(providers []string) string {
	if len(providers) > 0 {
		return providers[0]
	}
	return "sops"
}

// environments reads an environments argument: some of those in of. After
// reporting that it names none it returns of.
func (s *scope) environments(attr *hclsyntax.Attribute, of []string, ofWhat string) []string {
	names, ok := s.texts(attr, usage{what: "a list of environments"})
	if !ok {
		return of // so that the rest of the block is looked at
	}
	at := func(i int) hcl.Range {
		if list, ok := attr.Expr.(*hclsyntax.TupleConsExpr); ok && i < len(list.Exprs) {
			return list.Exprs[i].Range()
		}
		return attr.Expr.Range()
	}
	var out []string
	for i, name := range names {
		switch {
		case !slices.Contains(of, name):
			s.report(errorAt(at(i), "Unknown environment", "%q is not an environment of %s.%s", name, ofWhat, didYouMean(name, of)))
		case slices.Contains(out, name):
			s.report(errorAt(at(i), "Environment named twice", "%q is in the list already.", name))
		default:
			out = append(out, name)
		}
	}
	if len(names) == 0 {
		s.report(errorAt(attr.Expr.Range(), "No environment", "The list is empty, so nothing would exist. Name an environment, or remove the block."))
	}
	if len(out) == 0 {
		return of
	}
	slices.Sort(out)
	return out
}
