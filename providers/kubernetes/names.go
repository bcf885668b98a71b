package kubernetes

import (
	"strings"

	"github.com/cofferhq/coffer/providers"
)

// How long names may be.
const (
	longestLabel = 63  // of a namespace, and of the value of a label
	longestName  = 253 // of a Secret, of a key of data, of the prefix of a label
)

// sealedPrefix begins the path of a SealedSecret; see docs/adr/0011.
const sealedPrefix = "sealedsecrets/"

// split takes a path apart that [Driver.check] accepts.
func split(path string) (namespace, name string) {
	path, _ = cutSealed(path)
	namespace, name, _ = strings.Cut(path, "/")
	return namespace, name
}

// cutSealed returns NAMESPACE/NAME, and whether the path is that of a SealedSecret.
// A namespace may be called like the prefix.
func cutSealed(path string) (string, bool) {
	if rest, ok := strings.CutPrefix(path, sealedPrefix); ok && strings.Contains(rest, "/") {
		return rest, true
	}
	return path, false
}

// check says why a path cannot be that of a Secret or a SealedSecret here.
func (d *Driver) check(path string) error {
	plain, _ := cutSealed(path)
	return Naming{d.namespace}.Check(plain)
}

// Naming says where Secrets lie, of a cluster or in a file: in the Namespace of
// the provider block, or where that is "" in any.
type Naming struct{ Namespace string }

// Check says why NAMESPACE/NAME cannot be that of a Secret. Errors are
// [providers.Invalid].
func (n Naming) Check(path string) error {
	namespace, name, ok := strings.Cut(path, "/")
	invalid := func(why string) *providers.Error {
		return providers.Errorf(providers.Invalid, "the path %.200q %s", path, why)
	}
	switch {
	case !ok:
		return invalid("has no namespace").WithHint("write NAMESPACE/NAME, or a namespace into the provider block")
	case !isLabel(namespace):
		return invalid("starts with what is no name of a namespace").
			WithHint("that is at most 63 lower-case letters, digits and '-', with a letter or digit at both ends")
	case !isSubdomain(name):
		return invalid("ends with what is no name of a Secret").
			WithHint("that is at most 253 lower-case letters, digits, '-' and '.', with a letter or digit at both ends of each part")
	case n.Namespace != "" && namespace != n.Namespace:
		return invalid("is outside the namespace " + n.Namespace + " of the provider").
			WithHint("leave namespace out of the provider block, and write NAMESPACE/NAME")
	}
	return nil
}

// Default returns the NAMESPACE/NAME of a thing whose block says none:
// APP-ENVIRONMENT/APP-NAME, or where there is a Namespace
// NAMESPACE/APP-ENVIRONMENT-NAME.
func (n Naming) Default(p providers.Place) (string, error) {
	namespace, name := p.App+"-"+p.Environment, p.App+"-"+p.Name
	if n.Namespace != "" {
		namespace, name = n.Namespace, p.App+"-"+p.Environment+"-"+p.Name
	}
	path := strings.ReplaceAll(namespace+"/"+name, "_", "-")
	return path, n.Check(path)
}

// Resolve returns the NAMESPACE/NAME of what a block writes: that, or NAME.
func (n Naming) Resolve(written string) (string, error) {
	path := written
	if !strings.Contains(written, "/") {
		if n.Namespace == "" {
			return "", providers.Errorf(providers.Invalid, "the path %.200q has no namespace", written).
				WithHint("write NAMESPACE/NAME, or a namespace into the provider block")
		}
		path = n.Namespace + "/" + written
	}
	return path, n.Check(path)
}

// Written is the inverse of Resolve.
func (n Naming) Written(path string) string {
	if n.Namespace == "" {
		return path
	}
	return strings.TrimPrefix(path, n.Namespace+"/")
}

// isLabel reports whether s is a label of RFC 1123.
func isLabel(s string) bool { return len(s) <= longestLabel && isPart(s) }

// isSubdomain reports whether s is what Kubernetes calls a subdomain of RFC
// 1123: its parts may be longer than those of a host.
func isSubdomain(s string) bool {
	if len(s) > longestName {
		return false
	}
	for part := range strings.SplitSeq(s, ".") {
		if !isPart(part) {
			return false
		}
	}
	return true
}

func isPart(s string) bool {
	if s == "" || s[0] == '-' || s[len(s)-1] == '-' {
		return false
	}
	return !strings.ContainsFunc(s, func(r rune) bool { return !isDigit(r) && (r < 'a' || r > 'z') && r != '-' })
}

func isDigit(r rune) bool { return r >= '0' && r <= '9' }

func isAlphanumeric(r rune) bool {
	return isDigit(r) || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z'
}

// isWord reports whether s is made of letters, digits, '-', '_' and '.'.
func isWord(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return !isAlphanumeric(r) && r != '-' && r != '_' && r != '.' })
}

// checkKey says why a field cannot be a key of data.
func checkKey(name string) error {
	if name == "" || len(name) > longestName || !isWord(name) || name == "." || strings.HasPrefix(name, "..") {
		return providers.Errorf(providers.Invalid, "the field %.80q cannot be a key of a Secret", name).
			WithHint("that is at most 253 letters, digits, '-', '_' and '.'")
	}
	return nil
}

// isLabelValue reports whether s can be the value of a label.
func isLabelValue(s string) bool {
	return s == "" || len(s) <= longestLabel && isWord(s) && isAlphanumeric(rune(s[0])) && isAlphanumeric(rune(s[len(s)-1]))
}

// isLabelName reports whether s can be the name of a label: PREFIX/NAME or NAME.
func isLabelName(s string) bool {
	prefix, name, prefixed := strings.Cut(s, "/")
	if !prefixed {
		return s != "" && isLabelValue(s)
	}
	return isSubdomain(prefix) && name != "" && isLabelValue(name)
}
