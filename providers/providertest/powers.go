package providertest

import (
	"context"
	"errors"
	"maps"
	"slices"

	"github.com/cofferhq/coffer/providers"
	"github.com/cofferhq/coffer/providers/secret"
)

func fields(pairs ...string) secret.Value {
	m := map[string]secret.Value{}
	for i := 0; i < len(pairs); i += 2 {
		m[pairs[i]] = secret.String(pairs[i+1])
	}
	return secret.Object(m)
}

// patch: fields are set and dropped beside others that nobody reads.
func patch(s *session) {
	if !s.p.CanPatch() {
		s.cannot("the driver has no Patcher")
		return
	}
	if reason := s.h.Refuses["fields"]; reason != "" {
		s.Errorf("the driver has a Patcher, but the platform keeps no fields: %s", reason)
		return
	}
	path := s.path()
	m := s.create(path, fields("user", "app", "password", "one\n", "old", "x"))
	before := 0
	if s.inst.ValueReads != nil {
		before = s.inst.ValueReads()
	}
	s.spy.Reset()
	next, err := s.p.Patch(s.ctx, providers.WriteRequest{
		Path: path, Value: fields("password", "two\n", "new", "y"), Drop: []string{"old"}, OpID: s.op(), IfVersion: m.Version,
	})
	if err != nil {
		s.Fatalf("patch %s: %v", path, err)
	}
	if n := s.spy.Calls("read"); n > 0 {
		s.Errorf("a patch made %d value reads", n)
	}
	if s.inst.ValueReads != nil && s.inst.ValueReads() > before {
		s.Errorf("the platform saw %d value reads during a patch", s.inst.ValueReads()-before)
	}
	want := fields("user", "app", "password", "two\n", "new", "y")
	if next.Version == m.Version {
		s.Errorf("a patch made no new version")
	}
	s.wantUntouched(path, next, want)

	_, err = s.p.Patch(s.ctx, providers.WriteRequest{Path: path, Value: fields("user", "z"), OpID: s.op(), IfVersion: m.Version})
	s.wantCode(err, path+" (stale patch)", providers.Conflict)
	s.wantUntouched(path, next, want)
	gone := s.path()
	_, err = s.p.Patch(s.ctx, providers.WriteRequest{Path: gone, Value: fields("user", "z"), OpID: s.op(), IfVersion: m.Version})
	s.wantCode(err, gone+" (patch of nothing)", providers.Conflict, providers.NotFound)
	s.wantGone(gone)
}

// batches: one answer for each operation, in order. A precondition that fails
// is that operation's alone.
func batches(s *session) {
	paths := s.paths(8)
	container := s.p.Container(s.h.Kind, paths[0])
	if !s.p.Batches() {
		if container == s.p.Container(s.h.Kind, paths[1]) {
			s.Errorf("two paths are in one container, but the driver is no BatchWriter")
		}
		s.cannot("one write for many: the driver has no BatchWriter; Provider writes one by one")
	} else {
		paths = slices.DeleteFunc(paths, func(p string) bool { return s.p.Container(s.h.Kind, p) != container })
	}
	if len(paths) < 4 {
		s.Fatalf("the harness's first 8 paths share no container of 4 paths")
	}
	a, b, c, fresh := paths[0], paths[1], paths[2], paths[3]
	av, bv, cv := s.value(), s.value(), s.value()
	am, bm, cm := s.create(a, av), s.create(b, bv), s.create(c, cv)
	write := func(path, ifVersion string, v secret.Value) providers.Operation {
		return providers.Operation{Write: &providers.WriteRequest{Path: path, Value: v, OpID: s.op(), IfVersion: ifVersion}}
	}
	nv, fv := s.value(), s.value()
	results := s.p.WriteBatch(s.ctx, providers.Batch{Container: container, Ops: []providers.Operation{
		write(a, am.Version, nv),
		write(b, "no-such-version", s.value()),
		{Delete: &providers.DeleteRequest{Path: c, IfVersion: cm.Version}},
		write(fresh, "", fv),
		{},
	}})
	s.settle()
	if len(results) != 5 {
		s.Fatalf("%d results for 5 operations", len(results))
	}
	for _, i := range []int{0, 2, 3} {
		if results[i].Err != nil {
			s.Errorf("operation %d: %v", i, results[i].Err)
		}
	}
	s.wantCode(results[1].Err, b+" (stale in a batch)", providers.Conflict)
	s.wantCode(results[4].Err, "an empty operation", providers.Invalid)
	s.wantUntouched(a, results[0].Meta, nv)
	s.wantUntouched(b, bm, bv)
	s.wantGone(c)
	s.wantUntouched(fresh, results[3].Meta, fv)
}

// promises: a driver that knows versions beforehand tells them just before the
// effect, tells the truth, and goes no further when it cannot tell.
func promises(s *session) {
	path, v := s.path(), s.value()
	told := 0
	var promised map[string]string
	note := func(_ context.Context, versions map[string]string) error {
		told++
		promised = maps.Clone(versions)
		return nil
	}
	m := s.write(providers.WriteRequest{Path: path, Value: v, OpID: s.op(), Promise: note})
	if told == 0 {
		s.cannot("the platform makes its versions itself")
		return
	}
	if told > 1 {
		s.Errorf("one write made %d promises", told)
	}
	if promised[path] != m.Version || s.live(path).Version != m.Version {
		s.Errorf("version %q was promised, %q made", promised[path], m.Version)
	}
	broken := errors.New("the journal is full")
	_, err := s.p.Write(s.ctx, providers.WriteRequest{
		Path: path, Value: s.value(), OpID: s.op(), IfVersion: m.Version,
		Promise: func(context.Context, map[string]string) error { return broken },
	})
	if err == nil {
		s.Errorf("a write went on without its promise")
	}
	s.wantUntouched(path, m, v)
}

