package planner

import (
	"errors"
	"fmt"
	"slices"

	"github.com/cofferhq/coffer/lang"
	"github.com/cofferhq/coffer/lang/addr"
	"github.com/cofferhq/coffer/providers"
)

// This file compiles external_secrets: objects of a cluster that tell an operator
// there how to fetch secrets, and on the store the reader as which it does.

// delivered is one external_secret.
type delivered struct {
	block    *lang.Delivery
	cluster  *Store
	store    *Store         // that its secrets are on
	secrets  []addr.Address // that it fetches, in order
	compiled []*compiled
	// path is that of the Secret which the operator makes; "" where it is none of
	// a cluster that is known.
	path   string
	reader *lang.Reader // as which the operator reads; nil where that is not ours to give
}

// Operator is as whom an operator reads secrets on their store for one
// external_secret.
type Operator struct {
	Block   addr.Address
	Reader  lang.Reader
	Secrets []addr.Address
}

// fetch is what an operator makes of which secrets.
type fetch struct {
	block         addr.Address
	cluster, path string
	secrets       []addr.Address
}

// deliver compiles every external_secret.
func (b *builder) deliver() {
	for _, block := range b.cfg.Deliveries {
		d := &delivered{block: block, cluster: b.stores[block.Provider]}
		if d.cluster == nil || d.cluster.Deliverer() == nil {
			b.fail(rangeOf(block.Range), fmt.Sprintf("%s has no cluster", block.Address),
				fmt.Sprintf("Its provider is %q, and that is no kubernetes provider of this configuration.", block.Provider))
			continue
		}
		if !b.source(d) || !b.compileDelivery(d) {
			continue
		}
		b.delivered = append(b.delivered, d)
		if d.reader != nil {
			b.d.Operators = append(b.d.Operators, Operator{block.Address, *d.reader, d.secrets})
		}
		if ref := d.cluster.Ref(); d.path != "" {
			b.d.fetched[ref] = append(b.d.fetched[ref], providers.Managed{Path: d.path, Environment: block.Address.Environment})
			b.d.fetches = append(b.d.fetches, fetch{block.Address, ref, d.path, d.secrets})
		}
	}
}

// oneMaker refuses two blocks that make one Secret of a cluster, each in its own
// way: the one would write over what the other does.
func (b *builder) oneMaker() {
	type maker struct {
		address addr.Address
		rng     *Range
	}
	makers := map[addr.Location]maker{}
	makes := func(store *Store, path string, m maker) {
		at := store.shared(addr.KindSecret, path)
		other, taken := makers[at]
		if path == "" || taken && other.address == m.address {
			return
		}
		if !taken {
			makers[at] = m
			return
		}
		detail := fmt.Sprintf("%s and %s both make the Secret %q on %s. Give one of them another name.", other.address, m.address, path, store.Ref())
		b.fail(other.rng, "two blocks make one Secret", detail)
		b.fail(m.rng, "two blocks make one Secret", detail)
	}
	for _, r := range b.d.Resources {
		if store := b.stores[r.Store]; !r.IsObject() && store.Deliverer() != nil {
			makes(store, store.delivers(r.Address.Kind, r.Location.Path), maker{r.Address, r.Range})
		}
	}
	for _, d := range b.delivered {
		if !d.block.AddsOnly() {
			makes(d.cluster, d.path, maker{d.block.Address, rangeOf(d.block.Range)})
		}
	}
}

