package sops

import (
	"bytes"
	"context"
	"errors"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/cofferhq/coffer/providers"
	"github.com/cofferhq/coffer/providers/secret"
)

// damages are what can become of a file: how, and what the error must say.
func damages(t *testing.T) map[string]struct {
	do   func(path string, raw []byte) error
	says string
} {
	t.Helper()
	content := func(change func(raw []byte) []byte) func(string, []byte) error {
		return func(path string, raw []byte) error { return os.WriteFile(path, change(raw), 0o644) }
	}
	instead := func(put func(path string) error) func(string, []byte) error {
		return func(path string, _ []byte) error { return errors.Join(os.Remove(path), put(path)) }
	}
	before := func(mark string) func([]byte) []byte {
		return func(raw []byte) []byte { return raw[:bytes.Index(raw, []byte(mark))] }
	}
	elsewhere := t.TempDir()
	return map[string]struct {
		do   func(path string, raw []byte) error
		says string
	}{
		"cut short":        {content(func(raw []byte) []byte { return raw[:100] }), "`git checkout secrets/dev/x.yaml`"},
		"cut at the end":   {content(before("sops:")), "the end of the file is missing: it holds encrypted values and no sops metadata; restore it with `git checkout secrets/dev/x.yaml`"},
		"cut before mac":   {content(before("    mac:")), "has no mac; restore it with `git checkout secrets/dev/x.yaml`"},
		"cut in the mac":   {content(before(",type:str]\n    unencrypted")), "has no mac; restore it with `git checkout secrets/dev/x.yaml`"},
		"cut in a key":     {content(before("    -----END")), "; restore it with `git checkout secrets/dev/x.yaml`"},
		"empty":            {content(func([]byte) []byte { return nil }), "the file is empty; restore it with `git checkout secrets/dev/x.yaml`"},
		"decrypted":        {content(func([]byte) []byte { return []byte("a: hunter2\n") }), "no sops metadata; restore it with `git checkout secrets/dev/x.yaml`"},
		"too large":        {content(func([]byte) []byte { return bytes.Repeat([]byte("#"), maxFile+1) }), "secrets/dev/x.yaml: larger than 4 MiB"},
		"git's marks":      {content(func(raw []byte) []byte { return append([]byte("<<<<<<< HEAD\n"), raw...) }), `line 1: git could not merge the file and left its marks; settle it as docs/providers/sops.md says under "Two changes of one file"`},
		"a value in clear": {content(func(raw []byte) []byte { return append([]byte("# x\nnew: hunter2\n"), raw...) }), "line 2: new is in clear"},
		"a field in clear": {content(func(raw []byte) []byte { return append([]byte("m:\n    n: hunter2\n"), raw...) }), "line 2: m.n is in clear"},
		"a list in clear":  {content(func(raw []byte) []byte { return append([]byte("l:\n    - hunter2\n"), raw...) }), "line 1: l is in clear"},
		"a folder":         {instead(func(path string) error { return os.Mkdir(path, 0o755) }), "secrets/dev/x.yaml is a folder"},
		"a link":           {instead(func(path string) error { return os.Symlink(elsewhere, path) }), "secrets/dev/x.yaml is a symbolic link"},
		"a dangling link":  {instead(func(path string) error { return os.Symlink("nowhere", path) }), "secrets/dev/x.yaml is a symbolic link"},
		"a hard link":      {func(path string, _ []byte) error { return os.Link(path, elsewhere+"/y") }, "secrets/dev/x.yaml is a hard link"},
	}
}

