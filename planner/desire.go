package planner

import (
	"fmt"
	"maps"
	"slices"

	"github.com/hashicorp/hcl/v2"

	"github.com/cofferhq/coffer/lang"
	"github.com/cofferhq/coffer/lang/addr"
	"github.com/cofferhq/coffer/planner/dag"
	"github.com/cofferhq/coffer/providers"
	"github.com/cofferhq/coffer/state"
)

// Resource is one thing that the configuration wants at one location.
type Resource struct {
	// Address is what the user calls it; a replica carries its store.
	Address  addr.Address
	Location addr.Location
	Store    string // provider reference
	Role     string // state.RolePrimary, RoleReplica or RoleObject
	// Secret is the block, shared by the primary and its replicas; nil for an
	// object.
	Secret *lang.Secret
	// Form is that of the secret, as far as the store keeps one.
	Form providers.Form
	// Key is the field that a single value is kept as on its store; "" leaves
	// that to the platform.
	Key string
	// Document is the content of an object, and Covers the secrets that it
	// decides who can read. Reads says in words what a reader gets by it.
	Document string
	Covers   []addr.Address
	Reads    string
	// Begins are the documents that a create of an object passes through before
	// it has Document.
	Begins []string
	// By are the blocks that bring an object along: a role its bindings.
	By []addr.Address
	// Holds: all secrets of the store lie in this object.
	Holds   bool
	Class   string
	Protect bool
	// Needs are the secrets whose values this one is made of, and the objects
	// that decide who can read it or that it lies in; of an object those that it
	// is made of. Each as the address that it has in Desired.
	Needs []addr.Address
	// After is what it waits for without being made of it, as Needs.
	After []addr.Address
	// Rolls is, of the rollout of a workload, what is restarted for: its Document
	// names the generation of each, and so is known only in a plan.
	Rolls []addr.Address
	// Fetches are, of what an operator fetches for programs that are restarted,
	// the secrets: it is told at once when one of them has another value.
	Fetches []addr.Address
	Import  *lang.Import
	Range   *Range

	n int // its position in Desired.Resources
}

// key returns the name that a change of r has.
func (r *Resource) key() Key { return Key{r.Address, r.Store, r.Location.Path} }

// waitsFor returns what comes before r.
func (r *Resource) waitsFor() []addr.Address {
	if len(r.After) == 0 {
		return r.Needs
	}
	return united(r.Needs, r.After)
}

// IsReplica reports whether r is a copy.
func (r *Resource) IsReplica() bool { return r.Role == state.RoleReplica }

// IsObject reports whether r is an object, not a secret.
func (r *Resource) IsObject() bool { return r.Role == state.RoleObject }

// Generated reports whether a generator makes any part of r's value.
func (r *Resource) Generated() bool { return r.Class == state.ClassGenerated }

// AcceptsOutside reports whether versions that others write are fine.
func (r *Resource) AcceptsOutside() bool {
	return r.Secret != nil && (r.Class == state.ClassManual || r.Secret.Owner == "bootstrap" || r.Secret.Rotation.Strategy == "provider")
}

// Desired is a configuration multiplied out: every resource in dependency
// order, with the indexes that Diff and Apply look things up in.
type Desired struct {
	Project string
	// Resources come after all they need, otherwise in address order.
	Resources []*Resource
	Removed   []*lang.Removed
	Checks    []*lang.Check
	Moved     []*lang.Moved
	// Environments are the declared names, in order.
	Environments []string
	// Operators are those of clusters that fetch secrets for external_secrets.
	Operators []Operator

	cfg        *lang.Config // for the policy pack
	byAddress  map[addr.Address]*Resource
	byLocation map[addr.Location]*Resource
	shared     map[addr.Location]*compiled    // objects, by what their providers share
	patches    map[string]bool                // stores that can change one field alone, by reference
	fetched    map[string][]providers.Managed // Secrets that operators make, by reference of their cluster
	fetches    []fetch
}

// At returns the resource of an address, nil where there is none.
func (d *Desired) At(a addr.Address) *Resource { return d.byAddress[a] }

// On returns the resource at a location, nil where there is none.
func (d *Desired) On(l addr.Location) *Resource { return d.byLocation[l] }