// source finds the one store that all secrets of d are on. It returns false
// after a diagnostic.
func (b *builder) source(d *delivered) bool {
	fail := func(at *Range, detail string, args ...any) bool {
		b.fail(at, fmt.Sprintf("%s cannot be fetched by the operator", d.block.Address), fmt.Sprintf(detail, args...))
		return false
	}
	for _, item := range d.block.Items {
		for _, ref := range item.Source.Refs() {
			r := b.d.byAddress[ref.Address]
			if r == nil {
				return false // its own diagnostic says why
			}
			store := b.stores[r.Store]
			switch {
			case d.store == nil:
				d.store = store
			case d.store != store:
				return fail(rangeOf(item.Source.Range), "%s is on %s and %s on %s: one external_secret reads one store. Write a block for each.",
					d.secrets[0], d.store.Ref(), ref.Address, store.Ref())
			}
			if !slices.Contains(d.secrets, ref.Address) {
				d.secrets = append(d.secrets, ref.Address)
			}
		}
	}
	switch {
	case d.store == nil:
		return fail(rangeOf(d.block.Range), "Its data names no secret, so there is nothing to fetch. A ConfigMap is the place for plain text.")
	case d.store.Exporter() == nil:
		return fail(rangeOf(d.block.Range), "The External Secrets operator does not read %s. Write a sealed_secret or a kubernetes_secret: they have the same body.", d.store.Ref())
	}
	slices.SortFunc(d.secrets, addr.Address.Compare)
	return true
}

// compileDelivery makes the objects of d.
func (b *builder) compileDelivery(d *delivered) bool {
	block := d.block
	out := providers.Delivery{
		Address: block.Address.String(), Written: block.Path, Form: providers.Form(block.Form), Labels: block.Labels,
		Place:   providers.Place{Kind: block.Address.Kind, App: block.Address.App, Environment: block.Address.Environment, Name: block.Address.Name},
		Refresh: block.Refresh, DeletionPolicy: block.DeletionPolicy, CreationPolicy: block.CreationPolicy,
	}
	for _, item := range block.Items {
		out.Items = append(out.Items, providers.DeliveryItem{Name: item.Name, Parts: b.parts(d, item.Source)})
	}
	s := block.Store
	access := providers.StoreAccess{Method: s.Auth, Args: map[string]any{}, ServiceAccount: s.ServiceAccount}
	for _, a := range s.Arguments {
		access.Args[a.Name] = a.Value
	}
	out.Store = providers.DeliveryStore{Kind: s.Kind, Name: s.Name, Existing: s.Existing, Provider: d.store.Exporter().SecretStore, Access: access}
	access, err := d.cluster.Deliverer().DeliveryAccess(out)
	if err != nil {
		return b.deliveryError(d, err)
	}
	if !s.Existing {
		reader, ours, err := d.store.Exporter().StoreReader(access)
		if err != nil {
			return b.deliveryError(d, err)
		}
		if ours {
			d.reader = &lang.Reader{Func: reader.Func, Args: reader.Args, Range: block.Range}
		}
	}
	specs, err := d.cluster.Deliverer().CompileDelivery(out)
	if err != nil {
		return b.deliveryError(d, err)
	}
	d.path = d.cluster.Deliverer().Delivers(block.Address.Kind, specs[0].Ref.Path)
	for i, spec := range specs {
		c := &compiled{store: d.cluster, spec: spec, address: addr.ProviderObject(d.cluster.Ref(), spec.Ref.Kind, spec.Ref.Path), rng: rangeOf(block.Range)}
		if i == 0 {
			c.address, c.block, c.protect = block.Address, true, block.Protect
		} else {
			c.by = []addr.Address{block.Address}
		}
		b.compile(c)
		d.compiled = append(d.compiled, b.objects[c.store.shared(spec.Ref.Kind, spec.Ref.Path)])
	}
	return true
}

func (b *builder) deliveryError(d *delivered, err error) bool {
	at := rangeOf(d.block.Range)
	var ae *providers.ArgumentError
	if errors.As(err, &ae) && ae.Argument != "" {
		for _, a := range d.block.Store.Arguments {
			if a.Name == ae.Argument {
				at = rangeOf(a.Range)
			}
		}
	}
	b.fail(at, fmt.Sprintf("%s cannot be delivered", d.block.Address), err.Error())
	return false
}

