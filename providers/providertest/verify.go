package providertest

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
)

// Report is what a run without *testing.T found.
type Report struct {
	Failures []string // "POINT: message"
	Cannot   []string // the points that were not shown, with their reasons
}

// Failed reports whether the point with this number failed.
func (r Report) Failed(number int) bool {
	return slices.ContainsFunc(r.Failures, func(f string) bool { return strings.HasPrefix(f, fmt.Sprintf("%02d ", number)) })
}

// Verify runs the points with the given numbers, all if there are none, and
// returns what it found, for tests of the suite and of harnesses: a driver that
// is broken on purpose must fail. Temporary folders are removed in any case.
func Verify(ctx context.Context, h Harness, numbers ...int) Report {
	var report Report
	for _, p := range points() {
		if len(numbers) > 0 && !slices.Contains(numbers, p.number) {
			continue
		}
		r := &recorder{name: p.title(), ctx: ctx}
		r.do(func() { h.show(r, p) })
		r.finish()
		report.Failures = append(report.Failures, r.failures...)
		report.Cannot = append(report.Cannot, r.cannot...)
	}
	return report
}

// recorder is a T that writes down what happens.
type recorder struct {
	name string
	ctx  context.Context

	mu       sync.Mutex
	failures []string
	cannot   []string
	cleanups []func()
	folders  []string
}

// do runs f in a goroutine of its own, which Fatalf can end.
func (r *recorder) do(f func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer func() {
			if p := recover(); p != nil {
				r.Errorf("panic: %v", p)
			}
		}()
		f()
	}()
	<-done
}

func (r *recorder) finish() {
	for i := len(r.cleanups) - 1; i >= 0; i-- {
		r.do(r.cleanups[i])
	}
	for _, folder := range r.folders {
		if err := os.RemoveAll(folder); err != nil {
			r.Errorf("%v", err)
		}
	}
}

func (r *recorder) Helper()                  {}
func (r *recorder) Name() string             { return r.name }
func (r *recorder) Context() context.Context { return r.ctx }

func (r *recorder) Logf(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if text := fmt.Sprintf(format, args...); strings.HasPrefix(text, "cannot: ") {
		r.cannot = append(r.cannot, strings.TrimPrefix(text, "cannot: "))
	}
}

func (r *recorder) Errorf(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.failures = append(r.failures, r.name+": "+fmt.Sprintf(format, args...))
}

func (r *recorder) Fatalf(format string, args ...any) {
	r.Errorf(format, args...)
	runtime.Goexit()
}

func (r *recorder) Failed() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.failures) > 0
}

func (r *recorder) TempDir() string {
	folder, err := os.MkdirTemp("", "providertest")
	if err != nil {
		r.Fatalf("%v", err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.folders = append(r.folders, folder)
	return folder
}

func (r *recorder) Cleanup(f func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.cleanups = append(r.cleanups, f)
}
