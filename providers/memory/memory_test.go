package memory_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/cofferhq/coffer/providers"
	"github.com/cofferhq/coffer/providers/memory"
	"github.com/cofferhq/coffer/providers/secret"
)

func write(path, ifVersion, value, op string) providers.WriteRequest {
	return providers.WriteRequest{Path: path, Value: secret.String(value), IfVersion: ifVersion, OpID: op}
}

func shown(w *memory.World, path string) string {
	v, ok := w.Value(path)
	if !ok {
		return "nothing"
	}
	return text(v)
}

func text(v secret.Value) string {
	var s string
	_ = v.Expose(func(b []byte) error { s = string(b); return nil })
	return s
}

func codeIs(t *testing.T, err error, want providers.Code) {
	t.Helper()
	if err == nil || providers.CodeOf(err) != want {
		t.Errorf("error %v, want %v", err, want)
	}
}

// A knob that is off takes the power away, and the method too.
func TestPowersFollowTheKnobs(t *testing.T) {
	for name, tc := range map[string]struct {
		on  memory.Options
		has func(providers.Powers) bool
	}{
		"patch":      {memory.Options{Patch: true}, func(p providers.Powers) bool { return p.Patcher != nil }},
		"attributes": {memory.Options{Attributes: true}, func(p providers.Powers) bool { return p.Attributer != nil }},
		"list":       {memory.Options{List: true}, func(p providers.Powers) bool { return p.Lister != nil }},
		"restore":    {memory.Options{Restore: true}, func(p providers.Powers) bool { return p.Restorer != nil }},
		"batch":      {memory.Options{Container: memory.Files().Container}, func(p providers.Powers) bool { return p.BatchWriter != nil }},
		"objects":    {memory.Options{Objects: true}, func(p providers.Powers) bool { return p.ObjectDriver != nil && p.AccessCompiler != nil }},
	} {
		w := memory.NewWorld("w")
		if !tc.has(providers.PowersOf(memory.New(w, tc.on))) {
			t.Errorf("%s: on, and absent", name)
		}
		if tc.has(providers.PowersOf(memory.New(w, memory.Options{}))) {
			t.Errorf("%s: off, and there", name)
		}
	}
	var d providers.Driver = memory.New(memory.NewWorld("w"), memory.Full())
	if _, ok := d.(providers.Patcher); ok {
		t.Error("the driver has the method whatever the knob says")
	}
}

func TestLostAnswer(t *testing.T) {
	w := memory.NewWorld("w")
	w.Inject(memory.Fault{Op: "write", Effect: memory.LoseAnswer, Times: 1})
	d := memory.New(w, memory.Full())
	_, err := d.Write(t.Context(), write("a", "", "one", "op-1"))
	codeIs(t, err, providers.Ambiguous)
	if got := shown(w, "a"); got != "one" {
		t.Errorf("the store has %s", got)
	}
	m, err := d.Write(t.Context(), write("a", "", "one", "op-1"))
	if err != nil || m.Version != "1" {
		t.Errorf("the same operation again: %+v, %v", m, err)
	}
}

func TestLateLanding(t *testing.T) {
	w := memory.NewWorld("w")
	w.Inject(memory.Fault{Op: "write", Path: "a", Effect: memory.Land, Calls: 2, Times: 1})
	d := memory.New(w, memory.Versioned())
	_, err := d.Write(t.Context(), write("a", "", "late", "op-1"))
	codeIs(t, err, providers.Ambiguous)
	for i, want := range []string{"nothing", "late"} {
		_, _ = d.Identity(t.Context())
		if got := shown(w, "a"); got != want {
			t.Errorf("after %d calls: %s, want %s", i+1, got, want)
		}
	}
}

// With preconditions a write that lands late over another one does nothing;
// without them it wins. That is what the settle window is for.
func TestLateLandingMeetsAnotherWrite(t *testing.T) {
	for name, tc := range map[string]struct {
		o    memory.Options
		want string
	}{
		"versioned": {memory.Versioned(), "second"},
		"eventual":  {memory.Eventual(), "late"},
	} {
		w := memory.NewWorld("w")
		w.Inject(memory.Fault{Op: "write", Effect: memory.Land, Calls: 99, Times: 1})
		d := memory.New(w, tc.o)
		_, _ = d.Write(t.Context(), write("a", "", "late", "op-1"))
		if _, err := d.Write(t.Context(), write("a", "", "second", "op-2")); err != nil {
			t.Fatal(err)
		}
		w.Settle()
		if got := shown(w, "a"); got != tc.want {
			t.Errorf("%s: the store has %s, want %s", name, got, tc.want)
		}
	}
}

