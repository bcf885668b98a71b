package providers

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cofferhq/coffer/providers/secret"
)

// Options are what a [Provider] takes from its surroundings. The zero value
// works.
type Options struct {
	// Parallelism limits calls at once below what the driver allows; 0 leaves
	// it to the driver.
	Parallelism int
	// MaxWait bounds the time that one call spends on retries, waiting
	// included; 0 is [DefaultMaxWait].
	MaxWait time.Duration
	// Now is the clock; without it only the waits count towards MaxWait.
	Now func() time.Time
	// Sleep waits for d or until ctx ends, and returns ctx's error then. Nil
	// is a timer.
	Sleep func(ctx context.Context, d time.Duration) error
	// Jitter returns numbers in [0, 1) and is safe for concurrent use. Nil is
	// the one of math/rand/v2.
	Jitter func() float64
	// Waiting is told once, when a call has to wait for more than a second, and
	// why. Nil is nobody.
	Waiting func(provider string, why error)
	// Log receives one record per call and retry: names and times, no value and
	// no text of a platform. Nil is none.
	Log *slog.Logger
}

// Provider stands in front of a driver. Every call to a platform goes through
// it, so what all platforms share exists once: a limit on calls at once,
// retries where they are safe, one [*Error] scrubbed of what was sent, and the
// count of values read. Its methods are safe for concurrent use.
//
// Every error of a method that does I/O is an [*Error] with Provider, Op and
// Path set; Inspect and InspectObjects may return a [*PartialError] of such
// errors instead. errors.Is finds context.Canceled and
// context.DeadlineExceeded; nothing else of the driver's error is kept but
// its scrubbed text.
type Provider struct {
	ref    string
	driver Driver
	powers Powers
	caps   Capabilities
	opts   Options
	slots  chan struct{}
	reads  atomic.Int64
	down   atomic.Bool // a call gave up waiting; others do not wait as well
	told   atomic.Bool // somebody was told that a call waits

	took  atomic.Int64 // nanoseconds that answered calls took
	calls atomic.Int64 // that were answered

	mu       sync.Mutex
	identity string
	early    prefetched
}

// New returns the provider called ref in front of d.
func New(ref string, d Driver, o Options) *Provider {
	p := &Provider{ref: ref, driver: d, powers: PowersOf(d), caps: d.Capabilities(), opts: o.withDefaults()}
	limit := max(p.caps.Concurrency, 1)
	if o.Parallelism > 0 {
		limit = min(limit, o.Parallelism)
	}
	p.slots = make(chan struct{}, limit)
	return p
}

// Ref returns the name the configuration uses, e.g. "aws.eu".
func (p *Provider) Ref() string { return p.ref }

// Capabilities returns the driver's facts.
func (p *Provider) Capabilities() Capabilities { return p.caps }

// Reads returns how many calls that read a value were made so far.
func (p *Provider) Reads() int { return int(p.reads.Load()) }

// Latency returns what an answered call took on average so far, waits left out;
// 0 where nothing was answered or there is no clock.
func (p *Provider) Latency() time.Duration {
	calls := p.calls.Load()
	if calls == 0 {
		return 0
	}
	return time.Duration(p.took.Load() / calls)
}

// Concurrency returns how many calls may run at once.
func (p *Provider) Concurrency() int { return cap(p.slots) }

// CanPatch reports whether [Provider.Patch] works.
func (p *Provider) CanPatch() bool { return p.powers.Patcher != nil }

// KeepsAttributes reports whether the platform has room for attributes, the
// owner mark among them.
func (p *Provider) KeepsAttributes() bool { return p.powers.Attributer != nil }

// CanList reports whether [Provider.List] works.
func (p *Provider) CanList() bool { return p.powers.Lister != nil }

// CanUndelete reports whether [Provider.Undelete] works.
func (p *Provider) CanUndelete() bool { return p.powers.Restorer != nil }

// HasObjects reports whether the platform has objects beside secrets.
func (p *Provider) HasObjects() bool { return p.powers.ObjectDriver != nil }

// Identity returns what pins the instance. The first success is kept.
func (p *Provider) Identity(ctx context.Context) (string, error) {
	p.mu.Lock()
	known := p.identity
	p.mu.Unlock()
	if known != "" {
		return known, nil
	}
	return take(p, func(e *prefetched) **early[string] { return &e.identity }, func() (string, error) { return p.askIdentity(ctx) })
}

