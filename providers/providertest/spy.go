package providertest

import (
	"context"
	"sync"

	"github.com/cofferhq/coffer/providers"
	"github.com/cofferhq/coffer/providers/secret"
)

// Call is one call that a driver got.
type Call struct {
	Op   string // "identity", "inspect", "read", "write", "patch", …
	Path string // "" where the call is not about one path
	Err  error  // as the driver returned it
}

// Spy is a driver that records the calls of the one it stands in front of. It
// has the same powers.
type Spy struct {
	providers.Driver
	powers providers.Powers
	// Before, if set, runs before each call reaches the driver.
	Before func(op string)

	mu    sync.Mutex
	calls []Call
}

// NewSpy returns a spy in front of d.
func NewSpy(d providers.Driver) *Spy {
	return &Spy{Driver: d, powers: providers.PowersOf(d)}
}

// Calls returns how many calls of an operation there were; "" is any.
func (s *Spy) Calls(op string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for _, c := range s.calls {
		if op == "" || c.Op == op {
			n++
		}
	}
	return n
}

// Log returns the calls so far.
func (s *Spy) Log() []Call {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Call(nil), s.calls...)
}

// Reset forgets the calls so far.
func (s *Spy) Reset() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls = nil
}

func (s *Spy) begin(op string) {
	if s.Before != nil {
		s.Before(op)
	}
}

func (s *Spy) end(op, path string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls = append(s.calls, Call{op, path, err})
}

// Powers implements [providers.Powered].
func (s *Spy) Powers() providers.Powers {
	p := s.powers
	if p.Patcher != nil {
		p.Patcher = spyPatcher{s}
	}
	if p.Attributer != nil {
		p.Attributer = spyAttributer{s}
	}
	if p.Lister != nil {
		p.Lister = spyLister{s}
	}
	if p.Restorer != nil {
		p.Restorer = spyRestorer{s}
	}
	if p.BatchWriter != nil {
		p.BatchWriter = spyBatchWriter{p.BatchWriter, s}
	}
	if p.ObjectDriver != nil {
		p.ObjectDriver = spyObjects{s}
	}
	return p
}

// Identity implements [providers.Driver].
func (s *Spy) Identity(ctx context.Context) (string, error) {
	s.begin("identity")
	id, err := s.Driver.Identity(ctx)
	s.end("identity", "", err)
	return id, err
}

// Inspect implements [providers.Driver].
func (s *Spy) Inspect(ctx context.Context, paths []string) (map[string]providers.Meta, error) {
	s.begin("inspect")
	found, err := s.Driver.Inspect(ctx, paths)
	s.end("inspect", "", err)
	return found, err
}

// Read implements [providers.Driver].
func (s *Spy) Read(ctx context.Context, path, version string) (secret.Value, error) {
	s.begin("read")
	v, err := s.Driver.Read(ctx, path, version)
	s.end("read", path, err)
	return v, err
}

// Write implements [providers.Driver].
func (s *Spy) Write(ctx context.Context, req providers.WriteRequest) (providers.Meta, error) {
	s.begin("write")
	m, err := s.Driver.Write(ctx, req)
	s.end("write", req.Path, err)
	return m, err
}

// Delete implements [providers.Driver].
func (s *Spy) Delete(ctx context.Context, path, ifVersion string) error {
	s.begin("delete")
	err := s.Driver.Delete(ctx, path, ifVersion)
	s.end("delete", path, err)
	return err
}

type spyPatcher struct{ s *Spy }

func (p spyPatcher) Patch(ctx context.Context, req providers.WriteRequest) (providers.Meta, error) {
	p.s.begin("patch")
	m, err := p.s.powers.Patcher.Patch(ctx, req)
	p.s.end("patch", req.Path, err)
	return m, err
}

type spyAttributer struct{ s *Spy }

func (a spyAttributer) SetAttributes(ctx context.Context, path, ifVersion string, set providers.Attributes) (providers.Meta, error) {
	a.s.begin("set attributes")
	m, err := a.s.powers.Attributer.SetAttributes(ctx, path, ifVersion, set)
	a.s.end("set attributes", path, err)
	return m, err
}

type spyLister struct{ s *Spy }

func (l spyLister) List(ctx context.Context) (map[string]providers.Meta, error) {
	l.s.begin("list")
	found, err := l.s.powers.Lister.List(ctx)
	l.s.end("list", "", err)
	return found, err
}

type spyRestorer struct{ s *Spy }

func (r spyRestorer) Undelete(ctx context.Context, path string) (providers.Meta, error) {
	r.s.begin("undelete")
	m, err := r.s.powers.Restorer.Undelete(ctx, path)
	r.s.end("undelete", path, err)
	return m, err
}

type spyBatchWriter struct {
	providers.BatchWriter
	s *Spy
}

func (b spyBatchWriter) WriteBatch(ctx context.Context, req providers.Batch) []providers.Result {
	b.s.begin("write batch")
	results := b.BatchWriter.WriteBatch(ctx, req)
	b.s.end("write batch", req.Container, nil)
	return results
}

type spyObjects struct{ s *Spy }

func (o spyObjects) InspectObjects(ctx context.Context, refs []providers.ObjectRef) (map[providers.ObjectRef]providers.Object, error) {
	o.s.begin("inspect objects")
	found, err := o.s.powers.ObjectDriver.InspectObjects(ctx, refs)
	o.s.end("inspect objects", "", err)
	return found, err
}

func (o spyObjects) WriteObject(ctx context.Context, req providers.ObjectRequest) (providers.Object, error) {
	o.s.begin("write object")
	object, err := o.s.powers.ObjectDriver.WriteObject(ctx, req)
	o.s.end("write object", req.Ref.Path, err)
	return object, err
}
