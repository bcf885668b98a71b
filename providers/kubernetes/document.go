package kubernetes

import (
	"cmp"
	"reflect"
	"slices"
	"strings"

	"github.com/cofferhq/coffer/providers"
)

// Document is an object as a manifest has it: maps with text keys, lists, text,
// numbers and booleans. What is not of Coffer in it stays as it is. Its methods
// that change it change it in place.
type Document map[string]any

// text returns the entries of a map below d that are text.
func (d Document) text(at ...string) map[string]string {
	out := map[string]string{}
	for key, v := range d.below(at...) {
		if text, ok := v.(string); ok {
			out[key] = text
		}
	}
	return out
}

// below returns a map of d, nil where there is none.
func (d Document) below(at ...string) map[string]any {
	m := map[string]any(d)
	for _, key := range at {
		m, _ = m[key].(map[string]any)
	}
	return m
}

// word returns one text of d, "" where there is none.
func (d Document) word(at ...string) string {
	last := len(at) - 1
	text, _ := d.below(at[:last]...)[at[last]].(string)
	return text
}

// set puts v into a map of d, and makes that; nil takes it away, and a map that is
// empty then.
func (d Document) set(v any, at ...string) {
	m := map[string]any(d)
	last := len(at) - 1
	for _, key := range at[:last] {
		next, ok := m[key].(map[string]any)
		if !ok && v == nil {
			return
		}
		if !ok {
			next = map[string]any{}
			m[key] = next
		}
		m = next
	}
	if v != nil {
		m[at[last]] = v
		return
	}
	delete(m, at[last])
	if len(m) == 0 && last > 0 {
		d.set(nil, at[:last]...)
	}
}

// replace makes the entries had of a text map those of want.
func (d Document) replace(had, want map[string]string, at ...string) {
	for key, v := range difference(had, want) {
		var to any
		if v != nil {
			to = *v
		}
		d.set(to, append(slices.Clone(at), key)...)
	}
}

// meta is the metadata of d as the driver of a cluster knows it.
func (d Document) meta() *metadata {
	m := &metadata{
		Name: d.word("metadata", "name"), Namespace: d.word("metadata", "namespace"),
		UID: d.word("metadata", "uid"), ResourceVersion: d.word("metadata", "resourceVersion"),
		Labels: d.text("metadata", "labels"), Annotations: ownAnnotations{},
	}
	all := d.text("metadata", "annotations")
	for key, v := range all {
		if strings.HasPrefix(key, prefix) {
			m.Annotations[key] = v
		}
	}
	for _, name := range listedAnnotations(all[keyAnnotations]) {
		if v, ok := all[name]; ok {
			m.Annotations[name] = v
		}
	}
	return m
}

// Attributes returns what Coffer wrote beside the content of an object: mark,
// labels and description, and of a Secret or a SealedSecret its form too.
func (d Document) Attributes() providers.Attributes {
	a := d.meta().attributes()
	switch {
	case d.word("kind") == secrets.kind:
		a.Form = d.form(a.Form)
	case d.sealed():
		a.Form = d.form(a.Form, "spec", "template")
		a.Form.Scope = d.scope()
		a.Form.Annotations = nil
		live := d.text("spec", "template", "metadata", "annotations")
		for _, name := range listedAnnotations(d.word("metadata", "annotations", keyAnnotations)) {
			if v, ok := live[name]; ok {
				if a.Form.Annotations == nil {
					a.Form.Annotations = map[string]string{}
				}
				a.Form.Annotations[name] = v
			}
		}
	}
	return a
}

// form is that of the Secret that stands at a place of d; written is what ours say.
func (d Document) form(written providers.Form, at ...string) providers.Form {
	written.Type = d.word(append(slices.Clone(at), "type")...)
	written.Immutable, _ = d.below(at...)["immutable"].(bool)
	return NormalForm(written)
}

