package main

import (
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gofrs/flock"
)

// TestMain lets the tests start this binary as the program.
func TestMain(m *testing.M) {
	if os.Getenv("COFFER_TEST_AS_PROGRAM") == "1" {
		main()
		return
	}
	os.Exit(m.Run())
}

const config = `
coffer {
  project = "p-1"
}
provider "sops" {}
environment "dev" {
  store = sops
}
app "shop" {
  environments = ["dev"]
  secret "key" {
    value = random_uuid()
  }
}
`

// project is a folder with a configuration and a home of its own.
type project struct {
	t   *testing.T
	dir string
}

func newProject(t *testing.T) project {
	t.Helper()
	p := project{t, t.TempDir()}
	if err := os.WriteFile(filepath.Join(p.dir, "coffer.hcl"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := p.command("init").CombinedOutput(); err != nil {
		t.Fatalf("coffer init: %v\n%s", err, out)
	}
	return p
}

func (p project) command(args ...string) *exec.Cmd {
	p.t.Helper()
	self, err := os.Executable()
	if err != nil {
		p.t.Fatal(err)
	}
	cmd := exec.Command(self, args...)
	cmd.Dir = p.dir
	home := filepath.Join(p.dir, "home")
	cmd.Env = []string{"COFFER_TEST_AS_PROGRAM=1", "HOME=" + home, "PATH=" + os.Getenv("PATH")}
	return cmd
}

// hold takes the lock file of somebody else's run.
func (p project) hold(name string) *flock.Flock {
	p.t.Helper()
	path := filepath.Join(p.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		p.t.Fatal(err)
	}
	l := flock.New(path, flock.SetPermissions(0o600))
	if ok, err := l.TryLock(); err != nil || !ok {
		p.t.Fatalf("lock %s: %v, %v", path, ok, err)
	}
	p.t.Cleanup(func() { _ = l.Close() })
	return l
}

// eventually waits until a condition of the file system holds.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !holds(); {
		if time.Now().After(deadline) {
			t.Fatalf("waited a minute until %s", what)
		}
		<-time.After(5 * time.Millisecond)
	}
}

func exitCode(err error) int {
	var failed *exec.ExitError
	if errors.As(err, &failed) {
		return failed.ExitCode()
	}
	return 0
}

// The first signal ends what waits, with nothing done and exit code 130.
func TestFirstSignal(t *testing.T) {
	p := newProject(t)
	p.hold("coffer.state.json.lock")
	cmd := p.command("apply", "-auto-approve", "-lock-timeout", "1h")
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var said bytes.Buffer
	if _, err := io.CopyN(&said, stderr, int64(len("Waiting up to 1h0m0s"))); err != nil {
		t.Fatalf("%v after %q", err, said.String())
	}
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	rest, _ := io.ReadAll(stderr)
	if code := exitCode(cmd.Wait()); code != 130 {
		t.Errorf("exit code %d, want 130; stderr: %s%s", code, said.String(), rest)
	}
	if strings.Contains(string(rest), "panic") {
		t.Errorf("stderr: %s", rest)
	}
}

// A write that has begun is finished after the first signal; the second one
// ends the process at once. The next apply goes on from there.
func TestSecondSignal(t *testing.T) {
	p := newProject(t)
	writing := p.hold("secrets/.coffer.lock")
	cmd := p.command("apply", "-auto-approve")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	journal := filepath.Join(p.dir, "coffer.state.json.journal")
	eventually(t, "the intents are in the journal", func() bool {
		info, err := os.Stat(journal)
		return err == nil && info.Size() > 0
	})
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	// Signals that come at once may be delivered as one, so ask until it ends.
	eventually(t, "the process ends", func() bool {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		return len(ended) > 0
	})
	if code := exitCode(<-ended); code != 130 {
		t.Errorf("exit code %d, want 130", code)
	}
	if err := writing.Unlock(); err != nil {
		t.Fatal(err)
	}
	if out, err := p.command("apply", "-auto-approve").CombinedOutput(); err != nil {
		t.Errorf("apply again: %v\n%s", err, out)
	}
	out, err := p.command("plan", "-detailed-exitcode").CombinedOutput()
	if err != nil || !strings.HasPrefix(string(out), "No changes.") {
		t.Errorf("plan: %v\n%s", err, out)
	}
}
