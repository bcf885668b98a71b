package lang

import (
	"fmt"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"

	"github.com/cofferhq/coffer/lang/addr"
)

// app is one app block: what it declares, before anything is evaluated.
type app struct {
	name  string
	block *hclsyntax.Block
	envs  []string
	decls map[string]map[string]*decl // by kind and name
}

func (a *app) of(kind string) map[string]*decl { return a.decls[kind] }

// copyKinds are the blocks of an app that bring secrets to programs: nothing can
// be taken from one.
func copyKinds() []string {
	return []string{addr.KindEnvFile, addr.KindExternalSecret, addr.KindKubernetesSecret, addr.KindSealedSecret}
}

// valueKinds are the blocks of an app that hold values, or bring them somewhere.
func valueKinds() []string { return append(copyKinds(), addr.KindSecret) }

// inKubernetes reports whether blocks of the kind end as a Secret of a cluster.
func inKubernetes(kind string) bool {
	return kind != addr.KindEnvFile && slices.Contains(copyKinds(), kind)
}

// decl is one block of an app. It is in each of envs.
type decl struct {
	kind   string // addr.KindPolicy, or one of valueKinds
	name   string
	app    *app
	block  *hclsyntax.Block
	body   body
	envs   []string
	single bool   // a secret with value
	items  []item // fields of a secret, data of what is made of secrets
}

// item is one name and value of an object literal.
type item struct {
	name string
	expr hclsyntax.Expression
}

func (d *decl) address() addr.Address {
	return addr.Address{App: d.app.name, Kind: d.kind, Name: d.name}
}

func (d *decl) has(field string) bool {
	return slices.ContainsFunc(d.items, func(i item) bool { return i.name == field })
}

func (d *decl) fieldNames() []string {
	names := make([]string, 0, len(d.items))
	for _, i := range d.items {
		names = append(names, i.name)
	}
	return names
}

func (l *loader) declareApps() {
	for _, block := range l.blocks["app"] {
		name, ok := l.name(block)
		if !ok {
			continue
		}
		if first := l.apps[name]; first != nil {
			l.twice(fmt.Sprintf("App %q", name), first.block.DefRange(), block.DefRange())
			continue
		}
		l.apps[name] = l.declareApp(name, block)
	}
}

func (l *loader) declareApp(name string, block *hclsyntax.Block) *app {
	a := &app{name: name, block: block, decls: map[string]map[string]*decl{}}
	b := l.content(block.Body, schema{
		what:      "app",
		arguments: []string{"environments"},
		blocks:    appBlocks(),
		repeat:    appBlocks(),
	})
	a.envs = l.appEnvironments(block, b.arguments["environments"])
	for _, inner := range b.blocks {
		l.declareInApp(a, inner)
	}
	return a
}

// appEnvironments says where an app is. With a single environment there is
// nothing to choose; with several the app must name its own.
func (l *loader) appEnvironments(block *hclsyntax.Block, attr *hclsyntax.Attribute) []string {
	switch {
	case attr != nil:
		return l.global().environments(attr, l.envs, "this configuration")
	case len(l.envs) == 1:
		return l.envs
	case len(l.envs) == 0:
		l.diags.add(errorAt(block.DefRange(), "No environment", "Declare one: environment \"dev\" { store = %s }.", exampleStore(l.providers)))
	default:
		l.diags.add(errorAt(block.DefRange(), "Missing argument", "There are several environments, so an app says which it is in. Write environments = %s, or some of them.", quotedList(l.envs)))
	}
	return nil
}

func quotedList(names []string) string {
	out := "["
	for i, name := range names {
		if i > 0 {
			out += ", "
		}
		out += fmt.Sprintf("%q", name)
	}
	return out + "]"
}

func (l *loader) declareInApp(a *app, block *hclsyntax.Block) {
	name, ok := l.name(block)
	if !ok {
		return
	}
	d := &decl{kind: block.Type, name: name, app: a, block: block}
	d.body = l.content(block.Body, appBlockSchema(block.Type))
	if first := a.of(d.kind)[name]; first != nil {
		l.twice(fmt.Sprintf("%s %q of app %q", block.Type, name, a.name), first.block.DefRange(), block.DefRange())
		return
	}
	if a.decls[d.kind] == nil {
		a.decls[d.kind] = map[string]*decl{}
	}
	a.decls[d.kind][name] = d
	d.envs = a.envs
	if attr := d.body.arguments["environments"]; attr != nil {
		d.envs = l.global().environments(attr, a.envs, fmt.Sprintf("app %q", a.name))
	}
	switch {
	case block.Type == addr.KindSecret:
		l.declareSecret(d)
	case block.Type == addr.KindEnvFile:
		l.declareEnvFile(d)
	case inKubernetes(block.Type):
		l.declareKubernetes(d)
	}
}

