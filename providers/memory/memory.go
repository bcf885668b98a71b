// Package memory is a platform that lives in memory, with a knob for every way
// in which real platforms differ: versions, preconditions, recovery windows,
// lag, lost answers, late writes, denials, outages. Tests and benchmarks use
// it, no program does: it is in no registry.
//
// A [World] is the platform, a [Driver] one process's view of it. Read
// [Options] first. The package knows no plan and no state.
package memory

import (
	"context"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/cofferhq/coffer/providers"
	"github.com/cofferhq/coffer/providers/secret"
)

// Options are the knobs of a [Driver]. The zero Options are a platform that
// can do nothing beyond the contract; [Full], [Versioned], [Counting],
// [Eventual] and [Files] are shaped like real ones.
type Options struct {
	// Prefix stands before every path; nothing outside it is seen.
	Prefix string

	Versions    bool          // older versions can be read
	Conditional bool          // preconditions hold against racing writers
	SoftDelete  time.Duration // the recovery window; 0 deletes for good
	Restore     bool          // Restorer
	Attributes  bool          // Attributer; without it no attribute is kept
	Tokens      bool          // the same operation id twice makes one version
	OpID        bool          // Meta tells the operation
	Patch       bool          // Patcher
	List        bool          // Lister
	Objects     bool          // ObjectDriver and AccessCompiler
	// Container makes the platform a BatchWriter.
	Container func(kind, path string) string
	// Promises announces versions before the effect.
	Promises bool
	// Envelopes: an object that changes gives the secrets of its container a new
	// envelope, and so a new version.
	Envelopes bool
	// ReuseVersions starts at 1 again after a delete.
	ReuseVersions bool
	// HideFields keeps field names out of Meta.
	HideFields bool
	// Blind makes every Read Denied: credentials that see metadata alone.
	Blind bool
	// ForbidEmpty makes empty values Invalid.
	ForbidEmpty bool
	// Counts: a write makes the number after the one that it replaces, and that
	// is known before (Predictor).
	Counts bool
	// Apart: attributes are written in a call of their own, "set_attributes",
	// after the value, so that they can be cut off from it.
	Apart bool
	// KeyInPath: the key of a single value is the last part of its path.
	KeyInPath bool
	// Purge: Purger.
	Purge bool
	// Setting is what every secret is to be kept with; one that was written
	// under another is told in Meta.Outdated.
	Setting string
	// Bindings compiles each grant to a policy and to a binding that has no room
	// for a mark, instead of one list of readers.
	Bindings bool
	// Mount is the container that all secrets lie in and that can be declared:
	// nothing can be written while it is missing, and its content goes with it.
	Mount string
	// Share names a part of a World beside others, as one mount of several: its
	// identity has that after a slash, and objects are those of the whole World.
	Share string
	// Staged: a mount is made as [Begun] by one call and brought to its document
	// by another, "configure_object", which can be cut off from it.
	Staged bool
	// Hides names paths that a List, and an Inspect of more than one path, pass
	// over without a word; only Prober tells them.
	Hides func(path string) bool
	// ByHand is how a person deletes a mount, and then no apply does.
	ByHand string
	// Standard is the document of a role or mount in which nobody wrote a setting.
	Standard string
	// Unseen is what the identity may not look at for who can read.
	Unseen []string
	// Cluster makes the platform one that runs programs: FormDriver, Sealer,
	// Deliverer, Roller, ConditionReader and the readers of a cluster; see cluster.go.
	Cluster bool
	// Exports: Exporter.
	Exports bool
	// Lease is how long the identity in use lasts.
	Lease providers.Lease

	Lag         int           // stale answers of Inspect and List after each effect
	Settle      time.Duration // told in Capabilities
	MaxBytes    int
	Concurrency int // 0 is 16

	// At is called before and after every call and between the check and the
	// effect of a write that is not conditional, at the points "before OP PATH",
	// "between OP PATH" and "after OP PATH". Its error is a crash: this driver
	// returns it from every later call, and the World lives on. It is called
	// without locks and may use the World, or end the process.
	At func(point string) error
}

// Driver is one process in front of a [World].
type Driver struct {
	w *World
	o Options

	mu   sync.Mutex
	dead error
}

