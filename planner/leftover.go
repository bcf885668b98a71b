package planner

import (
	"fmt"
	"strings"

	"github.com/cofferhq/coffer/lang"
	"github.com/cofferhq/coffer/lang/addr"
	"github.com/cofferhq/coffer/providers"
	"github.com/cofferhq/coffer/state"
)

// leftover decides about an entry that the configuration no longer wants.
func (x *differ) leftover(e *state.Entry) {
	store := x.stores.ByIdentity(e.Location.Provider)
	if store == nil {
		return // checkProviders has counted it
	}
	l := &leaving{x: x, e: e, o: x.live.At(e.Location), store: store, facts: x.caps[store.Ref()], removed: x.removedBlock(e.Address)}
	c := l.decide()
	if c == nil {
		return
	}
	c.Role = e.Role
	c.Generation = l.generation(c)
	if l.removed != nil {
		c.Range = rangeOf(l.removed.Range)
	}
	if c.Action == Delete {
		if heir := x.heir(e); heir != nil && !x.inOrder(heir) {
			x.plan.Notes = append(x.plan.Notes, Note{
				Address: e.Address, Reason: c.Reason, Range: c.Range,
				Text: "stays at " + e.Location.Path + " until " + heir.Address.String() + " is in order at its place",
			})
			return
		}
		if by, held := x.needed[e.Address.Primary()]; held {
			x.plan.Notes = append(x.plan.Notes, Note{
				Address: e.Address, Reason: ReasonRemoved, Range: c.Range,
				Text: "stays for now: " + by.String() + " is still made of it, and nothing can be done about that in this plan",
			})
			return
		}
		c.DependsOn = x.readers[e.Address.Primary()]
	}
	x.plan.Changes = append(x.plan.Changes, *c)
}

// leaving is what the rows for unwanted entries look at.
type leaving struct {
	x       *differ
	e       *state.Entry
	o       Observation
	store   *Store
	facts   storeFacts
	removed *lang.Removed
}

// removedBlock returns the removed block for an address, the narrowest first.
func (x *differ) removedBlock(a addr.Address) *lang.Removed {
	var best *lang.Removed
	for _, r := range x.d.Removed {
		if r.From.Contains(a) && (best == nil || best.From.Contains(r.From)) {
			best = r
		}
	}
	return best
}

func (l *leaving) change(action Action, reason Reason, format string, args ...any) *Change {
	c := &Change{
		Address: l.e.Address, Action: action, Reason: reason, Entry: l.e.Version,
		Location: Location{Provider: l.store.Ref(), Kind: l.e.Location.Kind, Path: l.e.Location.Path},
		Detail:   fmt.Sprintf(format, args...),
	}
	if l.o.Exists && l.o.Err == nil {
		c.VersionFrom = l.o.Version()
	}
	if l.isObject() {
		l.texts(c)
	}
	return c
}

// decide is the lower part of the decision table; the first row that fits
// decides.
func (l *leaving) decide() *Change {
	e, x := l.e, l.x
	if l.o.Err != nil {
		return l.change(Unknown, l.o.Reason(), "%v", l.o.Err)
	}
	ourWrite, unmarked := false, false
	if p := e.Pending; p != nil {
		if h := x.s.Holder; h != nil {
			return l.change(Unknown, ReasonInProgress, "%s of %s is running since %s", h.Operation, h.Who, h.Since.UTC().Format("15:04:05 MST"))
		}
		if until := p.Heard().Add(l.facts.Settle); p.Next != nil && (atBase(p, &l.o) || !l.o.Exists) && l.facts.Settle > 0 && x.o.Now.Before(until) {
			return l.change(Unknown, ReasonInterrupted, "a write may still arrive until %s: run again then", until.UTC().Format("15:04:05 MST"))
		}
		ourWrite = landed(p, &l.o) || atBase(p, &l.o)
		unmarked = ourWrite && Action(p.Action) != Forget
	}
	forget := l.removed != nil && !l.removed.Destroy
	reason := l.reason()
	switch {
	case !l.o.Exists:
		return l.change(Forget, reason, "not there any more")
	case l.o.Meta.IsDeleted() && !l.o.Meta.Remains: // else a delete finishes it
		return l.change(Forget, reason, "deleted already")
	case l.isObject():
		return l.object(ourWrite)
	case x.whose(l.facts.marks, &l.o) == nobodys && unmarked && !forget:
		return l.unmarked()
	case x.whose(l.facts.marks, &l.o) != ours, l.anothersMark():
		return l.change(Forget, reason, "what is there is marked as something else")
	}
	changed := versionDiffers(e, &l.o) && !ourWrite && !opIsOurs(l.o.Meta.OpID, x.d.Project)
	if changed && !e.AcceptsOutside && !forget && !x.settles(e.Address, SettleAccept) {
		return l.changedOutside()
	}
	if changed && x.settles(e.Address, SettleAccept) {
		return l.change(Adopt, ReasonChangedOutside, "%s", whoWhen(&l.o))
	}
	if forget {
		return l.change(Forget, ReasonRemoved, "stays where it is")
	}
	return l.delete(reason)
}