// carrying: under a new key every version of a container moves. Of what is not
// in the batch only the secrets that were at their recorded version are told.
func carrying(s *session) {
	if !s.p.Batches() || s.inst.Rekey == nil {
		s.cannot("a container does not change its key, or the harness has no Rekey")
		return
	}
	paths := s.paths(6)
	mine, same, edited, stranger, refused, late := paths[0], paths[1], paths[2], paths[3], paths[4], paths[5]
	container, known, values := s.p.Container(s.h.Kind, mine), map[string]string{}, map[string]secret.Value{}
	for _, path := range paths {
		if s.p.Container(s.h.Kind, path) != container {
			s.Fatalf("the harness's first 6 paths share no container")
		}
		values[path] = s.value()
		known[path] = s.create(path, values[path]).Version
	}
	for _, path := range []string{edited, refused} {
		values[path] = s.value()
		s.write(providers.WriteRequest{Path: path, Value: values[path], OpID: s.op(), IfVersion: known[path]})
	}
	rekey := s.inst.Rekey(mine)
	write := func(path, ifVersion string, v secret.Value, needs ...int) providers.Operation {
		return providers.Operation{Write: &providers.WriteRequest{Path: path, Value: v, OpID: s.op(), IfVersion: ifVersion}, Needs: needs}
	}
	next := s.value()
	var promised map[string]string
	results := s.p.WriteBatch(s.ctx, providers.Batch{
		Container: container, Known: map[string]string{same: known[same], edited: known[edited]},
		Ops: []providers.Operation{
			{Object: &rekey},
			write(mine, known[mine], next),
			write(refused, known[refused], s.value()), write(late, known[late], s.value(), 2),
		},
		Promise: func(_ context.Context, versions map[string]string) error {
			promised = maps.Clone(versions)
			return nil
		},
	})
	s.settle()
	if results[0].Err != nil || results[1].Err != nil {
		s.Fatalf("new key: %v, write: %v", results[0].Err, results[1].Err)
	}
	s.wantCode(results[2].Err, refused+" (stale under a new key)", providers.Conflict)
	s.wantCode(results[3].Err, late+" (needs what failed)", providers.Cancelled)
	moved := map[string]string{}
	for _, r := range results {
		for path, m := range r.Moved {
			if moved[path] != "" {
				s.Errorf("%s is told as moved twice", path)
			}
			moved[path] = m.Version
		}
	}
	now := s.live(same).Version
	if want := map[string]string{same: now}; now == known[same] || !maps.Equal(moved, want) {
		s.Errorf("told as moved: %q, want %q; recorded was %q", moved, want, known[same])
	}
	if want := map[string]string{same: now, mine: s.live(mine).Version}; promised != nil && !maps.Equal(promised, want) {
		s.Errorf("promised: %q, want %q", promised, want)
	}
	s.wantValue(mine, "", next)
	for _, path := range []string{same, edited, stranger, refused, late} {
		s.wantValue(path, "", values[path])
	}
}

// objects: public documents are made, seen, changed under a precondition and
// deleted.
func objects(s *session) {
	if !s.p.HasObjects() {
		s.cannot("the driver has no objects")
		return
	}
	if s.inst.Object == nil {
		s.cannot("the harness has no object to make")
		return
	}
	req := s.inst.Object()
	if n := len(s.objectsAt(req.Ref)); n > 0 {
		s.Errorf("%d objects before there are any", n)
	}
	made, err := s.p.WriteObject(s.ctx, req)
	if err != nil {
		s.Fatalf("write object: %v", err)
	}
	s.settle()
	seen := s.objectsAt(req.Ref)[req.Ref]
	if seen.Document != req.Document || seen.Version != made.Version || made.Version == "" {
		s.Errorf("the object reads version %q, document\n%s\nwant %q,\n%s", seen.Version, seen.Document, made.Version, req.Document)
	}
	stale := req
	stale.IfVersion = "no-such-version"
	stale.Document = ""
	_, err = s.p.WriteObject(s.ctx, stale)
	s.wantCode(err, req.Ref.Path+" (stale object)", providers.Conflict)
	if now := s.objectsAt(req.Ref)[req.Ref]; now.Document != req.Document {
		s.Errorf("a stale write changed the object")
	}
	stale.IfVersion = made.Version
	if _, err = s.p.WriteObject(s.ctx, stale); err != nil {
		if providers.CodeOf(err) == providers.Invalid || providers.CodeOf(err) == providers.Unsupported {
			s.cannot("deleting the object: %v", err)
			return
		}
		s.Errorf("delete object: %v", err)
	}
	s.settle()
	if n := len(s.objectsAt(req.Ref)); n > 0 {
		s.Errorf("the object is there after its delete")
	}
}

func (s *session) objectsAt(ref providers.ObjectRef) map[providers.ObjectRef]providers.Object {
	s.Helper()
	found, err := s.p.InspectObjects(s.ctx, []providers.ObjectRef{ref})
	if err != nil {
		s.Fatalf("inspect objects: %v", err)
	}
	return found
}
