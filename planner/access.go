package planner

import (
	"errors"
	"fmt"
	"slices"

	"github.com/cofferhq/coffer/lang"
	"github.com/cofferhq/coffer/lang/addr"
	"github.com/cofferhq/coffer/providers"
)

// access compiles the policies into each store's own objects and makes every
// secret wait for the objects that decide who can read it.
func (b *builder) access() {
	used := map[*lang.Reader]bool{}
	for _, ref := range b.stores.Refs() {
		b.accessOn(b.stores[ref], used)
	}
	b.broughtAlong()
	for _, p := range b.cfg.Policies {
		for i := range p.Readers {
			if r := &p.Readers[i]; !used[r] {
				b.fail(rangeOf(r.Range), fmt.Sprintf("%s applies nowhere", r.Func),
					fmt.Sprintf("None of the secrets of %s is kept on a store that knows this reader. Take it out, or narrow the policy with environments.", p.Address))
			}
		}
	}
}

func (b *builder) accessOn(store *Store, used map[*lang.Reader]bool) {
	if len(store.Readers()) == 0 {
		return
	}
	var managed []providers.Managed
	for _, r := range b.d.Resources {
		if r.Store == store.Ref() && !r.IsObject() {
			managed = append(managed, providers.Managed{Path: store.delivers(r.Address.Kind, r.Location.Path), Environment: r.Address.Environment})
		}
	}
	managed = append(managed, b.d.fetched[store.Ref()]...)
	grants, readers := b.grants(store)
	for _, r := range readers {
		used[r] = true
	}
	policies := make(map[string]*lang.Policy, len(b.cfg.Policies))
	for _, p := range b.cfg.Policies {
		policies[p.Address.String()] = p
	}
	specs, err := store.CompileAccess(managed, grants)
	if err != nil {
		b.accessError(store, err, readers)
		return
	}
	for _, spec := range specs {
		c := &compiled{store: store, spec: spec, address: addr.ProviderObject(store.Ref(), spec.Ref.Kind, spec.Ref.Path)}
		if p := policies[spec.Policy]; p != nil { // it stands for the policy
			c.address, c.rng = p.Address, rangeOf(p.Range)
			if !b.primarily(store, p) {
				c.address = c.address.At(store.Ref()) // beside the one on the primary store
			}
		}
		if d := b.deliveryOf(spec.Policy); d != nil {
			c.by, c.rng = []addr.Address{d.block.Address}, rangeOf(d.block.Range)
		}
		b.compile(c)
	}
}

// broughtAlong gives what ties an operator to its policy the block that brings
// the policy along.
func (b *builder) broughtAlong() {
	for _, policy := range b.inOrder {
		if b.deliveryOf(policy.spec.Policy) == nil {
			continue
		}
		for _, c := range b.inOrder {
			if c.store == policy.store && !c.block && slices.Contains(c.spec.Needs, policy.spec.Ref) {
				c.by = united(c.by, policy.by)
			}
		}
	}
}

// primarily reports whether a policy is about primaries on a store, not only
// about copies there.
func (b *builder) primarily(store *Store, p *lang.Policy) bool {
	return slices.ContainsFunc(p.Secrets, func(a addr.Address) bool {
		r := b.d.byAddress[a]
		return r != nil && r.Store == store.Ref()
	})
}

// grants returns what the policies say about secrets on one store, and for
// each grant the reader it came from.
func (b *builder) grants(store *Store) (grants []providers.Grant, readers []*lang.Reader) {
	for _, p := range b.cfg.Policies {
		paths := united(b.pathsOn(store, p.Secrets), b.inCluster(store, p))
		if len(paths) == 0 {
			continue
		}
		for i := range p.Readers {
			r := &p.Readers[i]
			if !slices.Contains(store.Readers(), r.Func) {
				continue
			}
			grants = append(grants, providers.Grant{
				Policy: p.Address.String(), Environment: p.Address.Environment,
				Reader: providers.Reader{Func: r.Func, Args: r.Args}, Paths: paths,
			})
			readers = append(readers, r)
		}
	}
	forOperators, as := b.deliveryGrants(store)
	return append(grants, forOperators...), append(readers, as...)
}

// deliveryOf returns the external_secret of an address, nil where it is none.
func (b *builder) deliveryOf(address string) *delivered {
	for _, d := range b.delivered {
		if d.block.Address.String() == address {
			return d
		}
	}
	return nil
}

// pathsOn returns where the given secrets live on a store, copies included.
func (b *builder) pathsOn(store *Store, secrets []addr.Address) []string {
	var paths []string
	for _, a := range secrets {
		for _, at := range []addr.Address{a, a.At(store.Ref())} {
			if r := b.d.byAddress[at]; r != nil && r.Store == store.Ref() {
				paths = append(paths, store.delivers(r.Address.Kind, r.Location.Path))
			}
		}
	}
	return paths
}

func (b *builder) accessError(store *Store, err error, readers []*lang.Reader) {
	var rng *Range
	var ae *providers.AccessError
	if errors.As(err, &ae) && ae.Grant >= 0 && ae.Grant < len(readers) {
		rng = rangeOf(readers[ae.Grant].Range)
	}
	b.fail(rng, fmt.Sprintf("the readers on %s cannot be granted", store.Ref()), err.Error())
}