// Desire multiplies a configuration by its stores. The result is usable only
// when no diagnostic is an error.
func Desire(cfg *lang.Config, stores Stores) (*Desired, []Diagnostic) {
	n := 0 // resources, but for a few objects
	for _, s := range cfg.Secrets {
		n += 1 + len(s.Replicas)
	}
	b := &builder{
		cfg:    cfg,
		stores: stores,
		d: &Desired{
			Project: cfg.Settings.Project, Removed: cfg.Removed, Checks: cfg.Checks, Moved: cfg.Moved,
			Environments: slices.Sorted(maps.Keys(cfg.Environments)),
			cfg:          cfg,
			Resources:    make([]*Resource, 0, n),
			byAddress:    make(map[addr.Address]*Resource, n), byLocation: make(map[addr.Location]*Resource, n),
			patches: map[string]bool{}, shared: map[addr.Location]*compiled{}, fetched: map[string][]providers.Managed{},
		},
		objects: map[addr.Location]*compiled{},
	}
	for ref, store := range stores {
		b.d.patches[ref] = store.CanPatch()
	}
	if len(cfg.Secrets) == 0 && len(cfg.Deliveries) == 0 && len(cfg.Objects) == 0 && len(cfg.Removed) == 0 {
		b.fail(nil, "the configuration declares no secret",
			"An empty configuration never means \"delete everything\". Declare an app with a secret, or a removed block for what is to go.")
	}
	b.instances()
	for _, s := range cfg.Secrets {
		b.secret(s)
	}
	b.declare()
	b.deliver()
	b.oneMaker()
	b.access()
	b.addObjects()
	b.afterDeliveries()
	b.rollouts()
	b.containers()
	b.imports()
	b.order()
	return b.d, b.diags
}

type builder struct {
	cfg    *lang.Config
	stores Stores
	d      *Desired
	diags  []Diagnostic

	objects   map[addr.Location]*compiled
	inOrder   []*compiled
	delivered []*delivered
}

func (b *builder) fail(r *Range, summary, detail string) {
	b.diags = append(b.diags, Diagnostic{Severity: SeverityError, Summary: summary, Detail: detail, Range: r})
}

// secret adds the primary and the replicas of one secret.
func (b *builder) secret(s *lang.Secret) {
	class := classOf(s)
	primary := b.place(s, s.Store)
	if primary == nil {
		return
	}
	primary.Role, primary.Class = state.RolePrimary, class
	primary.Needs = needs(s)
	b.add(primary)
	for _, store := range s.Replicas {
		if store == s.Store {
			continue
		}
		if r := b.place(s, store); r != nil {
			r.Role, r.Class, r.Address = state.RoleReplica, class, s.Address.At(store)
			r.Needs = []addr.Address{s.Address}
			b.add(r)
		}
	}
}

// place returns the resource of s on one store, or nil after a diagnostic.
func (b *builder) place(s *lang.Secret, ref string) *Resource {
	rng := rangeOf(s.PathRange)
	store, ok := b.stores[ref]
	if !ok {
		b.fail(rangeOf(s.Range), fmt.Sprintf("%s has no store", s.Address),
			fmt.Sprintf("Its store is %q, and no such provider is configured. Add a provider block, or set store on the environment.", ref))
		return nil
	}
	if s.Format == "raw" && !s.Single {
		b.fail(rangeOf(s.Range), fmt.Sprintf("%s cannot be kept as raw bytes", s.Address), "It has fields, and format = \"raw\" is for a single value. Take the format out.")
		return nil
	}
	path, err := store.path(s)
	if err != nil {
		b.fail(rng, fmt.Sprintf("%s cannot be kept on %s", s.Address, ref), err.Error())
		return nil
	}
	form, ok := b.form(s, store)
	if !ok {
		return nil
	}
	return &Resource{
		Address:  s.Address,
		Location: addr.Location{Provider: store.Identity, Kind: addr.KindSecret, Path: path},
		Store:    ref,
		Secret:   s,
		Form:     form,
		Key:      sealedKey(store, s),
		Protect:  s.Protect,
		Range:    rangeOf(s.Range),
	}
}

