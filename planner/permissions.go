package planner

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/cofferhq/coffer/lang"
	"github.com/cofferhq/coffer/lang/addr"
	"github.com/cofferhq/coffer/providers"
	"github.com/cofferhq/coffer/state"
)

// PermissionRequest says what an identity must be able to do on the store ref
// in one phase: for every plan that the configuration can give over the state s,
// with the reason for each value that an apply may read. What s has on a
// provider that is no longer configured is not in it. It is pure.
func PermissionRequest(d *Desired, s *state.Snapshot, stores Stores, ref string, phase providers.Phase) providers.PermissionRequest {
	b := requestBuilder{
		differ: &differ{d: d, s: s, stores: stores}, store: stores[ref], apply: phase == providers.PhaseApply,
		reads: map[addr.Address][]string{}, writes: map[*Resource]bool{}, taken: map[addr.Location][]string{},
	}
	if b.apply {
		b.reads = d.reads()
		b.recorded()
	}
	req := providers.PermissionRequest{Phase: phase, Leaving: b.leaving()}
	for _, r := range d.Resources {
		switch {
		case r.Store != ref:
		case r.IsObject():
			req.Objects = append(req.Objects, providers.ObjectRef{Kind: r.Location.Kind, Path: r.Location.Path})
		default:
			req.Secrets = append(req.Secrets, providers.Use{
				Path: r.Location.Path, Write: b.apply && (r.written() || b.writes[r]), Reads: b.reads[r.Address],
			})
		}
	}
	slices.SortFunc(req.Secrets, func(a, b providers.Use) int { return strings.Compare(a.Path, b.Path) })
	slices.SortFunc(req.Objects, compareRefs)
	return req
}

func compareRefs(a, b providers.ObjectRef) int {
	return cmp.Or(strings.Compare(a.Kind, b.Kind), strings.Compare(a.Path, b.Path))
}

// requestBuilder gathers what the state adds to what the configuration says.
// Of the differ it uses what looks at those two alone.
type requestBuilder struct {
	*differ
	store *Store
	apply bool

	reads  map[addr.Address][]string
	writes map[*Resource]bool         // that the configuration alone would not
	taken  map[addr.Location][]string // why values are read where they leave
}

// recorded adds what an apply does because of what the state has of the secrets
// that are wanted.
func (b *requestBuilder) recorded() {
	for _, r := range b.d.Resources {
		if r.IsObject() {
			continue
		}
		if away := b.away(r); away != nil {
			b.writes[r] = true
			why := fmt.Sprintf("to move it to %s on %s", b.stores[r.Store].written(r.Location), r.Store)
			b.taken[away.Location] = append(b.taken[away.Location], why)
		}
		here := b.s.Entries[r.Location]
		if here == nil || r.IsReplica() || !slices.Contains(b.names(r), here.Address.Primary()) {
			continue
		}
		if r.Secret.Single && here.Key != r.Key && here.Version != "" {
			b.writes[r] = true
			b.reads[r.Address] = append(b.reads[r.Address], "to keep it under another key")
		}
		for name := range here.Fields {
			if _, single := here.Fields[""]; single || r.Secret.Single || b.isField(r, name) {
				continue // that waits for a rotation
			}
			b.writes[r] = true
			if !b.d.patches[r.Store] && len(r.Secret.Fields) == 1 { // of several, d.reads says it
				b.reads[r.Address] = append(b.reads[r.Address], "to drop one of its fields beside the others")
			}
		}
	}
}

// away returns the entry elsewhere whose value can have to come to r's place: it
// is not there, as far as the state knows, or could be lost there while the place
// it came from is not deleted yet.
func (b *requestBuilder) away(r *Resource) *state.Entry {
	if r.Role != state.RolePrimary {
		return nil
	}
	names := b.names(r)
	here, away := b.s.Entries[r.Location], b.newest(r, names)
	switch {
	case away == nil, here == nil, here.Pending != nil, here.Version == "":
	case !slices.Contains(names, here.Address.Primary()): // it waits for its place
	case here.Role == state.RolePrimary && away.Generation >= here.Generation:
	default:
		return nil
	}
	return away
}

