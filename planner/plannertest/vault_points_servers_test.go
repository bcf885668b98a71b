//go:build servers

package plannertest

import (
	"context"

	"github.com/cofferhq/coffer/providers"
	"github.com/cofferhq/coffer/providers/secret"
)

// pointed is a driver with a point before and after each call that changes
// something or that a change relies on.
type pointed struct {
	providers.Driver
	powers providers.Powers
	at     func(point string) error
}

func (d *pointed) Powers() providers.Powers {
	p := d.powers
	p.Patcher, p.Attributer, p.Lister, p.Restorer = d, d, d, d
	if p.ObjectDriver != nil {
		p.ObjectDriver = d
	}
	return p
}

// around makes a call between its two points.
func around[T any](d *pointed, call string, do func() (T, error)) (T, error) {
	var none T
	if err := d.at("before " + call); err != nil {
		return none, err
	}
	made, err := do()
	if cut := d.at("after " + call); cut != nil {
		return none, cut
	}
	return made, err
}

func (d *pointed) Inspect(ctx context.Context, paths []string) (map[string]providers.Meta, error) {
	return around(d, "inspect", func() (map[string]providers.Meta, error) { return d.Driver.Inspect(ctx, paths) })
}

func (d *pointed) Read(ctx context.Context, path, version string) (secret.Value, error) {
	return around(d, "read "+path, func() (secret.Value, error) { return d.Driver.Read(ctx, path, version) })
}

func (d *pointed) Write(ctx context.Context, req providers.WriteRequest) (providers.Meta, error) {
	return around(d, "write "+req.Path, func() (providers.Meta, error) { return d.Driver.Write(ctx, req) })
}

func (d *pointed) Patch(ctx context.Context, req providers.WriteRequest) (providers.Meta, error) {
	return around(d, "patch "+req.Path, func() (providers.Meta, error) { return d.powers.Patcher.Patch(ctx, req) })
}

func (d *pointed) SetAttributes(ctx context.Context, path, ifVersion string, a providers.Attributes) (providers.Meta, error) {
	return around(d, "set attributes "+path, func() (providers.Meta, error) {
		return d.powers.Attributer.SetAttributes(ctx, path, ifVersion, a)
	})
}

func (d *pointed) List(ctx context.Context) (map[string]providers.Meta, error) {
	return around(d, "list", func() (map[string]providers.Meta, error) { return d.powers.Lister.List(ctx) })
}

func (d *pointed) Undelete(ctx context.Context, path string) (providers.Meta, error) {
	return around(d, "undelete "+path, func() (providers.Meta, error) { return d.powers.Restorer.Undelete(ctx, path) })
}

func (d *pointed) Delete(ctx context.Context, path, ifVersion string) error {
	_, err := around(d, "delete "+path, func() (struct{}, error) { return struct{}{}, d.Driver.Delete(ctx, path, ifVersion) })
	return err
}

func (d *pointed) InspectObjects(ctx context.Context, refs []providers.ObjectRef) (map[providers.ObjectRef]providers.Object, error) {
	return around(d, "inspect objects", func() (map[providers.ObjectRef]providers.Object, error) {
		return d.powers.ObjectDriver.InspectObjects(ctx, refs)
	})
}

func (d *pointed) WriteObject(ctx context.Context, req providers.ObjectRequest) (providers.Object, error) {
	return around(d, "write object "+req.Ref.Path, func() (providers.Object, error) {
		return d.powers.ObjectDriver.WriteObject(ctx, req)
	})
}
