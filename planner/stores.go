package planner

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/cofferhq/coffer/lang"
	"github.com/cofferhq/coffer/providers"
	"github.com/cofferhq/coffer/state"
)

// Store is one configured provider and the instance behind it.
type Store struct {
	*providers.Provider
	// Identity is the instance; when it could not be reached, the one that the
	// state recorded.
	Identity string
	// Err says why the instance could not be reached; nil when it was.
	Err error
}

// Stores are the configured providers by reference.
type Stores map[string]*Store

// Connect asks every provider who it is and compares with what the state
// recorded. A store that cannot be reached is not an error here: what lives
// there is unknown. A swapped instance is.
func Connect(ctx context.Context, list []*providers.Provider, s *state.Snapshot) (Stores, []Diagnostic) {
	stores := make(Stores, len(list))
	var diags []Diagnostic
	for _, p := range list {
		store := &Store{Provider: p}
		stores[p.Ref()] = store
		recorded := ""
		if s != nil {
			recorded = s.Providers[p.Ref()]
		}
		store.Identity, store.Err = p.Identity(ctx)
		switch {
		case store.Err != nil:
			store.Identity = recorded
		case recorded != "" && recorded != store.Identity:
			diags = append(diags, swapped(p.Ref(), recorded, store.Identity, s))
		}
	}
	return stores, diags
}

func swapped(ref, recorded, now string, s *state.Snapshot) Diagnostic {
	count := 0
	for loc := range s.Entries {
		if loc.Provider == recorded {
			count++
		}
	}
	return Diagnostic{
		Severity: SeverityError,
		Summary:  fmt.Sprintf("provider %s is another instance than before", ref),
		Detail: fmt.Sprintf("The state knows it as %q and holds %d entries there; now it is %q. If it was moved on purpose, run: coffer state repin %s",
			recorded, count, now, ref),
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

// path returns where a secret lives on the store.
func (s *Store) path(sec *lang.Secret) (string, error) {
	if sec.Path != "" {
		return s.Resolve(sec.Address.Kind, sec.Path)
	}
	return s.DefaultPath(providers.Place{
		Kind: sec.Address.Kind, App: sec.Address.App, Environment: sec.Address.Environment,
		Name: sec.Address.Name, Key: sec.Key,
	})
}
