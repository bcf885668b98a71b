package memory

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/cofferhq/coffer/providers"
	"github.com/cofferhq/coffer/providers/secret"
)

// epoch is where the clock of a new World stands.
var epoch = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// World is the platform: what it stores, its clock, the faults it has and the
// calls it saw. Drivers come and go in front of it, as processes do, and see
// the same things. Paths given to a World are whole; a driver's prefix is part
// of them. All methods are safe for concurrent use.
type World struct {
	mu        sync.Mutex
	identity  string
	clock     int64 // nanoseconds; every effect moves it by a second
	secrets   map[string]*record
	used      map[string]uint64 // last version number of secrets that are gone
	objects   map[providers.ObjectRef]*object
	mounts    int // containers ever made
	strange   []providers.Undeclared
	lacks     map[providers.ObjectRef]providers.Lack
	stale     map[string]*stale
	late      []*lateWrite
	workloads map[string][]string // paths of Secrets, by that of the rollout
	sealing   providers.Sealing   // what sealed secrets are sealed with
	said      []providers.Condition
	faults    []*Fault
	counts    map[string]int
	single    []string // the field names of every single value
	file      *file
	fileError error
}

// record is one secret. It is kept small: a benchmark has 100,000 of them.
type record struct {
	number   uint64
	value    secret.Value
	op       string
	created  int64
	attrs    providers.Attributes
	setting  string
	sealed   string // what it is sealed with
	envelope uint32
	more     *more
}

// more is what few secrets have.
type more struct {
	old             []version
	by              string
	deleted, purged int64 // purged is 0 for one that is kept without an end
	remains         bool  // it is deleted, and its older versions are not
}

type version struct {
	name  string
	value secret.Value
}

type object struct {
	number uint64
	text   string
	attrs  providers.Attributes
	made   int // of a mount: which of those ever made
}

// stale is what a lagging platform still answers.
type stale struct {
	was  *providers.Meta // nil is "missing"
	left int
}

type lateWrite struct {
	left int
	land func()
}

// NewWorld returns an empty platform whose instance has the given identity.
func NewWorld(identity string) *World {
	return &World{
		identity:  identity,
		clock:     epoch.UnixNano(),
		secrets:   map[string]*record{},
		used:      map[string]uint64{},
		objects:   map[providers.ObjectRef]*object{},
		lacks:     map[providers.ObjectRef]providers.Lack{},
		workloads: map[string][]string{},
		sealing:   providers.Sealing{Envelope: "key-1"},
		stale:     map[string]*stale{},
		counts:    map[string]int{},
		single:    []string{""},
	}
}

func (r *record) version() string {
	if r.envelope == 0 {
		return strconv.FormatUint(r.number, 10)
	}
	return fmt.Sprintf("%d.%d", r.number, r.envelope)
}

func (r *record) deleted() bool { return r.more != nil && r.more.deleted != 0 }

func (r *record) extra() *more {
	if r.more == nil {
		r.more = &more{}
	}
	return r.more
}

// get returns what is at a path, soft-deleted or not; what a recovery window
// has let go of is gone.
func (w *World) get(path string) *record {
	r := w.secrets[path]
	if r != nil && r.deleted() && r.more.purged != 0 && w.clock >= r.more.purged {
		w.used[path] = r.number
		delete(w.secrets, path)
		return nil
	}
	return r
}

// live is get without what is deleted.
func (w *World) live(path string) *record {
	if r := w.get(path); r != nil && !r.deleted() {
		return r
	}
	return nil
}

// deletable is live, or what is deleted of which something remains.
func (w *World) deletable(path string) *record {
	if r := w.get(path); r != nil && r.deleted() && r.more.remains {
		return r
	}
	return w.live(path)
}

func (w *World) meta(path string) *providers.Meta {
	r := w.get(path)
	if r == nil {
		return nil
	}
	m := &providers.Meta{
		Version: r.version(), Created: time.Unix(0, r.created).UTC(), OpID: r.op,
		Attributes: r.attrs, Fields: w.single,
	}
	m.Attributes.Labels = maps.Clone(r.attrs.Labels)
	if r.value.IsObject() {
		m.Fields = r.value.Names()
	}
	m.Envelope = r.sealed
	if r.envelope > 0 {
		m.Envelope = fmt.Sprintf("envelope-%d", r.envelope)
	}
	if r.more != nil {
		m.ChangedBy = r.more.by
		if r.deleted() {
			m.Remains = r.more.remains
			m.Deleted = time.Unix(0, r.more.deleted).UTC()
			if r.more.purged != 0 {
				m.Purged = time.Unix(0, r.more.purged).UTC()
			}
		}
	}
	return m
}

// Now returns the platform's time.
func (w *World) Now() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return time.Unix(0, w.clock).UTC()
}

// Advance moves the platform's clock, past a recovery window for example.
func (w *World) Advance(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.commit(event{Kind: eventAdvance, Duration: d})
}

// SetIdentity makes the World another instance.
func (w *World) SetIdentity(identity string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.commit(event{Kind: eventIdentity, Text: identity})
}

// Edit writes a value as somebody else, past every driver. The attributes stay
// as they are; a new secret has none.
func (w *World) Edit(path string, v secret.Value, by string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.commit(event{Kind: eventPut, Path: path, value: v, By: by, KeepAttributes: true, KeepOld: true})
}

