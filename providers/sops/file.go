package sops

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Limits of what is read: a file of a repository is somebody else's input.
const (
	maxFile  = 4 << 20
	maxDepth = 64
)

// metadataKey is the key that a YAML file keeps its metadata under.
const metadataKey = "sops"

// errNotSOPS is a file without the metadata of sops.
var errNotSOPS = errors.New("not a SOPS file: it has no sops metadata")

// errEmpty and errCut are what is left of a SOPS file that was not written to
// its end.
var (
	errEmpty = errors.New("the file is empty")
	errCut   = errors.New("the end of the file is missing: it holds encrypted values and no sops metadata")
)

var errTooLarge = fmt.Errorf("larger than %d MiB", maxFile>>20)

type format int

const (
	formatYAML format = iota
	formatDotenv
)

// file is one parsed SOPS file: an index over its bytes, which are never
// rewritten as a whole. It is immutable; edits produce new bytes.
type file struct {
	format format
	raw    []byte
	eol    string
	// entries are the top-level keys but for the metadata, in file order.
	entries []*entry
	byKey   map[string]*entry
	leaves  []leaf
	meta    metadata
	// end is where a new top-level entry goes.
	end int
	at  metaSpans
	// rigid says why the file cannot be edited in place; nil where it can.
	rigid error
}

// metaSpans are the places of the metadata that an edit touches.
type metaSpans struct {
	mac, lastModified span // the scalars, quotes included
	age               span // all lines of the age entries
	// ageItem is the indentation of a list item's dash and of its keys.
	ageDash, ageKeys int
}

// span is a range of bytes; the zero span is no place.
type span struct{ start, end int }

func (s span) isZero() bool { return s == span{} }

type entryKind int

const (
	scalarEntry entryKind = iota
	mapEntry
	otherEntry // a list
)

// entry is one key of a mapping.
type entry struct {
	key  string
	kind entryKind
	// lines covers the key and all that belongs to it, whole lines; zero where
	// something else shares the line.
	lines span
	// scalar is the value's text, quotes included; zero where it cannot be
	// replaced alone.
	scalar   span
	value    any      // of a scalar
	children []*entry // of a map
	// grow is where a new child of a map goes; nil where there is no place.
	grow *growth
	// texts are the texts of all scalars below, each after its relative path.
	texts []string
}

func find(entries []*entry, key string) *entry {
	for _, e := range entries {
		if e.key == key {
			return e
		}
	}
	return nil
}

// decode parses a file. It never decrypts.
func decode(f format, raw []byte) (*file, error) {
	if len(raw) > maxFile {
		return nil, errTooLarge
	}
	if !utf8.Valid(raw) {
		return nil, errors.New("not UTF-8")
	}
	read := decodeYAML
	if f == formatDotenv {
		read = decodeDotenv
	}
	decoded, err := read(raw)
	line := mergeMarker(raw)
	switch {
	case err == nil:
	case line > 0:
		return nil, fmt.Errorf("line %d: %w", line, errMerge)
	case !errors.Is(err, errNotSOPS):
		return nil, err
	case len(bytes.TrimSpace(raw)) == 0:
		return nil, errEmpty
	case bytes.Contains(raw, []byte(sealedPrefix)):
		return nil, errCut
	default:
		return nil, err
	}
	decoded.byKey = make(map[string]*entry, len(decoded.entries))
	for _, e := range decoded.entries {
		decoded.byKey[e.key] = e
	}
	return decoded, nil
}

// mergePage ends a hint about a file that two branches changed.
const mergePage = `docs/providers/sops.md says under "Two changes of one file"`

// mergeMarker returns the line where git began to tell two versions apart, 0
// for none.
func mergeMarker(raw []byte) int {
	const begin = "<<<<<<< "
	at := 0
	if !bytes.HasPrefix(raw, []byte(begin)) {
		at = 1 + bytes.Index(raw, []byte("\n"+begin))
		if at == 0 {
			return 0
		}
	}
	return 1 + bytes.Count(raw[:at], []byte("\n"))
}

// lineBreak returns the line break that a file uses.
func lineBreak(raw []byte) string {
	if i := strings.IndexByte(string(raw), '\n'); i > 0 && raw[i-1] == '\r' {
		return "\r\n"
	}
	return "\n"
}

// version identifies the ciphertext of an entry; suffix tells apart what is
// the same text under another encoding.
func (e *entry) version(suffix string) string {
	return digest(append([]string{suffix}, e.texts...)...)
}

// inClear returns a [*clearError] for the first value that is in clear where
// the rules want it encrypted.
func (f *file) inClear() error {
	for _, l := range f.leaves {
		if l.comment || l.value == nil || !f.meta.rules.encrypted(l.path) {
			continue
		}
		if text, ok := l.value.(string); !ok || text != "" && !isSealed(text) {
			return &clearError{strings.Join(l.path, "."), f.line(l.path)}
		}
	}
	return nil
}

// line returns the line on which an entry begins, 0 where it is not known.
func (f *file) line(path []string) int {
	in, line := f.entries, 0
	for _, key := range path {
		e := find(in, key)
		if e == nil || e.lines.isZero() {
			return line
		}
		line = 1 + bytes.Count(f.raw[:e.lines.start], []byte("\n"))
		in = e.children
	}
	return line
}

// mapTexts gathers the texts of a map sorted by key, so that their order in
// the file does not matter.
func mapTexts(children []*entry) []string {
	var texts []string
	for _, c := range slices.SortedFunc(slices.Values(children), func(a, b *entry) int { return strings.Compare(a.key, b.key) }) {
		for i := 0; i < len(c.texts); i += 2 {
			texts = append(texts, digestPath(c.key, c.texts[i]), c.texts[i+1])
		}
	}
	return texts
}

func digestPath(key, below string) string { return strconv.Itoa(len(key)) + ":" + key + below }
