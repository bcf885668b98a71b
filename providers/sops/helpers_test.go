package sops

import (
	"context"
	"crypto/rand"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cofferhq/coffer/providers"
	"github.com/cofferhq/coffer/providers/secret"
)

// Throw-away identities of the golden files; see testdata/README.md.
const (
	firstKey        = "AGE-SECRET-KEY-12FN3ACL97QTYYKY7MZD3E0XGS865T55ERU2Q7LK38UMATGUP5S8Q63T2JL"
	firstRecipient  = "age1zrarw0mlrfdfmv9gh7azwpgnv0tsv3mx0clrx2cn33cdwtw0h5kqezagku"
	secondKey       = "AGE-SECRET-KEY-1MGVQJQUA3YSVN945GPC6JJA6V00WDC7L0T08XTWX4FDJ7MSSLRFS64KS0M"
	secondRecipient = "age17jc3wctflfc8snele4r0nx43y8dndcse79euxqpdwgxehxy8ee2qk8fkc9"
)

// testTime is when everything happens in these tests.
var testTime = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

// bench is a configuration folder with a driver over it.
type bench struct {
	t   *testing.T
	dir string
	env map[string]string
	d   *Driver
}

type option func(*Config, *Options)

func withRecipients(list ...string) option {
	return func(c *Config, _ *Options) { c.Recipients = Recipients{All: list} }
}

func newBench(t *testing.T, opts ...option) *bench {
	t.Helper()
	b := &bench{t: t, dir: t.TempDir(), env: map[string]string{envKey: firstKey}}
	b.open(opts...)
	return b
}

func (b *bench) open(opts ...option) {
	b.t.Helper()
	c, o := Config{}, Options{}
	for _, opt := range opts {
		opt(&c, &o)
	}
	d, err := Open(providers.Env{
		Dir: b.dir, Getenv: func(name string) string { return b.env[name] },
		Now: func() time.Time { return testTime }, Random: rand.Reader,
	}, c, o)
	if err != nil {
		b.t.Fatal(err)
	}
	b.d = d
}

func (b *bench) path(file string) string {
	return filepath.Join(b.dir, "secrets", filepath.FromSlash(file))
}

func (b *bench) put(file string, data []byte) {
	b.t.Helper()
	if err := os.MkdirAll(filepath.Dir(b.path(file)), 0o755); err != nil {
		b.t.Fatal(err)
	}
	if err := os.WriteFile(b.path(file), data, 0o644); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bench) get(file string) string {
	b.t.Helper()
	data, err := os.ReadFile(b.path(file))
	if err != nil {
		b.t.Fatal(err)
	}
	return string(data)
}

func (b *bench) version(path string) string {
	b.t.Helper()
	found, err := b.d.Inspect(context.Background(), []string{path})
	if err != nil {
		b.t.Fatal(err)
	}
	return found[path].Version
}

func (b *bench) write(path string, v secret.Value) providers.Meta {
	b.t.Helper()
	m, err := b.d.Write(context.Background(), providers.WriteRequest{Path: path, Value: v, IfVersion: b.version(path)})
	if err != nil {
		b.t.Fatalf("write %s: %v", path, err)
	}
	return m
}

func (b *bench) read(path string) secret.Value {
	b.t.Helper()
	v, err := b.d.Read(context.Background(), path, "")
	if err != nil {
		b.t.Fatalf("read %s: %v", path, err)
	}
	return v
}

// text returns a single value, or "field=value" lines.
func text(t *testing.T, v secret.Value) string {
	t.Helper()
	if v.IsObject() {
		var lines []string
		for _, name := range v.Names() {
			f, _ := v.Field(name)
			lines = append(lines, name+"="+text(t, f))
		}
		return strings.Join(lines, "\n")
	}
	var s string
	if err := v.Expose(func(b []byte) error { s = string(b); return nil }); err != nil {
		t.Fatal(err)
	}
	return s
}

func fields(pairs ...string) secret.Value {
	m := map[string]secret.Value{}
	for i := 0; i < len(pairs); i += 2 {
		m[pairs[i]] = secret.String(pairs[i+1])
	}
	return secret.Object(m)
}

func golden(t *testing.T, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// changedLines returns the keys of the lines that differ, removed lines with
// a minus and added ones with a plus; both sides of one change are one entry.
func changedLines(before, after string) []string {
	var changed []string
	old, now := strings.Split(before, "\n"), strings.Split(after, "\n")
	for len(old) > 0 || len(now) > 0 {
		switch {
		case len(old) > 0 && len(now) > 0 && old[0] == now[0]:
			old, now = old[1:], now[1:]
		case len(old) > 0 && len(now) > 0 && lineKey(old[0]) == lineKey(now[0]):
			changed = append(changed, lineKey(old[0]))
			old, now = old[1:], now[1:]
		case len(old) > 0 && !slices.Contains(now, old[0]):
			changed = append(changed, "-"+lineKey(old[0]))
			old = old[1:]
		case len(now) > 0:
			changed = append(changed, "+"+lineKey(now[0]))
			now = now[1:]
		default:
			changed = append(changed, "-"+lineKey(old[0]))
			old = old[1:]
		}
	}
	return changed
}

func lineKey(line string) string {
	end := strings.IndexAny(line, ":=")
	if end < 0 {
		end = len(line)
	}
	return strings.TrimSpace(line[:end])
}

func mustCode(t *testing.T, err error, want providers.Code) {
	t.Helper()
	if err == nil {
		t.Fatalf("no error, want %s", want)
	}
	if got := providers.CodeOf(err); got != want {
		t.Fatalf("code %s, want %s: %v", got, want, err)
	}
}
