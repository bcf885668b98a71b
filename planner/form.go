package planner

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/cofferhq/coffer/lang"
	"github.com/cofferhq/coffer/providers"
	"github.com/cofferhq/coffer/state"
)

// This file is about what a Secret of Kubernetes has beside its value, see
// [providers.Form].

// form returns the form of s on one of its stores: a copy on a store that keeps
// none is the same secret without. ok is false after a diagnostic.
func (b *builder) form(s *lang.Secret, store *Store) (form providers.Form, ok bool) {
	if !store.HasForms() && store.Ref() != s.Store {
		return form, true
	}
	form = store.NormalForm(providers.Form(s.Form))
	names := make([]string, len(s.Fields))
	for i, f := range s.Fields {
		names[i] = f.Name
	}
	if s.Single && s.Key != "" {
		names = []string{s.Key}
	}
	if err := store.CheckForm(s.Address.Kind, form, names); err != nil {
		b.fail(rangeOf(s.Range), fmt.Sprintf("%s cannot be kept on %s", s.Address, store.Ref()), err.Error())
		return form, false
	}
	return form, true
}

func recordedForm(e *state.Entry) providers.Form {
	if e.Form == nil {
		return providers.Form{}
	}
	return providers.Form(*e.Form)
}

func recordForm(f providers.Form) *state.Form {
	if f.IsZero() {
		return nil
	}
	out := state.Form(f)
	out.Annotations = maps.Clone(f.Annotations)
	return &out
}

func sameForm(a, b providers.Form) bool {
	return a.Type == b.Type && a.Immutable == b.Immutable && a.Scope == b.Scope && maps.Equal(a.Annotations, b.Annotations)
}

// formDiffers says how a live form differs from the recorded one.
func formDiffers(recorded, live providers.Form) string {
	var said []string
	if recorded.Type != live.Type {
		said = append(said, fmt.Sprintf("its type is %q, it was %q", live.Type, recorded.Type))
	}
	if recorded.Immutable != live.Immutable {
		said = append(said, map[bool]string{true: "it was made immutable", false: "it is no longer immutable"}[live.Immutable])
	}
	if recorded.Scope != live.Scope {
		said = append(said, fmt.Sprintf("its scope is %q, it was %q", live.Scope, recorded.Scope))
	}
	var names []string
	for name, v := range recorded.Annotations {
		if now, there := live.Annotations[name]; !there || now != v {
			names = append(names, name)
		}
	}
	if len(names) > 0 {
		slices.Sort(names)
		said = append(said, "annotations were changed: "+strings.Join(names, ", "))
	}
	return strings.Join(said, "; ")
}

// refuseFixed turns a change that the platform refuses into what a person can do
// about it: nobody changes the type of a live Secret, or the value of an immutable
// one.
func (f *facts) refuseFixed(out outcome) outcome {
	c := out.change
	if c == nil || f.r.Secret == nil || !f.o.Exists || c.Action != Update && c.Action != Rotate && c.Action != Restore {
		return out
	}
	const way = "give it another name, which makes a new one and lets the old one go, or delete it by hand and apply again"
	live := f.o.Meta.Attributes.Form
	switch {
	case live.Type != f.r.Form.Type:
		return f.conflict(c.Reason, "its type is %s, and nobody can make it %s: %s", typeName(live), typeName(f.r.Form), way)
	case live.Immutable && len(c.Fields) > 0 && c.Reason != ReasonReencrypted:
		return f.conflict(c.Reason, "it is immutable, so nobody can change its value: %s", way)
	}
	return out
}

func typeName(f providers.Form) string { return cmp.Or(f.Type, "the standard one") }
