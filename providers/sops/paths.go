package sops

import (
	"strings"

	"github.com/cofferhq/coffer/lang/addr"
	"github.com/cofferhq/coffer/providers"
)

// KindRecipients is the kind of the one object of this platform: who can open
// a file. Its path is the file's, below the provider's path.
const KindRecipients = "recipients"

const (
	yamlSuffix   = ".yaml"
	dotenvSuffix = ".env"
	base64Suffix = "_base64"
)

// place is where a path leads.
type place struct {
	file string // below the provider's folder, with slashes
	key  string // of a YAML file; "" for a dotenv file, which is one secret
}

func (p place) format() format { return formatOf(p.file) }

func formatOf(file string) format {
	if strings.HasSuffix(file, dotenvSuffix) {
		return formatDotenv
	}
	return formatYAML
}

// Checked without regular expressions, which are compiled at every start.

// isPart reports whether s may be one part of a path: letters, digits and _,
// behind the first also . @ + and -, at most 128 bytes.
func isPart(s string) bool {
	return 0 < len(s) && len(s) <= 128 && wordByte(s[0]) && all(s, func(c byte) bool { return wordByte(c) || strings.IndexByte(".@+-", c) >= 0 })
}

// isVariable reports whether s may be the name of an environment variable.
func isVariable(s string) bool {
	return 0 < len(s) && len(s) <= 255 && (s[0] < '0' || s[0] > '9') && all(s, wordByte)
}

func wordByte(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '_'
}

func all(s string, ok func(byte) bool) bool {
	for i := range len(s) {
		if !ok(s[i]) {
			return false
		}
	}
	return true
}

func invalid(format string, args ...any) *providers.Error {
	return providers.Errorf(providers.Invalid, format, args...)
}

// locate returns where a secret's path leads. It refuses every path that could
// leave the folder or mean two places.
func locate(path string) (place, error) {
	parts := strings.Split(path, "/")
	for _, part := range parts {
		if !isPart(part) {
			return place{}, invalid("path %q: every part between slashes is 1 to 128 of A-Z a-z 0-9 . _ @ + - and starts with a letter, a digit or _", path)
		}
	}
	if strings.HasSuffix(path, dotenvSuffix) {
		return place{file: path}, nil
	}
	last := len(parts) - 1
	if last == 0 {
		return place{}, invalid("path %q: want FILE/KEY, such as production/checkout/db for the key db of production/checkout.yaml", path)
	}
	p := place{strings.Join(parts[:last], "/") + yamlSuffix, parts[last]}
	if strings.HasSuffix(parts[last-1], dotenvSuffix) || strings.HasSuffix(parts[last-1], yamlSuffix) {
		return place{}, invalid("path %q: leave out the ending %s or %s of the file", path, yamlSuffix, dotenvSuffix)
	}
	return p, checkKey(path, p.key)
}

func checkKey(path, key string) error {
	switch {
	case key == metadataKey:
		return invalid("path %q: the key %q is where sops keeps its metadata; give the secret another `path`", path, metadataKey)
	case strings.HasSuffix(key, base64Suffix):
		return invalid("path %q: a key ending in %s is how a binary value is written; give the secret another `path`", path, base64Suffix)
	case strings.HasSuffix(key, defaultUnencryptedSuffix):
		return invalid("path %q: sops leaves a key ending in %s in clear; give the secret another `path`", path, defaultUnencryptedSuffix)
	case strings.HasSuffix(key, yamlSuffix):
		return invalid("path %q: a key ending in %s looks like a file; give the secret another `path`", path, yamlSuffix)
	}
	return nil
}

// checkField says why a field cannot have a name.
func checkField(f format, name string) error {
	if f == formatDotenv {
		if !isVariable(name) {
			return invalid("%.80q cannot be the name of an environment variable: want A-Z a-z 0-9 and _, no digit first", name)
		}
		if strings.HasPrefix(name, dotenvPrefix) {
			return invalid("the variable %.80q would be taken for metadata of sops, which starts with %s", name, dotenvPrefix)
		}
		return nil
	}
	if !isPart(name) {
		return invalid("the field %.80q: want 1 to 128 of A-Z a-z 0-9 . _ @ + -, a letter, a digit or _ first", name)
	}
	for _, suffix := range []string{base64Suffix, defaultUnencryptedSuffix} {
		if strings.HasSuffix(name, suffix) {
			return invalid("the field %.80q: the ending %s has a meaning of its own in a sops file; name it otherwise", name, suffix)
		}
	}
	return nil
}

// locateFile checks the path of a file.
func locateFile(path string) error {
	for part := range strings.SplitSeq(path, "/") {
		if !isPart(part) {
			return invalid("file %q: every part between slashes is 1 to 128 of A-Z a-z 0-9 . _ @ + - and starts with a letter, a digit or _", path)
		}
	}
	if !strings.HasSuffix(path, yamlSuffix) && !strings.HasSuffix(path, dotenvSuffix) {
		return invalid("file %q: want a name ending in %s or %s", path, yamlSuffix, dotenvSuffix)
	}
	return nil
}

// Container returns the file that a path lies in, "" for a path that leads
// nowhere.
func (d *Driver) Container(kind, path string) string {
	if kind == KindRecipients {
		if locateFile(path) != nil {
			return ""
		}
		return path
	}
	p, err := locate(path)
	if err != nil {
		return ""
	}
	return p.file
}

// DefaultPath returns ENVIRONMENT/APP/SECRET, which is the key SECRET of the
// file ENVIRONMENT/APP.yaml, and ENVIRONMENT/APP-NAME.env for an env_file. A
// renamed key of a single value stands in the place of SECRET.
func (d *Driver) DefaultPath(p providers.Place) (string, error) {
	name := p.Name
	if p.Key != "" {
		name = p.Key
	}
	path := p.Environment + "/" + p.App + "/" + name
	if p.Kind == addr.KindEnvFile {
		path = p.Environment + "/" + p.App + "-" + p.Name + dotenvSuffix
	}
	return d.Resolve(p.Kind, path)
}

// Resolve returns the path as it is written, or an error of code Invalid for
// one that this platform cannot have.
func (d *Driver) Resolve(kind, written string) (string, error) {
	if kind == KindRecipients {
		return written, locateFile(written)
	}
	if kind == addr.KindEnvFile && !strings.HasSuffix(written, dotenvSuffix) {
		return written, invalid("path %q: the path of an env_file ends in %s", written, dotenvSuffix)
	}
	_, err := locate(written)
	return written, err
}

// Written returns the path as it is.
func (d *Driver) Written(path string) string { return path }
