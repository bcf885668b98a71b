package planner

import (
	"fmt"
	"slices"

	"github.com/cofferhq/coffer/lang"
	"github.com/cofferhq/coffer/lang/addr"
	"github.com/cofferhq/coffer/providers"
	"github.com/cofferhq/coffer/state"
)

// This file answers where the value of an address is, as far as the state
// knows: at the place that the configuration wants, at an earlier one, or
// nowhere; and whose value it is that lies at a place.

// names returns r's address and those that moved blocks lead to it from, less
// what is declared itself.
func (x *differ) names(r *Resource) []addr.Address {
	out := []addr.Address{r.Address}
	for _, a := range x.d.cameFrom(r.Address) {
		if x.d.byAddress[a] == nil {
			out = append(out, a)
		}
	}
	return out
}

// settleIn finds the entry of f's resource: here is what the state has at its
// location. A tenant is an entry of another address at that location, whose
// value has to leave before this one can come.
func (x *differ) settleIn(f *facts, here *state.Entry) {
	f.e, f.here, f.tenant = here, here != nil, nil
	if f.r.Role != state.RolePrimary || here != nil && here.Pending != nil && slices.Contains(x.names(f.r), here.Address.Primary()) {
		return // its own intent is resolved before anything else, see rowPending
	}
	if here != nil && here.Role == state.RolePrimary && here.Address == f.r.Address && len(x.entriesOf(f.r.Address)) == 1 && len(x.d.Moved) == 0 {
		return // the common case, without a search
	}
	names := x.names(f.r)
	away := x.newest(f.r, names)
	switch {
	case here == nil:
		f.e = away
		if away == nil {
			f.e = x.byMark(f.r, names)
		}
	case slices.Contains(names, here.Address.Primary()):
		if away != nil && here.Role == state.RolePrimary && x.supersedes(away, here) {
			f.e, f.here = away, false
		}
	case away != nil || x.wantedElsewhere(here) != nil:
		f.e, f.here, f.tenant = away, false, here
	}
}

// newest returns the entry of one of the names at another location than r's,
// the one with the latest generation.
func (x *differ) newest(r *Resource, names []addr.Address) *state.Entry {
	var best *state.Entry
	for _, a := range names {
		for _, e := range x.entriesOf(a) {
			known := e.Version != "" || e.Pending != nil && e.Pending.Next != nil
			if e.Role != state.RolePrimary || e.Location == r.Location || !known {
				continue
			}
			if best == nil || e.Generation > best.Generation {
				best = e
			}
		}
	}
	return best
}

// supersedes reports whether the value at another place is the one to keep: it
// is newer, or the one here is gone and the other lives.
func (x *differ) supersedes(away, here *state.Entry) bool {
	if away.Generation != here.Generation {
		return away.Generation > here.Generation
	}
	o, there := x.live.At(here.Location), x.live.At(away.Location)
	return o.Err == nil && !o.Exists && here.Pending == nil && there.Exists && !there.Meta.IsDeleted()
}

// wantedElsewhere returns the resource that an entry's value belongs to now, if
// its place is another one than the entry's.
func (x *differ) wantedElsewhere(e *state.Entry) *Resource {
	a := e.Address
	for range len(x.d.Moved) + 1 {
		if r := x.d.byAddress[a]; r != nil {
			if r.Location == e.Location {
				return nil
			}
			return r
		}
		i := slices.IndexFunc(x.d.Moved, func(m *lang.Moved) bool { return m.From.Contains(a) && m.From != m.To })
		if i < 0 {
			return nil
		}
		m := x.d.Moved[i]
		a = movedBack(a, &lang.Moved{From: m.To, To: m.From})
	}
	return nil
}

