package render

import (
	"slices"

	"github.com/cofferhq/coffer/lang/addr"
	"github.com/cofferhq/coffer/planner"
	"github.com/cofferhq/coffer/state"
)

// renames hints at what looks like a new name: in one app, one secret is
// deleted because no block has it any more, and another is new. Where several
// are, nobody can tell which became which.
func renames(p *page, changes []planner.Change) {
	type place struct{ app, key, kind string }
	gone, made := map[place][]addr.Address{}, map[place][]addr.Address{}
	var order []place
	note := func(to map[place][]addr.Address, a addr.Address) {
		at := place{a.App, a.AppKey, a.Kind}
		if len(gone[at])+len(made[at]) == 0 {
			order = append(order, at)
		}
		to[at] = append(to[at], a)
	}
	for i := range changes {
		c := &changes[i]
		switch {
		case c.Role != state.RolePrimary || c.Address.App == "":
		case c.Action == planner.Delete && c.Reason == planner.ReasonRemoved && !c.Confirmed:
			note(gone, c.Address)
		case c.Action == planner.Create && c.Reason == planner.ReasonNew:
			note(made, c.Address)
		}
	}
	for _, at := range order {
		from, one := theOne(gone[at])
		to, other := theOne(made[at])
		if one && other && slices.Equal(environments(gone[at]), environments(made[at])) {
			renameHint(p, from, to)
		}
	}
}

// theOne returns the secret that all of list are, without its environment.
func theOne(list []addr.Address) (one addr.Address, ok bool) {
	for i, a := range list {
		a.Environment = ""
		if i > 0 && a != one {
			return addr.Address{}, false
		}
		one = a
	}
	return one, len(list) > 0
}

func environments(list []addr.Address) []string {
	envs := make([]string, len(list))
	for i, a := range list {
		envs[i] = a.Environment
	}
	slices.Sort(envs)
	return envs
}

func renameHint(p *page, from, to addr.Address) {
	p.gap()
	p.flow(0, 2, toned(Caution, "If this is a rename"), text(" the value need not go. Write:"))
	p.gap()
	p.line(2, text("moved {"))
	p.line(2, text("  from = "), solid(Strong, from.String()))
	p.line(2, text("  to   = "), solid(Strong, to.String()))
	p.line(2, text("}"))
}
