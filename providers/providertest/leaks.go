package providertest

import (
	"bytes"
	"fmt"
	"log/slog"

	"github.com/cofferhq/coffer/providers"
	"github.com/cofferhq/coffer/providers/providertest/canary"
	"github.com/cofferhq/coffer/providers/secret"
)

// canaries: recognisable values go through every call that can fail, and are
// found in nothing that can be printed: not in errors, metadata, logs, nor in
// what the driver keeps at rest where it encrypts itself.
func canaries(s *session) {
	var sink bytes.Buffer
	path := s.path()
	base := ""
	for _, c := range canary.Values() {
		for _, v := range []secret.Value{
			secret.New(c.Value),
			secret.Object(map[string]secret.Value{"first": secret.New(c.Value), "second": secret.New(c.Value)}),
		} {
			base = s.leak(&sink, path, base, v)
		}
	}
	fmt.Fprintf(&sink, "%+v %#v", s.spy.Log(), s.p.Capabilities())
	finder := canary.NewFinder(canary.Values()...)
	for _, hit := range finder.Find(sink.Bytes()) {
		s.Errorf("in an error or print: %v", hit)
	}
	for _, hit := range finder.Find(s.log.Bytes()) {
		s.Errorf("in the log: %v", hit)
	}
	if s.inst.AtRest == nil {
		s.cannot("at rest: the platform, not the driver, keeps the bytes")
		return
	}
	for _, hit := range finder.Find(s.inst.AtRest()) {
		s.Errorf("at rest: %v", hit)
	}
}

// leak writes v over version base in every wrong way and then the right one,
// prints whatever comes back, and returns the new version.
func (s *session) leak(sink *bytes.Buffer, path, base string, v secret.Value) string {
	write := func(p *providers.Provider, path, ifVersion string) (providers.Meta, error) {
		m, err := p.Write(s.ctx, providers.WriteRequest{Path: path, Value: v, OpID: s.op(), IfVersion: ifVersion})
		print(sink, m, err)
		return m, err
	}
	_, _ = write(s.p, path, "no-such-version")
	if base != "" {
		_, _ = write(s.p, path, "")
	}
	if s.inst.Forbidden != "" {
		_, _ = write(s.p, s.inst.Forbidden, "")
	}
	if s.inst.Outage != nil {
		s.inst.Outage(true)
		p := s.provider(s.spy)
		_, _ = write(p, path, base)
		_, err := p.Read(s.ctx, path, "")
		print(sink, nil, err)
		s.inst.Outage(false)
	}
	m, err := write(s.p, path, base)
	if err != nil {
		s.wantCode(err, path, providers.Invalid) // a shape that is refused; point 3 says which may be
		return base
	}
	s.settle()
	found, err := s.p.Inspect(s.ctx, []string{path, s.path()})
	print(sink, found, err)
	if s.p.CanList() {
		found, err = s.p.List(s.ctx)
		print(sink, found, err)
	}
	got, err := s.p.Read(s.ctx, path, "no-such-version")
	print(sink, got, err)
	print(sink, nil, s.p.Delete(s.ctx, path, "no-such-version"))
	got, err = s.p.Read(s.ctx, path, "")
	print(sink, got, err)
	return m.Version
}

// print writes what a careless program would print of v and err.
func print(sink *bytes.Buffer, v any, err error) {
	log := slog.New(slog.NewTextHandler(sink, nil))
	for _, x := range []any{v, err} {
		fmt.Fprintf(sink, "%v|%+v|%#v|%s|%q|%x\n", x, x, x, x, fmt.Sprint(x), fmt.Sprint(x))
		log.Info("printed", "it", x)
	}
}
