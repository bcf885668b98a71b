// Package manifests is the driver that keeps what is for a Kubernetes cluster in
// files of manifests instead, for Argo CD or Flux to bring there: SealedSecrets,
// what the External Secrets operator is told, and plain Secrets where somebody
// allowed that.
//
// A file may hold documents of others: all that no change is about stays byte for
// byte. A path is FILE#secrets/NAMESPACE/NAME, and likewise sealedsecrets and the
// kinds of objects. Read [Driver] first, then [Driver.WriteBatch].
//
// The version of a SealedSecret is a digest of its ciphertexts. That of a plain
// Secret is one of its values and of a random salt that lies beside them in the
// file, so that a change by hand is seen, and whoever has the version and not the
// file cannot try values.
//
// The package asks no cluster anything, but for the certificate to seal with where
// the provider block says no file and no address. It knows no plan.
package manifests

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"sync"

	"github.com/cofferhq/coffer/internal/durable"
	"github.com/cofferhq/coffer/providers"
	"github.com/cofferhq/coffer/providers/kubernetes"
	"github.com/cofferhq/coffer/providers/kubernetes/delivery"
	"github.com/cofferhq/coffer/providers/secret"
)

// Type is the type of the provider that a block with output makes out of its
// kubernetes block.
const Type = "manifests"

// maxValue is what the API server allows for all values of one Secret.
const maxValue = 1 << 20

// Options are for tests; the zero value is what a program wants.
type Options struct {
	// At is called before and after each durable step of a write; an error from it
	// fails that step.
	At func(point string) error
	// FS, when not nil, is used in place of the operating system's files, by one
	// process alone: no lock is taken, and every folder exists.
	FS durable.FS
}

// Factory makes drivers of type "manifests".
func Factory() providers.Factory { return FactoryWith(Options{}) }

// FactoryWith is Factory with options.
func FactoryWith(o Options) providers.Factory {
	return providers.Factory{
		Type:      Type,
		NewConfig: func() any { return &kubernetes.Config{} },
		Open: func(_ context.Context, env providers.Env, config any) (providers.Driver, error) {
			c, ok := config.(*kubernetes.Config)
			if !ok {
				return nil, fmt.Errorf("the configuration of a %s provider is a %T", Type, config)
			}
			return Open(env, c, o)
		},
	}
}

// Driver keeps manifests in files below the configuration.
type Driver struct {
	disk     disk
	identity string
	naming   kubernetes.Naming
	keys     *kubernetes.KeySource
	delivery delivery.Settings
	random   io.Reader

	mu sync.Mutex
	// parsed keeps the last parse of each file.
	parsed map[string]*file
}

var (
	_ providers.Driver       = (*Driver)(nil)
	_ providers.BatchWriter  = (*Driver)(nil)
	_ providers.Patcher      = (*Driver)(nil)
	_ providers.Attributer   = (*Driver)(nil)
	_ providers.Placer       = (*Driver)(nil)
	_ providers.ObjectDriver = (*Driver)(nil)
	_ providers.FormDriver   = (*Driver)(nil)
	_ providers.Sealer       = (*Driver)(nil)
	_ providers.Deliverer    = (*Driver)(nil)
)

// Open makes the driver from the body of a kubernetes block. It reads nothing.
// Errors are those of [kubernetes.NewKeySource].
func Open(env providers.Env, c *kubernetes.Config, o Options) (*Driver, error) {
	d := &Driver{
		disk: disk{durable.Folder{Base: env.Dir, FS: o.FS, At: o.At}}, identity: identity(env.Project, c),
		naming: kubernetes.Naming{Namespace: c.Namespace}, delivery: c.Delivery(), random: env.Random, parsed: map[string]*file{},
	}
	if d.random == nil {
		d.random = rand.Reader
	}
	var err error
	d.keys, err = kubernetes.NewKeySource(env, c, func() (*kubernetes.Driver, error) { return kubernetes.Open(env, c) })
	if err != nil {
		return nil, err
	}
	return d, nil
}

// identity is the project, and what tells its provider blocks apart: a clone
// elsewhere is the same store.
func identity(project string, c *kubernetes.Config) string {
	id := Type + ":" + project
	for _, part := range []struct{ name, is string }{{"kubeconfig", c.Kubeconfig}, {"context", c.Context}, {"namespace", c.Namespace}} {
		if part.is != "" {
			id += fmt.Sprintf(" %s=%q", part.name, part.is)
		}
	}
	for _, i := range c.Impersonate {
		id += fmt.Sprintf(" user=%q", i.User)
	}
	return id
}

// Capabilities returns the facts of files.
func (d *Driver) Capabilities() providers.Capabilities {
	return providers.Capabilities{ConditionalWrite: true, MaxBytes: maxValue, Concurrency: 4}
}

// Identity implements [providers.Driver]. No cluster is asked.
func (d *Driver) Identity(ctx context.Context) (string, error) { return d.identity, ctx.Err() }

// NormalForm implements [providers.FormDriver].
func (d *Driver) NormalForm(f providers.Form) providers.Form { return kubernetes.NormalForm(f) }

