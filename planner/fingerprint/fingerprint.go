// Package fingerprint answers one question: is this value the one that was
// written last time? It keeps a keyed fingerprint instead of the value:
// HMAC-SHA-256 over location, field and value. Without the key a fingerprint
// says nothing, so a reader of the state cannot test guesses.
//
// It knows no state, no plan and no provider. Read [Key], then [Load].
package fingerprint

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"log/slog"
	"strings"

	"github.com/cofferhq/coffer/lang/addr"
	"github.com/cofferhq/coffer/providers/secret"
)

const (
	idSize  = 8
	keySize = 32
	prefix  = "coffer-fp1:"

	// Each use of the key begins with its own label, so that the result of one
	// can never stand for that of another.
	idLabel  = "coffer-fp1 key id"
	sumLabel = "coffer-fp1 value"
)

// ErrKey is in the error for text that is not a fingerprint key.
var ErrKey = errors.New("not a fingerprint key: want one line of the form " + prefix + "BASE64")

// Key makes and compares fingerprints. Its id, 8 bytes computed from the key,
// tells which key a fingerprint was made with and shows a key that was copied
// badly. The zero Key is absent: it compares nothing.
//
// As text a key is one line, for a file or an environment variable:
//
//	coffer-fp1:BASE64         standard base64 of 8 bytes of id and 32 of key
//
// A Key prints as its id alone, and no encoder takes it.
type Key struct {
	id  string
	key secret.Value
}

// NewKey makes a key from r, which must be a cryptographic source.
func NewKey(r io.Reader) (Key, error) {
	b := make([]byte, keySize)
	if _, err := io.ReadFull(r, b); err != nil {
		return Key{}, fmt.Errorf("reading randomness for a fingerprint key: %w", err)
	}
	return fromBytes(b), nil
}

func fromBytes(b []byte) Key {
	mac := hmac.New(sha256.New, b)
	writePart(mac, []byte(idLabel))
	return Key{id: hex.EncodeToString(mac.Sum(nil)[:idSize]), key: secret.New(b)}
}

// ParseKey reads the text form; white space around it is ignored. Every error
// is [ErrKey] and holds nothing of the text.
func ParseKey(text string) (Key, error) {
	rest, ok := strings.CutPrefix(strings.TrimSpace(text), prefix)
	if !ok {
		return Key{}, ErrKey
	}
	b, ok := decode(rest)
	if !ok || len(b) != idSize+keySize {
		return Key{}, fmt.Errorf("%w, %d characters long", ErrKey, len(prefix)+base64.StdEncoding.EncodedLen(idSize+keySize))
	}
	k := fromBytes(b[idSize:])
	if k.id != hex.EncodeToString(b[:idSize]) {
		return Key{}, fmt.Errorf("%w: the text was changed, it does not fit its own id; copy it again", ErrKey)
	}
	return k, nil
}

// decode reads base64 as this package writes it; encoding/base64 would skip
// line ends inside.
func decode(text string) ([]byte, bool) {
	b, err := base64.StdEncoding.DecodeString(text)
	return b, err == nil && base64.StdEncoding.EncodeToString(b) == text
}

// text is the inverse of ParseKey.
func (k Key) text() ([]byte, error) {
	id, err := hex.DecodeString(k.id)
	if err != nil {
		return nil, err
	}
	var line []byte
	err = k.key.Expose(func(b []byte) error {
		line = base64.StdEncoding.AppendEncode([]byte(prefix), append(id, b...))
		return nil
	})
	return append(line, '\n'), err
}

// IsZero reports whether there is no key.
func (k Key) IsZero() bool { return k.key.IsZero() }

// ID returns the id, 16 hexadecimal digits, "" for no key. It is not secret.
func (k Key) ID() string { return k.id }

