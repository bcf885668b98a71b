package manifests

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/gofrs/flock"

	"github.com/cofferhq/coffer/internal/durable"
	"github.com/cofferhq/coffer/providers"
)

// lockFile is flocked while a file is read and replaced. It lies beside the
// configuration, where `coffer init` lets git pass over it, and is never removed:
// another process may be waiting on it.
const lockFile = ".coffer.lock"

// maxFile bounds a file: thousands of secrets.
const maxFile = 32 << 20

// Modes of new files. What is encrypted or public is made to be committed.
const (
	modePublic    fs.FileMode = 0o644
	modePlaintext fs.FileMode = 0o600
)

// disk is the folder of the configuration. It follows no link below it.
type disk struct {
	fs    durable.FS
	base  string
	at    func(point string) error
	mkdir func(path string) error
	lock  func(ctx context.Context, path string) (unlock func(), err error)
}

func newDisk(base string, o Options) disk {
	d := disk{
		fs: durable.OS(), base: base, at: o.At,
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

func (d disk) path(file string) string { return filepath.Join(d.base, filepath.FromSlash(file)) }

// folders checks that every folder on the way to file is one and no link, and
// returns the first that is missing, "" when all are there.
func (d disk) folders(file string) (missing string, err error) {
	parts := strings.Split(file, "/")
	at := d.base
	for i, part := range parts[:len(parts)-1] {
		at = filepath.Join(at, part)
		info, err := d.fs.Lstat(at)
		name := strings.Join(parts[:i+1], "/")
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return at, nil
		case err != nil:
			return "", fileError(err)
		case info.Mode()&fs.ModeSymlink != 0:
			return "", invalid("%s is a symbolic link", name).WithHint("output writes below the configuration and follows no link: put a folder there")
		case !info.IsDir():
			return "", invalid("%s is not a folder", name)
		}
	}
	return "", nil
}

// read returns a file's bytes, nil where there is none.
func (d disk) read(file string) ([]byte, fs.FileMode, error) {
	missing, err := d.folders(file)
	if err != nil || missing != "" {
		return nil, 0, err
	}
	data, info, err := durable.Read(d.fs, d.path(file), maxFile)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, 0, nil
	case err != nil:
		return nil, 0, fileError(err)
	case data == nil:
		data = []byte{}
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

// fileError gives an error of the file system its code; nothing was changed.
func fileError(err error) error {
	var kind *durable.KindError
	var large *durable.TooLargeError
	switch {
	case err == nil:
		return nil
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