// add indexes r, or says at both blocks that its place is taken.
func (b *builder) add(r *Resource) {
	if other := b.d.byLocation[r.Location]; other != nil {
		detail := fmt.Sprintf("%s and %s both live at %q on %s. Give one of them another path.", other.Address, r.Address, r.Location.Path, r.Store)
		b.fail(r.Range, "two secrets share one place", detail)
		b.fail(other.Range, "two secrets share one place", detail)
		return
	}
	b.d.byLocation[r.Location] = r
	b.d.byAddress[r.Address] = r
	b.d.Resources = append(b.d.Resources, r)
}

// imports ties import blocks to their resources.
func (b *builder) imports() {
	for _, im := range b.cfg.Imports {
		to := im.To
		if r := b.d.byAddress[to]; r != nil && !r.IsObject() && im.Store != "" && im.Store != r.Store {
			to = to.At(im.Store)
		}
		r := b.d.byAddress[to]
		if r == nil {
			b.fail(rangeOf(im.Range), fmt.Sprintf("nothing to import to at %s", to),
				"An import block adopts what exists for a secret that is declared: declare it, or take the block out.")
			continue
		}
		if written := b.stores[r.Store].written(r.Location); im.ID != written {
			way := fmt.Sprintf("To adopt the one at %q, write in its block: path = %q", im.ID, im.ID)
			if r.IsObject() {
				way = "An object is imported under its own name."
			}
			b.fail(rangeOf(im.Range), fmt.Sprintf("%q is not where %s lives", im.ID, to), fmt.Sprintf("It lives at %q. %s", written, way))
			continue
		}
		r.Import = im
	}
}

// order sorts resources by address, then behind what they need.
func (b *builder) order() {
	rs := b.d.Resources
	slices.SortFunc(rs, func(x, y *Resource) int { return x.Address.Compare(y.Address) })
	for i, r := range rs {
		r.n = i
	}
	g := dag.New(len(rs))
	for i, r := range rs {
		for _, need := range r.waitsFor() {
			if other := b.d.byAddress[need]; other != nil {
				g.Edge(i, other.n)
			}
		}
	}
	order, cycle := g.Sort()
	if cycle != nil {
		text := ""
		for _, i := range cycle {
			text += rs[i].Address.String() + " -> "
		}
		b.fail(rs[cycle[0]].Range, "secrets refer to each other in a circle",
			text+rs[cycle[0]].Address.String()+". Break it by giving one of them a value of its own.")
		return
	}
	sorted := make([]*Resource, len(rs))
	for i, j := range order {
		sorted[i] = rs[j]
	}
	for i, r := range sorted {
		r.n = i
	}
	b.d.Resources = sorted
}

// needs returns the addresses of the other secrets that s is made of.
func needs(s *lang.Secret) []addr.Address {
	var list []addr.Address
	for _, f := range s.Fields {
		for _, ref := range f.Source.Refs() {
			if ref.Address != s.Address && !slices.Contains(list, ref.Address) {
				list = append(list, ref.Address)
			}
		}
	}
	return list
}

// classOf returns the class of a secret's strongest field.
func classOf(s *lang.Secret) string {
	best := state.ClassTemplate
	for _, f := range s.Fields {
		switch c := sourceClass(f.Source); {
		case c == state.ClassGenerated:
			return c
		case c == state.ClassManual, c == state.ClassSupplied && best == state.ClassTemplate:
			best = c
		}
	}
	return best
}

// sourceClass classifies one source; what is derived has its argument's class.
func sourceClass(s *lang.Source) string {
	switch s.Kind {
	case lang.Generated, lang.RotationUser:
		return state.ClassGenerated
	case lang.Manual:
		return state.ClassManual
	case lang.FromEnv, lang.FromFile, lang.FromDotenv, lang.FromSops:
		return state.ClassSupplied
	case lang.Template, lang.Computed:
		best := state.ClassTemplate
		for _, a := range s.Args {
			if c := sourceClass(a); rank(c) > rank(best) {
				best = c
			}
		}
		return best
	}
	return state.ClassTemplate
}

func rank(class string) int {
	return slices.Index([]string{state.ClassTemplate, state.ClassSupplied, state.ClassManual, state.ClassGenerated}, class)
}

func rangeOf(r hcl.Range) *Range {
	if r.Filename == "" {
		return nil
	}
	return &Range{File: r.Filename, Line: r.Start.Line, Column: r.Start.Column}
}
