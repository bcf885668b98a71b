package kubernetes

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"github.com/cofferhq/coffer/lang/addr"
	"github.com/cofferhq/coffer/providers"
	"github.com/cofferhq/coffer/providers/kubernetes/sealing"
)

// This file is about what a Secret has beside value, labels and description. The
// API server keeps type and immutable outside of the metadata, which is all that a
// plan asks for. So both are in annotations of ours too, and metadata.managedFields
// tells of a Secret that somebody else made immutable.

var _ providers.FormDriver = (*Driver)(nil)

const (
	keyType        = prefix + "type"
	keyImmutable   = prefix + "immutable"
	keyAnnotations = prefix + "annotations" // which are of the configuration, as keyLabels
)

// opaque is the type of a Secret that has none.
const opaque = "Opaque"

// applied is where kubectl keeps the whole of what it applied, values too.
const applied = "kubectl.kubernetes.io/last-applied-configuration"

// longestAnnotations is for those of a configuration, names and values together:
// the API server takes 256 KiB, and others need some of that.
const longestAnnotations = 192 << 10

// demand is what the API server wants of the keys of a type.
type demand struct {
	typ    string
	all    []string // each
	either []string // one at least
}

func demands() []demand {
	return []demand{
		{typ: "kubernetes.io/tls", all: []string{"tls.crt", "tls.key"}},
		{typ: "kubernetes.io/dockerconfigjson", all: []string{".dockerconfigjson"}},
		{typ: "kubernetes.io/dockercfg", all: []string{".dockercfg"}},
		{typ: "kubernetes.io/basic-auth", either: []string{"username", "password"}},
		{typ: "kubernetes.io/ssh-auth", all: []string{"ssh-privatekey"}},
	}
}

// NormalForm implements [providers.FormDriver].
func (d *Driver) NormalForm(f providers.Form) providers.Form { return NormalForm(f) }

// NormalForm leaves out the type and the scope that are the standard ones.
func NormalForm(f providers.Form) providers.Form {
	if f.Type == opaque {
		f.Type = ""
	}
	if f.Scope == string(sealing.Strict) {
		f.Scope = ""
	}
	return f
}

// CheckForm implements [providers.FormDriver].
func (d *Driver) CheckForm(kind string, f providers.Form, fields []string) error {
	return CheckForm(kind, f, fields)
}

// CheckForm says why a Secret, of a cluster or in a file, cannot have a form with
// these fields. Errors are [providers.Invalid] or [providers.Unsupported].
func CheckForm(kind string, f providers.Form, fields []string) error {
	switch kind {
	case "", addr.KindSecret, addr.KindKubernetesSecret, addr.KindExternalSecret:
		if f.Scope != "" {
			return providers.Errorf(providers.Invalid, "scope is for a sealed_secret").WithHint("take it out, or write a sealed_secret: it has the same body")
		}
	case addr.KindSealedSecret:
		if f.Scope != "" && !slices.Contains(sealing.Scopes(), sealing.Scope(f.Scope)) {
			return providers.Errorf(providers.Invalid, "there is no scope %.80q", f.Scope).WithHint("it is strict, namespace-wide or cluster-wide")
		}
	default:
		return providers.Errorf(providers.Unsupported, "Kubernetes keeps no %s", kind).WithHint("write a kubernetes_secret")
	}
	if err := checkType(f.Type, fields); err != nil {
		return err
	}
	return checkAnnotations(f.Annotations)
}

func checkType(typ string, fields []string) error {
	keys := make([]string, 0, len(fields))
	for _, field := range fields {
		key := cmp.Or(field, keyValue)
		if err := checkKey(key); err != nil {
			return err
		}
		keys = append(keys, key)
	}
	domain, name, _ := strings.Cut(typ, "/")
	switch {
	case typ == "" || typ == opaque:
		return nil
	case typ == "kubernetes.io/service-account-token":
		return providers.Errorf(providers.Unsupported, "the API server makes the values of a Secret of the type %s itself", typ).
			WithHint("let a pod mount a token of its service account; it is short-lived, and nobody has to keep it")
	case !isSubdomain(domain) || name == "" || !isWord(strings.ReplaceAll(name, "/", "")):
		return providers.Errorf(providers.Invalid, "%.80q is no type of a Secret", typ).WithHint("it is %s, or DOMAIN/NAME such as kubernetes.io/tls", opaque)
	}
	for _, want := range demands() {
		if want.typ != typ {
			continue
		}
		for _, key := range want.all {
			if !slices.Contains(keys, key) {
				return providers.Errorf(providers.Invalid, "a Secret of the type %s needs the key %s", typ, key).
					WithHint("it has to have %s", strings.Join(want.all, " and "))
			}
		}
		if len(want.either) > 0 && !slices.ContainsFunc(want.either, func(key string) bool { return slices.Contains(keys, key) }) {
			return providers.Errorf(providers.Invalid, "a Secret of the type %s needs %s", typ, strings.Join(want.either, " or "))
		}
	}
	return nil
}

