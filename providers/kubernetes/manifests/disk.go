package manifests

import (
	"context"
	"errors"
	"io/fs"

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

// disk is the folder of the configuration, with errors in the driver's words.
type disk struct{ tree durable.Folder }

func (d disk) lock(ctx context.Context) (unlock func(), err error) {
	unlock, err = d.tree.Lock(ctx, lockFile)
	return unlock, fileError(err)
}

// read returns a file's bytes, nil where there is none.
func (d disk) read(file string) ([]byte, fs.FileMode, error) {
	data, mode, err := d.tree.Read(file, maxFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, 0, nil
	}
	return data, mode, fileError(err)
}

// prepare makes the folders on the way to file.
func (d disk) prepare(file string) error { return fileError(d.tree.Prepare(file)) }

// replace puts new bytes in place of a file's, or removes it where data is nil.
func (d disk) replace(file string, data []byte, mode fs.FileMode) error {
	return fileError(d.tree.Replace(file, data, mode))
}

// fileError gives an error of the file system its code.
func fileError(err error) error {
	var folder *durable.FolderError
	var effect *durable.Error
	var kind *durable.KindError
	var large *durable.TooLargeError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &effect) && effect.Replaced:
		return &providers.Error{Code: providers.Ambiguous, Err: err}
	case errors.As(err, &folder) && folder.Link:
		return invalid("%w", err).WithHint("output writes below the configuration and follows no link: put a folder there")
	case errors.As(err, &folder), errors.As(err, &kind), errors.As(err, &large):
		return &providers.Error{Code: providers.Invalid, Err: err}
	case errors.Is(err, fs.ErrPermission):
		return &providers.Error{Code: providers.Denied, Err: err}
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return &providers.Error{Code: providers.Cancelled, Err: err}
	}
	return &providers.Error{Code: providers.Unavailable, Err: err}
}
