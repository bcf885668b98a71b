package sops

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// dotenvPrefix begins the metadata of a dotenv file.
const dotenvPrefix = metadataKey + "_"

// decodeDotenv parses a dotenv file as sops does (stores/dotenv): a line is a
// comment or NAME=VALUE up to its end, and \n in a value is a line break.
func decodeDotenv(raw []byte) (*file, error) {
	f := &file{format: formatDotenv, raw: raw, eol: "\n"}
	flat := map[string]string{}
	seen := map[string]bool{}
	number := 0
	for start := 0; start < len(raw); {
		number++
		end, next := len(raw), len(raw)
		if i := bytes.IndexByte(raw[start:], '\n'); i >= 0 {
			end, next = start+i, start+i+1
		}
		line := string(raw[start:end])
		at := span{start, next}
		start = next
		if line == "" {
			continue
		}
		if line[0] == '#' {
			f.leaves = append(f.leaves, leaf{value: line[1:], comment: true})
			continue
		}
		name, text, found := strings.Cut(line, "=")
		if !found {
			return nil, fmt.Errorf("line %d: neither a comment nor NAME=VALUE", number)
		}
		if seen[name] {
			return nil, fmt.Errorf("line %d: the name %.60q is there twice", number, name)
		}
		seen[name] = true
		scalar := span{at.start + len(name) + 1, end}
		value := strings.ReplaceAll(text, `\n`, "\n")
		if key, isMeta := strings.CutPrefix(name, dotenvPrefix); isMeta {
			flat[key] = value
			f.placeDotenv(key, at, scalar)
			continue
		}
		f.entries = append(f.entries, &entry{key: name, lines: at, scalar: scalar, value: value, texts: []string{"", text}})
		f.leaves = append(f.leaves, leaf{path: []string{name}, value: value})
	}
	if len(flat) == 0 {
		return nil, errNotSOPS
	}
	tree, err := unflatten(flat)
	if err != nil {
		return nil, err
	}
	if f.meta, err = decodeMetadata(tree); err != nil {
		return nil, err
	}
	if n := len(f.entries); n > 0 {
		f.end = f.entries[n-1].lines.end
	}
	return f, nil
}

func (f *file) placeDotenv(key string, lines, scalar span) {
	switch {
	case key == "mac":
		f.at.mac = scalar
	case key == "lastmodified":
		f.at.lastModified = scalar
	case strings.HasPrefix(key, "age__list_"):
		if f.at.age.isZero() {
			f.at.age.start = lines.start
		}
		if f.at.age.end != 0 && f.at.age.end != lines.start {
			// Lines of other kinds between them: an edit would lose those.
			f.rigid = errors.New("the sops_age lines do not stand together; run `sops edit` on the file once")
		}
		f.at.age.end = lines.end
	}
}

// unflatten builds maps and lists out of names like age__list_0__map_enc.
func unflatten(flat map[string]string) (map[string]any, error) {
	tree := map[string]any{}
	for name, text := range flat {
		if len(name) > 400 {
			return nil, errors.New("a name of the sops metadata is too long")
		}
		node := tree
		head, rest := cutFlat(name)
		for rest != "" {
			below, ok := node[head].(map[string]any)
			if !ok {
				if node[head] != nil {
					return nil, errors.New("the sops metadata contradicts itself")
				}
				below = map[string]any{}
				node[head] = below
			}
			node = below
			head, rest = cutFlat(rest)
		}
		if node[head] != nil {
			return nil, errors.New("the sops metadata contradicts itself")
		}
		node[head] = text
	}
	for key, value := range tree {
		tree[key] = listed(value)
	}
	return tree, nil
}

const (
	flatMap  = "__map_"
	flatList = "__list_"
)

// cutFlat returns the first step of a flattened name; a list's index keeps the
// list separator as its prefix.
func cutFlat(name string) (head, rest string) {
	from := 0
	if strings.HasPrefix(name, flatList) {
		from = len(flatList)
	}
	name = strings.TrimPrefix(name, flatMap)
	for i := from; i < len(name); i++ {
		if i > 0 && (strings.HasPrefix(name[i:], flatMap) || strings.HasPrefix(name[i:], flatList)) {
			return name[:i], name[i:]
		}
	}
	return name, ""
}

// listed turns maps whose keys are list indexes into lists, in their order.
func listed(value any) any {
	m, ok := value.(map[string]any)
	if !ok {
		return value
	}
	type item struct {
		index int
		value any
	}
	var items []item
	for key, below := range m {
		m[key] = listed(below)
		if text, isList := strings.CutPrefix(key, flatList); isList {
			if index, err := strconv.Atoi(text); err == nil {
				items = append(items, item{index, m[key]})
			}
		}
	}
	if len(items) == 0 || len(items) != len(m) {
		return m
	}
	slices.SortFunc(items, func(a, b item) int { return a.index - b.index })
	list := make([]any, len(items))
	for i, it := range items {
		list[i] = it.value
	}
	return list
}
