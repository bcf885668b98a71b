package servers

import (
	"os"
	"os/exec"
	"os/user"
	"strconv"
	"syscall"
)

// dieWithParent makes the kernel send the signal to the server when the test
// process ends in whatever way, a panic at the time limit among them.
func dieWithParent(cmd *exec.Cmd, signal syscall.Signal) {
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Setpgid = true
	cmd.SysProcAttr.Pdeathsig = signal
}

// unprivileged gives the folder to the user nobody and makes the commands run as
// that user, where the test runs as root.
func unprivileged(l Life, dir string, cmds ...*exec.Cmd) {
	l.Helper()
	if os.Geteuid() != 0 {
		return
	}
	nobody, err := user.Lookup("nobody")
	must(l, "PostgreSQL does not run as root", err)
	uid, err := strconv.ParseUint(nobody.Uid, 10, 32)
	must(l, "user nobody", err)
	gid, err := strconv.ParseUint(nobody.Gid, 10, 32)
	must(l, "user nobody", err)
	must(l, "folder of PostgreSQL", os.Chown(dir, int(uid), int(gid)))
	for _, cmd := range cmds {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}
	}
}
