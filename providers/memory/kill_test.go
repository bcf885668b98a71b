//go:build unix

package memory_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/cofferhq/coffer/providers"
	"github.com/cofferhq/coffer/providers/memory"
)

// childFile and childPoint tell this test binary to be the process that is
// killed, and where.
const (
	childFile  = "MEMORY_TEST_CHILD_FILE"
	childPoint = "MEMORY_TEST_CHILD_POINT"
)

func TestMain(m *testing.M) {
	if name := os.Getenv(childFile); name != "" {
		child(name, os.Getenv(childPoint))
	}
	os.Exit(m.Run())
}

func child(name, stop string) {
	w, err := memory.OpenWorld(name, "w")
	if err != nil {
		os.Exit(1)
	}
	o := memory.Full()
	o.At = func(point string) error {
		if point == stop {
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {}
		}
		return nil
	}
	if err := scenario(context.Background(), memory.New(w, o)); err != nil {
		os.Exit(1)
	}
	os.Exit(0)
}

// A process that is killed leaves exactly the effects that were acknowledged.
func TestKilledProcess(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for point, want := range map[string]string{
		"before inspect a": "nothing", "before write a": "nothing", "after write a": "one", "never": "two",
	} {
		name := filepath.Join(t.TempDir(), "world")
		cmd := exec.Command(self)
		cmd.Env = append(os.Environ(), childFile+"="+name, childPoint+"="+point)
		err := cmd.Run()
		if (err == nil) != (point == "never") {
			t.Errorf("at %q: %v", point, err)
		}
		w, err := memory.OpenWorld(name, "w")
		if err != nil {
			t.Fatal(err)
		}
		if got := shown(w, "a"); got != want {
			t.Errorf("killed at %q: the store has %s, want %s", point, got, want)
		}
		if m, ok := w.Meta("a"); ok && m.OpID == "" || providers.CodeOf(w.Close()) != providers.Unknown {
			t.Errorf("killed at %q: %+v", point, m)
		}
	}
}
