package manifests

import (
	"bytes"
	"context"
	"fmt"
	"slices"

	"github.com/cofferhq/coffer/providers"
	"github.com/cofferhq/coffer/providers/kubernetes/sealing"
)

// WriteBatch applies all operations on one file as one write of that file.
//
// The file is locked and read. Each operation is checked against the version that
// is there; one that does not fit is a Conflict of its own, and the others go on.
// The new bytes are read back before the promise is called with the new versions;
// then the file on disk must still be the one that was read, and is replaced at
// once. Each document has its operation id, so that after an unknown outcome the
// file tells whose write it was.
func (d *Driver) WriteBatch(ctx context.Context, b providers.Batch) []providers.Result {
	w := &batch{d: d, name: b.Container, ops: b.Ops, results: make([]providers.Result, len(b.Ops))}
	w.fail(w.run(ctx, b.Promise, w.operations))
	return w.results
}

// SetAttributes implements [providers.Attributer].
func (d *Driver) SetAttributes(ctx context.Context, path, ifVersion string, a providers.Attributes) (providers.Meta, error) {
	p, err := d.secretAt(path)
	if err != nil {
		return providers.Meta{}, err
	}
	w := &batch{d: d, name: p.file, results: make([]providers.Result, 1)}
	err = w.run(ctx, nil, func(context.Context) { w.results[0].Err = w.attributes(p, path, ifVersion, a) })
	if err == nil {
		err = w.results[0].Err
	}
	if err != nil {
		return providers.Meta{}, err
	}
	return w.next.find(p).secretMeta()
}

// batch is one run of WriteBatch.
type batch struct {
	d       *Driver
	name    string
	ops     []providers.Operation
	results []providers.Result
	seen    map[string]bool // paths that an operation was tried on

	base *file
	edit *edit
	next *file // as it is in the end
	key  *sealing.Key
	// keyErr is why nothing can be sealed.
	keyErr error
}

func (w *batch) fail(err error) {
	for i := range w.results {
		if err != nil && w.results[i].Err == nil {
			w.results[i] = providers.Result{Err: err}
		}
	}
}

func (w *batch) run(ctx context.Context, promise providers.Promise, do func(context.Context)) error {
	if err := cancelled(ctx); err != nil {
		return err
	}
	if err := checkFile(w.name); err != nil {
		return err
	}
	w.askKey(ctx)
	unlock, err := w.d.disk.lock(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	if w.base, err = w.d.load(w.name); err != nil {
		return err
	}
	w.seen, w.edit, w.next = map[string]bool{}, w.base.edit(), w.base
	do(ctx)
	if w.edit.changed {
		if err := w.commit(ctx, promise); err != nil {
			return err
		}
	}
	return w.report()
}

// askKey asks for what sealed values need, before anything is locked.
func (w *batch) askKey(ctx context.Context) {
	for _, op := range w.ops {
		req := op.Write
		if req == nil {
			req = op.Patch
		}
		if req == nil || w.key != nil || w.keyErr != nil {
			continue
		}
		if p, err := locate(req.Path); err == nil && p.resource == sealedSecrets {
			w.key, w.keyErr = w.d.keys.Key(ctx)
		}
	}
}

// operations tries each operation.
func (w *batch) operations(context.Context) {
	for i, op := range w.ops {
		failed := func(need int) bool { return need < 0 || need >= i || w.results[need].Err != nil }
		switch {
		case slices.ContainsFunc(op.Needs, failed):
			w.results[i].Err = providers.Errorf(providers.Cancelled, "not written, because what it is made of was not")
		case op.Write != nil:
			w.results[i].Err = w.write(op.Write, true)
		case op.Patch != nil:
			w.results[i].Err = w.write(op.Patch, false)
		case op.Delete != nil:
			w.results[i].Err = w.delete(op.Delete)
		case op.Object != nil:
			w.results[i].Err = w.object(op.Object)
		default:
			w.results[i].Err = invalid("an operation without content")
		}
	}
}

// commit proves the new bytes, promises their versions and replaces the file.
func (w *batch) commit(ctx context.Context, promise providers.Promise) error {
	raw := w.edit.bytes()
	next, err := parse(w.name, raw, w.base.mode)
	if err != nil {
		return fmt.Errorf("the file would not be readable, and is unchanged: %w", err)
	}
	versions, err := w.promised(next)
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
	now, _, err := w.d.disk.read(w.name)
	if err != nil {
		return err
	}
	if !bytes.Equal(now, w.base.raw) || (now == nil) != (w.base.raw == nil) {
		return providers.Errorf(providers.Conflict, "%s was changed by somebody else just now", w.name).
			WithHint("plan again and look at what changed")
	}
	if err := w.replace(raw); err != nil {
		return err
	}
	w.next = next
	return nil
}

func (w *batch) replace(raw []byte) error {
	if raw == nil && w.base.raw == nil {
		return nil
	}
	mode := w.base.mode
	if w.base.raw == nil {
		mode = modePublic
		if err := w.d.disk.prepare(w.name); err != nil {
			return err
		}
	}
	if w.edit.plaintext() {
		mode &= modePlaintext
	}
	return w.d.disk.replace(w.name, raw, mode)
}

// promised returns the versions that the effect makes.
func (w *batch) promised(next *file) (map[string]string, error) {
	versions := map[string]string{}
	for i, op := range w.ops {
		req := op.Write
		if req == nil {
			req = op.Patch
		}
		if req == nil || w.results[i].Err != nil {
			continue
		}
		m, err := metaAt(next, req.Path)
		if err != nil {
			return nil, err
		}
		versions[req.Path] = m.Version
	}
	return versions, nil
}

func metaAt(f *file, path string) (providers.Meta, error) {
	p, err := locate(path)
	if err != nil {
		return providers.Meta{}, err
	}
	doc := f.find(p)
	if doc == nil {
		return providers.Meta{}, invalid("%s is not in the file that was made, which is unchanged", path)
	}
	return doc.secretMeta()
}

// report says what is in the file now.
func (w *batch) report() error {
	for i, op := range w.ops {
		if w.results[i].Err != nil {
			continue
		}
		var err error
		switch {
		case op.Write != nil:
			w.results[i].Meta, err = metaAt(w.next, op.Write.Path)
		case op.Patch != nil:
			w.results[i].Meta, err = metaAt(w.next, op.Patch.Path)
		case op.Object != nil && op.Object.Document != "":
			p, _ := locate(op.Object.Ref.Path)
			w.results[i].Object = w.next.find(p).object()
		}
		if err != nil {
			return err
		}
	}
	return nil
}
