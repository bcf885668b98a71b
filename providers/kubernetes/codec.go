package kubernetes

import (
	"bytes"
	"maps"
	"slices"

	"github.com/cofferhq/coffer/providers"
	"github.com/cofferhq/coffer/providers/secret"
)

// keyValue is where a single value is kept. Programs depend on it: it never
// changes.
const keyValue = "value"

// Data returns the data of a Secret that holds v. It is plaintext. Errors are
// [providers.Invalid].
func Data(v secret.Value) (map[string][]byte, error) {
	data := map[string][]byte{}
	take := func(key string, v secret.Value) error {
		return v.Expose(func(plain []byte) error {
			data[key] = bytes.Clone(plain)
			return nil
		})
	}
	if !v.IsObject() {
		return data, take(keyValue, v)
	}
	for _, name := range v.Names() {
		if err := checkKey(name); err != nil {
			return nil, err
		}
		field, _ := v.Field(name)
		if err := take(name, field); err != nil {
			return nil, providers.Errorf(providers.Invalid, "the field %.80q is not a single value", name)
		}
	}
	return data, nil
}

// Value is the reverse of [Data], for what others wrote too.
func Value(data map[string][]byte) secret.Value {
	if plain, ok := data[keyValue]; ok && len(data) == 1 {
		return secret.New(plain)
	}
	fields := make(map[string]secret.Value, len(data))
	for key, plain := range data {
		fields[key] = secret.New(plain)
	}
	return secret.Object(fields)
}

// Fields returns the names of the fields that [Value] gives.
func Fields(keys []string) []string {
	if len(keys) == 1 && keys[0] == keyValue {
		return []string{""}
	}
	return append([]string{}, keys...)
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
