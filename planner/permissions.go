package planner

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/cofferhq/coffer/lang"
	"github.com/cofferhq/coffer/lang/addr"
	"github.com/cofferhq/coffer/providers"
)

// PermissionRequest says what an identity must be able to do on the store ref
// in one phase: for every plan that the configuration can give, with the reason
// for each value that an apply may read. It is pure.
func PermissionRequest(d *Desired, ref string, phase providers.Phase) providers.PermissionRequest {
	req := providers.PermissionRequest{Phase: phase}
	reads := map[addr.Address][]string{}
	if phase == providers.PhaseApply {
		reads = d.reads()
	}
	for _, r := range d.Resources {
		switch {
		case r.Store != ref:
		case r.IsObject():
			req.Objects = append(req.Objects, providers.ObjectRef{Kind: r.Location.Kind, Path: r.Location.Path})
		default:
			req.Secrets = append(req.Secrets, providers.Use{
				Path: r.Location.Path, Write: phase == providers.PhaseApply && r.written(), Reads: reads[r.Address],
			})
		}
	}
	slices.SortFunc(req.Secrets, func(a, b providers.Use) int { return strings.Compare(a.Path, b.Path) })
	slices.SortFunc(req.Objects, func(a, b providers.ObjectRef) int {
		return cmp.Or(strings.Compare(a.Kind, b.Kind), strings.Compare(a.Path, b.Path))
	})
	return req
}

// written reports whether an apply ever makes a version of r: a value that
// people write is marked, and copied, and no more.
func (r *Resource) written() bool {
	return r.IsReplica() || slices.ContainsFunc(r.Secret.Fields, func(f lang.Field) bool { return f.Source.Kind != lang.Manual })
}

// reads returns, by address, the reasons for which an apply may read a value.
func (d *Desired) reads() map[addr.Address][]string {
	reads := map[addr.Address][]string{}
	add := func(a addr.Address, format string, args ...any) {
		if text := fmt.Sprintf(format, args...); !slices.Contains(reads[a], text) {
			reads[a] = append(reads[a], text)
		}
	}
	for _, r := range d.Resources {
		switch {
		case r.IsObject():
		case r.IsReplica():
			primary := r.Address.Primary()
			add(primary, "to fill and mend its copy on %s", r.Store)
			add(r.Address, "for `coffer restore -from %s`", r.Store)
		default:
			for _, f := range r.Secret.Fields {
				for _, ref := range f.Source.Refs() {
					if ref.Address == r.Address {
						add(r.Address, "to make its %s of its %s", f.Name, ref.Field)
					} else {
						add(ref.Address, "to make %s of it", r.Address)
					}
				}
			}
			if r.Secret.OnOutsideChange == "restore" {
				add(r.Address, "to write the recorded version again, as on_outside_change says")
			}
			if len(r.Secret.Fields) > 1 && !d.patches[r.Store] {
				add(r.Address, "to change one of its fields beside the others")
			}
		}
	}
	for _, reasons := range reads {
		slices.Sort(reasons)
	}
	return reads
}
