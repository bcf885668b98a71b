package planner

import (
	"github.com/cofferhq/coffer/state"
)

// rowRelocate: the value of this address stands at another place. It is read
// there and written here; the old one goes in a later plan, once this one is in
// order.
func rowRelocate(x *differ, f *facts) (outcome, bool) {
	if f.e == nil || f.here {
		return outcome{}, false
	}
	old := x.live.At(f.e.Location)
	store := x.stores.ByIdentity(f.e.Location.Provider)
	if store == nil {
		return outcome{generation: f.generation(), blocked: "lives on a provider that is not configured"}, true
	}
	there := f.e.Location
	if out, decided := x.pendingThere(f, &old, x.caps[store.Ref()]); decided || f.e == nil {
		x.consumed[there] = decided // else it is left over
		return out, decided
	}
	e := f.e
	x.consumed[e.Location] = true
	if f.o.Exists {
		if out, taken := x.taken(f); taken {
			return out, true
		}
	}
	if x.sealed(f.r) || unreadable(store, e) { // nobody can read it there: it is made anew, and the old one goes
		x.consumed[e.Location] = false
		return x.create(f, ReasonMoved), true
	}
	if old.Err != nil {
		return f.unknown(old.Reason(), "its present place cannot be seen: %v", old.Err), true
	}
	if !old.Exists || old.Meta.IsDeleted() {
		return x.lostOnTheWay(f, e, &old), true
	}
	version, rotated, out := x.versionToMove(f, e, &old)
	if out != nil {
		return *out, true
	}
	c := f.change(Relocate, ReasonMoved, "")
	c.From = &From{Address: e.Address, Location: Location{Provider: store.Ref(), Kind: e.Location.Kind, Path: e.Location.Path}, Version: version}
	c.ReadsValue = true
	g := *f
	moved := *e
	moved.Location = f.r.Location
	if rotated {
		moved.Generation++
	}
	g.e, g.here, g.interrupted = &moved, true, false
	onward := x.same(&g)
	if next := onward.change; next != nil {
		c.Fields, c.NewValue = next.Fields, next.NewValue
	}
	if x.s.Entries[e.Location] == nil { // found by its mark
		x.noteTakenAsMade(f.r, old.Meta.Fields, onward.change)
	}
	generation := max(onward.generation, moved.Generation)
	return outcome{change: c, generation: generation, whole: true, blockedFields: onward.blockedFields}, true
}

// taken says what it means that something lies at the new place. Our own older
// value there, as recorded, is written over; and what carries our mark for this
// very address is the value, moved by a run that the state does not know.
func (x *differ) taken(f *facts) (outcome, bool) {
	if e := x.s.Entries[f.r.Location]; e != nil && e.Pending == nil && !versionDiffers(e, &f.o) {
		return outcome{}, false
	}
	mark := f.o.Attributes().Mark
	if f.store.marks && mark.Project == x.d.Project && mark.Address == x.mark(f.r).Address && x.s.Entries[f.r.Location] == nil {
		x.consumed[f.e.Location] = false
		g := *f
		g.here = true
		return x.adopt(&g, ReasonStateBehind, "moved here by Coffer after this state"), true
	}
	return x.refuse(f, "the new place of "+f.r.Address.String()+" is taken",
		"There is something at "+f.r.Location.Path+" on "+f.r.Store+" that the state does not know. Look at it, then choose another path or remove it there."), true
}

// pendingThere resolves an intent that an earlier run left at the present
// place, the way rowPending does at the wanted one. f.e is nil afterwards where
// that run had made nothing.
func (x *differ) pendingThere(f *facts, old *Observation, caps storeFacts) (outcome, bool) {
	p := f.e.Pending
	if p == nil {
		return outcome{}, false
	}
	if h := x.s.Holder; h != nil {
		return f.unknown(ReasonInProgress, "%s of %s is running since %s", h.Operation, h.Who, h.Since.UTC().Format("15:04:05 MST")), true
	}
	switch {
	case old.Err != nil: // told below
	case p.Next == nil:
		f.e = withoutIntent(f.e)
		if !old.Exists {
			f.e = nil
		}
	case landed(p, old):
		next := *p.Next
		next.Location = f.e.Location
		next.Version, next.Created, next.Envelope = old.Version(), old.Meta.Created, old.Meta.Envelope
		f.e = &next
	case atBase(p, old), !old.Exists:
		if until := p.Heard().Add(caps.Settle); caps.Settle > 0 && x.o.Now.Before(until) {
			return f.unknown(ReasonInterrupted, "a write may still arrive at its present place until %s: run again then", until.UTC().Format("15:04:05 MST")), true
		}
		f.e = withoutIntent(f.e)
	case withoutIntent(f.e) == nil:
		return f.conflict(ReasonInterrupted, "%s at its present place %s, while an apply of ours was interrupted: put the path back and settle it there",
			whoWhen(old), f.e.Location.Path), true
	default:
		f.e = withoutIntent(f.e)
	}
	return outcome{}, false
}

// versionToMove says which version of the old place is ours to move.
func (x *differ) versionToMove(f *facts, e *state.Entry, old *Observation) (version string, rotated bool, out *outcome) {
	if !versionDiffers(e, old) {
		return e.Version, false, nil
	}
	if f.atHand() { // made again from its source, not taken from whoever wrote it
		made := x.create(f, ReasonMoved)
		return "", false, &made
	}
	if f.r.AcceptsOutside() || opIsOurs(old.Meta.OpID, x.d.Project) || x.settles(f.r.Address, SettleAccept) {
		return old.Version(), true, nil
	}
	if x.settles(f.r.Address, SettleRotate) {
		made := x.rotateElsewhere(f)
		return "", false, &made
	}
	a := quoteArg(f.r.Address)
	made := f.conflict(ReasonChangedOutside, "%s at its present place %s: `coffer accept %s` moves the live value, `coffer rotate %s` makes a new one",
		whoWhen(old), e.Location.Path, a, a)
	return "", false, &made
}

func (x *differ) rotateElsewhere(f *facts) outcome {
	g := *f
	g.e = nil
	out := x.create(&g, ReasonRotationRequested)
	if out.change != nil {
		out.change.NewValue = true
		out.generation = f.generation() + 1
	}
	return out
}

// lostOnTheWay: the value to move is gone.
func (x *differ) lostOnTheWay(f *facts, e *state.Entry, old *Observation) outcome {
	if old.Meta.IsDeleted() && !x.settles(f.r.Address, SettleRotate) {
		return f.conflict(ReasonSoftDeleted, "deleted at its present place %s, and kept by the platform: put the path back to restore it, or make a new value with `coffer rotate %s`",
			e.Location.Path, quoteArg(f.r.Address))
	}
	if out, lives := x.copyLives(f); lives {
		return out
	}
	if f.r.Generated() && f.r.Secret.Rotation.Never {
		return f.conflict(ReasonMissing, "gone from its present place %s, and rotation = never forbids a new value: put the old one back, or start anew with `coffer state rm %s`",
			e.Location.Path, quoteArg(e.Address))
	}
	x.consumed[e.Location] = false
	return x.create(f, ReasonMissing)
}
