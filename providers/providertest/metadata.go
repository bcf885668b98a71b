package providertest

import (
	"maps"
	"slices"

	"github.com/cofferhq/coffer/providers"
)

func someAttributes() providers.Attributes {
	return providers.Attributes{
		Mark:        providers.Mark{Project: "conformance", Address: providers.AddressHash("app.a.secret.b"), Protected: true},
		Labels:      map[string]string{"team": "payments", "tier": "1"},
		Description: "written by the conformance suite",
	}
}

func sameAttributes(a, b providers.Attributes) bool {
	return a.Mark == b.Mark && maps.Equal(a.Labels, b.Labels) && a.Description == b.Description
}

// attributes: a change of metadata only leaves value and version alone, and
// what was set is told again.
func attributes(s *session) {
	path, v, set := s.path(), s.value(), someAttributes()
	m := s.write(providers.WriteRequest{Path: path, Value: v, OpID: s.op(), Attributes: set})
	if !s.p.KeepsAttributes() {
		if got := s.live(path).Attributes; !sameAttributes(got, providers.Attributes{}) {
			s.Errorf("attributes are told though the driver has no Attributer: %+v", got)
		}
		s.cannot("the driver keeps no attributes")
		return
	}
	s.wantAttributes(path, set)
	changed := set
	changed.Labels = map[string]string{"team": "core"}
	changed.Description = ""
	changed.Mark.Protected = false
	after, err := s.p.SetAttributes(s.ctx, path, m.Version, changed)
	if err != nil {
		s.Fatalf("set attributes of %s: %v", path, err)
	}
	if after.Version != m.Version {
		s.Errorf("set attributes made version %q of %q", after.Version, m.Version)
	}
	s.wantUntouched(path, m, v)
	s.wantAttributes(path, changed)

	_, err = s.p.SetAttributes(s.ctx, path, "no-such-version", set)
	s.wantCode(err, path+" (stale attributes)", providers.Conflict)
	s.wantAttributes(path, changed)
	_, err = s.p.SetAttributes(s.ctx, s.path(), m.Version, set)
	s.wantCode(err, "attributes of what never was", providers.NotFound, providers.Conflict)

	next := s.write(providers.WriteRequest{Path: path, Value: s.value(), OpID: s.op(), IfVersion: m.Version, Attributes: set})
	if next.Version == m.Version {
		s.Errorf("the update after it made no new version")
	}
	s.wantAttributes(path, set)
}

func (s *session) wantAttributes(path string, want providers.Attributes) {
	s.Helper()
	s.settle()
	if got := s.live(path).Attributes; !sameAttributes(got, want) {
		s.Errorf("attributes of %s are %+v, want %+v", path, got, want)
	}
}

// marks: whose a secret is can be told, and nobody's is told apart.
func marks(s *session) {
	if !s.p.KeepsAttributes() {
		s.cannot("the driver keeps no owner mark")
		return
	}
	ours := providers.Mark{Project: "conformance", Address: providers.AddressHash("app.a.secret.b")}
	theirs := providers.Mark{Project: "another-project", Address: providers.AddressHash("app.a.secret.b"), Protected: true}
	want := map[string]providers.Mark{}
	for _, mark := range []providers.Mark{ours, theirs, {}} {
		path := s.path()
		s.write(providers.WriteRequest{Path: path, Value: s.value(), OpID: s.op(), Attributes: providers.Attributes{Mark: mark}})
		want[path] = mark
	}
	if s.inst.Edit == nil {
		s.cannot("a stranger's secret: the harness cannot edit from outside")
	} else {
		path := s.path()
		s.inst.Edit(path, s.value())
		want[path] = providers.Mark{}
	}
	s.settle()
	found, err := s.p.Inspect(s.ctx, slices.Sorted(maps.Keys(want)))
	if err != nil {
		s.Fatalf("inspect: %v", err)
	}
	for path, mark := range want {
		if found[path].Attributes.Mark != mark {
			s.Errorf("mark of %s is %+v, want %+v", path, found[path].Attributes.Mark, mark)
		}
		taken, err := s.p.SetAttributes(s.ctx, path, found[path].Version, providers.Attributes{Mark: ours})
		if err != nil || taken.Attributes.Mark != ours {
			s.Errorf("take over %s: mark %+v, error %v", path, taken.Attributes.Mark, err)
		}
	}
}