// Sum returns the fingerprint "ID:BASE64" of v, a single value, at a field of
// a location. The same value elsewhere has another fingerprint. Errors: no
// key, a value that is absent, [secret.ErrShape] for one with fields.
func (k Key) Sum(location addr.Location, field string, v secret.Value) (string, error) {
	sum, err := k.sum(location, field, v)
	if err != nil {
		return "", fmt.Errorf("fingerprint: %w", err)
	}
	return k.id + ":" + base64.StdEncoding.EncodeToString(sum), nil
}

func (k Key) sum(location addr.Location, field string, v secret.Value) ([]byte, error) {
	if k.IsZero() {
		return nil, errors.New("there is no key")
	}
	if v.IsZero() {
		return nil, errors.New("there is no value")
	}
	var mac hash.Hash
	if err := k.key.Expose(func(b []byte) error { mac = hmac.New(sha256.New, b); return nil }); err != nil {
		return nil, err
	}
	for _, part := range []string{sumLabel, location.Provider, location.Kind, location.Path, field} {
		writePart(mac, []byte(part))
	}
	if err := v.Expose(func(b []byte) error { writePart(mac, b); return nil }); err != nil {
		return nil, err
	}
	return mac.Sum(nil), nil
}

// writePart writes b behind its length, so that no two lists of parts are the
// same bytes.
func writePart(mac hash.Hash, b []byte) {
	var size [8]byte
	binary.BigEndian.PutUint64(size[:], uint64(len(b)))
	mac.Write(size[:])
	mac.Write(b)
}

// Outcome is what a comparison found.
type Outcome int

const (
	// NotComparable: there is no fingerprint, or it was made with another key.
	// It never means that the value changed.
	NotComparable Outcome = iota
	// Same: the value is the one the fingerprint was made of.
	Same
	// Different: it is another value.
	Different
)

// String returns the outcome in words.
func (o Outcome) String() string {
	switch o {
	case Same:
		return "same"
	case Different:
		return "different"
	default:
		return "not comparable"
	}
}

// Compare tells whether v is the value that recorded was made of, in time that
// does not depend on where they differ. No key, an empty recorded and one of
// another key are [NotComparable] without an error. Errors are those of
// [Key.Sum], and a recorded text that is damaged.
func (k Key) Compare(recorded string, location addr.Location, field string, v secret.Value) (Outcome, error) {
	if k.IsZero() || recorded == "" {
		return NotComparable, nil
	}
	id, encoded, _ := strings.Cut(recorded, ":")
	want, ok := decode(encoded)
	if !ok || len(id) != 2*idSize || len(want) != sha256.Size {
		return NotComparable, errors.New("fingerprint: the recorded one is damaged: want KEY-ID:BASE64")
	}
	if id != k.id {
		return NotComparable, nil
	}
	have, err := k.sum(location, field, v)
	if err != nil {
		return NotComparable, fmt.Errorf("fingerprint: %w", err)
	}
	if hmac.Equal(have, want) {
		return Same, nil
	}
	return Different, nil
}

func (k Key) printed() string {
	if k.IsZero() {
		return "fingerprint key (none)"
	}
	return "fingerprint key " + k.id + " " + secret.Redacted
}

// Format implements [fmt.Formatter] for every verb.
func (k Key) Format(s fmt.State, _ rune) { _, _ = io.WriteString(s, k.printed()) }

// LogValue implements [slog.LogValuer].
func (k Key) LogValue() slog.Value { return slog.StringValue(k.printed()) }

// MarshalJSON always fails with [secret.ErrEncode].
func (k Key) MarshalJSON() ([]byte, error) { return nil, secret.ErrEncode }

// MarshalText always fails with [secret.ErrEncode].
func (k Key) MarshalText() ([]byte, error) { return nil, secret.ErrEncode }

// MarshalBinary always fails with [secret.ErrEncode].
func (k Key) MarshalBinary() ([]byte, error) { return nil, secret.ErrEncode }

// GobEncode always fails with [secret.ErrEncode].
func (k Key) GobEncode() ([]byte, error) { return nil, secret.ErrEncode }
