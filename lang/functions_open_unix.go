//go:build unix

package lang

import (
	"os"
	"syscall"
)

// openFlags never waits for the other end of a pipe.
const openFlags = os.O_RDONLY | syscall.O_NONBLOCK
