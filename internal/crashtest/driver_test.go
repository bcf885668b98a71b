//go:build unix

package crashtest

import (
	"context"

	"github.com/cofferhq/coffer/providers"
	"github.com/cofferhq/coffer/providers/secret"
)

// stopping makes drivers of f that pass a point before and after every call.
func stopping(f providers.Factory, c *countdown) providers.Factory {
	open := f.Open
	f.Open = func(ctx context.Context, env providers.Env, config any) (providers.Driver, error) {
		d, err := open(ctx, env, config)
		if err != nil {
			return nil, err
		}
		return &driver{Driver: d, powers: providers.PowersOf(d), c: c}, nil
	}
	return f
}

// driver is a driver with a point before and after each call that does I/O.
type driver struct {
	providers.Driver
	powers providers.Powers
	c      *countdown
}

// Powers implements [providers.Powered].
func (d *driver) Powers() providers.Powers {
	p := d.powers
	if p.Patcher != nil {
		p.Patcher = patcher{d}
	}
	if p.Attributer != nil {
		p.Attributer = attributer{d}
	}
	if p.Lister != nil {
		p.Lister = lister{d}
	}
	if p.BatchWriter != nil {
		p.BatchWriter = batchWriter{p.BatchWriter, d.c}
	}
	if p.ObjectDriver != nil {
		p.ObjectDriver = objects{p.ObjectDriver, d.c}
	}
	return p
}

func (d *driver) Identity(ctx context.Context) (id string, err error) {
	d.c.around("identity", func() { id, err = d.Driver.Identity(ctx) })
	return id, err
}

func (d *driver) Inspect(ctx context.Context, paths []string) (found map[string]providers.Meta, err error) {
	d.c.around("inspect", func() { found, err = d.Driver.Inspect(ctx, paths) })
	return found, err
}

func (d *driver) Read(ctx context.Context, path, version string) (v secret.Value, err error) {
	d.c.around("read "+path, func() { v, err = d.Driver.Read(ctx, path, version) })
	return v, err
}

func (d *driver) Write(ctx context.Context, req providers.WriteRequest) (m providers.Meta, err error) {
	d.c.around("write "+req.Path, func() { m, err = d.Driver.Write(ctx, req) })
	return m, err
}

func (d *driver) Delete(ctx context.Context, path, ifVersion string) (err error) {
	d.c.around("delete "+path, func() { err = d.Driver.Delete(ctx, path, ifVersion) })
	return err
}

type patcher struct{ d *driver }

func (p patcher) Patch(ctx context.Context, req providers.WriteRequest) (m providers.Meta, err error) {
	p.d.c.around("patch "+req.Path, func() { m, err = p.d.powers.Patcher.Patch(ctx, req) })
	return m, err
}

type attributer struct{ d *driver }

func (a attributer) SetAttributes(ctx context.Context, path, ifVersion string, set providers.Attributes) (m providers.Meta, err error) {
	a.d.c.around("set attributes "+path, func() { m, err = a.d.powers.Attributer.SetAttributes(ctx, path, ifVersion, set) })
	return m, err
}

type lister struct{ d *driver }

func (l lister) List(ctx context.Context) (found map[string]providers.Meta, err error) {
	l.d.c.around("list", func() { found, err = l.d.powers.Lister.List(ctx) })
	return found, err
}

type batchWriter struct {
	providers.BatchWriter
	c *countdown
}

func (b batchWriter) WriteBatch(ctx context.Context, req providers.Batch) (results []providers.Result) {
	b.c.around("batch "+req.Container, func() { results = b.BatchWriter.WriteBatch(ctx, req) })
	return results
}

type objects struct {
	providers.ObjectDriver
	c *countdown
}

func (o objects) InspectObjects(ctx context.Context, refs []providers.ObjectRef) (found map[providers.ObjectRef]providers.Object, err error) {
	o.c.around("inspect objects", func() { found, err = o.ObjectDriver.InspectObjects(ctx, refs) })
	return found, err
}

func (o objects) WriteObject(ctx context.Context, req providers.ObjectRequest) (made providers.Object, err error) {
	o.c.around("write object "+req.Ref.Path, func() { made, err = o.ObjectDriver.WriteObject(ctx, req) })
	return made, err
}
