package planner

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/cofferhq/coffer/lang/addr"
	"github.com/cofferhq/coffer/providers"
	"github.com/cofferhq/coffer/state"
)

// Undeclared asks every store that can tell who can read managed secrets by
// something that nobody declared. It changes nothing, reads no value, and never
// leads to a change: what it finds is for people. A store that could not answer
// is one finding of the kind unknown.
func Undeclared(ctx context.Context, d *Desired, s *state.Snapshot, stores Stores) []Drift {
	var out []Drift
	for _, ref := range stores.Refs() {
		store := stores[ref]
		managed, declared := d.ofStore(store, s, stores)
		if store.Err != nil || len(managed) == 0 {
			continue
		}
		found, err := store.UndeclaredAccess(ctx, managed, declared)
		if err != nil {
			out = append(out, Drift{
				Address: addr.Address{Provider: ref}, Location: Location{Provider: ref}, Kind: DriftUnknown,
				Detail: fmt.Sprintf("who else can read there could not be told: %v", err),
			})
		}
		for _, u := range found {
			out = append(out, Drift{
				Address:  addr.ProviderObject(ref, u.Ref.Kind, u.Ref.Path),
				Location: Location{Provider: ref, Kind: u.Ref.Kind, Path: u.Ref.Path},
				Kind:     DriftGrantAdded,
				Detail:   fmt.Sprintf("nobody declared it, and it can read %s: %s", somePaths(store, u.Reads), u.Text),
			})
		}
	}
	slices.SortStableFunc(out, func(a, b Drift) int { return a.Address.Compare(b.Address) })
	return out
}

// ofStore returns the secrets on a store, and the objects that are declared or
// still recorded, also by way of another provider that has the same ones.
func (d *Desired) ofStore(store *Store, s *state.Snapshot, stores Stores) (managed []providers.Managed, declared []providers.ObjectRef) {
	for _, r := range d.Resources {
		switch {
		case r.IsObject() && stores[r.Store].shared("", "") == store.shared("", ""):
			declared = append(declared, providers.ObjectRef{Kind: r.Location.Kind, Path: r.Location.Path})
		case r.IsObject(), r.Store != store.Ref():
		default:
			managed = append(managed, providers.Managed{Path: r.Location.Path, Environment: r.Address.Environment})
		}
	}
	for _, e := range s.Sorted() {
		ref := providers.ObjectRef{Kind: e.Location.Kind, Path: e.Location.Path}
		if e.Role == state.RoleObject && store.ObjectScope(e.Location.Provider) == store.ObjectScope(store.Identity) && !slices.Contains(declared, ref) {
			declared = append(declared, ref)
		}
	}
	return managed, declared
}

// somePaths names the first paths of a list.
func somePaths(store *Store, paths []string) string {
	const most = 3
	var names []string
	for _, p := range paths[:min(most, len(paths))] {
		names = append(names, store.Written(p))
	}
	text := strings.Join(names, ", ")
	if more := len(paths) - most; more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return text
}
