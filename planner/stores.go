package planner

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/cofferhq/coffer/lang"
	"github.com/cofferhq/coffer/lang/addr"
	"github.com/cofferhq/coffer/providers"
	"github.com/cofferhq/coffer/state"
)

// Store is one configured provider and the instance behind it.
type Store struct {
	*providers.Provider
	// Identity is the instance; when it could not be reached, the one that the
	// state recorded.
	Identity string
	// Incarnation tells what the secrets lie in from another of the same
	// identity; "" where that is not there or the platform makes no difference.
	Incarnation string
	// Err says why the instance could not be reached; nil when it was.
	Err error

	recorded string // the incarnation that the state has
	asked    bool   // it was: Incarnation and Err say what is there
}

// Stores are the configured providers by reference.
type Stores map[string]*Store

// Connect asks every provider who it is and compares with what the state
// recorded. A store that cannot be reached is not an error here: what lives
// there is unknown. A swapped instance is.
func Connect(ctx context.Context, list []*providers.Provider, s *state.Snapshot) (Stores, []Diagnostic) {
	stores := make(Stores, len(list))
	var diags []Diagnostic
	var wg sync.WaitGroup
	for _, p := range list { // at once: one that does not answer takes long
		store := &Store{Provider: p}
		stores[p.Ref()] = store
		wg.Go(func() { store.ask(ctx, s) })
	}
	wg.Wait()
	for _, p := range list {
		store, recorded := stores[p.Ref()], ""
		if s != nil {
			recorded = s.Providers[p.Ref()]
		}
		switch {
		case store.Err != nil:
			// Two stores that were never reached are two places all the same.
			store.Identity = cmp.Or(store.Identity, recorded, unreached+p.Ref())
		case recorded != "" && recorded != store.Identity:
			diags = append(diags, swapped(p.Ref(), recorded, store.Identity, s))
		case store.recorded != "" && store.Incarnation != "" && store.recorded != store.Incarnation:
			diags = append(diags, madeAgain(store, s))
		}
	}
	return stores, diags
}

// unreached begins the identity of a store that was never reached; it is not
// recorded.
const unreached = "unreached:"

// ask fills in who is behind the store.
func (store *Store) ask(ctx context.Context, s *state.Snapshot) {
	recorded := ""
	if s != nil {
		recorded, store.recorded = s.Providers[store.Ref()], s.Incarnations[store.Ref()]
	}
	store.Identity, store.Err = store.Provider.Identity(ctx)
	if store.Err == nil && (recorded == "" || recorded == store.Identity) {
		store.Incarnation, store.Err = store.Provider.Incarnation(ctx)
		store.asked = true
	}
}

func madeAgain(store *Store, s *state.Snapshot) Diagnostic {
	return Diagnostic{
		Severity: SeverityError,
		Summary:  fmt.Sprintf("what provider %s keeps secrets in was deleted and made again", store.Ref()),
		Detail: fmt.Sprintf("It is %s as before, but the state knows its container as %q, and now it is %q: none of what the state has there, %s, can be relied on. "+
			"Nothing was compared or written. If it was made again on purpose, run: coffer state repin %s; the next plan then shows what is missing",
			store.Identity, store.recorded, store.Incarnation, plural(entriesOn(s, store.Identity), "entry", "entries"), store.Ref()),
	}
}

func entriesOn(s *state.Snapshot, identity string) int {
	count := 0
	for loc := range s.Entries {
		if loc.Provider == identity {
			count++
		}
	}
	return count
}

// Repin makes the state take what is behind a store now, after a person has
// agreed, and returns the entries that it has there.
func Repin(s *state.Snapshot, store *Store) ([]*state.Entry, error) {
	if s.Providers[store.Ref()] == store.Identity && s.Incarnations[store.Ref()] != store.Incarnation {
		return s.Reincarnate(store.Ref(), store.Incarnation)
	}
	return s.Repin(store.Ref(), store.Identity)
}

