package providers

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// DefaultPath returns the path of a thing whose block has none; without a
// [Placer] it is app/environment/name.
func (p *Provider) DefaultPath(at Place) (string, error) {
	if p.powers.Placer != nil {
		return p.powers.Placer.DefaultPath(at)
	}
	return strings.Join([]string{at.App, at.Environment, at.Name}, "/"), nil
}

// CheckPath returns why a path from the configuration cannot be used. What no
// platform can use is refused without asking the driver: an empty path, one
// that is not UTF-8, one with control characters, and one whose parts are
// empty, "." or "..", since those would name something else's place.
func (p *Provider) CheckPath(kind, path string) error {
	if err := checkPath(path); err != nil {
		return err
	}
	if p.powers.Placer != nil {
		return p.powers.Placer.CheckPath(kind, path)
	}
	return nil
}

func checkPath(path string) error {
	if path == "" {
		return Errorf(Invalid, "the path is empty")
	}
	if !utf8.ValidString(path) || strings.ContainsFunc(path, unicode.IsControl) {
		return Errorf(Invalid, "the path %q holds control characters or is not UTF-8", path)
	}
	for part := range strings.SplitSeq(path, "/") {
		if part == "" || part == "." || part == ".." {
			return Errorf(Invalid, "the path %q has the part %q", path, part)
		}
	}
	return nil
}

// Readers returns the names of the reader functions of the platform, none
// where it compiles no access.
func (p *Provider) Readers() []string {
	if p.powers.AccessCompiler == nil {
		return nil
	}
	return p.powers.AccessCompiler.Readers()
}

// CompileAccess returns the objects that the managed secrets and grants need.
// It is pure. An error is an [*AccessError].
func (p *Provider) CompileAccess(managed []Managed, grants []Grant) ([]ObjectSpec, error) {
	if p.powers.AccessCompiler != nil {
		return p.powers.AccessCompiler.CompileAccess(managed, grants)
	}
	if len(grants) > 0 {
		return nil, &AccessError{Grant: 0, Err: Errorf(Unsupported, "provider %s grants no access", p.ref)}
	}
	return nil, nil
}
