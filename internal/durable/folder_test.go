//go:build unix

package durable_test

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/cofferhq/coffer/internal/durable"
	"github.com/cofferhq/coffer/internal/durable/crashfs"
)

// The base may be a link, and what is below it is made, read, replaced and
// removed with the mode that was asked for.
func TestFolder(t *testing.T) {
	base := filepath.Join(t.TempDir(), "base")
	must(t, os.Symlink(t.TempDir(), base))
	f := durable.Folder{Base: base}
	const name = "a/b/file"
	if _, _, err := f.Read(name, 9); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("without folders: %v", err)
	}
	if missing, err := f.Missing(name); err != nil || missing != filepath.Join(base, "a") {
		t.Errorf("missing %q, %v", missing, err)
	}
	for range 2 { // the second time all is there
		must(t, f.Prepare(name))
	}
	if _, _, err := f.Read(name, 9); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("without a file: %v", err)
	}
	leftover := filepath.Join(base, "a", "b", ".file.1.tmp")
	for _, want := range []string{"", "content"} {
		write(t, leftover)
		must(t, f.Replace(name, []byte(want), 0o640))
		got, mode, err := f.Read(name, 9)
		if err != nil || got == nil || string(got) != want || mode != 0o640 {
			t.Errorf("%q, %v, %v; want %q", got, mode, err, want)
		}
	}
	if _, _, err := f.Read(name, 6); !isType[*durable.TooLargeError](err) {
		t.Errorf("over the limit: %v", err)
	}
	write(t, leftover)
	must(t, f.Replace(name, nil, 0))
	if names, err := f.ReadDir("a/b"); err != nil || len(names) != 0 {
		t.Errorf("%q is left, %v", names, err)
	}
}

// Nothing below the base leads elsewhere, and nothing is made there.
func TestFolderFollowsNoLink(t *testing.T) {
	outside := t.TempDir()
	write(t, filepath.Join(outside, "file"))
	f := durable.Folder{Base: t.TempDir()}
	must(t, os.Mkdir(filepath.Join(f.Base, "a"), 0o755))
	for _, link := range []string{"link", "a/link"} {
		must(t, os.Symlink(outside, filepath.Join(f.Base, link)))
	}
	must(t, os.Symlink("nowhere", filepath.Join(f.Base, "dangling")))
	must(t, os.Symlink(filepath.Join(outside, "lock"), filepath.Join(f.Base, "lock")))
	write(t, filepath.Join(f.Base, "plain"))
	for name, want := range map[string]string{
		"link/file": "link is a symbolic link", "link/new/file": "link is a symbolic link", "a/link/file": "a/link is a symbolic link",
		"dangling/file": "dangling is a symbolic link", "plain/file": "plain is not a folder",
	} {
		_, _, read := f.Read(name, 9)
		for call, err := range map[string]error{"read": read, "prepare": f.Prepare(name)} {
			if !isType[*durable.FolderError](err) || err.Error() != want {
				t.Errorf("%s %s: %v, want %s", call, name, err, want)
			}
		}
	}
	if _, err := f.Lock(t.Context(), "lock"); !isType[*durable.KindError](err) {
		t.Errorf("a lock that is a link: %v", err)
	}
	if names, err := durable.OS().ReadDir(outside); err != nil || !slices.Equal(names, []string{"file"}) {
		t.Errorf("%q are outside, %v", names, err)
	}
}

func TestFolderLock(t *testing.T) {
	f := durable.Folder{Base: t.TempDir()}
	unlock, err := f.Lock(t.Context(), "lock")
	must(t, err)
	ctx, stop := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer stop()
	if _, err := f.Lock(ctx, "lock"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a second lock: %v", err)
	}
	unlock()
	unlock, err = f.Lock(t.Context(), "lock")
	must(t, err)
	unlock()
	if _, err := f.Lstat("lock"); err != nil {
		t.Errorf("the lock file: %v", err)
	}
}

// A removal that fails says whether it may have happened, and a crash leaves
// the file whole or gone; once it has returned, gone.
func TestFolderRemoves(t *testing.T) {
	stop := errors.New("stop here")
	points := []string{"before-remove", "after-remove", "before-syncdir", "after-syncdir"}
	var seen []string
	for i, point := range points {
		disk := crashfs.New()
		disk.Put("dir/file", []byte("old"))
		f := durable.Folder{Base: "dir", FS: disk, At: func(p string) error {
			if i == len(points)-1 {
				seen = append(seen, p)
			}
			if p == point {
				return stop
			}
			return nil
		}}
		err := f.Replace("file", nil, 0)
		e, ok := errors.AsType[*durable.Error](err)
		if _, there := disk.Content("dir/file"); !ok || !errors.Is(err, stop) || e.Replaced == there {
			t.Errorf("%s: %v, and the file is there: %v", point, err, there)
		}
	}
	if !slices.Equal(seen, points) {
		t.Errorf("points %q, want %q", seen, points)
	}
	for n := 1; ; n++ {
		disk := crashfs.New()
		disk.Put("dir/file", []byte("old"))
		disk.CrashBefore(n)
		err := durable.Folder{Base: "dir", FS: disk}.Replace("file", nil, 0)
		for _, s := range disk.Survivors() {
			if got, there := s.Content("dir/file"); there && (err == nil || !bytes.Equal(got, []byte("old"))) {
				t.Errorf("crash before change %d (%v): %q is left", n, err, got)
			}
		}
		if !disk.Crashed() {
			break
		}
	}
}

func isType[E error](err error) bool {
	_, ok := errors.AsType[E](err)
	return ok
}
