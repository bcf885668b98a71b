// Package sops is the driver for folders of SOPS-encrypted files: YAML files
// with a key for each secret, and dotenv files that are one secret with a field
// for each variable. Files open with the sops tool, and what that tool writes
// opens here.
//
// The codec is our own and knows age alone (docs/adr/0002): cipher.go, mac.go
// and metadata.go are the format, yaml.go and dotenv.go index a file's bytes,
// splice.go and build.go change them without touching any other byte. The
// driver is the rest: read [Driver] first, then [Driver.WriteBatch].
//
// Inspecting never decrypts and needs no identity: names are clear, and the
// version of a secret is a digest of its own ciphertext. The package knows no
// plan, no state and no configuration language.
package sops

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"sync"
	"time"

	"github.com/cofferhq/coffer/internal/durable"
	"github.com/cofferhq/coffer/providers"
	"github.com/cofferhq/coffer/providers/secret"
)

// Type is the label of the provider block.
const Type = "sops"

// maxValue is the largest value: far more than a secret needs, and a file has
// room for a few.
const maxValue = 1 << 20

// Options are for tests; the zero value is what a program wants.
type Options struct {
	// At is called before and after each durable step of a write, with names
	// such as "before-rename"; an error from it fails that step.
	At func(point string) error
	// FS, when not nil, is used in place of the operating system's files, by one
	// process alone: no lock is taken, and every folder exists.
	FS durable.FS
}

// Factory makes drivers of type "sops".
func Factory() providers.Factory { return FactoryWith(Options{}) }

// FactoryWith is Factory with options.
func FactoryWith(o Options) providers.Factory {
	return providers.Factory{
		Type:      Type,
		NewConfig: func() any { return new(Config) },
		Open: func(_ context.Context, env providers.Env, config any) (providers.Driver, error) {
			c, ok := config.(*Config)
			if !ok {
				return nil, fmt.Errorf("the configuration of a %s provider is a %T", Type, config)
			}
			return Open(env, *c, o)
		},
	}
}

// Driver keeps secrets in one folder of SOPS files.
type Driver struct {
	disk       disk
	recipients Recipients
	rules      []creationRule // of .sops.yaml; nil where there is none
	getenv     func(string) string
	now        func() time.Time
	random     io.Reader

	mu sync.Mutex
	// parsed keeps the last parse of each file, by the digest of its bytes.
	parsed map[string]parsedFile
	// written keeps the last operation on each path, so that the same one
	// twice makes one version; a file has no place for it.
	written map[string]writtenBy
}

type parsedFile struct {
	digest [sha256.Size]byte
	file   *file
}

type writtenBy struct{ op, version string }

var (
	_ providers.Driver         = (*Driver)(nil)
	_ providers.BatchWriter    = (*Driver)(nil)
	_ providers.Patcher        = (*Driver)(nil)
	_ providers.Lister         = (*Driver)(nil)
	_ providers.Placer         = (*Driver)(nil)
	_ providers.ObjectDriver   = (*Driver)(nil)
	_ providers.AccessCompiler = (*Driver)(nil)
)

// Open makes the driver. It reads .sops.yaml in env.Dir and nothing else; a
// file with creation rules beside configured recipients is an error.
func Open(env providers.Env, c Config, o Options) (*Driver, error) {
	folder, err := c.folder()
	if err != nil {
		return nil, err
	}
	rules, err := readRules(durable.OS(), env.Dir)
	if err != nil {
		return nil, err
	}
	if rules != nil && !c.Recipients.isZero() {
		return nil, fmt.Errorf("%s has creation rules and the provider block has recipients, so two lists would rule; remove `recipients` from the block, or `creation_rules` from %s", rulesFile, rulesFile)
	}
	d := &Driver{
		disk:       disk{durable.Folder{Base: env.Dir, FS: o.FS, At: o.At}, folder},
		recipients: c.Recipients, rules: rules,
		getenv: env.Getenv, now: env.Now, random: env.Random,
		parsed: map[string]parsedFile{}, written: map[string]writtenBy{},
	}
	if d.random == nil {
		d.random = rand.Reader
	}
	return d, nil
}

// Capabilities returns the facts of a folder of files.
func (d *Driver) Capabilities() providers.Capabilities {
	return providers.Capabilities{ConditionalWrite: true, ValueBlind: true, KeyInPath: true, MaxBytes: maxValue, Concurrency: 4}
}

// Identity is the folder below the configuration: a clone elsewhere is the
// same store.
func (d *Driver) Identity(ctx context.Context) (string, error) {
	return Type + ":" + d.disk.folder, ctx.Err()
}

