//go:build unix

package state_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/cofferhq/coffer/state"
	"github.com/cofferhq/coffer/state/statetest"
)

// The test binary runs itself as another process when this is set: the role,
// then the path of the state, then the point where to die.
const childRole = "COFFER_STATE_TEST_CHILD"

func TestMain(m *testing.M) {
	if role := os.Getenv(childRole); role != "" {
		if err := child(strings.Split(role, "|")); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

func child(args []string) error {
	role, path, point := args[0], args[1], args[2]
	ctx := context.Background()
	file := state.OpenFile(path, state.FileOptions{Project: project, At: func(p string) error {
		if p == point {
			return syscall.Kill(os.Getpid(), syscall.SIGKILL)
		}
		return nil
	}})
	who := statetest.Who(role)
	who.PID = os.Getpid()
	who.ID = fmt.Sprintf("lock-of-%d", who.PID)
	switch role {
	case "hold": // until stdin ends
		session, err := file.Lock(ctx, who)
		if err != nil {
			return err
		}
		if err := session.Append(ctx, statetest.Intent("db", "op-2", "v1")); err != nil {
			return err
		}
		fmt.Println("locked")
		_, err = io.Copy(io.Discard, os.Stdin)
		broken := session.Append(ctx, statetest.Outcome("db", "v2"))
		fmt.Println(broken)
		return errors.Join(err, session.Unlock(ctx))
	case "count": // one more, many times
		for range 15 {
			if err := countOne(ctx, file, who); err != nil {
				return err
			}
		}
		return nil
	default: // one apply
		return countOne(ctx, file, who)
	}
}

// countOne raises the generation of one entry, as an apply would.
func countOne(ctx context.Context, file *state.File, who state.LockInfo) (err error) {
	session, err := file.Lock(ctx, who)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, session.Unlock(ctx)) }()
	s, err := session.Load(ctx)
	if err != nil {
		return err
	}
	next := s.Entries[statetest.At("db")].Clone()
	next.Generation++
	next.Pending = nil
	r := state.Record{Kind: state.RecordEntry, Location: next.Location, Entry: next}
	if err := session.Append(ctx, statetest.Intent("db", "op-2", "v1")); err != nil {
		return err
	}
	if err := session.Append(ctx, r); err != nil {
		return err
	}
	if err := s.Apply(r); err != nil {
		return err
	}
	return session.Save(ctx, s)
}

func start(t *testing.T, role, path, point string) (*exec.Cmd, io.WriteCloser, *bufio.Reader) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childRole+"="+role+"|"+path+"|"+point)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	must(t, err)
	out, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	return cmd, in, bufio.NewReader(out)
}

func newState(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "coffer.state.json")
	must(t, push(state.OpenFile(path, state.FileOptions{Project: project}), statetest.Snapshot("db")))
	return path
}

// Processes that all count at once lose no count.
func TestProcessesRace(t *testing.T) {
	path := newState(t)
	const processes = 4
	var cmds []*exec.Cmd
	for range processes {
		cmd, _, _ := start(t, "count", path, "")
		cmds = append(cmds, cmd)
	}
	file := state.OpenFile(path, state.FileOptions{Project: project})
	reads := 0
	done := make(chan error, 1)
	go func() {
		var err error
		for _, cmd := range cmds {
			err = errors.Join(err, cmd.Wait())
		}
		done <- err
	}()
	for running := true; running; reads++ { // plans meanwhile
		select {
		case err := <-done:
			must(t, err)
			running = false
		default:
			if _, err := file.Read(t.Context()); err != nil {
				t.Fatalf("a reader beside the applies: %v", err)
			}
		}
	}
	s, err := file.Read(t.Context())
	must(t, err)
	if got := s.Entries[statetest.At("db")].Generation; got != 1+processes*15 || s.Serial != 1+processes*15 {
		t.Errorf("generation %d, serial %d, want %d", got, s.Serial, 1+processes*15)
	}
	t.Logf("%d reads beside %d applies", reads, processes*15)
}

