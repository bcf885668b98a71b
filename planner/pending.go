package planner

import (
	"slices"
	"time"

	"github.com/cofferhq/coffer/state"
)

// pendingRow is the place of rowPending in the table.
const pendingRow = 3

// rowPending resolves an intent that an earlier run left without an outcome:
// adopt what our operation wrote, decide anew where nothing happened, and call
// it a conflict where somebody else wrote meanwhile.
func rowPending(x *differ, f *facts) (outcome, bool) {
	if !f.recorded() || f.e.Pending == nil {
		return outcome{}, false
	}
	if h := x.s.Holder; h != nil {
		return f.unknown(ReasonInProgress, "%s of %s is running since %s", h.Operation, h.Who, h.Since.UTC().Format("15:04:05 MST")), true
	}
	e, p := f.e, f.e.Pending
	if p.Next == nil { // a delete: what is live decides, as if it never began
		f.e = withoutIntent(e)
		if !f.o.Exists {
			f.e = nil
			f.here = false
		}
		f.interrupted = true
		return x.resolveAgain(f, e)
	}
	until := p.Heard().Add(f.store.Settle)
	switch {
	case landed(p, &f.o) && f.o.Meta.IsDeleted(): // written, and deleted since
		f.e, f.interrupted = x.landedEntry(f, p), true
		return x.resolveAgain(f, e)
	case landed(p, &f.o):
		return x.adoptLanded(f, p), true
	case (atBase(p, &f.o) || !f.o.Exists) && f.store.Settle > 0 && x.o.Now.Before(until):
		return f.unknown(ReasonInterrupted, "a write may still arrive until %s: run again then", until.UTC().Format("15:04:05 MST")), true
	case atBase(p, &f.o):
		x.before(f)
		f.interrupted, f.again = true, Action(p.Action)
		return x.resolveAgain(f, e)
	case !f.o.Exists && p.Base != "":
		f.e = withoutIntent(e)
		f.interrupted = true
		return x.resolveAgain(f, e)
	case f.r.IsReplica() || f.r.IsObject(): // what is at hand is written again, whoever wrote there
		x.before(f)
		f.interrupted = true
		return x.resolveAgain(f, e)
	case f.o.Meta.IsDeleted() && !f.store.undeletes:
		return rowSoftDeleted(x, f)
	case x.settles(f.r.Address, SettleAccept) || f.r.AcceptsOutside():
		f.e = withoutIntent(e)
		f.here = f.e != nil
		if f.o.Meta.IsDeleted() {
			return x.onward(f, Restore, ReasonChangedOutside, "deleted, and kept by the platform%s; %s, while an apply was interrupted", keptUntil(&f.o), whoWhen(&f.o)), true
		}
		return x.adopt(f, ReasonChangedOutside, "%s, while an apply was interrupted", whoWhen(&f.o)), true
	case x.settles(f.r.Address, SettleRotate):
		x.before(f)
		return x.rotate(f, ReasonRotationRequested), true
	}
	a := quoteArg(f.r.Address)
	return f.conflict(ReasonInterrupted, "%s, while an apply of ours was interrupted: `coffer accept %s` keeps the live value, `coffer rotate %s` makes a new one",
		whoWhen(&f.o), a, a), true
}

// outlived is how long after a run was last heard of a write can still be its
// own: one request of a minute, and ten minutes for clocks that disagree.
const outlived = 11 * time.Minute

// landed reports whether what is live was written by the intent's operation.
//
// A version that was known before the effect does not prove that by itself: on a
// store that counts, a person who writes after the crash gets the same number.
// Nothing beside the version proves it either, since attributes stay when
// somebody else writes. What tells the two apart is when the version was made:
// the operation of a run that is dead ended with it, and a person comes later.
// Only where the store tells no time the version has to do.
func landed(p *state.Intent, o *Observation) bool {
	switch {
	case !o.Exists:
		return false
	case p.Next != nil && p.Next.Role == state.RoleObject && o.document(p.Next.Document) == p.Next.Document:
		return true // its content is public, so what is there tells
	case p.Base == "" && p.Next != nil && o.Object != nil && slices.Contains(p.Begins, o.document(p.Next.Document)):
		return true // made, and not brought to what it was to be
	case p.Op != "" && o.Meta.OpID == p.Op:
		return true
	case p.Promised == "" || o.Version() != p.Promised:
		return false
	}
	made, last := o.Meta.Created, p.Heard()
	return made.IsZero() || last.IsZero() || !made.After(last.Add(outlived))
}

// atBase reports whether nothing happened since the intent.
func atBase(p *state.Intent, o *Observation) bool {
	if !o.Exists {
		return p.Base == ""
	}
	return p.Base != "" && o.Version() == p.Base
}

// withoutIntent returns the entry as it was before the intent, nil when the
// intent was to create it.
func withoutIntent(e *state.Entry) *state.Entry {
	if e.Version == "" {
		return nil
	}
	c := *e
	c.Pending = nil
	return &c
}

// before puts f back to what the state knew before the intent: the entry as it
// was, or, where the intent was to make one here, the one it was made from.
func (x *differ) before(f *facts) {
	x.settleIn(f, withoutIntent(f.e))
}

// landedEntry is the entry that the intent prepared, of what is live.
func (x *differ) landedEntry(f *facts, p *state.Intent) *state.Entry {
	next := *p.Next
	next.Version, next.Created, next.Envelope = f.o.Version(), f.o.Meta.Created, f.o.Meta.Envelope
	next.Document = f.o.document(p.Next.Document)
	if !f.r.IsReplica() || x.copyOf(f.r, &next) {
		next.Address = f.r.Address
	}
	return &next
}

// adoptLanded takes over the entry that the intent prepared.
func (x *differ) adoptLanded(f *facts, p *state.Intent) outcome {
	f.e, f.interrupted = x.landedEntry(f, p), true
	return x.onward(f, Adopt, ReasonInterrupted, "written by the interrupted run")
}

// resolveAgain runs the rows below with the intent taken away; where they want
// nothing, the intent itself still has to be cleared.
func (x *differ) resolveAgain(f *facts, e *state.Entry) (outcome, bool) {
	var out outcome
	for _, row := range x.rows[pendingRow+1:] {
		var fits bool
		if out, fits = row.decide(x, f); fits {
			break
		}
	}
	if out.change == nil && out.blocked == "" {
		f.e = withoutIntent(e)
		f.here = f.e != nil
		out.change = f.change(Adopt, ReasonInterrupted, "the interrupted run had changed nothing here")
	}
	return out, true
}
