//go:build unix

package canarytest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gofrs/flock"
)

// world is a project with a home, a temporary folder and XDG folders of its
// own, all below one root, and all searched.
type world struct {
	t     *testing.T
	root  string
	sinks *sinks
	log   string            // COFFER_LOG
	env   map[string]string // beyond what every run has
	// planted are the files with values that the test wrote itself, by name,
	// with the sums of all contents they had.
	planted map[string][]string
	// The tool's own credentials; recipient is the public half of identity.
	identity, recipient, fingerprintKey string
}

func newWorld(t *testing.T, s *sinks, log string) *world {
	t.Helper()
	w := &world{t: t, root: t.TempDir(), sinks: s, log: log, env: map[string]string{}, planted: map[string][]string{}}
	for _, dir := range []string{"project/inputs", "home", "tmp", "xdg-config", "xdg-cache", "xdg-data", "xdg-state", "xdg-runtime"} {
		if err := os.MkdirAll(filepath.Join(w.root, dir), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	return w
}

// file returns the path of a file of the project.
func (w *world) file(name string) string { return filepath.Join(w.root, "project", name) }

// write puts a file without values into the project.
func (w *world) write(name, content string) {
	w.t.Helper()
	path := w.file(name)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		w.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) read(name string) []byte {
	w.t.Helper()
	data, err := os.ReadFile(w.file(name))
	if err != nil {
		w.t.Fatal(err)
	}
	return data
}

// plant puts a file with values into the project, to be found in no other.
func (w *world) plant(name string, content []byte) {
	w.t.Helper()
	w.write(name, string(content))
	w.excuse("project/"+name, content)
}

func (w *world) excuse(name string, content []byte) {
	w.planted[name] = append(w.planted[name], sumOf(content))
	w.sinks.forget(name, content)
}

func (w *world) isPlanted(name string, content []byte) bool {
	return slices.Contains(w.planted[name], sumOf(content))
}

// environ is the whole environment of a run. Nothing is inherited.
func (w *world) environ(extra ...string) []string {
	dir := func(name string) string { return filepath.Join(w.root, name) }
	env := []string{
		asProgram + "=1", "PATH=" + os.Getenv("PATH"), "HOME=" + dir("home"), "TMPDIR=" + dir("tmp"),
		"XDG_CONFIG_HOME=" + dir("xdg-config"), "XDG_CACHE_HOME=" + dir("xdg-cache"), "XDG_DATA_HOME=" + dir("xdg-data"),
		"XDG_STATE_HOME=" + dir("xdg-state"), "XDG_RUNTIME_DIR=" + dir("xdg-runtime"), "USER=tester", "GOTRACEBACK=all",
	}
	if w.log != "" {
		env = append(env, "COFFER_LOG="+w.log)
	}
	for name, value := range w.env {
		env = append(env, name+"="+value)
	}
	return append(env, extra...)
}

func (w *world) command(args ...string) *exec.Cmd {
	w.t.Helper()
	self, err := os.Executable()
	if err != nil {
		w.t.Fatal(err)
	}
	cmd := exec.Command(self, args...)
	cmd.Dir = w.file("")
	cmd.Env = w.environ()
	return cmd
}

// Instead of an exit code: any, or any but 0.
const (
	anyCode = -99
	failing = -98
)

// result is how a run ended.
type result struct {
	stdout, stderr []byte
	code           int
}

// run runs a command line that must end with the exit code want, and keeps what
// it printed and every file that is there afterwards.
func (w *world) run(want int, args ...string) result {
	w.t.Helper()
	return w.finish(want, nil, w.command(args...))
}

// give is run with text on stdin.
func (w *world) give(want int, stdin []byte, args ...string) result {
	w.t.Helper()
	cmd := w.command(args...)
	cmd.Stdin = bytes.NewReader(stdin)
	return w.finish(want, nil, cmd)
}

// reveal is run for the one command whose stdout is a value: it returns that
// and does not keep it.
func (w *world) reveal(args ...string) []byte {
	w.t.Helper()
	var value []byte
	w.finish(0, &value, w.command(args...))
	return value
}

func (w *world) finish(want int, reveal *[]byte, cmd *exec.Cmd) result {
	w.t.Helper()
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	r := result{code: exitCode(cmd.Run())}
	r.stdout, r.stderr = out.Bytes(), errs.Bytes()
	w.sinks.ran()
	where := strings.Join(cmd.Args[1:], " ")
	if want == failing && r.code > 0 {
		want = r.code
	}
	if want != r.code && want != anyCode || bytes.Contains(r.stderr, []byte("panic:")) {
		w.t.Fatalf("coffer %s ends with %d, want %d\n%s\n%s", where, r.code, want, r.stdout, r.stderr)
	}
	if reveal != nil {
		*reveal = r.stdout
	} else {
		w.sinks.add("stdout", where, r.stdout)
	}
	w.sinks.add("stderr", where, r.stderr)
	w.tree(where)
	return r
}

func exitCode(err error) int {
	var failed *exec.ExitError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &failed):
		return failed.ExitCode()
	}
	return -2
}