// The lock of a process that is killed goes with it; its journal stays.
func TestHolderIsKilled(t *testing.T) {
	path := newState(t)
	cmd, _, out := start(t, "hold", path, "")
	expectLine(t, out, "locked")
	file := state.OpenFile(path, state.FileOptions{Project: project})
	s, err := file.Read(t.Context())
	must(t, err)
	if s.Holder == nil || s.Holder.PID != cmd.Process.Pid || s.Holder.Who != "alice@laptop" || s.Holder.Operation != "hold" {
		t.Errorf("holder %+v", s.Holder)
	}
	soon, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	_, err = file.Lock(soon, statetest.Who("apply"))
	if e, ok := errors.AsType[*state.LockedError](err); !ok || e.Holder.PID != cmd.Process.Pid {
		t.Errorf("the second process: %v", err)
	}

	waiting := make(chan error, 1)
	go func() { waiting <- countOne(t.Context(), file, statetest.Who("apply")) }()
	must(t, cmd.Process.Kill())
	_ = cmd.Wait() // killed, as wanted
	must(t, <-waiting)
	s, err = file.Read(t.Context())
	must(t, err)
	if s.Holder != nil || s.Serial != 2 {
		t.Errorf("holder %v, serial %d", s.Holder, s.Serial)
	}
	if _, err := os.Lstat(path + ".lock"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a lock is left: %v", err)
	}
}

func expectLine(t *testing.T, out *bufio.Reader, want string) {
	t.Helper()
	line, err := out.ReadString('\n')
	if err != nil || !strings.Contains(line, want) {
		t.Fatalf("the other process says %q, %v; want %q", line, err, want)
	}
}

// A forced break names its lock, keeps the journal and a backup, and whoever
// lost the lock changes nothing more.
func TestBreakLock(t *testing.T) {
	path := newState(t)
	cmd, in, out := start(t, "hold", path, "")
	expectLine(t, out, "locked")
	file := state.OpenFile(path, state.FileOptions{Project: project})
	who := statetest.Who("state unlock")
	if _, err := file.BreakLock(t.Context(), "another", who); err == nil || !strings.Contains(err.Error(), "alice@laptop") {
		t.Errorf("breaking another lock: %v", err)
	}
	holder, err := file.BreakLock(t.Context(), fmt.Sprintf("lock-of-%d", cmd.Process.Pid), who)
	must(t, err)
	if holder.PID != cmd.Process.Pid {
		t.Errorf("broke the lock of %+v", holder)
	}
	must(t, in.Close())
	expectLine(t, out, "no longer ours")
	must(t, cmd.Wait())
	s, err := file.Read(t.Context())
	must(t, err)
	if e := s.Entries[statetest.At("db")]; e.Pending == nil || e.Version != "v1" {
		t.Errorf("entry %+v", e)
	}
	if backups, err := file.Backups(); err != nil || len(backups) != 1 {
		t.Errorf("backups %q, %v", backups, err)
	}
	if _, err := file.BreakLock(t.Context(), holder.ID, who); err == nil || !strings.Contains(err.Error(), "not locked") {
		t.Errorf("breaking nothing: %v", err)
	}
	must(t, countOne(t.Context(), file, who))
}

// SIGKILL at every point of an apply: the state reads as before or after, the
// next apply goes through, and nothing is left lying about.
func TestKilledAtEveryPoint(t *testing.T) {
	killed := 0
	for _, point := range state.Points() {
		path := newState(t)
		must(t, countOne(t.Context(), state.OpenFile(path, state.FileOptions{Project: project}), statetest.Who("apply")))
		cmd, _, _ := start(t, "once", path, point)
		err := cmd.Wait()
		status, ok := cmd.ProcessState.Sys().(syscall.WaitStatus)
		if !ok || !status.Signaled() || status.Signal() != syscall.SIGKILL {
			t.Errorf("%s was not reached: %v", point, err)
			continue
		}
		killed++
		file := state.OpenFile(path, state.FileOptions{Project: project})
		s, err := file.Read(t.Context())
		if err != nil {
			t.Errorf("killed at %s: %v", point, err)
			continue
		}
		before := s.Entries[statetest.At("db")].Generation
		if before != 2 && before != 3 || s.Holder != nil {
			t.Errorf("killed at %s: generation %d, holder %v", point, before, s.Holder)
		}
		must(t, countOne(t.Context(), file, statetest.Who("apply")))
		s, err = file.Read(t.Context())
		must(t, err)
		if got := s.Entries[statetest.At("db")].Generation; got != before+1 || len(s.Pending()) > 0 {
			t.Errorf("killed at %s: generation %d after %d", point, got, before)
		}
		left, err := filepath.Glob(filepath.Join(filepath.Dir(path), "*"))
		must(t, err)
		hidden, err := filepath.Glob(filepath.Join(filepath.Dir(path), ".*"))
		must(t, err)
		for _, name := range append(left, hidden...) {
			if name != path && !strings.HasSuffix(name, ".backup") {
				t.Errorf("killed at %s: %s is left", point, name)
			}
		}
	}
	t.Logf("killed at %d points", killed)
}