func appBlocks() []string {
	return []string{
		addr.KindSecret, addr.KindEnvFile, addr.KindKubernetesSecret, addr.KindSealedSecret, addr.KindExternalSecret, addr.KindPolicy,
	}
}

func appBlockSchema(kind string) schema {
	switch kind {
	case addr.KindSecret:
		return secretSchema()
	case addr.KindEnvFile:
		return envFileSchema()
	case addr.KindPolicy:
		return policySchema()
	default:
		return kubernetesSchema(kind)
	}
}

// loadApps evaluates every block of every app for each of its environments.
func (l *loader) loadApps() {
	for _, name := range sortedKeys(l.apps) {
		a := l.apps[name]
		for _, kind := range appBlocks() {
			for _, name := range sortedKeys(a.of(kind)) {
				l.loadInApp(a.of(kind)[name])
			}
		}
	}
	slices.SortFunc(l.cfg.Secrets, func(a, b *Secret) int { return a.Address.Compare(b.Address) })
	slices.SortFunc(l.cfg.Policies, func(a, b *Policy) int { return a.Address.Compare(b.Address) })
	slices.SortFunc(l.cfg.Deliveries, func(a, b *Delivery) int { return a.Address.Compare(b.Address) })
	slices.SortFunc(l.cfg.Providers, func(a, b *Provider) int { return strings.Compare(a.Ref(), b.Ref()) })
	l.warnUntold()
}

func (l *loader) loadInApp(d *decl) {
	switch d.kind {
	case addr.KindSecret:
		l.forEach(d, secretEach(), (*scope).loadSecret)
	case addr.KindEnvFile:
		l.forEach(d, inAppEach(), (*scope).loadEnvFile)
	case addr.KindPolicy:
		l.forEach(d, inAppEach(), (*scope).loadPolicy)
	case addr.KindExternalSecret:
		l.forEach(d, inAppEach(), (*scope).loadExternalSecret)
	default:
		l.forEach(d, inAppEach(), (*scope).loadKubernetesSecret)
	}
}

func inAppEach() []string  { return []string{"app", "environment"} }
func secretEach() []string { return []string{"app", "environment", "secret"} }

func (l *loader) forEach(d *decl, names []string, load func(*scope)) {
	for _, env := range d.envs {
		s := l.in(d.app, d, env, d.envs, func() map[string]cty.Value {
			each := map[string]cty.Value{"app": cty.StringVal(d.app.name), "environment": cty.StringVal(env)}
			if slices.Contains(names, "secret") {
				each["secret"] = cty.StringVal(d.name)
			}
			return each
		})
		s.owner = d.address().In(env)
		load(s)
	}
}

// items reads an object literal whose names are written plainly, so that they
// are known before anything is evaluated.
func (l *loader) items(attr *hclsyntax.Attribute, valid func(string) bool, what, form string) []item {
	object, ok := attr.Expr.(*hclsyntax.ObjectConsExpr)
	if !ok {
		l.diags.add(errorAt(attr.Expr.Range(), "Not an object", "%s is an object written out here: %s = { NAME = …, … }.", attr.Name, attr.Name))
		return nil
	}
	var out []item
	seen := map[string]hcl.Range{}
	for _, i := range object.Items {
		at := i.KeyExpr.Range()
		v, diags := i.KeyExpr.Value(nil)
		switch {
		case diags.HasErrors() || !isText(v):
			l.diags.add(errorAt(at, "Name is not plain", "The name of a %s is written plainly, without variables and functions.", what))
			continue
		case !valid(v.AsString()):
			l.diags.add(errorAt(at, "Invalid name", "The name of a %s is %s.", what, form))
			continue
		}
		name := v.AsString()
		if first, twice := seen[name]; twice {
			l.twice(fmt.Sprintf("%s %q", what, name), first, at)
			continue
		}
		seen[name] = at
		out = append(out, item{name: name, expr: i.ValueExpr})
	}
	if len(object.Items) == 0 {
		l.diags.add(errorAt(attr.Expr.Range(), "Nothing in it", "%s is empty. Write at least one %s, or remove the block.", attr.Name, what))
	}
	slices.SortFunc(out, func(a, b item) int { return strings.Compare(a.name, b.name) })
	return out
}
