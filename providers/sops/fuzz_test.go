package sops

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/cofferhq/coffer/internal/proptest"
	"github.com/cofferhq/coffer/providers"
	"github.com/cofferhq/coffer/providers/secret"
)

func seed(f *testing.F, suffixes ...string) {
	names, err := os.ReadDir("testdata")
	if err != nil {
		f.Fatal(err)
	}
	for _, n := range names {
		if slices.Contains(suffixes, filepath.Ext(n.Name())) {
			data, err := os.ReadFile(filepath.Join("testdata", n.Name()))
			if err != nil {
				f.Fatal(err)
			}
			f.Add(data)
		}
	}
}

// checkFile holds for every file that decodes, whatever is in it.
func checkFile(t *testing.T, data []byte, parsed *file) {
	spans := func(at span) {
		if at.start < 0 || at.end < at.start || at.end > len(data) {
			t.Fatalf("a place outside the file: %+v of %d", at, len(data))
		}
	}
	var walk func(all []*entry)
	walk = func(all []*entry) {
		for _, e := range all {
			spans(e.lines)
			spans(e.scalar)
			if e.grow != nil {
				spans(span{e.grow.at, e.grow.at})
			}
			if !e.scalar.isZero() && (e.scalar.start < e.lines.start || e.scalar.end > e.lines.end) {
				t.Fatalf("the value of %q lies outside its lines", e.key)
			}
			walk(e.children)
		}
	}
	walk(parsed.entries)
	for _, at := range []span{parsed.at.mac, parsed.at.lastModified, parsed.at.age, {parsed.end, parsed.end}} {
		spans(at)
	}
	if !bytes.Equal(splice(parsed.raw, parsed.eol, nil), data) {
		t.Fatal("no edit changes the file")
	}
	_, _ = parsed.decrypt(make([]byte, keySize))
	name := "x.yaml"
	if parsed.format == formatDotenv {
		name = "x.env"
	}
	_, _ = parsed.secrets(name)
}

func FuzzDecodeYAML(f *testing.F) {
	seed(f, ".yaml", ".json")
	f.Add([]byte("a: &a [*a]\n"))
	f.Add([]byte("? |\n  x\n: y\nsops: {}\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		parsed, err := decode(formatYAML, data)
		if err == nil {
			checkFile(t, data, parsed)
		}
	})
}

func FuzzDecodeDotenv(f *testing.F) {
	seed(f, ".env")
	f.Add([]byte("A=b\nsops_age__list_0__map_enc=x\nsops_lastmodified=2026-01-01T00:00:00Z\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		parsed, err := decode(formatDotenv, data)
		if err == nil {
			checkFile(t, data, parsed)
		}
	})
}

// FuzzSplice puts hostile text around the values of a good file: an edit is
// refused, or it leaves every other line alone and everything opens.
func FuzzSplice(f *testing.F) {
	f.Add("# comment\n", "  # after", "b")
	f.Add("\"q\": ''\n", " ", "n")
	f.Add("---\n", "\t", "true")
	f.Add("x: |\n  text\n", "", "a.b")
	f.Add("x:\n- 1\n", "#", "0")
	f.Add("# \u2028# x\r\n", "", "n")
	f.Fuzz(func(t *testing.T, before, after, key string) {
		if checkKey("f/"+key, key) != nil || !isPart(key) || strings.HasSuffix(key, dotenvSuffix) {
			return
		}
		key2 := "other-" + key
		if len(key2) > 128 {
			return
		}
		b := newBench(t, withRecipients(firstRecipient))
		b.write("f/"+key, secret.String("one"))
		b.write("f/"+key2, fields("x", "two", "y", "three"))
		lines := strings.SplitAfter(b.get("f.yaml"), "\n")
		lines[0] = before + strings.TrimSuffix(lines[0], "\n") + after + "\n"
		raw := strings.Join(lines, "")
		b.put("f.yaml", []byte(raw))
		parsed, err := decode(formatYAML, []byte(raw))
		if err != nil {
			return
		}
		dk, err := dataKey(parsed, "f", getenv(firstKey))
		if err != nil {
			t.Fatal(err)
		}
		o, err := parsed.decrypt(dk)
		if err != nil || parsed.verify(dk, o) != nil {
			return // the text around it made another file
		}
		_, err = b.d.Write(context.Background(), providers.WriteRequest{Path: "f/" + key, Value: secret.String("new"), IfVersion: b.version("f/" + key)})
		if err != nil {
			mustCode(t, err, providers.Invalid)
			if b.get("f.yaml") != raw {
				t.Fatal("a refused write changed the file")
			}
			return
		}
		if got := text(t, b.read("f/"+key2)); got != "x=two\ny=three" {
			t.Fatalf("the neighbour reads %q", got)
		}
		now := strings.Split(b.get("f.yaml"), "\n")
		for _, line := range strings.Split(before, "\n") {
			if !slices.ContainsFunc(now, func(l string) bool { return strings.HasPrefix(l, line) }) {
				t.Fatalf("the line %q is gone", line)
			}
		}
	})
}

// TestAnyHistory applies random operations, with edits by hand between them,
// and compares the folder to a model after each.
func TestAnyHistory(t *testing.T) {
	proptest.Check(t, func(rt *rapid.T) {
		dir, err := os.MkdirTemp(t.TempDir(), "")
		if err != nil {
			rt.Fatal(err)
		}
		b := &bench{t: t, dir: dir, env: map[string]string{envKey: firstKey}}
		b.open(withRecipients(firstRecipient))
		b.put("f.yaml", golden(t, "two.yaml"))
		model := map[string]map[string]string{"f/a": {"": "one"}, "f/b": {"c": "two"}}
		for range rapid.IntRange(1, 8).Draw(rt, "steps") {
			step(rt, b, model)
			compare(rt, b, model)
		}
	})
}

