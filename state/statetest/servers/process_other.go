//go:build !linux

package servers

import (
	"os/exec"
	"syscall"
)

// dieWithParent does nothing here: the server is stopped when its life ends.
func dieWithParent(*exec.Cmd, syscall.Signal) {}

// unprivileged does nothing here: run the tests as another user than root.
func unprivileged(Life, string, ...*exec.Cmd) {}