// New returns a driver of w.
func New(w *World, o Options) *Driver { return &Driver{w: w, o: o} }

// Powers implements [providers.Powered]: a knob that is off takes the power
// away. Driver itself has none of the optional methods.
func (d *Driver) Powers() providers.Powers {
	p := providers.Powers{Placer: placer{d}}
	if d.o.Patch {
		p.Patcher = patcher{d}
	}
	if d.o.Attributes {
		p.Attributer = attributer{d}
	}
	if d.o.List {
		p.Lister = lister{d}
	}
	if d.o.Restore {
		p.Restorer = restorer{d}
	}
	if d.o.Container != nil {
		p.BatchWriter = batchWriter{d}
	}
	if d.o.Objects {
		p.ObjectDriver = objects{d}
		p.AccessCompiler = access{d}
		p.Declarer = declarer{d}
		p.AccessAuditor = auditor{d}
	}
	if d.o.Cluster {
		p.Placer = clusterPlacer{}
		p.FormDriver, p.Sealer, p.Deliverer = forms{}, sealer{d}, deliverer{}
		p.Roller, p.ConditionReader, p.AccessCompiler = roller{d}, conditions{d}, clusterAccess{}
	}
	if d.o.Exports {
		p.Exporter = exporter{}
	}
	if d.o.Purge {
		p.Purger = purger{d}
	}
	if d.o.Hides != nil {
		p.Prober = prober{d}
	}
	if d.o.Counts {
		p.Predictor = predictor{}
	}
	if d.o.Mount != "" {
		p.Incarnator = incarnator{d}
	}
	if d.o.Share != "" {
		p.ObjectScoper = objectScoper{}
	}
	if !d.o.Lease.Expires.IsZero() {
		p.Leaser = leaser{d}
	}
	return p
}

// Capabilities implements [providers.Driver].
func (d *Driver) Capabilities() providers.Capabilities {
	c := providers.Capabilities{
		Versioned: d.o.Versions, ConditionalWrite: d.o.Conditional, SoftDelete: d.o.SoftDelete > 0,
		ValueBlind: true, EventuallyConsistent: d.o.Lag > 0, Settle: d.o.Settle,
		KeyInPath: d.o.KeyInPath, MaxBytes: d.o.MaxBytes, Concurrency: d.o.Concurrency,
	}
	if c.Concurrency == 0 {
		c.Concurrency = 16
	}
	return c
}

// Identity implements [providers.Driver].
func (d *Driver) Identity(ctx context.Context) (string, error) {
	var id string
	err := d.call(ctx, "identity", "", step{commit: func() { id = d.w.identity }})
	if d.o.Share != "" && err == nil {
		id += "/" + d.o.Share
	}
	return id, err
}

// Inspect implements [providers.Driver].
func (d *Driver) Inspect(ctx context.Context, paths []string) (map[string]providers.Meta, error) {
	found := make(map[string]providers.Meta, len(paths))
	partial := &providers.PartialError{Paths: map[string]error{}}
	at := ""
	if len(paths) == 1 {
		at = paths[0]
	}
	err := d.call(ctx, "inspect", at, step{whole: true, commit: func() {
		for _, path := range paths {
			if len(paths) > 1 && d.hides(path) {
				continue
			}
			if err := d.w.pathFault("inspect", path); err != nil {
				partial.Paths[path] = err
			} else if m := d.answer(d.o.Prefix + path); m != nil {
				found[path] = *m
			}
		}
	}})
	if err == nil && len(partial.Paths) > 0 {
		return found, partial
	}
	if err != nil {
		return nil, err
	}
	return found, nil
}

func (d *Driver) hides(path string) bool { return d.o.Hides != nil && d.o.Hides(path) }

// answer is what this platform tells of a path, which may be out of date.
func (d *Driver) answer(path string) *providers.Meta {
	m := d.w.meta(path)
	if s := d.w.stale[path]; s != nil {
		m = s.was
		if s.left--; s.left <= 0 {
			delete(d.w.stale, path)
		}
	}
	return d.told(path, m)
}

