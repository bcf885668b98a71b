package audit

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/cofferhq/coffer/internal/durable"
	"github.com/cofferhq/coffer/internal/durable/crashfs"
)

// clock ticks a second a record, so that every record is different.
func clock() func() time.Time {
	var mu sync.Mutex
	now := time.Date(2026, 1, 2, 3, 4, 5, 600, time.UTC)
	return func() time.Time {
		mu.Lock()
		defer mu.Unlock()
		now = now.Add(time.Second)
		return now
	}
}

func options() Options {
	return Options{Now: clock(), Project: "shop-1a2b", Who: "alice@laptop", Command: "apply"}
}

func event(i int) Event {
	return Event{
		Action: "write", Address: fmt.Sprintf("app.shop.secret.s%d[\"dev\"]", i), Provider: "sops:secrets", Kind: "secret",
		Path: fmt.Sprintf("dev/shop/s%d", i), Version: "v" + fmt.Sprint(i), Op: fmt.Sprintf("op-%d", i), Note: "why",
	}
}

func mustOpen(t *testing.T, path string) *Log {
	t.Helper()
	l, err := Open(path, options())
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func keep(t *testing.T, l *Log, from, to int) {
	t.Helper()
	for i := from; i < to; i++ {
		if err := l.Record(context.Background(), event(i)); err != nil {
			t.Fatal(err)
		}
	}
}

func verify(t *testing.T, text []byte, opts VerifyOptions) Report {
	t.Helper()
	r, err := Verify(bytes.NewReader(text), opts)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestRecord(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.log")
	l := mustOpen(t, path)
	keep(t, l, 0, 3)
	text := read(t, path)
	lines := strings.SplitAfter(string(text), "\n")
	want := `{"v":1,"seq":2,"time":"2026-01-02T03:04:07.0000006Z","project":"shop-1a2b","op":"op-1","action":"write","address":"app.shop.secret.s1[\"dev\"]",` +
		`"provider":"sops:secrets","kind":"secret","path":"dev/shop/s1","version":"v1","who":"alice@laptop","command":"apply","note":"why","prev":"`
	if len(lines) != 4 || !strings.HasPrefix(lines[1], want) {
		t.Errorf("got\n%s\nwant\n%s", text, want)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	r := verify(t, text, VerifyOptions{})
	if !r.OK() || r.Records != 3 || r.Torn != 0 || r.Crashes != 0 || r.Anchor != l.Anchor() || r.Anchor.Seq != 3 || !r.Last.After(r.First) {
		t.Errorf("report %+v", r)
	}
	// Another run goes on where this one stopped.
	l = mustOpen(t, path)
	if l.Anchor() != r.Anchor {
		t.Errorf("opened at %v, want %v", l.Anchor(), r.Anchor)
	}
	keep(t, l, 3, 5)
	after := read(t, path)
	if r := verify(t, after, VerifyOptions{Anchor: r.Anchor}); !r.OK() || r.Records != 5 || !bytes.HasPrefix(after, text) {
		t.Errorf("report %+v", r)
	}
}

func TestEmptyLog(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.log")
	l := mustOpen(t, path)
	if r := verify(t, read(t, path), VerifyOptions{}); !r.OK() || r.Records != 0 || r.Anchor != (Anchor{}) || l.Anchor() != (Anchor{}) {
		t.Errorf("report %+v", r)
	}
}

func TestCancelled(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.log")
	l := mustOpen(t, path)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := l.Record(ctx, event(0)); !errors.Is(err, context.Canceled) || len(read(t, path)) != 0 {
		t.Errorf("recorded: %v", err)
	}
}

// TestLongAndHostile: whatever the fields hold, a record is one line of at most
// 16 KiB that verifies.
func TestLongAndHostile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.log")
	l := mustOpen(t, path)
	long := map[string]string{
		"ascii": strings.Repeat("x", 1<<20), "quotes": strings.Repeat(`"`, 1<<20), "control": strings.Repeat("\x01", 1<<20), "wide": strings.Repeat("€", 1<<20),
		"invalid": strings.Repeat("\xff", 1<<20), "lines": strings.Repeat("\n", 1<<20), "separators": strings.Repeat("\u2028", 1<<20), "html": strings.Repeat("<", 1<<20),
		"short hostile": "\x1b]0;x\a\r\n{\"seq\":1}\x00\u202e\xc3", "just over": strings.Repeat("y", longest+1), "at the limit": strings.Repeat("z", longest),
	}
	for name, s := range long {
		if err := l.Record(context.Background(), Event{Action: s, Address: s, Provider: s, Kind: s, Path: s, Version: s, Op: s, Note: s}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	text := read(t, path)
	for _, line := range bytes.SplitAfter(text, []byte("\n")) {
		if len(line) > MaxRecord {
			t.Errorf("a line of %d bytes", len(line))
		}
	}
	if r := verify(t, text, VerifyOptions{}); !r.OK() || r.Records != len(long) {
		t.Errorf("report %+v", r)
	}
	if !strings.Contains(string(text), `…(cut 1047552 bytes)"`) || strings.Contains(string(text), "(cut 1 bytes)") || strings.Contains(string(text), "\x1b") {
		t.Error("the mark of a cut is missing, stands where nothing is gained, or a control character came through")
	}
	keep(t, mustOpen(t, path), 0, 1)
}

func TestRefusedFiles(t *testing.T) {
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(os.WriteFile(at("target"), nil, 0o600))
	must(os.Symlink("target", at("symlink")))
	must(os.Symlink("nothing", at("dangling")))
	must(os.WriteFile(at("one"), nil, 0o600))
	must(os.Link(at("one"), at("two")))
	must(syscall.Mkfifo(at("fifo"), 0o600))
	must(os.Mkdir(at("folder"), 0o700))
	for _, name := range []string{"symlink", "dangling", "one", "two", "fifo", "folder"} {
		var kind *durable.KindError
		if _, err := Open(at(name), options()); !errors.As(err, &kind) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, mode := range []fs.FileMode{0o644, 0o640, 0o604, 0o620, 0o660, 0o601, 0o777} {
		name := at(fmt.Sprintf("mode%o", mode))
		must(os.WriteFile(name, nil, 0o600))
		must(os.Chmod(name, mode))
		var loose *ModeError
		if _, err := Open(name, options()); !errors.As(err, &loose) || !strings.Contains(err.Error(), "chmod 600") {
			t.Errorf("mode %o: %v", mode, err)
		}
	}
	for name, content := range map[string]string{"notes": "milk\nbread\n", "json": "{}\n", "one line": "hello", "other log": `{"v":2,"seq":1}` + "\n", "many": strings.Repeat("x\n", 1<<20)} {
		must(os.WriteFile(at(name), []byte(content), 0o600))
		if _, err := Open(at(name), options()); !errors.Is(err, errNoLog) {
			t.Errorf("%s: %v", name, err)
		}
		if got := string(read(t, at(name))); got != content {
			t.Errorf("%s was changed to %q", name, got)
		}
	}
	if _, err := Open(at("no/such/folder/audit.log"), options()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no folder: %v", err)
	}
}

// TestSwappedWhileOpen: each record looks again at what is there.
func TestSwappedWhileOpen(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "audit.log")
	l := mustOpen(t, path)
	keep(t, l, 0, 3)
	text := read(t, path)

	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := l.Record(context.Background(), event(3)); !errors.Is(err, ErrCut) {
		t.Errorf("removed: %v", err)
	}
	if err := os.WriteFile(path, text[:bytes.IndexByte(text, '\n')+1], 0o600); err != nil {
		t.Fatal(err)
	}
	if err := l.Record(context.Background(), event(3)); !errors.Is(err, ErrCut) {
		t.Errorf("cut: %v", err)
	}
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	keep(t, l, 3, 4)
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	var loose *ModeError
	if err := l.Record(context.Background(), event(4)); !errors.As(err, &loose) {
		t.Errorf("loosened: %v", err)
	}
	if r := verify(t, read(t, path), VerifyOptions{}); !r.OK() || r.Records != 4 {
		t.Errorf("report %+v", r)
	}
}

func TestConcurrentRecords(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.log")
	var wg sync.WaitGroup
	const logs, writers, each = 3, 8, 10
	for range logs { // as many processes: they share nothing but the file
		l := mustOpen(t, path)
		for range writers {
			wg.Go(func() {
				for i := range each {
					if err := l.Record(context.Background(), event(i)); err != nil {
						t.Error(err)
					}
				}
			})
		}
	}
	wg.Wait()
	r := verify(t, read(t, path), VerifyOptions{})
	if !r.OK() || r.Records != logs*writers*each || r.Crashes != 0 {
		t.Errorf("report %+v", r)
	}
}

// TestGroupsShareAnFsync counts what concurrent records cost.
func TestGroupsShareAnFsync(t *testing.T) {
	disk := crashfs.New()
	opts := options()
	opts.FS, opts.Lock = disk, noLock
	l, err := Open("/d/audit.log", opts)
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	syncs := 0
	hold := make(chan struct{})
	disk.Fault(func(op crashfs.Op) error {
		if op.Kind != "sync" {
			return nil
		}
		mu.Lock()
		syncs++
		first := syncs == 1
		mu.Unlock()
		if first {
			<-hold
		}
		return nil
	})
	const n = 33
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			if err := l.Record(context.Background(), event(i)); err != nil {
				t.Error(err)
			}
		})
	}
	for waiting := 0; waiting < n-group; { // all others queue up behind the first fsync
		l.mu.Lock()
		waiting = len(l.waiting)
		l.mu.Unlock()
		runtime.Gosched()
	}
	close(hold)
	wg.Wait()
	disk.Fault(nil)
	text, _ := disk.Content("/d/audit.log")
	if r := verify(t, text, VerifyOptions{}); !r.OK() || r.Records != n {
		t.Errorf("report %+v", r)
	}
	if syncs > 5 {
		t.Errorf("%d fsyncs for %d records at once", syncs, n)
	}
}

func noLock(context.Context, string) (func(), error) { return func() {}, nil }

// TestTwoProcesses: a lock that another process holds is waited for, not broken.
func TestTwoProcesses(t *testing.T) {
	if path := os.Getenv("AUDIT_TEST_CHILD"); path != "" {
		keep(t, mustOpen(t, path), 0, 50)
		return
	}
	path := filepath.Join(t.TempDir(), "audit.log")
	var children []*exec.Cmd
	for range 3 {
		child := exec.Command(os.Args[0], "-test.run=^TestTwoProcesses$")
		child.Env = append(os.Environ(), "AUDIT_TEST_CHILD="+path)
		if err := child.Start(); err != nil {
			t.Fatal(err)
		}
		children = append(children, child)
	}
	for _, child := range children {
		if err := child.Wait(); err != nil {
			t.Error(err)
		}
	}
	if r := verify(t, read(t, path), VerifyOptions{}); !r.OK() || r.Records != 150 || r.Crashes != 0 {
		t.Errorf("report %+v", r)
	}
}

func TestLockHeld(t *testing.T) {
	opts := options()
	opts.Lock = func(context.Context, string) (func(), error) { return nil, errors.New("held by bob") }
	if _, err := Open(filepath.Join(t.TempDir(), "audit.log"), opts); err == nil || !strings.Contains(err.Error(), "held by bob") {
		t.Errorf("opened: %v", err)
	}
	path := filepath.Join(t.TempDir(), "audit.log")
	unlock, err := lockFile(context.Background(), path)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	if _, err := lockFile(ctx, path); err == nil || !strings.Contains(err.Error(), "another process holds") {
		t.Errorf("locked twice: %v", err)
	}
	unlock()
	if unlock, err = lockFile(context.Background(), path); err != nil {
		t.Error(err)
	} else {
		unlock()
	}
}

func TestRecordIsJSON(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.log")
	keep(t, mustOpen(t, path), 0, 2)
	for _, line := range bytes.Split(bytes.TrimSpace(read(t, path)), []byte("\n")) {
		var fields map[string]any
		if err := json.Unmarshal(line, &fields); err != nil || len(fields) != 16 {
			t.Errorf("%d fields, %v", len(fields), err)
		}
	}
}
