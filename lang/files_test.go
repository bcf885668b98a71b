//go:build unix

package lang

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// What is not a regular file below the folder is refused, and nothing waits
// for a pipe that nobody writes to.
func TestFilesThatAreNone(t *testing.T) {
	for name, make := range map[string]func(path string) error{
		"pipe":          func(path string) error { return syscall.Mkfifo(path, 0o600) },
		"dangling link": func(path string) error { return os.Symlink("nowhere.txt", path) },
		"link to itself": func(path string) error {
			return os.Symlink(filepath.Base(path), path)
		},
		"link outside": func(path string) error { return os.Symlink("/etc/hostname", path) },
		"device":       func(path string) error { return os.Symlink("/dev/zero", path) },
		"link to a folder": func(path string) error {
			if err := os.Mkdir(path+".d", 0o700); err != nil {
				return err
			}
			return os.Symlink(filepath.Base(path)+".d", path)
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			write(t, dir, "coffer.hcl", bombHead)
			if err := make(filepath.Join(dir, "x.hcl")); err != nil {
				t.Fatal(err)
			}
			_, diags := Load(dir, Options{ProviderTypes: []string{"sops"}})
			if len(diags) != 1 || diags[0].Summary != "Configuration file cannot be read" || !strings.HasPrefix(diags[0].Detail, "x.hcl: ") {
				t.Errorf("got %v", diags)
			}
		})
	}
}

func TestNoFolder(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "file", "")
	for _, path := range []string{filepath.Join(dir, "missing"), filepath.Join(dir, "file")} {
		cfg, diags := Load(path, Options{})
		if cfg != nil || len(diags) != 1 || diags[0].Summary != "Configuration folder cannot be opened" {
			t.Errorf("%s: got %v, %v", path, cfg, diags)
		}
	}
}

func TestFormat(t *testing.T) {
	got := string(Format([]byte("app \"a\" {\n secret \"x\" {\nvalue=random_uuid()\n   protect   = true\n }\n}\n")))
	want := "app \"a\" {\n  secret \"x\" {\n    value   = random_uuid()\n    protect = true\n  }\n}\n"
	if got != want {
		t.Errorf("got %s", got)
	}
	if again := string(Format([]byte(got))); again != got {
		t.Errorf("formatting twice changes %s", again)
	}
}