// generation counts what c takes into the state: a copy or a template is told by
// it whether it is behind, and 0 would say that there is no value to copy.
func (l *leaving) generation(c *Change) int {
	known := l.e.Generation
	if p := l.e.Pending; p != nil && p.Next != nil {
		known = max(known, p.Next.Generation)
	}
	switch {
	case c.Action != Adopt || l.isObject():
		return l.e.Generation
	case c.Reason == ReasonChangedOutside:
		return known + 1
	}
	return max(known, 1)
}

func (l *leaving) changedOutside() *Change {
	a, way := quoteArg(l.e.Address), "a removed block that has lifecycle { destroy = false }"
	if l.isObject() && (l.e.Address.App != "" || l.e.Address.Provider != "") {
		way = "`coffer state rm " + a + "`" // no block can name it
	}
	return l.change(Conflict, ReasonChangedOutside, "%s: `coffer accept %s` and delete it then, or forget it with %s", whoWhen(&l.o), a, way)
}

// delete is the change, or a diagnostic where protection forbids it.
func (l *leaving) delete(reason Reason) *Change {
	e, x := l.e, l.x
	if (e.Protect || l.o.Attributes().Mark.Protected) && reason != ReasonMoved {
		x.diagnose(nil, &e.Address, e.Address.String()+" is protected",
			"It would be deleted, because the configuration no longer has it. Put it back, or apply protect = false first; a removed block with lifecycle { destroy = false } forgets it.")
		return nil
	}
	c := l.change(Delete, reason, "")
	c.Confirmed = l.removed != nil && l.removed.Destroy
	return c
}

// unmarked: an interrupted run of ours wrote it, as the state says, and did not
// come to its mark. The state alone is no reason to delete anything, and to
// forget it would leave it with nobody, so a person decides.
func (l *leaving) unmarked() *Change {
	switch {
	case l.removed != nil && !l.e.Protect: // a reviewed block names it
		c := l.change(Delete, l.reason(), "")
		c.Confirmed = true
		return c
	case l.x.settles(l.e.Address, SettleAccept):
		return l.change(Adopt, ReasonInterrupted, "our mark is written, which the interrupted run did not come to")
	}
	return l.change(Conflict, ReasonInterrupted, "an apply of ours was interrupted before it could mark it, and its block is gone: "+
		"put the block back to keep it, or `coffer accept %s` and delete it then, or forget it with a removed block that has lifecycle { destroy = false }", quoteArg(l.e.Address))
}

// anothersMark reports whether what is live carries our mark for another
// address: then it is that one's value, whatever the state says.
func (l *leaving) anothersMark() bool {
	mark := l.o.Attributes().Mark.Address
	return l.facts.marks && mark != "" && mark != addressMark(l.e.Address)
}

// reason tells a value that lives on elsewhere from one that is gone.
func (l *leaving) reason() Reason {
	if l.e.Role == state.RolePrimary && l.x.heir(l.e) != nil {
		return ReasonMoved
	}
	return ReasonRemoved
}