// instances refuses two providers that are one instance: what lies there would
// have two owners.
func (b *builder) instances() {
	first := map[string]*lang.Provider{}
	for _, p := range b.cfg.Providers {
		store := b.stores[p.Ref()]
		if store == nil || store.Identity == "" {
			continue
		}
		other := first[store.Identity]
		if other == nil {
			first[store.Identity] = p
			continue
		}
		summary := fmt.Sprintf("providers %s and %s are the same store", other.Ref(), p.Ref())
		detail := fmt.Sprintf("Both are %s, so that what lies there would have two names. Take one of the blocks out, or point it elsewhere.", store.Identity)
		b.fail(rangeOf(other.Range), summary, detail)
		b.fail(rangeOf(p.Range), summary, detail)
	}
}

// containers refuses a store whose container is not there, unless the
// configuration declares it and so makes it.
func (b *builder) containers() {
	for _, ref := range b.stores.Refs() {
		store := b.stores[ref]
		missing := store.asked && store.Err == nil && store.Incarnation == "" && store.HasIncarnations()
		if !missing || b.d.holder(ref) != nil || store.recorded == "" && !b.keeps(ref) {
			continue
		}
		var rng *Range
		for _, p := range b.cfg.Providers {
			if p.Ref() == ref {
				rng = rangeOf(p.Range)
			}
		}
		if store.recorded == "" {
			b.fail(rng, fmt.Sprintf("what provider %s keeps secrets in does not exist", ref), fmt.Sprintf(
				"It would be %s. Correct its name in the provider block, declare it with a mount block, or make it with the platform's own tools.", store.Identity))
			continue
		}
		b.fail(rng, fmt.Sprintf("what provider %s keeps secrets in is gone", ref), fmt.Sprintf(
			"It is %s as before, but the container that the state knows as %q is not there any more, and all secrets went with it. Nothing was compared or written. "+
				"Bring it back from a backup, or declare it with a mount block. If it went on purpose, run: coffer state repin %s", store.Identity, store.recorded, ref))
	}
}

// keeps reports whether any secret is to lie on a store.
func (b *builder) keeps(ref string) bool {
	return slices.ContainsFunc(b.d.Resources, func(r *Resource) bool { return r.Store == ref && !r.IsObject() })
}

func swapped(ref, recorded, now string, s *state.Snapshot) Diagnostic {
	return Diagnostic{
		Severity: SeverityError,
		Summary:  fmt.Sprintf("provider %s is another instance than before", ref),
		Detail: fmt.Sprintf("The state knows it as %q and holds %s there; now it is %q. If it was moved on purpose, run: coffer state repin %s",
			recorded, plural(entriesOn(s, recorded), "entry", "entries"), now, ref),
	}
}

// Refs returns the references in order.
func (s Stores) Refs() []string { return slices.Sorted(maps.Keys(s)) }

// ByIdentity returns the store behind an identity, nil where none is
// configured.
func (s Stores) ByIdentity(identity string) *Store {
	for _, ref := range s.Refs() {
		if s[ref].Identity == identity {
			return s[ref]
		}
	}
	return nil
}

// written returns a place as a person writes it: a secret's without the
// provider's prefix.
func (s *Store) written(l addr.Location) string {
	if l.Kind == addr.KindSecret {
		return s.Written(l.Path)
	}
	return l.Path
}

// path returns where a secret lives on the store. A block with output that names
// no place of its own has FILE# for a path: the rest is the store's default.
func (s *Store) path(sec *lang.Secret) (string, error) {
	place := providers.Place{
		Kind: sec.Address.Kind, App: sec.Address.App, Environment: sec.Address.Environment,
		Name: sec.Address.Name, Key: sec.Key,
	}
	file, inFile := strings.CutSuffix(sec.Path, "#")
	switch kind := sec.Address.Kind; {
	case inFile && (kind == addr.KindKubernetesSecret || kind == addr.KindSealedSecret):
		place.In = file
	case sec.Path != "":
		return s.Resolve(kind, sec.Path)
	}
	return s.DefaultPath(place)
}
