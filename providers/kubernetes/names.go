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
	namespace, name, _ = strings.Cut(path, "/")
	return namespace, name
}

// check says why a path cannot be that of a Secret here.
func (d *Driver) check(path string) error {
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
	case d.namespace != "" && namespace != d.namespace:
		return invalid("is outside the namespace " + d.namespace + " of the provider").
			WithHint("leave namespace out of the provider block, and write NAMESPACE/NAME")
	}
	return nil
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
