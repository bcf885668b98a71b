package sops

import (
	"strings"

	"github.com/cofferhq/coffer/providers"
	"github.com/cofferhq/coffer/providers/secret"
)

// Formats that [Decrypt] reads.
const (
	FormatYAML   = "yaml"
	FormatJSON   = "json"
	FormatDotenv = "dotenv"
)

// FormatOf returns the format of a file by its name, as the sops tool does;
// a file of any other name is binary to sops, which is JSON with the key data.
func FormatOf(name string) string {
	switch {
	case strings.HasSuffix(name, ".yaml"), strings.HasSuffix(name, ".yml"):
		return FormatYAML
	case strings.HasSuffix(name, ".env"):
		return FormatDotenv
	}
	return FormatJSON
}

// Decrypt returns one value of a SOPS file that no provider manages. key names
// it by the keys from the top with dots between; a key that holds dots itself
// is found too. Errors have the codes of [Driver.Read].
func Decrypt(data []byte, format, key string, getenv func(string) string) (secret.Value, error) {
	f := formatYAML // JSON is YAML in flow style
	if format == FormatDotenv {
		f = formatDotenv
	}
	parsed, err := decode(f, data)
	if err != nil {
		return secret.Value{}, invalid("%w", err)
	}
	at, found := -1, 0
	for i, l := range parsed.leaves {
		if !l.comment && (strings.Join(l.path, ".") == key) {
			at = i
			found++
		}
	}
	switch {
	case found == 0:
		return secret.Value{}, providers.Errorf(providers.NotFound, "the file has no value at %q", key)
	case found > 1:
		return secret.Value{}, invalid("the file has more than one value at %q", key)
	}
	dk, err := dataKey(parsed, "the file", getenv)
	if err != nil {
		return secret.Value{}, err
	}
	o, err := parsed.decrypt(dk)
	if err == nil {
		err = parsed.verify(dk, o)
	}
	if err != nil {
		return secret.Value{}, invalid("%w", err)
	}
	v, err := o.plains[at].value("")
	if err != nil {
		return secret.Value{}, invalid("%q: %w", key, err)
	}
	return v, nil
}