// heir returns the primary that the value of an entry lives on in: at its new
// place, or, for a copy, at its own. While that is not in order, what is left
// elsewhere may be the last there is.
func (x *differ) heir(e *state.Entry) *Resource {
	if e.Location.Kind != addr.KindSecret {
		return nil
	}
	primary := *e
	primary.Address = e.Address.Primary()
	return x.wantedElsewhere(&primary)
}

// strangers reports what a store lists that is ours and that nobody declares.
// Only a removed block deletes it.
func (x *differ) strangers() {
	for _, loc := range x.unknown {
		o := x.live.At(loc)
		x.stranger(loc, o.Meta)
	}
}

func (x *differ) stranger(loc addr.Location, meta providers.Meta) {
	store := x.stores.ByIdentity(loc.Provider)
	o := Observation{Meta: meta, Exists: true}
	if caps := x.caps[store.Ref()]; caps.Shared && !caps.marks || x.whose(caps.marks, &o) != ours || meta.IsDeleted() {
		return
	}
	if r := x.namedBy(meta.Attributes.Mark.Address); r != nil {
		if at, lost := x.ownValue(r); lost && at == loc {
			return // the value of a secret that is declared, which its own row tells
		}
	}
	if a, block := x.guess(store, loc.Path, meta); block != nil && block.Destroy && x.matches(a) {
		if meta.Attributes.Mark.Protected {
			x.diagnose(nil, &a, a.String()+" is protected", "Its mark on "+store.Ref()+" says so. Import it, apply protect = false, and remove it then.")
			return
		}
		x.plan.Changes = append(x.plan.Changes, Change{
			Address: a, Action: Delete, Reason: ReasonOrphan, Role: state.RolePrimary, Confirmed: true, VersionFrom: meta.Version,
			Location: Location{Provider: store.Ref(), Kind: loc.Kind, Path: loc.Path}, Range: rangeOf(block.Range),
		})
		return
	}
	if len(x.o.Targets) > 0 {
		return
	}
	text := "ours, and nothing declares it: declare it to keep it, or delete it with a removed block"
	if !x.caps[store.Ref()].marks {
		text = "lies among ours, and nothing declares it: declare it to keep it, or take it out of there"
	}
	x.plan.Notes = append(x.plan.Notes, Note{
		Address: addr.ProviderObject(store.Ref(), loc.Kind, loc.Path), Reason: ReasonOrphan, Text: text,
	})
}

// guess returns the address that would put an orphan where it is, if a removed
// block names it.
func (x *differ) guess(store *Store, path string, meta providers.Meta) (addr.Address, *lang.Removed) {
	name := path[strings.LastIndexAny(path, "/")+1:]
	for _, block := range x.d.Removed {
		for _, env := range x.d.Environments {
			for _, kind := range []string{addr.KindSecret, addr.KindEnvFile, addr.KindKubernetesSecret, addr.KindSealedSecret} {
				a := addr.Secret(block.From.App, env, name)
				a.Kind = kind
				if block.From.Name != "" {
					a.Name = block.From.Name
				}
				if !block.From.Contains(a) {
					continue
				}
				at, err := store.DefaultPath(providers.Place{Kind: kind, App: a.App, Environment: env, Name: a.Name})
				ours := meta.Attributes.Mark.Address
				if ours == "" && err == nil && at == path || ours == addressMark(a) {
					return a, block
				}
			}
		}
	}
	return addr.Address{}, nil
}

// mark returns the owner mark that a resource carries.
func (x *differ) mark(r *Resource) providers.Mark { return markOf(x.d.Project, r) }

func markOf(project string, r *Resource) providers.Mark {
	return providers.Mark{Project: project, Address: addressMark(r.Address), Protected: r.Protect}
}

// addressMark is what a mark says of an address.
func addressMark(a addr.Address) string {
	a = a.Primary()
	if a.Provider != "" {
		a.Provider = "-" // an alias may be renamed, and is no part of what it is
	}
	return providers.AddressHash(a.String())
}
