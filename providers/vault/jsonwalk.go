package vault

import (
	"strconv"
	"strings"
	"unicode/utf8"
)

// deepest is how far a [jsonWalk] follows brackets.
const deepest = 20

// jsonWalk reads UTF-8 text that is JSON of the plainest form. At everything
// else it sets odd and stands still, and what it returned until then means
// nothing: what is no JSON, a value of another type than is asked for, an
// escape, a fraction, a member that stands twice or is written in other letters.
type jsonWalk struct {
	text  string
	at    int
	depth int
	odd   bool
}

// peek returns the next byte that is no space, 0 at the end.
func (w *jsonWalk) peek() byte {
	for ; w.at < len(w.text); w.at++ {
		if c := w.text[w.at]; c != ' ' && c != '\n' && c != '\t' && c != '\r' {
			return c
		}
	}
	return 0
}

// take passes over a sign that has to stand here.
func (w *jsonWalk) take(sign byte) {
	if w.peek() != sign {
		w.odd = true
	}
	if !w.odd {
		w.at++
	}
}

// list calls element at each value between two brackets, which has to read it.
func (w *jsonWalk) list(open, end byte, element func()) {
	w.take(open)
	w.depth++
	w.odd = w.odd || w.depth > deepest
	for first := true; !w.odd && w.peek() != end; first = false {
		if !first {
			w.take(',')
		}
		element() // is odd where there is none behind a comma
	}
	w.depth--
	w.take(end)
}

// named is list for an object whose names are data. Of a name that stands twice
// the last counts.
func (w *jsonWalk) named(value func(name string)) {
	w.list('{', '}', func() {
		name := w.string()
		if w.take(':'); !w.odd {
			value(name)
		}
	})
}

// object is named for a struct of the given members, by their index. Others are
// passed over.
func (w *jsonWalk) object(members []string, value func(member int)) {
	seen := 0
	w.named(func(name string) {
		for i, member := range members {
			if name == member {
				w.odd = w.odd || seen&(1<<i) != 0
				seen |= 1 << i
				value(i)
				return
			}
		}
		// encoding/json takes a name in capitals, and for s and k two letters
		// beyond ASCII, as the same.
		for i := range len(name) {
			if c := name[i]; 'A' <= c && c <= 'Z' || c >= utf8.RuneSelf {
				w.odd = true
			}
		}
		w.skip()
	})
}

// skip passes over one value.
func (w *jsonWalk) skip() {
	switch c := w.peek(); c {
	case '{':
		w.named(func(string) { w.skip() })
	case '[':
		w.list('[', ']', w.skip)
	case '"':
		w.string()
	case 't', 'f':
		w.boolean()
	case 'n':
		w.null()
	default:
		w.integer()
	}
}

// null passes over a null and reports whether there was one.
func (w *jsonWalk) null() bool { return w.peek() == 'n' && w.word("null") }

func (w *jsonWalk) boolean() bool {
	if w.peek() == 't' {
		return w.word("true")
	}
	w.word("false")
	return false
}

func (w *jsonWalk) word(word string) bool {
	if w.odd || !strings.HasPrefix(w.text[w.at:], word) {
		w.odd = true
		return false
	}
	w.at += len(word)
	return true
}

func (w *jsonWalk) string() string {
	if w.take('"'); w.odd {
		return ""
	}
	for i := w.at; i < len(w.text); i++ {
		switch c := w.text[i]; {
		case c == '"':
			text := w.text[w.at:i]
			w.at = i + 1
			return text
		case c == '\\' || c < ' ':
			w.odd = true
			return ""
		}
	}
	w.odd = true
	return ""
}

// strings reads an object of texts.
func (w *jsonWalk) strings() map[string]string {
	if w.null() {
		return nil
	}
	all := map[string]string{}
	w.named(func(name string) { all[name] = w.string() })
	return all
}

func (w *jsonWalk) integer() int {
	w.peek()
	end := w.at
	for end < len(w.text) && (w.text[end] == '-' || '0' <= w.text[end] && w.text[end] <= '9') {
		end++
	}
	n, err := strconv.Atoi(w.text[w.at:end])
	// What is written otherwise than a program writes it: 007, -0.
	if w.odd = w.odd || err != nil || strconv.Itoa(n) != w.text[w.at:end]; !w.odd {
		w.at = end
	}
	return n
}

// raw passes over one value by its brackets and quotes, whatever it is made of,
// and returns its text.
func (w *jsonWalk) raw() string {
	start, depth, quoted := w.at, 0, false
	for ; w.at < len(w.text); w.at++ {
		switch c := w.text[w.at]; {
		case quoted && c == '\\':
			w.at++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '{' || c == '[':
			depth++
		case depth > 0 && (c == '}' || c == ']'):
			depth--
		case depth == 0 && strings.IndexByte(",}] \n\r\t", c) >= 0:
			return w.text[start:w.at]
		}
	}
	w.at = min(w.at, len(w.text))
	return w.text[start:w.at]
}