// CheckForm implements [providers.FormDriver].
func (d *Driver) CheckForm(kind string, f providers.Form, fields []string) error {
	return kubernetes.CheckForm(kind, f, fields)
}

// Sealing implements [providers.Sealer].
func (d *Driver) Sealing(ctx context.Context, path string, a providers.Attributes) (providers.Sealing, error) {
	if p, err := locate(path); err != nil || p.resource != sealedSecrets {
		return providers.Sealing{}, nil
	}
	return d.keys.Sealing(ctx, a.Form)
}

// Inspect reads each file once. A file that cannot be read leaves its paths
// unknown.
func (d *Driver) Inspect(ctx context.Context, paths []string) (map[string]providers.Meta, error) {
	found := map[string]providers.Meta{}
	partial := &providers.PartialError{Paths: map[string]error{}}
	byFile := map[string]*file{}
	for _, path := range paths {
		if err := cancelled(ctx); err != nil {
			return nil, err
		}
		p, err := d.secretAt(path)
		var f *file
		if err == nil {
			f, err = d.loadOnce(byFile, p.file)
		}
		if err != nil {
			partial.Paths[path] = err
			continue
		}
		if doc := f.find(p); doc != nil {
			if found[path], err = doc.secretMeta(); err != nil {
				delete(found, path)
				partial.Paths[path] = err
			}
		}
	}
	if len(partial.Paths) > 0 {
		return found, partial
	}
	return found, nil
}

func (d *Driver) loadOnce(known map[string]*file, name string) (*file, error) {
	if f := known[name]; f != nil {
		return f, nil
	}
	f, err := d.load(name)
	if err == nil {
		known[name] = f
	}
	return f, err
}

// Read returns the values of a plain Secret. Nobody but the controller reads a
// SealedSecret: [providers.Unsupported].
func (d *Driver) Read(ctx context.Context, path, version string) (secret.Value, error) {
	if err := cancelled(ctx); err != nil {
		return secret.Value{}, err
	}
	p, err := d.secretAt(path)
	if err != nil {
		return secret.Value{}, err
	}
	f, err := d.load(p.file)
	if err != nil {
		return secret.Value{}, err
	}
	doc := f.find(p)
	switch {
	case doc == nil:
		return secret.Value{}, providers.Errorf(providers.NotFound, "%s holds no %s", p.file, p.item())
	case p.resource == sealedSecrets:
		return secret.Value{}, providers.Errorf(providers.Unsupported, "nobody but the controller can read %s", p.item()).
			WithHint("read the secrets that it is made of")
	}
	m, err := doc.secretMeta()
	switch {
	case err != nil:
		return secret.Value{}, err
	case version != "" && version != m.Version:
		return secret.Value{}, providers.Errorf(providers.NotFound, "%s holds another version of %s", p.file, p.item()).
			WithHint("a file keeps one version; earlier ones are in the history of your repository")
	}
	data, err := doc.values()
	if err != nil {
		return secret.Value{}, err
	}
	return kubernetes.Value(data), nil
}

// Write writes one secret; see [Driver.WriteBatch].
func (d *Driver) Write(ctx context.Context, req providers.WriteRequest) (providers.Meta, error) {
	return d.one(ctx, req.Path, providers.Operation{Write: &req}, req.Promise)
}

// Patch changes some fields of one secret; see [Driver.WriteBatch].
func (d *Driver) Patch(ctx context.Context, req providers.WriteRequest) (providers.Meta, error) {
	return d.one(ctx, req.Path, providers.Operation{Patch: &req}, req.Promise)
}

// Delete removes one secret; the file with it when nothing else is left.
func (d *Driver) Delete(ctx context.Context, path, ifVersion string) error {
	_, err := d.one(ctx, path, providers.Operation{Delete: &providers.DeleteRequest{Path: path, IfVersion: ifVersion}}, nil)
	return err
}

func (d *Driver) one(ctx context.Context, path string, op providers.Operation, promise providers.Promise) (providers.Meta, error) {
	p, err := d.secretAt(path)
	if err != nil {
		return providers.Meta{}, err
	}
	r := d.WriteBatch(ctx, providers.Batch{Container: p.file, Ops: []providers.Operation{op}, Promise: promise})[0]
	return r.Meta, r.Err
}

// load reads and parses a file; one that is not there holds nothing.
func (d *Driver) load(name string) (*file, error) {
	raw, mode, err := d.disk.read(name)
	if err != nil {
		return nil, err
	}
	d.mu.Lock()
	last := d.parsed[name]
	d.mu.Unlock()
	if last != nil && last.same(raw, mode) {
		return last, nil
	}
	f, err := parse(name, raw, mode)
	if err != nil {
		return nil, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.parsed[name] = f
	return f, nil
}

func cancelled(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return &providers.Error{Code: providers.Cancelled, Err: err}
	}
	return nil
}

func invalid(format string, args ...any) *providers.Error {
	return providers.Errorf(providers.Invalid, format, args...)
}
