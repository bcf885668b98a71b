package planner

import (
	"fmt"

	"github.com/cofferhq/coffer/lang/addr"
	"github.com/cofferhq/coffer/providers"
	"github.com/cofferhq/coffer/state"
)

// This file decides about an object that the configuration no longer wants.
// Whoever can write the state must not get anything deleted by it: what counts is
// what is live, and, for what others may depend on, what a block says.

func (l *leaving) isObject() bool { return l.e.Location.Kind != addr.KindSecret }

// object is the lower part of the table for an object that exists.
func (l *leaving) object(ourWrite bool) *Change {
	e, x := l.e, l.x
	if r := x.d.elsewhere(x.stores, e); r != nil {
		return l.change(Forget, ReasonMoved, "it is the same as %s, by way of provider %s", r.Address, r.Store)
	}
	if l.removed != nil && !l.removed.Destroy {
		return l.change(Forget, ReasonRemoved, "stays where it is")
	}
	if why := l.notOurs(); why != "" {
		return l.change(Forget, ReasonRemoved, "%s", why)
	}
	if versionDiffers(e, &l.o) && !ourWrite {
		if x.settles(e.Address, SettleAccept) {
			return l.change(Adopt, ReasonChangedOutside, "%s", whoWhen(&l.o))
		}
		return l.changedOutside()
	}
	return l.delete(ReasonRemoved)
}

// texts shows what a change does to the text of an object: one that somebody
// else changed, against what is recorded.
func (l *leaving) texts(c *Change) {
	live := l.o.document(l.e.Document)
	switch c.Action {
	case Conflict, Adopt:
		c.Before, c.After = l.e.Document, live
	case Forget:
		c.Before, c.After = live, live
	default:
		c.Before = live
	}
}

// notOurs says why an object is only forgotten, "" where it may go.
func (l *leaving) notOurs() string {
	o, at := l.o.Object, l.store.Ref()
	switch {
	case o.Kept && l.asked():
		why := l.x.untied(l.e)
		if why == "" && o.ByHand != "" {
			return "stays on " + at + ": nothing tells what others keep in it, and that would be lost for good. It is deleted there by hand, " + o.ByHand
		}
		return why
	case o.ByHand != "":
		return "stays on " + at + ": it is deleted there by hand"
	case o.Kept && (l.e.Address.Provider != "" || l.x.d.byAddress[l.e.Address] != nil):
		return "stays on " + at + ", as others may use it too: it is deleted there by hand"
	case o.Kept:
		return "stays on " + at + ": a removed block with lifecycle { destroy = true }, in the place of its block, deletes it; later it is deleted there by hand"
	case o.NoMark && l.made():
		return ""
	case o.NoMark && l.e.Version == "":
		return "what is there is not what the interrupted apply was to write, and is left alone"
	case o.NoMark:
		return "it was there before Coffer, and is left alone"
	case l.x.whose(l.facts.marks, &l.o) != ours, l.facts.marks && o.Attributes.Mark.Address != addressMark(l.e.Address):
		return "what is there is marked as something else"
	}
	return ""
}

// made reports whether an apply made what is live, as far as the state knows.
func (l *leaving) made() bool {
	p := l.e.Pending
	return l.e.Made || p != nil && p.Next != nil && p.Next.Made && landed(p, &l.o)
}

// asked reports whether a removed block asks for the end of the entry's address.
func (l *leaving) asked() bool {
	return l.removed != nil && l.removed.Destroy && l.removed.From == l.e.Address
}

// untied says why a removed block does not speak of the place that the entry
// names, "" where it does. The block has labels and nothing else: what they do not
// tell, only the state would say, another auth mount or another cluster.
func (x *differ) untied(e *state.Entry) string {
	a, at, own := e.Address, e.Location, x.stores.ByIdentity(e.Location.Provider)
	if own.DeclaredAt(a.Kind, a.Type, a.Name) != (providers.ObjectRef{Kind: at.Kind, Path: at.Path}) {
		return fmt.Sprintf("stays on %s: that %s is %q only the state says, which is no reason to delete it. It is deleted there by hand", own.Ref(), a, at.Path)
	}
	for _, ref := range x.stores.Refs() {
		other := x.stores[ref]
		same := other == own || other.Err == nil && sameObjects(other, own) // what was not reached may be any place
		if !same && other.DeclaredAt(a.Kind, a.Type, a.Name) != (providers.ObjectRef{}) {
			return fmt.Sprintf("stays on %s: %s could have %s as well, and only the state says which of the two it is, which is no reason to delete it. It is deleted there by hand", own.Ref(), ref, a)
		}
	}
	return ""
}