// told takes out of m what this platform does not tell.
func (d *Driver) told(path string, m *providers.Meta) *providers.Meta {
	if m == nil {
		return nil
	}
	if !d.o.Attributes {
		m.Attributes = providers.Attributes{}
	}
	if !d.o.OpID {
		m.OpID = ""
	}
	if d.o.HideFields {
		m.Fields = nil
	}
	if r := d.w.get(path); r != nil && r.setting != d.o.Setting {
		m.Outdated = []string{"setting"}
	}
	if d.o.Envelopes && m.Envelope == "" {
		m.Envelope = "envelope-0"
	}
	return m
}

// Read implements [providers.Driver].
func (d *Driver) Read(ctx context.Context, path, version string) (secret.Value, error) {
	var v secret.Value
	var found bool
	if d.o.Cluster && strings.HasPrefix(path, sealedPrefix) {
		return v, providers.Errorf(providers.Unsupported, "nobody but the cluster reads it")
	}
	err := d.call(ctx, "read", path, step{commit: func() {
		v, found = d.w.read(d.o.Prefix+path, version)
	}})
	switch {
	case err == nil && d.o.Blind:
		return secret.Value{}, providers.Errorf(providers.Denied, "these credentials cannot read values")
	case err != nil:
		return secret.Value{}, err
	case !found && version != "":
		return v, providers.Errorf(providers.NotFound, "there is no version %s", version)
	case !found:
		return v, providers.Errorf(providers.NotFound, "there is no such secret")
	}
	return v, nil
}

func (w *World) read(path, name string) (secret.Value, bool) {
	r := w.live(path)
	if r == nil {
		return secret.Value{}, false
	}
	if name == "" || name == r.version() {
		return r.value, true
	}
	if r.more != nil {
		for _, old := range r.more.old {
			if old.name == name {
				return old.value, true
			}
		}
	}
	return secret.Value{}, false
}

// step is the body of a call. check decides and changes nothing, promise may
// tell what commit will do.
type step struct {
	whole   bool // only faults without a path hit the call as a whole
	check   func() (done bool, err error)
	promise func() error
	commit  func()
	// careless: time passes between check and commit, as on a platform without
	// preconditions.
	careless bool
}

// call runs one call with all that may go wrong with it.
func (d *Driver) call(ctx context.Context, op, path string, s step) error {
	if err := ctx.Err(); err != nil {
		return &providers.Error{Code: providers.Cancelled, Err: err}
	}
	if err := d.at("before", op, path); err != nil {
		return err
	}
	err := d.run(op, path, s)
	if crash := d.at("after", op, path); crash != nil {
		return crash
	}
	return err
}

func (d *Driver) at(when, op, path string) error {
	d.mu.Lock()
	dead := d.dead
	d.mu.Unlock()
	if dead != nil || d.o.At == nil {
		return dead
	}
	err := d.o.At(strings.TrimSpace(fmt.Sprintf("%s %s %s", when, op, path)))
	if err != nil {
		d.mu.Lock()
		d.dead = err
		d.mu.Unlock()
	}
	return err
}

func (d *Driver) run(op, path string, s step) error {
	w := d.w
	w.mu.Lock()
	defer w.mu.Unlock()
	w.begin(op)
	matched := path
	if s.whole {
		matched = "\x00" // no path, so a fault of a path does not fit
	}
	f := w.fault(op, matched)
	if f != nil && f.Effect == Refuse {
		return f.err()
	}
	if s.check != nil {
		if done, err := s.check(); done || err != nil {
			return err
		}
	}
	if s.promise != nil {
		if err := s.promise(); err != nil {
			return err
		}
	}
	if s.careless {
		if err := d.pause(op, path); err != nil {
			return err
		}
	}
	if f != nil && f.Effect == Land {
		w.late = append(w.late, &lateWrite{left: f.Calls, land: func() { s.land() }})
		return f.err()
	}
	s.commit()
	if f != nil {
		return f.err()
	}
	return nil
}

// pause lets others act between a check and its effect.
func (d *Driver) pause(op, path string) error {
	d.w.mu.Unlock()
	defer d.w.mu.Lock()
	runtime.Gosched()
	return d.at("between", op, path)
}

// land is commit at a later time: a platform with preconditions checks them
// then.
func (s step) land() {
	if s.check != nil && !s.careless {
		if done, err := s.check(); done || err != nil {
			return
		}
	}
	s.commit()
}
