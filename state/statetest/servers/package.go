package servers

import (
	"fmt"
	"os"
	"sync"
	"testing"
)

// Package holds the servers that all tests of a package share: each is started
// for the first test that asks for it and runs until the last has ended. In a
// test file:
//
//	var shared servers.Package
//
//	func TestMain(m *testing.M) { os.Exit(shared.Run(m)) }
//
//	func TestX(t *testing.T) { c := shared.Kube(t) }
type Package struct {
	starting sync.Mutex
	servers  map[string]any
	ends     ends
}

// Run runs the tests, stops the servers and returns the code to exit with.
func (p *Package) Run(m *testing.M) int {
	code := m.Run()
	p.ends.run(code != 0)
	return code
}

// Postgres is [Postgres], shared.
func (p *Package) Postgres(t Life) string { return share(p, t, "postgres", Postgres) }

// Azurite is [Azurite], shared.
func (p *Package) Azurite(t Life) Blobs { return share(p, t, "azurite", Azurite) }

// FakeGCS is [FakeGCS], shared.
func (p *Package) FakeGCS(t Life) string { return share(p, t, "fakegcs", FakeGCS) }

// Kube is [Kube], shared.
func (p *Package) Kube(t Life) *Cluster {
	c := share(p, t, "kube", Kube)
	return &Cluster{c.instance, t}
}

func share[T any](p *Package, t Life, name string, start func(Life) T) T {
	t.Helper()
	p.starting.Lock()
	defer p.starting.Unlock()
	if s, ok := p.servers[name]; ok {
		return s.(T)
	}
	s := start(life{&p.ends, t})
	if p.servers == nil {
		p.servers = map[string]any{}
	}
	p.servers[name] = s
	return s
}

// life is one in which what goes wrong ends another, shorter one.
type life struct {
	Life
	test Life
}

func (l life) Helper()                           { l.test.Helper() }
func (l life) Fatalf(format string, args ...any) { l.test.Helper(); l.test.Fatalf(format, args...) }

// ends is the life of the tests of a package.
type ends struct {
	mu       sync.Mutex
	failed   bool
	cleanups []func()
}

func (e *ends) run(failed bool) {
	e.mu.Lock()
	e.failed = failed
	cleanups := e.cleanups
	e.mu.Unlock()
	for i := len(cleanups) - 1; i >= 0; i-- {
		cleanups[i]()
	}
}

func (e *ends) Failed() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.failed
}

func (e *ends) Cleanup(f func()) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.cleanups = append(e.cleanups, f)
}

func (e *ends) TempDir() string {
	dir, err := os.MkdirTemp("", "coffer-servers-")
	must(e, "temporary folder", err)
	e.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

func (*ends) Helper()                           {}
func (*ends) Fatalf(format string, args ...any) { panic(fmt.Sprintf(format, args...)) }
func (*ends) Logf(format string, args ...any)   { fmt.Fprintf(os.Stderr, format+"\n", args...) }
