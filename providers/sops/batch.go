package sops

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"slices"

	"github.com/cofferhq/coffer/providers"
)

// WriteBatch applies all operations on one file as one write of that file.
//
// The file is locked, read and verified. Each operation is checked against the
// version that is there; one that does not fit is a Conflict of its own, and
// the others go on. Operations on recipients come first, and where they fail
// nothing is written that others could then read. The new bytes are read back
// and proven before the promise is called with the new versions; then the file on disk must still be the one that was read, and
// is replaced at once. A file keeps no operation id: after an unknown outcome
// the promised version tells whose write it was.
//
// One recipient less makes a new data key, so every version of the file moves.
// Secrets that no operation changes are then promised and told as moved only
// where Known has the version they had; what was written by hand is encrypted
// anew as well and told to nobody.
func (d *Driver) WriteBatch(ctx context.Context, b providers.Batch) []providers.Result {
	w := &batch{d: d, name: b.Container, ops: b.Ops, known: b.Known, results: make([]providers.Result, len(b.Ops))}
	if err := w.run(ctx, b.Promise); err != nil {
		for i := range w.results {
			if w.results[i].Err == nil {
				w.results[i] = providers.Result{Err: err}
			}
		}
	}
	return w.results
}

// batch is one run of WriteBatch.
type batch struct {
	d       *Driver
	name    string
	ops     []providers.Operation
	known   map[string]string // see [providers.Batch]
	results []providers.Result
	seen    map[string]bool // paths that an operation was tried on

	raw  []byte // on disk; nil where there is no file
	mode fs.FileMode
	base *file // raw, parsed
	// file is base once the recipients are settled: what the editor edits.
	file    *file
	key     []byte
	opened  opened // of base
	locked  bool   // why key cannot be had was asked already
	keyErr  error
	ed      *editor
	settled bool // the recipients were asked for
	// noWrite is why no value may be written: the recipients are not settled.
	noWrite error
	// release: nobody looks after the recipients any more, so a file without
	// secrets goes.
	release bool
	changed bool
}

func (w *batch) run(ctx context.Context, promise providers.Promise) error {
	if err := cancelled(ctx); err != nil {
		return err
	}
	if err := locateFile(w.name); err != nil {
		return err
	}
	unlock, err := w.lock(ctx)
	if err != nil || unlock == nil {
		return err
	}
	defer unlock()
	if err := w.read(); err != nil {
		return err
	}
	w.operations()
	if !w.changed {
		w.report(w.file)
		return nil
	}
	return w.commit(ctx, promise)
}

// lock takes the folder's lock. Where the folder does not exist and nothing
// would be written, there is nothing to lock: unlock is nil then.
func (w *batch) lock(ctx context.Context) (unlock func(), err error) {
	there, err := w.d.disk.exists()
	if err != nil {
		return nil, err
	}
	if !there {
		if !slices.ContainsFunc(w.ops, creates) {
			return nil, w.nothingThere()
		}
		if err := w.d.disk.prepare("x"); err != nil {
			return nil, err
		}
	}
	return w.d.disk.lock(ctx)
}

func creates(op providers.Operation) bool {
	return op.Write != nil && op.Write.IfVersion == "" || op.Patch != nil && op.Patch.IfVersion == "" ||
		op.Object != nil && op.Object.Document != "" && op.Object.IfVersion == ""
}

// nothingThere answers a batch for a file that does not exist.
func (w *batch) nothingThere() error {
	w.operations()
	return nil
}

func (w *batch) read() error {
	raw, mode, err := w.d.readFile(w.name)
	if errors.Is(err, fs.ErrNotExist) {
		w.mode = 0o644 // what is in it is encrypted, and it is made to be committed
		return nil
	}
	if err != nil {
		return err
	}
	w.raw, w.mode = raw, mode
	w.base, err = w.d.parse(w.name, raw)
	w.file = w.base
	return err
}

// operations tries each operation, those on recipients first.
func (w *batch) operations() {
	w.seen = map[string]bool{}
	for i, op := range w.ops {
		if op.Object != nil {
			w.results[i].Err = w.object(op.Object)
		}
	}
	for i, op := range w.ops {
		if op.Object != nil {
			continue
		}
		failed := func(need int) bool { return need < 0 || need >= i || w.results[need].Err != nil }
		if slices.ContainsFunc(op.Needs, failed) {
			w.results[i].Err = providers.Errorf(providers.Cancelled, "not written, because what it is made of was not")
			continue
		}
		w.results[i].Err = w.operation(op)
	}
}

// operation checks one operation on a value and notes its edits.
func (w *batch) operation(op providers.Operation) error {
	switch {
	case op.Write != nil:
		return w.write(op.Write, false)
	case op.Patch != nil:
		return w.write(op.Patch, true)
	case op.Delete != nil:
		return w.delete(op.Delete)
	}
	return invalid("an operation without content")
}

// precondition finds what is at a path and compares its version.
func (w *batch) precondition(path, ifVersion string, missingOK bool) (place, *located, error) {
	p, err := locate(path)
	if err != nil {
		return p, nil, err
	}
	if p.file != w.name {
		return p, nil, invalid("%s lies in %s, and the batch is for %s", path, p.file, w.name)
	}
	if w.seen[path] {
		return p, nil, invalid("two operations on %s in one batch", path)
	}
	w.seen[path] = true
	var s *located
	if w.base != nil {
		if s, err = w.base.secret(p); err != nil {
			return p, nil, err
		}
	}
	switch {
	case s == nil && (ifVersion == "" || missingOK):
		return p, nil, nil
	case s == nil:
		return p, nil, providers.Errorf(providers.Conflict, "%s is gone: somebody removed it", path)
	case ifVersion == "":
		return p, nil, providers.Errorf(providers.Conflict, "%s exists already", path)
	case ifVersion != s.version():
		return p, nil, providers.Errorf(providers.Conflict, "%s was changed by somebody else since it was last seen", path)
	}
	return p, s, nil
}

