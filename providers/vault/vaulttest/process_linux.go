package vaulttest

import (
	"os/exec"
	"syscall"
)

// dieWithParent makes the kernel kill the server when the test process ends in
// whatever way, a panic at the time limit among them.
func dieWithParent(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
