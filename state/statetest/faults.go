package statetest

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/cofferhq/coffer/providers/providertest/netfault"
	"github.com/cofferhq/coffer/state"
	"github.com/cofferhq/coffer/state/remote"
)

// FaultHarness says how to test a backend that speaks HTTP under the faults of
// package netfault.
type FaultHarness struct {
	// Proxy stands between the backend and its store.
	Proxy *netfault.Proxy
	// Open opens a state that no other test uses, at an address.
	Open func(t testing.TB, address string) remote.Blobs
	// Direct is the address past the proxy.
	Direct string
	// NoNames: a host with a name cannot be opened without TLS.
	NoNames bool
	// Whole: an answer to a read that holds something else than the store sent is
	// noticed. Where it is not, the connection alone vouches for it.
	Whole bool
	// Hidden is in no error.
	Hidden []string
}

// Faults shows each kind of call under each fault, at each of its requests:
// what goes wrong is a typed error that names place and operation, says no more
// than is true of what the store did, and holds no credential; the waiting is
// bounded, and nothing is asked for twice. Then it does the same to a whole run,
// after which the next one finds its way.
func Faults(t *testing.T, h FaultHarness) {
	t.Helper()
	r := &faultRun{h: h, direct: h.Open(t, h.Direct)}
	for _, f := range netfault.Faults() {
		if address := h.Proxy.Address(f); address == h.Proxy.TLSURL || address != h.Proxy.URL && h.NoNames {
			continue
		}
		t.Run(f.Name, func(t *testing.T) {
			for _, kind := range []string{"read", "create", "replace", "delete"} {
				for nth := 1; nth <= r.requests(t, kind); nth++ {
					r.cell(t, f, kind, nth)
				}
			}
			r.runs(t, f)
		})
	}
	t.Logf("%d calls, %d runs", r.calls, r.whole)
}

type faultRun struct {
	h      FaultHarness
	direct remote.Blobs
	calls  int
	whole  int
	names  int
	needs  map[string]int
	of     int // requests of a whole run
}

// call is one call of a kind on a blob of its own.
type faultCall struct {
	kind, name string
	tag        string // of what is there before
}

const before, after = "before the fault", "after the fault"

func (r *faultRun) prepare(t *testing.T, kind string) faultCall {
	t.Helper()
	r.names++
	c := faultCall{kind: kind, name: fmt.Sprintf("%sfault-%d", remote.ProbePrefix, r.names)}
	if kind != "create" {
		var err error
		c.tag, err = r.direct.Put(t.Context(), c.name, []byte(before), "")
		must(t, err)
	}
	return c
}

func (c faultCall) do(ctx context.Context, b remote.Blobs) (text string, err error) {
	defer func() {
		if x := recover(); x != nil {
			err = fmt.Errorf("panic: %v", x)
		}
	}()
	switch c.kind {
	case "read":
		var got remote.Blob
		got, err = b.Get(ctx, c.name)
		return string(got.Data), err
	case "delete":
		return "", b.Delete(ctx, c.name, c.tag)
	}
	_, err = b.Put(ctx, c.name, []byte(after), c.tag)
	return "", err
}

// there is what the store holds, "" for nothing.
func (r *faultRun) there(t *testing.T, c faultCall) string {
	t.Helper()
	got, err := r.direct.Get(t.Context(), c.name)
	if errors.Is(err, remote.ErrNotFound) {
		return ""
	}
	must(t, err)
	return string(got.Data)
}

// requests is how many a call of a kind makes.
func (r *faultRun) requests(t *testing.T, kind string) int {
	t.Helper()
	if r.needs == nil {
		r.needs = map[string]int{}
	}
	if r.needs[kind] == 0 {
		c := r.prepare(t, kind)
		b := r.h.Open(t, r.h.Proxy.URL)
		r.h.Proxy.Lift()
		r.h.Proxy.Reset()
		_, err := c.do(t.Context(), b)
		must(t, err)
		r.needs[kind] = r.h.Proxy.Count("", "")
	}
	return r.needs[kind]
}

