package memory

import (
	"context"
	"maps"
	"slices"
	"strings"

	"github.com/cofferhq/coffer/providers"
)

type batchWriter struct{ d *Driver }

func (b batchWriter) Container(kind, path string) string { return b.d.o.Container(kind, path) }

// batch is a set of operations on its way.
type batch struct {
	d       *Driver
	ops     []providers.Operation
	known   map[string]string
	results []providers.Result
	open    []int // operations that passed their check and are to be done
}

func (b batchWriter) WriteBatch(ctx context.Context, req providers.Batch) []providers.Result {
	t := &batch{d: b.d, ops: req.Ops, known: req.Known}
	t.results = make([]providers.Result, len(req.Ops))
	s := step{check: t.check, commit: t.commit}
	if req.Promise != nil && b.d.o.Promises {
		s.promise = func() error { return req.Promise(ctx, t.promised(req.Container)) }
	}
	if err := b.d.call(ctx, "batch", req.Container, s); err != nil {
		for i := range t.results {
			if t.results[i].Err == nil {
				t.results[i] = providers.Result{Err: err}
			}
		}
	}
	return t.results
}

// check decides each operation by itself.
func (b *batch) check() (done bool, err error) {
	b.open = nil
	for i, op := range b.ops {
		done, err := b.checkOne(i, op)
		b.results[i].Err = err
		if !done && err == nil {
			b.open = append(b.open, i)
		}
	}
	return len(b.open) == 0, nil
}

func (b *batch) checkOne(i int, op providers.Operation) (done bool, err error) {
	w := b.d.w
	for _, need := range op.Needs {
		if b.results[need].Err != nil {
			return false, providers.Errorf(providers.Cancelled, "not written, because what it is made of was not")
		}
	}
	switch {
	case op.Delete != nil:
		if err := w.pathFault("delete", op.Delete.Path); err != nil {
			return false, err
		}
		return b.d.checkDelete(op.Delete.Path, op.Delete.IfVersion)
	case op.Object != nil:
		if err := w.pathFault("write_object", op.Object.Ref.Path); err != nil {
			return false, err
		}
		return false, b.d.checkObject(*op.Object)
	}
	c, name := b.change(op)
	if err := w.pathFault(name, c.req.Path); err != nil {
		return false, err
	}
	done, err = c.check()
	if done {
		b.results[i].Meta = *b.d.told(c.path, w.meta(c.path))
	}
	return done, err
}

func (b *batch) change(op providers.Operation) (*change, string) {
	if op.Patch != nil {
		return b.d.change(*op.Patch, true), "patch"
	}
	return b.d.change(*op.Write, false), "write"
}

// promised tells the versions of everything the batch will change, but for what
// is carried along and not known.
func (b *batch) promised(container string) map[string]string {
	versions := map[string]string{}
	carries := b.carries()
	if carries {
		for _, path := range b.d.inContainer(container) {
			if r := *b.d.w.live(b.d.o.Prefix + path); b.known[path] == r.version() {
				r.envelope++
				versions[path] = r.version()
			}
		}
	}
	for _, i := range b.open {
		op := b.ops[i]
		switch {
		case op.Delete != nil:
			versions[op.Delete.Path] = ""
		case op.Object == nil:
			c, _ := b.change(op)
			next := record{number: b.d.w.next(c.event())}
			if r := b.d.w.get(c.path); r != nil {
				next.envelope = r.envelope
				if carries {
					next.envelope++
				}
			}
			versions[c.req.Path] = next.version()
		}
	}
	return versions
}

func (b *batch) carries() bool {
	return b.d.o.Envelopes && slices.ContainsFunc(b.open, func(i int) bool { return b.ops[i].Object != nil })
}

func (b *batch) commit() {
	touched := map[string]bool{}
	moved := map[string]providers.Meta{}
	first := -1
	for _, i := range b.open {
		op := b.ops[i]
		if op.Object == nil {
			continue
		}
		// Objects come first: the new envelope is there for what follows.
		maps.Copy(moved, b.d.commitObject(*op.Object, b.known))
		b.results[i].Object = b.d.object(op.Object.Ref)
		if first < 0 {
			first = i
		}
	}
	for _, i := range b.open {
		switch op := b.ops[i]; {
		case op.Object != nil:
		case op.Delete != nil:
			b.d.remove(op.Delete.Path)
			touched[op.Delete.Path] = true
		default:
			c, _ := b.change(op)
			c.commit()
			b.results[i].Meta = *b.d.told(c.path, b.d.w.meta(c.path))
			touched[c.req.Path] = true
		}
	}
	maps.DeleteFunc(moved, func(path string, _ providers.Meta) bool { return touched[path] })
	if len(moved) > 0 {
		b.results[first].Moved = moved
	}
}

// inContainer returns the live secrets of a container.
func (d *Driver) inContainer(name string) []string {
	var paths []string
	for path := range d.w.secrets {
		rest, ours := strings.CutPrefix(path, d.o.Prefix)
		if ours && d.o.Container("secret", rest) == name && d.w.live(path) != nil {
			paths = append(paths, rest)
		}
	}
	slices.Sort(paths)
	return paths
}