// A damaged file is never taken for a missing one: none of its paths is known,
// a list that would lack them fails, and nothing is written into it.
func TestADamagedFileIsUnknown(t *testing.T) {
	ctx := context.Background()
	for name, damage := range damages(t) {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, withRecipients(firstRecipient))
			b.write("dev/x/a", secret.String("1"))
			b.write("dev/x/b", secret.String("2"))
			b.write("dev/y/a", secret.String("3"))
			version := b.version("dev/x/a")
			if err := damage.do(b.path("dev/x.yaml"), []byte(b.get("dev/x.yaml"))); err != nil {
				t.Fatal(err)
			}
			says := func(err error) {
				t.Helper()
				mustCode(t, err, providers.Invalid)
				if text := err.Error(); !strings.Contains(text, damage.says) || !strings.Contains(text, "secrets/dev/x.yaml") ||
					strings.Contains(text, b.dir) || strings.Contains(text, "hunter2") || strings.Contains(text, "unreachable") {
					t.Errorf("%q, want one that says %q", text, damage.says)
				}
			}
			found, err := b.d.Inspect(ctx, []string{"dev/x/a", "dev/x/b", "dev/x/never", "dev/y/a", "dev/y/never"})
			var partial *providers.PartialError
			if !errors.As(err, &partial) {
				t.Fatalf("inspect: %v", err)
			}
			if got := slices.Sorted(maps.Keys(partial.Paths)); !slices.Equal(got, []string{"dev/x/a", "dev/x/b", "dev/x/never"}) {
				t.Errorf("no answer for %q", got)
			}
			if len(found) != 1 || found["dev/y/a"].Version == "" {
				t.Errorf("found %v", found)
			}
			for _, err := range partial.Paths {
				says(err)
			}
			refs := []providers.ObjectRef{{Kind: KindRecipients, Path: "dev/x.yaml"}, {Kind: KindRecipients, Path: "dev/y.yaml"}}
			objects, err := b.d.InspectObjects(ctx, refs)
			if !errors.As(err, &partial) || len(partial.Paths) != 1 || len(objects) != 1 {
				t.Fatalf("%v, %v", objects, err)
			}
			says(partial.Paths["dev/x.yaml"])
			_, err = b.d.List(ctx)
			says(err)
			_, err = b.d.Read(ctx, "dev/x/a", "")
			says(err)
			for _, ifVersion := range []string{"", version} {
				_, err = b.d.Write(ctx, providers.WriteRequest{Path: "dev/x/a", Value: secret.String("2"), IfVersion: ifVersion})
				says(err)
			}
			says(b.d.Delete(ctx, "dev/x/a", version))
			results := b.d.WriteBatch(ctx, providers.Batch{Container: "dev/x.yaml", Ops: []providers.Operation{recipientsOp("dev/x.yaml", "", firstRecipient)}})
			says(results[0].Err)
			if got := text(t, b.read("dev/y/a")); got != "3" {
				t.Errorf("the file beside it reads %q", got)
			}
		})
	}
}

// A file of somebody else's in the folder stops the list and nothing else.
func TestAForeignFileBesideOurs(t *testing.T) {
	ctx := context.Background()
	b := newBench(t, withRecipients(firstRecipient))
	b.write("dev/x/a", secret.String("1"))
	b.put("README.yaml", []byte("about: these files\n"))
	_, err := b.d.List(ctx)
	mustCode(t, err, providers.Invalid)
	if !strings.Contains(err.Error(), "secrets/README.yaml") || !strings.Contains(err.Error(), "if it holds no secrets, move it elsewhere") {
		t.Errorf("%v", err)
	}
	if found, err := b.d.Inspect(ctx, []string{"dev/x/a", "dev/z/a"}); err != nil || len(found) != 1 {
		t.Errorf("%v, %v", found, err)
	}
	b.write("dev/x/a", secret.String("2"))
	b.write("dev/z/a", secret.String("3"))
}

// A key file with the wrong mode may hold the right key: its own next step is
// the only one.
func TestKeyFileOpenToOthersSaysOneStep(t *testing.T) {
	b := newBench(t, withRecipients(firstRecipient))
	b.write("dev/x/a", secret.String("1"))
	file := b.dir + "/loose"
	if err := os.WriteFile(file, []byte(firstKey), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(file, 0o644); err != nil {
		t.Fatal(err)
	}
	for _, env := range []map[string]string{{envKeyFile: file}, {envKeyFile: file, envKey: secondKey}} {
		b.env = env
		_, err := b.d.Read(context.Background(), "dev/x/a", "")
		mustCode(t, err, providers.Denied)
		if !strings.HasSuffix(err.Error(), "run `chmod 600 "+file+"`") || strings.Contains(err.Error(), "coffer init") {
			t.Errorf("%v", err)
		}
	}
	_, err := Recipient(func(name string) string { return map[string]string{envKeyFile: file}[name] })
	if err == nil || !strings.HasSuffix(err.Error(), "run `chmod 600 "+file+"`") || strings.Contains(err.Error(), "coffer init") {
		t.Errorf("%v", err)
	}
}