// parts is the source of one key. The loader lets nothing else than these kinds
// through.
func (b *builder) parts(d *delivered, s *lang.Source) []providers.DeliveryPart {
	switch s.Kind {
	case lang.Reference:
		r := b.d.byAddress[s.Ref.Address]
		field := s.Ref.Field
		if field == "" {
			field = r.Key
		}
		remote := d.store.Exporter().Remote(r.Location.Path, field)
		return []providers.DeliveryPart{{Remote: &remote}}
	case lang.Literal, lang.Public:
		return []providers.DeliveryPart{{Text: s.Plain}}
	}
	var out []providers.DeliveryPart
	for _, arg := range s.Args {
		out = append(out, b.parts(d, arg)...)
	}
	if s.Kind == lang.Computed && s.Func != "template" {
		return []providers.DeliveryPart{{Func: s.Func, Args: out}}
	}
	return out
}

// deliveryGrants are the readers that operators sign in as on one store.
func (b *builder) deliveryGrants(store *Store) (grants []providers.Grant, readers []*lang.Reader) {
	for _, d := range b.delivered {
		if d.store != store || d.reader == nil {
			continue
		}
		grants = append(grants, providers.Grant{
			Policy: d.block.Address.String(), Environment: d.block.Address.Environment,
			Reader: providers.Reader{Func: d.reader.Func, Args: d.reader.Args}, Paths: b.pathsOn(store, d.secrets),
		})
		readers = append(readers, d.reader)
	}
	return grants, readers
}

// afterDeliveries lets what an operator reads be there before it is told to
// read: the secrets, and its right to them.
func (b *builder) afterDeliveries() {
	for _, d := range b.delivered {
		made := d.compiled[0].made
		made.After = slices.Clone(d.secrets)
		if len(d.block.Rollouts) > 0 {
			made.Fetches = d.secrets
		}
		for _, policy := range b.inOrder {
			if policy.store == d.cluster || !slices.Contains(policy.by, d.block.Address) {
				continue
			}
			for _, c := range b.inOrder { // what ties it to the reader
				if c == policy || c.store == policy.store && slices.Contains(c.spec.Needs, policy.spec.Ref) {
					made.After = append(made.After, c.made.Address)
				}
			}
		}
		readable := made.After // what the operator is to find when it signs in
		for _, c := range d.compiled[1:] {
			c.made.After = united(c.made.After, readable[len(d.secrets):])
			made.After = append(made.After, c.made.Address)
		}
	}
}

// inCluster returns the paths of the Secrets that things of an app make on a
// cluster out of nothing but what a policy covers, or that it names.
func (b *builder) inCluster(store *Store, p *lang.Policy) []string {
	deliverer := store.Deliverer()
	if deliverer == nil {
		return nil
	}
	covers := func(a addr.Address, made []addr.Address) bool {
		if a.App != p.Address.App || a.Environment != p.Address.Environment {
			return false
		}
		return slices.Contains(p.Secrets, a) || len(made) > 0 && !slices.ContainsFunc(made, func(m addr.Address) bool { return !slices.Contains(p.Secrets, m) })
	}
	var paths []string
	for _, r := range b.d.Resources {
		if r.Store != store.Ref() || r.IsObject() || !covers(r.Address, r.Needs) {
			continue
		}
		if path := deliverer.Delivers(r.Address.Kind, r.Location.Path); path != "" {
			paths = append(paths, path)
		}
	}
	for _, d := range b.delivered {
		// Where the operator only adds to a Secret, the rest of it is somebody else's.
		if d.cluster == store && d.path != "" && !d.block.AddsOnly() && covers(d.block.Address, d.secrets) {
			paths = append(paths, d.path)
		}
	}
	return paths
}

// delivers returns the path of the Secret that r makes on its store: its own,
// but for one that is sealed.
func (s *Store) delivers(kind, path string) string {
	if d := s.Deliverer(); d != nil {
		return d.Delivers(kind, path)
	}
	return path
}
