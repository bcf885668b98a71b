package providertest

import (
	"sync"

	"github.com/cofferhq/coffer/providers"
	"github.com/cofferhq/coffer/providers/secret"
)

// racers is how many write at once, rounds how often.
const (
	racers = 6
	rounds = 5
)

// race: of those who write over the same version exactly one wins. A platform
// that enforces no precondition must at least let the losers notice.
func race(s *session) {
	path := s.path()
	base := ""
	for range rounds {
		values := make([]secret.Value, racers)
		metas := make([]providers.Meta, racers)
		errs := make([]error, racers)
		var wg sync.WaitGroup
		for i := range racers {
			values[i] = s.value()
			req := providers.WriteRequest{Path: path, Value: values[i], OpID: s.op(), IfVersion: base}
			p := s.p
			if i%2 == 1 && s.inst.Reopen != nil {
				p = s.provider(s.inst.Reopen())
			}
			wg.Go(func() { metas[i], errs[i] = p.Write(s.ctx, req) })
		}
		wg.Wait()
		s.settle()
		live := s.live(path)
		s.judgeRace(path, live, values, metas, errs)
		base = live.Version
	}
}

func (s *session) judgeRace(path string, live providers.Meta, values []secret.Value, metas []providers.Meta, errs []error) {
	s.Helper()
	accepted, winners := 0, 0
	for i := range errs {
		if errs[i] != nil {
			s.wantCode(errs[i], path, providers.Conflict)
			continue
		}
		accepted++
		if metas[i].Version == live.Version {
			winners++
			s.wantValue(path, "", values[i])
		}
	}
	if winners != 1 {
		s.Errorf("%d of %d racers own the live version %q, want 1", winners, racers, live.Version)
	}
	if s.caps.ConditionalWrite && accepted != 1 {
		s.Errorf("%d of %d racers were accepted, want 1", accepted, racers)
	}
}

// sameOperation: a request that is sent again, its answer being lost, makes
// nothing new. It is answered as the first was, or as a conflict.
func sameOperation(s *session) {
	path, v := s.path(), s.value()
	create := providers.WriteRequest{Path: path, Value: v, OpID: s.op()}
	m := s.write(create)
	s.repeat(create, m)

	v = s.value()
	update := providers.WriteRequest{Path: path, Value: v, OpID: s.op(), IfVersion: m.Version}
	m = s.write(update)
	s.repeat(update, m)
	s.wantValue(path, "", v)
}

func (s *session) repeat(req providers.WriteRequest, first providers.Meta) {
	s.Helper()
	again, err := s.p.Write(s.ctx, req)
	if err != nil {
		s.wantCode(err, req.Path, providers.Conflict)
	} else if again.Version != first.Version {
		s.Errorf("the same operation made version %q after %q", again.Version, first.Version)
	}
	s.wantUntouched(req.Path, first, req.Value)
}

// olderVersions: a versioned platform gives each version its own bytes back.
func olderVersions(s *session) {
	path := s.path()
	m := s.create(path, s.value())
	if _, err := s.p.Read(s.ctx, path, "no-such-version"); err == nil {
		s.Errorf("read of a version that never was: no error")
	} else {
		s.wantCode(err, path, providers.NotFound)
	}
	if !s.caps.Versioned {
		s.cannot("the platform keeps no older versions")
		return
	}
	type kept struct {
		version string
		value   secret.Value
	}
	var all []kept
	for range 4 {
		v := s.value()
		m = s.write(providers.WriteRequest{Path: path, Value: v, OpID: s.op(), IfVersion: m.Version})
		all = append(all, kept{m.Version, v})
	}
	for _, k := range all {
		s.wantValue(path, k.version, k.value)
	}
	s.wantValue(path, "", all[len(all)-1].value)
}

// deleting: what is gone is gone, deleting it again is no error, and a stale
// version deletes nothing.
func deleting(s *session) {
	if err := s.p.Delete(s.ctx, s.path(), ""); err != nil {
		s.Errorf("delete of what never was: %v", err)
	}
	path, v := s.path(), s.value()
	old := s.create(path, s.value())
	m := s.write(providers.WriteRequest{Path: path, Value: v, OpID: s.op(), IfVersion: old.Version})
	err := s.p.Delete(s.ctx, path, old.Version)
	s.wantCode(err, path+" (stale delete)", providers.Conflict)
	s.wantUntouched(path, m, v)

	other, ov := s.path(), s.value()
	om := s.create(other, ov)
	if err := s.p.Delete(s.ctx, path, m.Version); err != nil {
		s.Fatalf("delete %s: %v", path, err)
	}
	s.settle()
	s.wantGone(path)
	if err := s.p.Delete(s.ctx, path, m.Version); err != nil {
		s.Errorf("delete %s again: %v", path, err)
	}
	s.wantUntouched(other, om, ov)
}

// recreate: a name is free again after a delete, or taken until the recovery
// window ends and restorable until then.
func recreate(s *session) {
	path, v := s.path(), s.value()
	m := s.create(path, v)
	s.remove(path, m)
	if s.caps.SoftDelete {
		m = s.insideWindow(path, m, v)
		if s.inst.PassWindow == nil {
			s.cannot("after the recovery window: the harness cannot pass it")
			return
		}
		s.remove(path, m)
		s.inst.PassWindow()
		s.settle()
		if _, ok := s.find(path); ok {
			s.Errorf("%s is still told of after its recovery window", path)
		}
	}
	nv := s.value()
	again := s.create(path, nv)
	s.wantValue(path, "", nv)
	if now := s.live(path); now.Version == m.Version && now.Created.Equal(m.Created) && again.Created.Equal(m.Created) {
		s.Errorf("the new secret has version %q and time %v of the deleted one", now.Version, now.Created)
	}
}

func (s *session) remove(path string, m providers.Meta) {
	s.Helper()
	if err := s.p.Delete(s.ctx, path, m.Version); err != nil {
		s.Fatalf("delete %s: %v", path, err)
	}
	s.settle()
	s.wantGone(path)
}

func (s *session) insideWindow(path string, m providers.Meta, v secret.Value) providers.Meta {
	s.Helper()
	seen, ok := s.find(path)
	if !ok || seen.Deleted.IsZero() {
		s.Errorf("%s: deleted %v: want to be told inside the window", path, seen.Deleted)
	}
	// Where the window has no end of its own, somebody must be able to end it.
	if !seen.Purged.After(seen.Deleted) && (!seen.Purged.IsZero() || !s.p.CanPurge()) {
		s.Errorf("%s: deleted %v, purged %v: want the end of the window, or a driver that can purge", path, seen.Deleted, seen.Purged)
	}
	_, err := s.p.Write(s.ctx, providers.WriteRequest{Path: path, Value: s.value(), OpID: s.op()})
	s.wantCode(err, path+" (name taken)", providers.Conflict)
	if !s.p.CanUndelete() {
		s.cannot("restore: the driver has no Restorer")
		return m
	}
	back, err := s.p.Undelete(s.ctx, path)
	if err != nil {
		s.Fatalf("undelete %s: %v", path, err)
	}
	s.settle()
	if back.Version != m.Version || back.IsDeleted() {
		s.Errorf("undelete gives version %q, deleted %v; want %q, live", back.Version, back.IsDeleted(), m.Version)
	}
	s.wantUntouched(path, m, v)
	_, err = s.p.Undelete(s.ctx, s.path())
	s.wantCode(err, "undelete of what never was", providers.NotFound)
	return m
}
