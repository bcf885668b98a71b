package sops

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// scan finds the places of nodes in the bytes they were read from.
type scan struct {
	raw   []byte
	lines []int // start of each line
}

// lineStarts follows the line breaks of YAML 1.1, as the parser counts them.
func lineStarts(raw []byte) []int {
	starts := []int{0}
	for i := 0; i < len(raw); {
		r, size := utf8.DecodeRune(raw[i:])
		i += size
		switch r {
		case '\r':
			if i < len(raw) && raw[i] == '\n' {
				i++
			}
			starts = append(starts, i)
		case '\n', '\u0085', '\u2028', '\u2029':
			starts = append(starts, i)
		}
	}
	return starts
}

// offset returns where a node starts; columns count characters.
func (s scan) offset(n *yaml.Node) int {
	if n.Line < 1 || n.Line > len(s.lines) {
		return len(s.raw)
	}
	at := s.lines[n.Line-1]
	for column := 1; column < n.Column && at < len(s.raw); column++ {
		_, size := utf8.DecodeRune(s.raw[at:])
		at += size
	}
	return at
}

// line returns the bytes of line i (from 0), without its break.
func (s scan) line(i int) []byte {
	return bytes.TrimRight(s.raw[s.lines[i]:s.lineEnd(i)], "\r\n\u0085\u2028\u2029")
}

func (s scan) lineEnd(i int) int {
	if i+1 < len(s.lines) {
		return s.lines[i+1]
	}
	return len(s.raw)
}

func indentOf(line []byte) int { return len(line) - len(bytes.TrimLeft(line, " ")) }

// entries indexes the pairs of a mapping.
func (s scan) entries(mapping *yaml.Node) []*entry {
	flow := mapping.Style&yaml.FlowStyle != 0
	var all []*entry
	for i := 0; i < len(mapping.Content); i += 2 {
		key, value := mapping.Content[i], mapping.Content[i+1]
		e := &entry{key: key.Value}
		if !flow {
			e.lines = s.entryLines(key, value)
		}
		switch value.Kind {
		case yaml.ScalarNode:
			e.value = scalarValue(value)
			e.texts = []string{"", value.Value}
			if !e.lines.isZero() {
				e.scalar = s.scalar(value)
			}
		case yaml.MappingNode:
			e.kind = mapEntry
			e.children = s.entries(value)
			e.texts = mapTexts(e.children)
			e.grow = childPlace(e, value)
		default:
			e.kind = otherEntry
			e.texts = listTexts("", value)
		}
		all = append(all, e)
	}
	return all
}

// childPlace says where a map's next entry goes.
func childPlace(e *entry, mapping *yaml.Node) *growth {
	n := len(e.children)
	if n == 0 || e.lines.isZero() || e.children[n-1].lines.isZero() {
		return nil
	}
	return &growth{indent: strings.Repeat(" ", mapping.Content[0].Column-1), at: e.children[n-1].lines.end, depth: 1}
}

func listTexts(path string, n *yaml.Node) []string {
	if n.Kind == yaml.ScalarNode {
		return []string{path, n.Value}
	}
	var texts []string
	for i, c := range n.Content {
		texts = append(texts, listTexts(digestPath(strconv.Itoa(i), path), c)...)
	}
	return texts
}

// entryLines returns the whole lines of a pair, zero where its key does not
// begin its line.
func (s scan) entryLines(key, value *yaml.Node) span {
	start := s.offset(key)
	first := key.Line - 1
	if first >= len(s.lines) {
		return span{}
	}
	begin := s.lines[first]
	if len(bytes.TrimLeft(s.raw[begin:start], " ")) > 0 || start > len(s.raw) {
		return span{}
	}
	indent := start - begin
	last := first
	if value.Kind != yaml.ScalarNode || value.Line != key.Line || s.scalar(value).isZero() {
		list := value.Kind == yaml.SequenceNode
		for i := first + 1; i < len(s.lines); i++ {
			line := s.line(i)
			in := indentOf(line)
			if in == len(line) || in <= indent && line[in] == '#' {
				continue // belongs to whatever follows
			}
			if in <= indent && (!list || in != indent || line[in] != '-') {
				break
			}
			last = i
		}
	}
	return span{begin, s.lineEnd(last)}
}

// scalar returns the place of a scalar that is written on one line, zero for
// any other.
func (s scan) scalar(n *yaml.Node) span {
	start := s.offset(n)
	if start >= len(s.raw) {
		return span{}
	}
	rest := s.raw[start:]
	switch {
	case n.Style&yaml.DoubleQuotedStyle != 0 && rest[0] == '"':
		return closing(start, rest, '"', '\\')
	case n.Style&yaml.SingleQuotedStyle != 0 && rest[0] == '\'':
		return closing(start, rest, '\'', '\'')
	case n.Style == 0 && n.Value != "" && bytes.HasPrefix(rest, []byte(n.Value)):
		after := rest[len(n.Value):]
		if len(after) == 0 || bytes.IndexByte([]byte(" \t\r\n"), after[0]) >= 0 {
			return span{start, start + len(n.Value)}
		}
	}
	return span{}
}

// closing finds the closing quote on the same line; escape covers the
// character behind it (in single quotes a quote is escaped by another).
func closing(start int, text []byte, quote, escape byte) span {
	for i := 1; i < len(text); i++ {
		switch {
		case text[i] == '\n' || text[i] == '\r':
			return span{}
		case text[i] == escape && i+1 < len(text) && (escape != quote || text[i+1] == quote):
			i++
		case text[i] == quote:
			return span{start, start + i + 1}
		}
	}
	return span{}
}

// place finds what an edit of the metadata needs.
func (f *file) place(s scan, block *entry, node *yaml.Node) {
	if n := len(f.entries); n > 0 {
		f.end = f.entries[n-1].lines.end
		for _, e := range f.entries {
			if e.lines.isZero() && f.rigid == nil {
				f.rigid = fmt.Errorf("the key %.60q does not stand at the start of a line; run `sops edit` on the file once", e.key)
			}
		}
	} else {
		f.end = block.lines.start
	}
	mac, modified, ages := find(block.children, "mac"), find(block.children, "lastmodified"), find(block.children, "age")
	if mac == nil || modified == nil || mac.scalar.isZero() || modified.scalar.isZero() {
		if f.rigid == nil {
			f.rigid = errors.New("the sops metadata is not written in lines; run `sops edit` on the file once")
		}
		return
	}
	f.at.mac, f.at.lastModified = mac.scalar, modified.scalar
	list := child(node, "age")
	if ages == nil || list.Kind != yaml.SequenceNode || list.Style&yaml.FlowStyle != 0 || len(list.Content) == 0 || ages.lines.isZero() {
		return
	}
	item := list.Content[0]
	if item.Line < 1 || item.Line > len(s.lines) {
		return
	}
	line := s.line(item.Line - 1)
	f.at.ageDash, f.at.ageKeys = indentOf(line), item.Column-1
	if f.at.ageDash < len(line) && line[f.at.ageDash] == '-' && f.at.ageKeys > f.at.ageDash {
		f.at.age = ages.lines
	}
}
