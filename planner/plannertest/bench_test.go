//go:build unix

package plannertest

import (
	"context"
	"fmt"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"syscall"
	"testing"
	"time"

	"github.com/cofferhq/coffer/lang"
	"github.com/cofferhq/coffer/lang/addr"
	"github.com/cofferhq/coffer/planner"
	"github.com/cofferhq/coffer/providers/memory"
)

// many is a configuration of n generated secrets, ten to an app.
func many(n int) *lang.Config {
	cfg := &lang.Config{
		Settings:     lang.Settings{Project: "test-1"},
		Environments: map[string]*lang.Environment{"dev": {Name: "dev", Store: "memory"}},
	}
	for i := range n {
		a := addr.Secret(fmt.Sprintf("app%06d", i/10), "dev", fmt.Sprintf("s%d", i%10))
		cfg.Secrets = append(cfg.Secrets, &lang.Secret{
			Address: a, Store: "memory", Single: true, OnOutsideChange: "stop",
			Fields: []lang.Field{{Source: &lang.Source{Kind: lang.Generated, Func: "random_hex"}}},
		})
	}
	return cfg
}

// run is one plan, or plan and apply, as the program does it.
type run struct {
	w   *World
	cfg *lang.Config
}

func (r *run) look() *Look {
	l := &Look{Snapshot: r.w.State.snapshot("test-1"), Options: planner.DiffOptions{Now: Start}}
	l.Stores = r.w.Connect(l.Snapshot)
	l.Desired, _ = planner.Desire(r.cfg, l.Stores)
	live, err := (&planner.Refresher{Stores: l.Stores, Wait: noSleep}).Refresh(context.Background(), l.Desired, l.Snapshot)
	if err != nil {
		r.w.Fatalf("%v", err)
	}
	l.Live = live
	l.Plan = planner.Diff(l.Desired, l.Snapshot, live, l.Stores, l.Options)
	return l
}

func (r *run) apply() {
	l := r.look()
	res, err := r.w.Applier(l).Apply(context.Background(), l.Plan)
	if err != nil || res.Failed() {
		r.w.Fatalf("apply: %v", err)
	}
}

func newRun(b *testing.B, n int) *run {
	knobs := memory.Full()
	knobs.Restore, knobs.SoftDelete = false, 0
	return &run{w: New(b, knobs), cfg: many(n)}
}

// BenchmarkPlan is a plan without changes over n secrets.
func BenchmarkPlan(b *testing.B) {
	for _, n := range []int{1_000, 10_000, 100_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			r := newRun(b, n)
			r.apply()
			runtime.GC()
			began := cpu()
			for b.Loop() {
				if l := r.look(); len(l.Plan.Changes) != 0 {
					b.Fatal("the plan is not empty")
				}
			}
			perSecret(b, n, cpu()-began)
		})
	}
}

// BenchmarkApply creates n secrets.
func BenchmarkApply(b *testing.B) {
	for _, n := range []int{1_000, 10_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			began := cpu()
			for b.Loop() {
				newRun(b, n).apply()
			}
			perSecret(b, n, cpu()-began)
		})
	}
}

// perSecret reports wall and processor time. Only the latter can be compared
// between sizes on a machine that has other work.
func perSecret(b *testing.B, n int, used time.Duration) {
	each := float64(b.N) * float64(n)
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/each, "ns/secret")
	b.ReportMetric(float64(used.Nanoseconds())/each, "cpu-ns/secret")
}

// cpu returns the processor time of this process so far, the collector's
// included.
func cpu() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkPlanPeakMemory samples the heap during a plan of n secrets and
// reports the peak beyond the configuration and the store itself.
func BenchmarkPlanPeakMemory(b *testing.B) {
	for _, n := range []int{10_000, 100_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			r := newRun(b, n)
			r.apply()
			defer debug.SetGCPercent(debug.SetGCPercent(1))
			peak := 0.0
			for b.Loop() {
				runtime.GC()
				base := heap()
				stop := sample()
				l := r.look()
				peak = max(peak, float64(stop()-base)/float64(n))
				runtime.KeepAlive(l)
			}
			b.ReportMetric(peak, "peak-B/secret")
		})
	}
}

func heap() int64 {
	s := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
	metrics.Read(s)
	return int64(s[0].Value.Uint64())
}

// sample watches the heap until the returned function is called, which returns
// the highest reading.
func sample() func() int64 {
	done, result := make(chan struct{}), make(chan int64)
	go func() {
		top := int64(0)
		tick := time.NewTicker(time.Millisecond)
		defer tick.Stop()
		for {
			top = max(top, heap())
			select {
			case <-done:
				result <- top
				return
			case <-tick.C:
			}
		}
	}()
	return func() int64 { close(done); return <-result }
}
