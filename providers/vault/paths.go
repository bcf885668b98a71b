package vault

import (
	"path"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/cofferhq/coffer/providers"
	"github.com/cofferhq/coffer/providers/vault/acl"
)

// kindSecret is the kind of [providers.Place] that has a path in the mount.
const kindSecret = "secret"

// longestPath bounds a path below the mount. Servers keep it encrypted as the
// name of a file or of a key, which is longer.
const longestPath = 1024

// checkPath says why a path cannot be written in a configuration: what
// [checkLivePath] refuses, and what a policy cannot name without meaning more.
func checkPath(p string) error {
	if err := checkLivePath(p); err != nil {
		return err
	}
	if !acl.Literal(p) {
		return wrongPath(p, "would be a pattern in a policy, which then gives more: it ends in *, or holds +*, {{, }}, ${ or a part that is +")
	}
	return nil
}

func wrongPath(p, why string) error {
	return providers.Errorf(providers.Invalid, "the path %.200q %s", p, why)
}

// checkLivePath says why a path cannot be that of a secret. What the server or
// a proxy before it would clean or decode is refused, because it would name
// another secret.
func checkLivePath(p string) error {
	invalid := func(why string) error { return wrongPath(p, why) }
	switch {
	case p == "":
		return providers.Errorf(providers.Invalid, "the path is empty")
	case len(p) > longestPath:
		return invalid("is too long")
	case !printable(p):
		return invalid("holds what cannot be printed, or is not UTF-8")
	}
	for part := range strings.SplitSeq(p, "/") {
		switch {
		case part == "" || part == "." || part == "..":
			return invalid("has an empty part, \".\" or \"..\"")
		case strings.Contains(part, ".."):
			return invalid("holds \"..\", which the server refuses")
		case strings.TrimSpace(part) != part:
			return invalid("has a part with spaces around it")
		}
	}
	return nil
}

// DefaultPath implements [providers.Placer]: PREFIX/APP/ENVIRONMENT/NAME.
func (d *Driver) DefaultPath(p providers.Place) (string, error) {
	if p.Kind != "" && p.Kind != kindSecret {
		return "", providers.Errorf(providers.Invalid, "a vault provider keeps no %s", p.Kind).
			WithHint("use a sops provider for files")
	}
	return d.Resolve(kindSecret, strings.Join([]string{p.App, p.Environment, p.Name}, "/"))
}

// Resolve implements [providers.Placer]. The paths of objects are names of
// their own and have no prefix.
func (d *Driver) Resolve(kind, written string) (string, error) {
	if kind != "" && kind != kindSecret {
		return written, nil
	}
	if err := checkPath(written); err != nil {
		return "", err
	}
	full := path.Join(d.config.Prefix, written)
	return full, checkPath(full)
}

// Written implements [providers.Placer].
func (d *Driver) Written(p string) string {
	if d.config.Prefix == "" {
		return p
	}
	return strings.TrimPrefix(p, d.config.Prefix+"/")
}

// api returns the path of the API for a secret: secret/metadata/shop/db.
func (d *Driver) api(part, p string) string {
	return strings.TrimSuffix(d.config.Mount+"/"+part+"/"+p, "/")
}

// within reports whether a path lies below the prefix; nothing else is touched.
func (d *Driver) within(p string) error {
	if err := checkLivePath(p); err != nil {
		return err
	}
	if d.config.Prefix != "" && !strings.HasPrefix(p, d.config.Prefix+"/") {
		return providers.Errorf(providers.Invalid, "the path %.200q is not below the prefix %q of the provider", p, d.config.Prefix).
			WithHint("where the prefix was changed: take it out, give each secret the path that it is to have (`path = \"%s/…\"`), apply until the plan is empty, then set the prefix and take the paths out", d.config.Prefix)
	}
	return nil
}

// printable is how the servers check names and custom metadata.
func printable(s string) bool {
	return utf8.ValidString(s) && !strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) })
}
