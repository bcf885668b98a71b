package planner

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/cofferhq/coffer/lang"
	"github.com/cofferhq/coffer/lang/addr"
	"github.com/cofferhq/coffer/providers"
	"github.com/cofferhq/coffer/state"
)

// compiled is an object that a declaration or a policy asks for, before it is a
// resource: several may ask for the same.
type compiled struct {
	store   *Store
	spec    providers.ObjectSpec
	address addr.Address
	// block is true for the object that a block of its own declares.
	block   bool
	protect bool
	rng     *Range
	// covers are the secrets of spec.Paths, of every store that asks for it.
	covers []addr.Location
	// by are the blocks that bring it along.
	by []addr.Address

	made *Resource
}

func (c *compiled) location() addr.Location {
	return addr.Location{Provider: c.store.Identity, Kind: c.spec.Ref.Kind, Path: c.spec.Ref.Path}
}

// shared is where an object is for every provider that has it.
func (s *Store) shared(kind, path string) addr.Location {
	return addr.Location{Provider: s.ObjectScope(s.Identity), Kind: kind, Path: path}
}

// sameObjects reports whether two stores have one set of objects. One that was
// never reached may be any.
func sameObjects(a, b *Store) bool {
	unknown := strings.HasPrefix(a.Identity, unreached) || strings.HasPrefix(b.Identity, unreached)
	return unknown || a.ObjectScope(a.Identity) == b.ObjectScope(b.Identity)
}

// declare compiles the blocks that declare an object of a provider.
func (b *builder) declare() {
	for _, o := range b.cfg.Objects {
		store, ok := b.stores[o.Provider]
		if !ok {
			b.fail(rangeOf(o.Range), fmt.Sprintf("%s has no provider", o.Address),
				fmt.Sprintf("Its provider is %q, and no such provider is configured.", o.Provider))
			continue
		}
		args, protect, ok := b.arguments(o)
		if !ok {
			continue
		}
		specs, err := store.CompileDeclaration(providers.Declaration{
			Kind: o.Address.Kind, Type: o.Address.Type, Name: o.Address.Name, Args: args,
		})
		if err != nil {
			b.fail(argumentRange(o, err), fmt.Sprintf("%s cannot be declared on %s", o.Address, o.Provider), err.Error())
			continue
		}
		for i, spec := range specs {
			c := &compiled{store: store, spec: spec, address: addr.ProviderObject(store.Ref(), spec.Ref.Kind, spec.Ref.Path), rng: rangeOf(o.Range)}
			if i == 0 {
				c.address, c.block, c.protect = o.Address, true, protect
			} else { // what it brings along
				c.by = []addr.Address{o.Address}
			}
			b.compile(c)
		}
	}
}

// protectArgument is an argument of every declaration, which no driver sees.
const protectArgument = "protect"

func (b *builder) arguments(o *lang.Object) (args map[string]any, protect, ok bool) {
	args, ok = make(map[string]any, len(o.Arguments)), true
	for _, a := range o.Arguments {
		if a.Name != protectArgument {
			args[a.Name] = a.Value
			continue
		}
		if protect, ok = a.Value.(bool); !ok {
			b.fail(rangeOf(a.Range), fmt.Sprintf("%s of %s is neither true nor false", protectArgument, o.Address), "With true, nothing deletes it.")
			return nil, false, false
		}
	}
	return args, protect, ok
}

func argumentRange(o *lang.Object, err error) *Range {
	var ae *providers.ArgumentError
	if errors.As(err, &ae) && ae.Argument != "" {
		for _, a := range o.Arguments {
			if a.Name == ae.Argument {
				return rangeOf(a.Range)
			}
		}
	}
	return rangeOf(o.Range)
}

// compile files one object, or joins it with an equal one, also of another
// provider that has the same objects. Whoever declares it by a block gives it its
// address.
func (b *builder) compile(c *compiled) {
	for _, path := range c.spec.Paths {
		c.covers = append(c.covers, addr.Location{Provider: c.store.Identity, Kind: addr.KindSecret, Path: path})
	}
	at := c.store.shared(c.spec.Ref.Kind, c.spec.Ref.Path)
	was := b.objects[at]
	if was == nil {
		b.objects[at] = c
		b.inOrder = append(b.inOrder, c)
		return
	}
	what := fmt.Sprintf("the %s %q on %s", c.spec.Ref.Kind, c.spec.Ref.Path, c.store.Ref())
	switch {
	case was.store != c.store && was.spec.Document != c.spec.Document:
		b.both(was, c, fmt.Sprintf("the %s %q is wanted in two ways", c.spec.Ref.Kind, c.spec.Ref.Path), fmt.Sprintf(
			"Providers %s and %s have the same objects, and %s on one and %s on the other say different things about this one. "+
				"Give one of the providers another prefix, or one of the objects another name.", was.store.Ref(), c.store.Ref(), was.address, c.address))
		return
	case was.block && c.block:
		b.both(was, c, what+" is declared twice", fmt.Sprintf("%s and %s are the same thing. Take one of them out.", was.address, c.address))
		return
	case was.spec.Document != c.spec.Document:
		b.both(was, c, what+" is wanted in two ways", fmt.Sprintf(
			"%s and %s say different things about it. Give one of them another name, or leave it to the other.", was.address, c.address))
		return
	}
	if c.block || was.spec.Policy == "" && c.spec.Policy != "" && !was.block {
		was.address, was.rng, was.block = c.address, c.rng, c.block
	}
	was.protect = was.protect || c.protect
	was.spec.Holds = was.spec.Holds || c.spec.Holds && c.store == was.store
	was.spec.Needs = united(was.spec.Needs, c.spec.Needs)
	was.covers = united(was.covers, c.covers)
	was.by = united(was.by, c.by)
	was.spec.Begins = united(was.spec.Begins, c.spec.Begins)
}

