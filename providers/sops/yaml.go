package sops

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// decodeYAML parses a YAML file. It refuses what sops cannot read or what has
// no place for an edit: several documents, aliases, repeated or odd keys.
func decodeYAML(raw []byte) (*file, error) {
	root, err := parseYAML(raw)
	if err != nil {
		return nil, err
	}
	f := &file{format: formatYAML, raw: raw, eol: lineBreak(raw)}
	s := scan{raw: raw, lines: lineStarts(raw)}
	if root.Style&yaml.FlowStyle != 0 {
		f.rigid = errors.New("the file is written in flow style ({…}); run `sops edit` on it once, which writes it out in lines")
	}
	var block *entry
	for _, e := range s.entries(root) {
		if e.key == metadataKey {
			block = e
			continue
		}
		f.entries = append(f.entries, e)
	}
	node := child(root, metadataKey)
	if node == nil || node.Kind != yaml.MappingNode {
		return nil, errNotSOPS
	}
	tree, _ := generic(node).(map[string]any)
	if f.meta, err = decodeMetadata(tree); err != nil {
		return nil, err
	}
	f.leaves = yamlLeaves(root)
	f.place(s, block, node)
	return f, nil
}

// parseYAML returns the root mapping of the only document, checked.
func parseYAML(raw []byte) (root *yaml.Node, err error) {
	// The parser reports its own errors by panicking and catches only those;
	// whatever else hostile input makes it do must end as an error too.
	defer func() {
		if r := recover(); r != nil {
			root, err = nil, errors.New("not readable as YAML")
		}
	}()
	var doc, more yaml.Node
	d := yaml.NewDecoder(bytes.NewReader(raw))
	if err := d.Decode(&doc); err != nil {
		if errors.Is(err, io.EOF) {
			return nil, errNotSOPS
		}
		return nil, yamlError(err)
	}
	if err := d.Decode(&more); !errors.Is(err, io.EOF) {
		return nil, errors.New("more than one YAML document in the file; split it")
	}
	if len(doc.Content) != 1 || doc.Content[0].Kind != yaml.MappingNode {
		return nil, errNotSOPS
	}
	root = doc.Content[0]
	// Comments above and below the document belong to the root as well.
	root.HeadComment = joinLines(doc.HeadComment, doc.LineComment, root.HeadComment)
	root.FootComment = joinLines(root.FootComment, doc.FootComment)
	return root, checkNode(root, 0)
}

// yamlError keeps of a parser's message only where it happened: the rest may
// quote the file.
func yamlError(err error) error {
	if _, after, found := strings.Cut(err.Error(), "line "); found {
		if n, _, ok := strings.Cut(after, ":"); ok {
			if line, err := strconv.Atoi(n); err == nil {
				return fmt.Errorf("not readable as YAML: line %d", line)
			}
		}
	}
	return errors.New("not readable as YAML")
}

func joinLines(parts ...string) string {
	return strings.Join(slices.DeleteFunc(parts, func(s string) bool { return s == "" }), "\n")
}

func checkNode(n *yaml.Node, depth int) error {
	if depth > maxDepth {
		return fmt.Errorf("line %d: nested deeper than %d", n.Line, maxDepth)
	}
	switch n.Kind {
	case yaml.AliasNode:
		return fmt.Errorf("line %d: aliases are not supported; write the value out", n.Line)
	case yaml.MappingNode:
		seen := map[string]bool{}
		for i := 0; i < len(n.Content); i += 2 {
			key := n.Content[i]
			if key.Kind != yaml.ScalarNode || key.ShortTag() != "!!str" {
				return fmt.Errorf("line %d: a key that is not text; put it in quotes", key.Line)
			}
			if seen[key.Value] {
				return fmt.Errorf("line %d: the key %.60q is there twice", key.Line, key.Value)
			}
			seen[key.Value] = true
		}
	}
	for _, c := range n.Content {
		if err := checkNode(c, depth+1); err != nil {
			return err
		}
	}
	return nil
}

func child(mapping *yaml.Node, key string) *yaml.Node {
	for i := 0; i < len(mapping.Content); i += 2 {
		if mapping.Content[i].Value == key {
			return mapping.Content[i+1]
		}
	}
	return nil
}

// generic returns a node as maps, lists and text.
func generic(n *yaml.Node) any {
	switch n.Kind {
	case yaml.MappingNode:
		m := map[string]any{}
		for i := 0; i < len(n.Content); i += 2 {
			m[n.Content[i].Value] = generic(n.Content[i+1])
		}
		return m
	case yaml.SequenceNode:
		list := make([]any, len(n.Content))
		for i, c := range n.Content {
			list[i] = generic(c)
		}
		return list
	default:
		return n.Value
	}
}

// scalarValue types a scalar as sops does.
func scalarValue(n *yaml.Node) any {
	if n.Tag == "!!str" {
		return n.Value
	}
	var v any
	if n.Decode(&v) != nil {
		return n.Value
	}
	return v
}

// yamlLeaves walks the values and comments of a document in the order of sops
// (stores/yaml): what it says about where a comment belongs decides the path
// that its ciphertext is bound to.
func yamlLeaves(root *yaml.Node) []leaf {
	var w leafWalk
	w.comments(nil, root.HeadComment, root.LineComment)
	for i := 0; i < len(root.Content); i += 2 {
		key := root.Content[i]
		if key.Value != metadataKey {
			w.pair(nil, key, root.Content[i+1])
			continue
		}
		// A comment above the metadata is one below the last value.
		w.comments(nil, key.HeadComment, key.LineComment, key.FootComment)
	}
	w.comments(nil, root.FootComment)
	return w.leaves
}

type leafWalk struct{ leaves []leaf }

func (w *leafWalk) comments(path []string, texts ...string) {
	for _, text := range texts {
		for line := range strings.SplitSeq(text, "\n") {
			if line != "" {
				w.leaves = append(w.leaves, leaf{path: path, value: line[1:], comment: true})
			}
		}
	}
}

func (w *leafWalk) pair(path []string, key, value *yaml.Node) {
	w.comments(path, key.HeadComment, key.LineComment)
	below := append(path[:len(path):len(path)], key.Value)
	if value.Kind == yaml.ScalarNode {
		w.comments(path, value.HeadComment, value.LineComment)
		w.value(below, value)
		w.comments(path, value.FootComment)
	} else {
		w.comments(below, value.HeadComment, value.LineComment)
		w.value(below, value)
		w.comments(below, value.FootComment)
	}
	w.comments(path, key.FootComment)
}

func (w *leafWalk) value(path []string, n *yaml.Node) {
	switch n.Kind {
	case yaml.ScalarNode:
		w.leaves = append(w.leaves, leaf{path: path, value: scalarValue(n)})
	case yaml.MappingNode:
		for i := 0; i < len(n.Content); i += 2 {
			w.pair(path, n.Content[i], n.Content[i+1])
		}
	case yaml.SequenceNode:
		for _, item := range n.Content {
			w.comments(path, item.HeadComment, item.LineComment)
			w.value(path, item)
			w.comments(path, item.FootComment)
		}
	}
}