func (p *Provider) askIdentity(ctx context.Context) (string, error) {
	var id string
	err := p.do(ctx, call{op: "identity", pure: true}, func(ctx context.Context) (err error) {
		id, err = p.driver.Identity(ctx)
		if err == nil && id == "" {
			err = Errorf(Invalid, "the instance has no identity")
		}
		return err
	})
	if err != nil {
		return "", err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.identity = id
	return id, nil
}

// Inspect returns the metadata of the given paths without needing a value. A
// path in neither the answer nor the error does not exist. With a
// [*PartialError] the answer holds every path that the error does not name;
// with any other error nothing is known. No paths make no call.
func (p *Provider) Inspect(ctx context.Context, paths []string) (map[string]Meta, error) {
	q := question[string, Meta]{p: p, op: "inspect", path: func(s string) string { return s }, ask: p.driver.Inspect}
	return q.answer(ctx, paths)
}

// List returns the metadata of everything below the provider's prefix by path.
// It is complete or an error; [Unsupported] where the platform cannot list.
func (p *Provider) List(ctx context.Context) (map[string]Meta, error) {
	return take(p, func(e *prefetched) **early[map[string]Meta] { return &e.list }, func() (map[string]Meta, error) { return p.askList(ctx) })
}

func (p *Provider) askList(ctx context.Context) (map[string]Meta, error) {
	c := call{op: "list", pure: true}
	if p.powers.Lister == nil {
		return nil, p.unsupported(c, "the platform cannot list secrets")
	}
	var found map[string]Meta
	err := p.do(ctx, c, func(ctx context.Context) (err error) {
		found, err = p.powers.Lister.List(ctx)
		return err
	})
	if err != nil {
		return nil, err
	}
	return found, nil
}

// Read returns the plaintext of one version, "" being the current one. Every
// call is counted. A missing secret or version is [NotFound].
func (p *Provider) Read(ctx context.Context, path, version string) (secret.Value, error) {
	var v secret.Value
	p.reads.Add(1)
	c := call{op: "read", path: path, pure: true}
	err := p.do(ctx, c, func(ctx context.Context) (err error) {
		v, err = p.driver.Read(ctx, path, version)
		return err
	})
	if err != nil {
		return secret.Value{}, err
	}
	return v, nil
}

// Write creates or replaces one secret. A value over the platform's size is
// [Invalid] without a call. An error whose code is not Definite is [Ambiguous]:
// the write may have happened and must be probed, not repeated.
func (p *Provider) Write(ctx context.Context, req WriteRequest) (Meta, error) {
	return p.write(ctx, "write", req, p.driver.Write)
}

// Patch sets and drops fields without reading the others. Errors are as those
// of [Provider.Write], and [Unsupported] where CanPatch is false.
func (p *Provider) Patch(ctx context.Context, req WriteRequest) (Meta, error) {
	if p.powers.Patcher == nil {
		return Meta{}, p.unsupported(call{op: "patch", path: req.Path}, "the platform cannot change single fields")
	}
	return p.write(ctx, "patch", req, p.powers.Patcher.Patch)
}

func (p *Provider) write(ctx context.Context, op string, req WriteRequest, do func(context.Context, WriteRequest) (Meta, error)) (Meta, error) {
	c := call{op: op, path: req.Path, sent: []secret.Value{req.Value}}
	if err := p.checkSize(req.Value); err != nil {
		return Meta{}, p.wrap(ctx, c, err)
	}
	req.Promise = c.watch(req.Promise)
	var meta Meta
	err := p.do(ctx, c, func(ctx context.Context) (err error) {
		meta, err = do(ctx, req)
		return err
	})
	if err != nil {
		return Meta{}, err
	}
	return meta, nil
}

// Delete removes the secret if its version is ifVersion. A missing secret is
// no error, another version is [Conflict].
func (p *Provider) Delete(ctx context.Context, path, ifVersion string) error {
	return p.do(ctx, call{op: "delete", path: path}, func(ctx context.Context) error {
		return p.driver.Delete(ctx, path, ifVersion)
	})
}

// SetAttributes changes attributes and neither the value nor its version;
// [Unsupported] where KeepsAttributes is false.
func (p *Provider) SetAttributes(ctx context.Context, path, ifVersion string, a Attributes) (Meta, error) {
	c := call{op: "set attributes", path: path}
	if p.powers.Attributer == nil {
		return Meta{}, p.unsupported(c, "the platform keeps no attributes")
	}
	var meta Meta
	err := p.do(ctx, c, func(ctx context.Context) (err error) {
		meta, err = p.powers.Attributer.SetAttributes(ctx, path, ifVersion, a)
		return err
	})
	if err != nil {
		return Meta{}, err
	}
	return meta, nil
}

// Undelete brings a soft-deleted secret back; [Unsupported] where CanUndelete
// is false, [NotFound] where nothing is left.
func (p *Provider) Undelete(ctx context.Context, path string) (Meta, error) {
	c := call{op: "undelete", path: path}
	if p.powers.Restorer == nil {
		return Meta{}, p.unsupported(c, "the platform cannot bring deleted secrets back")
	}
	var meta Meta
	err := p.do(ctx, c, func(ctx context.Context) (err error) {
		meta, err = p.powers.Restorer.Undelete(ctx, path)
		return err
	})
	if err != nil {
		return Meta{}, err
	}
	return meta, nil
}

// InspectObjects answers for objects as [Provider.Inspect] does for secrets; a
// [*PartialError] names the paths of the references.
func (p *Provider) InspectObjects(ctx context.Context, refs []ObjectRef) (map[ObjectRef]Object, error) {
	const op = "inspect objects"
	if p.powers.ObjectDriver == nil {
		if len(refs) == 0 {
			return map[ObjectRef]Object{}, nil
		}
		return nil, p.unsupported(call{op: op}, "the platform has no objects")
	}
	q := question[ObjectRef, Object]{
		p: p, op: op, path: func(r ObjectRef) string { return r.Path }, ask: p.powers.ObjectDriver.InspectObjects,
	}
	return q.answer(ctx, refs)
}

// WriteObject makes an object look like the request's document. Errors are as
// those of [Provider.Write].
func (p *Provider) WriteObject(ctx context.Context, req ObjectRequest) (Object, error) {
	c := call{op: "write object", path: req.Ref.Path}
	if p.powers.ObjectDriver == nil {
		return Object{}, p.unsupported(c, "the platform has no objects")
	}
	var object Object
	err := p.do(ctx, c, func(ctx context.Context) (err error) {
		object, err = p.powers.ObjectDriver.WriteObject(ctx, req)
		return err
	})
	if err != nil {
		return Object{}, err
	}
	return object, nil
}

func (p *Provider) unsupported(c call, text string) error {
	return p.wrap(context.Background(), c, Errorf(Unsupported, "%s", text))
}
