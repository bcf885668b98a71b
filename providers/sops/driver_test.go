package sops

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/cofferhq/coffer/internal/durable"
	"github.com/cofferhq/coffer/providers"
	"github.com/cofferhq/coffer/providers/secret"
)

func TestFirstWriteMakesAFile(t *testing.T) {
	b := newBench(t, withRecipients(firstRecipient, secondRecipient))
	var promised map[string]string
	m, err := b.d.Write(context.Background(), providers.WriteRequest{
		Path: "production/checkout/db", Value: fields("user", "bob", "cert", "\x00"), OpID: "op",
		Promise: func(_ context.Context, versions map[string]string) error {
			promised = versions
			if _, err := os.Stat(b.path("production/checkout.yaml")); !os.IsNotExist(err) {
				t.Error("promised after the effect")
			}
			return nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	if want := map[string]string{"production/checkout/db": m.Version}; !maps.Equal(promised, want) {
		t.Errorf("promised %v, want %v", promised, want)
	}
	if !slices.Equal(m.Fields, []string{"cert", "user"}) || m.Envelope == "" || m.OpID != "" {
		t.Errorf("meta %+v", m)
	}
	if got := text(t, b.read("production/checkout/db")); got != "cert=\x00\nuser=bob" {
		t.Errorf("reads %q", got)
	}
	raw := b.get("production/checkout.yaml")
	if !strings.Contains(raw, "    cert_base64: ENC[") || strings.Contains(raw, "bob") {
		t.Errorf("file:\n%s", raw)
	}
	if info, _ := os.Stat(b.path("production/checkout.yaml")); info.Mode().Perm() != 0o644 {
		t.Errorf("mode %v", info.Mode())
	}
}

func TestInspectNeedsNoIdentity(t *testing.T) {
	b := newBench(t)
	b.put("dev/types.yaml", golden(t, "types.yaml"))
	b.put("dev/app.env", golden(t, "app.env"))
	b.put("dev/note.txt", []byte("x"))
	b.env = nil
	all, err := b.d.List(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"dev/app.env"}
	for _, key := range []string{"a", "b", "big", "db", "empty", "exp", "f", "list", "n", "neg", "nul", "true", "unicode", "when"} {
		want = append(want, "dev/types/"+key)
	}
	if got := slices.Sorted(maps.Keys(all)); !slices.Equal(got, want) {
		t.Errorf("lists %q, want %q", got, want)
	}
	found, err := b.d.Inspect(context.Background(), append(want, "dev/types/missing", "dev/missing/x"))
	if err != nil || len(found) != len(want) {
		t.Errorf("%d found, %v", len(found), err)
	}
	for path, m := range found {
		if m.Version != all[path].Version || m.Version == "" {
			t.Errorf("%s: %q and %q", path, m.Version, all[path].Version)
		}
	}
	if got := found["dev/app.env"].Fields; !slices.Equal(got, []string{"DATABASE_URL", "KEY", "EMPTY", "QUOTED", "SPACES"}) {
		t.Errorf("variables %q", got)
	}
}

func TestInspectPartial(t *testing.T) {
	b := newBench(t)
	b.put("dev/types.yaml", golden(t, "types.yaml"))
	b.put("dev/plain.yaml", []byte("a: b\n"))
	b.put("dev/clear.yaml", append([]byte("x: hunter2\n"), golden(t, "two.yaml")...))
	found, err := b.d.Inspect(context.Background(), []string{"dev/types/a", "dev/plain/a", "dev/clear/x", "dev/clear/a", "no"})
	var partial *providers.PartialError
	if !errors.As(err, &partial) {
		t.Fatal(err)
	}
	if got := slices.Sorted(maps.Keys(partial.Paths)); !slices.Equal(got, []string{"dev/clear/a", "dev/clear/x", "dev/plain/a", "no"}) {
		t.Errorf("no answer for %q", got)
	}
	if got := slices.Sorted(maps.Keys(found)); !slices.Equal(got, []string{"dev/types/a"}) {
		t.Errorf("answer for %q", got)
	}
	for _, err := range partial.Paths {
		mustCode(t, err, providers.Invalid)
		if strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%v quotes a value", err)
		}
	}
}

func TestVersionsAreOfOwnCiphertext(t *testing.T) {
	b := newBench(t, withRecipients(firstRecipient))
	b.write("dev/x/a", secret.String("1"))
	b.write("dev/x/m", fields("p", "1", "q", "2"))
	a, m := b.version("dev/x/a"), b.version("dev/x/m")
	b.write("dev/x/b", secret.String("1"))
	if b.version("dev/x/a") != a || b.version("dev/x/m") != m {
		t.Error("a neighbour moved a version")
	}
	lines := strings.SplitAfter(b.get("dev/x.yaml"), "\n")
	i := slices.IndexFunc(lines, func(s string) bool { return strings.HasPrefix(s, "    p:") })
	lines[i], lines[i+1] = lines[i+1], lines[i]
	b.put("dev/x.yaml", []byte(strings.Join(lines, "")))
	if b.version("dev/x/m") != m {
		t.Error("the order of fields moved the version")
	}
	lines[i], lines[i+1] = lines[i+1], strings.Replace(lines[i], "q:", "r:", 1)
	b.put("dev/x.yaml", []byte(strings.Join(lines, "")))
	if b.version("dev/x/m") == m {
		t.Error("another field name left the version")
	}
}

func TestConflicts(t *testing.T) {
	ctx := context.Background()
	b := newBench(t, withRecipients(firstRecipient))
	b.write("dev/x/a", secret.String("1"))
	first := b.version("dev/x/a")
	b.write("dev/x/a", secret.String("2"))
	before := b.get("dev/x.yaml")
	for name, err := range map[string]error{
		"create over": second(b.d.Write(ctx, providers.WriteRequest{Path: "dev/x/a", Value: secret.String("3")})),
		"stale":       second(b.d.Write(ctx, providers.WriteRequest{Path: "dev/x/a", Value: secret.String("3"), IfVersion: first})),
		"gone":        second(b.d.Write(ctx, providers.WriteRequest{Path: "dev/x/zz", Value: secret.String("3"), IfVersion: first})),
		"no file":     second(b.d.Write(ctx, providers.WriteRequest{Path: "dev/y/zz", Value: secret.String("3"), IfVersion: first})),
		"delete":      b.d.Delete(ctx, "dev/x/a", first),
	} {
		t.Run(name, func(t *testing.T) { mustCode(t, err, providers.Conflict) })
	}
	if b.get("dev/x.yaml") != before {
		t.Error("the file changed")
	}
	if err := b.d.Delete(ctx, "dev/x/zz", "v"); err != nil {
		t.Errorf("delete of nothing: %v", err)
	}
	if err := b.d.Delete(ctx, "elsewhere/x/zz", "v"); err != nil {
		t.Errorf("delete of nothing: %v", err)
	}
}

func second[T any](_ T, err error) error { return err }

func TestHandEditInBetween(t *testing.T) {
	b := newBench(t, withRecipients(firstRecipient))
	b.write("dev/x/a", secret.String("1"))
	edited := "# by hand\n" + b.get("dev/x.yaml")
	_, err := b.d.Write(context.Background(), providers.WriteRequest{
		Path: "dev/x/a", Value: secret.String("2"), IfVersion: b.version("dev/x/a"),
		Promise: func(context.Context, map[string]string) error {
			b.put("dev/x.yaml", []byte(edited))
			return nil
		},
	})
	mustCode(t, err, providers.Conflict)
	if b.get("dev/x.yaml") != edited {
		t.Error("the edit is lost")
	}
}

func TestRefusedPromiseChangesNothing(t *testing.T) {
	b := newBench(t, withRecipients(firstRecipient))
	refused := errors.New("the journal is full")
	_, err := b.d.Write(context.Background(), providers.WriteRequest{
		Path: "dev/x/a", Value: secret.String("2"),
		Promise: func(context.Context, map[string]string) error { return refused },
	})
	if !errors.Is(err, refused) || !providers.CodeOf(err).Definite() {
		t.Errorf("%v", err)
	}
	if _, err := os.Stat(b.path("dev/x.yaml")); !os.IsNotExist(err) {
		t.Error("there is a file")
	}
}

func TestBatchIsOneWrite(t *testing.T) {
	ctx := context.Background()
	writes := 0
	b := newBench(t, withRecipients(firstRecipient), func(_ *Config, o *Options) {
		o.At = func(point string) error {
			if point == durable.After(durable.StepRename) {
				writes++
			}
			return nil
		}
	})
	var ops []providers.Operation
	for i := range 1000 {
		ops = append(ops, providers.Operation{Write: &providers.WriteRequest{
			Path: fmt.Sprintf("dev/big/s%d", i), Value: secret.String(fmt.Sprint("v", i)),
		}})
	}
	ops[7].Write.IfVersion = "stale"
	ops[8].Write.Path = "dev/other/x"
	ops[9].Write.Path = "dev/big/s10"
	promises := 0
	results := b.d.WriteBatch(ctx, providers.Batch{Container: "dev/big.yaml", Ops: ops, Promise: func(_ context.Context, versions map[string]string) error {
		promises++
		if len(versions) != 997 {
			t.Errorf("promised %d versions", len(versions))
		}
		return nil
	}})
	if writes != 1 || promises != 1 {
		t.Errorf("%d writes, %d promises", writes, promises)
	}
	for i, r := range results {
		switch i {
		case 7:
			mustCode(t, r.Err, providers.Conflict)
		case 8, 10:
			mustCode(t, r.Err, providers.Invalid)
		default:
			if r.Err != nil || r.Meta.Version == "" {
				t.Fatalf("%d: %v", i, r.Err)
			}
		}
	}
	all, err := b.d.List(ctx)
	if err != nil || len(all) != 997 {
		t.Errorf("%d listed, %v", len(all), err)
	}
	if got := text(t, b.read("dev/big/s999")); got != "v999" {
		t.Errorf("reads %q", got)
	}
}

func TestSameOperationTwice(t *testing.T) {
	b := newBench(t, withRecipients(firstRecipient))
	req := providers.WriteRequest{Path: "dev/x/a", Value: secret.String("1"), OpID: "op-1"}
	first, err := b.d.Write(context.Background(), req)
	if err != nil {
		t.Fatal(err)
	}
	again, err := b.d.Write(context.Background(), req)
	if err != nil || again.Version != first.Version {
		t.Errorf("%q then %q, %v", first.Version, again.Version, err)
	}
	b.open(withRecipients(firstRecipient)) // a file keeps no operation id
	_, err = b.d.Write(context.Background(), req)
	mustCode(t, err, providers.Conflict)
}

func TestLastSecretTakesTheFile(t *testing.T) {
	ctx := context.Background()
	b := newBench(t, withRecipients(firstRecipient))
	b.write("dev/x/a", secret.String("1"))
	b.write("dev/x/b", secret.String("1"))
	b.write("dev/web.env", fields("A", "1"))
	for _, path := range []string{"dev/x/a", "dev/x/b", "dev/web.env"} {
		if err := b.d.Delete(ctx, path, b.version(path)); err != nil {
			t.Fatal(err)
		}
	}
	for _, file := range []string{"dev/x.yaml", "dev/web.env"} {
		if _, err := os.Stat(b.path(file)); !os.IsNotExist(err) {
			t.Errorf("%s is left", file)
		}
	}
	b.write("dev/x/a", secret.String("1"))
	b.put("dev/x.yaml", []byte("# kept\n"+b.get("dev/x.yaml")))
	if err := b.d.Delete(ctx, "dev/x/a", b.version("dev/x/a")); err != nil {
		t.Fatal(err)
	}
	if got := b.get("dev/x.yaml"); !strings.HasPrefix(got, "# kept\nsops:\n") {
		t.Errorf("left:\n%s", got)
	}
	b.write("dev/x/a", secret.String("again"))
	if got := text(t, b.read("dev/x/a")); got != "again" {
		t.Errorf("reads %q", got)
	}
}

func TestShapes(t *testing.T) {
	ctx := context.Background()
	b := newBench(t, withRecipients(firstRecipient))
	b.write("dev/x/a", secret.String("1"))
	b.write("dev/x/a", fields("u", "1"))
	b.write("dev/x/a", secret.String("\x00"))
	b.write("dev/x/a", secret.String("text"))
	if got := text(t, b.read("dev/x/a")); got != "text" {
		t.Errorf("reads %q", got)
	}
	b.put("dev/types.yaml", golden(t, "types.yaml"))
	b.put("dev/deep.yaml", golden(t, "deep.yaml"))
	for name, err := range map[string]error{
		"a list":            second(b.d.Read(ctx, "dev/types/list", "")),
		"null":              second(b.d.Read(ctx, "dev/types/nul", "")),
		"deeper":            second(b.d.Read(ctx, "dev/deep/app", "")),
		"write over deeper": second(b.d.Write(ctx, providers.WriteRequest{Path: "dev/deep/app", Value: fields("a", "1"), IfVersion: b.version("dev/deep/app")})),
		"write over a list": second(b.d.Write(ctx, providers.WriteRequest{Path: "dev/types/list", Value: secret.String("x"), IfVersion: b.version("dev/types/list")})),
		"no value":          second(b.d.Write(ctx, providers.WriteRequest{Path: "dev/x/n"})),
		"no field":          second(b.d.Write(ctx, providers.WriteRequest{Path: "dev/x/n", Value: secret.Object(nil).With(nil)})),
		"odd field":         second(b.d.Write(ctx, providers.WriteRequest{Path: "dev/x/n", Value: fields("a/b", "1")})),
		"suffix":            second(b.d.Write(ctx, providers.WriteRequest{Path: "dev/x/n", Value: fields("a_unencrypted", "1")})),
		"fields in fields":  second(b.d.Write(ctx, providers.WriteRequest{Path: "dev/x/n", Value: secret.Object(map[string]secret.Value{"a": fields("b", "c")})})),
		"single in env":     second(b.d.Write(ctx, providers.WriteRequest{Path: "dev/x.env", Value: secret.String("x")})),
		"binary in env":     second(b.d.Write(ctx, providers.WriteRequest{Path: "dev/x.env", Value: fields("A", "\x00")})),
		"reserved variable": second(b.d.Write(ctx, providers.WriteRequest{Path: "dev/x.env", Value: fields("sops_mac", "1")})),
		"odd variable":      second(b.d.Write(ctx, providers.WriteRequest{Path: "dev/x.env", Value: fields("A-B", "1")})),
		"patch of a single": second(b.d.Patch(ctx, providers.WriteRequest{Path: "dev/x/a", Value: fields("u", "1"), IfVersion: b.version("dev/x/a")})),
		"drop from nothing": second(b.d.Patch(ctx, providers.WriteRequest{Path: "dev/x/gone", Drop: []string{"a"}})),
		"nothing left":      second(b.d.Patch(ctx, providers.WriteRequest{Path: "dev/types/db", Drop: []string{"user", "password"}, IfVersion: b.version("dev/types/db")})),
		"too large":         second(b.d.Write(ctx, providers.WriteRequest{Path: "dev/x/n", Value: secret.String(strings.Repeat("x", maxFile))})),
	} {
		t.Run(name, func(t *testing.T) { mustCode(t, err, providers.Invalid) })
	}
	_, err := b.d.Read(ctx, "dev/x/a", "earlier")
	mustCode(t, err, providers.NotFound)
	_, err = b.d.Read(ctx, "dev/x/zz", "")
	mustCode(t, err, providers.NotFound)
}

func TestLargestValue(t *testing.T) {
	b := newBench(t, withRecipients(firstRecipient))
	for name, value := range map[string]string{"text": strings.Repeat("x\n", maxValue/2), "binary": strings.Repeat("\x00", maxValue)} {
		b.write("dev/x/"+name, secret.String(value))
		if text(t, b.read("dev/x/"+name)) != value {
			t.Errorf("%s differs", name)
		}
	}
}

func TestRulesOfTheFileAreKept(t *testing.T) {
	b := newBench(t)
	b.put("dev/regex.yaml", golden(t, "regex.yaml"))
	b.write("dev/regex/data", fields("password", "new", "user", "bob"))
	if got := b.get("dev/regex.yaml"); !strings.Contains(got, "kind: Secret\n") {
		t.Errorf("clear values moved:\n%s", got)
	}
	_, err := b.d.Write(context.Background(), providers.WriteRequest{Path: "dev/regex/token", Value: secret.String("x")})
	mustCode(t, err, providers.Invalid)
	b.put("dev/maconly.yaml", golden(t, "maconly.yaml"))
	b.write("dev/maconly/a", secret.String("new"))
	if got := text(t, b.read("dev/maconly/a")); got != "new" {
		t.Errorf("reads %q", got)
	}
}

func TestBothSpellingsCollide(t *testing.T) {
	b := newBench(t, withRecipients(firstRecipient))
	b.write("dev/x/a", secret.String("1"))
	line, _, _ := strings.Cut(b.get("dev/x.yaml"), "\n")
	b.put("dev/x.yaml", []byte(strings.Replace(line, "a:", "a_base64:", 1)+"\n"+b.get("dev/x.yaml")))
	_, err := b.d.Inspect(context.Background(), []string{"dev/x/a"})
	var partial *providers.PartialError
	if !errors.As(err, &partial) {
		t.Fatal(err)
	}
	mustCode(t, partial.Paths["dev/x/a"], providers.Invalid)
}

func TestLinksAreNotFollowed(t *testing.T) {
	ctx := context.Background()
	b := newBench(t, withRecipients(firstRecipient))
	b.write("dev/x/a", secret.String("1"))
	outside := t.TempDir()
	if err := os.WriteFile(filepath.Join(outside, "f.yaml"), golden(t, "types.yaml"), 0o644); err != nil {
		t.Fatal(err)
	}
	for link, target := range map[string]string{"dev/link.yaml": filepath.Join(outside, "f.yaml"), "linked": outside} {
		if err := os.Symlink(target, b.path(link)); err != nil {
			t.Fatal(err)
		}
		// What would be below it is unknown, so a list cannot be complete.
		_, err := b.d.List(ctx)
		mustCode(t, err, providers.Invalid)
	}
	for path, words := range map[string]string{
		"dev/link/a": "secrets/dev/link.yaml is a symbolic link: coffer opens", "linked/f/a": "secrets/linked is a symbolic link: coffer opens",
		"dev/x.yaml/f/a": "secrets/dev/x.yaml is not a folder: coffer opens",
	} {
		_, err := b.d.Read(ctx, path, "")
		mustCode(t, err, providers.Invalid)
		if !strings.Contains(err.Error(), words) {
			t.Errorf("%v\nlacks %q", err, words)
		}
		_, err = b.d.Write(ctx, providers.WriteRequest{Path: path, Value: secret.String("1")})
		mustCode(t, err, providers.Invalid)
	}
	if err := os.Remove(b.path(lockFile)); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(filepath.Join(outside, "lock"), b.path(lockFile)); err != nil {
		t.Fatal(err)
	}
	_, err := b.d.Write(ctx, providers.WriteRequest{Path: "dev/x/b", Value: secret.String("1")})
	mustCode(t, err, providers.Invalid)
	if _, err := os.Stat(filepath.Join(outside, "lock")); !os.IsNotExist(err) {
		t.Error("the link was followed")
	}
}

func TestRacingWriters(t *testing.T) {
	b := newBench(t, withRecipients(firstRecipient))
	b.write("dev/x/a", secret.String("0"))
	version := b.version("dev/x/a")
	var wg sync.WaitGroup
	errs := make([]error, 8)
	for i := range errs {
		wg.Go(func() {
			_, errs[i] = b.d.Write(context.Background(), providers.WriteRequest{Path: "dev/x/a", Value: secret.String(fmt.Sprint(i)), IfVersion: version})
		})
	}
	wg.Wait()
	won := 0
	for i, err := range errs {
		if err == nil {
			won++
			if got := text(t, b.read("dev/x/a")); got != fmt.Sprint(i) {
				t.Errorf("%d won and %s is there", i, got)
			}
			continue
		}
		mustCode(t, err, providers.Conflict)
	}
	if won != 1 {
		t.Errorf("%d winners", won)
	}
}

func TestCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	b := newBench(t, withRecipients(firstRecipient))
	for name, err := range map[string]error{
		"write":    second(b.d.Write(ctx, providers.WriteRequest{Path: "dev/x/a", Value: secret.String("1")})),
		"read":     second(b.d.Read(ctx, "dev/x/a", "")),
		"inspect":  second(b.d.Inspect(ctx, []string{"dev/x/a"})),
		"delete":   b.d.Delete(ctx, "dev/x/a", "v"),
		"identity": second(b.d.Identity(ctx)),
	} {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("%s: %v", name, err)
		}
	}
	waiting, stop := context.WithCancel(context.Background())
	_, err := b.d.Write(waiting, providers.WriteRequest{
		Path: "dev/x/a", Value: secret.String("1"),
		Promise: func(context.Context, map[string]string) error { stop(); return nil },
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled before the effect: %v", err)
	}
	if _, err := os.Stat(b.path("dev/x.yaml")); !os.IsNotExist(err) {
		t.Error("there is a file")
	}
}

func TestIdentityAndCapabilities(t *testing.T) {
	b := newBench(t)
	if id, err := b.d.Identity(context.Background()); err != nil || id != "sops:secrets" {
		t.Errorf("%q, %v", id, err)
	}
	b.open(func(c *Config, _ *Options) { c.Path = "./a/../b/" })
	if id, _ := b.d.Identity(context.Background()); id != "sops:b" {
		t.Errorf("%q", id)
	}
	if c := b.d.Capabilities(); !c.ConditionalWrite || !c.ValueBlind || c.Versioned || c.MaxBytes != 1<<20 {
		t.Errorf("%+v", c)
	}
}

func TestPaths(t *testing.T) {
	b := newBench(t)
	for path, want := range map[string]string{
		"production/checkout/db": "production/checkout.yaml",
		"a/b":                    "a.yaml",
		"shared/dev/db-url":      "shared/dev.yaml",
		"production/web.env":     "production/web.env",
		"web.env":                "web.env",
	} {
		if _, err := b.d.Resolve("secret", path); err != nil {
			t.Errorf("%s: %v", path, err)
		}
		if got := b.d.Container("secret", path); got != want {
			t.Errorf("%s lies in %q, want %q", path, got, want)
		}
	}
	for _, path := range []string{
		"", "a", "/a/b", "a//b", "a/b/", "../a/b", "a/../b", "./a/b", "a/.hidden/b", ".git/config", "a/b c", "a/b\n", "a/b\x00", `a\b/c`,
		"a/sops", "a/b_base64", "a/b_unencrypted", "a/b.yaml", "a.yaml/b", "a.env/b", "a/" + strings.Repeat("x", 200), "a/ž", "~/a/b", "C:/a/b",
	} {
		_, err := b.d.Resolve("secret", path)
		mustCode(t, err, providers.Invalid)
		if got := b.d.Container("secret", path); got != "" {
			t.Errorf("%q lies in %q", path, got)
		}
	}
	for kind, path := range map[string]string{"env_file": "a/b", KindRecipients: "a/b"} {
		_, err := b.d.Resolve(kind, path)
		mustCode(t, err, providers.Invalid)
	}
	if got := b.d.Container(KindRecipients, "a/b.yaml"); got != "a/b.yaml" {
		t.Errorf("recipients lie in %q", got)
	}
	for _, c := range []struct {
		place providers.Place
		want  string
	}{
		{providers.Place{Kind: "secret", App: "checkout", Environment: "dev", Name: "db"}, "dev/checkout/db"},
		{providers.Place{Kind: "env_file", App: "checkout", Environment: "dev", Name: "web"}, "dev/checkout-web.env"},
	} {
		if got, err := b.d.DefaultPath(c.place); err != nil || got != c.want {
			t.Errorf("%q, %v; want %q", got, err, c.want)
		}
	}
	if _, err := b.d.DefaultPath(providers.Place{Kind: "secret", App: "a", Environment: "dev", Name: "sops"}); providers.CodeOf(err) != providers.Invalid {
		t.Errorf("a secret called sops: %v", err)
	}
}
