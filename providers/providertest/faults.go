package providertest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cofferhq/coffer/providers"
	"github.com/cofferhq/coffer/providers/providertest/canary"
	"github.com/cofferhq/coffer/providers/providertest/netfault"
)

// FaultHarness says how to test a driver that speaks HTTP under every fault of
// package netfault.
type FaultHarness struct {
	// Proxy stands between the driver and the platform.
	Proxy *netfault.Proxy
	// Open returns a new driver that finds the platform at address, trusts
	// Proxy.CA and gives a request up after some time; 0 leaves that to it.
	Open func(t T, address string, after time.Duration) providers.Driver
	// Patience is the time after which a request is given up where nothing else
	// ends it; 0 is a second.
	Patience time.Duration
	// Direct is a driver of the same place past the proxy.
	Direct providers.Driver
	// Versions asks the platform itself how many versions a path ever had.
	Versions func(path string) int
	// Path returns the n-th path for a secret; Object the n-th object that can
	// be made, nil where there are none.
	Path   func(n int) string
	Object func(n int) providers.ObjectRequest
	// Changes says whether a request changes something; nil goes by its method.
	Changes func(r netfault.Request) bool
	// Credentials must be found in no error and no log.
	Credentials []canary.Canary
	// Every also lets the later requests of a call that only reads fail; those
	// of a call that changes something always do.
	Every bool
	// Largest is the most bytes that one answer may have; 0 is 64 MiB.
	Largest int64
}

// Faults shows each kind of call under each fault: what goes wrong is one typed
// error of the right class that names a next step where a person has to take
// one, the waiting is bounded, nothing is done twice, what is called definite
// changed nothing, and afterwards the same call brings about what was asked.
func Faults(t *testing.T, h FaultHarness) {
	t.Helper()
	r := newFaultRun(t, h)
	for _, f := range netfault.Faults() {
		t.Run(f.Name, func(t *testing.T) { r.all(t, f) })
	}
	t.Logf("%d cells: %d faults, %d kinds of calls", r.cells, len(netfault.Faults()), len(r.calls))
}

// VerifyFaults runs the suite for the named faults without *testing.T, all if
// there are none, and returns what it found.
func VerifyFaults(ctx context.Context, h FaultHarness, names ...string) Report {
	rec := &recorder{name: "faults", ctx: ctx}
	rec.do(func() {
		r := newFaultRun(rec, h)
		for _, f := range netfault.Faults() {
			if len(names) == 0 || slices.Contains(names, f.Name) {
				r.all(rec, f)
			}
		}
	})
	rec.finish()
	return Report{Failures: rec.failures, Cannot: rec.cannot}
}

// faultRun is the suite on one platform.
type faultRun struct {
	h      FaultHarness
	direct *providers.Provider
	calls  []*faultCall
	finder *canary.Finder
	cells  int
	number int
	// strangers counts the arrivals at another host that were looked at.
	strangers int
}

func newFaultRun(t T, h FaultHarness) *faultRun {
	t.Helper()
	if h.Changes == nil {
		h.Changes = func(r netfault.Request) bool {
			return !slices.Contains([]string{http.MethodGet, http.MethodHead, "LIST"}, r.Method)
		}
	}
	if h.Patience == 0 {
		h.Patience = time.Second
	}
	if h.Largest == 0 {
		h.Largest = 64 << 20
	}
	r := &faultRun{h: h, direct: providers.New("direct", h.Direct, providers.Options{})}
	r.finder = canary.NewFinder(append(slices.Clone(h.Credentials), faultCanaries()...)...)
	for _, call := range faultCalls() {
		if !call.able(r) {
			t.Logf("cannot: %s under faults: the driver has no such call", call.name)
			continue
		}
		r.measure(t, call)
		r.calls = append(r.calls, call)
	}
	return r
}

// measure makes the call once without a fault.
func (r *faultRun) measure(t T, call *faultCall) {
	t.Helper()
	c := r.cell(t, netfault.Fault{Name: "no fault"}, call, 0, false)
	r.h.Proxy.Lift()
	c.prepare()
	p := c.open(r.h.Proxy.URL, 0)
	r.h.Proxy.Reset()
	result, err := c.call.do(c, p)
	if err != nil {
		t.Fatalf("%s without a fault: %v", call.name, err)
	}
	if call.done != nil && !call.done(c) {
		t.Fatalf("%s without a fault: it did nothing", call.name)
	}
	call.requests, call.result = r.h.Proxy.Requests(), result
	t.Logf("%s: %d requests", call.name, len(call.requests))
}

// all runs the cells of one fault.
func (r *faultRun) all(t T, f netfault.Fault) {
	for _, call := range r.calls {
		for _, nth := range r.positions(f, call) {
			r.cell(t, f, call, nth, false).run()
			if class(f).lasting {
				r.cell(t, f, call, nth, true).run()
			}
		}
	}
}

// positions are the requests of a call that a fault is tried on.
func (r *faultRun) positions(f netfault.Fault, call *faultCall) []int {
	list := []int{1}
	if call.done == nil && !r.h.Every || r.h.Proxy.Address(f) != r.h.Proxy.URL && !f.Countable() {
		return list
	}
	for n := 2; n <= len(call.requests); n++ {
		// Waiting takes real time, so it is tried where it matters most.
		if !f.Endless || r.h.Every || r.h.Changes(call.requests[n-1]) && !slices.ContainsFunc(call.requests[:n-1], r.h.Changes) {
			list = append(list, n)
		}
	}
	return list
}