// Read decrypts one secret and verifies the whole file. A file keeps no
// version but the current one.
func (d *Driver) Read(ctx context.Context, path, version string) (secret.Value, error) {
	if err := cancelled(ctx); err != nil {
		return secret.Value{}, err
	}
	p, err := locate(path)
	if err != nil {
		return secret.Value{}, err
	}
	f, err := d.load(p.file)
	if errors.Is(err, fs.ErrNotExist) {
		return secret.Value{}, providers.Errorf(providers.NotFound, "there is no file %s", p.file)
	}
	if err != nil {
		return secret.Value{}, err
	}
	s, err := f.secret(p)
	if err != nil {
		return secret.Value{}, err
	}
	if s == nil {
		return secret.Value{}, providers.Errorf(providers.NotFound, "%s has no key %s", p.file, p.key)
	}
	if version != "" && version != s.version() {
		return secret.Value{}, providers.Errorf(providers.NotFound, "%s holds another version", p.file).
			WithHint("a file keeps one version; earlier ones are in the history of your repository")
	}
	_, o, err := d.decrypt(f, p.file)
	if err != nil {
		return secret.Value{}, err
	}
	v, err := f.value(s, o)
	if err != nil {
		return secret.Value{}, invalid("%s in %s: %w", p.key, p.file, err)
	}
	return v, nil
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
	p, err := locate(path)
	if err != nil {
		return providers.Meta{}, err
	}
	r := d.WriteBatch(ctx, providers.Batch{Container: p.file, Ops: []providers.Operation{op}, Promise: promise})[0]
	return r.Meta, r.Err
}

// load reads and parses a file. A missing one is an error matching
// fs.ErrNotExist.
func (d *Driver) load(name string) (*file, error) {
	raw, _, err := d.readFile(name)
	if err != nil {
		return nil, err
	}
	digest := sha256.Sum256(raw)
	d.mu.Lock()
	last := d.parsed[name]
	d.mu.Unlock()
	if last.file != nil && last.digest == digest {
		return last.file, nil
	}
	f, err := d.parse(name, raw)
	if err != nil {
		return nil, err
	}
	d.mu.Lock()
	d.parsed[name] = parsedFile{digest, f}
	d.mu.Unlock()
	return f, nil
}

// decrypt opens a file with the identity at hand and verifies it.
func (d *Driver) decrypt(f *file, name string) ([]byte, opened, error) {
	key, err := d.dataKey(f, name)
	if err != nil {
		return nil, opened{}, err
	}
	if err := f.meta.rules.supported(); err != nil {
		return nil, opened{}, invalid("%s: %w", d.ruled(name), err)
	}
	o, err := f.decrypt(key)
	if err != nil {
		return nil, opened{}, d.damaged(name, err)
	}
	if err := f.verify(key, o); err != nil {
		return nil, opened{}, invalid("%s: %w", d.ruled(name), err).
			WithHint("if git merged it, settle it as " + mergePage + "; else somebody changed it without the key")
	}
	return key, o, nil
}

func (d *Driver) dataKey(f *file, name string) ([]byte, error) {
	return dataKey(f, d.ruled(name), d.getenv)
}

func dataKey(f *file, name string, getenv func(string) string) ([]byte, error) {
	identities, problem := loadIdentities(getenv)
	key, err := f.meta.unwrap(ages(identities))
	switch {
	case err == nil:
		return key, nil
	case errors.Is(err, errShamir):
		return nil, providers.Errorf(providers.Unsupported, "%s: %w", name, err)
	case !errors.Is(err, errNoIdentity):
		return nil, invalid("%s: %w", name, err)
	}
	if problem != nil { // it says what to do, and the key may be there
		return nil, providers.Errorf(providers.Denied, "%s: %w: %w", name, err, problem)
	}
	var mine []string
	for _, id := range identities {
		if id.recipient != "" {
			mine = append(mine, id.recipient)
		}
	}
	hint := "run `coffer init`, which makes an age identity where none exists and prints its public key; a member adds that to the recipients and runs `coffer apply`"
	if len(mine) > 0 {
		hint = "your public key is " + strings.Join(mine, ", ") + ": ask a member to add it to the recipients (of the provider block or " + rulesFile + ") and to run `coffer apply`"
	}
	return nil, providers.Errorf(providers.Denied, "%s: %w", name, err).WithHint("%s", hint)
}

func cancelled(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return &providers.Error{Code: providers.Cancelled, Err: err}
	}
	return nil
}
