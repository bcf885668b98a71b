package providertest

import (
	"errors"
	"maps"
	"slices"

	"github.com/cofferhq/coffer/providers"
)

func (s *session) paths(n int) []string {
	paths := make([]string, n)
	for i := range paths {
		paths[i] = s.path()
	}
	return paths
}

// listing: all of ours, none of anybody else's, and what inspect tells.
func listing(s *session) {
	if !s.p.CanList() {
		s.cannot("the driver has no Lister")
		return
	}
	if found, err := s.p.List(s.ctx); err != nil || len(found) > 0 {
		s.Errorf("list of a fresh place: %d secrets, error %v", len(found), err)
	}
	paths := s.paths(s.h.Page)
	if s.inst.Elsewhere != nil {
		s.inst.Elsewhere()
	} else {
		s.cannot("what lies outside the prefix: the harness cannot put it there")
	}
	s.createMany(paths)
	gone := s.path()
	s.remove(gone, s.create(gone, s.value()))

	found, err := s.p.List(s.ctx)
	if err != nil {
		s.Fatalf("list: %v", err)
	}
	if m, ok := found[gone]; ok && !m.IsDeleted() || ok != s.caps.SoftDelete {
		s.Errorf("the deleted secret is listed: %v, as deleted: %v; SoftDelete is %v", ok, m.IsDeleted(), s.caps.SoftDelete)
	}
	delete(found, gone)
	s.wantExactly("list", found, paths)
	inspected, err := s.p.Inspect(s.ctx, paths)
	if err != nil {
		s.Fatalf("inspect: %v", err)
	}
	for path, m := range inspected {
		if l := found[path]; l.Version != m.Version || !l.Created.Equal(m.Created) {
			s.Errorf("%s: list says version %q of %v, inspect %q of %v", path, l.Version, l.Created, m.Version, m.Created)
		}
	}
}

func (s *session) wantExactly(what string, found map[string]providers.Meta, paths []string) {
	s.Helper()
	got := slices.Sorted(maps.Keys(found))
	want := slices.Sorted(slices.Values(paths))
	if slices.Equal(got, want) {
		return
	}
	s.Errorf("%s: %d paths, want %d", what, len(got), len(want))
	for _, path := range got {
		if _, ok := slices.BinarySearch(want, path); !ok {
			s.Errorf("%s: %q is not ours", what, path)
			return
		}
	}
	for _, path := range want {
		if _, ok := found[path]; !ok {
			s.Errorf("%s: %q is not there", what, path)
			return
		}
	}
}

// largeInspect: of very many paths exactly those that exist are answered,
// those that are forbidden are unknown, and the others are absent.
func largeInspect(s *session) {
	const absent = 3
	paths := s.paths(s.h.Many - absent - 1)
	s.createMany(paths)
	ask := append(slices.Clone(paths), s.paths(absent)...)
	if s.inst.Forbidden == "" {
		s.cannot("a forbidden one among them: the harness has none")
	} else {
		ask = append(ask, s.inst.Forbidden)
	}
	found, err := s.p.Inspect(s.ctx, ask)
	s.wantExactly("inspect", found, paths)
	if s.inst.Forbidden == "" {
		if err != nil {
			s.Errorf("inspect: %v", err)
		}
		return
	}
	s.wantPartial(err, s.inst.Forbidden, providers.Denied)
}

func (s *session) wantPartial(err error, path string, codes ...providers.Code) {
	s.Helper()
	var partial *providers.PartialError
	if !errors.As(err, &partial) {
		s.Errorf("error is %v, want a PartialError that names %s", err, path)
		return
	}
	if len(partial.Paths) != 1 || partial.Paths[path] == nil {
		s.Errorf("no answer for %q, want only %q", slices.Sorted(maps.Keys(partial.Paths)), path)
		return
	}
	s.wantCode(partial.Paths[path], path, codes...)
}

// partialFailure: a path that could not be looked at is named in the error. To
// say nothing of it would be to say that it is not there.
func partialFailure(s *session) {
	if s.inst.FailInspect == nil {
		s.cannot("the harness cannot make one path of an inspect fail")
		return
	}
	paths := s.paths(10)
	s.createMany(paths)
	s.inst.FailInspect(paths[4])
	found, err := s.p.Inspect(s.ctx, append(slices.Clone(paths), s.path()))
	s.wantExactly("inspect", found, append(slices.Clone(paths[:4]), paths[5:]...))
	s.wantPartial(err, paths[4], providers.Unavailable, providers.Throttled, providers.Unknown)

	found, err = s.p.Inspect(s.ctx, paths[4:5])
	if err == nil {
		s.Errorf("inspect of the failing path alone: %d answers and no error", len(found))
	}
}

// damage: what cannot be told of a container is unknown for each of its paths,
// those that were never there too, and a list without it is no answer.
func damage(s *session) {
	if !s.p.Batches() || s.inst.Damage == nil {
		s.cannot("no container can be damaged, or the harness cannot do it")
		return
	}
	paths := s.paths(3)
	s.createMany(paths)
	s.inst.Damage(paths[0])
	asked := append(slices.Clone(paths), s.path())
	found, err := s.p.Inspect(s.ctx, asked)
	s.wantExactly("inspect", found, nil)
	var partial *providers.PartialError
	if errors.As(err, &partial) {
		for _, path := range asked {
			if partial.Paths[path] == nil {
				s.Errorf("inspect of a damaged container does not say that %s is unknown", path)
			}
		}
	} else if err == nil {
		s.Errorf("inspect of a damaged container: no error")
	}
	if s.p.CanList() {
		if found, err := s.p.List(s.ctx); err == nil {
			s.Errorf("list beside a damaged container: %d secrets and no error", len(found))
		}
	}
}