// rowTenant: another address' value still lies where this one is to be. It has
// to leave first, in this plan or by being deleted; nothing is written over it.
func rowTenant(x *differ, f *facts) (outcome, bool) {
	if f.tenant == nil {
		return outcome{}, false
	}
	if x.circle(f.r) {
		return x.refuse(f, f.r.Address.String()+" is among those that change places in a circle",
			"Each waits for the place of the next. Give one of them a third path, apply, and then the path it is to have."), true
	}
	x.evicted[f.tenant.Location] = true
	if f.e != nil {
		x.consumed[f.e.Location] = true
	}
	x.note(f.r, ReasonMoved, "waits until %s has left %s: apply, then plan again", f.tenant.Address, f.r.Location.Path)
	return outcome{generation: f.generation(), blocked: "waits for its place"}, true
}

// circle reports whether r's place is held by something that waits, step by
// step, for r.
func (x *differ) circle(r *Resource) bool {
	at := r
	for range len(x.d.Resources) {
		tenant := x.s.Entries[at.Location]
		if tenant == nil || slices.Contains(x.names(at), tenant.Address) {
			return false
		}
		next := x.wantedElsewhere(tenant)
		if next == nil {
			return false
		}
		if next == r {
			return true
		}
		at = next
	}
	return false
}

// markedForAnother reports whether what is live is the value of another secret of
// ours, as its mark says.
func (x *differ) markedForAnother(r *Resource, o *Observation) bool {
	mark := o.Attributes().Mark
	if r.IsObject() || mark.Project != x.d.Project || mark.Address == "" {
		return false
	}
	if primary := x.d.byAddress[r.Address.Primary()]; primary != nil {
		r = primary
	}
	return !x.named(r, mark.Address)
}

// named reports whether a mark names r, by its address or one it came from.
func (x *differ) named(r *Resource, mark string) bool {
	return slices.ContainsFunc(x.names(r), func(a addr.Address) bool { return addressMark(a) == mark })
}

// namedBy returns the declared secret that a mark of ours names, nil for none.
func (x *differ) namedBy(mark string) *Resource {
	x.index()
	return x.declared[mark]
}

// ownValue returns where the value of r lies as its mark says, where neither its
// place nor the state has it.
func (x *differ) ownValue(r *Resource) (addr.Location, bool) {
	x.index()
	for _, a := range x.names(r) {
		if loc, ok := x.marked[addressMark(a)]; ok && x.newest(r, x.names(r)) == nil {
			o := x.live.At(r.Location)
			own := x.s.Entries[r.Location] != nil || o.Exists && !x.markedForAnother(r, &o)
			return loc, !own && loc != r.Location
		}
	}
	return addr.Location{}, false
}

// wayPast says what to do about a place that holds the value of another secret
// of ours. Where a declared one goes with it, to adopt it would give a program
// the value of another.
func (x *differ) wayPast(f *facts) string {
	whose := x.namedBy(f.o.Attributes().Mark.Address)
	said := "Its mark names another secret of this project. "
	if whose != nil {
		said = fmt.Sprintf("Its mark says that it is the value of %s. ", whose.Address)
	}
	if at, known := x.ownValue(f.r); known {
		store := x.stores.ByIdentity(at.Provider) // it was listed there
		return said + fmt.Sprintf("The own value of %s lies at %q on %s: set that as its path. To move it, give it a path at which nothing is.", f.r.Address, store.written(at), store.Ref())
	}
	if whose != nil {
		return said + "Set another path."
	}
	return said + fmt.Sprintf("Set another path, add a moved block, or adopt it with: coffer import '%s' %s", f.r.Address, shellWord(f.place(x)))
}

// rowImportAnothers: what is to be imported is the value of another secret that
// is declared, as its mark says. Only -take-over gives it to this one.
func rowImportAnothers(x *differ, f *facts) (outcome, bool) {
	if f.e != nil || f.r.Import == nil || x.o.TakeOver || !x.markedForAnother(f.r, &f.o) {
		return outcome{}, false
	}
	whose := x.namedBy(f.o.Attributes().Mark.Address)
	if whose == nil {
		return outcome{}, false
	}
	id := f.place(x)
	return x.refuse(f, f.r.Address.String()+" is to import the value of another secret",
		fmt.Sprintf("%s If it is to be the value of %s all the same: coffer import -take-over %s %s", x.wayPast(f), f.r.Address, quoteArg(f.r.Address), shellWord(id))), true
}

