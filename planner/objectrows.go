package planner

import (
	"cmp"
	"strings"
)

// This file is what the rows of the decision table do about an object: its text
// is at hand and public, and of one that is settings only those that its block
// names are ours.

// createObject plans an object that is not there. What it cannot be without is
// looked for among what the plan makes.
func (x *differ) createObject(f *facts, reason Reason) outcome {
	if l := f.o.Lacks; l != nil && !x.makes(f, l.Ref.Kind, l.Ref.Path) {
		return f.conflict(ReasonMissing, "%s", l.Text)
	}
	return outcome{change: f.change(Create, reason, "")}
}

// makes reports whether the plan makes an object on the store of f.
func (x *differ) makes(f *facts, kind, path string) bool {
	store := x.stores[f.r.Store]
	if kind == "" || store == nil {
		return false
	}
	c := x.d.shared[store.shared(kind, path)]
	if c == nil || c.made == nil {
		return false
	}
	made := x.outcome(c.made.Address).change
	return made != nil && made.carriedOut()
}

// onwardObject is onward for an object. Whoever accepts what somebody else wrote
// gets it on record as it is; what the configuration says is then another change.
func (x *differ) onwardObject(f *facts, c *Change) outcome {
	live := f.o.document(f.r.Document)
	switch {
	case live == f.r.Document:
	case x.settles(f.r.Address, SettleAccept):
		c.Before, c.After = live, live
		if f.recorded() {
			c.Before = f.e.Document
		}
	default:
		c.Action = Update
	}
	return outcome{change: c}
}

// sameObject is same for an object.
func (x *differ) sameObject(f *facts) outcome {
	if x.settles(f.r.Address, SettleAccept) {
		return outcome{} // what is there is on record: nothing to accept
	}
	live := f.o.document(f.r.Document)
	settings := f.o.Object != nil && f.o.Object.Settings
	marked := f.store.marks && x.live.Refreshed && f.o.Object != nil && !f.o.Object.NoMark
	switch {
	case live != f.r.Document && f.e != nil && f.e.Document == f.r.Document:
		return outcome{change: f.change(Update, ReasonChangedOutside, "%s", whoWhen(&f.o))}
	case live != f.r.Document,
		f.e != nil && f.r.Protect != f.e.Protect,
		f.e != nil && settings && f.e.Document != f.r.Document,
		marked && f.o.Attributes().Mark != x.mark(f.r):
		return outcome{change: f.change(Update, ReasonMetadataChanged, "")}
	}
	if before, after := x.rolled(&Resource{Rolls: f.r.Fetches}); before != after {
		return outcome{change: f.change(Update, ReasonSourceChanged, "the operator is told to fetch anew, before programs are restarted")}
	}
	return outcome{}
}

// leftAsIs says which settings the block has no more, and which it has from now
// on though they need no change: both are recorded and nothing else. Of what is
// taken over it says which settings nobody here chose.
func (f *facts) leftAsIs() string {
	o := f.o.Object
	if o != nil && f.e == nil {
		return notChosen(o.Unusual(f.r.Document))
	}
	if o == nil || f.e == nil || f.e.Document == "" {
		return ""
	}
	var said []string
	live := o.Document
	if gone := o.Beyond(o.Like(f.e.Document), f.r.Document); len(gone) > 0 {
		said = append(said, "no longer declared, and left as it is: "+strings.Join(gone, ", "))
	}
	var stands []string
	for _, line := range o.Beyond(f.r.Document, f.e.Document) {
		if strings.Contains("\n"+live, "\n"+line+"\n") {
			stands = append(stands, line)
		}
	}
	if len(stands) > 0 {
		said = append(said, "declared now, and so already: "+strings.Join(stands, ", "))
	}
	return strings.Join(said, "; ")
}

// notChosen says what a block takes over with an object that was there before:
// a role may let in more than its block tells.
func notChosen(unusual []string) string {
	if len(unusual) == 0 {
		return ""
	}
	return "not written here, not the standard, and left as it is: " + strings.Join(unusual, ", ")
}

// joined puts two sentences behind each other.
func joined(a, b string) string {
	if a == "" || b == "" {
		return cmp.Or(a, b)
	}
	return a + "; " + b
}

// document is what the entry of an object says when the step is done: what is
// adopted is recorded as it is.
func (s *step) document() string {
	if s.change.Action == Adopt && s.live.Object != nil {
		return s.live.document(s.res.Document)
	}
	return s.res.Document
}
