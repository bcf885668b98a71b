package vault

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"time"

	"github.com/cofferhq/coffer/providers"
)

// wordsNoEngine is how the servers say that there is no mount.
const wordsNoEngine = "No secret engine mount at"

// Waiting for a new mount to be ready, which takes the server a moment.
const (
	mountReady = 20 * time.Millisecond
	mountTries = 250
)

// liveMount is a mount as the server has it.
type liveMount struct {
	typ      string
	settings settings
	byHand   string // how a person removes it
}

func (m *liveMount) object() *providers.Object {
	if m == nil {
		return nil
	}
	o := newSettings(KindMount, m.typ, m.settings, mountArguments())
	o.ByHand = m.byHand
	return o
}

// liveMount returns a mount, nil where it does not exist.
func (d *Driver) liveMount(ctx context.Context, at string) (*liveMount, error) {
	var answer struct {
		Data struct {
			Type, Description string
			Options           map[string]string
		}
	}
	err := d.client.do(ctx, request{method: http.MethodGet, path: "sys/mounts/" + at, into: &answer})
	if said(err, wordsNoEngine) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if answer.Data.Type == "" {
		return nil, noContent("sys/mounts/" + at)
	}
	values := map[string]any{"description": answer.Data.Description, "version": "1"}
	if answer.Data.Type == typeKV && answer.Data.Options["version"] == "2" {
		var config struct{ Data map[string]any }
		if err := d.client.do(ctx, request{method: http.MethodGet, path: at + "/config", into: &config}); err != nil {
			return nil, err
		}
		if len(config.Data) == 0 {
			return nil, noContent(at + "/config")
		}
		maps.Copy(values, config.Data)
		values["version"] = "2"
	}
	s, name, err := settle(mountArguments(), values, true)
	if err != nil {
		return nil, providers.Errorf(providers.Invalid, "the mount %s has a %s that is not understood: %w", at, name, err)
	}
	return &liveMount{answer.Data.Type, s, d.byHand(at)}, nil
}

func (d *Driver) inspectMount(ctx context.Context, path string) (*providers.Object, error) {
	_, at, err := parseMountRef(path)
	if err != nil {
		return nil, err
	}
	m, err := d.liveMount(ctx, at)
	return m.object(), err
}

// writeMount makes or changes a mount. Its type and version are for life, and it
// is not removed.
func (d *Driver) writeMount(ctx context.Context, req providers.ObjectRequest) (providers.Object, error) {
	typ, at, err := parseMountRef(req.Ref.Path)
	if err != nil {
		return providers.Object{}, err
	}
	live, err := d.liveMount(ctx, at)
	if err != nil {
		return providers.Object{}, err
	}
	if gone, err := precondition(req, live.object()); gone || err != nil {
		return providers.Object{}, err
	}
	if req.Document == "" {
		return providers.Object{}, d.refuseRemoval(at)
	}
	wantType, want, err := parseSettings(req.Document)
	if err != nil || wantType != typ {
		return providers.Object{}, providers.Errorf(providers.Invalid, "the document of the mount %s is not understood", at)
	}
	if live == nil {
		err = d.makeMount(ctx, at, typ, want)
	} else {
		err = d.changeMount(ctx, at, live, want)
	}
	if err != nil {
		return providers.Object{}, err
	}
	after, err := d.liveMount(ctx, at)
	switch {
	case err != nil:
		return providers.Object{}, unsure(req, err)
	case after == nil || after.object().Like(req.Document) != req.Document:
		return providers.Object{}, providers.Errorf(providers.Ambiguous, "the mount %s is not as it was written: somebody else wrote it at the same time", at).
			WithHint("look at it with `vault read sys/mounts/%s` and `vault read %s/config`", at, at)
	}
	return *after.object(), nil
}

func (d *Driver) makeMount(ctx context.Context, at, typ string, want settings) error {
	description, _ := want["description"].(string)
	err := d.client.do(ctx, request{method: http.MethodPost, path: "sys/mounts/" + at, body: map[string]any{
		"type": typ, "description": description, "options": map[string]string{"version": "2"},
	}})
	if err != nil {
		return err
	}
	if err = d.awaitMount(ctx, at); err == nil {
		err = d.configureMount(ctx, at, settings{}, want)
	}
	if err != nil {
		return providers.Errorf(providers.Ambiguous, "the mount %s was made, but its settings were not: %w", at, err)
	}
	return nil
}

// made are the settings of a mount that was made and not yet configured.
func (s settings) made() settings {
	made := maps.Clone(s)
	for _, a := range mountConfig() {
		if _, written := made[a.name]; written {
			made[a.name] = a.fallback()
		}
	}
	return made
}

// awaitMount waits until a new mount answers. For a moment the server says that
// it is upgrading it.
func (d *Driver) awaitMount(ctx context.Context, at string) error {
	tick := time.NewTicker(mountReady)
	defer tick.Stop()
	for try := 1; ; try++ {
		err := d.client.do(ctx, request{method: http.MethodGet, path: at + "/config"})
		if err == nil {
			return nil
		}
		if try == mountTries || providers.CodeOf(err) == providers.Denied || ctx.Err() != nil {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
		}
	}
}

func (d *Driver) changeMount(ctx context.Context, at string, live *liveMount, want settings) error {
	if live.typ != typeKV {
		return providers.Errorf(providers.Invalid, "the mount %s is of type %q, and a mount's type cannot be changed", at, live.typ).
			WithHint("declare a mount at another path and move what is in this one")
	}
	if live.settings["version"] != "2" { // no block makes another
		return providers.Errorf(providers.Invalid, "the mount %s is KV version %v; its version is not changed here, because every path in it and every policy would change", at, live.settings["version"]).
			WithHint("upgrade it with `vault kv enable-versioning %s`, or declare a mount at another path", at)
	}
	if description, written := want["description"]; written && live.settings["description"] != description {
		err := d.client.do(ctx, request{method: http.MethodPost, path: "sys/mounts/" + at + "/tune", body: map[string]any{"description": description}})
		if err != nil {
			return err
		}
		if err := d.configureMount(ctx, at, live.settings, want); err != nil {
			return providers.Errorf(providers.Ambiguous, "the description of the mount %s was changed, and its other settings were not: %w", at, err)
		}
		return nil
	}
	return d.configureMount(ctx, at, live.settings, want)
}

// configureMount sends what lies below the mount's own path.
func (d *Driver) configureMount(ctx context.Context, at string, live, want settings) error {
	set := changes(mountConfig(), live, want)
	if len(set) == 0 {
		return nil
	}
	return d.client.do(ctx, request{method: http.MethodPost, path: at + "/config", body: set})
}

// refuseRemoval: removing a mount destroys what it holds at once and for good,
// and nothing proves that it holds nothing. A policy can filter a list, and one
// of which nothing is left answers like that of an empty mount.
func (d *Driver) refuseRemoval(at string) error {
	return providers.Errorf(providers.Unsupported, "the mount %s is not removed here: what others keep in it cannot be seen for certain, and would be lost for good", at).
		WithHint("delete it by hand %s", d.byHand(at))
}

// byHand is how a person removes a mount.
func (d *Driver) byHand(at string) string {
	in := ""
	if d.config.Namespace != "" {
		in = "-namespace=" + d.config.Namespace + " "
	}
	return fmt.Sprintf("with `vault secrets disable %s%s`", in, at)
}
