package forge

import (
	"fmt"
	"io"
	"log/slog"
	"strings"
)

// hidden is what a Token prints as.
const hidden = "(hidden)"

// Token is what a forge knows us by. The zero Token is none. It cannot be
// printed, logged or encoded, also not inside another value: the text sits behind
// a closure, because fmt prints unexported fields without asking them.
type Token struct {
	reveal func() string
}

// NewToken returns a Token of a text, none for one that is blank.
func NewToken(text string) Token {
	text = strings.TrimSpace(text)
	if text == "" {
		return Token{}
	}
	return Token{reveal: func() string { return text }}
}

// TokenFrom returns the token that the environment has for the forge of run, the
// zero Token where it has none.
//
// A GitLab job's own CI_JOB_TOKEN is not taken: it may not write notes.
func TokenFrom(run Run, getenv func(string) string) Token {
	names := map[Kind][]string{
		GitHub: {"COFFER_GITHUB_TOKEN", "GITHUB_TOKEN"},
		GitLab: {"COFFER_GITLAB_TOKEN"},
	}
	for _, name := range names[run.Kind] {
		if t := NewToken(getenv(name)); !t.IsZero() {
			return t
		}
	}
	return Token{}
}

// IsZero reports whether there is no token.
func (t Token) IsZero() bool { return t.reveal == nil }

// expose returns the text. It is called where a header is set and where an error
// is cleaned of it, nowhere else.
func (t Token) expose() string {
	if t.reveal == nil {
		return ""
	}
	return t.reveal()
}

// scrub takes the token out of a text that came from outside.
func (t Token) scrub(text string) string {
	if t.IsZero() {
		return text
	}
	return strings.ReplaceAll(text, t.expose(), hidden)
}

// Format implements [fmt.Formatter] for every verb.
func (Token) Format(s fmt.State, _ rune) { _, _ = io.WriteString(s, hidden) }

// String implements [fmt.Stringer].
func (Token) String() string { return hidden }

// GoString implements [fmt.GoStringer].
func (Token) GoString() string { return hidden }

// LogValue implements [slog.LogValuer].
func (Token) LogValue() slog.Value { return slog.StringValue(hidden) }

// MarshalText makes encoders write what a Token prints as.
func (Token) MarshalText() ([]byte, error) { return []byte(hidden), nil }

// MarshalJSON makes encoders write what a Token prints as.
func (Token) MarshalJSON() ([]byte, error) { return []byte(`"` + hidden + `"`), nil }
