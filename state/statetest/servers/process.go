package servers

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
	"time"
)

// process is a running server.
type process struct {
	name  string
	log   string
	cmd   *exec.Cmd
	ended chan struct{}
	err   error // how it ended, once ended is closed
}

// start starts a server with its files in dir and its output in dir/NAME.log. It
// is killed when l ends; its log is printed when l failed.
func start(l Life, dir, name string, cmd *exec.Cmd) *process {
	l.Helper()
	return startWith(l, dir, name, cmd, syscall.SIGKILL)
}

// startWith is start for a server that wants another signal than SIGKILL.
func startWith(l Life, dir, name string, cmd *exec.Cmd, end syscall.Signal) *process {
	l.Helper()
	p := &process{name: name, log: filepath.Join(dir, name+".log"), cmd: cmd, ended: make(chan struct{})}
	_, err := os.Stat(p.log)
	first := err != nil // of the processes that write this log
	out, err := os.OpenFile(p.log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	must(l, name, err)
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, out, out
	cmd.Env = append(cmd.Env, "HOME="+dir, "PATH="+os.Getenv("PATH"))
	dieWithParent(cmd, end)
	started := make(chan error, 1)
	// The goroutine that starts the server keeps its thread until the server
	// ends: the kernel stops the child when the thread that made it is gone.
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
	must(l, name, <-started)
	l.Cleanup(func() {
		p.stop(end)
		if first && l.Failed() {
			l.Logf("%s", tail(p.log, 40))
		}
	})
	return p
}

// stop sends a signal and waits until the server is gone; one that outlives the
// deadline is killed. A server that ended already is left alone.
func (p *process) stop(signal os.Signal) {
	select {
	case <-p.ended:
		return
	default:
	}
	_ = p.cmd.Process.Signal(signal)
	select {
	case <-p.ended:
	case <-time.After(deadline):
		_ = p.cmd.Process.Kill()
		<-p.ended
	}
}

// await asks until done, again and again in short steps, while the server runs.
func (p *process) await(l Life, what string, done func() error) {
	l.Helper()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	end := time.After(deadline)
	for {
		err := done()
		if err == nil {
			return
		}
		select {
		case <-p.ended:
			l.Fatalf("%s ended: %v\n%s", p.name, p.err, tail(p.log, 40))
		case <-end:
			l.Fatalf("%s: waited %v until %s: %v\n%s", p.name, deadline, what, err, tail(p.log, 40))
		case <-tick.C:
		}
	}
}

// run runs a command to its end.
func run(l Life, dir, name string, cmd *exec.Cmd) {
	l.Helper()
	p := start(l, dir, name, cmd)
	select {
	case <-p.ended:
		if p.err != nil {
			l.Fatalf("%s: %v\n%s", name, p.err, tail(p.log, 40))
		}
	case <-time.After(deadline):
		l.Fatalf("%s: still running after %v\n%s", name, deadline, tail(p.log, 40))
	}
}

func local(scheme string, port int) string { return fmt.Sprintf("%s://127.0.0.1:%d", scheme, port) }
