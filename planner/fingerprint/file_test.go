//go:build unix

package fingerprint

import (
	"crypto/rand"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/iotest"

	"github.com/cofferhq/coffer/providers/secret"
)

func TestCreateThenLoad(t *testing.T) {
	for _, umask := range []int{0o000, 0o022, 0o077, 0o277} {
		old := syscall.Umask(umask)
		path := filepath.Join(t.TempDir(), "key")
		made, err := Create(path, rand.Reader)
		syscall.Umask(old)
		if err != nil {
			t.Fatalf("umask %o: %v", umask, err)
		}
		info, err := os.Lstat(path)
		if err != nil || info.Mode() != 0o600 {
			t.Fatalf("umask %o: mode %v, %v", umask, info.Mode(), err)
		}
		loaded, err := Load(path)
		if err != nil {
			t.Fatal(err)
		}
		recorded, err := made.Sum(where, "f", secret.String("v"))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := loaded.Compare(recorded, where, "f", secret.String("v")); err != nil || got != Same {
			t.Errorf("umask %o: %v, %v", umask, got, err)
		}
	}
}

func TestCreateKeepsWhatExists(t *testing.T) {
	for name, prepare := range map[string]func(t *testing.T, path string){
		"file":          func(t *testing.T, path string) { write(t, path, "mine", 0o600) },
		"dangling link": func(t *testing.T, path string) { must(t, os.Symlink(path+".target", path)) },
		"folder":        func(t *testing.T, path string) { must(t, os.Mkdir(path, 0o700)) },
		"pipe":          func(t *testing.T, path string) { must(t, syscall.Mkfifo(path, 0o600)) },
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "key")
			prepare(t, path)
			before, err := os.Lstat(path)
			must(t, err)
			if _, err := Create(path, rand.Reader); !errors.Is(err, fs.ErrExist) || !strings.Contains(err.Error(), path) {
				t.Errorf("got %v", err)
			}
			after, err := os.Lstat(path)
			if err != nil || !os.SameFile(before, after) || after.Size() != before.Size() {
				t.Error("what was there was touched")
			}
			if _, err := os.Lstat(path + ".target"); !errors.Is(err, fs.ErrNotExist) {
				t.Error("a link was followed")
			}
		})
	}
}

func TestCreateLeavesNothingBehind(t *testing.T) {
	path := filepath.Join(t.TempDir(), "key")
	if _, err := Create(path, iotest.ErrReader(errors.New("no randomness"))); err == nil {
		t.Fatal("a key without randomness")
	}
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Error("a file is left")
	}
	if _, err := Create(filepath.Join(path, "no", "folder"), rand.Reader); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("in a missing folder: %v", err)
	}
}

func TestLoadRefuses(t *testing.T) {
	line := keyLine(t)
	for _, c := range []struct {
		name    string
		prepare func(t *testing.T, path string)
		want    string // in the error, with PATH for the path
		is      error
	}{
		{"absent", func(*testing.T, string) {}, "PATH", fs.ErrNotExist},
		{"0644", func(t *testing.T, p string) { write(t, p, line, 0o644) }, "run chmod 600 PATH", nil},
		{"0640", func(t *testing.T, p string) { write(t, p, line, 0o640) }, "run chmod 600 PATH", nil},
		{"0602", func(t *testing.T, p string) { write(t, p, line, 0o602) }, "run chmod 600 PATH", nil},
		{"0601", func(t *testing.T, p string) { write(t, p, line, 0o601) }, "run chmod 600 PATH", nil},
		{"link", func(t *testing.T, p string) {
			write(t, p+".real", line, 0o600)
			must(t, os.Symlink(p+".real", p))
		}, "symbolic link", nil},
		{"dangling link", func(t *testing.T, p string) { must(t, os.Symlink(p+".gone", p)) }, "symbolic link", nil},
		{"hard link", func(t *testing.T, p string) {
			write(t, p, line, 0o600)
			must(t, os.Link(p, p+".second"))
		}, "hard link", nil},
		{"pipe", func(t *testing.T, p string) { must(t, syscall.Mkfifo(p, 0o600)) }, "not a regular file", nil},
		{"folder", func(t *testing.T, p string) { must(t, os.Mkdir(p, 0o700)) }, "folder", nil},
		{"empty", func(t *testing.T, p string) { write(t, p, "", 0o600) }, "PATH", ErrKey},
		{"other content", func(t *testing.T, p string) { write(t, p, "AGE-SECRET-KEY-1CANARY", 0o600) }, "coffer-fp1:", ErrKey},
		{"damaged", func(t *testing.T, p string) { write(t, p, strings.TrimSpace(line)+line, 0o600) }, "PATH", ErrKey},
		{"huge", func(t *testing.T, p string) { write(t, p, line+strings.Repeat(" ", 1<<20), 0o600) }, "PATH", ErrKey},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "key")
			c.prepare(t, path)
			k, err := Load(path)
			if err == nil || !k.IsZero() {
				t.Fatal("it was loaded")
			}
			want := strings.ReplaceAll(c.want, "PATH", path)
			if !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), path) {
				t.Errorf("%q does not say %q", err, want)
			}
			if c.is != nil && !errors.Is(err, c.is) {
				t.Errorf("%v is not %v", err, c.is)
			}
			for _, held := range []string{"CANARY", strings.TrimSpace(line)[len(prefix)+12:]} {
				if strings.Contains(err.Error(), held) {
					t.Error("the error holds the content of the file")
				}
			}
		})
	}
}

// stranger is a file of another user, which only root could make for real.
type stranger struct{ fs.FileInfo }

func (s stranger) Sys() any {
	stat := *s.FileInfo.Sys().(*syscall.Stat_t)
	stat.Uid = uint32(os.Geteuid()) + 1
	return &stat
}

func TestLoadRefusesAnotherOwner(t *testing.T) {
	path := filepath.Join(t.TempDir(), "it's a key")
	write(t, path, keyLine(t), 0o600)
	info, err := os.Lstat(path)
	must(t, err)
	err = pathError(path, trusted(stranger{info}))
	want := `run chown "$(id -u)" '` + strings.ReplaceAll(path, "'", `'\''`) + `'`
	if !strings.HasSuffix(err.Error(), want) {
		t.Errorf("%q does not end in %q", err, want)
	}
	if err := trusted(info); err != nil {
		t.Errorf("our own: %v", err)
	}
}

func TestQuote(t *testing.T) {
	for path, want := range map[string]string{
		"/home/a/key": "/home/a/key", "my key": "'my key'", "-rf": "./-rf", "$(x)": "'$(x)'", "": "''",
	} {
		if got := quote(path); got != want {
			t.Errorf("quote(%q) = %s, want %s", path, got, want)
		}
	}
}

func keyLine(t *testing.T) string {
	t.Helper()
	line, err := newKey(t).text()
	must(t, err)
	return string(line)
}

func write(t *testing.T, path, content string, mode fs.FileMode) {
	t.Helper()
	must(t, os.WriteFile(path, []byte(content), 0o600))
	must(t, os.Chmod(path, mode)) // past the umask
}
