package providers_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/cofferhq/coffer/providers"
	"github.com/cofferhq/coffer/providers/secret"
)

type batchFake struct {
	fake
	batch func(context.Context, providers.Batch) []providers.Result
}

func (*batchFake) Container(_, path string) string { return strings.SplitN(path, "/", 2)[0] }

func (f *batchFake) WriteBatch(ctx context.Context, b providers.Batch) []providers.Result {
	return f.batch(ctx, b)
}

func writes(values ...string) []providers.Operation {
	var ops []providers.Operation
	for i, v := range values {
		ops = append(ops, providers.Operation{Write: &providers.WriteRequest{Path: fmt.Sprintf("c/%d", i), Value: secret.String(v)}})
	}
	return ops
}

func TestBatchIsSentWithoutWhatCannotWork(t *testing.T) {
	var sent int
	f := &batchFake{fake: fake{caps: providers.Capabilities{MaxBytes: 5}}, batch: func(_ context.Context, b providers.Batch) []providers.Result {
		sent = len(b.Ops)
		return make([]providers.Result, len(b.Ops))
	}}
	ops := append(writes("good", "too large", "fine"),
		providers.Operation{}, providers.Operation{Patch: &providers.WriteRequest{Path: "c/p"}}, providers.Operation{Object: &providers.ObjectRequest{}})
	results := providers.New("x", f, providers.Options{}).WriteBatch(t.Context(), providers.Batch{Container: "c", Ops: ops})
	want := []providers.Code{-1, providers.Invalid, -1, providers.Invalid, providers.Unsupported, providers.Unsupported}
	for i, code := range want {
		if err := results[i].Err; (err == nil) != (code == -1) || err != nil && providers.CodeOf(err) != code {
			t.Errorf("operation %d: %v", i, err)
		}
	}
	if sent != 2 {
		t.Errorf("%d operations sent, want 2", sent)
	}
}

func TestBatchRetriesWhatPasses(t *testing.T) {
	var w waits
	var sizes []int
	f := &batchFake{batch: func(_ context.Context, b providers.Batch) []providers.Result {
		sizes = append(sizes, len(b.Ops))
		results := make([]providers.Result, len(b.Ops))
		for i, op := range b.Ops {
			results[i].Meta.Version = "v" + op.Write.Path
			if op.Write.Path == "c/1" && len(sizes) < 3 {
				results[i] = providers.Result{Err: coded(providers.Throttled)}
			}
			if op.Write.Path == "c/2" {
				results[i] = providers.Result{Err: coded(providers.Conflict)}
			}
		}
		return results
	}}
	results := providers.New("x", f, w.options()).WriteBatch(t.Context(), providers.Batch{Container: "c", Ops: writes("a", "b", "c")})
	if fmt.Sprint(sizes) != "[3 1 1]" {
		t.Errorf("sizes of the batches: %v", sizes)
	}
	if results[0].Meta.Version != "vc/0" || results[1].Meta.Version != "vc/1" || results[1].Err != nil || providers.CodeOf(results[2].Err) != providers.Conflict {
		t.Errorf("results %+v", results)
	}
}

func TestBatchErrorsEchoNoValueOfTheBatch(t *testing.T) {
	f := &batchFake{batch: func(_ context.Context, b providers.Batch) []providers.Result {
		results := make([]providers.Result, len(b.Ops))
		for i := range results {
			results[i].Err = errors.New("cannot write first-value second-value third-value")
		}
		return results
	}}
	results := providers.New("x", f, providers.Options{}).WriteBatch(t.Context(), providers.Batch{Container: "c", Ops: writes("first-value", "second-value", "third-value")})
	for i, r := range results {
		want := fmt.Sprintf("x write c/%d: cannot write (sensitive) (sensitive) (sensitive)", i)
		if r.Err == nil || r.Err.Error() != want || providers.CodeOf(r.Err) != providers.Ambiguous {
			t.Errorf("got  %v\nwant %s", r.Err, want)
		}
	}
}

func TestBatchWithTheWrongNumberOfAnswersIsAmbiguous(t *testing.T) {
	var w waits
	calls := 0
	f := &batchFake{batch: func(_ context.Context, b providers.Batch) []providers.Result {
		if calls++; calls == 1 {
			return []providers.Result{{}, {Err: coded(providers.Unavailable)}}
		}
		return nil
	}}
	results := providers.New("x", f, w.options()).WriteBatch(t.Context(), providers.Batch{Container: "c", Ops: writes("a", "b")})
	var e *providers.Error
	if results[0].Err != nil || !errors.As(results[1].Err, &e) || e.Code != providers.Ambiguous || e.Op != "write" || e.Path != "c/1" {
		t.Errorf("results %+v", results)
	}
}

func TestBatchCancelledBeforeIt(t *testing.T) {
	f := &batchFake{batch: func(context.Context, providers.Batch) []providers.Result {
		t.Error("the driver was called")
		return nil
	}}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, r := range providers.New("x", f, providers.Options{}).WriteBatch(ctx, providers.Batch{Container: "c", Ops: writes("a", "b")}) {
		if providers.CodeOf(r.Err) != providers.Cancelled || !errors.Is(r.Err, context.Canceled) {
			t.Errorf("error %v", r.Err)
		}
	}
}

func TestBatchPromiseEndsRetries(t *testing.T) {
	var w waits
	calls := 0
	f := &batchFake{batch: func(ctx context.Context, b providers.Batch) []providers.Result {
		calls++
		_ = b.Promise(ctx, nil)
		return []providers.Result{{Err: coded(providers.Unavailable)}}
	}}
	batch := providers.Batch{Container: "c", Ops: writes("a"), Promise: func(context.Context, map[string]string) error { return nil }}
	results := providers.New("x", f, w.options()).WriteBatch(t.Context(), batch)
	if calls != 1 || providers.CodeOf(results[0].Err) != providers.Unavailable {
		t.Errorf("%d calls, results %+v", calls, results)
	}
}

// Without a BatchWriter the operations go one by one and share the promise.
func TestBatchOneByOne(t *testing.T) {
	promised := 0
	f := &fake{
		write: func(ctx context.Context, req providers.WriteRequest) (providers.Meta, error) {
			if err := req.Promise(ctx, map[string]string{req.Path: "1"}); err != nil {
				return providers.Meta{}, err
			}
			return providers.Meta{Version: req.Path}, nil
		},
		delete: func() error { return coded(providers.Conflict) },
	}
	ops := append(writes("a", "b"), providers.Operation{Delete: &providers.DeleteRequest{Path: "c/2"}}, providers.Operation{})
	results := providers.New("x", f, providers.Options{}).WriteBatch(t.Context(), providers.Batch{Ops: ops, Promise: func(context.Context, map[string]string) error {
		promised++
		return nil
	}})
	if promised != 2 || results[0].Meta.Version != "c/0" || results[1].Meta.Version != "c/1" ||
		providers.CodeOf(results[2].Err) != providers.Conflict || providers.CodeOf(results[3].Err) != providers.Invalid {
		t.Errorf("%d promises, results %+v", promised, results)
	}
}
