package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

// screen is a pseudo-terminal with the program on it.
type screen struct {
	t      *testing.T
	cmd    *exec.Cmd
	master *os.File
	ended  chan error

	mu    sync.Mutex
	shown bytes.Buffer
}

// onTerminal starts the program with all three streams on a terminal.
func (p project) onTerminal(env []string, args ...string) *screen {
	p.t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { _ = master.Close() })
	if err := unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		p.t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	if err != nil {
		p.t.Fatal(err)
	}
	slave, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		p.t.Fatal(err)
	}
	s := &screen{t: p.t, cmd: p.command(args...), master: master, ended: make(chan error, 1)}
	s.cmd.Env = append(s.cmd.Env, env...)
	s.cmd.Stdin, s.cmd.Stdout, s.cmd.Stderr = slave, slave, slave
	if err := s.cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	_ = slave.Close() // the program has its own
	drained := make(chan bool)
	go func() {
		defer close(drained)
		buf := make([]byte, 4096)
		for {
			n, err := master.Read(buf)
			s.mu.Lock()
			s.shown.Write(buf[:n])
			s.mu.Unlock()
			if err != nil { // EIO once nobody has the other end
				return
			}
		}
	}()
	go func() {
		<-drained
		s.ended <- s.cmd.Wait()
	}()
	return s
}

func (s *screen) text() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.shown.String()
}

// answer waits for a question and types.
func (s *screen) answer(question, text string) {
	s.t.Helper()
	eventually(s.t, "it asks "+question, func() bool { return strings.Contains(s.text(), question) })
	if _, err := s.master.WriteString(text); err != nil {
		s.t.Fatal(err)
	}
}

// ends waits for the program and compares its exit code.
func (s *screen) ends(code int) string {
	s.t.Helper()
	if got := exitCode(<-s.ended); got != code {
		s.t.Errorf("exit code %d, want %d; shown:\n%s", got, code, s.text())
	}
	return s.text()
}

func TestTerminalApprove(t *testing.T) {
	p := newProject(t)
	s := p.onTerminal(nil, "apply")
	s.answer(`Only "yes" is taken for yes`, "y\n")
	if shown := s.ends(1); !strings.Contains(shown, "not confirmed; nothing was changed") {
		t.Errorf("shown:\n%s", shown)
	}
	s = p.onTerminal([]string{"TERM=xterm"}, "apply")
	s.answer(`Only "yes" is taken for yes`, "yes\n")
	shown := s.ends(0)
	if !strings.Contains(shown, "Applied: 1 created") || !strings.Contains(shown, "\x1b[32m") {
		t.Errorf("want the result, in colour; shown:\n%q", shown)
	}
	for _, plain := range [][]string{{"NO_COLOR=1"}, {"TERM=dumb"}} {
		if shown := p.onTerminal(plain, "plan").ends(0); strings.Contains(shown, "\x1b") {
			t.Errorf("%v: want no colour; shown:\n%q", plain, shown)
		}
	}
}

// Ctrl-C at a question ends it: nothing is done, and no lock is left.
func TestTerminalInterrupt(t *testing.T) {
	p := newProject(t)
	s := p.onTerminal(nil, "apply")
	s.answer(`Only "yes" is taken for yes`, "")
	if err := s.cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	s.ends(130)
	if _, err := os.Stat(p.dir + "/coffer.state.json.lock"); err == nil {
		t.Error("the lock is still there")
	}
}

// A value that is typed is not shown, and one that is asked for is.
func TestTerminalSecret(t *testing.T) {
	p := newProject(t)
	manual := strings.Replace(config, "random_uuid()", "manual()", 1)
	if err := os.WriteFile(p.dir+"/coffer.hcl", []byte(manual), 0o600); err != nil {
		t.Fatal(err)
	}
	const address, value = `app.shop.secret.key["dev"]`, "correct horse battery"
	s := p.onTerminal(nil, "secret", "set", address)
	s.answer("Value of "+address, "\x03")
	s.ends(130)
	s = p.onTerminal(nil, "secret", "set", address)
	s.answer("Value of "+address, "typo\x15"+value+"x\x7f\r")
	if shown := s.ends(0); strings.Contains(shown, value) {
		t.Errorf("the value is on the screen:\n%s", shown)
	}
	if shown := p.onTerminal(nil, "secret", "get", address).ends(0); !strings.Contains(shown, value) {
		t.Errorf("secret get shows %q", shown)
	}
}
