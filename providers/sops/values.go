package sops

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/cofferhq/coffer/providers/secret"
)

// written is a value as it stands in a file: the suffix of its key and text.
type written struct {
	suffix string
	text   []byte
}

// encode returns how a single value is written: text as it is, anything else
// in base64 under a key with a suffix.
func encode(f format, v secret.Value) (written, error) {
	var w written
	err := v.Expose(func(plaintext []byte) error {
		if utf8.Valid(plaintext) && bytes.IndexByte(plaintext, 0) < 0 {
			w.text = slices.Clone(plaintext)
			return nil
		}
		if f == formatDotenv {
			return errors.New("the value is binary, which no environment variable can hold; use base64encode()")
		}
		w.suffix = base64Suffix
		w.text = []byte(base64.StdEncoding.EncodeToString(plaintext))
		return nil
	})
	return w, err
}

// field is one named value of a secret in a file: the field's name and what
// is written.
func encodeFields(f format, v secret.Value) (map[string]written, error) {
	fields := map[string]written{}
	for _, name := range v.Names() {
		if err := checkField(f, name); err != nil {
			return nil, err
		}
		value, _ := v.Field(name)
		if value.IsObject() {
			return nil, invalid("the field %.80q has fields of its own", name)
		}
		w, err := encode(f, value)
		if err != nil {
			return nil, invalid("the field %.80q: %w", name, err)
		}
		fields[name] = w
	}
	return fields, nil
}

// fieldName takes the suffix of a binary value off a key of a file.
func fieldName(f format, key string) (name, suffix string) {
	if f == formatYAML {
		if name, found := strings.CutSuffix(key, base64Suffix); found && name != "" {
			return name, base64Suffix
		}
	}
	return key, ""
}

// findNamed returns the entry for a name, with or without the suffix; both at
// once are an error.
func findNamed(f format, find func(key string) *entry, name string) (*entry, error) {
	e := find(name)
	if f == formatDotenv {
		return e, nil
	}
	b := find(name + base64Suffix)
	if e != nil && b != nil {
		return nil, invalid("the file has both %s and %s; remove one with `sops unset`", name, b.key)
	}
	if b != nil {
		return b, nil
	}
	return e, nil
}

// child finds an entry of a map by its key.
func (e *entry) child(key string) *entry { return find(e.children, key) }

// value turns decrypted text back into what was written.
func (p plain) value(suffix string) (secret.Value, error) {
	if p.kind == "" {
		return secret.Value{}, errors.New("it has no value (null)")
	}
	if suffix == "" {
		return secret.New(p.shown()), nil
	}
	decoded, err := base64.StdEncoding.DecodeString(string(p.text))
	if err != nil {
		return secret.Value{}, fmt.Errorf("its key ends in %s and its value is not base64", base64Suffix)
	}
	return secret.New(decoded), nil
}
