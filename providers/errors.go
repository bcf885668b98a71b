package providers

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/cofferhq/coffer/providers/secret"
)

// Code is the closed list of what can go wrong at a provider.
type Code int

const (
	// Unknown is an error no driver could classify. Its outcome is unknown.
	Unknown Code = iota
	NotFound
	Conflict    // a precondition failed: somebody else wrote; nothing was changed
	Denied      // a permission is missing; nothing was changed
	Invalid     // the platform cannot store this; nothing was changed
	Throttled   // the rate limit; nothing was changed
	Unavailable // not reached, sealed or down; nothing was changed
	Ambiguous   // the request was sent and the answer lost: it may have happened
	Unsupported // the platform has no such operation; nothing was changed
	Cancelled   // not tried: the context ended, or an operation it needs failed; nothing was changed
)

var codeNames = [...]string{
	Unknown: "unknown", NotFound: "not_found", Conflict: "conflict", Denied: "denied",
	Invalid: "invalid", Throttled: "throttled", Unavailable: "unavailable",
	Ambiguous: "ambiguous", Unsupported: "unsupported", Cancelled: "cancelled",
}

func (c Code) String() string { return codeNames[c] }

// Definite reports whether the code proves that the call changed nothing.
func (c Code) Definite() bool { return c != Unknown && c != Ambiguous }

// Error is the one error of this package. Drivers set Code and Err, and Hint
// where they know the next step; [Provider] fills in the rest and scrubs Err
// of everything that was sent.
type Error struct {
	Code     Code
	Provider string // reference, e.g. "aws.eu"
	Op       string // "inspect", "read", "write", …
	Path     string
	Hint     string // what the user should do next
	// RetryAfter is how long the platform asked to wait (RFC 9110, 10.2.3),
	// zero where it did not say.
	RetryAfter time.Duration
	// Lasting: waiting does not help, a person has to act (a sealed server). It
	// is not tried again.
	Lasting bool
	// Sent are credentials that went along with the call, a token. [Provider]
	// takes them out of the text, as it does with values.
	Sent []secret.Value
	Err  error
}

// Errorf returns an Error with a code and a message.
func Errorf(code Code, format string, args ...any) *Error {
	return &Error{Code: code, Err: fmt.Errorf(format, args...)}
}

// WithHint returns e with the next step for the user.
func (e *Error) WithHint(format string, args ...any) *Error {
	e.Hint = fmt.Sprintf(format, args...)
	return e
}

// After returns e with how long the platform asked to wait.
func (e *Error) After(d time.Duration) *Error {
	e.RetryAfter = d
	return e
}

func (e *Error) Error() string {
	var b strings.Builder
	for _, part := range []string{e.Provider, e.Op, e.Path} {
		if part != "" {
			b.WriteString(part + " ")
		}
	}
	if b.Len() > 0 {
		return strings.TrimSuffix(b.String(), " ") + ": " + e.message()
	}
	return e.message()
}

func (e *Error) message() string {
	text := e.Code.String()
	if e.Err != nil {
		text = e.Err.Error()
	}
	if e.Hint != "" {
		text += "; " + e.Hint
	}
	return text
}

func (e *Error) Unwrap() error { return e.Err }

// CodeOf returns the code of err, Unknown for any other error.
func CodeOf(err error) Code {
	var e *Error
	if errors.As(err, &e) {
		return e.Code
	}
	return Unknown
}

// PartialError says for which paths an Inspect has no answer. Every path that
// it does not name was answered.
type PartialError struct {
	Paths map[string]error
}

func (e *PartialError) Error() string {
	paths := slices.Sorted(maps.Keys(e.Paths))
	if len(paths) == 0 {
		return "partial answer"
	}
	return fmt.Sprintf("no answer for %d paths, the first %s: %v", len(paths), paths[0], e.Paths[paths[0]])
}
