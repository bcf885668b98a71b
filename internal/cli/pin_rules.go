package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/cofferhq/coffer/internal/durable"
	"github.com/cofferhq/coffer/lang"
)

const (
	maxRulesFile = 1 << 20
	// maxRules bounds the lines of a file of rules, which aliases multiply.
	maxRules = 10_000
)

// rulesLines returns what a file of rules says, a line for each of its values and
// in an order that does not depend on that of the keys; none where there is no
// such file.
func rulesLines(path string) ([]lang.PinnedLine, error) {
	data, _, err := durable.Read(durable.OS(), path, maxRulesFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	doc, err := parseRulesFile(data)
	if err != nil || doc == nil {
		return writtenLines(string(data)), nil // the store says what is wrong with it
	}
	var r rulesReader
	if r.value("", doc, 0); r.tooMuch {
		return nil, fmt.Errorf("%s has more than %d values", rulesFile, maxRules)
	}
	return r.lines, nil
}

func parseRulesFile(data []byte) (root *yaml.Node, err error) {
	defer func() {
		if recover() != nil { // the parser panics on some of what is hostile
			err = errors.New("not readable as YAML")
		}
	}()
	var doc yaml.Node
	if err := yaml.Unmarshal(data, &doc); err != nil || len(doc.Content) != 1 {
		return nil, err
	}
	return doc.Content[0], nil
}

// writtenLines are the lines of a text that is no YAML.
func writtenLines(text string) []lang.PinnedLine {
	var out []lang.PinnedLine
	for line := range strings.Lines(text) {
		out = append(out, lang.PinnedLine{Text: strings.TrimRight(line, "\r\n"), Line: len(out) + 1})
	}
	return out
}

type rulesReader struct {
	lines   []lang.PinnedLine
	tooMuch bool
}

func (r *rulesReader) value(path string, n *yaml.Node, depth int) {
	if n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	if depth > 100 || len(r.lines) > maxRules {
		r.tooMuch = true
		return
	}
	switch n.Kind {
	case yaml.MappingNode:
		if len(n.Content) == 0 {
			r.add(path+" = {}", n)
		}
		var keys []int
		for i := 0; i+1 < len(n.Content); i += 2 {
			keys = append(keys, i)
		}
		slices.SortStableFunc(keys, func(a, b int) int { return strings.Compare(n.Content[a].Value, n.Content[b].Value) })
		for _, i := range keys {
			name := keyText(n.Content[i])
			if path != "" {
				name = path + "." + name
			}
			r.value(name, n.Content[i+1], depth+1)
		}
	case yaml.SequenceNode:
		if len(n.Content) == 0 {
			r.add(path+" = []", n)
		}
		for i, element := range n.Content {
			r.value(fmt.Sprintf("%s[%d]", path, i), element, depth+1)
		}
	default:
		r.add(path+" = "+scalarText(n), n)
	}
}

// keyText is the name of an entry, in quotes unless it is a plain word.
func keyText(n *yaml.Node) string {
	plain := func(r rune) bool { return r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '_' }
	if n.Kind == yaml.ScalarNode && n.Value != "" && n.ShortTag() == "!!str" && strings.IndexFunc(n.Value, func(r rune) bool { return !plain(r) }) < 0 {
		return n.Value
	}
	return scalarText(n)
}

// scalarText is a value with its type, where that is not text.
func scalarText(n *yaml.Node) string {
	if tag := n.ShortTag(); tag != "!!str" {
		return fmt.Sprintf("%s %q", tag, n.Value)
	}
	return fmt.Sprintf("%q", n.Value)
}

func (r *rulesReader) add(text string, n *yaml.Node) {
	r.lines = append(r.lines, lang.PinnedLine{Text: text, Line: n.Line})
}
