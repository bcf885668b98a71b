package memory

import (
	"context"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/cofferhq/coffer/providers"
	"github.com/cofferhq/coffer/providers/secret"
)

// Write implements [providers.Driver].
func (d *Driver) Write(ctx context.Context, req providers.WriteRequest) (providers.Meta, error) {
	var meta providers.Meta
	c := d.change(req, false)
	s := c.step(&meta)
	s.promise = c.promise(ctx, req.Promise)
	if err := d.call(ctx, "write", req.Path, s); err != nil {
		return providers.Meta{}, err
	}
	return c.finish(ctx, meta)
}

// finish writes the attributes where that takes a call of its own. The value is
// there by then, so no error of it says that nothing happened.
func (c *change) finish(ctx context.Context, meta providers.Meta) (providers.Meta, error) {
	if !c.d.o.Apart || c.req.KeepAttributes {
		return meta, nil
	}
	done, err := attributer{c.d}.SetAttributes(ctx, c.req.Path, meta.Version, c.req.Attributes)
	return done, cutOff(err, "the value was written, its attributes were not")
}

type patcher struct{ d *Driver }

func (p patcher) Patch(ctx context.Context, req providers.WriteRequest) (providers.Meta, error) {
	var meta providers.Meta
	c := p.d.change(req, true)
	s := c.step(&meta)
	s.promise = c.promise(ctx, req.Promise)
	if err := p.d.call(ctx, "patch", req.Path, s); err != nil {
		return providers.Meta{}, err
	}
	return c.finish(ctx, meta)
}

// change is one new version on its way.
type change struct {
	d     *Driver
	req   providers.WriteRequest
	path  string // with the prefix
	patch bool
}

func (d *Driver) change(req providers.WriteRequest, patch bool) *change {
	return &change{d: d, req: req, path: d.o.Prefix + req.Path, patch: patch}
}

func (c *change) step(into *providers.Meta) step {
	return step{
		careless: !c.d.o.Conditional,
		check: func() (bool, error) {
			done, err := c.check()
			if done {
				*into = *c.d.told(c.path, c.d.w.meta(c.path))
			}
			return done, err
		},
		commit: func() {
			c.commit()
			*into = *c.d.told(c.path, c.d.w.meta(c.path))
		},
	}
}

// check reports whether this very change was made before, or why it cannot be
// made.
func (c *change) check() (done bool, err error) {
	if err := checkPath(c.req.Path); err != nil {
		return false, err
	}
	if err := c.checkValue(); err != nil {
		return false, err
	}
	w := c.d.w
	if m := c.d.o.Mount; m != "" && w.objects[providers.ObjectRef{Kind: KindMount, Path: m}] == nil {
		return false, providers.Errorf(providers.Invalid, "there is no mount %s", m)
	}
	r := w.live(c.path)
	if c.d.o.Tokens && c.req.OpID != "" && r != nil && r.op == c.req.OpID {
		return true, nil
	}
	if err := w.precondition(c.path, c.req.IfVersion); err != nil {
		return false, err
	}
	if c.patch && r == nil {
		return false, providers.Errorf(providers.NotFound, "there is no such secret to change")
	}
	if err := c.checkCluster(r); err != nil {
		return false, err
	}
	if c.patch && !r.value.IsObject() {
		return false, providers.Errorf(providers.Invalid, "the secret has no fields")
	}
	return false, nil
}

func (c *change) checkValue() error {
	v := c.req.Value
	if !c.patch && v.IsZero() {
		return providers.Errorf(providers.Invalid, "there is no value to write")
	}
	if !c.d.o.ForbidEmpty {
		return nil
	}
	parts := []secret.Value{v}
	if v.IsObject() {
		parts = nil
		for _, name := range v.Names() {
			field, _ := v.Field(name)
			parts = append(parts, field)
		}
	}
	for _, part := range parts {
		if len(plaintext(part)) == 0 {
			return providers.Errorf(providers.Invalid, "a value cannot be empty here")
		}
	}
	return nil
}

// precondition returns why the live version at a path is not the one expected.
func (w *World) precondition(path, ifVersion string) error {
	r := w.get(path)
	switch {
	case r == nil && ifVersion == "":
		return nil
	case r == nil:
		return providers.Errorf(providers.Conflict, "version %s is gone", ifVersion)
	case r.deleted():
		return providers.Errorf(providers.Conflict, "a deleted secret has the name until %s",
			time.Unix(0, r.more.purged).UTC().Format(time.DateOnly))
	case ifVersion == "":
		return providers.Errorf(providers.Conflict, "version %s exists already", r.version())
	case r.version() != ifVersion:
		return providers.Errorf(providers.Conflict, "the live version is %s, not %s", r.version(), ifVersion)
	}
	return nil
}

func (c *change) event() event {
	o := c.d.o
	e := event{
		Kind: eventPut, Path: c.path, value: c.req.Value, OpID: c.req.OpID, KeepOld: o.Versions, Reuse: o.ReuseVersions,
	}
	switch {
	case o.Apart || c.req.KeepAttributes:
		e.KeepAttributes = true
	case o.Attributes:
		e.Attributes, e.Setting = c.req.Attributes, o.Setting
	}
	if o.Cluster && strings.HasPrefix(c.req.Path, sealedPrefix) {
		e.Sealed = c.sealing()
	}
	if c.patch {
		e.value = secret.Value{}
		set := map[string]secret.Value{}
		for _, name := range c.req.Value.Names() {
			set[name], _ = c.req.Value.Field(name)
		}
		if r := c.d.w.live(c.path); r != nil { // it may go between check and effect
			e.value = r.value
		}
		e.value = e.value.With(set, c.req.Drop...)
	}
	return e
}

