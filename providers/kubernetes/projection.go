package kubernetes

import (
	"bytes"
	"encoding/json"
	"maps"
	"reflect"
	"strings"

	"github.com/cofferhq/coffer/providers/kubernetes/delivery"
)

// This file tells what somebody set of an object from what the API server fills
// in. metadata.managedFields names, for each manager, the fields that it set
// (https://kubernetes.io/docs/reference/using-api/server-side-apply/#field-management);
// what stands in none of them is a default of the server's, or of its CRD, and
// differs from one version to the next.

// tree is a set of fields: "f:NAME" of a map, "k:KEYS" and "v:VALUE" of a list,
// and "." for the thing itself. An empty tree is all of it.
type tree map[string]tree

// managedTree is what one manager has set.
type managedTree struct {
	Manager     string `json:"manager"`
	Operation   string `json:"operation"`
	Subresource string `json:"subresource"`
	Fields      tree   `json:"fieldsV1"`
}

// tidied reports whether the entry is what is left of taking another's fields out,
// see [Driver.withoutOthers]: standards that came in their place.
func (m managedTree) tidied() bool { return m.Manager == managerObjects && m.Operation == "Update" }

// parseLive reads an object; false where it is none.
func parseLive(raw []byte) (*live, bool) {
	l := &live{}
	var managed struct {
		Metadata struct {
			ManagedFields []managedTree `json:"managedFields"`
		} `json:"metadata"`
	}
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	if dec.Decode(&l.fields) != nil || json.Unmarshal(raw, &l.object) != nil || json.Unmarshal(raw, &managed) != nil {
		return nil, false
	}
	l.fields, _ = numbers(l.fields).(map[string]any)
	l.managed = managed.Metadata.ManagedFields
	return l, l.Metadata.Name != "" && l.Metadata.UID != "" && l.Metadata.ResourceVersion != ""
}

// numbers turns each json.Number into an integer, or else a float.
func numbers(v any) any {
	switch v := v.(type) {
	case json.Number:
		if n, err := v.Int64(); err == nil {
			return n
		}
		f, _ := v.Float64()
		return f
	case map[string]any:
		for key, e := range v {
			v[key] = numbers(e)
		}
	case []any:
		for i, e := range v {
			v[i] = numbers(e)
		}
	}
	return v
}

// united is what any manager has set of the object itself.
func united(all []managedTree) tree {
	out := tree{".": nil}
	for _, m := range all {
		if m.Subresource == "" && !m.tidied() {
			out = join(out, m.Fields)
		}
	}
	return out
}

func join(a, b tree) tree {
	if len(a) == 0 || len(b) == 0 { // all of it
		return tree{}
	}
	out := maps.Clone(a)
	for key, sub := range b {
		if had, both := out[key]; both && key != "." {
			sub = join(had, sub)
		}
		out[key] = sub
	}
	return out
}

// project returns of v what is in t.
func project(v any, t tree) map[string]any {
	out, _ := projected(v, t).(map[string]any)
	return out
}

func projected(v any, t tree) any {
	if len(t) == 0 {
		return v
	}
	switch v := v.(type) {
	case map[string]any:
		out := map[string]any{}
		for key, e := range v {
			if sub, set := t["f:"+key]; set {
				out[key] = projected(e, sub)
			}
		}
		return out
	case []any:
		out := []any{}
		for _, e := range v {
			if sub, set := t.item(e); set {
				out = append(out, projected(e, sub))
			}
		}
		return out
	}
	return v
}

// item returns what is set of an element of a list.
func (t tree) item(e any) (tree, bool) {
	for key, sub := range t {
		kind, text, _ := strings.Cut(key, ":")
		var named any
		if kind != "k" && kind != "v" || json.Unmarshal([]byte(text), &named) != nil {
			continue
		}
		if kind == "v" && same(named, e) {
			return sub, true
		}
		keys, isMap := named.(map[string]any)
		element, ok := e.(map[string]any)
		if kind != "k" || !isMap || !ok {
			continue
		}
		all := true
		for name, want := range keys {
			all = all && same(want, element[name])
		}
		if all {
			return sub, true
		}
	}
	return nil, false
}

// same compares two values, one of which has floats for all numbers.
func same(a, b any) bool {
	if n, ok := b.(int64); ok {
		b = float64(n)
	}
	return reflect.DeepEqual(a, b)
}

// withoutDefaults takes what the operator's CRD fills in out of a list that is
// set as a whole: there nobody tells the two apart.
func withoutDefaults(kind string, o map[string]any) {
	if kind != delivery.KindExternalSecret {
		return
	}
	spec, _ := o["spec"].(map[string]any)
	data, _ := spec["data"].([]any)
	for _, e := range data {
		item, _ := e.(map[string]any)
		ref, _ := item["remoteRef"].(map[string]any)
		for name, standard := range map[string]string{"conversionStrategy": "Default", "decodingStrategy": "None", "metadataPolicy": "None", "nullBytePolicy": "Ignore"} {
			if ref[name] == standard {
				delete(ref, name)
			}
		}
	}
}
