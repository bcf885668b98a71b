package acl

import (
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// maxDepth bounds how deep blocks and lists may nest, so that a policy of
// somebody else's cannot exhaust the stack.
const maxDepth = 32

// SyntaxError says where a policy cannot be read.
type SyntaxError struct {
	Line int // from 1; 0 where it is not known
	Text string
}

func (e *SyntaxError) Error() string {
	if e.Line == 0 {
		return e.Text
	}
	return fmt.Sprintf("line %d: %s", e.Line, e.Text)
}

// Parse reads a policy in HCL or JSON, as the servers do: JSON is what starts
// with "{". Blocks and arguments that it does not know are passed over, since a
// newer server may; what they do narrows what a rule gives and never widens it.
// An error is a [*SyntaxError].
func Parse(text string) ([]Rule, error) {
	if !utf8.ValidString(text) {
		return nil, &SyntaxError{Text: "the policy is not UTF-8"}
	}
	if strings.HasPrefix(strings.TrimLeft(text, " \t\r\n"), "{") {
		return parseJSON(text)
	}
	p := &parser{scanner: scanner{text: text, line: 1}}
	items := p.body(0, false)
	if p.err != nil {
		return nil, p.err
	}
	var rules []Rule
	for _, item := range items {
		if item.keys[0] != "path" {
			continue
		}
		path := "path" // what the servers make of a block without a label
		if len(item.keys) > 1 {
			path = item.keys[1]
		}
		arguments, ok := item.value.([]node)
		if !ok || len(item.keys) > 2 {
			return nil, &SyntaxError{item.line, fmt.Sprintf("path %q is not a block", path)}
		}
		rule, err := newRule(path, arguments, item.line)
		if err != nil {
			return nil, err
		}
		rules = append(rules, rule)
	}
	return rules, nil
}

// node is one argument or block: values are string, []any and []node.
type node struct {
	keys  []string
	value any
	line  int
}

func newRule(path string, arguments []node, line int) (Rule, error) {
	r := Rule{Path: path, Line: line}
	var old string
	for _, a := range arguments {
		switch a.keys[0] {
		case "capabilities":
			list, ok := stringsOf(a.value)
			if !ok {
				return r, &SyntaxError{a.line, fmt.Sprintf("path %q: capabilities is not a list of strings", path)}
			}
			r.Capabilities = append(r.Capabilities, list...)
		case "policy":
			old, _ = a.value.(string)
		case "expiration":
			text, _ := a.value.(string)
			r.Expires, _ = time.Parse(time.RFC3339, text) // what cannot be read does not expire
		}
	}
	given, known := oldPolicies(old)
	if !known {
		return r, &SyntaxError{line, fmt.Sprintf("path %q: there is no policy %q", path, old)}
	}
	r.Capabilities = Sorted(append(r.Capabilities, given...))
	if slices.Contains(r.Capabilities, Deny) {
		r.Capabilities = []string{Deny}
	}
	return r, nil
}

// oldPolicies returns what the argument `policy` stands for.
func oldPolicies(name string) (capabilities []string, known bool) {
	switch name {
	case "":
		return nil, true
	case "deny":
		return []string{Deny}, true
	case "read":
		return []string{Read, List}, true
	case "write":
		return []string{Create, Read, Update, Delete, List}, true
	case "sudo":
		return []string{Create, Read, Update, Delete, List, Sudo}, true
	}
	return nil, false
}

// stringsOf returns a list of strings; one string is a list of it.
func stringsOf(v any) ([]string, bool) {
	switch v := v.(type) {
	case string:
		return []string{v}, true
	case []any:
		list := make([]string, len(v))
		for i, e := range v {
			s, ok := e.(string)
			if !ok {
				return nil, false
			}
			list[i] = s
		}
		return list, true
	}
	return nil, false
}

// parser reads the first version of HCL, as far as policies use it.
type parser struct {
	scanner
	err *SyntaxError
}

func (p *parser) fail(line int, format string, args ...any) {
	if p.err == nil {
		p.err = &SyntaxError{line, fmt.Sprintf(format, args...)}
	}
}

// body reads items up to the end of the text, or of the block.
func (p *parser) body(depth int, block bool) []node {
	if depth > maxDepth {
		p.fail(p.line, "blocks nest too deep")
	}
	items := []node{}
	for p.err == nil {
		t := p.next()
		switch {
		case t.kind == end && !block, t.kind == '}' && block:
			return items
		case t.kind == ',':
		case t.kind == word || t.kind == text:
			items = append(items, p.item(t, depth))
		case t.kind == end:
			p.fail(t.line, "a block is not closed")
		default:
			p.fail(t.line, "want an argument or a block, not %s", t)
		}
	}
	return nil
}

// item reads one argument or block whose first key has been read.
func (p *parser) item(first token, depth int) node {
	it := node{keys: []string{first.text}, line: first.line}
	for p.err == nil {
		t := p.next()
		switch t.kind {
		case '=':
			if len(it.keys) > 1 {
				p.fail(t.line, "want a block after %q", first.text)
				return it
			}
			it.value = p.value(p.next(), depth)
			return it
		case '{':
			it.value = p.body(depth+1, true)
			return it
		case word, text:
			it.keys = append(it.keys, t.text)
		default:
			p.fail(t.line, "want = or a block after %q, not %s", first.text, t)
		}
	}
	return it
}

func (p *parser) value(t token, depth int) any {
	switch t.kind {
	case text, word:
		return t.text
	case number:
		return nil
	case '{':
		return p.body(depth+1, true)
	case '[':
		return p.list(depth + 1)
	}
	p.fail(t.line, "want a value, not %s", t)
	return nil
}

func (p *parser) list(depth int) []any {
	if depth > maxDepth {
		p.fail(p.line, "lists nest too deep")
	}
	list := []any{}
	for p.err == nil {
		t := p.next()
		if t.kind == ']' {
			return list
		}
		list = append(list, p.value(t, depth))
		if t = p.next(); t.kind == ']' {
			return list
		} else if t.kind != ',' {
			p.fail(t.line, "want , or ] in a list, not %s", t)
		}
	}
	return nil
}
