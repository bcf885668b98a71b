package providertest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"time"

	"github.com/cofferhq/coffer/providers"
	"github.com/cofferhq/coffer/providers/secret"
)

// session is one point on one instance.
type session struct {
	T
	ctx   context.Context
	h     Harness
	point point
	inst  *Instance
	spy   *Spy
	p     *providers.Provider
	caps  providers.Capabilities

	mu     sync.Mutex
	log    bytes.Buffer
	slept  time.Duration
	number int
}

func newSession(t T, h Harness, p point) *session {
	s := &session{T: t, ctx: t.Context(), h: h, point: p, inst: h.New(t)}
	s.spy = NewSpy(s.inst.Driver)
	s.p = s.provider(s.spy)
	s.caps = s.p.Capabilities()
	return s
}

// provider returns d behind a Provider that waits in no time.
func (s *session) provider(d providers.Driver) *providers.Provider {
	return providers.New("suite", d, providers.Options{
		MaxWait: maxWait,
		Jitter:  func() float64 { return 0.5 },
		Sleep: func(ctx context.Context, wait time.Duration) error {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.slept += wait
			return ctx.Err()
		},
		Log: slog.New(slog.NewJSONHandler(s.logWriter(), &slog.HandlerOptions{Level: slog.LevelDebug - 4})),
	})
}

func (s *session) logWriter() io.Writer { return lockedWriter{s} }

type lockedWriter struct{ s *session }

func (w lockedWriter) Write(b []byte) (int, error) {
	w.s.mu.Lock()
	defer w.s.mu.Unlock()
	return w.s.log.Write(b)
}

// close tidies up after a point that passed; a failed one is left to look at.
func (s *session) close() {
	if s.Failed() {
		if s.inst.Where != "" {
			s.Logf("left for inspection: %s", s.inst.Where)
		}
		return
	}
	if s.inst.Close != nil {
		s.inst.Close()
	}
}

// cannot says what the platform has no way of showing.
func (s *session) cannot(format string, args ...any) {
	s.Helper()
	s.Logf("cannot: %s: %s", s.point.name, fmt.Sprintf(format, args...))
}

func (s *session) settle() {
	if s.inst.Settle != nil {
		s.inst.Settle()
	}
}

// next returns a number that was not used in this session.
func (s *session) next() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.number++
	return s.number
}

func (s *session) path() string { return s.h.Path(s.next()) }

func (s *session) op() string { return fmt.Sprintf("op-%02d-%d", s.point.number, s.next()) }

// value returns a value that differs from all others of the session, in a
// shape that the platform takes.
func (s *session) value() secret.Value {
	return s.shaped([]byte(fmt.Sprintf("value number %d of point %d", s.next(), s.point.number)))
}

// shaped returns b as a single value, or as a field where single values are
// refused.
func (s *session) shaped(b []byte) secret.Value {
	if s.h.Refuses["single"] == "" {
		return secret.New(b)
	}
	return secret.Object(map[string]secret.Value{"value": secret.New(b)})
}

// create writes a new secret and returns its metadata.
func (s *session) create(path string, v secret.Value) providers.Meta {
	s.Helper()
	return s.write(providers.WriteRequest{Path: path, Value: v, OpID: s.op()})
}

func (s *session) write(req providers.WriteRequest) providers.Meta {
	s.Helper()
	m, err := s.p.Write(s.ctx, req)
	if err != nil {
		s.Fatalf("write %s: %v", req.Path, err)
	}
	s.settle()
	if m.Version == "" {
		s.Fatalf("write %s: the answer has no version", req.Path)
	}
	return m
}

// createMany writes many new secrets, container by container.
func (s *session) createMany(paths []string) {
	s.Helper()
	var order []string
	ops := map[string][]providers.Operation{}
	for _, path := range paths {
		c := s.p.Container(s.h.Kind, path)
		if ops[c] == nil {
			order = append(order, c)
		}
		ops[c] = append(ops[c], providers.Operation{Write: &providers.WriteRequest{Path: path, Value: s.value(), OpID: s.op()}})
	}
	for _, c := range order {
		for i, r := range s.p.WriteBatch(s.ctx, providers.Batch{Container: c, Ops: ops[c]}) {
			if r.Err != nil {
				s.Fatalf("write %s: %v", ops[c][i].Write.Path, r.Err)
			}
		}
	}
	s.settle()
}

