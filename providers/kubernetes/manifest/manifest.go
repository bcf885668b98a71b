// Package manifest is the text of objects of a Kubernetes cluster: YAML in one
// canonical form, so that two texts are equal where the objects are, and a line
// diff shows what differs.
//
// The package knows no cluster and no kind of object.
package manifest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"

	"go.yaml.in/yaml/v3"
)

// Object is a manifest: maps with text keys, lists, text, numbers and booleans.
type Object map[string]any

// longest bounds a text: the API server takes no larger object.
const longest = 3 << 20

// Encode returns the canonical text of o: keys in alphabetical order, two spaces
// a level. What holds nothing (an empty map, list or text, null) is left out, at
// every level, since leaving it out means the same. It panics on what is no
// manifest, such as a function.
func Encode(o Object) string {
	kept, _ := prune(map[string]any(o), false)
	if kept == nil {
		return ""
	}
	var b bytes.Buffer
	enc := yaml.NewEncoder(&b)
	enc.SetIndent(2)
	if err := enc.Encode(kept); err != nil {
		panic(err)
	}
	return b.String()
}

// prune returns v without what holds nothing; false where nothing is left. An
// empty text that is an entry of a map of texts is something: a key of data, a
// label, an annotation.
func prune(v any, entry bool) (any, bool) {
	switch v := v.(type) {
	case nil:
		return nil, false
	case string:
		return v, v != "" || entry
	case Object:
		return prune(map[string]any(v), entry)
	case map[string]string:
		out := map[string]any{}
		for k, s := range v {
			out[k] = s
		}
		return prune(out, entry)
	case map[string]any:
		out := map[string]any{}
		for k, e := range v {
			_, text := e.(string)
			if kept, ok := prune(e, text && entry || !text && isTexts(k)); ok {
				out[k] = kept
			}
		}
		return out, len(out) > 0
	case []string:
		out := make([]any, len(v))
		for i, s := range v {
			out[i] = s
		}
		return out, len(out) > 0
	case []any:
		var out []any
		for _, e := range v {
			kept, _ := prune(e, false)
			if kept == nil { // its place matters
				kept = e
			}
			out = append(out, kept)
		}
		return out, len(out) > 0
	}
	return v, true
}

// isTexts reports whether a map of this name has entries that somebody chose.
func isTexts(name string) bool {
	return slices.Contains([]string{"data", "stringData", "encryptedData", "labels", "annotations"}, name)
}

// Decode reads the text of one object. Anchors, aliases, two documents, keys
// that are no text or stand twice, and what is no map are errors; nothing of the
// text is in them.
func Decode(text string) (Object, error) {
	if len(text) > longest {
		return nil, fmt.Errorf("the manifest is longer than %d MiB", longest>>20)
	}
	dec := yaml.NewDecoder(bytes.NewReader([]byte(text)))
	var node yaml.Node
	if err := dec.Decode(&node); err != nil {
		return nil, errors.New("the manifest is no YAML")
	}
	if err := dec.Decode(new(yaml.Node)); err != io.EOF {
		return nil, errors.New("the manifest holds more than one document")
	}
	if linked(&node) {
		return nil, errors.New("the manifest has an anchor or an alias, and is read without them")
	}
	var o map[string]any
	if err := node.Decode(&o); err != nil || o == nil {
		return nil, errors.New("the manifest is no object: a map with text keys, each once")
	}
	return o, nil
}

// linked reports whether a node has an anchor or an alias anywhere: a few lines
// of them stand for gigabytes.
func linked(n *yaml.Node) bool {
	if n.Anchor != "" || n.Kind == yaml.AliasNode {
		return true
	}
	for _, c := range n.Content {
		if linked(c) {
			return true
		}
	}
	return false
}
