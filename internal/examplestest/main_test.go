//go:build unix

package examplestest

import (
	"bytes"
	"context"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/cofferhq/coffer/internal/cli"
)

const (
	asProgram = "COFFER_EXAMPLES_PROGRAM"
	examples  = "../../examples"
)

// TestMain lets the scripts start this binary as the program.
func TestMain(m *testing.M) {
	if os.Getenv(asProgram) == "1" {
		os.Exit(cli.Main(context.Background(), os.Args, cli.SystemStreams(), cli.SystemEnviron()))
	}
	os.Exit(m.Run())
}

// place is where an example is tried: a home and a folder for temporary files,
// both empty.
type place struct {
	t         *testing.T
	home, tmp string
}

func newPlace(t *testing.T) place {
	t.Helper()
	return place{t, t.TempDir(), t.TempDir()}
}

// environ is the environment of a process here, with nothing of the person's
// who runs the test but the path and Go's caches.
func (p place) environ(more map[string]string) []string {
	p.t.Helper()
	self, err := os.Executable()
	if err != nil {
		p.t.Fatal(err)
	}
	env := map[string]string{
		asProgram: "1", "COFFER": self, "HOME": p.home, "TMPDIR": p.tmp, "PATH": os.Getenv("PATH"), "GOFLAGS": "",
		"SOPS": "no-sops-tool", // not one that happens to be on the path
	}
	for _, name := range []string{"GOCACHE", "GOMODCACHE", "GOPATH", "GOPROXY"} {
		env[name] = goEnv(p.t, name)
	}
	maps.Copy(env, more)
	var list []string
	for _, name := range slices.Sorted(maps.Keys(env)) {
		list = append(list, name+"="+env[name])
	}
	return list
}

func goEnv(t *testing.T, name string) string {
	t.Helper()
	out, err := exec.Command("go", "env", name).Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(out))
}

// run starts a program in dir and returns what it printed on stdout; an exit
// code other than 0 fails the test.
func (p place) run(dir string, more map[string]string, name string, args ...string) string {
	p.t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Dir, cmd.Env = dir, p.environ(more)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		p.t.Fatalf("%s %s: %v\n%s%s", filepath.Base(name), strings.Join(args, " "), err, stdout.String(), stderr.String())
	}
	return stdout.String()
}

// coffer runs the program in dir.
func (p place) coffer(dir string, more map[string]string, args ...string) string {
	p.t.Helper()
	self, err := os.Executable()
	if err != nil {
		p.t.Fatal(err)
	}
	return p.run(dir, more, self, args...)
}

// exampleNames returns every folder below examples.
func exampleNames(t *testing.T) []string {
	t.Helper()
	entries, err := os.ReadDir(examples)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		if e.IsDir() {
			names = append(names, e.Name())
		}
	}
	if len(names) < 2 {
		t.Fatalf("found only the examples %v", names)
	}
	return names
}