func checkAnnotations(annotations map[string]string) error {
	size := 0
	for _, name := range sortedKeys(annotations) {
		size += len(name) + len(annotations[name])
		switch {
		case strings.HasPrefix(name, prefix):
			return providers.Errorf(providers.Invalid, "the annotation %.80q starts like those of Coffer", name)
		case name == applied:
			return providers.Errorf(providers.Invalid, "the annotation %s is kubectl's own", name)
		case strings.HasPrefix(name, sealedAnnotations):
			return providers.Errorf(providers.Invalid, "the annotation %.80q is the controller's own", name).WithHint("write scope = \"…\" into a sealed_secret")
		case !isLabelName(name):
			return providers.Errorf(providers.Invalid, "%.80q cannot be the name of an annotation", name).
				WithHint("that is at most 63 letters, digits, '-', '_' and '.', with a domain and '/' in front where wanted")
		}
	}
	if size > longestAnnotations {
		return providers.Errorf(providers.Invalid, "the annotations have %d bytes, and a Secret has room for %d", size, longestAnnotations)
	}
	return nil
}

// annotate adds what says of a form to annotations.
func annotate(annotations map[string]string, f providers.Form) error {
	if err := checkAnnotations(f.Annotations); err != nil {
		return err
	}
	maps.Copy(annotations, f.Annotations)
	if list := strings.Join(sortedKeys(f.Annotations), ","); list != "" {
		annotations[keyAnnotations] = list
	}
	if f.Type != "" {
		annotations[keyType] = f.Type
	}
	if f.Immutable {
		annotations[keyImmutable] = "true"
	}
	return nil
}

// listedAnnotations returns the annotations that are of the configuration, as ours
// say. Whoever can write them can write the list too: what kubectl keeps, with
// values in it, is never among them.
func listedAnnotations(list string) []string {
	return slices.DeleteFunc(strings.Split(list, ","), func(n string) bool {
		return n == "" || n == applied || strings.HasPrefix(n, prefix)
	})
}

// formOf reads back what annotate wrote.
func formOf(annotations map[string]string) providers.Form {
	f := providers.Form{Type: annotations[keyType], Immutable: annotations[keyImmutable] == "true"}
	for _, name := range listedAnnotations(annotations[keyAnnotations]) {
		if v, ok := annotations[name]; ok {
			if f.Annotations == nil {
				f.Annotations = map[string]string{}
			}
			f.Annotations[name] = v
		}
	}
	return NormalForm(f)
}

// immutable reports whether nobody can change the value any more. Nobody but who
// makes a Secret immutable has a reason to write that field, and it cannot be taken
// back.
func (m *metadata) immutable() bool {
	return m.Annotations[keyImmutable] == "true" || slices.ContainsFunc(m.ManagedFields, func(e managed) bool { return e.Fields.Immutable != nil })
}

// reform returns the type and the immutability that a change has to write so that
// m gets the form f, or why it cannot get it.
func (m *metadata) reform(a providers.Attributes) (typ string, immutable bool, err error) {
	had, want := m.Annotations[keyType], cmp.Or(a.Form.Type, opaque)
	switch {
	case a.Mark.Project == "": // let go of: it stays as it is
		return "", false, nil
	case had != "" && had != want && cmp.Or(had, opaque) != want:
		return "", false, otherType(m.Name, want)
	case m.immutable() && !a.Form.Immutable:
		return "", false, immutableForGood(m.Namespace, m.Name)
	}
	if had == "" && want != opaque { // the API server knows the live one
		typ = want
	}
	return typ, a.Form.Immutable && !m.immutable(), nil
}

func otherType(name, want string) *providers.Error {
	return providers.Errorf(providers.Invalid, "the Secret %s has another type than %.80s, and nobody can change the type of a Secret", name, want).
		WithHint("give it another name, which makes a new one and lets the old one go, or delete it by hand and apply again")
}

// immutableForGood is the error of a change that an immutable Secret does not take.
func immutableForGood(namespace, name string) *providers.Error {
	return providers.Errorf(providers.Invalid, "the Secret is immutable").
		WithHint("nothing can change that: delete it (`kubectl -n %s delete secret %s`), and the next apply makes it again; pods that mount it have to be restarted", namespace, name)
}

// typed says what the API server means that refuses the type of a change.
func typed(err error, path string, f providers.Form) error {
	if err != nil && providers.CodeOf(err) == providers.Invalid && f.Type != "" && strings.Contains(err.Error(), " type (") {
		_, name := split(path)
		return otherType(name, f.Type)
	}
	return err
}
