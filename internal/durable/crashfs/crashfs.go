// Package crashfs is a file system in memory that forgets what was not made
// durable. A test runs something on it, stops it before any step, and looks at
// every content that a real disk could legally have after the power came back.
//
// Read [FS.CrashBefore] and [FS.Survivors] first. The model is POSIX at its
// least friendly: a written byte counts only after fsync of its file, a name
// only after fsync of its folder, unsynced changes of names survive in any
// combination, and an unsynced write may be cut off or leave zeros. A rename
// is atomic.
package crashfs

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/cofferhq/coffer/internal/durable"
)

// ErrCrashed is what every call returns once the machine has stopped.
var ErrCrashed = errors.New("crashfs: the machine has stopped")

// Op is one call that a fault can hit.
type Op struct {
	// Kind is "create", "write", "truncate", "chmod", "sync", "rename",
	// "remove", "syncdir", or of calls that change nothing "open", "read",
	// "readdir".
	Kind string
	Path string
	N    int // calls of any kind before this one
}

// FS is a [durable.FS] in memory, made by [New]. Folders exist by being named.
type FS struct {
	mu      sync.Mutex
	names   map[string]*inode // as a running program sees them
	synced  map[string]*inode // as a crash leaves them at least
	pending []change          // from synced to names
	changes int               // calls that changed something
	calls   int
	crashAt int // 0: never
	crashed bool
	fault   func(Op) error
	temps   int
}

type inode struct {
	data    []byte
	synced  []byte
	pending []write
	mode    fs.FileMode
	changed int // orders modification times
}

// write is an unsynced write, or with nil data a truncation, at an offset.
type write struct {
	at   int
	data []byte
}

// change gives names to files, or with nil takes them away, at one stroke.
type change map[string]*inode

var _ durable.FS = (*FS)(nil)

// New returns an empty file system.
func New() *FS { return &FS{names: map[string]*inode{}, synced: map[string]*inode{}} }

// Put makes a durable file, as if it had always been there.
func (f *FS) Put(path string, data []byte) {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := &inode{data: slices.Clone(data), synced: slices.Clone(data), mode: 0o600}
	f.names[path], f.synced[path] = n, n
}

// Content returns what a running program sees at path.
func (f *FS) Content(path string) ([]byte, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := f.names[path]
	if n == nil {
		return nil, false
	}
	return slices.Clone(n.data), true
}

// Names returns the paths of all files, sorted.
func (f *FS) Names() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	names := make([]string, 0, len(f.names))
	for name := range f.names {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// CrashBefore stops the machine before its n-th change from now, counting from
// 1: that call and all after it return [ErrCrashed].
func (f *FS) CrashBefore(n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.changes, f.crashAt, f.crashed = 0, n, false
}

// Crashed reports whether the machine has stopped.
func (f *FS) Crashed() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.crashed
}

// Fault makes every call that fail returns an error for fail with it; a write
// is then half done. nil ends that.
func (f *FS) Fault(fail func(Op) error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.fault, f.calls = fail, 0
}

// enter is the beginning of every call; mu is held.
func (f *FS) enter(kind, path string, changes bool) error {
	if f.crashed {
		return ErrCrashed
	}
	if changes {
		f.changes++
		if f.crashAt > 0 && f.changes >= f.crashAt {
			f.crashed = true
			return ErrCrashed
		}
	}
	f.calls++
	if f.fault != nil {
		if err := f.fault(Op{Kind: kind, Path: path, N: f.calls - 1}); err != nil {
			return &fs.PathError{Op: kind, Path: path, Err: err}
		}
	}
	return nil
}

func (f *FS) change(c change) {
	for path, n := range c {
		if n == nil {
			delete(f.names, path)
		} else {
			f.names[path] = n
		}
	}
	f.pending = append(f.pending, c)
}

// Lstat implements [durable.FS].
func (f *FS) Lstat(path string) (fs.FileInfo, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.enter("stat", path, false); err != nil {
		return nil, err
	}
	n := f.names[path]
	if n == nil {
		return nil, notExist("lstat", path)
	}
	return n.info(path), nil
}