func TestLag(t *testing.T) {
	w := memory.NewWorld("w")
	d := memory.New(w, memory.Options{Lag: 2, List: true})
	m, err := d.Write(t.Context(), write("a", "", "one", "op-1"))
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []bool{false, false, true, true} {
		found, err := d.Inspect(t.Context(), []string{"a"})
		if _, ok := found["a"]; ok != want || err != nil {
			t.Errorf("inspect %d after a create: %v, %v", i, found, err)
		}
	}
	if err := d.Delete(t.Context(), "a", m.Version); err != nil {
		t.Fatal(err)
	}
	list := providers.PowersOf(d).Lister
	for i, want := range []bool{true, true, false} {
		found, err := list.List(t.Context())
		if _, ok := found["a"]; ok != want || err != nil {
			t.Errorf("list %d after a delete: %v, %v", i, found, err)
		}
	}
}

func TestOutageAfterSomeCalls(t *testing.T) {
	w := memory.NewWorld("w")
	w.Inject(memory.Outage(2))
	d := memory.New(w, memory.Options{})
	for i := range 5 {
		_, err := d.Identity(t.Context())
		if (err != nil) != (i >= 2) {
			t.Errorf("call %d: %v", i, err)
		}
	}
	w.Heal()
	if _, err := d.Identity(t.Context()); err != nil {
		t.Error(err)
	}
	if n := w.Calls("identity"); n != 6 {
		t.Errorf("%d calls counted", n)
	}
}

// The hook is a crash: what the driver did before it stays, the driver is dead
// after it, and another one finds the world as it is.
func TestCrashAtEveryPoint(t *testing.T) {
	crash := errors.New("crash")
	for _, o := range []memory.Options{memory.Full(), memory.Eventual()} {
		var points []string
		o.At = func(point string) error { points = append(points, point); return nil }
		scenario(t.Context(), memory.New(memory.NewWorld("w"), o))
		if len(points) < 6 {
			t.Errorf("points: %q", points)
		}
		for i, stop := range points {
			seen := 0
			o.At = func(string) error {
				if seen++; seen == i+1 {
					return crash
				}
				return nil
			}
			w := memory.NewWorld("w")
			d := memory.New(w, o)
			err := scenario(t.Context(), d)
			if !errors.Is(err, crash) || seen != i+1 {
				t.Errorf("at %q: error %v after %d points", stop, err, seen)
			}
			if _, err := d.Identity(t.Context()); !errors.Is(err, crash) {
				t.Errorf("a dead driver answers: %v", err)
			}
			want := map[bool]string{true: "one", false: "nothing"}[strings.HasPrefix(stop, "after write a") || i > indexOf(points, "after write a")]
			if got := shown(w, "a"); got != want && got != "two" {
				t.Errorf("crash at %q: the store has %s, want %s", stop, got, want)
			}
		}
	}
}

func indexOf(points []string, point string) int {
	for i, p := range points {
		if p == point {
			return i
		}
	}
	return -1
}

func scenario(ctx context.Context, d providers.Driver) error {
	if _, err := d.Inspect(ctx, []string{"a"}); err != nil {
		return err
	}
	m, err := d.Write(ctx, write("a", "", "one", "op-1"))
	if err != nil {
		return err
	}
	_, err = d.Write(ctx, write("a", m.Version, "two", "op-2"))
	return err
}

