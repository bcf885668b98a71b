package durable

import (
	"errors"
	"io/fs"
	"os"
	"syscall"
)

// OS returns the operating system's files.
func OS() FS { return osFS{} }

type osFS struct{}

func (osFS) Lstat(path string) (fs.FileInfo, error) { return os.Lstat(path) }

func (osFS) OpenFile(path string, flag int, perm fs.FileMode) (File, error) {
	return file(os.OpenFile(path, flag|NoFollow, perm))
}

func (osFS) CreateTemp(dir, pattern string) (File, error) {
	return file(os.CreateTemp(dir, pattern))
}

// file keeps a nil *os.File from becoming a File that is not nil.
func file(f *os.File, err error) (File, error) {
	if err != nil {
		return nil, err
	}
	return f, nil
}

func (osFS) Rename(from, to string) error { return os.Rename(from, to) }

func (osFS) Remove(path string) error { return os.Remove(path) }

func (osFS) ReadDir(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	names := make([]string, len(entries))
	for i, e := range entries {
		names[i] = e.Name()
	}
	return names, err
}

func (osFS) SyncDir(dir string) error {
	if !syncsFolders {
		return nil
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	err = d.Sync()
	// Some file systems (FUSE, SMB) cannot sync a folder and say so; they order
	// a rename by themselves or not at all, and nothing more can be asked.
	if errors.Is(err, syscall.EINVAL) || errors.Is(err, syscall.ENOTSUP) {
		err = nil
	}
	return errors.Join(err, d.Close())
}
