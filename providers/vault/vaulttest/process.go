package vaulttest

import (
	"os"
	"os/exec"
	"runtime"
)

// process is a running server.
type process struct {
	cmd   *exec.Cmd
	ended chan struct{}
	err   error // how it ended, once ended is closed
}

// startProcess starts the server. The goroutine that starts it keeps its thread
// until it ends, because the kernel kills the child when the thread that made
// it is gone, see [dieWithParent].
func startProcess(binary, config, logFile, home string) (*process, error) {
	out, err := os.OpenFile(logFile, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(binary, "server", "-config="+config)
	cmd.Stdout, cmd.Stderr = out, out
	cmd.Env = []string{"HOME=" + home, "PATH=/usr/bin:/bin"}
	dieWithParent(cmd)
	p := &process{cmd: cmd, ended: make(chan struct{})}
	started := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		defer out.Close()
		err := cmd.Start()
		started <- err
		if err != nil {
			return
		}
		p.err = cmd.Wait()
		close(p.ended)
	}()
	if err := <-started; err != nil {
		return nil, err
	}
	return p, nil
}

// kill ends the process and waits until it is gone.
func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	<-p.ended
}
