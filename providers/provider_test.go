package providers_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cofferhq/coffer/providers"
	"github.com/cofferhq/coffer/providers/memory"
	"github.com/cofferhq/coffer/providers/secret"
)

// fake is a driver made of functions; the tests set those they need.
type fake struct {
	caps    providers.Capabilities
	inspect func(context.Context, []string) (map[string]providers.Meta, error)
	read    func() (secret.Value, error)
	write   func(context.Context, providers.WriteRequest) (providers.Meta, error)
	delete  func() error
	id      func() (string, error)
}

func (f *fake) Capabilities() providers.Capabilities { return f.caps }

func (f *fake) Identity(context.Context) (string, error) { return f.id() }

func (f *fake) Inspect(ctx context.Context, paths []string) (map[string]providers.Meta, error) {
	return f.inspect(ctx, paths)
}

func (f *fake) Read(context.Context, string, string) (secret.Value, error) { return f.read() }

func (f *fake) Write(ctx context.Context, req providers.WriteRequest) (providers.Meta, error) {
	return f.write(ctx, req)
}

func (f *fake) Delete(context.Context, string, string) error { return f.delete() }

// waits pretends to sleep and remembers how long.
type waits struct {
	mu  sync.Mutex
	all []time.Duration
}

func (w *waits) options() providers.Options {
	return providers.Options{
		MaxWait: 10 * time.Second,
		Jitter:  func() float64 { return 0 },
		Sleep: func(ctx context.Context, d time.Duration) error {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.all = append(w.all, d)
			return ctx.Err()
		},
	}
}

func (w *waits) total() time.Duration {
	var sum time.Duration
	for _, d := range w.all {
		sum += d
	}
	return sum
}

func coded(code providers.Code) error { return providers.Errorf(code, "the platform says %v", code) }

// Which codes are tried again, per kind of call.
func TestRetries(t *testing.T) {
	for _, tc := range []struct {
		code  providers.Code
		again bool
	}{
		{providers.Unknown, false},
		{providers.NotFound, false},
		{providers.Conflict, false},
		{providers.Denied, false},
		{providers.Invalid, false},
		{providers.Throttled, true},
		{providers.Unavailable, true},
		{providers.Ambiguous, false},
		{providers.Unsupported, false},
		{providers.Cancelled, false},
	} {
		t.Run("write "+tc.code.String(), func(t *testing.T) {
			calls := 0
			var w waits
			f := &fake{write: func(context.Context, providers.WriteRequest) (providers.Meta, error) {
				if calls++; calls > 2 {
					return providers.Meta{Version: "1"}, nil
				}
				return providers.Meta{}, coded(tc.code)
			}}
			_, err := providers.New("x", f, w.options()).Write(t.Context(), providers.WriteRequest{Path: "p"})
			if tc.again != (err == nil) || tc.again != (calls == 3) {
				t.Errorf("%d calls, error %v", calls, err)
			}
		})
		t.Run("read "+tc.code.String(), func(t *testing.T) {
			calls := 0
			var w waits
			f := &fake{read: func() (secret.Value, error) {
				if calls++; calls > 2 {
					return secret.String("v"), nil
				}
				return secret.Value{}, coded(tc.code)
			}}
			_, err := providers.New("x", f, w.options()).Read(t.Context(), "p", "")
			again := tc.again || tc.code == providers.Ambiguous // nothing was changed, so nothing is in doubt
			if again != (err == nil) || again != (calls == 3) {
				t.Errorf("%d calls, error %v", calls, err)
			}
		})
	}
}

func TestAnUnclearWriteIsAmbiguous(t *testing.T) {
	for name, err := range map[string]error{
		"plain": errors.New("EOF"), "unknown": coded(providers.Unknown), "deadline": context.DeadlineExceeded, "context": context.Canceled,
	} {
		f := &fake{
			write:  func(context.Context, providers.WriteRequest) (providers.Meta, error) { return providers.Meta{}, err },
			delete: func() error { return err },
		}
		p := providers.New("x", f, providers.Options{})
		_, werr := p.Write(t.Context(), providers.WriteRequest{Path: "p"})
		derr := p.Delete(t.Context(), "p", "1")
		if providers.CodeOf(werr) != providers.Ambiguous || providers.CodeOf(derr) != providers.Ambiguous {
			t.Errorf("%s: write %v, delete %v", name, werr, derr)
		}
	}
}

