package acl

import (
	"strconv"
	"strings"
	"unicode/utf8"
)

// Kinds of tokens; punctuation is its own kind.
const (
	end rune = -1 - iota
	word
	text
	number
	bad
)

type token struct {
	kind rune
	text string
	line int
}

func (t token) String() string {
	switch t.kind {
	case end:
		return "the end"
	case word, text, number, bad:
		return strconv.Quote(t.text)
	}
	return strconv.Quote(string(t.kind))
}

// scanner splits the text of a policy into tokens.
type scanner struct {
	text string
	at   int
	line int
}

func (s *scanner) rest() string { return s.text[s.at:] }

func (s *scanner) take(n int) string {
	out := s.text[s.at : s.at+n]
	s.at += n
	s.line += strings.Count(out, "\n")
	return out
}

func (s *scanner) next() token {
	if !s.space() {
		return token{bad, "/*", s.line}
	}
	t := token{line: s.line}
	rest := s.rest()
	if rest == "" {
		t.kind = end
		return t
	}
	r, size := utf8.DecodeRuneInString(rest)
	switch {
	case strings.ContainsRune("{}[]=,", r):
		t.kind, t.text = r, s.take(size)
	case r == '"':
		t.kind, t.text = s.quoted()
	case strings.HasPrefix(rest, "<<"):
		t.kind, t.text = s.heredoc()
	case isWord(r):
		n := strings.IndexFunc(rest, func(r rune) bool { return !isWord(r) })
		if n < 0 {
			n = len(rest)
		}
		t.kind, t.text = word, s.take(n)
		if r == '-' || r == '+' || r >= '0' && r <= '9' {
			t.kind = number
		}
	default:
		t.kind, t.text = bad, s.take(size)
	}
	return t
}

func isWord(r rune) bool {
	return r == '_' || r == '-' || r == '.' || r == '+' || r == ':' || r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= utf8.RuneSelf && r != utf8.RuneError
}

// space passes over white space and comments; false is a comment without end.
func (s *scanner) space() bool {
	for {
		rest := s.rest()
		switch {
		case rest == "":
			return true
		case strings.ContainsRune(" \t\r\n\ufeff", firstRune(rest)):
			s.take(utf8.RuneLen(firstRune(rest)))
		case rest[0] == '#', strings.HasPrefix(rest, "//"):
			n := strings.IndexByte(rest, '\n')
			if n < 0 {
				n = len(rest)
			}
			s.take(n)
		case strings.HasPrefix(rest, "/*"):
			n := strings.Index(rest[2:], "*/")
			if n < 0 {
				s.take(len(rest))
				return false
			}
			s.take(n + 4)
		default:
			return true
		}
	}
}

func firstRune(s string) rune {
	r, _ := utf8.DecodeRuneInString(s)
	return r
}

// quoted reads a string. Within ${…} a quote does not end it, and nothing is
// unescaped there.
func (s *scanner) quoted() (rune, string) {
	rest, braces := s.rest(), 0
	for i := 1; i < len(rest); i++ {
		switch c := rest[i]; {
		case c == '\n' && braces == 0:
			return bad, s.take(i)
		case c == '\\' && braces == 0:
			i++
		case c == '$' && braces == 0 && strings.HasPrefix(rest[i:], "${"):
			braces, i = 1, i+1
		case c == '{' && braces > 0:
			braces++
		case c == '}' && braces > 0:
			braces--
		case c == '"' && braces == 0:
			out, ok := unquote(rest[1:i])
			s.take(i + 1)
			if !ok {
				return bad, out
			}
			return text, out
		}
	}
	return bad, s.take(len(rest))
}

func unquote(in string) (string, bool) {
	var b strings.Builder
	for in != "" {
		if strings.HasPrefix(in, "${") {
			n := closing(in)
			b.WriteString(in[:n])
			in = in[n:]
			continue
		}
		r, multi, tail, err := strconv.UnquoteChar(in, '"')
		if err != nil {
			return in, false
		}
		if r < utf8.RuneSelf || !multi {
			b.WriteByte(byte(r))
		} else {
			b.WriteRune(r)
		}
		in = tail
	}
	return b.String(), true
}

// closing returns where the ${…} at the start of s ends.
func closing(s string) int {
	depth := 0
	for i := range len(s) {
		switch s[i] {
		case '{':
			depth++
		case '}':
			if depth--; depth == 0 {
				return i + 1
			}
		}
	}
	return len(s)
}

// heredoc reads <<EOF … EOF; the lines between may not be read as rules.
func (s *scanner) heredoc() (rune, string) {
	first, body, ok := strings.Cut(s.rest(), "\n")
	name := strings.TrimSpace(strings.TrimPrefix(strings.TrimPrefix(first, "<<"), "-"))
	if !ok || name == "" {
		return bad, s.take(len(first))
	}
	read := len(first) + 1
	for line := range strings.Lines(body) {
		if strings.TrimSpace(line) == name {
			out := body[:read-len(first)-1]
			s.take(read + len(strings.TrimRight(line, "\r\n")))
			return text, out
		}
		read += len(line)
	}
	return bad, s.take(len(s.rest()))
}