func (r *faultRun) cell(t T, f netfault.Fault, call *faultCall, nth int, always bool) *faultCell {
	r.number++
	return &faultCell{
		T: t, faultRun: r, fault: f, call: call, nth: nth, always: always, number: r.number, path: r.h.Path(r.number),
	}
}

// faultCell is one call under one fault.
type faultCell struct {
	T
	*faultRun
	fault    netfault.Fault
	call     *faultCall
	nth      int  // the request that it hits
	always   bool // and all after it
	number   int
	path     string
	base     string // version at the beginning
	versions int    // how many there are then
	before   string // what is there, past the proxy

	mu    sync.Mutex
	slept time.Duration
	log   bytes.Buffer
}

// problem reports something, with the cell it is about.
func (c *faultCell) problem(format string, args ...any) {
	c.Helper()
	often := "once"
	if c.always {
		often = "from then on"
	}
	c.Errorf("%s, request %d, %s: %s: %s", c.fault.Name, c.nth, often, c.call.name, fmt.Sprintf(format, args...))
}

// open returns a new driver behind a Provider that waits in no time, whose
// clock jumps back an hour while it waits.
func (c *faultCell) open(address string, after time.Duration) *providers.Provider {
	start := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	return providers.New("suite", c.h.Open(c.T, address, after), providers.Options{
		MaxWait: maxWait,
		Jitter:  func() float64 { return 0.5 },
		Now: func() time.Time {
			c.mu.Lock()
			defer c.mu.Unlock()
			if c.slept > 0 {
				return start.Add(c.slept - time.Hour)
			}
			return start
		},
		Sleep: func(ctx context.Context, wait time.Duration) error {
			c.mu.Lock()
			defer c.mu.Unlock()
			c.slept += wait
			if !c.always && !c.fault.Countable() {
				c.h.Proxy.Lift() // what cannot be counted is over after a wait
			}
			return ctx.Err()
		},
		Log: slog.New(slog.NewJSONHandler(cellLog{c}, &slog.HandlerOptions{Level: slog.LevelDebug - 4})),
	})
}

type cellLog struct{ c *faultCell }

func (l cellLog) Write(b []byte) (int, error) {
	l.c.mu.Lock()
	defer l.c.mu.Unlock()
	return l.c.log.Write(b)
}

// longest is how much real time one call may take; nothing comes near it.
const longest = time.Minute

func (c *faultCell) run() {
	c.cells++
	proxy := c.h.Proxy
	proxy.Lift()
	c.prepare()
	times, patience := 1, time.Duration(0)
	if c.fault.Endless {
		patience = c.h.Patience
	}
	p := c.open(proxy.Address(c.fault), patience)
	if c.always || !c.fault.Countable() {
		times = 0
	}
	proxy.Reset()
	proxy.Inject(c.fault, netfault.Match{Nth: c.nth, Times: times})
	allocated := allocations()
	result, panicked, err := c.safely(p)
	allocated = allocations() - allocated
	proxy.Lift()
	proxy.Settle()
	requests, arrived := proxy.Requests(), proxy.Elsewhere()
	switch {
	case panicked != "":
		c.problem("panic: %s", panicked)
	case err == nil:
		c.succeeded(result)
	default:
		c.failed(err, requests)
	}
	c.bounded(requests, allocated)
	c.leaked(err, arrived)
	c.converges(p)
}

func allocations() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.TotalAlloc
}

// safely makes the call, within a time that it must not need.
func (c *faultCell) safely(p *providers.Provider) (result, panicked string, err error) {
	defer func() {
		if x := recover(); x != nil {
			panicked = fmt.Sprint(x)
		}
	}()
	result, err = c.call.do(c, p)
	return result, "", err
}

// context ends a call that would wait for ever.
func (c *faultCell) context() (context.Context, context.CancelFunc) {
	return context.WithTimeout(c.Context(), longest)
}

// succeeded checks that what is said to be done is done, and that an answer is
// the right one.
func (c *faultCell) succeeded(result string) {
	if c.call.done != nil && !c.call.done(c) {
		c.problem("it succeeded, and it is not done")
	}
	if c.call.done == nil && result != c.call.result {
		c.problem("it answered %q, want %q", result, c.call.result)
	}
	if c.fault.Name == "429 with Retry-After" && !c.always && c.slept > 0 && c.slept < 7*time.Second {
		c.problem("it waited %v, and the platform asked for 7 s", c.slept)
	}
}

// failed checks the error, and that it says no more than is true.
func (c *faultCell) failed(err error, requests []netfault.Request) {
	one := unpack(err, c.path)
	var e *providers.Error
	if !errors.As(one, &e) {
		c.problem("the error is not typed: %v", err)
		return
	}
	if e.Provider == "" || e.Op == "" || c.call.named && e.Path == "" {
		c.problem("the error does not say where it comes from: %v", err)
	}
	if c.fault.Person && e.Hint == "" {
		c.problem("the error names no next step: %v", err)
	}
	if text := err.Error(); len(text) > 4<<10 || strings.Contains(text, "<html") || strings.Contains(text, "<form") {
		c.problem("the error repeats the answer (%d bytes): %.200q", len(text), text)
	}
	codes := c.codes(requests)
	if !slices.Contains(codes, e.Code) {
		c.problem("the code is %v (%v), want one of %v", e.Code, err, codes)
	}
	if now := c.snapshot(); c.call.done != nil && e.Code.Definite() && now != c.before {
		c.problem("%v says that nothing was changed, and it was: from %s to %s", e.Code, c.before, now)
	}
	if first := c.call.done == nil || c.nth == 1; class(c.fault).passes && !c.always && first && !c.doubtful(requests) {
		c.problem("it was not tried again: %v", err)
	}
}
