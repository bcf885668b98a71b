package vault

import (
	"context"
	"net/http"

	"github.com/cofferhq/coffer/providers"
)

// SetAttributes implements [providers.Attributer]. It mends the settings of
// Meta.Outdated too, and keeps custom metadata that is somebody else's.
func (d *Driver) SetAttributes(ctx context.Context, p, ifVersion string, a providers.Attributes) (providers.Meta, error) {
	custom, err := d.prepare(ctx, providers.WriteRequest{Path: p, IfVersion: ifVersion, Attributes: a}, true)
	if err != nil {
		return providers.Meta{}, err
	}
	m, meta, err := d.liveAt(ctx, p, ifVersion)
	if err != nil {
		return providers.Meta{}, err
	}
	change := d.attributeChange(m.CustomMetadata, custom)
	if len(change) > 0 {
		if err := d.patchMetadata(ctx, p, change); err != nil {
			return providers.Meta{}, err
		}
	}
	meta.Attributes = attributesOf(custom)
	meta.Outdated = nil
	return meta, nil
}

// liveAt returns what lives at a path if its version is ifVersion; else the
// error is NotFound or Conflict.
func (d *Driver) liveAt(ctx context.Context, p, ifVersion string) (*metadata, providers.Meta, error) {
	m, err := d.readMetadata(ctx, p)
	if err != nil {
		return nil, providers.Meta{}, err
	}
	meta, ok, err := d.meta(m)
	switch {
	case err != nil:
		return nil, providers.Meta{}, err
	case !ok:
		return nil, providers.Meta{}, providers.Errorf(providers.NotFound, "there is no such secret")
	case meta.IsDeleted():
		return nil, providers.Meta{}, d.taken(m)
	case meta.Version != ifVersion:
		return nil, providers.Meta{}, providers.Errorf(providers.Conflict, "the live version is %s, not %.40s", meta.Version, ifVersion)
	}
	return m, meta, nil
}

// attributeChange returns the change of metadata that makes live custom
// metadata and settings what they should be; empty where nothing is to do.
func (d *Driver) attributeChange(live, want map[string]string) map[string]any {
	custom := map[string]any{}
	for key, v := range want {
		if live[key] != v {
			custom[key] = v
		}
	}
	ours := append([]string{keyProject, keyAddress, keyProtected, keyDescription, keyLabels}, labelNames(live)...)
	for _, key := range ours {
		if _, had := live[key]; had && want[key] == "" {
			custom[key] = nil
		}
	}
	change := map[string]any{}
	if len(custom) > 0 {
		change["custom_metadata"] = custom
	}
	if d.config.MaxVersions > 0 {
		change["max_versions"] = d.config.MaxVersions
	}
	if d.config.DeleteVersionAfter != "" {
		change["delete_version_after"] = d.config.DeleteVersionAfter
	}
	return change
}

// patchMetadata changes metadata and leaves what is not named alone. Servers
// without that get all of it again, which takes a read.
func (d *Driver) patchMetadata(ctx context.Context, p string, change map[string]any) error {
	r := request{method: http.MethodPatch, path: d.api("metadata", p), body: change}
	err := d.client.do(ctx, r)
	switch {
	case said(err, wordsCASNeeded):
		m, err := d.readMetadata(ctx, p)
		if err != nil {
			return err
		}
		change["metadata_cas"] = m.CurrentMetadataVersion
		return d.client.do(ctx, r)
	case err != nil && providers.CodeOf(err) == providers.Unsupported:
		return d.replaceMetadata(ctx, p, change)
	}
	return err
}

func (d *Driver) replaceMetadata(ctx context.Context, p string, change map[string]any) error {
	m, err := d.readMetadata(ctx, p)
	if err != nil {
		return err
	}
	whole := map[string]any{}
	for key, v := range m.CustomMetadata {
		whole[key] = v
	}
	custom, _ := change["custom_metadata"].(map[string]any)
	for key, v := range custom {
		whole[key] = v
		if v == nil {
			delete(whole, key)
		}
	}
	body := map[string]any{"custom_metadata": whole}
	for _, key := range []string{"max_versions", "delete_version_after"} {
		if v, ok := change[key]; ok {
			body[key] = v
		}
	}
	return d.client.do(ctx, request{method: http.MethodPost, path: d.api("metadata", p), body: body})
}

// settleFirst makes the settings of a new secret before its first version: the
// server decides when a version is made how long it keeps it. metadata_cas
// keeps it off what exists; servers without that (Vault) would change the
// settings of a secret that somebody else makes at this very moment.
func (d *Driver) settleFirst(ctx context.Context, p string) error {
	body := d.attributeChange(nil, nil)
	body["metadata_cas"] = 0
	err := d.client.do(ctx, request{method: http.MethodPost, path: d.api("metadata", p), body: body})
	if said(err, "metadata check-and-set") || said(err, "metadata_cas") { // it exists: the write itself will tell
		return nil
	}
	return err
}