const (
	faultPatience = 250 * time.Millisecond
	// faultMemory is more than all that is allocated for a blob of the largest
	// size, on both sides.
	faultMemory = 16 * remote.MaxBytes
)

func (r *faultRun) cell(t *testing.T, f netfault.Fault, kind string, nth int) {
	t.Helper()
	r.calls++
	c := r.prepare(t, kind)
	held := r.there(t, c)
	b := r.h.Open(t, r.h.Proxy.Address(f))
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	if f.Endless {
		ctx, cancel = context.WithTimeout(t.Context(), faultPatience)
	}
	defer cancel()
	elsewhere := len(r.h.Proxy.Elsewhere())
	r.h.Proxy.Reset()
	r.h.Proxy.Inject(f, netfault.Match{Nth: nth, Times: 1})
	memory, began := allocated(), time.Now()
	text, err := c.do(ctx, b)
	took, memory := time.Since(began), allocated()-memory
	r.h.Proxy.Lift()
	r.h.Proxy.Settle()
	now := r.there(t, c)
	problem := func(format string, args ...any) {
		t.Errorf("%s, request %d: %s", kind, nth, fmt.Sprintf(format, args...))
	}
	if n := r.h.Proxy.Count("", ""); n > r.needs[kind] {
		problem("%d requests, where %d are enough", n, r.needs[kind])
	}
	if n := len(r.h.Proxy.Elsewhere()); n > elsewhere {
		problem("another host was asked")
	}
	if took > 25*time.Second || memory > faultMemory {
		problem("it took %s and %d MiB", took, memory>>20)
	}
	switch { // a delete that is only said to be done leaves a probe: no harm
	case err == nil && kind == "read" && text != before && (r.h.Whole || !f.MayHaveActed),
		err == nil && (kind == "create" || kind == "replace") && now != after:
		problem("it succeeded, with %q, and %q is there", text, now)
	case err != nil:
		r.failed(f, c, err, now != held, problem)
	}
}

// failed checks an error.
func (r *faultRun) failed(f netfault.Fault, c faultCall, err error, changed bool, problem func(string, ...any)) {
	r.silent(err, problem)
	e, typed := errors.AsType[*remote.Error](err)
	switch {
	case errors.Is(err, remote.ErrConflict):
		if f.Name != "409" && f.Name != "412" {
			problem("a conflict with nobody")
		}
	case errors.Is(err, remote.ErrNotFound):
		problem("what is there is said to be missing")
	case !typed:
		problem("the error is not typed: %v", err)
	case e.Place == "" || e.Op == "" || e.Err == nil:
		problem("the error does not say where it comes from: %v", err)
	case e.Unchanged && changed:
		problem("it says that nothing was done, and it was: %v", err)
	case f.Person && e.Hint == "" && e.Code != remote.Unreachable:
		problem("no next step: %v", err)
	}
}

// silent checks that an error says nothing that it must not.
func (r *faultRun) silent(err error, problem func(string, ...any)) {
	text := err.Error()
	for _, hidden := range r.h.Hidden {
		if strings.Contains(text, hidden) {
			problem("the error holds a credential")
		}
	}
	if len(text) > 2<<10 || strings.Contains(text, "<html") || strings.Contains(text, before) {
		problem("the error repeats the answer: %.200q", text)
	}
}

func allocated() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.TotalAlloc
}

