package vault

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/cofferhq/coffer/providers"
)

// metadata is what KV version 2 tells of a secret without its value.
type metadata struct {
	CurrentVersion         int                 `json:"current_version"`
	CurrentMetadataVersion int                 `json:"current_metadata_version"` // OpenBao only
	MaxVersions            int                 `json:"max_versions"`
	DeleteVersionAfter     string              `json:"delete_version_after"`
	CustomMetadata         map[string]string   `json:"custom_metadata"`
	Versions               map[string]*version `json:"versions"`
}

// version is one version in [metadata], and the answer of a write.
type version struct {
	Number         int               `json:"version"` // in the answer of a write only
	CreatedTime    string            `json:"created_time"`
	DeletionTime   string            `json:"deletion_time"`
	Destroyed      bool              `json:"destroyed"`
	CustomMetadata map[string]string `json:"custom_metadata"` // in the answer of a write only
}

// current returns the current version, nil where there is none: nothing was
// ever written, or the server makes no sense.
func (m *metadata) current() *version {
	return m.Versions[strconv.Itoa(m.CurrentVersion)]
}

// parseTime reads a time of the server. OpenBao gives seconds, Vault parts of
// them; "" is none.
func parseTime(text string) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	return time.Parse(time.RFC3339Nano, text)
}

// deletedAt returns when a version was deleted, zero for one that is live: its
// time may be set and not have come.
func (v *version) deletedAt(now time.Time) (time.Time, error) {
	at, err := parseTime(v.DeletionTime)
	if err != nil || at.After(now) {
		return time.Time{}, err
	}
	return at, nil
}

// meta returns what the contract wants to know. ok is false where nothing is:
// no version was written, or the current one is destroyed.
func (d *Driver) meta(m *metadata) (meta providers.Meta, ok bool, err error) {
	if m.CurrentVersion == 0 {
		return providers.Meta{}, false, nil
	}
	v := m.current()
	if v == nil || m.CurrentVersion < 0 {
		return providers.Meta{}, false, providers.Errorf(providers.Invalid, "the server's metadata has no version %d, which it says is the current one", m.CurrentVersion)
	}
	if v.Destroyed {
		return providers.Meta{}, false, nil
	}
	created, err := parseTime(v.CreatedTime)
	if err == nil {
		meta.Deleted, err = v.deletedAt(d.now())
	}
	if err != nil {
		return providers.Meta{}, false, providers.Errorf(providers.Invalid, "the server's metadata has a time that is none")
	}
	meta.Remains = meta.IsDeleted() && len(m.choose(d.isLive)) > 0
	meta.Version = strconv.Itoa(m.CurrentVersion)
	meta.Created = created
	meta.Attributes = attributesOf(m.CustomMetadata)
	meta.Outdated = d.outdated(m)
	return meta, true, nil
}

// outdated names the settings that are not what the provider block says.
func (d *Driver) outdated(m *metadata) []string {
	var names []string
	if d.config.MaxVersions > 0 && m.MaxVersions != d.config.MaxVersions {
		names = append(names, "max_versions")
	}
	if d.config.DeleteVersionAfter != "" && !sameDuration(m.DeleteVersionAfter, d.config.DeleteVersionAfter) {
		names = append(names, "delete_version_after")
	}
	return names
}

// sameDuration compares in whole seconds, which is what servers keep.
func sameDuration(a, b string) bool {
	x, err1 := time.ParseDuration(a)
	y, err2 := time.ParseDuration(b)
	return err1 == nil && err2 == nil && x.Truncate(time.Second) == y.Truncate(time.Second)
}

// Keys of custom metadata that are Coffer's own. Labels have keys of their own
// names, and keyLabels lists which those are; all other keys are somebody
// else's and stay as they are.
const (
	keyProject     = "coffer_project"
	keyAddress     = "coffer_address"
	keyProtected   = "coffer_protected"
	keyDescription = "coffer_description"
	keyLabels      = "coffer_labels"
	reservedPrefix = "coffer_"
)

