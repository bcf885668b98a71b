package sops

import (
	"context"
	"errors"
	"io/fs"
	"path"
	"strings"

	"github.com/cofferhq/coffer/internal/durable"
	"github.com/cofferhq/coffer/providers"
)

// lockFile is flocked while a file of the folder is read and replaced. It is
// never removed: another process may be waiting on it.
const lockFile = ".coffer.lock"

// disk is the provider's folder, with errors in the driver's words.
type disk struct {
	tree   durable.Folder // of the configuration
	folder string         // below it, with slashes
}

// in returns a file's name below the configuration.
func (d disk) in(file string) string { return path.Join(d.folder, file) }

// exists reports whether the folder is there.
func (d disk) exists() (bool, error) {
	missing, err := d.tree.Missing(d.in("x"))
	return missing == "", fileError(err)
}

func (d disk) lock(ctx context.Context) (unlock func(), err error) {
	unlock, err = d.tree.Lock(ctx, d.in(lockFile))
	return unlock, fileError(err)
}

// read returns a file's bytes and mode; a file that is not there is an error
// matching fs.ErrNotExist.
func (d disk) read(file string) ([]byte, fs.FileMode, error) {
	data, mode, err := d.tree.Read(d.in(file), maxFile)
	return data, mode, fileError(err)
}

// prepare makes the folders on the way to file.
func (d disk) prepare(file string) error { return fileError(d.tree.Prepare(d.in(file))) }

// replace puts new bytes in place of a file's, or removes it where data is nil.
func (d disk) replace(file string, data []byte, mode fs.FileMode) error {
	return fileError(d.tree.Replace(d.in(file), data, mode))
}

// walk returns the names of all files below the folder that can hold secrets.
// Something else in the place of one, or of a folder, is an error.
func (d disk) walk() ([]string, error) {
	if there, err := d.exists(); err != nil || !there {
		return nil, err
	}
	var files []string
	return files, d.walkInto("", &files)
}

func (d disk) walkInto(dir string, files *[]string) error {
	names, err := d.tree.ReadDir(d.in(dir))
	if err != nil {
		return fileError(err)
	}
	for _, name := range names {
		if !isPart(name) {
			continue // hidden, or no path can name it
		}
		file := strings.TrimPrefix(dir+"/"+name, "/")
		info, err := d.tree.Lstat(d.in(file))
		switch {
		case errors.Is(err, fs.ErrNotExist):
			continue
		case err != nil:
			return fileError(err)
		case info.IsDir() && locateFile(file) == nil:
			return misplaced(d.in(file), "a folder")
		case info.IsDir():
			if strings.Count(file, "/") > maxDepth {
				return invalid("%s: folders nested deeper than %d", file, maxDepth)
			}
			if err := d.walkInto(file, files); err != nil {
				return err
			}
		case info.Mode()&fs.ModeSymlink != 0:
			return misplaced(d.in(file), "a symbolic link")
		case locateFile(file) != nil:
		case !info.Mode().IsRegular():
			return misplaced(d.in(file), "not a regular file")
		default:
			*files = append(*files, file)
		}
	}
	return nil
}

// fileError gives an error of the file system its code. One that matches
// fs.ErrNotExist stays as it is.
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
	case errors.Is(err, fs.ErrNotExist):
		return err
	case errors.As(err, &folder):
		return misplaced(folder.Name, folder.What())
	case errors.As(err, &kind), errors.As(err, &large):
		return &providers.Error{Code: providers.Invalid, Err: err}
	case errors.Is(err, fs.ErrPermission):
		return &providers.Error{Code: providers.Denied, Err: err}
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return &providers.Error{Code: providers.Cancelled, Err: err}
	}
	return &providers.Error{Code: providers.Unavailable, Err: err}
}
