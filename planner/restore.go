package planner

import (
	"fmt"
	"slices"

	"github.com/cofferhq/coffer/lang/addr"
	"github.com/cofferhq/coffer/providers"
	"github.com/cofferhq/coffer/state"
)

func rowSoftDeleted(x *differ, f *facts) (outcome, bool) {
	if !f.o.Meta.IsDeleted() {
		return outcome{}, false
	}
	until := keptUntil(&f.o)
	if x.owner(f) != ours || !x.wasOwn(f) {
		return x.refuse(f, fmt.Sprintf("the name of %s is taken%s", f.r.Address, until),
			fmt.Sprintf("A deleted secret at %q on %s still holds it, and it is not this one. Wait, purge it there, or set another path.", f.r.Location.Path, f.r.Store)), true
	}
	if !f.store.undeletes {
		return f.conflict(ReasonSoftDeleted, "deleted, and the platform cannot bring it back%s", until), true
	}
	if x.deletedOutside(f) {
		return x.restoreOutside(f, "deleted, and kept by the platform"+until), true
	}
	return x.onward(f, Restore, ReasonSoftDeleted, "deleted, and kept by the platform%s", until), true
}

// keptUntil says when a deleted secret is gone for good, where that is told.
func keptUntil(o *Observation) string {
	if o.Meta.Purged.IsZero() {
		return ""
	}
	return " until " + o.Meta.Purged.UTC().Format("2006-01-02 15:04 MST")
}

// deletedOutside reports whether the version that was deleted is not the one
// that the state recorded: to bring it back is to take somebody else's value.
// A copy is written from its primary again, whatever it holds.
func (x *differ) deletedOutside(f *facts) bool {
	return f.recorded() && f.e.Version != "" && !f.r.IsReplica() && f.changed() && !opIsOurs(f.o.Meta.OpID, x.d.Project)
}

// restoreOutside decides about a deleted version that somebody else wrote, like
// the rows for one that is live. A value that is made anew is written over it
// once it is back, since not every platform writes over a deleted secret.
func (x *differ) restoreOutside(f *facts, deleted string) outcome {
	a := f.r.Address
	anew := func(out outcome) outcome {
		switch {
		case out.change != nil && out.change.Detail != "":
			out.change.Detail = deleted + "; " + out.change.Detail
		case out.change != nil:
			out.change.Detail = deleted + "; " + whoWhen(&f.o)
		case out.blocked == "":
			out.blocked = "is deleted"
		}
		return out
	}
	what := f.r.Secret.OnOutsideChange
	switch s := x.settlement(a); {
	case s != nil && s.Kind == SettleAccept, f.r.AcceptsOutside(), s == nil && what == "accept" && !f.suppliedOrTemplate():
		return x.onward(f, Restore, ReasonChangedOutside, "%s; %s", deleted, whoWhen(&f.o))
	case s != nil && s.Kind == SettleRotate:
		return anew(x.rotate(f, ReasonRotationRequested))
	case f.suppliedOrTemplate():
		return anew(x.update(f, ReasonChangedOutside, x.allFields(f)))
	case s != nil && s.Kind == SettleRestore, s == nil && what == "restore":
		return anew(x.restore(f, s))
	}
	q := quoteArg(a)
	ways := fmt.Sprintf("`coffer accept %s` brings it back and keeps it, `coffer rotate %s` makes a new value", q, q)
	if f.store.Versioned {
		ways = fmt.Sprintf("`coffer accept %s` brings it back and keeps it, `coffer restore %s` writes the recorded one again, `coffer rotate %s` makes a new value", q, q, q)
	}
	return f.conflict(ReasonChangedOutside, "%s; %s, and it is not the recorded one; %s", deleted, whoWhen(&f.o), ways)
}

// suppliedOrTemplate reports whether the value is made again from what is at
// hand.
func (f *facts) suppliedOrTemplate() bool { return atHand(f.r.Class) }

// wasOwn reports whether what was deleted at f's place was f's own value, as
// its mark or the state says: restoring another's would mix the two up.
func (x *differ) wasOwn(f *facts) bool {
	if f.e != nil && !f.here {
		return false // its value is elsewhere
	}
	if !f.store.marks {
		return true
	}
	for _, a := range x.names(f.r) {
		if f.o.Attributes().Mark.Address == providers.AddressHash(a.Primary().String()) {
			return true
		}
	}
	return false
}

// rowReplicaLives: the primary is gone and a copy is left. Which of the two is
// right is a person's call; nothing is copied back by itself.
func rowReplicaLives(x *differ, f *facts) (outcome, bool) {
	if f.o.Exists || f.r.IsObject() || f.r.IsReplica() || (f.e != nil && !f.here) {
		return outcome{}, false
	}
	return x.copyLives(f)
}

