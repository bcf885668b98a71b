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

// Resolve returns the path of what the configuration writes, or why it cannot
// be used. What no platform can use is refused without asking the driver: an
// empty path, one that is not UTF-8, one with control characters, and one whose
// parts are empty, "." or "..", since those would name something else's place.
func (p *Provider) Resolve(kind, written string) (string, error) {
	if err := checkPath(written); err != nil {
		return "", err
	}
	if p.powers.Placer != nil {
		return p.powers.Placer.Resolve(kind, written)
	}
	return written, nil
}

// Written returns a path as the configuration writes it: without the
// provider's prefix.
func (p *Provider) Written(path string) string {
	if p.powers.Placer != nil {
		return p.powers.Placer.Written(path)
	}
	return path
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

// Declares lists what can be declared on the platform, as KIND or KIND.TYPE.
func (p *Provider) Declares() []string {
	if p.powers.Declarer == nil {
		return nil
	}
	return p.powers.Declarer.Declares()
}

// CompileDeclaration returns the objects of a declaration, the declared one
// first. It is pure. An error is an [*ArgumentError].
func (p *Provider) CompileDeclaration(d Declaration) ([]ObjectSpec, error) {
	if p.powers.Declarer == nil {
		return nil, &ArgumentError{Err: Errorf(Unsupported, "provider %s has no %s blocks", p.ref, d.Kind)}
	}
	return p.powers.Declarer.CompileDeclaration(d)
}

// DeclaredAt returns where a block of these labels has its object when it says
// no other place, the zero reference where the platform has no such blocks.
func (p *Provider) DeclaredAt(kind, typ, name string) ObjectRef {
	if p.powers.Declarer == nil {
		return ObjectRef{}
	}
	return p.powers.Declarer.DeclaredAt(kind, typ, name)
}

// NextVersion returns the version that a write makes from base, "" where the
// platform does not tell before the write.
func (p *Provider) NextVersion(base string) string {
	if p.powers.Predictor == nil {
		return ""
	}
	return p.powers.Predictor.NextVersion(base)
}

// Permissions returns the least permissions for what req names, and the same
// as a document in the platform's native form; ok is false where the platform
// has none to give (files).
func (p *Provider) Permissions(req PermissionRequest) (list []Permission, document string, ok bool) {
	if p.powers.Permitter == nil {
		return nil, "", false
	}
	list = p.powers.Permitter.Permissions(req)
	return list, p.powers.Permitter.PermissionDocument(req, list), true
}
