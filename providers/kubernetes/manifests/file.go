package manifests

import (
	"bytes"
	"io/fs"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/cofferhq/coffer/providers"
	"github.com/cofferhq/coffer/providers/kubernetes"
	"github.com/cofferhq/coffer/providers/kubernetes/manifest"
)

// file is one file of manifests: its documents, which together are its bytes.
type file struct {
	name string
	raw  []byte // nil where there is no file
	mode fs.FileMode
	docs []*document
}

// document is one YAML document and the bytes around it: a line of dashes before
// it, comments.
type document struct {
	text []byte
	// content is nil for a document that holds nothing but comments.
	content kubernetes.Document
	place   place
}

func (f *file) same(raw []byte, mode fs.FileMode) bool {
	return f.mode == mode && bytes.Equal(f.raw, raw) && (f.raw == nil) == (raw == nil)
}

// parse takes a file apart. A document that is no manifest makes all of it
// unknown: half a document is what a file that was cut short looks like.
func parse(name string, raw []byte, mode fs.FileMode) (*file, error) {
	f := &file{name: name, raw: raw, mode: mode}
	for _, text := range pieces(raw) {
		d := &document{text: text}
		body := bytes.TrimPrefix(text, []byte("\ufeff"))
		if blank(body) {
			f.docs = append(f.docs, d)
			continue
		}
		o, err := manifest.Decode(string(body))
		if err != nil {
			return nil, invalid("%s: %w", name, err).WithHint(hintFile)
		}
		d.content = kubernetes.Document(o)
		if p, ok := placeOf(d.content); ok {
			d.place = p
			d.place.file = name
		} else {
			return nil, invalid("%s has a document without apiVersion, kind or name, so it is no file of manifests", name).WithHint(hintFile)
		}
		if slices.ContainsFunc(f.docs, func(o *document) bool { return o.place == d.place && d.place.resource != "" }) {
			return nil, invalid("%s holds %s twice", name, d.place.item()).WithHint("take one of the two out")
		}
		f.docs = append(f.docs, d)
	}
	return f, nil
}

const hintFile = "mend it, bring it back from your repository, or write another file into output"

// pieces cuts a file before each line of three dashes, which ends whatever stands
// before it, also in the middle of a text.
func pieces(raw []byte) [][]byte {
	var out [][]byte
	start := 0
	for at := 0; at < len(raw); {
		end := len(raw)
		if n := bytes.IndexByte(raw[at:], '\n'); n >= 0 {
			end = at + n + 1
		}
		if at > start && separator(raw[at:end]) {
			out = append(out, raw[start:at])
			start = at
		}
		at = end
	}
	if start < len(raw) {
		out = append(out, raw[start:])
	}
	return out
}

func separator(line []byte) bool {
	rest, ok := bytes.CutPrefix(line, []byte("---"))
	return ok && (len(rest) == 0 || strings.IndexByte(" \t\r\n", rest[0]) >= 0)
}

// blank reports whether a piece holds comments and empty lines only.
func blank(text []byte) bool {
	for line := range bytes.Lines(text) {
		trimmed := bytes.TrimSpace(line)
		if separator(line) {
			trimmed = bytes.TrimSpace(trimmed[3:])
		}
		if len(trimmed) > 0 && trimmed[0] != '#' && !bytes.Equal(trimmed, []byte("...")) {
			return false
		}
	}
	return true
}

// placeOf says what a document describes; resource is "" for what Coffer has
// nothing to do with. It is false for what is no manifest.
func placeOf(d kubernetes.Document) (place, bool) {
	apiVersion, _ := d["apiVersion"].(string)
	kind, _ := d["kind"].(string)
	meta, _ := d["metadata"].(map[string]any)
	name, _ := meta["name"].(string)
	if apiVersion == "" || kind == "" || name == "" {
		return place{}, false
	}
	group, _, grouped := strings.Cut(apiVersion, "/")
	if !grouped {
		group = ""
	}
	for _, k := range kinds() {
		if k.kind == kind && k.group == group {
			namespace, _ := meta["namespace"].(string)
			return place{resource: k.resource, namespace: namespace, name: name}, true
		}
	}
	return place{}, true
}

// find returns the document of a place, nil where there is none.
func (f *file) find(p place) *document {
	i := slices.IndexFunc(f.docs, func(d *document) bool { return d.content != nil && d.place == p })
	if i < 0 {
		return nil
	}
	return f.docs[i]
}

// edit is a copy of a file that is being changed.
type edit struct {
	file
	changed bool
}

func (f *file) edit() *edit {
	e := &edit{file: *f}
	e.docs = slices.Clone(f.docs)
	return e
}

// put writes a document in the place of the one that stands there, or at the end.
func (e *edit) put(p place, content kubernetes.Document) error {
	text, err := encode(content)
	if err != nil {
		return err
	}
	e.changed = true
	for i, d := range e.docs {
		if d.content != nil && d.place == p {
			before := head(d.text)
			if len(before) == 0 && i > 0 { // its content begins on the line of dashes
				before = []byte("---\n")
			}
			e.docs[i] = &document{text: append(before, text...), content: content, place: p}
			return nil
		}
	}
	if last := len(e.docs) - 1; last >= 0 {
		d := *e.docs[last]
		if d.text = slices.Clone(d.text); !bytes.HasSuffix(d.text, []byte("\n")) {
			d.text = append(d.text, '\n')
		}
		e.docs[last] = &d
		text = append([]byte("---\n"), text...)
	}
	e.docs = append(e.docs, &document{text: text, content: content, place: p})
	return nil
}

// head returns the lines before the first of a document's content.
func head(text []byte) []byte {
	var out []byte
	for line := range bytes.Lines(text) {
		if !blank(line) {
			break
		}
		out = append(out, line...)
	}
	return out
}

// remove takes a document out.
func (e *edit) remove(p place) {
	e.docs = slices.DeleteFunc(e.docs, func(d *document) bool { return d.content != nil && d.place == p })
	e.changed = true
}

// bytes returns the new file, nil where no document is left in it.
func (e *edit) bytes() []byte {
	var out []byte
	documents := false
	for _, d := range e.docs {
		out = append(out, d.text...)
		documents = documents || d.content != nil
	}
	if !documents && len(bytes.TrimSpace(bytes.ReplaceAll(out, []byte("---"), nil))) == 0 {
		return nil
	}
	return out
}

// plaintext reports whether values of a Secret stand in the file as they are.
func (e *edit) plaintext() bool {
	return slices.ContainsFunc(e.docs, func(d *document) bool { return d.content != nil && d.place.resource == plainSecrets })
}

// encode writes a document: keys in alphabetical order, two spaces a level.
func encode(d kubernetes.Document) ([]byte, error) {
	var b bytes.Buffer
	enc := yaml.NewEncoder(&b)
	enc.SetIndent(2)
	if err := enc.Encode(map[string]any(d)); err != nil {
		return nil, providers.Errorf(providers.Invalid, "the manifest cannot be encoded")
	}
	return b.Bytes(), nil
}
