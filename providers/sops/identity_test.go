package sops

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"filippo.io/age"

	"github.com/cofferhq/coffer/providers"
	"github.com/cofferhq/coffer/providers/secret"
)

func TestDefaultKeyFile(t *testing.T) {
	for _, c := range []struct {
		goos string
		env  map[string]string
		want string
	}{
		{"linux", map[string]string{"HOME": "/h"}, "/h/.config/sops/age/keys.txt"},
		{"linux", map[string]string{"HOME": "/h", "XDG_CONFIG_HOME": "/x"}, "/x/sops/age/keys.txt"},
		{"darwin", map[string]string{"HOME": "/h"}, "/h/Library/Application Support/sops/age/keys.txt"},
		{"darwin", map[string]string{"HOME": "/h", "XDG_CONFIG_HOME": "/x"}, "/x/sops/age/keys.txt"},
		{"windows", map[string]string{"HOME": "/h", "AppData": "/a"}, "/a/sops/age/keys.txt"},
		{"linux", nil, ""},
	} {
		got := defaultKeyFile(c.goos, func(name string) string { return c.env[name] })
		if filepath.ToSlash(got) != c.want {
			t.Errorf("%s %v: %q, want %q", c.goos, c.env, got, c.want)
		}
	}
}

func TestNewIdentity(t *testing.T) {
	file := filepath.Join(t.TempDir(), "sops", "age", "keys.txt")
	recipient, err := NewIdentity(file, testTime)
	if err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	form := `^# created: 2026-11-24T12:00:00Z\n# public key: ` + recipient + `\nAGE-SECRET-KEY-1[0-9A-Z]{58}\n$`
	if !regexp.MustCompile(form).Match(data) {
		t.Error("the file does not have the form of age-keygen")
	}
	if info, _ := os.Stat(file); info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v", info.Mode())
	}
	if _, err := NewIdentity(file, testTime); !errors.Is(err, fs.ErrExist) {
		t.Errorf("a second one: %v", err)
	}
	if again, _ := os.ReadFile(file); string(again) != string(data) {
		t.Error("the first one is lost")
	}
	env := map[string]string{envKeyFile: file}
	if got, err := Recipient(func(name string) string { return env[name] }); err != nil || got != recipient {
		t.Errorf("%q, %v", got, err)
	}
	if _, err := Recipient(func(string) string { return "" }); err == nil || !strings.Contains(err.Error(), "coffer init") {
		t.Errorf("%v", err)
	}
}

