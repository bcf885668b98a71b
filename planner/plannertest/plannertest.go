// Package plannertest tests the planner over a real driver: a [World] holds
// stores, a state and a configuration, and plans and applies the way the
// program does. Convergence, crash and property suites are built on it.
//
// Tests may import it; nothing else may, since it imports every floor.
package plannertest

import (
	"bytes"
	"context"
	"crypto/rand"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cofferhq/coffer/lang"
	"github.com/cofferhq/coffer/lang/addr"
	"github.com/cofferhq/coffer/planner"
	"github.com/cofferhq/coffer/planner/fingerprint"
	"github.com/cofferhq/coffer/providers"
	"github.com/cofferhq/coffer/providers/memory"
	"github.com/cofferhq/coffer/providers/secret"
	"github.com/cofferhq/coffer/state"
)

// Start is the time at which every world begins.
var Start = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// TB is the part of testing.TB that a World needs; rapid.T has it too.
type TB interface {
	Helper()
	Fatalf(format string, args ...any)
	Logf(format string, args ...any)
}

// World is everything outside the planner.
type World struct {
	TB
	// Stores by reference ("memory", "memory.b"), with the knobs of each.
	Stores map[string]*memory.World
	Knobs  map[string]memory.Options
	// Others open stores of real platforms by reference ("vault", "vault.b"), a
	// new driver each time.
	Others map[string]func() providers.Driver
	State  *State
	Now    time.Time
	// Environ and Files are what supplied sources read.
	Environ map[string]string
	Files   map[string]string
	Key     fingerprint.Key
	Manual  map[addr.Address]map[string]secret.Value
	Audit   planner.Auditor
	// Policies, Objects and Imports are added to the configuration: the memory
	// platform's reader function and types are no words of the language.
	Policies []*lang.Policy
	Objects  []*lang.Object
	Imports  []*lang.Import
	// Settings are blocks to add to the coffer block.
	Settings string

	dir string
	hcl map[string]string
}

// New returns a world with one store, memory, shaped by knobs.
func New(t testing.TB, knobs memory.Options) *World {
	w := Bare(t, knobs)
	w.dir = t.TempDir()
	return w
}

// Bare is New for a caller that gives a folder itself, such as a property.
func Bare(t TB, knobs memory.Options) *World {
	key, err := fingerprint.NewKey(rand.Reader)
	if err != nil {
		t.Fatalf("key: %v", err)
	}
	return &World{
		TB:     t,
		Stores: map[string]*memory.World{"memory": memory.NewWorld("mem-1")},
		Knobs:  map[string]memory.Options{"memory": knobs},
		State:  &State{},
		Now:    Start, Environ: map[string]string{}, Files: map[string]string{}, Key: key,
		hcl: map[string]string{},
	}
}

// In sets the configuration folder.
func (w *World) In(dir string) *World { w.dir = dir; return w }

// AddStore adds a store memory.ALIAS.
func (w *World) AddStore(alias string, knobs memory.Options) *memory.World {
	ref := "memory." + alias
	w.Stores[ref] = memory.NewWorld("mem-" + alias)
	w.Knobs[ref] = knobs
	return w.Stores[ref]
}

// Configure sets the configuration. Settings and provider blocks are added.
func (w *World) Configure(hcl string) *World {
	var b strings.Builder
	b.WriteString("coffer {\n  project = \"test-1\"\n" + w.Settings + "}\n")
	for _, ref := range w.refs() {
		platform, alias, aliased := strings.Cut(ref, ".")
		body := ""
		if aliased {
			body = " alias = \"" + alias + "\" "
		}
		b.WriteString("provider \"" + platform + "\" {" + body + "}\n")
	}
	w.hcl = map[string]string{"settings.hcl": b.String(), "main.hcl": hcl}
	return w
}

// refs names every store, in order.
func (w *World) refs() []string {
	refs := slices.Collect(maps.Keys(w.Stores))
	return slices.Sorted(slices.Values(slices.AppendSeq(refs, maps.Keys(w.Others))))
}

// Load reads the configuration, and fails on any error in it.
func (w *World) Load() *lang.Config {
	w.Helper()
	for name, text := range w.hcl {
		if err := os.WriteFile(filepath.Join(w.dir, name), []byte(text), 0o600); err != nil {
			w.Fatalf("%v", err)
		}
	}
	cfg, diags := lang.Load(w.dir, lang.Options{ProviderTypes: []string{"memory", "vault", "kubernetes"}})
	for _, d := range diags {
		if d.Severity == 1 {
			w.Fatalf("configuration: %s: %s", d.Summary, d.Detail)
		}
	}
	cfg.Policies = append(cfg.Policies, w.Policies...)
	cfg.Objects = append(cfg.Objects, w.Objects...)
	cfg.Imports = append(cfg.Imports, w.Imports...)
	return cfg
}

// Connect opens every store.
func (w *World) Connect(s *state.Snapshot) planner.Stores {
	w.Helper()
	stores, diags := planner.Connect(context.Background(), w.Providers(), s)
	if len(diags) > 0 {
		w.Fatalf("connect: %s: %s", diags[0].Summary, diags[0].Detail)
	}
	return stores
}

// Providers returns a fresh provider for every store, as a new process has.
func (w *World) Providers() []*providers.Provider {
	var list []*providers.Provider
	options := providers.Options{Now: func() time.Time { return w.Now }, Sleep: noSleep}
	for ref, world := range w.Stores {
		list = append(list, providers.New(ref, memory.New(world, w.Knobs[ref]), options))
	}
	for ref, open := range w.Others {
		list = append(list, providers.New(ref, open(), options))
	}
	return list
}

