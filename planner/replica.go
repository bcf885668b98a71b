package planner

import (
	"slices"

	"github.com/cofferhq/coffer/lang/addr"
	"github.com/cofferhq/coffer/state"
)

// rowReplica: values flow from the primary to its copies, never back and never
// from a generator. Nothing happens while the primary has no settled value.
func rowReplica(x *differ, f *facts) (outcome, bool) {
	if !f.r.IsReplica() {
		return outcome{}, false
	}
	want := f.primary.generation
	settled := f.primary.blocked == "" && want > 0
	if !f.o.Exists {
		if !settled {
			return outcome{generation: f.generation(), blocked: "waits for its primary"}, true
		}
		reason := ReasonNew
		if f.recorded() {
			reason = ReasonMissing
		}
		return x.copyFrom(f, Create, reason), true
	}
	if x.owner(f) != ours {
		return outcome{}, false // the rows on marks decide
	}
	if !settled {
		return outcome{generation: f.generation(), blocked: "waits for its primary"}, true
	}
	switch {
	case !f.recorded():
		return x.copyFrom(f, Update, ReasonStateLost), true
	case f.changed():
		return x.copyFrom(f, Update, ReasonChangedOutside), true
	case !x.copyOf(f.r, f.e) && x.lastOne(f.e):
		x.note(f.r, ReasonMoved, "waits: at its place lies what may be the last value of %s", f.e.Address.Primary())
		return outcome{generation: f.generation(), blocked: "waits for its place"}, true
	case !x.copyOf(f.r, f.e):
		return x.copyFrom(f, Update, ReasonMoved), true
	case f.e.Generation != want:
		return x.copyFrom(f, Update, ReasonReplicaBehind), true
	case f.e.Role != state.RoleReplica || f.e.Address != f.r.Address:
		return outcome{}, false // rename
	case f.e.Key != f.r.Key && f.r.Secret.Single:
		return x.copyFrom(f, Update, ReasonMetadataChanged), true
	case x.metadataDiffers(f):
		return outcome{change: x.metadataUpdate(f), generation: want}, true
	}
	return outcome{generation: want}, true
}

// copyOf reports whether an entry is of the value that a replica is a copy of.
func (x *differ) copyOf(r *Resource, e *state.Entry) bool {
	primary := x.d.byAddress[r.Address.Primary()]
	return primary != nil && (e.Address.Primary() == primary.Address || slices.Contains(x.names(primary), e.Address.Primary()))
}

// lastOne reports whether a value that is still wanted is nowhere to be seen but
// in an entry's place.
func (x *differ) lastOne(e *state.Entry) bool {
	heir := x.heir(e)
	if heir == nil {
		return false
	}
	for _, a := range x.names(heir) {
		for _, other := range x.entriesOf(a) {
			if o := x.live.At(other.Location); other.Location != e.Location && o.Err == nil && o.Exists && !o.Meta.IsDeleted() {
				return false
			}
		}
	}
	return true
}

// promotedBehind: the configuration makes a copy the primary, and the copy holds
// an older value than the primary it replaces. Going on would write the older
// value over the newer one, so a person decides.
func (x *differ) promotedBehind(f *facts) (outcome, bool) {
	if f.r.Role != state.RolePrimary || f.e.Role != state.RoleReplica {
		return outcome{}, false
	}
	var newest *state.Entry
	for _, e := range x.entriesOf(f.e.Address.Primary()) {
		if e.Role == state.RolePrimary && e.Generation != f.e.Generation {
			newest = e
		}
	}
	if newest == nil {
		return outcome{}, false
	}
	g, behind := *f, *f.e
	g.e, behind.Generation = &behind, newest.Generation
	s := x.settlement(f.r.Address)
	switch {
	case s != nil && s.Kind == SettleAccept:
		behind.Generation++
		return x.onward(&g, Rename, ReasonMoved, "was %s; its value replaces the newer one", f.e.Address), true
	case s != nil && s.Kind == SettleRotate:
		return x.rotate(&g, ReasonRotationRequested), true
	case s != nil && s.Kind == SettleRestore && s.From != "":
		return x.restore(&g, s), true
	case f.r.Class == state.ClassTemplate:
		return x.update(&g, ReasonReplicaBehind, x.allFields(f)), true
	}
	a := quoteArg(f.r.Address)
	return f.conflict(ReasonReplicaBehind, "the copy on %s is behind the primary it would replace: put the old store back and apply once, or bring its value with `coffer restore %s -from STORE`; `coffer accept %s` keeps the older value",
		f.r.Store, a, a), true
}

// copyFrom plans a write of the primary's value. It is read from the primary
// unless this plan makes all of it.
func (x *differ) copyFrom(f *facts, action Action, reason Reason) outcome {
	c := f.change(action, reason, "")
	c.GenerationLive = f.generation()
	c.ReadsValue = !f.primary.whole || f.primary.change == nil
	if p := x.d.byAddress[f.r.Address.Primary()]; p != nil {
		c.From = &From{
			Address:  p.Address,
			Location: Location{Provider: p.Store, Kind: addr.KindSecret, Path: p.Location.Path},
		}
	}
	return outcome{change: c, generation: f.primary.generation, whole: true}
}
