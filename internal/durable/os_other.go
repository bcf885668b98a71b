//go:build !unix

package durable

import "io/fs"

// Windows has neither the flags nor a folder that can be synced; a link is
// still seen by Lstat before and after opening.
const (
	// NoFollow are the flags that keep an open from following a symbolic link;
	// there are none.
	NoFollow     = 0
	syncsFolders = false
)

func links(fs.FileInfo) uint64 { return 1 }

// Foreign is not told on this system.
func Foreign(fs.FileInfo) bool { return false }