// identity: constant for one instance, also for another process, and another
// for another instance.
func identity(s *session) {
	id, err := s.p.Identity(s.ctx)
	if err != nil {
		s.Fatalf("identity: %v", err)
	}
	s.create(s.path(), s.value())
	if again, err := s.inst.Driver.Identity(s.ctx); err != nil || again != id {
		s.Errorf("identity is %q, then %q, error %v", id, again, err)
	}
	if s.inst.Reopen != nil {
		if again, err := s.inst.Reopen().Identity(s.ctx); err != nil || again != id {
			s.Errorf("identity of another driver of the same place is %q, want %q, error %v", again, id, err)
		}
	}
	other := s.h.New(s.T)
	defer func() {
		if other.Close != nil && !s.Failed() {
			other.Close()
		}
	}()
	if there, err := other.Driver.Identity(s.ctx); err != nil || there == id {
		s.Errorf("identity of another instance is %q too, error %v", there, err)
	}
}

// capabilities: facts do not depend on what was done.
func capabilities(s *session) {
	before := s.inst.Driver.Capabilities()
	path := s.path()
	m := s.create(path, s.value())
	s.remove(path, m)
	if _, err := s.p.Inspect(s.ctx, []string{path}); err != nil {
		s.Errorf("inspect: %v", err)
	}
	if after := s.inst.Driver.Capabilities(); after != before {
		s.Errorf("capabilities were %+v and are %+v", before, after)
	}
	if before.Concurrency < 0 || before.MaxBytes < 0 || before.Settle < 0 {
		s.Errorf("a capability is negative: %+v", before)
	}
	if s.p.CanUndelete() && !before.SoftDelete {
		s.Errorf("the driver restores what it does not claim to soft-delete")
	}
	if before.EventuallyConsistent && s.inst.Settle == nil {
		s.Errorf("the platform is eventually consistent and the harness has no Settle")
	}
	if seen, ok := s.find(path); before.SoftDelete != (ok && seen.IsDeleted()) {
		s.Errorf("SoftDelete is %v, but a deleted secret is told of: %v", before.SoftDelete, ok)
	}
}

// changedOutside: another version, a later time, and who it was where the
// platform tells.
func changedOutside(s *session) {
	if s.inst.Edit == nil {
		s.cannot("the harness cannot edit from outside")
		return
	}
	path, v := s.path(), s.value()
	s.create(path, s.value())
	m := s.live(path)
	s.inst.Edit(path, v)
	s.settle()
	now := s.live(path)
	if now.Version == m.Version && now.Created.Equal(m.Created) {
		s.Errorf("version %q and time %v are as before the edit", now.Version, now.Created)
	}
	if !m.Created.IsZero() && now.Created.Before(m.Created) {
		s.Errorf("created %v, then %v", m.Created, now.Created)
	}
	if now.OpID != "" && now.OpID == m.OpID {
		s.Errorf("the edit is told as our operation %q", now.OpID)
	}
	if now.ChangedBy != s.inst.Editor {
		s.Errorf("changed by %q, want %q", now.ChangedBy, s.inst.Editor)
	}
	if s.inst.Editor == "" {
		s.cannot("who changed it: the platform does not tell")
	}
	s.wantValue(path, "", v)
	_, err := s.p.Write(s.ctx, providers.WriteRequest{Path: path, Value: s.value(), OpID: s.op(), IfVersion: m.Version})
	s.wantCode(err, path+" (changed outside)", providers.Conflict)
	s.wantCode(s.p.Delete(s.ctx, path, m.Version), path+" (changed outside)", providers.Conflict)
	s.wantUntouched(path, now, v)
}
