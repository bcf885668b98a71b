package vault

import (
	"context"
	"net/http"
	"strconv"

	"github.com/cofferhq/coffer/providers"
)

// A watermark is custom metadata of a path without a version,
// which is no secret: nothing lists, reads or deletes it as one.

var _ providers.Watermarker = (*Driver)(nil)

const keySerial = "coffer_serial"

// watermarkPath is where the watermark of a key lies, below the prefix.
func (d *Driver) watermarkPath(key string) string {
	p := ".coffer/" + key
	if d.config.Prefix != "" {
		p = d.config.Prefix + "/" + p
	}
	return p
}

// Watermark implements [providers.Watermarker].
func (d *Driver) Watermark(ctx context.Context, key string) (uint64, error) {
	mount, err := d.mounted(ctx)
	if err != nil || !mount.exists || mount.version == "1" {
		return 0, err
	}
	m, err := d.readMetadata(ctx, d.watermarkPath(key))
	switch {
	case err == nil:
	case providers.CodeOf(err) == providers.NotFound:
		return 0, nil
	default:
		return 0, err
	}
	n, err := strconv.ParseUint(m.CustomMetadata[keySerial], 10, 48) // no honest state comes to more
	if err != nil {
		return 0, providers.Errorf(providers.Invalid, "the metadata at %s has no serial: something else lies there", d.watermarkPath(key))
	}
	return n, nil
}

// SetWatermark implements [providers.Watermarker].
func (d *Driver) SetWatermark(ctx context.Context, key string, serial uint64) error {
	mount, err := d.mounted(ctx)
	if err != nil || !mount.exists || mount.version == "1" {
		return err
	}
	body := map[string]any{"custom_metadata": map[string]string{keySerial: strconv.FormatUint(serial, 10)}}
	return d.client.do(ctx, request{method: http.MethodPost, path: d.api("metadata", d.watermarkPath(key)), body: body})
}

func (d *Driver) watermarkPermissions(n needs, req providers.PermissionRequest) {
	path := d.api("metadata", d.watermarkPath(req.Watermark))
	n.add(path, whySerial, "read")
	if req.Phase == providers.PhaseApply {
		n.add(path, whySerial, "create", "update")
	}
}
