package planner

import (
	"context"
	"fmt"
	"slices"

	"github.com/cofferhq/coffer/lang/addr"
	"github.com/cofferhq/coffer/providers"
	"github.com/cofferhq/coffer/state"
)

// Unsynced asks every cluster what its controllers made of what an apply gave
// them: external secrets, their stores, sealed secrets. It changes nothing and
// reads no value. What a controller could not use, or has not looked at, is drift
// of the kind not_synced; a cluster that does not answer is one of the kind
// unknown.
func Unsynced(ctx context.Context, d *Desired, s *state.Snapshot, stores Stores) []Drift {
	var out []Drift
	for _, ref := range stores.Refs() {
		store := stores[ref]
		refs, sealed := controlledOn(d, s, store)
		if store.Err != nil {
			continue
		}
		said, err := store.Conditions(ctx, refs, sealed)
		for _, c := range said {
			if drift, bad := d.unsynced(store, s, c); bad {
				out = append(out, drift)
			}
		}
		if err != nil {
			out = append(out, Drift{
				Address: addr.Address{Provider: ref}, Location: Location{Provider: ref}, Kind: DriftUnknown,
				Detail: fmt.Sprintf("what the controllers there say could not be told: %v", err),
			})
		}
	}
	slices.SortStableFunc(out, func(a, b Drift) int { return a.Address.Compare(b.Address) })
	return out
}

// controlledOn returns what an apply wrote to a store and its controllers look
// at, as far as the configuration still has it.
func controlledOn(d *Desired, s *state.Snapshot, store *Store) (refs []providers.ObjectRef, sealed []string) {
	for _, r := range d.Resources {
		e := s.Entries[r.Location]
		switch {
		case r.Store != store.Ref() || e == nil || e.Version == "" || r.Location.Kind == KindRollout:
		case r.IsObject():
			refs = append(refs, providers.ObjectRef{Kind: r.Location.Kind, Path: r.Location.Path})
		case unreadable(store, e):
			sealed = append(sealed, r.Location.Path)
		}
	}
	return refs, sealed
}

// unsynced returns what a condition says is wrong, false where nothing is.
func (d *Desired) unsynced(store *Store, s *state.Snapshot, c providers.Condition) (drift Drift, bad bool) {
	loc := addr.Location{Provider: store.Identity, Kind: c.Kind, Path: c.Path}
	r := d.byLocation[loc]
	if r == nil || c.OK && !c.Stale {
		return Drift{}, false
	}
	drift = Drift{
		Address: r.Address, Location: Location{Provider: store.Ref(), Kind: c.Kind, Path: c.Path}, Kind: DriftNotSynced,
		ChangedAt: c.At, Range: r.Range, Detail: "its controller has not looked at what was last written",
	}
	if e := s.Entries[loc]; e != nil {
		drift.VersionRecorded = e.Version
	}
	if !c.OK {
		drift.Detail = fmt.Sprintf("its controller says %s: %s", c.Reason, c.Text)
	}
	return drift, true
}