func noSleep(ctx context.Context, _ time.Duration) error { return ctx.Err() }

// Option changes how a plan is made.
type Option func(*planner.DiffOptions)

// Settle adds a person's word.
func Settle(address string, kind planner.SettleKind, fields ...string) Option {
	return func(o *planner.DiffOptions) {
		a, err := addr.Parse(address)
		if err != nil {
			panic(err)
		}
		o.Settle = append(o.Settle, planner.Settlement{Address: a, Kind: kind, Fields: fields})
	}
}

// RestoreFrom settles a primary by its copy.
func RestoreFrom(address, store string) Option {
	return func(o *planner.DiffOptions) {
		a, _ := addr.Parse(address)
		o.Settle = append(o.Settle, planner.Settlement{Address: a, Kind: planner.SettleRestore, From: store})
	}
}

// Target narrows the plan.
func Target(address string) Option {
	return func(o *planner.DiffOptions) {
		a, _ := addr.Parse(address)
		o.Targets = append(o.Targets, a)
	}
}

// Exclude narrows the plan.
func Exclude(address string) Option {
	return func(o *planner.DiffOptions) {
		a, _ := addr.Parse(address)
		o.Excludes = append(o.Excludes, a)
	}
}

// TakeOver lets an import take another project's secret.
func TakeOver() Option { return func(o *planner.DiffOptions) { o.TakeOver = true } }

// Rotations chooses which rotations to take up.
func Rotations(r planner.Rotations) Option {
	return func(o *planner.DiffOptions) { o.Rotations = r }
}

// Look is one refresh and what it was made of.
type Look struct {
	Desired  *planner.Desired
	Snapshot *state.Snapshot
	Live     *planner.Live
	Stores   planner.Stores
	Options  planner.DiffOptions
	Plan     *planner.Plan
}

// Look loads, connects, refreshes and plans.
func (w *World) Look(opts ...Option) *Look {
	w.Helper()
	l := &Look{Snapshot: w.State.snapshot("test-1")}
	cfg := w.Load()
	l.Stores = w.Connect(l.Snapshot)
	desired, diags := planner.Desire(cfg, l.Stores)
	if len(diags) > 0 {
		w.Fatalf("desire: %s: %s", diags[0].Summary, diags[0].Detail)
	}
	l.Desired = desired
	refresher := &planner.Refresher{Stores: l.Stores, Wait: noSleep, Compare: &planner.Comparer{Inputs: inputs{w}, Key: w.Key}}
	live, err := refresher.Refresh(context.Background(), desired, l.Snapshot)
	if err != nil {
		w.Fatalf("refresh: %v", err)
	}
	l.Live = live
	l.Options = planner.DiffOptions{Now: w.Now}
	for _, opt := range opts {
		opt(&l.Options)
	}
	l.Plan = planner.Diff(desired, l.Snapshot, live, l.Stores, l.Options)
	return l
}

// Plan returns what apply would do.
func (w *World) Plan(opts ...Option) *planner.Plan { w.Helper(); return w.Look(opts...).Plan }

// Applier returns an applier for a look, on a locked state.
func (w *World) Applier(l *Look) *planner.Applier {
	return &planner.Applier{
		Desired: l.Desired, Stores: l.Stores, Session: w.State, Snapshot: l.Snapshot, Inputs: inputs{w},
		Manual: w.Manual, Rand: rand.Reader, Now: func() time.Time { return w.Now }, Key: w.Key, Audit: w.Audit,
	}
}

// TryApply plans and applies, and returns whatever comes back.
func (w *World) TryApply(opts ...Option) (*planner.Result, error) {
	w.Helper()
	l := w.Look(opts...)
	return w.Applier(l).Apply(context.Background(), l.Plan)
}

// Apply plans and applies, and fails unless everything was done.
func (w *World) Apply(opts ...Option) *planner.Result {
	w.Helper()
	result, err := w.TryApply(opts...)
	if err != nil {
		w.Fatalf("apply: %v", err)
	}
	for _, o := range result.Outcomes {
		if o.Err != nil || o.Skipped != "" {
			w.Fatalf("apply: %s %s: %v%s", o.Change.Action, o.Change.Address, o.Err, o.Skipped)
		}
	}
	return result
}

// Drift returns what changed outside.
func (w *World) Drift() *planner.DriftReport {
	w.Helper()
	l := w.Look()
	return planner.DetectDrift(l.Desired, l.Snapshot, l.Live, l.Stores, l.Options, nil)
}

// Value returns what a store holds at a path, as text; fields as name=text
// lines. It fails when nothing is there.
func (w *World) Value(store, path string) string {
	w.Helper()
	v, ok := w.Stores[store].Value(path)
	if !ok {
		w.Fatalf("nothing at %s on %s", path, store)
	}
	return Text(v)
}

// Text returns the plaintext of a test's value.
func Text(v secret.Value) string {
	if !v.IsObject() {
		var b bytes.Buffer
		_ = v.Expose(func(p []byte) error { _, err := b.Write(p); return err })
		return b.String()
	}
	var lines []string
	for _, name := range v.Names() {
		f, _ := v.Field(name)
		lines = append(lines, name+"="+Text(f))
	}
	return strings.Join(lines, "\n")
}

// inputs supplies values from the world's maps.
type inputs struct{ w *World }

func (i inputs) Supply(s *lang.Source) (secret.Value, bool, error) {
	from := i.w.Environ
	if s.Kind != lang.FromEnv {
		from = i.w.Files
	}
	text, ok := from[s.Plain]
	return secret.String(text), ok, nil
}

var _ io.Reader = rand.Reader