func TestWaitsAreBounded(t *testing.T) {
	var w waits
	calls := 0
	f := &fake{read: func() (secret.Value, error) {
		calls++
		return secret.Value{}, coded(providers.Unavailable)
	}}
	p := providers.New("x", f, w.options())
	_, err := p.Read(t.Context(), "p", "")
	if providers.CodeOf(err) != providers.Unavailable || calls < 3 || calls > 8 || w.total() > 10*time.Second {
		t.Errorf("%d calls, waited %v: %v", calls, w.all, err)
	}
	if !slices.IsSorted(w.all) {
		t.Errorf("waits do not grow: %v", w.all)
	}
	// The platform is known to be down now: nobody waits for it again …
	calls, w.all = 0, nil
	_, _ = p.Read(t.Context(), "p", "")
	if calls != 1 || len(w.all) > 0 {
		t.Errorf("%d calls and waits %v on a platform that is down", calls, w.all)
	}
	// … until a call succeeds.
	f.read = func() (secret.Value, error) { return secret.String("v"), nil }
	_, _ = p.Read(t.Context(), "p", "")
	f.read = func() (secret.Value, error) {
		calls++
		return secret.Value{}, coded(providers.Unavailable)
	}
	calls = 0
	_, _ = p.Read(t.Context(), "p", "")
	if calls < 3 {
		t.Errorf("%d calls after the platform was back", calls)
	}
}

func TestTheClockCountsToo(t *testing.T) {
	var w waits
	now := time.Unix(0, 0)
	o := w.options()
	o.Now = func() time.Time { return now }
	calls := 0
	f := &fake{read: func() (secret.Value, error) {
		calls++
		now = now.Add(6 * time.Second) // each call takes as long to fail
		return secret.Value{}, coded(providers.Unavailable)
	}}
	_, _ = providers.New("x", f, o).Read(t.Context(), "p", "")
	if calls != 2 {
		t.Errorf("%d calls of 6 s within 10 s, want 2", calls)
	}
	calls = 0
	f.read = func() (secret.Value, error) {
		calls++
		now = now.Add(-time.Hour)
		return secret.Value{}, coded(providers.Unavailable)
	}
	_, _ = providers.New("x", f, o).Read(t.Context(), "p", "")
	if calls > 8 {
		t.Errorf("%d calls while the clock jumps back", calls)
	}
}

func TestRetryAfter(t *testing.T) {
	var w waits
	calls := 0
	after := 3 * time.Second
	f := &fake{read: func() (secret.Value, error) {
		if calls++; calls == 1 {
			return secret.Value{}, providers.Errorf(providers.Throttled, "slow down").After(after)
		}
		return secret.String("v"), nil
	}}
	p := providers.New("x", f, w.options())
	if _, err := p.Read(t.Context(), "p", ""); err != nil || len(w.all) != 1 || w.all[0] != after {
		t.Errorf("waits %v, error %v", w.all, err)
	}
	calls, w.all, after = 0, nil, time.Hour
	_, err := p.Read(t.Context(), "p", "")
	var e *providers.Error
	if !errors.As(err, &e) || e.RetryAfter != time.Hour || len(w.all) > 0 {
		t.Errorf("waits %v, error %v: an hour is over the bound", w.all, err)
	}
}

func TestNoRetryAfterAPromise(t *testing.T) {
	var w waits
	calls := 0
	f := &fake{write: func(ctx context.Context, req providers.WriteRequest) (providers.Meta, error) {
		calls++
		if err := req.Promise(ctx, map[string]string{req.Path: "v"}); err != nil {
			t.Error(err)
		}
		return providers.Meta{}, coded(providers.Unavailable)
	}}
	promise := func(context.Context, map[string]string) error { return nil }
	_, err := providers.New("x", f, w.options()).Write(t.Context(), providers.WriteRequest{Path: "p", Promise: promise})
	if calls != 1 || providers.CodeOf(err) != providers.Unavailable {
		t.Errorf("%d calls, error %v", calls, err)
	}
}

func TestCancelledWhileWaiting(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	o := providers.Options{Sleep: func(ctx context.Context, _ time.Duration) error { cancel(); return ctx.Err() }}
	f := &fake{write: func(context.Context, providers.WriteRequest) (providers.Meta, error) {
		return providers.Meta{}, coded(providers.Throttled)
	}}
	_, err := providers.New("x", f, o).Write(ctx, providers.WriteRequest{Path: "p"})
	if providers.CodeOf(err) != providers.Cancelled || !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "throttled") {
		t.Errorf("error %v", err)
	}
}

