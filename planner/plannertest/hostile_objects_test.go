package plannertest

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/cofferhq/coffer/lang"
	"github.com/cofferhq/coffer/lang/addr"
	"github.com/cofferhq/coffer/providers"
	"github.com/cofferhq/coffer/providers/memory"
	"github.com/cofferhq/coffer/state"
)

// looseObjects are on the store and no business of any apply here: another
// project's, nobody's, what is declared, and what nothing but a removed block
// deletes.
var looseObjects = map[providers.ObjectRef]providers.Mark{
	{Kind: memory.KindPolicy, Path: "theirs"}:          {Project: "another-1", Address: "x"},
	{Kind: memory.KindPolicy, Path: "alien"}:           {Project: "another-1", Address: providers.AddressHash("policy_document.goes")},
	{Kind: memory.KindPolicy, Path: "nobodys"}:         {},
	{Kind: memory.KindPolicy, Path: "unrecorded"}:      {Project: "test-1", Address: providers.AddressHash("policy_document.unrecorded")},
	{Kind: memory.KindRole, Path: "theirs"}:            {},
	{Kind: memory.KindRole, Path: "jwt:goes"}:          {},
	{Kind: memory.KindRole, Path: "elsewhere/goes"}:    {},
	{Kind: memory.KindMount, Path: "theirs"}:           {},
	{Kind: memory.KindMount, Path: "kv:stays"}:         {},
	{Kind: memory.KindBinding, Path: "theirs theirs"}:  {},
	{Kind: memory.KindBinding, Path: "kept nobodys"}:   {},
	{Kind: memory.KindBinding, Path: "theirs nobodys"}: {},
}

// ownObjects are as the configuration says, or stay because no block asks for
// their end.
var ownObjects = []providers.ObjectRef{
	{Kind: memory.KindPolicy, Path: "kept"},
	{Kind: memory.KindRole, Path: "kept"},
	{Kind: memory.KindMount, Path: "kept"},
	{Kind: memory.KindBinding, Path: "kept kept"},
	{Kind: memory.KindRole, Path: "stays"},
	{Kind: memory.KindMount, Path: "stays"},
}

func object(kind, typ, name string, args ...lang.Argument) *lang.Object {
	return &lang.Object{Address: addr.Beside(kind, typ, name), Provider: "memory", Arguments: args}
}

func policy(name string) *lang.Object {
	return object("policy_document", "", name, lang.Argument{Name: "document", Value: "read " + name})
}

func hostileRole(name string) *lang.Object {
	return object("role", "memory", name, lang.Argument{Name: "policies", Value: []any{name}})
}

// keptObjects are what the configuration declares to the end.
func keptObjects() []*lang.Object {
	return []*lang.Object{policy("kept"), hostileRole("kept"), object("mount", "memory", "kept")}
}

// goneObjects are declared at first. Blocks ask for the end of those that go.
func goneObjects() []*lang.Object {
	return []*lang.Object{
		policy("goes"), hostileRole("goes"), hostileRole("stays"), object("mount", "memory", "stays"),
	}
}

// A mount of this platform takes every secret along, so that none goes.
const goneBlocks = `
removed {
  from = role.memory.goes
  lifecycle {
    destroy = true
  }
}
`

// loose makes what is not ours.
func (w *World) loose() {
	w.Helper()
	d := memory.New(w.Stores["memory"], w.Knobs["memory"])
	for ref, mark := range looseObjects {
		_, err := d.Powers().ObjectDriver.WriteObject(context.Background(), providers.ObjectRequest{
			Ref: ref, Document: "untouched " + ref.Path, Attributes: providers.Attributes{Mark: mark},
		})
		if err != nil {
			w.Fatalf("%v", err)
		}
	}
}

// objectsUntouched returns what is not as it was among the objects.
func (w *World) objectsUntouched() []string {
	w.Helper()
	if !w.Knobs["memory"].Bindings {
		return nil
	}
	d := memory.New(w.Stores["memory"], w.Knobs["memory"])
	live, err := d.Powers().ObjectDriver.InspectObjects(context.Background(), slices.AppendSeq(slices.Clone(ownObjects), maps.Keys(looseObjects)))
	if err != nil {
		w.Fatalf("%v", err)
	}
	var touched []string
	for ref, mark := range looseObjects {
		if o := live[ref]; o.Document != "untouched "+ref.Path || o.Attributes.Mark != mark {
			touched = append(touched, fmt.Sprint(ref))
		}
	}
	for _, ref := range ownObjects {
		if live[ref].Document == "" {
			touched = append(touched, fmt.Sprint(ref))
		}
	}
	return touched
}

// objectEdits lead the entry of an object to others, with versions that are true
// there, as if an apply had made them.
func objectEdits() map[string]func(*state.Entry) {
	edits := map[string]func(*state.Entry){
		"made":          func(e *state.Entry) { e.Made = true },
		"not made":      func(e *state.Entry) { e.Made = false },
		"holds":         func(e *state.Entry) { e.Holds = !e.Holds },
		"needs":         func(e *state.Entry) { e.Needs = []string{"policy kept", "role theirs", "x"} },
		"at the policy": func(e *state.Entry) { e.Location.Kind = memory.KindPolicy },
	}
	refs := slices.AppendSeq(slices.Clone(ownObjects), maps.Keys(looseObjects))
	for _, ref := range refs {
		for _, version := range []string{"o1", "o2", ""} {
			at := func(e *state.Entry) {
				e.Location.Kind, e.Location.Path, e.Version, e.Made, e.AcceptsOutside = ref.Kind, ref.Path, version, true, true
			}
			name := fmt.Sprintf("at the %s %s version %q", ref.Kind, ref.Path, version)
			edits[name] = at
			edits[name+" as provider's"] = func(e *state.Entry) { at(e); e.Address = addr.ProviderObject("memory", ref.Kind, ref.Path) }
			for _, action := range []string{"create", "update", "delete"} {
				edits[action+" under way "+name] = func(e *state.Entry) {
					at(e)
					e.Pending = &state.Intent{Op: "cof-x", Action: action, Base: version, Started: Start}
					if action != "delete" {
						next := e.Clone()
						next.Pending, next.Version, next.Document = nil, "", "untouched "+ref.Path
						e.Pending.Next = next
					}
				}
			}
		}
	}
	return edits
}