// byMark returns an entry for what a lost or older state does not know, found
// by the address in its owner mark.
func (x *differ) byMark(r *Resource, names []addr.Address) *state.Entry {
	x.index()
	for _, a := range names {
		loc, ok := x.marked[providers.AddressHash(a.String())]
		if !ok || x.live.At(r.Location).Exists {
			continue
		}
		meta := x.live.At(loc).Meta
		return &state.Entry{
			Address: a, Location: loc, Role: state.RolePrimary, Version: meta.Version, Created: meta.Created, Envelope: meta.Envelope,
			Generation: x.lastGeneration(r) + 1, Class: r.Class, Fields: assumedFields(r, openFields(meta.Fields, keysOf(r, nil)...)), Key: r.Key, Inputs: x.inputs(r), Labels: meta.Attributes.Labels,
			Description: meta.Attributes.Description, Protect: meta.Attributes.Mark.Protected, RotatedAt: x.o.Now,
			AcceptsOutside: r.AcceptsOutside(), Requested: r.Secret.Generation,
		}
	}
	return nil
}

// copies returns the recorded copies of r, declared or not.
func (x *differ) copies(r *Resource) []*state.Entry {
	x.index()
	var out []*state.Entry
	for _, a := range x.names(r) {
		out = append(out, x.replicas[a]...)
	}
	return out
}

// lastGeneration returns the latest generation of r that anything remembers
// though its own entry is gone: its copies, and what was made of it. A count
// that began again would make those look up to date.
func (x *differ) lastGeneration(r *Resource) int {
	x.index()
	last := 0
	for _, e := range x.copies(r) {
		last = max(last, e.Generation)
	}
	for _, a := range x.names(r) {
		last = max(last, x.inputsSeen[a.String()])
	}
	return last
}

// index makes the look-ups by address and by mark when they are first asked for.
func (x *differ) index() {
	if x.replicas != nil {
		return
	}
	x.replicas, x.inputsSeen = map[addr.Address][]*state.Entry{}, map[string]int{}
	x.declared = map[string]*Resource{}
	for _, r := range x.d.Resources {
		if r.IsObject() || r.Role != state.RolePrimary {
			continue
		}
		for _, a := range x.names(r) {
			x.declared[addressMark(a)] = r
		}
	}
	for _, r := range x.d.Resources { // at a place that another is declared to be at
		o := x.live.At(r.Location)
		if x.s.Entries[r.Location] == nil && r.Role == state.RolePrimary && o.Exists && !o.Meta.IsDeleted() && x.markedForAnother(r, &o) {
			x.marked[o.Attributes().Mark.Address] = r.Location
		}
	}
	for _, e := range x.s.Sorted() {
		if e.Role == state.RoleReplica {
			a := e.Address.Primary()
			x.replicas[a] = append(x.replicas[a], e)
		}
		for input, generation := range e.Inputs {
			x.inputsSeen[input] = max(x.inputsSeen[input], generation)
		}
	}
}

// inOrder reports whether a resource stands at its place as recorded, so that
// an earlier place of its value may go.
func (x *differ) inOrder(r *Resource) bool {
	e := x.s.Entries[r.Location]
	o := x.live.At(r.Location)
	if e == nil || e.Version == "" || e.Pending != nil || e.Address != r.Address || o.Err != nil || !o.Exists || o.Meta.IsDeleted() {
		return false
	}
	if x.whose(x.caps[r.Store].marks, &o) != ours || versionDiffers(e, &o) && !r.AcceptsOutside() && !opIsOurs(o.Meta.OpID, x.d.Project) {
		return false
	}
	return x.outcomes[r.n].blocked == ""
}
