package kubernetes

import (
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/cofferhq/coffer/providers"
)

// Labels and annotations that are Coffer's own. Labels of the configuration have
// keys of their own names, and keyLabels lists which those are; all others are
// somebody else's and stay as they are.
const (
	prefix = "coffer/"

	labelManagedBy = "app.kubernetes.io/managed-by" // on what we make, once
	labelProject   = prefix + "project"             // a label: it is what kubectl selects by

	keyAddress     = prefix + "address" // a hash
	keyProtected   = prefix + "protected"
	keyDescription = prefix + "description"
	keyLabels      = prefix + "labels"
	keyOperation   = prefix + "operation" // that wrote the value
	keyKeys        = prefix + "keys"      // see keysDigest
)

// longestDescription leaves room for what others keep in annotations: all
// together have 256 KiB.
const longestDescription = 16 << 10

// attributes returns what is written in labels and annotations.
func (m *metadata) attributes() providers.Attributes {
	a := providers.Attributes{
		Mark: providers.Mark{
			Project: m.Labels[labelProject], Address: m.Annotations[keyAddress], Protected: m.Annotations[keyProtected] == "true",
		},
		Description: m.Annotations[keyDescription],
		Form:        formOf(m.Annotations),
	}
	a.Form.Immutable = m.immutable()
	for _, name := range m.labelNames() {
		if v, ok := m.Labels[name]; ok {
			if a.Labels == nil {
				a.Labels = map[string]string{}
			}
			a.Labels[name] = v
		}
	}
	return a
}

// labelNames returns the labels that are of the configuration. Whoever can write
// annotations can write the list too: the mark is never among them.
func (m *metadata) labelNames() []string {
	names := strings.Split(m.Annotations[keyLabels], ",")
	return slices.DeleteFunc(names, func(n string) bool { return n == "" || strings.HasPrefix(n, prefix) })
}

// change is what is to be written beside a value; nil takes a key away.
type change struct {
	Labels      map[string]*string `json:"labels,omitempty"`
	Annotations map[string]*string `json:"annotations,omitempty"`

	typ       string // "" where it stays
	immutable bool   // it is to become that
}

// changeTo returns the change that makes the attributes of m those of a, or says
// why they have no room.
func (m *metadata) changeTo(a providers.Attributes) (change, error) {
	labels, annotations, err := written(a)
	if err != nil {
		return change{}, err
	}
	typ, immutable, err := m.reform(a)
	if err != nil {
		return change{}, err
	}
	had, mine := m.ofConfiguration()
	return change{Labels: difference(had, labels), Annotations: difference(mine, annotations), typ: typ, immutable: immutable}, nil
}

// ofConfiguration returns the labels and annotations by which m has its attributes.
func (m *metadata) ofConfiguration() (labels, annotations map[string]string) {
	labels, annotations = map[string]string{}, map[string]string{}
	for _, name := range append(m.labelNames(), labelProject) {
		if v, ok := m.Labels[name]; ok {
			labels[name] = v
		}
	}
	own := []string{keyAddress, keyProtected, keyDescription, keyLabels, keyType, keyImmutable, keyAnnotations}
	for _, key := range append(own, listedAnnotations(m.Annotations[keyAnnotations])...) {
		if v, ok := m.Annotations[key]; ok {
			annotations[key] = v
		}
	}
	return labels, annotations
}

// difference returns what makes had into want.
func difference(had, want map[string]string) map[string]*string {
	out := map[string]*string{}
	for key := range had {
		out[key] = nil
	}
	for key, v := range want {
		out[key] = &v
	}
	for key, v := range had {
		if now, ok := want[key]; ok && now == v {
			delete(out, key)
		}
	}
	return out
}

// written returns attributes as labels and annotations.
func written(a providers.Attributes) (labels, annotations map[string]string, err error) {
	labels, annotations = map[string]string{}, map[string]string{}
	for name, v := range a.Labels {
		switch {
		case strings.HasPrefix(name, prefix):
			return nil, nil, providers.Errorf(providers.Invalid, "the label %.80q starts like those of Coffer", name)
		case !isLabelName(name) || !isLabelValue(v):
			return nil, nil, providers.Errorf(providers.Invalid, "the label %.80q, or its value, is none for Kubernetes", name).
				WithHint("both are at most 63 letters, digits, '-', '_' and '.', with a letter or digit at both ends")
		}
		labels[name] = v
	}
	set := func(into map[string]string, key, v string) {
		if v != "" {
			into[key] = v
		}
	}
	set(annotations, keyLabels, strings.Join(slices.Sorted(maps.Keys(labels)), ","))
	set(annotations, keyAddress, a.Mark.Address)
	set(annotations, keyDescription, a.Description)
	if a.Mark.Protected {
		annotations[keyProtected] = "true"
	}
	set(labels, labelProject, a.Mark.Project)
	switch {
	case !isLabelValue(a.Mark.Project):
		return nil, nil, providers.Errorf(providers.Invalid, "the project %.80q cannot be a label", a.Mark.Project)
	case len(a.Description) > longestDescription || !utf8.ValidString(a.Description):
		return nil, nil, providers.Errorf(providers.Invalid, "the description is not UTF-8, or longer than %d bytes", longestDescription)
	}
	return labels, annotations, annotate(annotations, a.Form)
}