func TestConcurrencyLimit(t *testing.T) {
	for _, tc := range []struct{ driver, options, want int }{{0, 0, 1}, {4, 0, 4}, {4, 2, 2}, {2, 9, 2}} {
		var now, most atomic.Int64
		gate := make(chan struct{})
		f := &fake{caps: providers.Capabilities{Concurrency: tc.driver}, delete: func() error {
			if n := now.Add(1); n > most.Load() {
				most.Store(n)
			}
			<-gate
			now.Add(-1)
			return nil
		}}
		p := providers.New("x", f, providers.Options{Parallelism: tc.options})
		var wg sync.WaitGroup
		for range 12 {
			wg.Go(func() { _ = p.Delete(t.Context(), "p", "1") })
		}
		for range 12 {
			gate <- struct{}{}
		}
		wg.Wait()
		if got := int(most.Load()); got > tc.want {
			t.Errorf("driver %d, options %d: %d at once, want %d", tc.driver, tc.options, got, tc.want)
		}
	}
}

func TestWaitingForASlotEndsWithTheContext(t *testing.T) {
	entered, gate := make(chan struct{}), make(chan struct{})
	f := &fake{delete: func() error { close(entered); <-gate; return nil }}
	p := providers.New("x", f, providers.Options{})
	var wg sync.WaitGroup
	wg.Go(func() { _ = p.Delete(t.Context(), "p", "1") })
	<-entered
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := p.Delete(ctx, "p", "1"); providers.CodeOf(err) != providers.Cancelled || !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	close(gate)
	wg.Wait()
}

func TestInspectRetriesOnlyWhatFailed(t *testing.T) {
	var asked [][]string
	var w waits
	f := &fake{inspect: func(_ context.Context, paths []string) (map[string]providers.Meta, error) {
		asked = append(asked, slices.Clone(paths))
		if len(asked) == 1 {
			return map[string]providers.Meta{"a": {Version: "1"}, "b": {Version: "of a failed path"}}, &providers.PartialError{Paths: map[string]error{
				"b": coded(providers.Unavailable), "c": coded(providers.Denied), "not asked for": coded(providers.Denied),
			}}
		}
		return map[string]providers.Meta{"b": {Version: "2"}}, nil
	}}
	found, err := providers.New("x", f, w.options()).Inspect(t.Context(), []string{"a", "b", "c", "d"})
	var partial *providers.PartialError
	if !errors.As(err, &partial) || !slices.Equal(slices.Collect(maps.Keys(partial.Paths)), []string{"c"}) || providers.CodeOf(partial.Paths["c"]) != providers.Denied {
		t.Errorf("error %v", err)
	}
	if len(found) != 2 || found["a"].Version != "1" || found["b"].Version != "2" {
		t.Errorf("found %v", found)
	}
	if fmt.Sprint(asked) != "[[a b c d] [b]]" {
		t.Errorf("asked %v", asked)
	}
}

func TestInspectThatFailsLaterKeepsWhatItHas(t *testing.T) {
	var w waits
	calls := 0
	f := &fake{inspect: func(context.Context, []string) (map[string]providers.Meta, error) {
		if calls++; calls == 1 {
			return map[string]providers.Meta{"a": {Version: "1"}}, &providers.PartialError{Paths: map[string]error{"b": coded(providers.Throttled), "c": nil}}
		}
		return nil, coded(providers.Denied)
	}}
	found, err := providers.New("x", f, w.options()).Inspect(t.Context(), []string{"a", "b", "c"})
	var partial *providers.PartialError
	if !errors.As(err, &partial) || len(partial.Paths) != 2 || len(found) != 1 {
		t.Errorf("found %v, error %v", found, err)
	}
}

func TestIdentityIsKeptOnceKnown(t *testing.T) {
	calls := 0
	f := &fake{id: func() (string, error) {
		switch calls++; calls {
		case 1:
			return "", coded(providers.Denied)
		case 2:
			return "", nil
		}
		return "here", nil
	}}
	p := providers.New("x", f, providers.Options{})
	for i, want := range []string{"", "", "here", "here", "here"} {
		if id, err := p.Identity(t.Context()); id != want || (err == nil) != (want != "") {
			t.Errorf("call %d: %q, %v", i, id, err)
		}
	}
	if calls != 3 {
		t.Errorf("%d calls", calls)
	}
}

func TestReadsAreCounted(t *testing.T) {
	f := &fake{read: func() (secret.Value, error) { return secret.String("v"), nil }}
	p := providers.New("x", f, providers.Options{})
	for range 3 {
		_, _ = p.Read(t.Context(), "p", "")
	}
	if p.Reads() != 3 {
		t.Errorf("%d reads", p.Reads())
	}
}