func united[T comparable](a, b []T) []T {
	out := slices.Clone(a)
	for _, v := range b {
		if !slices.Contains(out, v) {
			out = append(out, v)
		}
	}
	return out
}

func (b *builder) both(x, y *compiled, summary, detail string) {
	b.fail(x.rng, summary, detail)
	if y.rng == nil || x.rng == nil || *y.rng != *x.rng {
		b.fail(y.rng, summary, detail)
	}
}

// addObjects makes resources of what was compiled and ties them together.
func (b *builder) addObjects() {
	for at, c := range b.objects {
		b.d.shared[at] = c
	}
	for _, c := range b.inOrder {
		if b.d.byAddress[c.address] != nil {
			c.address = c.address.At(c.store.Ref())
		}
		c.made = b.object(c)
	}
	for _, c := range b.inOrder {
		for _, ref := range c.spec.Needs {
			need := b.objects[c.store.shared(ref.Kind, ref.Path)]
			if need == nil || need == c {
				continue // nobody declares it: it is taken to be there
			}
			c.made.Needs = append(c.made.Needs, need.address)
			if c.made.Range == nil {
				c.made.Range = need.made.Range
			}
		}
	}
}

// object adds a compiled object and ties its secrets to it.
func (b *builder) object(c *compiled) *Resource {
	o := &Resource{
		Address: c.address, Location: c.location(), Store: c.store.Ref(), Role: state.RoleObject, Document: c.spec.Document,
		Begins: c.spec.Begins, Holds: c.spec.Holds, Reads: c.spec.Reads, Protect: c.protect, Range: c.rng,
		By: c.by,
	}
	for _, at := range c.covers {
		if r := b.d.byLocation[at]; r != nil {
			r.Needs = append(r.Needs, o.Address)
			o.Covers = append(o.Covers, r.Address)
			if o.Range == nil {
				o.Range = r.Range
			}
		}
	}
	if c.spec.Holds {
		for _, r := range b.d.Resources {
			if !r.IsObject() && r.Store == o.Store && !slices.Contains(r.Needs, o.Address) {
				r.Needs = append(r.Needs, o.Address)
			}
		}
	}
	b.add(o)
	return o
}

// holder returns the object that all secrets of a store lie in, nil where
// nothing declares one.
func (d *Desired) holder(ref string) *Resource {
	for _, r := range d.Resources {
		if r.Holds && r.Store == ref {
			return r
		}
	}
	return nil
}

// elsewhere returns the resource that an entry's object is now, where another
// provider with the same objects has it; else nil.
func (d *Desired) elsewhere(stores Stores, e *state.Entry) *Resource {
	store := stores.ByIdentity(e.Location.Provider)
	if store == nil || e.Location.Kind == addr.KindSecret {
		return nil
	}
	c := d.shared[store.shared(e.Location.Kind, e.Location.Path)]
	if c == nil || c.made == nil || c.made.Location == e.Location {
		return nil
	}
	return c.made
}

// madeElsewhere reports whether the object was made by way of another provider
// that has the same objects.
func (r *run) madeElsewhere(s *step) bool {
	if s.old != nil {
		return false
	}
	for _, e := range r.Snapshot.Entries {
		if e.Made && e.Location.Kind == s.loc.Kind && e.Location.Path == s.loc.Path && r.Desired.elsewhere(r.Stores, e) == s.res {
			return true
		}
	}
	return false
}

// needed returns the objects that r is made of, as an entry records them.
func (d *Desired) needed(r *Resource) []string {
	var out []string
	for _, a := range r.Needs {
		if need := d.byAddress[a]; need != nil && need.IsObject() {
			out = append(out, objectKey(need.Location))
		}
	}
	slices.Sort(out)
	return out
}

func objectKey(l addr.Location) string { return l.Kind + " " + l.Path }
