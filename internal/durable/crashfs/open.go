package crashfs

import (
	"io"
	"io/fs"
	"slices"
)

// open is an open file. It always appends, which is all that durable files do.
type open struct {
	fs    *FS
	inode *inode
	path  string
	read  int
}

func (o *open) Name() string { return o.path }

func (o *open) Close() error { return nil }

func (o *open) Stat() (fs.FileInfo, error) {
	o.fs.mu.Lock()
	defer o.fs.mu.Unlock()
	if err := o.fs.enter("stat", o.path, false); err != nil {
		return nil, err
	}
	return o.inode.info(o.path), nil
}

func (o *open) Read(p []byte) (int, error) {
	o.fs.mu.Lock()
	defer o.fs.mu.Unlock()
	if err := o.fs.enter("read", o.path, false); err != nil {
		return 0, err
	}
	if o.read >= len(o.inode.data) {
		return 0, io.EOF
	}
	n := copy(p, o.inode.data[o.read:])
	o.read += n
	return n, nil
}

func (o *open) Write(p []byte) (int, error) {
	o.fs.mu.Lock()
	defer o.fs.mu.Unlock()
	err := o.fs.enter("write", o.path, true)
	if err != nil {
		if o.fs.crashed {
			return 0, err
		}
		p = p[:len(p)/2] // the disk was full half way
	}
	if len(p) > 0 {
		o.inode.do(write{at: len(o.inode.data), data: slices.Clone(p)})
		o.touch()
	}
	return len(p), err
}

func (o *open) Truncate(size int64) error {
	o.fs.mu.Lock()
	defer o.fs.mu.Unlock()
	return o.truncate(int(size))
}

func (o *open) truncate(size int) error {
	if err := o.fs.enter("truncate", o.path, true); err != nil {
		return err
	}
	if size != len(o.inode.data) {
		o.inode.do(write{at: size})
		o.touch()
	}
	return nil
}

func (o *open) touch() { o.inode.changed = o.fs.calls }

func (o *open) Chmod(mode fs.FileMode) error {
	o.fs.mu.Lock()
	defer o.fs.mu.Unlock()
	if err := o.fs.enter("chmod", o.path, true); err != nil {
		return err
	}
	o.inode.mode = mode
	return nil
}

func (o *open) Sync() error {
	o.fs.mu.Lock()
	defer o.fs.mu.Unlock()
	if err := o.fs.enter("sync", o.path, true); err != nil {
		return err
	}
	o.inode.synced = slices.Clone(o.inode.data)
	o.inode.pending = nil
	return nil
}

func (n *inode) do(w write) {
	n.data = w.on(n.data)
	n.pending = append(n.pending, w)
}

// on returns data with w done.
func (w write) on(data []byte) []byte {
	end := w.at + len(w.data)
	if w.data == nil {
		data = data[:min(w.at, len(data))]
	}
	out := make([]byte, max(len(data), end))
	copy(out, data)
	copy(out[w.at:], w.data)
	return out
}
