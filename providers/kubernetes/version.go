package kubernetes

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/cofferhq/coffer/providers"
)

// Field managers, and a name of ours in every key: see [metadata.version].
const (
	managerValues     = "coffer"
	managerAttributes = "coffer-attributes"
	managerObjects    = "coffer-objects"
)

// object is what an answer without values holds.
type object struct {
	Kind     string   `json:"kind"`
	Metadata metadata `json:"metadata"`
}

// metadata is that of a Secret, as far as it matters here.
type metadata struct {
	Name              string            `json:"name"`
	Namespace         string            `json:"namespace"`
	UID               string            `json:"uid"`
	ResourceVersion   string            `json:"resourceVersion"`
	DeletionTimestamp string            `json:"deletionTimestamp"`
	Finalizers        []string          `json:"finalizers"`
	Labels            map[string]string `json:"labels"`
	Annotations       ownAnnotations    `json:"annotations"`
	ManagedFields     []managed         `json:"managedFields"`

	asked time.Time // see answer
}

// ownAnnotations are ours, and those that ours say are of the configuration.
// Another's may hold a value: kubectl apply keeps a whole manifest in one.
type ownAnnotations map[string]string

// UnmarshalJSON drops all others.
func (a *ownAnnotations) UnmarshalJSON(data []byte) error {
	var all map[string]json.RawMessage
	if err := json.Unmarshal(data, &all); err != nil {
		return err
	}
	*a = ownAnnotations{}
	var list string
	if raw, ok := all[keyAnnotations]; ok {
		if err := json.Unmarshal(raw, &list); err != nil {
			return err
		}
	}
	listed := listedAnnotations(list)
	for key, raw := range all {
		if !strings.HasPrefix(key, prefix) && !slices.Contains(listed, key) {
			continue
		}
		var text string
		if err := json.Unmarshal(raw, &text); err != nil {
			return err
		}
		(*a)[key] = text
	}
	return nil
}

// managed is what one field manager has set.
type managed struct {
	Manager     string    `json:"manager"`
	Operation   string    `json:"operation"`
	Subresource string    `json:"subresource"`
	Time        time.Time `json:"time"`
	Fields      struct {
		Data map[string]json.RawMessage `json:"f:data"`
		// StringData is set by server-side apply, which then has not set data.
		StringData map[string]json.RawMessage `json:"f:stringData"`
		Immutable  json.RawMessage            `json:"f:immutable"`
	} `json:"fieldsV1"`
}

