//go:build unix

package durable_test

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/cofferhq/coffer/internal/durable"
	"github.com/cofferhq/coffer/internal/durable/crashfs"
)

func TestReplaceMakesAndReplaces(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	for _, want := range []string{"first", "", "second\n"} {
		var points []string
		err := durable.Replace(durable.OS(), path, []byte(want), 0o640, func(p string) error {
			points = append(points, p)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(points, durable.Points()) {
			t.Errorf("points %q, want %q", points, durable.Points())
		}
		got, info, err := durable.Read(durable.OS(), path, 1<<10)
		if err != nil || string(got) != want {
			t.Fatalf("read %q, %v; want %q", got, err, want)
		}
		if info.Mode().Perm() != 0o640 {
			t.Errorf("mode %v", info.Mode())
		}
	}
	if names, _ := durable.OS().ReadDir(filepath.Dir(path)); !slices.Equal(names, []string{"file"}) {
		t.Errorf("the folder holds %q", names)
	}
}

// Every survivor of a crash anywhere in Replace has the old content or the new
// one; once Replace has returned, the new one.
func TestReplaceSurvivesCrash(t *testing.T) {
	for _, old := range [][]byte{nil, []byte("old content")} {
		data := bytes.Repeat([]byte("new content "), 100)
		survivors := 0
		for n := 1; ; n++ {
			disk := crashfs.New()
			if old != nil {
				disk.Put("dir/file", old)
			}
			disk.CrashBefore(n)
			err := durable.Replace(disk, "dir/file", data, 0o600, nil)
			for _, s := range disk.Survivors() {
				survivors++
				got, there := s.Content("dir/file")
				isNew := there && bytes.Equal(got, data)
				isOld := there == (old != nil) && bytes.Equal(got, old)
				if !isNew && (err == nil || !isOld) {
					t.Errorf("crash before change %d (%v): %q is left", n, err, got)
				}
			}
			if !disk.Crashed() {
				break
			}
		}
		if survivors < 20 {
			t.Errorf("only %d survivors were looked at", survivors)
		}
		t.Logf("%d survivors", survivors)
	}
}

func TestReplaceFaults(t *testing.T) {
	for _, cause := range []error{syscall.ENOSPC, syscall.EIO, syscall.EROFS, syscall.EDQUOT, syscall.EMFILE} {
		for n := 0; ; n++ {
			disk := crashfs.New()
			disk.Put("dir/file", []byte("old"))
			hit := false
			disk.Fault(func(op crashfs.Op) error {
				if op.N == n {
					hit = true
					return cause
				}
				return nil
			})
			err := durable.Replace(disk, "dir/file", []byte("new"), 0o600, nil)
			disk.Fault(nil)
			if !hit {
				if err != nil {
					t.Error(err)
				}
				break
			}
			e, ok := errors.AsType[*durable.Error](err)
			if !ok || !errors.Is(err, cause) {
				t.Fatalf("%v at call %d: %v", cause, n, err)
			}
			want := "old"
			if e.Replaced {
				want = "new"
			}
			if got, _ := disk.Content("dir/file"); string(got) != want {
				t.Errorf("%v: the file holds %q, want %q", err, got, want)
			}
			if !strings.Contains(err.Error(), "dir/file") || durable.Advice(err) == "" || !strings.Contains(err.Error(), durable.Advice(err)) {
				t.Errorf("no place or next step in %q", err)
			}
			if names := disk.Names(); !slices.Equal(names, []string{"dir/file"}) {
				t.Errorf("%v at call %d leaves %q", cause, n, names)
			}
		}
	}
}

// A failing point fails its step: that is how tests stop a process.
func TestReplacePointsFail(t *testing.T) {
	stop := errors.New("stop here")
	for _, point := range durable.Points() {
		disk := crashfs.New()
		err := durable.Replace(disk, "file", []byte("new"), 0o600, func(p string) error {
			if p == point {
				return stop
			}
			return nil
		})
		if !errors.Is(err, stop) {
			t.Errorf("%s: %v", point, err)
		}
	}
}

// kinds puts things that are no plain file at path.
var kinds = map[string]func(t *testing.T, path string){
	"symlink inside": func(t *testing.T, path string) {
		write(t, path+".target")
		must(t, os.Symlink(filepath.Base(path)+".target", path))
	},
	"symlink outside": func(t *testing.T, path string) {
		target := filepath.Join(t.TempDir(), "target")
		write(t, target)
		must(t, os.Symlink(target, path))
	},
	"symlink dangling": func(t *testing.T, path string) { must(t, os.Symlink(path+".nowhere", path)) },
	"hard link": func(t *testing.T, path string) {
		write(t, path+".other")
		must(t, os.Link(path+".other", path))
	},
	"fifo":   func(t *testing.T, path string) { must(t, syscall.Mkfifo(path, 0o600)) },
	"folder": func(t *testing.T, path string) { must(t, os.Mkdir(path, 0o700)) },
}

func TestKindsAreRefused(t *testing.T) {
	for name, put := range kinds {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "file")
			put(t, path)
			calls := map[string]func() error{
				"read": func() error {
					_, _, err := durable.Read(durable.OS(), path, 1<<10)
					return err
				},
				"replace": func() error { return durable.Replace(durable.OS(), path, []byte("x"), 0o600, nil) },
				"append": func() error {
					_, err := durable.Open(durable.OS(), path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
					return err
				},
			}
			for call, do := range calls {
				err := do()
				if e, ok := errors.AsType[*durable.KindError](err); !ok || e.Path != path {
					t.Errorf("%s: %v", call, err)
				}
			}
			if _, err := os.Lstat(path + ".nowhere"); !errors.Is(err, fs.ErrNotExist) {
				t.Error("a dangling link was followed")
			}
			if target, err := os.ReadFile(path + ".target"); err == nil && string(target) != "untouched" {
				t.Errorf("the target of a link holds %q", target)
			}
		})
	}
}

