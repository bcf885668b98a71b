package durable

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
)

// KindError says that there is something at Path that Coffer does not follow
// or write to.
type KindError struct {
	Path string
	What string // "a symbolic link", …
}

func (e *KindError) Error() string {
	return fmt.Sprintf("%s is %s: coffer follows none, so that nobody can lead it elsewhere; put a plain file there", e.Path, e.What)
}

// TooLargeError says that a file is larger than its reader accepts.
type TooLargeError struct {
	Path  string
	Limit int64
}

func (e *TooLargeError) Error() string {
	return fmt.Sprintf("%s is larger than %d bytes: this is not a file that coffer wrote", e.Path, e.Limit)
}

// Check returns what is at path, or [*KindError] unless it is a regular file
// with one name. Nothing there is an [*Error] that matches [fs.ErrNotExist].
func Check(fsys FS, path string) (fs.FileInfo, error) {
	info, err := fsys.Lstat(path)
	if err != nil {
		return nil, &Error{Step: "open", Path: path, Err: err}
	}
	return info, checkKind(path, info)
}

func checkKind(path string, info fs.FileInfo) error {
	what := ""
	switch mode := info.Mode(); {
	case mode&fs.ModeSymlink != 0:
		what = "a symbolic link"
	case mode.IsDir():
		what = "a folder"
	case mode&fs.ModeNamedPipe != 0:
		what = "a FIFO"
	case !mode.IsRegular():
		what = "not a regular file"
	case links(info) > 1:
		what = "a hard link (the same file has another name)"
	default:
		return nil
	}
	return &KindError{Path: path, What: what}
}

// Open opens the regular file at path with flag, under the rules of [Check].
// It looks again at what it opened, so that a swap in between leads nowhere.
// With os.O_CREATE it may make the file, with mode perm less the umask.
func Open(fsys FS, path string, flag int, perm fs.FileMode) (File, error) {
	_, err := Check(fsys, path)
	if err != nil && (flag&os.O_CREATE == 0 || !errors.Is(err, fs.ErrNotExist)) {
		return nil, err
	}
	f, err := fsys.OpenFile(path, flag, perm)
	if err != nil {
		return nil, &Error{Step: "open", Path: path, Err: err}
	}
	info, err := f.Stat()
	if err != nil {
		err = &Error{Step: "open", Path: path, Err: err}
	} else {
		err = checkKind(path, info)
	}
	if err != nil {
		_ = f.Close() // nothing was written
		return nil, err
	}
	return f, nil
}

// SameFile reports whether a and b, of one [FS], describe the same file.
func SameFile(a, b fs.FileInfo) bool {
	if own, ok := a.(interface{ SameFile(b fs.FileInfo) bool }); ok {
		return own.SameFile(b)
	}
	return os.SameFile(a, b)
}

// Read returns the content of the regular file at path, under the rules of
// [Check]. More than limit bytes are a [*TooLargeError].
func Read(fsys FS, path string, limit int64) ([]byte, fs.FileInfo, error) {
	f, err := Open(fsys, path, os.O_RDONLY, 0)
	if err != nil {
		return nil, nil, err
	}
	defer func() { _ = f.Close() }() // nothing was written
	info, err := f.Stat()
	if err != nil {
		return nil, nil, &Error{Step: "read", Path: path, Err: err}
	}
	if info.Size() > limit {
		return nil, nil, &TooLargeError{Path: path, Limit: limit}
	}
	data := make([]byte, 0, info.Size()+1)
	for {
		n, err := f.Read(data[len(data):cap(data)])
		data = data[:len(data)+n]
		switch {
		case int64(len(data)) > limit:
			return nil, nil, &TooLargeError{Path: path, Limit: limit}
		case errors.Is(err, io.EOF):
			return data, info, nil
		case err != nil:
			return nil, nil, &Error{Step: "read", Path: path, Err: err}
		}
		if len(data) == cap(data) {
			data = append(data, 0)[:len(data)]
		}
	}
}