// rowNothingToAccept: what a person says of what is there makes nothing where
// nothing is. Of all below an address it is only noted, so that the others can be
// accepted.
func rowNothingToAccept(x *differ, f *facts) (outcome, bool) {
	s := x.settlement(f.r.Address)
	if f.o.Exists || f.e != nil && !f.here || s == nil || s.Kind != SettleAccept || f.r.IsReplica() {
		return outcome{}, false
	}
	if f.e != nil && f.r.Generated() && f.r.Secret.Rotation.Never {
		return outcome{}, false // a conflict, and nothing is made either
	}
	way := "`coffer apply` creates it"
	if f.r.Class == state.ClassManual {
		way = "`coffer secret set " + quoteArg(f.r.Address) + "` gives it a value"
	}
	if s.Address != f.r.Address {
		x.note(f.r, ReasonMissing, "nothing is there to accept; %s", way)
		return outcome{generation: f.generation(), blocked: "is not there"}, true
	}
	return x.refuse(f, f.r.Address.String()+" is not there, so there is nothing to accept",
		way+". If it is to stay away, take its block out of the configuration."), true
}

// copyLives looks for a copy of a primary that is gone, also on stores that
// the configuration no longer names.
func (x *differ) copyLives(f *facts) (outcome, bool) {
	names := x.names(f.r)
	for _, loc := range x.copyLocations(f.r) {
		store := x.stores.ByIdentity(loc.Provider)
		o := x.live.At(loc)
		recorded := x.s.Entries[loc]
		switch {
		case store == nil, recorded != nil && !slices.Contains(names, recorded.Address.Primary()): // another's copy
			continue
		case o.Err != nil && recorded == nil, o.Err == nil && !o.Exists, o.Err == nil && x.whose(x.caps[store.Ref()].marks, &o) != ours:
			continue
		}
		if x.settles(f.r.Address, SettleRotate) {
			return x.rotate(f, ReasonRotationRequested), true
		}
		if o.Err != nil {
			return f.unknown(o.Reason(), "gone from %s, and whether its copy on %s lives cannot be seen: %v", f.r.Store, store.Ref(), o.Err), true
		}
		if s := x.settlement(f.r.Address); s != nil && s.Kind == SettleRestore && s.From == store.Ref() && !o.Meta.IsDeleted() {
			return x.restoreFrom(f, s.From), true
		}
		return f.conflict(ReasonMissing, "gone from %s, while a copy lives on %s: `coffer restore %s -from %s` makes it the value again, `coffer rotate %s` makes a new one",
			f.r.Store, store.Ref(), quoteArg(f.r.Address), store.Ref(), quoteArg(f.r.Address)), true
	}
	return outcome{}, false
}

// copyLocations returns where copies of r are declared or recorded.
func (x *differ) copyLocations(r *Resource) []addr.Location {
	var out []addr.Location
	for _, store := range r.Secret.Replicas {
		if c := x.d.byAddress[r.Address.At(store)]; c != nil {
			out = append(out, c.Location)
		}
	}
	for _, e := range x.copies(r) {
		if e.Location != r.Location && !slices.Contains(out, e.Location) {
			out = append(out, e.Location)
		}
	}
	return out
}

// restore plans to write an older version again, or a replica's.
func (x *differ) restore(f *facts, s *Settlement) outcome {
	if s != nil && s.From != "" {
		return x.restoreFrom(f, s.From)
	}
	if !f.store.Versioned {
		return x.refuse(f, f.r.Address.String()+" cannot be restored from its store",
			f.r.Store+" keeps no older versions. Take the value from a replica (coffer restore -from STORE) or from your version control, then accept it.")
	}
	c := f.change(Restore, ReasonChangedOutside, "%s; the recorded version is written again", whoWhen(&f.o))
	version := f.e.Version
	if s != nil && s.Version != "" {
		version = s.Version
		c.Detail = "version " + version + " is written again"
	}
	c.From = &From{Address: f.r.Address, Location: c.Location, Version: version}
	c.ReadsValue = true
	return outcome{change: c, generation: f.generation() + 1, whole: true}
}

func (x *differ) restoreFrom(f *facts, store string) outcome {
	r := x.d.byAddress[f.r.Address.At(store)]
	if r == nil {
		return x.refuse(f, f.r.Address.String()+" has no copy on "+store, "Its environment names its replicas.")
	}
	o := x.live.At(r.Location)
	if o.Err != nil || !o.Exists {
		return x.refuse(f, "the copy of "+f.r.Address.String()+" on "+store+" is not there", "Look at `coffer drift`.")
	}
	recorded := x.s.Entries[r.Location]
	if recorded == nil || versionDiffers(recorded, &o) || !x.copyOf(r, recorded) {
		return x.refuse(f, "the copy of "+f.r.Address.String()+" on "+store+" is not the one that was written",
			"Somebody changed it too. Put it right by hand, or make a new value with: coffer rotate "+quoteArg(f.r.Address))
	}
	reason := ReasonChangedOutside
	if !f.o.Exists {
		reason = ReasonMissing
	}
	c := f.change(Restore, reason, "the copy on %s becomes the value again", store)
	c.From = &From{Address: r.Address, Location: Location{Provider: store, Kind: addr.KindSecret, Path: r.Location.Path}, Version: o.Version()}
	c.ReadsValue = true
	generation := x.nextGeneration(f)
	if recorded.Generation == max(f.generation(), x.lastGeneration(f.r)) {
		generation = recorded.Generation // the latest value, back in its place
	}
	return outcome{change: c, generation: generation, whole: true}
}
