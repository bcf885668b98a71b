package state

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/gofrs/flock"

	"github.com/cofferhq/coffer/internal/durable"
)

const (
	lockMode     = 0o644   // any may read who holds it
	maxLockBytes = 4 << 10 // what a lock file says
)

// Flocks returns locks of the operating system (flock) on a file that says who
// holds it. The lock of a process that dies goes with it. The file is removed
// by who releases it, so whoever gets a lock looks again whether its file is
// still the one at that path.
func Flocks() Locker { return flocks{fs: durable.OS()} }

type flocks struct{ fs durable.FS }

type fileLock struct {
	flocks
	path string
	lock *flock.Flock
	file fs.FileInfo
}

func (k flocks) TryLock(path string, info LockInfo) (HeldLock, error) {
	for {
		if _, err := durable.Check(k.fs, path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		l := flock.New(path, flock.SetFlag(os.O_CREATE|os.O_RDWR|durable.NoFollow), flock.SetPermissions(lockMode))
		ok, err := l.TryLock()
		if err != nil {
			return nil, &durable.Error{Step: "lock", Path: path, Err: err}
		}
		if !ok {
			return nil, nil
		}
		held := &fileLock{flocks: k, path: path, lock: l}
		if held.file, err = l.Stat(); err == nil && held.Ours() {
			err = held.sign(info)
		} else if err == nil { // its holder removed the file while we opened it
			err = l.Unlock()
			held = nil
		}
		if err != nil {
			_ = l.Unlock() // the first error is what counts
			return nil, err
		}
		if held != nil {
			return held, nil
		}
	}
}

// sign writes who holds the lock.
func (l *fileLock) sign(info LockInfo) error {
	data, err := json.Marshal(info)
	if err != nil {
		return err
	}
	f, err := durable.Open(l.fs, l.path, os.O_WRONLY|os.O_TRUNC, 0)
	if err != nil {
		return err
	}
	_, err = f.Write(append(data, '\n'))
	if err = errors.Join(err, f.Close()); err != nil {
		return &durable.Error{Step: "write", Path: l.path, Err: err}
	}
	return nil
}

func (l *fileLock) Ours() bool {
	now, err := l.fs.Lstat(l.path)
	return err == nil && durable.SameFile(now, l.file)
}

func (l *fileLock) Unlock() error {
	var err error
	if l.Ours() {
		if err = l.fs.Remove(l.path); errors.Is(err, fs.ErrNotExist) {
			err = nil
		}
	}
	return errors.Join(err, l.lock.Unlock())
}

func (k flocks) Holder(path string) (*LockInfo, error) {
	for range lockAttempts {
		data, _, err := durable.Read(k.fs, path, maxLockBytes)
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) {
			return nil, nil // nobody, or nobody whom we may know
		}
		if err != nil {
			return nil, err
		}
		l := flock.New(path, flock.SetFlag(os.O_RDONLY|durable.NoFollow))
		free, err := l.TryRLock()
		if errors.Is(err, fs.ErrNotExist) {
			return nil, nil
		}
		if err != nil {
			return nil, &durable.Error{Step: "lock", Path: path, Err: err}
		}
		if free { // left by a process that died
			return nil, l.Unlock()
		}
		var info LockInfo
		if json.Unmarshal(data, &info) == nil && info.ID != "" {
			return &info, nil
		}
	}
	return &LockInfo{ID: "unknown", Operation: "a command", Who: "somebody"}, nil
}

func (k flocks) Break(path string) error {
	if _, err := durable.Check(k.fs, path); err != nil {
		return err
	}
	if err := k.fs.Remove(path); err != nil {
		return fmt.Errorf("break the lock: %w", &durable.Error{Step: "remove", Path: path, Err: err})
	}
	return nil
}