func (c *change) commit() {
	c.d.lag(c.path)
	c.d.w.commit(c.event())
}

// lag lets Inspect and List tell what is at the path now for a while longer.
func (d *Driver) lag(path string) {
	if d.o.Lag > 0 {
		d.w.stale[path] = &stale{was: d.w.meta(path), left: d.o.Lag}
	}
}

// promised is the version that commit will make.
func (c *change) promised() string {
	next := record{number: c.d.w.next(c.event())}
	if r := c.d.w.get(c.path); r != nil {
		next.envelope = r.envelope
	}
	return next.version()
}

func (c *change) promise(ctx context.Context, tell providers.Promise) func() error {
	if tell == nil || !c.d.o.Promises {
		return nil
	}
	return func() error {
		return tell(ctx, map[string]string{c.req.Path: c.promised()})
	}
}

// Delete implements [providers.Driver].
func (d *Driver) Delete(ctx context.Context, path, ifVersion string) error {
	return d.call(ctx, "delete", path, step{
		careless: !d.o.Conditional,
		check:    func() (bool, error) { return d.checkDelete(path, ifVersion) },
		commit:   func() { d.remove(path) },
	})
}

func (d *Driver) checkDelete(path, ifVersion string) (done bool, err error) {
	r := d.w.deletable(d.o.Prefix + path)
	switch {
	case r == nil:
		return true, nil
	case r.deleted() && r.version() == ifVersion: // what remains of it goes too
		return false, nil
	}
	return false, d.w.precondition(d.o.Prefix+path, ifVersion)
}

func (d *Driver) remove(path string) {
	path = d.o.Prefix + path
	if d.w.deletable(path) == nil {
		return // gone between check and effect
	}
	d.lag(path)
	d.w.commit(event{Kind: eventDelete, Path: path, Duration: d.o.SoftDelete})
}

type attributer struct{ d *Driver }

func (a attributer) SetAttributes(ctx context.Context, path, ifVersion string, set providers.Attributes) (providers.Meta, error) {
	d, whole := a.d, a.d.o.Prefix+path
	var meta providers.Meta
	err := d.call(ctx, "set_attributes", path, step{
		check: func() (bool, error) {
			if d.w.live(whole) == nil {
				return false, providers.Errorf(providers.NotFound, "there is no such secret")
			}
			return false, d.w.precondition(whole, ifVersion)
		},
		commit: func() {
			d.lag(whole)
			d.w.commit(event{Kind: eventAttributes, Path: whole, Attributes: set, Setting: d.o.Setting})
			meta = *d.told(whole, d.w.meta(whole))
		},
	})
	if err != nil {
		return providers.Meta{}, err
	}
	return meta, nil
}

type restorer struct{ d *Driver }

func (r restorer) Undelete(ctx context.Context, path string) (providers.Meta, error) {
	d, whole := r.d, r.d.o.Prefix+path
	var meta providers.Meta
	err := d.call(ctx, "undelete", path, step{
		check: func() (bool, error) {
			if r := d.w.get(whole); r == nil || !r.deleted() {
				return false, providers.Errorf(providers.NotFound, "there is no deleted secret of this name")
			}
			return false, nil
		},
		commit: func() {
			d.lag(whole)
			d.w.commit(event{Kind: eventUndelete, Path: whole})
			meta = *d.told(whole, d.w.meta(whole))
		},
	})
	if err != nil {
		return providers.Meta{}, err
	}
	return meta, nil
}

type lister struct{ d *Driver }

func (l lister) List(ctx context.Context) (map[string]providers.Meta, error) {
	d := l.d
	found := map[string]providers.Meta{}
	err := d.call(ctx, "list", "", step{commit: func() {
		for path := range d.w.secrets {
			rest, ours := strings.CutPrefix(path, d.o.Prefix)
			if !ours || d.hides(rest) {
				continue
			}
			if m := d.answer(path); m != nil {
				found[rest] = *m
			}
		}
		for path := range d.w.stale { // gone, and still told
			if rest, ours := strings.CutPrefix(path, d.o.Prefix); ours && d.w.secrets[path] == nil && !d.hides(rest) {
				if m := d.answer(path); m != nil {
					found[rest] = *m
				}
			}
		}
	}})
	if err != nil {
		return nil, err
	}
	return found, nil
}

type placer struct{ d *Driver }

func (p placer) DefaultPath(at providers.Place) (string, error) {
	name := at.Name
	if p.d.o.KeyInPath && at.Key != "" {
		name = at.Key
	}
	return strings.Join([]string{at.App, at.Environment, name}, "/"), nil
}

func (placer) Resolve(_, written string) (string, error) { return written, checkPath(written) }

func (placer) Written(path string) string { return path }

func checkPath(path string) error {
	if !utf8.ValidString(path) || strings.ContainsFunc(path, unicode.IsControl) {
		return providers.Errorf(providers.Invalid, "the path is not text")
	}
	for part := range strings.SplitSeq(path, "/") {
		if part == "" || part == "." || part == ".." {
			return providers.Errorf(providers.Invalid, "the path has the part %q", part)
		}
	}
	return nil
}
