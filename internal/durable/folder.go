package durable

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/gofrs/flock"
)

// Folder is the files at and below Base. It follows no link below Base: names
// have slashes and no "..", and every folder on the way to one is looked at.
//
// Whoever must not lose an update calls Lock, Read and Replace, in this order.
type Folder struct {
	Base string // may itself be reached by links
	// FS, when not nil, is used in place of the operating system's files, by one
	// process alone: no lock is taken, and every folder exists.
	FS FS
	// At is the hook of [Replace]; removing a file has the steps "remove" and
	// [StepSyncDir].
	At func(point string) error
}

// FolderError says that something else is where a folder is due.
type FolderError struct {
	Name string // below the base, with slashes
	Link bool   // a symbolic link
}

func (e *FolderError) Error() string { return e.Name + " is " + e.What() }

// What says what is there: "a symbolic link" or "not a folder".
func (e *FolderError) What() string {
	if e.Link {
		return "a symbolic link"
	}
	return "not a folder"
}

func (f Folder) fs() FS {
	if f.FS != nil {
		return f.FS
	}
	return OS()
}

func (f Folder) path(name string) string { return filepath.Join(f.Base, filepath.FromSlash(name)) }

// Missing returns the path of the first folder on the way to name that is not
// there, "" when all are. Something else in the place of one is a
// [*FolderError].
func (f Folder) Missing(name string) (string, error) {
	parts := strings.Split(name, "/")
	for i := 1; i < len(parts); i++ {
		folder := strings.Join(parts[:i], "/")
		info, err := f.Lstat(folder)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return f.path(folder), nil
		case err != nil:
			return "", err
		case !info.IsDir():
			return "", &FolderError{Name: folder, Link: info.Mode()&fs.ModeSymlink != 0}
		}
	}
	return "", nil
}

// Prepare makes the folders on the way to name, durably. Errors are those of
// [Folder.Missing] and of the file system.
func (f Folder) Prepare(name string) error {
	for {
		missing, err := f.Missing(name)
		if err != nil || missing == "" || f.FS != nil {
			return err
		}
		if err := os.Mkdir(missing, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
		if err := f.fs().SyncDir(filepath.Dir(missing)); err != nil {
			return err
		}
	}
}

// Lock waits for the lock file called name and returns how to release it; the
// end of the process releases it as well. It is never removed: another process
// may be waiting on it. Errors are those of [Check], of ctx and of the file
// system.
func (f Folder) Lock(ctx context.Context, name string) (unlock func(), err error) {
	if f.FS != nil {
		return func() {}, nil
	}
	path := f.path(name)
	if _, err := Check(OS(), path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	l := flock.New(path, flock.SetFlag(os.O_CREATE|os.O_RDWR|NoFollow))
	if _, err := l.TryLockContext(ctx, 5*time.Millisecond); err != nil {
		return nil, err
	}
	return func() { _ = l.Unlock() }, nil
}

// Read returns a file's bytes, never nil, and its permissions. Errors are those
// of [Folder.Missing] and [Read]; a file that is not there, or whose folder is
// not, is an error that matches [fs.ErrNotExist].
func (f Folder) Read(name string, limit int64) ([]byte, fs.FileMode, error) {
	missing, err := f.Missing(name)
	if err != nil {
		return nil, 0, err
	}
	if missing != "" {
		return nil, 0, fs.ErrNotExist
	}
	data, info, err := Read(f.fs(), f.path(name), limit)
	if err != nil {
		return nil, 0, err
	}
	return data, info.Mode().Perm(), nil
}

// Replace puts data in place of a file's, under the rules of the function
// [Replace], or removes the file where data is nil. What a killed call left
// behind goes first, so call it only under a lock, and behind
// [Folder.Read] or [Folder.Prepare], which look at the folders on the way.
// [Error.Replaced] says that a file may be removed already.
func (f Folder) Replace(name string, data []byte, mode fs.FileMode) error {
	path := f.path(name)
	if err := Clean(f.fs(), path); err != nil {
		return err
	}
	if data != nil {
		return Replace(f.fs(), path, data, mode, f.At)
	}
	removed := false
	err := Step(f.At, "remove", func() error {
		err := f.fs().Remove(path)
		removed = err == nil
		return err
	})
	if err == nil {
		err = Step(f.At, StepSyncDir, func() error { return f.fs().SyncDir(filepath.Dir(path)) })
	}
	if err != nil {
		return &Error{Step: "remove", Path: path, Replaced: removed, Err: err}
	}
	return nil
}

// Lstat says what is at name itself.
func (f Folder) Lstat(name string) (fs.FileInfo, error) { return f.fs().Lstat(f.path(name)) }

// ReadDir returns the names in the folder called name, sorted.
func (f Folder) ReadDir(name string) ([]string, error) { return f.fs().ReadDir(f.path(name)) }
