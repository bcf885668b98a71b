// Package durable replaces files so that a crash leaves the old content or the
// new one, never a mixture, and reads them without being led elsewhere by a
// link. The state and the drivers that keep files write through it.
//
// It stands on the ground floor beside lang/addr (docs/adr/0003): it imports
// nothing of ours and knows neither states nor secrets. Read [Replace] first,
// then [Folder]; [FS] is the seam that lets package crashfs lose what was not
// made durable.
package durable

import (
	"errors"
	"io"
	"io/fs"
	"path/filepath"
	"strings"
)

// FS is the few calls that durable files need. [OS] is the real one.
type FS interface {
	Lstat(path string) (fs.FileInfo, error)
	// OpenFile opens path itself: a symbolic link there is an error, and a
	// FIFO does not block.
	OpenFile(path string, flag int, perm fs.FileMode) (File, error)
	// CreateTemp makes a new file of mode 0600 in dir; the last "*" of pattern
	// becomes something unique.
	CreateTemp(dir, pattern string) (File, error)
	Rename(from, to string) error
	Remove(path string) error
	// ReadDir returns the names in dir, sorted.
	ReadDir(dir string) ([]string, error)
	// SyncDir makes creations, renames and removals in dir durable.
	SyncDir(dir string) error
}

// File is an open file of an [FS].
type File interface {
	io.ReadWriteCloser
	Name() string
	Stat() (fs.FileInfo, error)
	Chmod(mode fs.FileMode) error
	Truncate(size int64) error
	Sync() error
}

// The durable steps of [Replace], in order.
const (
	StepCreate  = "create"
	StepWrite   = "write"
	StepSync    = "sync"
	StepRename  = "rename"
	StepSyncDir = "syncdir"
)

// Points returns the names that [Replace] calls its hook with, in order.
func Points() []string {
	var points []string
	for _, step := range []string{StepCreate, StepWrite, StepSync, StepRename, StepSyncDir} {
		points = append(points, Before(step), After(step))
	}
	return points
}

// Before names the point just before step.
func Before(step string) string { return "before-" + step }

// After names the point just after step.
func After(step string) string { return "after-" + step }

// Replace replaces the content of path with data, or creates it, with mode
// perm whatever the umask: a temporary file in the same folder, write, fsync,
// rename, fsync of the folder. When it returns nil the new content survives a
// crash; at every moment before that a crash leaves either content whole.
//
// Anything at path but a regular file with one name is refused with
// [*KindError] before anything is written. Every other error is an [*Error]
// that says whether path may have the new content already.
//
// Two calls for one path at the same time are safe in that one of them wins;
// whoever must not lose an update holds a lock around reading and replacing.
//
// at, when not nil, is called before and after each step with the names of
// [Points]; an error from it fails that step. Tests stop the process there.
func Replace(fsys FS, path string, data []byte, perm fs.FileMode, at func(point string) error) error {
	if _, err := Check(fsys, path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	r := replacing{fs: fsys, path: path, at: at}
	err := r.run(data, perm)
	if err == nil {
		return nil
	}
	// The first error is what counts; what cannot be cleaned up, Clean finds.
	if r.file != nil {
		_ = r.file.Close()
	}
	if r.temp != "" && !r.renamed {
		_ = fsys.Remove(r.temp)
	}
	return err
}

type replacing struct {
	fs      FS
	path    string
	at      func(point string) error
	file    File
	temp    string
	renamed bool
}

func (r *replacing) run(data []byte, perm fs.FileMode) error {
	steps := []struct {
		name string
		do   func() error
	}{
		{StepCreate, func() (err error) {
			if r.file, err = r.fs.CreateTemp(filepath.Dir(r.path), tempPattern(r.path)); err != nil {
				return err
			}
			r.temp = r.file.Name()
			return r.file.Chmod(perm)
		}},
		{StepWrite, func() error {
			_, err := r.file.Write(data)
			return err
		}},
		{StepSync, r.sync},
		{StepRename, func() error {
			err := r.fs.Rename(r.temp, r.path)
			r.renamed = err == nil
			return err
		}},
		{StepSyncDir, func() error { return r.fs.SyncDir(filepath.Dir(r.path)) }},
	}
	for _, s := range steps {
		err := Step(r.at, s.name, s.do)
		if err != nil {
			return &Error{Step: s.name, Path: r.path, Replaced: r.renamed, Err: err}
		}
	}
	return nil
}

func (r *replacing) sync() error {
	if err := r.file.Sync(); err != nil {
		return err
	}
	f := r.file
	r.file = nil
	return f.Close()
}

// Step calls do between the two points of the step called name.
func Step(at func(point string) error, name string, do func() error) error {
	if at == nil {
		return do()
	}
	if err := at(Before(name)); err != nil {
		return err
	}
	if err := do(); err != nil {
		return err
	}
	return at(After(name))
}

func tempPattern(path string) string { return "." + filepath.Base(path) + ".*.tmp" }

// Clean removes the temporary files that a killed [Replace] of path left
// behind. Call it only while nobody else can be replacing path.
func Clean(fsys FS, path string) error {
	dir := filepath.Dir(path)
	names, err := fsys.ReadDir(dir)
	if err != nil {
		return &Error{Step: "list", Path: dir, Err: err}
	}
	prefix, suffix, _ := strings.Cut(tempPattern(path), "*")
	for _, name := range names {
		if len(name) > len(prefix)+len(suffix) && strings.HasPrefix(name, prefix) && strings.HasSuffix(name, suffix) &&
			!strings.Contains(name[len(prefix):len(name)-len(suffix)], ".") {
			if err := fsys.Remove(filepath.Join(dir, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return &Error{Step: "remove", Path: name, Err: err}
			}
		}
	}
	return nil
}
