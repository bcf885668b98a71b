package planner

import (
	"slices"
	"strings"

	"github.com/cofferhq/coffer/lang/addr"
	"github.com/cofferhq/coffer/planner/dag"
	"github.com/cofferhq/coffer/state"
)

// objectsLast lets whatever was made of an object go before it does, and keeps
// an object in which secrets still lie.
func (x *differ) objectsLast() {
	if !slices.ContainsFunc(x.plan.Changes, func(c Change) bool { return c.Action == Delete && c.Role == state.RoleObject }) {
		return
	}
	x.plan.Changes = slices.DeleteFunc(x.plan.Changes, func(c Change) bool { return x.holdsOn(&c) })
	x.keepWhatIsUsed()
	users := map[addr.Location][]*Change{} // deletes, by what they were made of
	all := map[string][]Key{}              // by provider
	for i := range x.plan.Changes {
		c := &x.plan.Changes[i]
		if c.Action != Delete {
			continue
		}
		loc := x.locationOf(c)
		all[loc.Provider] = append(all[loc.Provider], c.Key())
		if e := x.s.Entries[loc]; e != nil {
			for _, need := range e.Needs {
				kind, path, _ := strings.Cut(need, " ")
				at := x.shared(addr.Location{Provider: loc.Provider, Kind: kind, Path: path})
				users[at] = append(users[at], c)
			}
		}
	}
	for i := range x.plan.Changes {
		c := &x.plan.Changes[i]
		if c.Action != Delete && c.Action != Forget || c.Role != state.RoleObject {
			continue
		}
		loc := x.locationOf(c)
		for _, user := range users[x.shared(loc)] {
			c.DependsOn = append(c.DependsOn, user.Key()) // our mark, too, stays until then
			user.Confirmed = user.Confirmed || c.Confirmed && x.isBinding(x.locationOf(user))
		}
		if e := x.s.Entries[loc]; e != nil && e.Holds && c.Action == Delete {
			c.DependsOn = slices.DeleteFunc(slices.Clone(all[loc.Provider]), func(k Key) bool { return k == c.Key() })
		}
	}
	x.breakCircles()
}

// keepWhatIsUsed takes the deletes of objects out of the plan that another one is
// made of which stays, since nothing can be done about it in this plan. What only
// ties two others is no reason to keep them.
func (x *differ) keepWhatIsUsed() {
	for again := true; again; {
		again = false
		used := map[addr.Location]addr.Address{}
		stays := func(loc addr.Location) {
			e := x.s.Entries[loc]
			for i := 0; e != nil && i < len(e.Needs); i++ {
				kind, path, _ := strings.Cut(e.Needs[i], " ")
				used[x.shared(addr.Location{Provider: loc.Provider, Kind: kind, Path: path})] = e.Address
			}
		}
		for i := range x.plan.Changes {
			if c := &x.plan.Changes[i]; !c.carriedOut() && c.Role == state.RoleObject && !x.isBinding(x.locationOf(c)) {
				stays(x.locationOf(c))
			}
		}
		for _, loc := range x.kept {
			stays(loc)
		}
		x.plan.Changes = slices.DeleteFunc(x.plan.Changes, func(c Change) bool {
			by, in := used[x.shared(x.locationOf(&c))]
			if c.Action != Delete || c.Role != state.RoleObject || !in {
				return false
			}
			x.plan.Notes = append(x.plan.Notes, Note{
				Address: c.Address, Reason: ReasonRemoved, Range: c.Range,
				Text: "stays for now: " + by.String() + " is still made of it, and nothing can be done about that in this plan",
			})
			x.kept = append(x.kept, x.locationOf(&c))
			again = true
			return true
		})
	}
}

// shared is a location for every provider that has the same objects.
func (x *differ) shared(loc addr.Location) addr.Location {
	if store := x.stores.ByIdentity(loc.Provider); store != nil {
		return store.shared(loc.Kind, loc.Path)
	}
	return loc
}

// isBinding reports whether an object is no more than a tie between two others,
// so that the block that confirms the end of one confirms its own.
func (x *differ) isBinding(loc addr.Location) bool {
	o := x.live.At(loc).Object
	return o != nil && o.NoMark && !o.Kept
}

// breakCircles gives up the order of deletes that wait for each other: only a
// state that somebody edited says such a thing.
func (x *differ) breakCircles() {
	position := map[Key]int{}
	for i := range x.plan.Changes {
		position[x.plan.Changes[i].Key()] = i
	}
	g := dag.New(len(x.plan.Changes))
	for i := range x.plan.Changes {
		c := &x.plan.Changes[i]
		for _, k := range c.DependsOn {
			if j, ok := position[k]; ok && c.Action == Delete {
				g.Edge(i, j)
			}
		}
	}
	if _, circle := g.Sort(); circle == nil {
		return
	}
	for i := range x.plan.Changes {
		if c := &x.plan.Changes[i]; c.Action == Delete && c.Role == state.RoleObject {
			c.DependsOn = nil
		}
	}
}

func (x *differ) locationOf(c *Change) addr.Location {
	identity := ""
	if store := x.stores[c.Location.Provider]; store != nil {
		identity = store.Identity
	}
	return addr.Location{Provider: identity, Kind: c.Location.Kind, Path: c.Location.Path}
}

// holdsOn reports whether c would delete an object together with secrets in it,
// and says why it stays. Deleted secrets that could be brought back count: their
// recovery window would go too.
func (x *differ) holdsOn(c *Change) bool {
	e := x.s.Entries[x.locationOf(c)]
	if c.Action != Delete || e == nil || !e.Holds {
		return false
	}
	wanted := slices.ContainsFunc(x.d.Resources, func(r *Resource) bool {
		return !r.IsObject() && r.Location.Provider == e.Location.Provider
	})
	text := ""
	switch there := x.live.stores[e.Location.Provider]; {
	case wanted:
		text = "stays: secrets of the configuration lie in it. Put its block back, or forget it with a removed block that has lifecycle { destroy = false }"
	case there == nil || there.err != nil || len(there.failed) > 0:
		text = "stays for now: what lies in it could not be seen"
	case len(there.secrets) > 0:
		text = "stays for now: secrets lie in it, or deleted ones that could still be brought back. Delete them, then `coffer purge`, then it goes"
	default:
		return false
	}
	x.plan.Notes = append(x.plan.Notes, Note{Address: c.Address, Reason: c.Reason, Text: text, Range: c.Range})
	return true
}