// runs lets the first, the middle and the last request of a run fail, and all
// of them.
func (r *faultRun) runs(t *testing.T, f netfault.Fault) {
	t.Helper()
	if r.of == 0 {
		r.h.Proxy.Lift()
		r.h.Proxy.Reset()
		must(t, r.run(t, r.h.Proxy.URL, "first", time.Minute).err)
		r.of = r.h.Proxy.Count("", "")
	}
	for _, nth := range []int{1, r.of/2 + 1, r.of} {
		for _, times := range []int{1, 0} {
			if times == 0 && nth > 1 {
				continue // it is the same, and waiting takes real time
			}
			r.whole++
			name := fmt.Sprintf("f%d", r.whole)
			r.h.Proxy.Reset()
			r.h.Proxy.Inject(f, netfault.Match{Nth: nth, Times: times})
			began := time.Now()
			p := r.run(t, r.h.Proxy.Address(f), name, 2*faultPatience)
			took := time.Since(began)
			r.h.Proxy.Lift()
			r.h.Proxy.Settle()
			problem := func(format string, args ...any) {
				t.Errorf("a run, request %d, %d times: %s", nth, times, fmt.Sprintf(format, args...))
			}
			if p.err != nil {
				r.silent(p.err, problem)
				// What is read and is no state is not an error of the store.
				if !isExpected(p.err) && (r.h.Whole || !f.MayHaveActed || !strings.Contains(p.err.Error(), p.place)) {
					problem("the error is not typed: %v", p.err)
				}
			}
			if took > 20*time.Second {
				problem("it took %s", took)
			}
			r.recover(t, name, p, problem)
		}
	}
}

func isExpected(err error) bool {
	var (
		of      *remote.Error
		lost    *state.LostLockError
		changed *state.ChangedError
		locked  *state.LockedError
	)
	return errors.As(err, &of) || errors.As(err, &lost) || errors.As(err, &changed) || errors.As(err, &locked)
}

// ran is how far a run came.
type ran struct {
	announced, saved bool
	place            string // as errors name it
	err              error
}

// run is an apply that makes one secret.
func (r *faultRun) run(t *testing.T, address, name string, patience time.Duration) (p ran) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Second) // for the lock alone
	defer cancel()
	store := remote.New(r.h.Open(t, address), options(patience))
	p.place = store.Path()
	who := Who("apply")
	who.ID = "lock-of-" + name
	session, err := store.Lock(ctx, who)
	if err != nil {
		p.err = err
		return p
	}
	defer func() { p.err = errors.Join(p.err, session.Unlock(t.Context())) }()
	s, err := session.Load(t.Context())
	if errors.Is(err, state.ErrNotExist) {
		s, err = Snapshot(), nil
	}
	if err != nil {
		p.err = err
		return p
	}
	if p.err = session.Append(t.Context(), Intent(name, "op-1", "")); p.err != nil {
		return p
	}
	p.announced = true
	s.Entries[At(name)] = Entry(name, "v1")
	p.err = session.Save(t.Context(), s)
	p.saved = p.err == nil
	return p
}

func options(patience time.Duration) remote.Options {
	return remote.Options{Project: Project, Now: time.Now, Random: rand.Reader, Patience: patience}
}

// recover is the next run, which nothing disturbs.
func (r *faultRun) recover(t *testing.T, name string, p ran, problem func(string, ...any)) {
	t.Helper()
	store := remote.New(r.direct, options(time.Minute))
	got, err := store.Read(t.Context())
	must(t, err)
	if got.Holder != nil {
		_, err := store.BreakLock(t.Context(), got.Holder.ID, Who("state unlock"))
		must(t, err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	session, err := store.Lock(ctx, Who("import"))
	must(t, err)
	s, err := session.Load(t.Context())
	must(t, err)
	e := s.Entries[At(name)]
	switch {
	case p.saved && (e == nil || e.Pending != nil):
		problem("saved, and the entry is %+v", e)
	case p.announced && e == nil:
		problem("announced, and forgotten")
	}
	if w := store.Warnings(); len(w) > 0 {
		problem("warnings: %q", w)
	}
	s.Entries[At(name)] = Entry(name, "v1")
	must(t, session.Save(t.Context(), s))
	must(t, session.Unlock(t.Context()))
	for n := range r.whole {
		if s.Entries[At(fmt.Sprintf("f%d", n+1))] == nil {
			t.Fatalf("f%d is lost", n+1)
		}
	}
}