func TestSizeIsCheckedBeforeAnyCall(t *testing.T) {
	f := &fake{caps: providers.Capabilities{MaxBytes: 10}, write: func(context.Context, providers.WriteRequest) (providers.Meta, error) {
		return providers.Meta{Version: "1"}, nil
	}}
	p := providers.New("x", f, providers.Options{})
	for _, tc := range []struct {
		value secret.Value
		code  providers.Code
	}{
		{secret.String("0123456789"), providers.Unknown},
		{secret.String("0123456789a"), providers.Invalid},
		{secret.Object(map[string]secret.Value{"name": secret.String("012345")}), providers.Unknown},
		{secret.Object(map[string]secret.Value{"name": secret.String("0123456")}), providers.Invalid},
	} {
		_, err := p.Write(t.Context(), providers.WriteRequest{Path: "p", Value: tc.value})
		if providers.CodeOf(err) != tc.code || (err == nil) != (tc.code == providers.Unknown) {
			t.Errorf("%v, want %v", err, tc.code)
		}
	}
}

func TestLogHoldsMetadataOnly(t *testing.T) {
	var out bytes.Buffer
	f := &fake{write: func(context.Context, providers.WriteRequest) (providers.Meta, error) {
		return providers.Meta{}, errors.New("body: hunter2-hunter2")
	}}
	p := providers.New("aws.eu", f, providers.Options{Log: slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug}))})
	_, _ = p.Write(t.Context(), providers.WriteRequest{Path: "app/db", Value: secret.String("hunter2-hunter2")})
	if s := out.String(); !strings.Contains(s, "provider=aws.eu op=write path=app/db") || strings.Contains(s, "hunter2") || strings.Contains(s, "body") {
		t.Errorf("log: %s", s)
	}
}

func TestWithoutPowers(t *testing.T) {
	p := providers.New("x", &fake{}, providers.Options{})
	if p.CanList() || p.CanPatch() || p.CanUndelete() || p.KeepsAttributes() || p.HasObjects() || p.Batches() || len(p.Readers()) > 0 {
		t.Error("a driver with no optional interface has a power")
	}
	ctx := t.Context()
	_, patch := p.Patch(ctx, providers.WriteRequest{Path: "p"})
	_, list := p.List(ctx)
	_, undelete := p.Undelete(ctx, "p")
	_, set := p.SetAttributes(ctx, "p", "1", providers.Attributes{})
	_, object := p.WriteObject(ctx, providers.ObjectRequest{})
	_, objects := p.InspectObjects(ctx, []providers.ObjectRef{{Kind: "k"}})
	for i, err := range []error{patch, list, undelete, set, object, objects} {
		if providers.CodeOf(err) != providers.Unsupported {
			t.Errorf("%d: %v", i, err)
		}
	}
	if specs, err := p.CompileAccess(nil, nil); specs != nil || err != nil {
		t.Errorf("no grants: %v, %v", specs, err)
	}
	var access *providers.AccessError
	if _, err := p.CompileAccess(nil, []providers.Grant{{}}); !errors.As(err, &access) {
		t.Errorf("a grant: %v", err)
	}
	if p.Container("secret", "a") == p.Container("secret", "b") || p.Container("secret", "a") == p.Container("env_file", "a") {
		t.Error("two things are in one container")
	}
}

func TestAddressHash(t *testing.T) {
	// printf '%s' 'app.checkout.secret.db["production"]' | sha256sum | cut -c1-32
	if got := providers.AddressHash(`app.checkout.secret.db["production"]`); got != "73ffa999f4912cead18605126f316654" {
		t.Errorf("hash is %q: marks that exist would no longer be found", got)
	}
}

// What is asked for early is taken once, in the order of its questions, and an
// error of one is that of those behind it.
func TestPrefetch(t *testing.T) {
	world := memory.NewWorld("w")
	p := providers.New("memory", memory.New(world, memory.Full()), providers.Options{})
	if _, err := p.Write(t.Context(), providers.WriteRequest{Path: "a", Value: secret.String("x"), OpID: "1"}); err != nil {
		t.Fatal(err)
	}
	p.Prefetch(t.Context())
	if id, err := p.Identity(t.Context()); err != nil || id == "" {
		t.Fatalf("identity %q, %v", id, err)
	}
	first, err := p.List(t.Context())
	if err != nil || len(first) != 1 {
		t.Fatalf("list %v, %v", first, err)
	}
	if _, err := p.Write(t.Context(), providers.WriteRequest{Path: "b", Value: secret.String("x"), OpID: "2"}); err != nil {
		t.Fatal(err)
	}
	if again, err := p.List(t.Context()); err != nil || len(again) != 2 {
		t.Fatalf("the second list is %v, %v: the early answer was used twice", again, err)
	}
}