// attributesOf reads attributes out of custom metadata.
func attributesOf(custom map[string]string) providers.Attributes {
	if len(custom) == 0 {
		return providers.Attributes{}
	}
	a := providers.Attributes{
		Mark: providers.Mark{
			Project: custom[keyProject], Address: custom[keyAddress], Protected: custom[keyProtected] == "true",
		},
		Description: custom[keyDescription],
	}
	for _, name := range labelNames(custom) {
		if v, ok := custom[name]; ok {
			if a.Labels == nil {
				a.Labels = map[string]string{}
			}
			a.Labels[name] = v
		}
	}
	return a
}

// labelNames returns the keys that are labels of ours. Whoever can write custom
// metadata can write the list too: keys of the mark are never among them.
func labelNames(custom map[string]string) []string {
	if custom[keyLabels] == "" {
		return nil
	}
	names := strings.Split(custom[keyLabels], ",")
	return slices.DeleteFunc(names, func(n string) bool { return n == "" || strings.HasPrefix(n, reservedPrefix) })
}

// Limits of custom metadata, the same on every server.
const (
	mostKeys     = 64
	longestKey   = 128
	longestEntry = 512
)

// customOf writes attributes as custom metadata, or says why they have no room.
func customOf(a providers.Attributes) (map[string]string, error) {
	custom := map[string]string{}
	set := func(key, v string) {
		if v != "" {
			custom[key] = v
		}
	}
	set(keyProject, a.Mark.Project)
	set(keyAddress, a.Mark.Address)
	set(keyDescription, a.Description)
	if a.Mark.Protected {
		set(keyProtected, "true")
	}
	var names []string
	for name, v := range a.Labels {
		switch {
		case name == "" || strings.ContainsAny(name, ",") || strings.HasPrefix(name, reservedPrefix):
			return nil, providers.Errorf(providers.Invalid, "the label %.80q cannot be kept: no comma, and no %s at its start", name, reservedPrefix)
		case v == "":
			return nil, providers.Errorf(providers.Invalid, "the label %.80q is empty, which custom metadata cannot be", name)
		}
		names = append(names, name)
		custom[name] = v
	}
	slices.Sort(names)
	set(keyLabels, strings.Join(names, ","))
	return custom, checkCustom(custom)
}

func checkCustom(custom map[string]string) error {
	if len(custom) > mostKeys {
		return providers.Errorf(providers.Invalid, "%d labels are too many: custom metadata has room for %d keys", len(custom), mostKeys)
	}
	for key, v := range custom {
		switch {
		case len(key) > longestKey:
			return providers.Errorf(providers.Invalid, "the label %.80q is longer than %d bytes", key, longestKey)
		case len(v) > longestEntry && key == keyLabels:
			return providers.Errorf(providers.Invalid, "the names of all labels together are longer than %d bytes", longestEntry)
		case len(v) > longestEntry:
			return providers.Errorf(providers.Invalid, "%s is longer than %d bytes", key, longestEntry)
		case !printable(key) || !printable(v):
			return providers.Errorf(providers.Invalid, "%.80q holds what cannot be printed, such as a line break", key)
		}
	}
	return nil
}

// VersionCreated implements [providers.Dater].
func (d *Driver) VersionCreated(ctx context.Context, p, number string) (time.Time, error) {
	m, err := d.readMetadata(ctx, p)
	if err != nil {
		return time.Time{}, err
	}
	v := m.Versions[number]
	if v == nil {
		return time.Time{}, providers.Errorf(providers.NotFound, "there is no version %.40s", number).
			WithHint("`vault kv metadata get` lists those that are left")
	}
	created, err := parseTime(v.CreatedTime)
	if err != nil {
		return time.Time{}, providers.Errorf(providers.Invalid, "the server's metadata has a time that is none")
	}
	return created, nil
}
