package kubernetes

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"strings"
	"time"

	"github.com/cofferhq/coffer/state/remote"
)

// resource is a kind of object of the API.
type resource struct {
	kind, plural, group, version string
	segments                     []string // of its path
}

var (
	secrets = resource{"Secret", "secrets", "", "v1", []string{"api", "v1"}}
	leases  = resource{"Lease", "leases", "coordination.k8s.io", "coordination.k8s.io/v1", []string{"apis", "coordination.k8s.io", "v1"}}
)

// object is a Secret or a Lease, as far as it matters here.
type object struct {
	APIVersion string            `json:"apiVersion"`
	Kind       string            `json:"kind"`
	Metadata   metadata          `json:"metadata"`
	Type       string            `json:"type,omitempty"`
	Immutable  bool              `json:"immutable,omitempty"`
	Data       map[string][]byte `json:"data,omitempty"`
	Spec       *leaseSpec        `json:"spec,omitempty"`
}

type metadata struct {
	Name            string `json:"name"`
	UID             string `json:"uid,omitempty"`
	ResourceVersion string `json:"resourceVersion,omitempty"`
	carried
	ManagedFields []managedFields `json:"managedFields,omitempty"`
}

// carried is what other people and tools may have added, and keep when the
// object is replaced.
type carried struct {
	Labels          map[string]string `json:"labels,omitempty"`
	Annotations     map[string]string `json:"annotations,omitempty"`
	OwnerReferences json.RawMessage   `json:"ownerReferences,omitempty"`
	Finalizers      []string          `json:"finalizers,omitempty"`
}

type managedFields struct {
	Manager   string    `json:"manager"`
	Operation string    `json:"operation"`
	Time      time.Time `json:"time"`
}

// Labels and annotations.
const (
	labelManagedBy = "app.kubernetes.io/managed-by"
	labelPartOf    = "coffer/part-of" // the name of a state
	labelBlob      = "coffer/blob"    // of a part: which blob it is of
	description    = "coffer/description"
	// replaces is the tag that a write was made on top of, so that no two writes
	// are the same one, whatever their bytes.
	replaces = "coffer/replaces"
)

// tag names one content: another object of the same name has another uid, and
// each write another resourceVersion.
func (m metadata) tag() string { return m.UID + "/" + m.ResourceVersion }

// splitTag is the reverse of tag. A condition with only one half would be none:
// a PUT of a Lease without uid makes one where there is none.
func splitTag(tag string) (uid, version string, ok bool) {
	uid, version, _ = strings.Cut(tag, "/")
	return uid, version, uid != "" && version != ""
}

// age is how long ago Coffer wrote the object, by the clocks of the API server:
// it answers with the time, and notes when a manager wrote its fields. Others
// who add a label do not make it younger.
func (m metadata) age(h http.Header) time.Duration {
	now, err := http.ParseTime(h.Get("Date"))
	if err != nil {
		return -1
	}
	for _, f := range m.ManagedFields {
		if f.Manager == manager && f.Operation == "Update" && !f.Time.IsZero() {
			return max(now.Sub(f.Time), 0)
		}
	}
	return -1
}

// newObject is an object of one state.
func newObject(r resource, name, state string) *object {
	return &object{
		APIVersion: r.version,
		Kind:       r.kind,
		Metadata: metadata{Name: name, carried: carried{
			Labels:      map[string]string{labelManagedBy: manager, labelPartOf: state},
			Annotations: map[string]string{},
		}},
	}
}

// carry takes over what others added to the object that o replaces.
func (o *object) carry(old carried) {
	o.Metadata.OwnerReferences, o.Metadata.Finalizers = old.OwnerReferences, old.Finalizers
	for key, value := range old.Labels {
		if _, ours := o.Metadata.Labels[key]; !ours {
			o.Metadata.Labels[key] = value
		}
	}
	for key, value := range old.Annotations {
		if _, ours := o.Metadata.Annotations[key]; !ours && key != lockAnnotation && key != lockBase64 {
			o.Metadata.Annotations[key] = value
		}
	}
}

// same reports whether two objects are what one and the same write left.
func (o *object) same(other *object) bool {
	for _, key := range []string{replaces, lockAnnotation, lockBase64} {
		if o.Metadata.Annotations[key] != other.Metadata.Annotations[key] {
			return false
		}
	}
	return o.Metadata.UID == other.Metadata.UID && maps.EqualFunc(o.Data, other.Data, bytes.Equal)
}

// preconditions is the body of a DELETE that removes one content only.
type preconditions struct {
	APIVersion    string `json:"apiVersion"`
	Kind          string `json:"kind"`
	Preconditions struct {
		UID             string `json:"uid"`
		ResourceVersion string `json:"resourceVersion"`
	} `json:"preconditions"`
}

func notOurs(r resource) *remote.Error {
	return &remote.Error{
		Code: remote.Invalid, Err: fmt.Errorf("this %s is not one that Coffer wrote", r.kind),
		Hint: "choose another name for the state, or remove it if nobody needs it",
	}
}
