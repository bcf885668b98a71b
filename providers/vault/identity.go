package vault

import (
	"context"
	"net/http"
	"net/url"
	"strings"

	"github.com/cofferhq/coffer/providers"
)

const pathHealth = "sys/health"

// rootNamespace stands in an identity for the namespace without a name.
const rootNamespace = "-"

// health is the answer of sys/health, which the server gives in every state.
type health struct {
	Initialized   bool   `json:"initialized"`
	Sealed        bool   `json:"sealed"`
	Standby       bool   `json:"standby"`
	Version       string `json:"version"`
	ClusterID     string `json:"cluster_id"`
	ClusterName   string `json:"cluster_name"`
	ServerTimeUTC int64  `json:"server_time_utc"`
}

// health asks for the state of the server, of whatever state it is. It needs no
// token.
func (d *Driver) health(ctx context.Context) (health, error) {
	var h health
	err := d.client.do(ctx, request{
		method: http.MethodGet, path: pathHealth, into: &h, root: true, public: true,
		query: url.Values{"standbyok": {"true"}, "perfstandbyok": {"true"}},
	})
	return h, err
}

// Identity implements [providers.Driver]: the cluster, the namespace and the
// mount. What a cluster is called and where it is reached may change.
func (d *Driver) Identity(ctx context.Context) (string, error) {
	h, err := d.health(ctx)
	host := d.client.address.Host
	switch {
	case err != nil:
		return "", err
	case !h.Initialized && h.Version != "":
		return "", lasting(providers.Errorf(providers.Unavailable, "%s is not initialised", host).
			WithHint("initialise it with `vault operator init` or `bao operator init`"))
	case h.Sealed:
		return "", lasting(providers.Errorf(providers.Unavailable, "%s is sealed", host).
			WithHint("unseal it with `vault operator unseal` or `bao operator unseal`, then run this again"))
	case h.ClusterID == "":
		return "", providers.Errorf(providers.Invalid, "%s names no cluster", host).
			WithHint("look whether the address is that of Vault or OpenBao itself")
	}
	namespace := d.config.Namespace
	if namespace == "" {
		namespace = rootNamespace
	}
	return "vault:" + h.ClusterID + "/" + namespace + "/" + d.config.Mount, nil
}

func lasting(e *providers.Error) *providers.Error {
	e.Lasting = true
	return e
}

// mount is what the server tells of the KV mount.
type mount struct {
	exists      bool
	version     string // "1" or "2"
	incarnation string
}

// Incarnation implements [providers.Incarnator]: the mount's own id, which a
// mount of the same name that is made again does not get. It is asked for anew
// each time; the other calls go by the last answer.
func (d *Driver) Incarnation(ctx context.Context) (string, error) {
	m, err := d.askMount(ctx)
	if err != nil {
		return "", err
	}
	d.mu.Lock()
	d.seen = &m
	d.mu.Unlock()
	return m.incarnation, nil
}

// mounted returns the mount after checking that this driver may work on it. A
// mount that does not exist is asked for again the next time: it may be made
// in the same run.
func (d *Driver) mounted(ctx context.Context) (mount, error) {
	d.mu.Lock()
	seen := d.seen
	d.mu.Unlock()
	if seen == nil || !seen.exists {
		m, err := d.askMount(ctx)
		if err != nil {
			return mount{}, err
		}
		d.mu.Lock()
		d.seen = &m
		d.mu.Unlock()
		seen = &m
	}
	return *seen, d.checkMount(*seen)
}

func (d *Driver) checkMount(m mount) error {
	switch {
	case !m.exists:
		return nil
	case m.version == "1" && !d.config.AllowValueRead:
		return providers.Errorf(providers.Invalid, "the mount %q is KV version 1, which keeps no versions and no marks", d.config.Mount).
			WithHint("upgrade it with `vault kv enable-versioning %s`, or write allow_value_read = true and do without: changes made by others are not seen", d.config.Mount)
	case m.version == "2" && d.config.AllowValueRead:
		return providers.Errorf(providers.Invalid, "the mount %q is KV version 2, where allow_value_read is not needed", d.config.Mount).
			WithHint("leave allow_value_read out")
	}
	return nil
}

// askMount asks for the mount as the servers' own tools do, which needs no
// permission beyond any below the mount.
func (d *Driver) askMount(ctx context.Context) (mount, error) {
	var answer struct {
		Data struct {
			Type     string            `json:"type"`
			UUID     string            `json:"uuid"`
			Accessor string            `json:"accessor"`
			Path     string            `json:"path"`
			Options  map[string]string `json:"options"`
		} `json:"data"`
	}
	r := request{method: http.MethodGet, path: "sys/internal/ui/mounts/" + d.config.Mount, into: &answer}
	err := d.client.do(ctx, r)
	if err != nil && said(err, wordsNoMount) {
		return mount{}, d.noMount(ctx)
	}
	if err != nil {
		return mount{}, err
	}
	data := answer.Data
	if strings.Trim(data.Path, "/") != d.config.Mount {
		return mount{}, providers.Errorf(providers.Invalid, "mount = %q is not the name of a mount but lies in %q", d.config.Mount, strings.Trim(data.Path, "/")).
			WithHint("write mount = %q and the rest as prefix", strings.Trim(data.Path, "/"))
	}
	if data.Type != "kv" && data.Type != "generic" {
		return mount{}, providers.Errorf(providers.Invalid, "the mount %q is of type %q, not kv", d.config.Mount, data.Type)
	}
	m := mount{exists: true, version: "1", incarnation: data.UUID}
	if data.Options["version"] == "2" {
		m.version = "2"
	}
	if m.incarnation == "" {
		m.incarnation = data.Accessor
	}
	return m, nil
}

// noMount tells a mount that does not exist from one that the token may not
// see, which get the same answer: below a mount that does not exist, nothing
// handles a path that the token may use. It returns nil for the former.
func (d *Driver) noMount(ctx context.Context) error {
	for _, r := range []request{
		{method: methodScan, path: d.api("detailed-metadata", d.config.Prefix), optional: true},
		{method: methodList, path: d.api("metadata", d.config.Prefix), optional: true},
		{method: http.MethodGet, path: d.api("metadata", d.config.Prefix) + "/mount", optional: true},
	} {
		switch err := d.client.do(ctx, r); {
		case said(err, wordsNoRoute):
			return nil
		case err != nil && providers.CodeOf(err) != providers.Denied && providers.CodeOf(err) != providers.NotFound:
			return err
		}
	}
	return providers.Errorf(providers.Denied, "the mount %q does not exist, or the token has no permission in it", d.config.Mount).
		WithHint("correct mount in the provider block, or give the token the policy that `coffer permissions` prints")
}

// missingMount is the error of a write where no mount is.
func (d *Driver) missingMount() *providers.Error {
	return providers.Errorf(providers.NotFound, "there is no mount %q", d.config.Mount).
		WithHint("correct mount in the provider block, or make it with `vault secrets enable -path=%s -version=2 kv`", d.config.Mount)
}
