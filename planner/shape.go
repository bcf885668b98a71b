package planner

import (
	"fmt"
	"slices"

	"github.com/cofferhq/coffer/lang"
	"github.com/cofferhq/coffer/lang/addr"
	"github.com/cofferhq/coffer/providers/secret"
	"github.com/cofferhq/coffer/state"
)

// This file is the one place that knows how `key` makes a single value look on
// a store. Everywhere else a single value is one: what is read is opened, what
// is written is sealed.

// sealedKey returns the field that a single value is kept as. Where the key is
// part of the path, or none is written, the platform knows by itself.
func sealedKey(store *Store, s *lang.Secret) string {
	if !s.Single || store.Capabilities().KeyInPath {
		return ""
	}
	return s.Key
}

// seal gives a value the form that it has on r's store.
func (r *Resource) seal(v secret.Value) secret.Value {
	if r.Key == "" || v.IsObject() {
		return v
	}
	return secret.Object(map[string]secret.Value{r.Key: v})
}

// Open takes a value out of the form in which r's store keeps it. e is what the
// state has there, nil for nothing: it knows the key that was written.
func (r *Resource) Open(e *state.Entry, v secret.Value) (secret.Value, error) {
	return open(v, r.Address, keysOf(r, e)...)
}

// open takes a single value out of the first of the keys that it has. A value
// without fields is one already.
func open(v secret.Value, a addr.Address, keys ...string) (secret.Value, error) {
	if !v.IsObject() || len(keys) == 0 {
		return v, nil
	}
	for _, key := range keys {
		if field, ok := v.Field(key); ok {
			return field, nil
		}
	}
	return secret.Value{}, fmt.Errorf("%s has no field %q on its store", a, keys[0])
}

// keysOf returns the keys that a value may lie under, the likeliest first: the
// one that was written, then the one that is wanted.
func keysOf(r *Resource, e *state.Entry) []string {
	var keys []string
	if e != nil && e.Key != "" {
		keys = append(keys, e.Key)
	}
	if r != nil && r.Key != "" && !slices.Contains(keys, r.Key) {
		keys = append(keys, r.Key)
	}
	return keys
}

// openFields takes the names of fields that are seen on a store for those of
// the value: the one that stands for a single value is "".
func openFields(names []string, keys ...string) []string {
	for _, key := range keys {
		if slices.Contains(names, key) {
			return []string{""}
		}
	}
	return names
}
