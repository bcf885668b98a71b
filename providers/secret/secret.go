// Package secret holds [Value], the only type in Coffer that holds plaintext.
//
// A Value cannot be printed, logged or encoded: formatting shows "(sensitive)"
// and every encoder returns [ErrEncode], so a mistake fails loudly. Its bytes
// sit behind a closure, because a redacting String method is not enough: fmt
// prints the unexported fields of an enclosing struct without calling it.
//
// Only packages that make, read or write values import this package; lang,
// state and internal/render must not, and a test enforces that.
package secret

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"slices"
)

// Redacted is what a Value prints as.
const Redacted = "(sensitive)"

// ErrEncode is returned by every encoder asked to encode a Value.
var ErrEncode = errors.New("a secret value cannot be encoded")

// ErrShape is returned when a single value is asked of one with fields.
var ErrShape = errors.New("the secret has named fields, not a single value")

// Value is one secret value, or a set of named fields each holding one. The
// zero Value is absent. A Value is immutable and safe for concurrent use.
type Value struct {
	expose func(func([]byte) error) error
	fields map[string]Value
}

// New returns a Value holding a copy of b.
func New(b []byte) Value {
	held := slices.Clone(b)
	return Value{expose: func(use func([]byte) error) error { return use(held) }}
}

// String returns a Value holding s.
func String(s string) Value { return New([]byte(s)) }

// Object returns a Value with named fields. Each field must be a single value.
func Object(fields map[string]Value) Value {
	return Value{fields: maps.Clone(fields)}
}

// IsZero reports whether v is absent. An empty value is not absent.
func (v Value) IsZero() bool { return v.expose == nil && v.fields == nil }

// IsObject reports whether v has named fields.
func (v Value) IsObject() bool { return v.fields != nil }

// Names returns the field names in order, nil for a single value.
func (v Value) Names() []string {
	if v.fields == nil {
		return nil
	}
	return slices.Sorted(maps.Keys(v.fields))
}

// Field returns one field, and whether it exists.
func (v Value) Field(name string) (Value, bool) {
	f, ok := v.fields[name]
	return f, ok
}

// With returns v with the given fields set and the named ones dropped.
func (v Value) With(set map[string]Value, drop ...string) Value {
	fields := maps.Clone(v.fields)
	if fields == nil {
		fields = map[string]Value{}
	}
	for _, name := range drop {
		delete(fields, name)
	}
	maps.Copy(fields, set)
	return Value{fields: fields}
}

// Expose calls use with the plaintext of a single value and returns its error.
// It is the only way in. use must neither keep nor change the slice. An absent
// value is exposed as nil; one with fields returns [ErrShape].
func (v Value) Expose(use func(plaintext []byte) error) error {
	if v.fields != nil {
		return ErrShape
	}
	if v.expose == nil {
		return use(nil)
	}
	return v.expose(use)
}

// Format implements [fmt.Formatter] for every verb.
func (v Value) Format(s fmt.State, _ rune) { _, _ = io.WriteString(s, Redacted) }

// LogValue implements [slog.LogValuer].
func (v Value) LogValue() slog.Value { return slog.StringValue(Redacted) }

// MarshalJSON always fails with [ErrEncode].
func (v Value) MarshalJSON() ([]byte, error) { return nil, ErrEncode }

// MarshalText always fails with [ErrEncode].
func (v Value) MarshalText() ([]byte, error) { return nil, ErrEncode }

// MarshalBinary always fails with [ErrEncode].
func (v Value) MarshalBinary() ([]byte, error) { return nil, ErrEncode }

// GobEncode always fails with [ErrEncode].
func (v Value) GobEncode() ([]byte, error) { return nil, ErrEncode }