// Replace destroys what is at a path, every version of it, and writes a value as
// somebody else, whose version is the first again.
func (w *World) Replace(path string, v secret.Value, by string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.get(path) != nil {
		w.commit(event{Kind: eventDelete, Path: path})
	}
	w.commit(event{Kind: eventPut, Path: path, value: v, By: by, Reuse: true})
}

// SetMark changes the owner mark of a secret by hand; the zero mark takes it
// off. The version stays.
func (w *World) SetMark(path string, m providers.Mark) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if r := w.live(path); r != nil {
		a := r.attrs
		a.Mark = m
		w.commit(event{Kind: eventAttributes, Path: path, Attributes: a})
	}
}

// RemoveMark takes the owner mark off by hand.
func (w *World) RemoveMark(path string) { w.SetMark(path, providers.Mark{}) }

// Remove deletes a secret by hand, beyond recovery if window is zero, and to be
// kept without an end if it is negative.
func (w *World) Remove(path string, window time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.live(path) != nil {
		w.commit(event{Kind: eventDelete, Path: path, Duration: window})
	}
}

// RemoveCurrent deletes the live version of a secret by hand and leaves those
// before it.
func (w *World) RemoveCurrent(path string, window time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if r := w.live(path); r != nil {
		w.commit(event{Kind: eventDelete, Path: path, Duration: window, KeepOld: len(r.extra().old) > 0})
	}
}

// Reencrypt gives the secrets that match a new envelope by hand: their version
// changes, their value does not.
func (w *World) Reencrypt(match func(path string) bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, path := range slices.Sorted(maps.Keys(w.secrets)) {
		if match(path) {
			w.commit(event{Kind: eventEnvelope, Path: path})
		}
	}
}

// SetDocument changes an object by hand; empty text deletes it.
func (w *World) SetDocument(ref providers.ObjectRef, text string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.commit(event{Kind: eventObject, Ref: ref, Text: text, KeepAttributes: true})
}

// SetUndeclared is what gives access here and was made by somebody else.
func (w *World) SetUndeclared(list ...providers.Undeclared) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.strange = list
}

// SetLack is why an object that is not there cannot be made.
func (w *World) SetLack(ref providers.ObjectRef, lack providers.Lack) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.lacks[ref] = lack
}

// Document returns the text of an object, "" where there is none.
func (w *World) Document(ref providers.ObjectRef) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	if o := w.objects[ref]; o != nil {
		return o.text
	}
	return ""
}

// Rewind puts back what old, an earlier clone of w, held: a backup that was
// restored.
func (w *World) Rewind(old *World) {
	c := old.Clone()
	w.mu.Lock()
	defer w.mu.Unlock()
	w.secrets, w.used, w.objects = c.secrets, c.used, c.objects
}

// Value returns the live value at a path, uncounted, and whether there is one.
func (w *World) Value(path string) (secret.Value, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if r := w.live(path); r != nil {
		return r.value, true
	}
	return secret.Value{}, false
}

// Meta returns the current metadata at a path, whatever a lagging driver would
// answer, and whether there is any.
func (w *World) Meta(path string) (providers.Meta, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if m := w.meta(path); m != nil {
		return *m, true
	}
	return providers.Meta{}, false
}

// Paths returns every path with a live secret, in order.
func (w *World) Paths() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	var paths []string
	for path := range w.secrets {
		if w.live(path) != nil {
			paths = append(paths, path)
		}
	}
	slices.Sort(paths)
	return paths
}

// Settle lets every late write land, in order, and the lag pass.
func (w *World) Settle() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, l := range w.late {
		l.land()
	}
	w.late = nil
	clear(w.stale)
}

// Calls returns how many calls of an operation were made: "identity",
// "inspect", "read", "write", "patch", "delete", "set_attributes", "list",
// "undelete", "batch", "inspect_objects", "write_object", "configure_object", "purge",
// "incarnation", "lease", "audit_access", "sealing", "consumers" or "conditions". The empty name is all of them.
func (w *World) Calls(op string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	if op != "" {
		return w.counts[op]
	}
	n := 0
	for _, c := range w.counts {
		n += c
	}
	return n
}

// Reads returns how many calls read a value.
func (w *World) Reads() int { return w.Calls("read") }

// ResetCalls forgets the calls that were made.
func (w *World) ResetCalls() {
	w.mu.Lock()
	defer w.mu.Unlock()
	clear(w.counts)
}

// Clone returns a World with the same content and nothing in common: what is
// done to one is not seen in the other. Faults, late writes and the file of
// [OpenWorld] stay behind.
func (w *World) Clone() *World {
	w.mu.Lock()
	defer w.mu.Unlock()
	c := NewWorld(w.identity)
	c.clock, c.used, c.single, c.mounts, c.strange = w.clock, maps.Clone(w.used), w.single, w.mounts, w.strange
	c.lacks, c.workloads, c.sealing, c.said = maps.Clone(w.lacks), maps.Clone(w.workloads), w.sealing, slices.Clone(w.said)
	for path, r := range w.secrets {
		record := *r
		if r.more != nil {
			rest := *r.more
			rest.old = slices.Clone(rest.old)
			record.more = &rest
		}
		c.secrets[path] = &record
	}
	for ref, o := range w.objects {
		object := *o
		c.objects[ref] = &object
	}
	return c
}
