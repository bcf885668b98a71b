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
// is one finding of the kind unknown; what a store may not look at is a note.
func Undeclared(ctx context.Context, d *Desired, s *state.Snapshot, stores Stores) ([]Drift, []Note) {
	var out []Drift
	var notes []Note
	for _, ref := range stores.Refs() {
		store := stores[ref]
		managed := d.managedOn(store)
		if store.Err != nil || len(managed) == 0 {
			continue
		}
		found, err := store.UndeclaredAccess(ctx, managed, d.declaredOn(store, s, stores))
		if err != nil {
			out = append(out, Drift{
				Address: addr.Address{Provider: ref}, Location: Location{Provider: ref}, Kind: DriftUnknown,
				Detail: fmt.Sprintf("who else can read there could not be told: %v", err),
			})
		}
		for _, u := range found.Undeclared {
			if d.declares(u, stores) {
				continue
			}
			out = append(out, Drift{
				Address:  addr.ProviderObject(ref, u.Ref.Kind, u.In+u.Ref.Path),
				Location: Location{Provider: ref, Kind: u.Ref.Kind, Path: u.In + u.Ref.Path},
				Kind:     DriftGrantAdded,
				Detail:   fmt.Sprintf("nobody declared it, and it can read %s: %s", somePaths(store, u.Reads), u.Text),
			})
		}
		if len(found.Unseen) > 0 {
			notes = append(notes, Note{
				Address: addr.Address{Provider: ref}, Reason: ReasonNotChecked,
				Text: "who else can read there was looked for without " + strings.Join(found.Unseen, " and ") + ", which the identity in use may not see",
			})
		}
	}
	slices.SortStableFunc(out, func(a, b Drift) int { return a.Address.Compare(b.Address) })
	return out, notes
}

// managedOn returns the secrets on a store.
func (d *Desired) managedOn(store *Store) []providers.Managed {
	var out []providers.Managed
	for _, r := range d.Resources {
		if r.Store == store.Ref() && !r.IsObject() {
			out = append(out, providers.Managed{Path: store.delivers(r.Address.Kind, r.Location.Path), Environment: r.Address.Environment})
		}
	}
	out = append(out, d.fetched[store.Ref()]...)
	return out
}

// declaredOn returns the objects of a store that are declared or still recorded,
// also by way of another provider that has the same ones.
func (d *Desired) declaredOn(store *Store, s *state.Snapshot, stores Stores) []providers.ObjectRef {
	seen := map[providers.ObjectRef]bool{}
	var out []providers.ObjectRef
	add := func(loc addr.Location) {
		ref := providers.ObjectRef{Kind: loc.Kind, Path: loc.Path}
		if !seen[ref] {
			seen[ref] = true
			out = append(out, ref)
		}
	}
	for _, r := range d.Resources {
		if r.IsObject() && sameObjects(stores[r.Store], store) {
			add(r.Location)
		}
	}
	for _, e := range s.Sorted() {
		if e.Role == state.RoleObject && store.ObjectScope(e.Location.Provider) == store.ObjectScope(store.Identity) {
			add(e.Location)
		}
	}
	return out
}

// declares reports whether what a provider found elsewhere, in a namespace above
// its own, is declared by way of the provider that has it.
func (d *Desired) declares(u providers.Undeclared, stores Stores) bool {
	return u.Scope != "" && slices.ContainsFunc(d.Resources, func(r *Resource) bool {
		at := stores[r.Store]
		return r.IsObject() && r.Location.Kind == u.Ref.Kind && r.Location.Path == u.Ref.Path && at.ObjectScope(at.Identity) == u.Scope
	})
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
