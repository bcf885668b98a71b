package providertest

import (
	"context"
	"errors"

	"github.com/cofferhq/coffer/providers"
)

// most is how often one call may be tried.
const most = 10

// attempt is one call of each kind that the driver knows.
type attempt struct {
	op   string
	call func(ctx context.Context, p *providers.Provider) error
	// effect: it would change something, so an unclear outcome is Ambiguous.
	effect bool
}

// attempts returns calls that would all succeed on a live secret.
func (s *session) attempts(path, version string) []attempt {
	ignore := func(_ any, err error) error { return err }
	list := []attempt{
		{op: "identity", call: func(ctx context.Context, p *providers.Provider) error { return ignore(p.Identity(ctx)) }},
		{op: "inspect", call: func(ctx context.Context, p *providers.Provider) error { return ignore(p.Inspect(ctx, []string{path})) }},
		{op: "read", call: func(ctx context.Context, p *providers.Provider) error { return ignore(p.Read(ctx, path, "")) }},
		{op: "write", effect: true, call: func(ctx context.Context, p *providers.Provider) error {
			return ignore(p.Write(ctx, providers.WriteRequest{Path: path, Value: s.value(), OpID: s.op(), IfVersion: version}))
		}},
		{op: "delete", effect: true, call: func(ctx context.Context, p *providers.Provider) error { return p.Delete(ctx, path, version) }},
	}
	if s.p.CanList() {
		list = append(list, attempt{op: "list", call: func(ctx context.Context, p *providers.Provider) error { return ignore(p.List(ctx)) }})
	}
	if s.p.KeepsAttributes() {
		list = append(list, attempt{op: "set attributes", effect: true, call: func(ctx context.Context, p *providers.Provider) error {
			return ignore(p.SetAttributes(ctx, path, version, someAttributes()))
		}})
	}
	if s.p.Batches() {
		list = append(list, attempt{op: "write batch", effect: true, call: func(ctx context.Context, p *providers.Provider) error {
			op := providers.Operation{Delete: &providers.DeleteRequest{Path: path, IfVersion: version}}
			batch := providers.Batch{Container: p.Container(s.h.Kind, path), Ops: []providers.Operation{op}}
			return p.WriteBatch(ctx, batch)[0].Err
		}})
	}
	return list
}

// cancelled: a call whose context has ended says so and does nothing, whether
// it ended long before or just as the driver was called.
func cancelled(s *session) {
	path, v := s.path(), s.value()
	m := s.create(path, v)
	m = s.live(path)
	for _, a := range s.attempts(path, m.Version) {
		ctx, cancel := context.WithCancel(s.ctx)
		cancel()
		s.spy.Reset()
		if err := a.call(ctx, s.provider(s.spy)); !errors.Is(err, context.Canceled) {
			s.Errorf("%s with a cancelled context: %v, want context.Canceled", a.op, err)
		}
		if n := s.spy.Calls(""); n > 0 {
			s.Errorf("%s with a cancelled context made %d calls", a.op, n)
		}

		ctx, cancel = context.WithCancel(s.ctx)
		s.spy.Before = func(string) { cancel() }
		err := a.call(ctx, s.provider(s.spy))
		s.spy.Before = nil
		cancel()
		if !errors.Is(err, context.Canceled) {
			s.Errorf("%s cancelled on its way: %v, want context.Canceled", a.op, err)
		}
		s.wantUntouched(path, m, v)
	}
}

// refusals: what is forbidden is Denied at once; what cannot be reached is
// Unavailable after a bounded number of tries. Neither looks like absence.
func refusals(s *session) {
	if s.inst.Forbidden == "" {
		s.cannot("denied: the harness has no forbidden path")
	} else {
		s.denied()
	}
	if s.inst.Outage == nil {
		s.cannot("outage: the harness cannot cut the platform off")
		return
	}
	path, v := s.path(), s.value()
	s.create(path, v)
	m := s.live(path)
	for _, a := range s.attempts(path, m.Version) {
		s.inst.Outage(true)
		s.spy.Reset()
		s.slept = 0
		err := a.call(s.ctx, s.provider(s.spy))
		s.inst.Outage(false)
		codes := []providers.Code{providers.Unavailable, providers.Throttled}
		if a.effect {
			codes = append(codes, providers.Ambiguous)
		}
		s.wantCode(unpack(err, path), a.op+" during an outage", codes...)
		if n := s.spy.Calls(""); n < 1 || n > most {
			s.Errorf("%s during an outage was tried %d times, want 1 to %d", a.op, n, most)
		}
		if s.slept > maxWait {
			s.Errorf("%s during an outage waited %v, more than %v", a.op, s.slept, maxWait)
		}
	}
	s.wantUntouched(path, m, v)
}

func (s *session) denied() {
	path := s.inst.Forbidden
	for _, a := range s.attempts(path, "1") {
		if a.op == "identity" || a.op == "list" || a.op == "write batch" {
			continue // not about this path alone
		}
		s.spy.Reset()
		err := a.call(s.ctx, s.p)
		s.wantCode(unpack(err, path), a.op+" of a forbidden path", providers.Denied)
		if n := s.spy.Calls(""); n != 1 {
			s.Errorf("%s of a forbidden path was tried %d times, want once", a.op, n)
		}
	}
}

// unpack returns what a PartialError says of one path, and other errors as
// they are.
func unpack(err error, path string) error {
	var partial *providers.PartialError
	if errors.As(err, &partial) {
		return partial.Paths[path]
	}
	return err
}

// valueBlind: metadata is all that inspect and list ask for.
func valueBlind(s *session) {
	if s.caps.ValueBlind && s.inst.ValueReads == nil && s.inst.Blind == nil {
		s.Errorf("the driver claims ValueBlind: the harness needs ValueReads or Blind to show it")
		return
	}
	paths := s.paths(12)
	s.createMany(paths)
	ask := append(s.paths(2), paths...)
	before := 0
	if s.inst.ValueReads != nil {
		before = s.inst.ValueReads()
	}
	s.spy.Reset()
	s.lookAround(s.p, ask, paths)
	if n := s.spy.Calls("read") + s.p.Reads(); n > 0 {
		s.Errorf("%d value reads through the driver, want none", n)
	}
	if s.inst.ValueReads != nil {
		if n := s.inst.ValueReads() - before; n > 0 {
			s.Errorf("the platform saw %d value reads during inspect and list, want none", n)
		}
	} else {
		s.cannot("counting at the platform: the harness has no ValueReads")
	}
	switch {
	case !s.caps.ValueBlind:
		s.cannot("without permission to read values: the platform has no such permission")
	case s.inst.Blind == nil:
		s.cannot("without permission to read values: the harness has no Blind")
	default:
		blind := s.provider(s.inst.Blind())
		s.lookAround(blind, ask, paths)
		_, err := blind.Read(s.ctx, paths[0], "")
		s.wantCode(err, "read without permission", providers.Denied)
	}
}

func (s *session) lookAround(p *providers.Provider, ask, want []string) {
	s.Helper()
	found, err := p.Inspect(s.ctx, ask)
	if err != nil {
		s.Errorf("inspect: %v", err)
	}
	s.wantExactly("inspect", found, want)
	if p.CanList() {
		found, err = p.List(s.ctx)
		if err != nil {
			s.Errorf("list: %v", err)
		}
		s.wantExactly("list", found, want)
	}
	if p.HasObjects() && s.inst.Object != nil {
		if _, err := p.InspectObjects(s.ctx, []providers.ObjectRef{s.inst.Object().Ref}); err != nil {
			s.Errorf("inspect objects: %v", err)
		}
	}
}