// keys returns the keys of data that the manager has set, in order.
func (m managed) keys() []string {
	set := map[string]bool{}
	for _, fields := range []map[string]json.RawMessage{m.Fields.Data, m.Fields.StringData} {
		for field := range fields {
			if key, ok := strings.CutPrefix(field, "f:"); ok {
				set[key] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(set))
}

// ours reports whether the manager is the one that writes values for us.
func (m managed) ours() bool { return m.Manager == managerValues && m.Operation == "Update" }

// owner is a manager that has set keys of data.
type owner struct {
	managed
	keys []string
}

// owners returns who has set data: ours first, then the others in the order of
// their times.
func (m *metadata) owners() []owner {
	var list []owner
	for _, entry := range m.ManagedFields {
		if keys := entry.keys(); len(keys) > 0 {
			list = append(list, owner{entry, keys})
		}
	}
	slices.SortStableFunc(list, func(a, b owner) int {
		if a.ours() != b.ours() {
			if a.ours() {
				return -1
			}
			return 1
		}
		if c := a.Time.Compare(b.Time); c != 0 {
			return c
		}
		return strings.Compare(a.Manager+" "+a.Operation+" "+a.Subresource, b.Manager+" "+b.Operation+" "+b.Subresource)
	})
	return list
}

// keys returns the keys of data that somebody is named for, in order.
func (m *metadata) keys() []string {
	set := map[string]bool{}
	for _, o := range m.owners() {
		for _, key := range o.keys {
			set[key] = true
		}
	}
	return slices.Sorted(maps.Keys(set))
}

// keysDigest is what the annotation [keyKeys] holds: which keys there were after
// a write of ours, since of one that is taken away nothing else is left.
func keysDigest(keys []string) string {
	sum := sha256.Sum256([]byte(strings.Join(keys, "\n")))
	return hex.EncodeToString(sum[:8])
}

// written reports whether the value is what our operation left: nobody has set a
// key since, or taken one away, and whose write it was is still told.
func (m *metadata) written() bool {
	at := slices.IndexFunc(m.ManagedFields, managed.ours)
	if at < 0 || m.Annotations[keyOperation] == "" || m.Annotations[keyKeys] != keysDigest(m.keys()) {
		return false
	}
	wrote := m.ManagedFields[at].Time
	return !slices.ContainsFunc(m.owners(), func(o owner) bool { return !o.ours() && !o.Time.Before(wrote) })
}

// settled is how much later than a change the server's clock must be for the
// next change to carry another time: they are whole seconds, and those of
// several API servers differ a little. The clock is told in whole seconds too,
// so that after that and half a second it shows two seconds more.
const (
	settled    = 3 * time.Second / 2
	untilShown = time.Second / 2
)

// version is what the package comment says.
func (m *metadata) version() string {
	if !m.written() && (len(m.owners()) == 0 || m.youth() > 0) {
		return m.unsettled()
	}
	return m.digest()
}

// youth is how long another's last change is not settled yet.
func (m *metadata) youth() time.Duration {
	var longest time.Duration
	for _, o := range m.owners() {
		switch {
		case o.ours():
		case m.asked.IsZero():
			return settled
		default:
			longest = max(longest, settled-m.asked.Sub(o.Time))
		}
	}
	return longest
}

func (m *metadata) unsettled() string { return m.digest() + "@" + m.ResourceVersion }

// is reports whether the live version is the given one. The same resourceVersion
// is the same version, also where time has passed since.
func (m *metadata) is(version string) bool { return version == m.version() || version == m.unsettled() }

func (m *metadata) digest() string {
	h := sha256.New()
	fmt.Fprintf(h, "%q %q", m.UID, m.Annotations[keyOperation])
	for _, o := range m.owners() {
		fmt.Fprintf(h, " %q %q %q %d %q", o.Manager, o.Operation, o.Subresource, o.Time.Unix(), o.keys)
	}
	return hex.EncodeToString(h.Sum(nil)[:10])
}

// meta returns what the contract wants to know.
func (m *metadata) meta() providers.Meta {
	meta := providers.Meta{Version: m.version(), Attributes: m.attributes()}
	if keys := m.keys(); len(keys) > 0 || m.written() {
		meta.Fields = Fields(keys)
	}
	if m.written() {
		meta.OpID = m.Annotations[keyOperation]
		meta.ChangedBy = managerValues
		meta.Created = m.ManagedFields[slices.IndexFunc(m.ManagedFields, managed.ours)].Time.UTC()
		return meta
	}
	for _, o := range m.owners() { // within one second others come after us
		if o.Time.Before(meta.Created) {
			continue
		}
		meta.Created, meta.ChangedBy = o.Time.UTC(), o.Manager
		if o.ours() { // a key was taken away since, and nothing tells by whom
			meta.ChangedBy = ""
		}
	}
	return meta
}

// conflict is the error of a version that is not the live one.
func (m *metadata) conflict(version string) *providers.Error {
	return providers.Errorf(providers.Conflict, "the live version is %s, not %.60s%s", m.version(), version, m.others())
}

// others names the managers besides us that have set keys of data, for a message.
func (m *metadata) others() string {
	var who []string
	for _, o := range m.owners() {
		if !o.ours() {
			who = append(who, fmt.Sprintf("%.80q set %.200s at %s", o.Manager, strings.Join(o.keys, ", "), o.Time.UTC().Format(time.RFC3339)))
		}
	}
	if len(who) == 0 {
		return ""
	}
	return ": " + strings.Join(who, "; ")
}