func drawValue(rt *rapid.T) (secret.Value, map[string]string) {
	value := rapid.OneOf(rapid.SampledFrom([]string{"", "x", "a\nb\n", "\x00\xff", "ENC[AES256_GCM,data:x]", "# no", "'\"", "\u2028"}), rapid.String())
	if rapid.Bool().Draw(rt, "single") {
		s := value.Draw(rt, "value")
		return secret.String(s), map[string]string{"": s}
	}
	plain := rapid.MapOfN(rapid.SampledFrom([]string{"c", "n", "true", "x.y", "0"}), value, 1, 3).Draw(rt, "fields")
	v := map[string]secret.Value{}
	for name, s := range plain {
		v[name] = secret.String(s)
	}
	return secret.Object(v), plain
}

// step runs one batch of operations, or one edit by hand.
func step(rt *rapid.T, b *bench, model map[string]map[string]string) {
	raw, err := os.ReadFile(b.path("f.yaml"))
	if err == nil && rapid.IntRange(0, 3).Draw(rt, "hand") == 0 {
		comment := rapid.SampledFrom([]string{"# note\n", "\n", "\n# x\n\n"}).Draw(rt, "comment")
		lines := strings.SplitAfter(string(raw), "\n")
		last := slices.IndexFunc(lines, func(l string) bool { return strings.HasPrefix(l, "sops:") })
		at := rapid.IntRange(0, last).Draw(rt, "line")
		b.put("f.yaml", []byte(strings.Join(slices.Insert(lines, at, comment), "")))
		return
	}
	paths := []string{"f/a", "f/b", "f/new", "f/n", "f/x.y"}
	chosen := rapid.SliceOfNDistinct(rapid.SampledFrom(paths), 1, 3, rapid.ID).Draw(rt, "paths")
	var ops []providers.Operation
	next := map[string]map[string]string{}
	for _, path := range chosen {
		version := b.version(path)
		if version != "" && rapid.IntRange(0, 2).Draw(rt, "delete") == 0 {
			ops = append(ops, providers.Operation{Delete: &providers.DeleteRequest{Path: path, IfVersion: version}})
			next[path] = nil
			continue
		}
		v, plain := drawValue(rt)
		req := &providers.WriteRequest{Path: path, Value: v, IfVersion: version}
		if _, single := model[path][""]; v.IsObject() && version != "" && !single && rapid.Bool().Draw(rt, "patch") {
			merged := maps.Clone(model[path])
			maps.Copy(merged, plain)
			ops, next[path] = append(ops, providers.Operation{Patch: req}), merged
			continue
		}
		ops, next[path] = append(ops, providers.Operation{Write: req}), plain
	}
	if object := b.object("f.yaml"); object.Version != "" && rapid.IntRange(0, 3).Draw(rt, "recipients") == 0 {
		list := []string{firstRecipient, secondRecipient}[:rapid.IntRange(1, 2).Draw(rt, "how many")]
		ops = append(ops, recipientsOp("f.yaml", object.Version, list...))
	}
	before := untouched(string(raw), chosen)
	results := b.d.WriteBatch(context.Background(), providers.Batch{Container: "f.yaml", Ops: ops})
	var all error
	for _, r := range results {
		all = errors.Join(all, r.Err)
	}
	if all != nil {
		rt.Fatalf("%v", all)
	}
	rekeyed := ops[len(ops)-1].Object != nil
	for path, plain := range next {
		if plain == nil {
			delete(model, path)
		} else {
			model[path] = plain
		}
	}
	now, err := os.ReadFile(b.path("f.yaml"))
	if err == nil && !rekeyed {
		for _, line := range before {
			if !strings.Contains(string(now), line) {
				rt.Fatalf("the line %q is gone from\n%s", line, now)
			}
		}
	}
}

// untouched returns the lines that no operation on paths may change.
func untouched(raw string, paths []string) []string {
	parsed, err := decode(formatYAML, []byte(raw))
	if err != nil {
		return nil
	}
	var lines []string
	for _, e := range parsed.entries {
		name, _ := fieldName(formatYAML, e.key)
		if !slices.Contains(paths, "f/"+name) {
			lines = append(lines, strings.SplitAfter(raw[e.lines.start:e.lines.end], "\n")...)
		}
	}
	return lines
}

func compare(rt *rapid.T, b *bench, model map[string]map[string]string) {
	found, err := b.d.List(context.Background())
	if err != nil {
		rt.Fatal(err)
	}
	if got, want := slices.Sorted(maps.Keys(found)), slices.Sorted(maps.Keys(model)); !slices.Equal(got, want) {
		rt.Fatalf("there is %q, want %q", got, want)
	}
	for path, plain := range model {
		v, err := b.d.Read(context.Background(), path, found[path].Version)
		if err != nil {
			rt.Fatalf("%s: %v", path, err)
		}
		got := map[string]string{}
		if !v.IsObject() {
			got[""] = text(b.t, v)
		}
		for _, name := range v.Names() {
			f, _ := v.Field(name)
			got[name] = text(b.t, f)
		}
		if !maps.Equal(got, plain) {
			rt.Fatalf("%s reads %s, want %s", path, fmt.Sprintf("%q", got), fmt.Sprintf("%q", plain))
		}
	}
}
