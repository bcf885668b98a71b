// Package providertest is what every driver must show. A driver's test calls
// [Run] with a [Harness] that says how to reach an instance and what its
// platform cannot do; the suite does the rest, from the simplest call to the
// nastiest, through [providers.Provider] as Coffer itself does.
//
// The points are numbered; read them in order (basics.go first), they are the
// tutorial for authors of drivers. docs/providers/README.md is the recipe.
// What a platform cannot do is never skipped in silence: each such point logs
// "cannot: NAME: reason".
package providertest

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/cofferhq/coffer/providers"
	"github.com/cofferhq/coffer/providers/secret"
)

// T is the part of *testing.T that the suite and a harness use. It is an
// interface so that the suite itself can be tested, see [Verify].
type T interface {
	Helper()
	Name() string
	Logf(format string, args ...any)
	Errorf(format string, args ...any)
	Fatalf(format string, args ...any)
	Failed() bool
	TempDir() string
	Cleanup(func())
	Context() context.Context
}

// Harness says how to test one driver. Only New is needed.
type Harness struct {
	// New returns a fresh and empty place on the platform. It is called for
	// every point, for some twice; two results must not see each other.
	New func(t T) *Instance
	// Path returns the n-th path for a secret; paths differ. Nil is
	// conformance/test/secret-N.
	Path func(n int) string
	// Kind of the secrets, "secret" if empty.
	Kind string
	// Cannot gives a reason for each point, by number, that the platform cannot
	// do. Points that follow from Capabilities, from optional interfaces and
	// from what Instance leaves out need no entry.
	Cannot map[int]string
	// Refuses gives a reason for each shape of value (see [Shapes]) that the
	// platform refuses as Invalid.
	Refuses map[string]string
	// Largest is the size of the largest value that is tried where the platform
	// has no limit, or a higher one; 0 is 64 KiB.
	Largest int
	// Many is how many secrets make a large batch; 0 is 1,000. Page is a number
	// of secrets that does not fit one page of a list; 0 is 120.
	Many, Page int
}

// Instance is one place on a platform, and what a test can do to it from
// outside. Nil functions are what cannot be done there.
type Instance struct {
	Driver providers.Driver
	// Reopen returns another driver of the same place, as another process would
	// make it.
	Reopen func() providers.Driver
	// Settle returns when Inspect and List tell the truth. Nil: always.
	Settle func()
	// Where tells a person where to look after a failure. Close is only called
	// when a point passed.
	Where string
	Close func()

	// Forbidden is a path that the driver has no permission for; Outage makes
	// the platform unreachable and reachable again.
	Forbidden string
	Outage    func(down bool)
	// FailInspect makes one path of a larger Inspect fail, as an answer that is
	// cut off would.
	FailInspect func(path string)
	// Edit writes a value past the driver, as somebody else. Editor is the name
	// that the platform then tells, empty where it tells none.
	Edit   func(path string, v secret.Value)
	Editor string
	// Elsewhere puts a secret outside of the driver's prefix.
	Elsewhere func()
	// PassWindow moves time past the recovery window of deleted secrets.
	PassWindow func()
	// ValueReads counts the calls that returned a value, as the platform saw
	// them. Blind returns a driver whose credentials cannot read values. A
	// ValueBlind driver needs one of the two.
	ValueReads func() int
	Blind      func() providers.Driver
	// AtRest returns all that is stored, where the driver itself encrypts.
	AtRest func() []byte
	// Object returns a request for an object that can be made here.
	Object func() providers.ObjectRequest
	// Rekey returns a request for an object with which the container that path
	// lies in is written under a new key. It may prepare the container for that
	// without moving a version.
	Rekey func(path string) providers.ObjectRequest
	// Damage spoils the container that path lies in, so that nothing in it can be
	// told: a file that is cut short.
	Damage func(path string)
}

// point is one thing that a driver must show.
type point struct {
	number int
	name   string
	run    func(s *session)
}

// points are in the order of a tutorial: each uses only what those before it
// have shown.
func points() []point {
	return []point{
		{1, "inspect of a missing path is absent", missing},
		{2, "a write is seen by inspect", writeNew},
		{3, "read gives the exact bytes", exactBytes},
		{4, "one byte over the limit is invalid before any call", overLimit},
		{5, "create over an existing path is a conflict", createOver},
		{6, "an update makes a new version", update},
		{7, "a stale version is a conflict", staleWrite},
		{8, "racing writers have one winner", race},
		{9, "the same operation id makes one version", sameOperation},
		{10, "attributes change alone and round-trip", attributes},
		{11, "older versions are readable", olderVersions},
		{12, "delete is idempotent and conditional", deleting},
		{13, "re-create and restore after delete", recreate},
		{14, "list gives exactly what is below the prefix", listing},
		{15, "a cancelled context changes nothing", cancelled},
		{16, "denied and outage have the right code", refusals},
		{17, "inspect and list read no value", valueBlind},
		{18, "no canary in any error, log or print", canaries},
		{19, "capabilities are constant and true", capabilities},
		{20, "odd paths round-trip or are invalid", oddPaths},
		{21, "owner marks", marks},
		{22, "identity follows the instance", identity},
		{23, "a large inspect is exact", largeInspect},
		{24, "a change from outside is seen", changedOutside},
		{25, "a partial failure is unknown, never absent", partialFailure},
		{26, "a patch changes only its fields", patch},
		{27, "a batch answers operation by operation", batches},
		{28, "a promise comes before its effect", promises},
		{29, "objects", objects},
		{30, "default paths are valid and distinct", places},
		{31, "a new key makes nobody else's value ours", carrying},
		{32, "a damaged container is unknown, never absent", damage},
	}
}

// Run shows every point as a subtest of t.
func Run(t *testing.T, h Harness) {
	t.Helper()
	for _, p := range points() {
		t.Run(p.title(), func(t *testing.T) { h.show(t, p) })
	}
}

func (p point) title() string { return fmt.Sprintf("%02d %s", p.number, p.name) }

// show runs one point on an instance of its own.
func (h Harness) show(t T, p point) {
	t.Helper()
	if reason := h.Cannot[p.number]; reason != "" {
		t.Logf("cannot: %s: %s", p.name, reason)
		return
	}
	s := newSession(t, h.withDefaults(), p)
	t.Cleanup(s.close)
	p.run(s)
}

func (h Harness) withDefaults() Harness {
	if h.Path == nil {
		h.Path = func(n int) string { return fmt.Sprintf("conformance/test/secret-%d", n) }
	}
	if h.Kind == "" {
		h.Kind = "secret"
	}
	if h.Largest == 0 {
		h.Largest = 64 << 10
	}
	if h.Many == 0 {
		h.Many = 1000
	}
	if h.Page == 0 {
		h.Page = 120
	}
	return h
}

// maxWait bounds the waiting of every call of the suite, all of it pretended.
const maxWait = 20 * time.Second
