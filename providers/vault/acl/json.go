package acl

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
)

// member is one member of a JSON object; an object is a []member, so that a
// key that stands twice is two.
type member struct {
	key   string
	value any
}

func parseJSON(source string) ([]Rule, error) {
	dec := json.NewDecoder(strings.NewReader(source))
	root, err := readJSON(dec, 0)
	if err == nil {
		if _, extra := dec.Token(); extra != io.EOF {
			err = fmt.Errorf("there is more after the policy")
		}
	}
	if err != nil {
		return nil, &SyntaxError{Text: "not JSON: " + err.Error()}
	}
	top, ok := root.([]member)
	if !ok {
		return nil, &SyntaxError{Text: "the policy is no JSON object"}
	}
	var rules []Rule
	for _, m := range top {
		if m.key != "path" {
			continue
		}
		for _, paths := range objects(m.value) {
			for _, at := range paths {
				for _, block := range objects(at.value) {
					rule, err := newRule(at.key, nodes(block), 0)
					if err != nil {
						return nil, err
					}
					rules = append(rules, rule)
				}
			}
		}
	}
	return rules, nil
}

// objects returns an object, or those of a list of them, as HCL reads JSON.
func objects(v any) [][]member {
	switch v := v.(type) {
	case []member:
		return [][]member{v}
	case []any:
		var out [][]member
		for _, e := range v {
			out = append(out, objects(e)...)
		}
		return out
	}
	return nil
}

func nodes(block []member) []node {
	out := make([]node, len(block))
	for i, m := range block {
		out[i] = node{keys: []string{m.key}, value: m.value}
	}
	return out
}

func readJSON(dec *json.Decoder, depth int) (any, error) {
	if depth > maxDepth {
		return nil, fmt.Errorf("it nests too deep")
	}
	t, err := dec.Token()
	if err != nil {
		return nil, err
	}
	switch t {
	case json.Delim('{'):
		object := []member{}
		for dec.More() {
			key, err := dec.Token()
			if err != nil {
				return nil, err
			}
			value, err := readJSON(dec, depth+1)
			if err != nil {
				return nil, err
			}
			object = append(object, member{key.(string), value})
		}
		_, err = dec.Token()
		return object, err
	case json.Delim('['):
		list := []any{}
		for dec.More() {
			value, err := readJSON(dec, depth+1)
			if err != nil {
				return nil, err
			}
			list = append(list, value)
		}
		_, err = dec.Token()
		return list, err
	}
	return t, nil
}