func (w *batch) write(req *providers.WriteRequest, patch bool) error {
	if w.repeated(req) {
		return nil
	}
	p, s, err := w.precondition(req.Path, req.IfVersion, false)
	if err != nil {
		return err
	}
	c, err := newChange(p, req, patch)
	if err != nil {
		return err
	}
	if s != nil {
		if err := c.fits(s); err != nil {
			return err
		}
	}
	if w.noWrite != nil {
		return w.noWrite
	}
	if err := w.ready(); err != nil {
		return err
	}
	if s != nil { // where it stands once the recipients are settled
		if s, err = w.file.secret(p); err != nil {
			return err
		}
	}
	if err := c.allowed(w.file, s); err != nil {
		return err
	}
	if err := c.apply(w.ed, s); err != nil {
		return err
	}
	w.changed = true
	return nil
}

// repeated reports whether the last write of a path was this very operation
// and its version still lives.
func (w *batch) repeated(req *providers.WriteRequest) bool {
	w.d.mu.Lock()
	last := w.d.written[req.Path]
	w.d.mu.Unlock()
	p, err := locate(req.Path)
	if err != nil || w.base == nil || req.OpID == "" || last.op != req.OpID {
		return false
	}
	s, err := w.base.secret(p)
	return err == nil && s != nil && s.version() == last.version
}

func (w *batch) delete(req *providers.DeleteRequest) error {
	p, s, err := w.precondition(req.Path, req.IfVersion, true)
	if s == nil || err != nil {
		return err
	}
	if err := w.ready(); err != nil {
		return err
	}
	if s, err = w.file.secret(p); err != nil {
		return err
	}
	if s.parent != nil {
		w.ed.remove(s.entry)
	} else {
		for _, e := range s.entry.children {
			w.ed.remove(e)
		}
	}
	w.changed = true
	return nil
}

// ready makes the file editable: it exists, is open, and has an editor.
func (w *batch) ready() error {
	if w.ed != nil {
		return nil
	}
	if w.base == nil && w.file == nil {
		recipients, r, err := w.d.creation(w.name)
		if err != nil {
			return err
		}
		if err := w.create(recipients, r); err != nil {
			return err
		}
	}
	if err := w.unlock(); err != nil {
		return err
	}
	w.ed = &editor{file: w.file, key: w.key, random: w.d.random, want: w.file.contents(w.opened)}
	return nil
}

// unlock opens the file on disk, once.
func (w *batch) unlock() error {
	if w.base == nil || w.locked {
		return w.keyErr
	}
	w.locked = true
	if w.base.rigid != nil {
		w.keyErr = invalid("%s: %w", w.name, w.base.rigid)
		return w.keyErr
	}
	w.key, w.opened, w.keyErr = w.d.decrypt(w.base, w.name)
	return w.keyErr
}

// commit proves the new bytes, promises their versions and replaces the file.
func (w *batch) commit(ctx context.Context, promise providers.Promise) error {
	next, err := w.build()
	if err != nil {
		return err
	}
	versions, err := w.moved(next)
	if err != nil {
		return err
	}
	if promise != nil && len(versions) > 0 {
		if err := promise(ctx, versions); err != nil {
			return &providers.Error{Code: providers.Unavailable, Err: err}
		}
	}
	if err := cancelled(ctx); err != nil {
		return err
	}
	now, _, err := w.d.readFile(w.name)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if !bytes.Equal(now, w.raw) {
		return providers.Errorf(providers.Conflict, "%s was changed by somebody else just now", w.name).
			WithHint("plan again and look at what changed")
	}
	if err := w.replace(next); err != nil {
		return err
	}
	w.report(next)
	return nil
}

func (w *batch) replace(next *file) error {
	if next == nil {
		return w.d.disk.replace(w.name, nil, w.mode)
	}
	if w.base == nil {
		if err := w.d.disk.prepare(w.name); err != nil {
			return err
		}
	}
	return w.d.disk.replace(w.name, next.raw, w.mode)
}

// build returns the proven new file, nil where nothing is left in it.
func (w *batch) build() (*file, error) {
	edited, want := w.file, w.file.contents(w.opened)
	var err error
	if w.ed != nil {
		want = w.ed.want
		edited, err = decode(w.file.format, w.ed.bytes())
	}
	var next *file
	if err == nil {
		if w.empty(edited) {
			return nil, nil
		}
		next, err = finish(edited, w.key, w.d.now(), w.d.random, want, w.opened.unread)
	}
	if err != nil {
		return nil, invalid("%s cannot be written: %w; the file is unchanged", w.name, err)
	}
	return next, nil
}

// empty reports whether the last secret went and nothing else is left. A
// dotenv file is one secret, so its comments go with it.
func (w *batch) empty(edited *file) bool {
	if w.base == nil || len(w.base.entries) == 0 && !w.release {
		return false
	}
	return len(edited.entries) == 0 && (len(edited.leaves) == 0 || edited.format == formatDotenv)
}
