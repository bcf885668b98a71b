//go:build unix

package durable

import (
	"io/fs"
	"os"
	"syscall"
)

const (
	// NoFollow are the flags that keep an open from following a symbolic link
	// or waiting for a FIFO.
	NoFollow     = syscall.O_NOFOLLOW | syscall.O_NONBLOCK | syscall.O_CLOEXEC
	syncsFolders = true
)

func links(info fs.FileInfo) uint64 {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return uint64(st.Nlink)
	}
	return 1
}

// Foreign reports whether the file belongs to a user who is neither root nor
// the one that runs this.
func Foreign(info fs.FileInfo) bool {
	st, ok := info.Sys().(*syscall.Stat_t)
	return ok && st.Uid != 0 && int(st.Uid) != os.Geteuid()
}
