package planner

import (
	"slices"

	"github.com/cofferhq/coffer/lang"
)

// waiting returns the fields that cannot be made in this plan, with the reason.
func (x *differ) waiting(f *facts) map[string]string {
	out := map[string]string{}
	given := x.settlement(f.r.Address)
	for _, field := range f.r.Secret.Fields {
		if field.Source.Kind == lang.Manual && !(given != nil && given.Kind == SettleSet && slices.Contains(given.Fields, field.Name)) {
			out[field.Name] = "nobody has written it yet"
			if f.recordedVersion != "" && !f.o.Exists {
				out[field.Name] = "it is gone from its store"
			}
		}
	}
	for again := true; again; { // what refers to such a field waits too
		again = false
		for _, field := range f.r.Secret.Fields {
			if out[field.Name] != "" {
				continue
			}
			for _, ref := range field.Source.Refs() {
				why := x.blockedRef(f.r, ref)
				if ref.Address == f.r.Address {
					why = out[ref.Field]
				}
				if why != "" {
					out[field.Name] = "it needs " + refText(f.r, ref) + ", which " + why
					again = true
					break
				}
			}
		}
	}
	return out
}

// blockedRef says why a reference to another secret cannot be followed.
func (x *differ) blockedRef(r *Resource, ref lang.Ref) string {
	if ref.Address == r.Address {
		return ""
	}
	dep := x.d.byAddress[ref.Address]
	switch {
	case dep == nil:
		return ""
	case !x.selected[dep.n]:
		if e := x.s.Entries[dep.Location]; e == nil || e.Version == "" {
			return "has no value yet and is not part of this plan"
		}
		return ""
	}
	out := x.outcomes[dep.n]
	if out.blocked != "" {
		return out.blocked
	}
	return out.blockedFields[ref.Field]
}

func refText(r *Resource, ref lang.Ref) string {
	if ref.Address == r.Address {
		return "self." + ref.Field
	}
	if ref.Field == "" {
		return ref.Address.String()
	}
	return ref.Address.String() + "." + ref.Field
}

func (x *differ) noteWaiting(f *facts, waiting map[string]string) {
	for _, field := range f.r.Secret.Fields {
		why := waiting[field.Name]
		if why == "" {
			continue
		}
		name, flag := "", ""
		if field.Name != "" {
			name, flag = field.Name+": ", " -field "+field.Name
		}
		if field.Source.Kind == lang.Manual {
			x.note(f.r, ReasonAwaitingValue, "%s%s: `coffer secret set %s%s`", name, why, quoteArg(f.r.Address), flag)
			continue
		}
		x.note(f.r, ReasonAwaitingValue, "%s%s", name, why)
	}
}

// waitingBeyond is waiting, less the fields that the container has already.
func (x *differ) waitingBeyond(f *facts) map[string]string {
	waiting := x.waiting(f)
	for name := range f.recordedFields() {
		delete(waiting, name)
	}
	return waiting
}
