package sops

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// edit replaces one range of a file's bytes; an empty range inserts.
type edit struct {
	at    span
	text  string
	depth int    // of several insertions at one place the deepest comes first
	order string // and among those of one depth the smallest
}

// splice applies edits that do not overlap. All other bytes stay as they are.
func splice(raw []byte, eol string, edits []edit) []byte {
	edits = slices.Clone(edits)
	slices.SortStableFunc(edits, func(a, b edit) int {
		return cmp.Or(
			cmp.Compare(a.at.start, b.at.start),
			cmp.Compare(min(1, a.at.end-a.at.start), min(1, b.at.end-b.at.start)),
			cmp.Compare(b.depth, a.depth),
			strings.Compare(a.order, b.order),
		)
	})
	var out bytes.Buffer
	done := 0
	for _, e := range edits {
		out.Write(raw[done:e.at.start])
		// A new line needs the one before it to be ended.
		if e.at.start == e.at.end && out.Len() > 0 && !bytes.HasSuffix(out.Bytes(), []byte("\n")) {
			out.WriteString(eol)
		}
		out.WriteString(e.text)
		done = e.at.end
	}
	out.Write(raw[done:])
	return out.Bytes()
}

// growth is where a new entry of a mapping goes.
type growth struct {
	indent string
	at     int
	depth  int
}

// editor gathers the edits of one file under one data key.
type editor struct {
	file   *file
	key    []byte
	random io.Reader
	edits  []edit
	// want is the content that the file must have afterwards.
	want contents
}

// contents are the plaintexts of a file by path, several for a list.
type contents map[string][]string

const pathSeparator = "\x00"

func (f *file) contents(o opened) contents {
	c := contents{}
	for i, l := range f.leaves {
		if !l.comment && o.plains[i].kind != typeComment {
			path := strings.Join(l.path, pathSeparator)
			c[path] = append(c[path], o.plains[i].kind+":"+string(o.plains[i].text))
		}
	}
	return c
}

func (c contents) remove(path ...string) {
	at := strings.Join(path, pathSeparator)
	for p := range c {
		if p == at || strings.HasPrefix(p, at+pathSeparator) {
			delete(c, p)
		}
	}
}

func (c contents) set(text []byte, path ...string) {
	c[strings.Join(path, pathSeparator)] = []string{typeString + ":" + string(text)}
}

func (c contents) equal(d contents) bool {
	if len(c) != len(d) {
		return false
	}
	for path, texts := range c {
		if !slices.Equal(texts, d[path]) {
			return false
		}
	}
	return true
}

// top is where a new top-level entry goes.
func (f *file) top() growth { return growth{at: f.end} }

func (ed *editor) seal(text []byte, path ...string) (string, error) {
	if !ed.file.meta.rules.encrypted(path) {
		return "", fmt.Errorf("the rules of the file (unencrypted_suffix, encrypted_regex, …) would leave %s in clear", strings.Join(path, "."))
	}
	return seal(ed.random, ed.key, additional(path), plain{typeString, text})
}

// line returns a whole line for one scalar.
func (ed *editor) line(indent, key, sealed string) string {
	if ed.file.format == formatDotenv {
		return key + "=" + sealed + ed.file.eol
	}
	return indent + yamlText(key) + ": " + yamlSealed(sealed) + ed.file.eol
}

func yamlSealed(sealed string) string {
	if sealed == "" {
		return `""`
	}
	return sealed
}

// yamlText writes text the way the encoder of sops does, in quotes where it
// would be read as something else.
func yamlText(text string) string {
	out, err := yaml.Marshal(text)
	if err != nil {
		return strconv.Quote(text)
	}
	return strings.TrimSuffix(string(out), "\n")
}

// put writes one scalar: over old, which may have another name or shape, or as
// a new entry at g. path ends with the name in the file.
func (ed *editor) put(old *entry, g growth, text []byte, path ...string) error {
	sealed, err := ed.seal(text, path...)
	if err != nil {
		return err
	}
	key := path[len(path)-1]
	if old != nil {
		ed.want.remove(append(path[:len(path)-1:len(path)-1], old.key)...)
	}
	ed.want.set(text, path...)
	switch {
	case old == nil:
		ed.insert(g, key, ed.line(g.indent, key, sealed))
	case old.key == key && old.kind == scalarEntry && !old.scalar.isZero():
		if ed.file.format == formatYAML {
			sealed = yamlSealed(sealed)
		}
		ed.edits = append(ed.edits, edit{at: old.scalar, text: sealed})
	default:
		ed.replace(old, ed.line(g.indent, key, sealed))
	}
	return nil
}

func (ed *editor) insert(g growth, key, text string) {
	ed.edits = append(ed.edits, edit{at: span{g.at, g.at}, text: text, depth: g.depth, order: key})
}

func (ed *editor) replace(old *entry, text string) {
	ed.edits = append(ed.edits, edit{at: old.lines, text: text})
}

// remove deletes the lines of an entry.
func (ed *editor) remove(old *entry, parents ...string) {
	ed.want.remove(append(parents[:len(parents):len(parents)], old.key)...)
	ed.replace(old, "")
}

// block writes a new map of scalars, over old or at g.
func (ed *editor) block(old *entry, g growth, fields map[string][]byte, key string) error {
	if old != nil {
		ed.want.remove(old.key)
	}
	indent := g.indent + strings.Repeat(" ", yamlIndent)
	var b strings.Builder
	b.WriteString(g.indent + yamlText(key) + ":" + ed.file.eol)
	for _, name := range sortedKeys(fields) {
		sealed, err := ed.seal(fields[name], key, name)
		if err != nil {
			return err
		}
		b.WriteString(ed.line(indent, name, sealed))
		ed.want.set(fields[name], key, name)
	}
	if old != nil {
		ed.replace(old, b.String())
	} else {
		ed.insert(g, key, b.String())
	}
	return nil
}

// yamlIndent is the indentation that sops writes.
const yamlIndent = 4

// bytes returns the file with the edits applied.
func (ed *editor) bytes() []byte { return splice(ed.file.raw, ed.file.eol, ed.edits) }

// rekey returns the bytes of a file with every ciphertext under another data
// key, and nothing else changed; the metadata still names the old one.
func rekey(f *file, o opened, key []byte, random io.Reader) ([]byte, error) {
	replaced := map[string]string{}
	for i, l := range f.leaves {
		old := l.text()
		if o.plains[i].kind == "" || !isSealed(old) || !f.meta.rules.encrypted(l.path) {
			continue
		}
		sealed, err := seal(random, key, additional(l.path), o.plains[i])
		if err != nil {
			return nil, err
		}
		replaced[old] = sealed
	}
	var out bytes.Buffer
	rest := f.raw
	used := map[string]bool{}
	for {
		i := bytes.Index(rest, []byte(sealedPrefix))
		if i < 0 {
			break
		}
		out.Write(rest[:i])
		rest = rest[i:]
		n := bytes.IndexByte(rest, ']') + 1
		if n == 0 {
			break
		}
		text := string(rest[:n])
		if sealed, ok := replaced[text]; ok {
			used[text] = true
			text = sealed
		}
		out.WriteString(text)
		rest = rest[n:]
	}
	out.Write(rest)
	if len(used) != len(replaced) {
		return nil, errors.New("a ciphertext of the file is broken over lines; run `sops rotate -i` on it once")
	}
	return out.Bytes(), nil
}
