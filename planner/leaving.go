package planner

import (
	"strings"

	"github.com/cofferhq/coffer/lang/addr"
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

// notOurs says why an object is only forgotten, "" where it may go.
func (l *leaving) notOurs() string {
	o, at := l.o.Object, l.store.Ref()
	switch {
	case o.Kept && l.named():
		return ""
	case o.Kept && (l.e.Address.Provider != "" || l.x.d.byAddress[l.e.Address] != nil):
		return "stays on " + at + ", as others may use it too: it is deleted there by hand"
	case o.Kept:
		return "stays on " + at + ": a removed block with destroy = true, in the place of its block, deletes it; later it is deleted there by hand"
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

// named reports whether a removed block asks for exactly what the entry is about:
// the entry alone says nothing of what its address has to do with its place.
func (l *leaving) named() bool {
	return l.removed != nil && l.removed.Destroy && l.removed.From == l.e.Address && namesObject(l.e.Address, l.e.Location.Kind, l.e.Location.Path)
}

// namesObject reports whether an object that is Kept can be at a path by its
// address; see [providers.Declarer].
func namesObject(a addr.Address, kind, path string) bool {
	if a.Kind != kind || a.Name == "" {
		return false
	}
	if typ, rest, typed := strings.Cut(path, ":"); typed {
		if typ != a.Type {
			return false
		}
		path = rest
	}
	return path == a.Name || strings.HasSuffix(path, "/"+a.Name)
}
