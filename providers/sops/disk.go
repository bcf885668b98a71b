package sops

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"

	"github.com/gofrs/flock"

	"github.com/cofferhq/coffer/internal/durable"
	"github.com/cofferhq/coffer/providers"
)

// lockFile is flocked while a file of the folder is read and replaced. It is
// never removed: another process may be waiting on it.
const lockFile = ".coffer.lock"

// disk is the provider's folder. It follows no link below the configuration.
type disk struct {
	fs     durable.FS
	base   string // the configuration directory
	folder string // below base, with slashes
	at     func(point string) error
	mkdir  func(path string) error
	lock   func(ctx context.Context, path string) (unlock func(), err error)
}

func newDisk(base, folder string, o Options) disk {
	d := disk{
		fs: durable.OS(), base: base, folder: folder, at: o.At,
		mkdir: func(path string) error { return os.Mkdir(path, 0o755) },
		lock:  lockOS,
	}
	if o.FS != nil {
		d.fs = o.FS
		d.mkdir = func(string) error { return nil }
		d.lock = func(context.Context, string) (func(), error) { return func() {}, nil }
	}
	return d
}

func lockOS(ctx context.Context, path string) (func(), error) {
	if _, err := durable.Check(durable.OS(), path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	l := flock.New(path)
	if _, err := l.TryLockContext(ctx, 5*time.Millisecond); err != nil {
		return nil, err
	}
	return func() { _ = l.Unlock() }, nil // the process's end unlocks at the latest
}

func (d disk) path(file string) string {
	return filepath.Join(d.base, filepath.FromSlash(d.folder), filepath.FromSlash(file))
}

// folders checks that every folder on the way to file is one and no link, and
// returns the first that is missing, "" when all are there.
func (d disk) folders(file string) (missing string, err error) {
	at, parts := d.base, d.parts(file)
	for i, part := range parts {
		at = filepath.Join(at, part)
		info, err := d.fs.Lstat(at)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return at, nil
		case err != nil:
			return "", fileError(err)
		case info.Mode()&fs.ModeSymlink != 0:
			return "", misplaced(strings.Join(parts[:i+1], "/"), "a symbolic link")
		case !info.IsDir():
			return "", misplaced(strings.Join(parts[:i+1], "/"), "not a folder")
		}
	}
	return "", nil
}

// parts returns the names of the folders from the configuration to file.
func (d disk) parts(file string) []string {
	all := strings.Split(d.folder+"/"+file, "/")
	folders := all[:len(all)-1]
	if d.folder == "." {
		folders = folders[1:]
	}
	return folders
}

// read returns a file's bytes and mode; a file that is not there is an error
// matching fs.ErrNotExist.
func (d disk) read(file string) ([]byte, fs.FileMode, error) {
	missing, err := d.folders(file)
	if err != nil {
		return nil, 0, err
	}
	if missing != "" {
		return nil, 0, fs.ErrNotExist
	}
	data, info, err := durable.Read(d.fs, d.path(file), maxFile)
	if err != nil {
		return nil, 0, fileError(err)
	}
	return data, info.Mode().Perm(), nil
}

// prepare makes the folders on the way to file.
func (d disk) prepare(file string) error {
	for {
		missing, err := d.folders(file)
		if err != nil || missing == "" {
			return err
		}
		if err := d.mkdir(missing); err != nil && !errors.Is(err, fs.ErrExist) {
			return fileError(err)
		}
		if err := d.fs.SyncDir(filepath.Dir(missing)); err != nil {
			return fileError(err)
		}
	}
}

// replace puts new bytes in place of a file's, or removes it where data is nil.
func (d disk) replace(file string, data []byte, mode fs.FileMode) error {
	path := d.path(file)
	if err := durable.Clean(d.fs, path); err != nil {
		return fileError(err)
	}
	if data != nil {
		return effectError(durable.Replace(d.fs, path, data, mode, d.at))
	}
	removed := false
	err := durable.Step(d.at, "remove", func() error {
		err := d.fs.Remove(path)
		removed = err == nil
		return err
	})
	if err == nil {
		err = durable.Step(d.at, durable.StepSyncDir, func() error { return d.fs.SyncDir(filepath.Dir(path)) })
	}
	if err != nil {
		return effectError(&durable.Error{Step: "remove", Path: path, Replaced: removed, Err: err})
	}
	return nil
}

// walk returns the names of all files below the folder that can hold secrets.
// Something else in the place of one, or of a folder, is an error.
func (d disk) walk() ([]string, error) {
	missing, err := d.folders("x")
	if err != nil || missing != "" {
		return nil, err
	}
	var files []string
	return files, d.walkInto("", &files)
}

func (d disk) walkInto(dir string, files *[]string) error {
	names, err := d.fs.ReadDir(d.path(dir))
	if err != nil {
		return fileError(err)
	}
	for _, name := range names {
		if !isPart(name) {
			continue // hidden, or no path can name it
		}
		file := strings.TrimPrefix(dir+"/"+name, "/")
		info, err := d.fs.Lstat(d.path(file))
		switch {
		case errors.Is(err, fs.ErrNotExist):
			continue
		case err != nil:
			return fileError(err)
		case info.IsDir() && locateFile(file) == nil:
			return misplaced(path.Join(d.folder, file), "a folder")
		case info.IsDir():
			if strings.Count(file, "/") > maxDepth {
				return invalid("%s: folders nested deeper than %d", file, maxDepth)
			}
			if err := d.walkInto(file, files); err != nil {
				return err
			}
		case info.Mode()&fs.ModeSymlink != 0:
			return misplaced(path.Join(d.folder, file), "a symbolic link")
		case locateFile(file) != nil:
		case !info.Mode().IsRegular():
			return misplaced(path.Join(d.folder, file), "not a regular file")
		default:
			*files = append(*files, file)
		}
	}
	return nil
}

// fileError gives an error of the file system its code; nothing was changed.
func fileError(err error) error {
	var kind *durable.KindError
	var large *durable.TooLargeError
	switch {
	case err == nil:
		return nil
	case errors.Is(err, fs.ErrNotExist):
		return err
	case errors.As(err, &kind), errors.As(err, &large):
		return &providers.Error{Code: providers.Invalid, Err: err}
	case errors.Is(err, fs.ErrPermission):
		return &providers.Error{Code: providers.Denied, Err: err}
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return &providers.Error{Code: providers.Cancelled, Err: err}
	}
	return &providers.Error{Code: providers.Unavailable, Err: err}
}

// effectError is fileError for an effect that may have happened.
func effectError(err error) error {
	var e *durable.Error
	if errors.As(err, &e) && e.Replaced {
		return &providers.Error{Code: providers.Ambiguous, Err: err}
	}
	return fileError(err)
}