// The mode is what was asked for under every umask. Umask belongs to the
// process: this test runs alone.
func TestUmask(t *testing.T) {
	for _, mask := range []int{0, 0o022, 0o077} {
		old := syscall.Umask(mask)
		for _, before := range []fs.FileMode{0, 0o644, 0o666} {
			path := filepath.Join(t.TempDir(), "file")
			if before != 0 {
				write(t, path)
				must(t, os.Chmod(path, before))
			}
			must(t, durable.Replace(durable.OS(), path, nil, 0o600, nil))
			info, err := os.Lstat(path)
			if err != nil || info.Mode() != 0o600 {
				t.Errorf("umask %03o over %v: %v, %v", mask, before, info.Mode(), err)
			}
		}
		syscall.Umask(old)
	}
}

func TestReadLimit(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	write(t, path)
	if got, _, err := durable.Read(durable.OS(), path, 9); err != nil || string(got) != "untouched" {
		t.Errorf("%q, %v", got, err)
	}
	_, _, err := durable.Read(durable.OS(), path, 8)
	if e, ok := errors.AsType[*durable.TooLargeError](err); !ok || e.Limit != 8 {
		t.Error(err)
	}
}

func TestCleanRemovesOnlyLeftovers(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "state")
	keep := []string{"state", ".state.tmp", ".state..tmp", ".state.1.x.tmp", ".other.1.tmp", "state.1.tmp"}
	for _, name := range append([]string{".state.1.tmp", ".state.abc.tmp"}, keep...) {
		write(t, filepath.Join(dir, name))
	}
	must(t, durable.Clean(durable.OS(), path))
	got, err := durable.OS().ReadDir(dir)
	must(t, err)
	slices.Sort(keep)
	if !slices.Equal(got, keep) {
		t.Errorf("%q is left, want %q", got, keep)
	}
}

func write(t *testing.T, path string) {
	t.Helper()
	must(t, os.WriteFile(path, []byte("untouched"), 0o600))
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