func notExist(op, path string) error { return &fs.PathError{Op: op, Path: path, Err: fs.ErrNotExist} }

// OpenFile implements [durable.FS].
func (f *FS) OpenFile(path string, flag int, perm fs.FileMode) (durable.File, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := f.names[path]
	if n == nil && flag&os.O_CREATE != 0 {
		if err := f.enter("create", path, true); err != nil {
			return nil, err
		}
		n = &inode{mode: perm}
		f.change(change{path: n})
	} else if err := f.enter("open", path, false); err != nil {
		return nil, err
	}
	if n == nil {
		return nil, notExist("open", path)
	}
	o := &open{fs: f, inode: n, path: path}
	if flag&os.O_TRUNC != 0 && len(n.data) > 0 {
		if err := o.truncate(0); err != nil {
			return nil, err
		}
	}
	return o, nil
}

// CreateTemp implements [durable.FS].
func (f *FS) CreateTemp(dir, pattern string) (durable.File, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.temps++
	i := strings.LastIndex(pattern, "*")
	path := filepath.Join(dir, pattern[:i]+strconv.Itoa(f.temps)+pattern[i+1:])
	if err := f.enter("create", path, true); err != nil {
		return nil, err
	}
	n := &inode{mode: 0o600}
	f.change(change{path: n})
	return &open{fs: f, inode: n, path: path}, nil
}

// Rename implements [durable.FS].
func (f *FS) Rename(from, to string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.enter("rename", to, true); err != nil {
		return err
	}
	n := f.names[from]
	if n == nil {
		return notExist("rename", from)
	}
	f.change(change{from: nil, to: n})
	return nil
}

// Remove implements [durable.FS].
func (f *FS) Remove(path string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.enter("remove", path, true); err != nil {
		return err
	}
	if f.names[path] == nil {
		return notExist("remove", path)
	}
	f.change(change{path: nil})
	return nil
}

// ReadDir implements [durable.FS].
func (f *FS) ReadDir(dir string) ([]string, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.enter("readdir", dir, false); err != nil {
		return nil, err
	}
	var names []string
	for path := range f.names {
		if filepath.Dir(path) == filepath.Clean(dir) {
			names = append(names, filepath.Base(path))
		}
	}
	slices.Sort(names)
	return names, nil
}

// SyncDir implements [durable.FS].
func (f *FS) SyncDir(dir string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.enter("syncdir", dir, true); err != nil {
		return err
	}
	var rest []change
	for _, c := range f.pending {
		here, elsewhere := change{}, change{}
		for path, n := range c {
			if filepath.Dir(path) == filepath.Clean(dir) {
				here[path] = n
			} else {
				elsewhere[path] = n
			}
		}
		apply(f.synced, here)
		if len(elsewhere) > 0 {
			rest = append(rest, elsewhere)
		}
	}
	f.pending = rest
	return nil
}

func apply(names map[string]*inode, c change) {
	for path, n := range c {
		if n == nil {
			delete(names, path)
		} else {
			names[path] = n
		}
	}
}

func (n *inode) info(path string) fs.FileInfo {
	return info{name: filepath.Base(path), size: int64(len(n.data)), mode: n.mode, changed: n.changed, inode: n}
}

type info struct {
	name    string
	size    int64
	mode    fs.FileMode
	changed int
	inode   *inode
}

func (i info) Name() string       { return i.name }
func (i info) Size() int64        { return i.size }
func (i info) Mode() fs.FileMode  { return i.mode }
func (i info) ModTime() time.Time { return time.Unix(int64(i.changed), 0) }
func (i info) IsDir() bool        { return false }
func (i info) Sys() any           { return nil }

// SameFile is what [durable.SameFile] asks.
func (i info) SameFile(other fs.FileInfo) bool {
	o, ok := other.(info)
	return ok && o.inode == i.inode
}
