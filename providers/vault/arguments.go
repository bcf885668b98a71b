package vault

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// shape is what an argument of a role or mount holds.
type shape string

const (
	aText     shape = "a string"
	aFlag     shape = "true or false"
	aNumber   shape = "a whole number"
	aDuration shape = `a duration such as "1h"`
	aLeeway   shape = `a duration such as "1m", or -1 for none at all`
	aSet      shape = "a list of strings"
	aMap      shape = "an object"
)

// argument is one argument of a declared role or mount, called as in the
// servers' API.
type argument struct {
	name  string
	shape shape
	// standard is what the server takes where nobody wrote the argument; nil is
	// the zero of the shape.
	standard any
	required bool
}

// settings are arguments by name, in canonical form: all that an object has, or
// those that a block declares.
type settings map[string]any

// canonical brings a value, written by a person or told by a server, into the
// one form in which it is compared: string, bool, float64, sorted []any of
// strings, or map[string]any. A duration is a string.
func (a argument) canonical(v any) (any, error) {
	switch v := v.(type) {
	case nil:
		return a.fallback(), nil
	case string:
		switch a.shape {
		case aText:
			return v, nil
		case aDuration:
			return parseTTL(v)
		case aLeeway:
			return parseLeeway(v)
		case aSet:
			return []any{v}, nil
		}
	case bool:
		if a.shape == aFlag {
			return v, nil
		}
	case float64:
		switch {
		case a.shape == aLeeway && v == math.Trunc(v) && math.Abs(v) <= math.MaxInt32:
			return formatTTL(time.Duration(v) * time.Second), nil
		case v != math.Trunc(v) || v < 0 || v > math.MaxInt32:
		case a.shape == aNumber:
			return v, nil
		case a.shape == aDuration:
			return formatTTL(time.Duration(v) * time.Second), nil
		}
	case []any:
		if a.shape == aSet {
			return canonicalSet(v)
		}
	case map[string]any:
		if a.shape == aMap {
			return v, nil
		}
	}
	return nil, fmt.Errorf("want %s", a.shape)
}

func (a argument) fallback() any {
	if a.standard != nil {
		return a.standard
	}
	switch a.shape {
	case aFlag:
		return false
	case aNumber:
		return 0.0
	case aDuration, aLeeway:
		return "0s"
	case aSet:
		return []any{}
	case aMap:
		return map[string]any{}
	}
	return ""
}

func canonicalSet(v []any) (any, error) {
	var words []string
	for _, e := range v {
		s, ok := e.(string)
		if !ok {
			return nil, fmt.Errorf("want %s", aSet)
		}
		words = append(words, s)
	}
	slices.Sort(words)
	set := []any{}
	for _, w := range slices.Compact(words) {
		set = append(set, w)
	}
	return set, nil
}

// parseTTL reads what the servers read: Go's durations, days, or seconds.
func parseTTL(text string) (any, error) {
	wrong := fmt.Errorf("want %s, not %q", aDuration, text)
	if days, ok := strings.CutSuffix(text, "d"); ok {
		n, err := strconv.ParseUint(days, 10, 16)
		if err != nil {
			return nil, wrong
		}
		return formatTTL(time.Duration(n) * 24 * time.Hour), nil
	}
	if n, err := strconv.ParseUint(text, 10, 31); err == nil {
		return formatTTL(time.Duration(n) * time.Second), nil
	}
	d, err := time.ParseDuration(text)
	if err != nil || d < 0 || d%time.Second != 0 {
		return nil, wrong
	}
	return formatTTL(d), nil
}

// parseLeeway reads what parseTTL does and what is less than none: to the servers
// 0 is their standard leeway.
func parseLeeway(text string) (any, error) {
	d, err := parseTTL(strings.TrimPrefix(text, "-"))
	switch {
	case err != nil:
		return nil, fmt.Errorf("want %s, not %q", aLeeway, text)
	case strings.HasPrefix(text, "-") && d != "0s":
		return "-" + d.(string), nil
	}
	return d, nil
}

// formatTTL writes a duration without the parts that are zero: "1h", "90m" is
// "1h30m".
func formatTTL(d time.Duration) string {
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}

// settle brings the given values of known arguments into canonical form; of those
// that are not given, where all are asked for, it takes the standard. An error
// names the argument.
func settle(known []argument, values map[string]any, all bool) (settings, string, error) {
	s := settings{}
	for _, a := range known {
		given := values[a.name]
		if given == nil && !all {
			continue
		}
		v, err := a.canonical(given)
		if err != nil {
			return nil, a.name, fmt.Errorf("%s: %w", a.name, err)
		}
		s[a.name] = v
	}
	return s, "", nil
}

func equal(a, b any) bool { return encodeJSON(a) == encodeJSON(b) }

// document writes settings as the text of an object: one a line, sorted, after
// what the object is.
func (s settings) document(typ string) string {
	var b strings.Builder
	b.WriteString("type = " + encodeJSON(typ) + "\n")
	for _, name := range slices.Sorted(maps.Keys(s)) {
		b.WriteString(name + " = " + encodeJSON(s[name]) + "\n")
	}
	return b.String()
}

// parseSettings is the inverse of document.
func parseSettings(document string) (typ string, s settings, err error) {
	s = settings{}
	for line := range strings.Lines(document) {
		name, text, ok := strings.Cut(strings.TrimSpace(line), " = ")
		var v any
		if !ok || json.Unmarshal([]byte(text), &v) != nil {
			return "", nil, fmt.Errorf("line %q is no setting", line)
		}
		s[name] = v
	}
	typ, _ = s["type"].(string)
	delete(s, "type")
	return typ, s, nil
}

// changes returns what must be sent to make live settings the wanted ones. What
// is not wanted either way is not sent.
func changes(known []argument, live, want settings) map[string]any {
	body := map[string]any{}
	for _, a := range known {
		w, written := want[a.name]
		if !written {
			continue
		}
		l, has := live[a.name]
		if !has {
			l = a.fallback()
		}
		if !equal(l, w) {
			body[a.name] = w
		}
	}
	return body
}

// unknownArgument is the error text for an argument that a block does not have.
func unknownArgument(name string, known []argument, more ...string) error {
	words := slices.Clone(more)
	for _, a := range known {
		words = append(words, a.name)
	}
	slices.SortFunc(words, cmp.Compare)
	if hint := suggest(name, words); hint != "" {
		return fmt.Errorf("there is no argument %s%s", name, hint)
	}
	return fmt.Errorf("there is no argument %s; there are %s", name, strings.Join(words, ", "))
}

// encodeJSON is JSON as people write it: & and < as they are.
func encodeJSON(v any) string {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if enc.Encode(v) != nil {
		return "null"
	}
	return strings.TrimSuffix(b.String(), "\n")
}