func TestWorldInAFile(t *testing.T) {
	name := filepath.Join(t.TempDir(), "world")
	open := func() *memory.World {
		w, err := memory.OpenWorld(name, "first name")
		if err != nil {
			t.Fatal(err)
		}
		return w
	}
	w := open()
	d := memory.New(w, memory.Full())
	ctx := t.Context()
	m, err := d.Write(ctx, write("a", "", "one\x00\n", "op-1"))
	if err == nil {
		_, err = d.Write(ctx, write("a", m.Version, "two", "op-2"))
	}
	if err == nil {
		_, err = d.Write(ctx, providers.WriteRequest{
			Path: "f", Value: secret.Object(map[string]secret.Value{"x": secret.String(""), "y": secret.String("why")}), OpID: "op-3",
			Attributes: providers.Attributes{Mark: providers.Mark{Project: "p", Protected: true}, Labels: map[string]string{"k": "v"}},
		})
	}
	if err == nil {
		_, err = d.Write(ctx, write("gone", "", "x", "op-4"))
	}
	if err == nil {
		err = d.Delete(ctx, "gone", "1")
	}
	if err != nil {
		t.Fatal(err)
	}
	w.Edit("edited", secret.String("by hand"), "mallory")
	w.SetIdentity("second name")
	w.SetDocument(providers.ObjectRef{Kind: "k", Path: "p"}, "text\n")
	before := dump(t, w)
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}

	w = open()
	if got := dump(t, w); got != before {
		t.Errorf("the world was\n%s\nand is\n%s", before, got)
	}
	_ = w.Close()

	// A torn last line is an effect that did not happen, and is overwritten.
	f, err := os.OpenFile(name, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = f.WriteString(`{"kind":"put","path":"torn","val`)
	_ = f.Close()
	w = open()
	if got := dump(t, w); got != before {
		t.Errorf("with a torn line the world is\n%s", got)
	}
	w.Edit("after", secret.String("x"), "")
	_ = w.Close()
	w = open()
	if got := shown(w, "after"); got != "x" {
		t.Errorf("after the torn line: %s", got)
	}
	_ = w.Close()

	whole, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	whole[10] = 0
	if err := os.WriteFile(name, whole, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := memory.OpenWorld(name, ""); err == nil {
		t.Error("a damaged line in the middle is taken")
	}
}

func dump(t *testing.T, w *memory.World) string {
	t.Helper()
	d := memory.New(w, memory.Full())
	id, err := d.Identity(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	all, err := providers.PowersOf(d).Lister.List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	objects, err := providers.PowersOf(d).ObjectDriver.InspectObjects(t.Context(), []providers.ObjectRef{{Kind: "k", Path: "p"}})
	if err != nil {
		t.Fatal(err)
	}
	var values []string
	for _, path := range w.Paths() {
		v, _ := w.Value(path)
		for _, name := range v.Names() {
			field, _ := v.Field(name)
			values = append(values, name+"="+text(field))
		}
		values = append(values, path+"="+text(v))
	}
	old, err := d.Read(t.Context(), "a", "1")
	return fmt.Sprintf("%s %v %q %v %q %v %v", id, all, values, objects, text(old), err, w.Now())
}

// An object that changes carries the secrets of its container along, and tells
// of those that were as recorded.
func TestEnvelopesCarry(t *testing.T) {
	w := memory.NewWorld("w")
	d := memory.New(w, memory.Files())
	ctx := t.Context()
	for _, path := range []string{"c/a", "c/b", "c/edited", "c/unknown", "other/c"} {
		if _, err := d.Write(ctx, write(path, "", "value", path)); err != nil {
			t.Fatal(err)
		}
	}
	w.Edit("c/edited", secret.String("by hand"), "mallory")
	var promised map[string]string
	update := write("c/a", "1", "new", "op")
	results := providers.PowersOf(d).BatchWriter.WriteBatch(ctx, providers.Batch{
		Container: "c",
		Ops: []providers.Operation{
			{Write: &update},
			{Object: &providers.ObjectRequest{Ref: providers.ObjectRef{Kind: memory.ObjectKind, Path: "c"}, Document: "alice\n"}},
		},
		Promise: func(_ context.Context, versions map[string]string) error { promised = versions; return nil },
		Known:   map[string]string{"c/b": "1", "c/edited": "1"},
	})
	if results[0].Err != nil || results[1].Err != nil {
		t.Fatal(results)
	}
	if got := fmt.Sprint(promised); got != "map[c/a:2.1 c/b:1.1]" {
		t.Errorf("promised %s", got)
	}
	if results[0].Meta.Version != "2.1" || len(results[1].Moved) != 1 || results[1].Moved["c/b"].Version != "1.1" || results[1].Moved["c/b"].Envelope == "" {
		t.Errorf("results %+v", results)
	}
	for path, want := range map[string]string{"other/c": "1", "c/edited": "2.1", "c/unknown": "1.1"} {
		if m, _ := w.Meta(path); m.Version != want {
			t.Errorf("%s has version %s, want %s", path, m.Version, want)
		}
	}
}

func TestOutsideEdits(t *testing.T) {
	w := memory.NewWorld("w")
	d := memory.New(w, memory.Full())
	req := write("a", "", "one", "op")
	req.Attributes.Mark = providers.Mark{Project: "p"}
	if _, err := d.Write(t.Context(), req); err != nil {
		t.Fatal(err)
	}
	w.Edit("a", secret.String("two"), "mallory")
	if m, _ := w.Meta("a"); m.Version != "2" || m.ChangedBy != "mallory" || m.OpID != "" || m.Attributes.Mark.Project != "p" {
		t.Errorf("after an edit: %+v", m)
	}
	w.RemoveMark("a")
	if m, _ := w.Meta("a"); m.Version != "2" || m.Attributes.Mark != (providers.Mark{}) {
		t.Errorf("without its mark: %+v", m)
	}
	w.Reencrypt(func(path string) bool { return path == "a" })
	if m, _ := w.Meta("a"); m.Version != "2.1" || shown(w, "a") != "two" {
		t.Errorf("re-encrypted: %+v", m)
	}
	w.Remove("a", time.Hour)
	if m, ok := w.Meta("a"); !ok || !m.IsDeleted() || shown(w, "a") != "nothing" {
		t.Errorf("removed: %+v", m)
	}
	w.Advance(time.Hour)
	if m, ok := w.Meta("a"); ok {
		t.Errorf("past the window: %+v", m)
	}
}

func TestCompileAccess(t *testing.T) {
	d := memory.New(memory.NewWorld("w"), memory.Files())
	grant := func(name string, paths ...string) providers.Grant {
		return providers.Grant{Reader: providers.Reader{Func: memory.ReaderFunc, Args: []string{name}}, Paths: paths}
	}
	managed := []providers.Managed{{Path: "c/b"}, {Path: "c/a"}, {Path: "d/a"}}
	specs, err := providers.PowersOf(d).AccessCompiler.CompileAccess(managed, []providers.Grant{grant("bob", "c/a", "c/b"), grant("alice", "c/a")})
	want := []providers.ObjectSpec{{
		Ref: providers.ObjectRef{Kind: "access", Path: "c"}, Document: "alice\nbob\n", Paths: []string{"c/a", "c/b"},
	}}
	if err != nil || !reflect.DeepEqual(specs, want) {
		t.Errorf("%+v, %v", specs, err)
	}
	var access *providers.AccessError
	if _, err := providers.PowersOf(d).AccessCompiler.CompileAccess(managed, []providers.Grant{grant("bob"), grant("")}); !errors.As(err, &access) || access.Grant != 1 {
		t.Errorf("a reader without a name: %v", err)
	}
}

// A benchmark has 100,000 secrets; the platform under it must not be what it
// measures.
func TestASecretIsSmall(t *testing.T) {
	const n, most = 100_000, 300
	w := memory.NewWorld("w")
	d := memory.New(w, memory.Versioned())
	paths, ops := make([]string, n), make([]string, n)
	for i := range n {
		paths[i], ops[i] = fmt.Sprintf("app/env/secret-%d", i), fmt.Sprintf("operation-%026d", i)
	}
	value := []byte("a value of 32 bytes, as many are")
	before := heap()
	for i := range n {
		req := providers.WriteRequest{Path: paths[i], Value: secret.New(value), OpID: ops[i]}
		if _, err := d.Write(t.Context(), req); err != nil {
			t.Fatal(err)
		}
	}
	each := int(heap()-before)/n - len(value)
	runtime.KeepAlive(w)
	if each > most {
		t.Errorf("%d bytes a secret beyond its value, want at most %d", each, most)
	}
	t.Logf("%d bytes a secret beyond its value", each)
}

func heap() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