// find inspects one path.
func (s *session) find(path string) (providers.Meta, bool) {
	s.Helper()
	found, err := s.p.Inspect(s.ctx, []string{path})
	if err != nil {
		s.Fatalf("inspect %s: %v", path, err)
	}
	for other := range found {
		if other != path {
			s.Errorf("inspect %s answers for %s", path, other)
		}
	}
	m, ok := found[path]
	return m, ok
}

// live inspects a path that must exist.
func (s *session) live(path string) providers.Meta {
	s.Helper()
	m, ok := s.find(path)
	if !ok || m.IsDeleted() {
		s.Fatalf("inspect %s: absent, want a live secret", path)
	}
	return m
}

// wantGone checks that nothing lives at path: absent, or soft-deleted.
func (s *session) wantGone(path string) {
	s.Helper()
	m, ok := s.find(path)
	if ok && !m.IsDeleted() {
		s.Errorf("inspect %s: version %s is live, want nothing", path, m.Version)
	}
	if ok && !s.caps.SoftDelete {
		s.Errorf("inspect %s: tells of something deleted, but Capabilities.SoftDelete is false", path)
	}
	if _, err := s.p.Read(s.ctx, path, ""); providers.CodeOf(err) != providers.NotFound {
		s.Errorf("read %s: %v, want %v", path, err, providers.NotFound)
	}
}

// wantValue reads one version and compares it byte for byte.
func (s *session) wantValue(path, version string, want secret.Value) {
	s.Helper()
	got, err := s.p.Read(s.ctx, path, version)
	if err != nil {
		s.Errorf("read %s version %q: %v", path, version, err)
		return
	}
	if diff := differ(got, want); diff != "" {
		s.Errorf("read %s version %q: %s", path, version, diff)
	}
}

// wantUntouched checks that path still has version and value.
func (s *session) wantUntouched(path string, m providers.Meta, v secret.Value) {
	s.Helper()
	s.settle()
	if now := s.live(path); now.Version != m.Version {
		s.Errorf("%s: version is %s, want %s untouched", path, now.Version, m.Version)
	}
	s.wantValue(path, "", v)
}

// wantCode checks that err is the one error of the contract, with a code.
func (s *session) wantCode(err error, path string, codes ...providers.Code) {
	s.Helper()
	var e *providers.Error
	if !errors.As(err, &e) {
		s.Errorf("%s: error is %v, want code %v", path, err, codes)
		return
	}
	ok := false
	for _, code := range codes {
		ok = ok || e.Code == code
	}
	if !ok {
		s.Errorf("%s: code is %v (%v), want %v", path, e.Code, err, codes)
	}
	if e.Provider == "" || e.Op == "" {
		s.Errorf("%s: the error does not name provider and operation: %v", path, err)
	}
}

// differ says how two values differ, in words without a value in them.
func differ(got, want secret.Value) string {
	if got.IsObject() != want.IsObject() {
		return fmt.Sprintf("has fields: %v, want %v", got.IsObject(), want.IsObject())
	}
	if !want.IsObject() {
		g, w := bytesOf(got), bytesOf(want)
		if !bytes.Equal(g, w) {
			return fmt.Sprintf("got other bytes: %d of them, want %d", len(g), len(w))
		}
		return ""
	}
	names := want.Names()
	if fmt.Sprint(got.Names()) != fmt.Sprint(names) {
		return fmt.Sprintf("fields are %q, want %q", got.Names(), names)
	}
	for _, name := range names {
		g, _ := got.Field(name)
		w, _ := want.Field(name)
		if diff := differ(g, w); diff != "" {
			return fmt.Sprintf("field %q: %s", name, diff)
		}
	}
	return ""
}

func bytesOf(v secret.Value) []byte {
	var b []byte
	_ = v.Expose(func(plain []byte) error {
		b = bytes.Clone(plain)
		return nil
	})
	return b
}