func TestIdentitySources(t *testing.T) {
	b := newBench(t, withRecipients(firstRecipient))
	b.write("dev/x/a", secret.String("1"))
	file := filepath.Join(b.dir, "key")
	write := func(path, text string, mode os.FileMode) string {
		t.Helper()
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	link := filepath.Join(b.dir, "link")
	if err := os.Symlink(write(file, "# comment\n\n"+firstKey+"\n", 0o600), link); err != nil {
		t.Fatal(err)
	}
	home := filepath.Join(b.dir, "home")
	write(filepath.Join(home, ".config/sops/age/keys.txt"), firstKey, 0o600)
	for name, c := range map[string]struct {
		env  map[string]string
		says string // "" where it opens
	}{
		"variable":         {map[string]string{envKey: firstKey}, ""},
		"several on lines": {map[string]string{envKey: "# x\n" + secondKey + " " + firstKey}, ""},
		"file":             {map[string]string{envKeyFile: file}, ""},
		"default":          {map[string]string{"HOME": home, "XDG_CONFIG_HOME": filepath.Join(home, ".config")}, ""},
		"default besides":  {map[string]string{envKey: secondKey, "HOME": home, "XDG_CONFIG_HOME": filepath.Join(home, ".config")}, ""},
		"nothing":          {map[string]string{"HOME": "/nonexistent"}, "coffer init"},
		"a command":        {map[string]string{envKeyCmd: "touch " + filepath.Join(b.dir, "ran")}, "starts no program"},
		"open to others":   {map[string]string{envKeyFile: write(filepath.Join(b.dir, "loose"), firstKey, 0o640)}, "chmod 600"},
		"a link":           {map[string]string{envKeyFile: link}, "symbolic link"},
		"missing":          {map[string]string{envKeyFile: filepath.Join(b.dir, "gone")}, "gone"},
		"a passphrase":     {map[string]string{envKeyFile: write(filepath.Join(b.dir, "enc"), "age-encryption.org/v1\n", 0o600)}, "passphrase"},
		"not a key":        {map[string]string{envKeyFile: write(filepath.Join(b.dir, "odd"), "hunter2", 0o600)}, "not an age identity"},
	} {
		t.Run(name, func(t *testing.T) {
			b.env = c.env
			_, err := b.d.Read(context.Background(), "dev/x/a", "")
			if c.says == "" {
				if err != nil {
					t.Fatal(err)
				}
				return
			}
			mustCode(t, err, providers.Denied)
			if !strings.Contains(err.Error(), c.says) || strings.Contains(err.Error(), "hunter2") || strings.Contains(err.Error(), firstKey) {
				t.Errorf("%v", err)
			}
		})
	}
	if _, err := os.Stat(filepath.Join(b.dir, "ran")); !os.IsNotExist(err) {
		t.Error("the command ran")
	}
}

func TestRecipientsOfOtherForms(t *testing.T) {
	ssh := "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGmRxK0c6wJ7Ol4D6oAGSaxxyJVtzmMVVJ2LZbD9nVXy someone@example"
	if _, err := parseRecipient(ssh); err != nil {
		t.Error(err)
	}
	b := newBench(t, withRecipients(firstRecipient, ssh))
	b.write("dev/x/a", secret.String("1"))
	if !strings.Contains(b.object("dev/x.yaml").Document, ssh+"\n") {
		t.Errorf("document %q", b.object("dev/x.yaml").Document)
	}
	for _, bad := range []string{"", "age1", "ssh-ed25519 x", "ssh-rsa AAAA\nage1x", "age1pq1x"} {
		if _, err := parseRecipient(bad); err == nil {
			t.Errorf("%q is a recipient", bad)
		}
	}
}

func TestPostQuantum(t *testing.T) {
	key, err := age.GenerateHybridIdentity()
	if err != nil {
		t.Fatal(err)
	}
	b := newBench(t, withRecipients(key.Recipient().String()))
	b.write("dev/x/a", secret.String("1"))
	b.env = map[string]string{envKey: key.String()}
	if got := text(t, b.read("dev/x/a")); got != "1" {
		t.Errorf("reads %q", got)
	}
	if got, err := Recipient(b.d.getenv); err != nil || got != key.Recipient().String() {
		t.Errorf("%q, %v", got, err)
	}
}

// BenchmarkInspect is the no-change plan's share: 1,000 secrets in 10 files,
// by a driver that has seen none of them.
func BenchmarkInspect(b *testing.B) {
	dir := b.TempDir()
	open := func() *Driver {
		d, err := Open(providers.Env{Dir: dir, Getenv: getenv("")}, Config{Recipients: Recipients{All: []string{firstRecipient, secondRecipient}}}, Options{})
		if err != nil {
			b.Fatal(err)
		}
		return d
	}
	d := open()
	d.now = func() time.Time { return testTime }
	var paths []string
	for f := range 10 {
		var ops []providers.Operation
		for s := range 100 {
			path := fmt.Sprintf("dev/app%d/s%d", f, s)
			paths = append(paths, path)
			ops = append(ops, writeOp(path, strings.Repeat("x", 32), ""))
		}
		for _, r := range d.WriteBatch(context.Background(), providers.Batch{Container: fmt.Sprintf("dev/app%d.yaml", f), Ops: ops}) {
			if r.Err != nil {
				b.Fatal(r.Err)
			}
		}
	}
	b.ReportAllocs()
	for b.Loop() {
		found, err := open().Inspect(context.Background(), paths)
		if err != nil || len(found) != 1000 {
			b.Fatal(len(found), err)
		}
	}
}