// SetAttributes writes attributes; scope and content stay. Errors are
// [providers.Invalid].
func (d Document) SetAttributes(a providers.Attributes) error {
	labels, annotations, err := written(a)
	if err != nil {
		return err
	}
	hadLabels, hadAnnotations := d.meta().ofConfiguration()
	secretAt, isSecret := d.secretAt()
	if d.sealed() { // those of the configuration are the Secret's
		template := func(what string) []string { return []string{"spec", "template", "metadata", what} }
		ours := d.meta()
		d.replace(picked(d.text(template("labels")...), ours.labelNames()), a.Labels, template("labels")...)
		d.replace(picked(d.text(template("annotations")...), listedAnnotations(ours.Annotations[keyAnnotations])), a.Form.Annotations, template("annotations")...)
		for name := range a.Form.Annotations {
			delete(annotations, name)
		}
	}
	d.replace(hadLabels, labels, "metadata", "labels")
	d.replace(hadAnnotations, annotations, "metadata", "annotations")
	if !isSecret || a.Mark.Project == "" { // let go of: it stays as it is
		return nil
	}
	if cmp.Or(d.word(append(slices.Clone(secretAt), "type")...), opaque) != cmp.Or(a.Form.Type, opaque) || a.Form.Type != "" {
		var typ any
		if a.Form.Type != "" {
			typ = a.Form.Type
		}
		d.set(typ, append(slices.Clone(secretAt), "type")...)
	}
	var immutable any
	if a.Form.Immutable {
		immutable = true
	}
	d.set(immutable, append(slices.Clone(secretAt), "immutable")...)
	return nil
}

// secretAt says where in d a Secret is described.
func (d Document) secretAt() ([]string, bool) {
	switch {
	case d.word("kind") == secrets.kind:
		return nil, true
	case d.sealed():
		return []string{"spec", "template"}, true
	}
	return nil, false
}

func picked(from map[string]string, names []string) map[string]string {
	out := map[string]string{}
	for _, name := range names {
		if v, ok := from[name]; ok {
			out[name] = v
		}
	}
	return out
}

// Operation returns the operation that wrote an object, as far as Coffer noted it.
func (d Document) Operation() string { return d.word("metadata", "annotations", keyOperation) }

// Note writes a note of Coffer's own beside the content; "" takes it away.
func (d Document) Note(name, text string) {
	var v any
	if text != "" {
		v = text
	}
	d.set(v, "metadata", "annotations", prefix+name)
}

// Noted returns what [Document.Note] wrote.
func (d Document) Noted(name string) string { return d.word("metadata", "annotations", prefix+name) }

// SetOperation notes the operation that writes the object.
func (d Document) SetOperation(op string) { d.Note(strings.TrimPrefix(keyOperation, prefix), op) }

// Clone returns a copy that shares nothing with d.
func (d Document) Clone() Document {
	copied, _ := cloned(map[string]any(d)).(map[string]any)
	return copied
}

func cloned(v any) any {
	switch v := v.(type) {
	case map[string]any:
		out := make(map[string]any, len(v))
		for key, e := range v {
			out[key] = cloned(e)
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i, e := range v {
			out[i] = cloned(e)
		}
		return out
	}
	return v
}

// mergeTo returns the JSON merge patch (RFC 7396) that makes had into want.
func mergeTo(had, want map[string]any) map[string]any {
	out := map[string]any{}
	for key := range had {
		if _, ok := want[key]; !ok {
			out[key] = nil
		}
	}
	for key, v := range want {
		before, was := had[key].(map[string]any)
		after, is := v.(map[string]any)
		switch {
		case was && is:
			if inner := mergeTo(before, after); len(inner) > 0 {
				out[key] = inner
			}
		case !reflect.DeepEqual(had[key], v):
			out[key] = v
		}
	}
	return out
}

// newDocument starts one.
func newDocument(apiVersion, kind, namespace, name string) Document {
	return Document{"apiVersion": apiVersion, "kind": kind, "metadata": map[string]any{
		"name": name, "namespace": namespace, "labels": map[string]any{labelManagedBy: managerValues},
	}}
}

// NewSecret starts the manifest of a Secret without data.
func NewSecret(namespace, name string) Document {
	return newDocument("v1", secrets.kind, namespace, name)
}