// leaving returns what the state has on the store and the configuration does not
// have there.
func (b *requestBuilder) leaving() []providers.Leaving {
	var list []providers.Leaving
	for loc, e := range b.s.Entries {
		if r := b.d.byLocation[loc]; loc.Provider != b.store.Identity || r != nil && !b.tenant(e, r) {
			continue
		}
		for _, end := range b.ends(e) {
			ref := providers.ObjectRef{Kind: loc.Kind, Path: loc.Path}
			list = append(list, providers.Leaving{ObjectRef: ref, End: end, Reads: b.taken[loc]})
		}
	}
	slices.SortFunc(list, func(a, b providers.Leaving) int {
		return cmp.Or(compareRefs(a.ObjectRef, b.ObjectRef), strings.Compare(string(a.End), string(b.End)))
	})
	return list
}

// tenant reports whether e lies at r's place and has to leave before r's value
// can come; see settleIn.
func (b *requestBuilder) tenant(e *state.Entry, r *Resource) bool {
	if e.Role != state.RolePrimary || r.Role != state.RolePrimary || slices.Contains(b.names(r), e.Address.Primary()) {
		return false
	}
	return b.wantedElsewhere(e) != nil || b.newest(r, b.names(r)) != nil
}

// ends returns how an entry that is no longer wanted can end.
func (b *requestBuilder) ends(e *state.Entry) []providers.End {
	removed := b.removedBlock(e.Address)
	secret := e.Location.Kind == addr.KindSecret
	moved := e.Role == state.RolePrimary && b.heir(e) != nil
	switch {
	case !b.apply, !secret && b.d.elsewhere(b.stores, e) != nil, e.Version == "" && e.Pending == nil:
		return []providers.End{providers.EndLooked}
	case removed != nil && !removed.Destroy:
		return []providers.End{providers.EndForgotten}
	case e.Protect && !moved, e.Holds && b.filled(e.Location.Provider):
		return []providers.End{providers.EndLooked}
	case !secret && removed != nil && removed.From == e.Address && b.untied(e) == "":
		return []providers.End{providers.EndNamed}
	case secret && e.Pending != nil: // it may lack our mark, and `coffer accept` writes it
		return []providers.End{providers.EndDeleted, providers.EndForgotten}
	}
	return []providers.End{providers.EndDeleted}
}

// filled reports whether the configuration wants secrets on an instance.
func (b *requestBuilder) filled(identity string) bool {
	return slices.ContainsFunc(b.d.Resources, func(r *Resource) bool { return !r.IsObject() && r.Location.Provider == identity })
}

// written reports whether an apply ever makes a version of r: a value that
// people write is marked, and copied, and no more.
func (r *Resource) written() bool {
	return r.IsReplica() || slices.ContainsFunc(r.Secret.Fields, func(f lang.Field) bool { return f.Source.Kind != lang.Manual })
}

// reads returns, by address, the reasons for which an apply may read a value.
func (d *Desired) reads() map[addr.Address][]string {
	reads := map[addr.Address][]string{}
	add := func(a addr.Address, format string, args ...any) {
		if text := fmt.Sprintf(format, args...); !slices.Contains(reads[a], text) {
			reads[a] = append(reads[a], text)
		}
	}
	for _, r := range d.Resources {
		switch {
		case r.IsObject():
		case r.IsReplica():
			primary := r.Address.Primary()
			add(primary, "to fill and mend its copy on %s", r.Store)
			add(r.Address, "for `coffer restore -from %s`", r.Store)
		default:
			for _, f := range r.Secret.Fields {
				for _, ref := range f.Source.Refs() {
					if ref.Address == r.Address {
						add(r.Address, "to make its %s of its %s", f.Name, ref.Field)
					} else {
						add(ref.Address, "to make %s of it", r.Address)
					}
				}
			}
			if r.Secret.OnOutsideChange == "restore" {
				add(r.Address, "to write the recorded version again, as on_outside_change says")
			}
			if len(r.Secret.Fields) > 1 && !d.patches[r.Store] {
				add(r.Address, "to change one of its fields beside the others")
			}
		}
	}
	for _, reasons := range reads {
		slices.Sort(reasons)
	}
	return reads
}

// Unplaced counts the entries of the state by provider identities that no store
// has: what they need is in no [PermissionRequest].
func Unplaced(s *state.Snapshot, stores Stores) map[string]int {
	counts := map[string]int{}
	for loc := range s.Entries {
		if stores.ByIdentity(loc.Provider) == nil {
			counts[loc.Provider]++
		}
	}
	return counts
}