// running is an apply that has been stopped in the middle by somebody else's
// lock.
type running struct {
	*exec.Cmd
	w           *world
	out, errs   bytes.Buffer
	lock        *flock.Flock
	passed      []string
	description string
}

// block starts a command while somebody holds the lock file name, and returns
// when ready says so.
func (w *world) block(name string, ready func() bool, args ...string) *running {
	w.t.Helper()
	path := w.file(name)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		w.t.Fatal(err)
	}
	r := &running{Cmd: w.command(args...), w: w, lock: flock.New(path, flock.SetPermissions(0o600)), description: strings.Join(args, " ")}
	if ok, err := r.lock.TryLock(); err != nil || !ok {
		w.t.Fatalf("lock %s: %v, %v", path, ok, err)
	}
	w.t.Cleanup(func() { _ = r.lock.Close() })
	r.passed = slices.Clone(r.Env)
	r.Stdout, r.Stderr = &r.out, &r.errs
	if err := r.Start(); err != nil {
		w.t.Fatal(err)
	}
	deadline := time.Now().Add(time.Minute)
	for !ready() {
		if time.Now().After(deadline) {
			_ = r.Process.Kill()
			_ = r.Wait()
			w.t.Fatalf("%s does not get that far\n%s", r.description, r.errs.String())
		}
		<-time.After(5 * time.Millisecond)
	}
	w.sinks.ran()
	w.tree(r.description + " under way")
	r.process()
	return r
}

// process keeps the arguments and the environment of the process, without the
// variables that the test itself passes.
func (r *running) process() {
	r.w.t.Helper()
	dir := fmt.Sprintf("/proc/%d/", r.Process.Pid)
	if _, err := os.Stat("/proc/self/environ"); err != nil {
		return // not every system has it
	}
	for _, name := range []string{"cmdline", "environ"} {
		data, err := os.ReadFile(dir + name)
		if err != nil {
			r.w.t.Fatal(err)
		}
		r.w.sinks.add(name, r.description, own(data, r.passed))
	}
}

// own takes out of a NUL-separated list what was passed.
func own(data []byte, passed []string) []byte {
	parts := slices.DeleteFunc(strings.Split(string(data), "\x00"), func(p string) bool { return slices.Contains(passed, p) })
	return []byte(strings.Join(parts, "\x00") + "\x00")
}

// release lets the process go on and waits for its end.
func (r *running) release(want int) result {
	r.w.t.Helper()
	if err := r.lock.Unlock(); err != nil {
		r.w.t.Fatal(err)
	}
	return r.end(want, "stderr")
}

// end waits for the process and keeps what it printed.
func (r *running) end(want int, errSink string) result {
	r.w.t.Helper()
	code := exitCode(r.Wait())
	if code != want {
		r.w.t.Fatalf("coffer %s ends with %d, want %d\n%s", r.description, code, want, r.errs.String())
	}
	r.w.sinks.add("stdout", r.description, r.out.Bytes())
	r.w.sinks.add(errSink, r.description, r.errs.Bytes())
	r.w.tree(r.description)
	return result{r.out.Bytes(), r.errs.Bytes(), code}
}

// contains reports whether a file of the project holds a text.
func (w *world) contains(name, text string) func() bool {
	return func() bool {
		data, err := os.ReadFile(w.file(name))
		return err == nil && bytes.Contains(data, []byte(text))
	}
}

// decode reads the one JSON document of a run.
func decode[T any](t *testing.T, r result) T {
	t.Helper()
	var v T
	if err := json.Unmarshal(r.stdout, &v); err != nil {
		t.Fatalf("%v in %s", err, r.stdout)
	}
	return v
}
