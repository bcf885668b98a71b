package state_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/cofferhq/coffer/internal/durable"
	"github.com/cofferhq/coffer/internal/durable/crashfs"
	"github.com/cofferhq/coffer/state"
	"github.com/cofferhq/coffer/state/statetest"
)

// with returns a disk with these two files; nil is no file.
func with(stateFile, journalFile []byte) *crashfs.FS {
	disk := crashfs.New()
	if stateFile != nil {
		disk.Put(statePath, stateFile)
	}
	if journalFile != nil {
		disk.Put(journalPath, journalFile)
	}
	return disk
}

func read(t *testing.T, disk *crashfs.FS) (*state.Snapshot, error) {
	t.Helper()
	return onDisk(disk, state.MemoryLocks()).Read(t.Context())
}

// Wherever the last line is cut off, it is dropped and the others count;
// an edit anywhere is an error. (An edit of the very last newline is a cut.)
func TestJournalTorn(t *testing.T) {
	stateFile, whole := journal(t)
	lines := bytes.SplitAfter(bytes.TrimSuffix(whole, []byte("\n")), []byte("\n"))
	last := len(whole) - len(lines[len(lines)-1]) - 1
	for n := last; n < len(whole); n++ {
		s, err := read(t, with(stateFile, whole[:n]))
		must(t, err)
		if s.Entries[statetest.At("db")].Pending == nil || s.Entries[statetest.At("api")] == nil {
			t.Fatalf("cut at %d of %d: a line before the last is lost", n, len(whole))
		}
	}
	for i := range whole[:len(whole)-1] {
		damaged := bytes.Clone(whole)
		damaged[i] ^= 0x04
		_, err := read(t, with(stateFile, damaged))
		if e, ok := errors.AsType[*state.JournalError](err); !ok || e.Path != journalPath {
			t.Fatalf("a bit of byte %d flipped: %v", i, err)
		}
	}
	for name, file := range map[string][]byte{
		"a line dropped": slices.Concat(lines[0], lines[2], lines[3], []byte("\n")),
		"lines swapped":  slices.Concat(lines[0], lines[2], lines[1], lines[3], []byte("\n")),
		"a line twice":   slices.Concat(lines[0], lines[1], lines[1], lines[2]),
		"empty":          {},
		"no header":      slices.Concat(lines[1:]...),
	} {
		_, err := read(t, with(stateFile, file))
		if e, ok := errors.AsType[*state.JournalError](err); !ok || !strings.Contains(e.Error(), "mv "+journalPath) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A journal of another state, or of a content that is not there any more, is
// an error with both ways on; what a save left behind is nothing.
func TestJournalOfAnotherState(t *testing.T) {
	stateFile, journalFile := journal(t)
	other, err := state.Decode(stateFile)
	must(t, err)
	other.Serial += 3
	newer := encode(t, other)
	changed := bytes.Replace(stateFile, []byte(`"v1"`), []byte(`"v7"`), 1)
	stranger := state.New("other", state.Lineage("other"))
	for name, c := range map[string]struct {
		state []byte
		says  string
	}{
		"state gone":     {nil, "is now at 0"},
		"pulled":         {newer, "began at serial 1 and the state is now at 4"},
		"edited":         {changed, "worked on another content"},
		"another's":      {encode(t, stranger), `belongs to the state of project "shop-7f3a"`},
		"no journalling": {bytes.Replace(stateFile, []byte("\"serial\": 1"), []byte("\"serial\": 2"), 1), "is now at 2"},
	} {
		disk := with(c.state, journalFile)
		_, err := state.OpenFile(statePath, state.FileOptions{FS: disk, Locks: state.MemoryLocks()}).Read(t.Context())
		e, ok := errors.AsType[*state.JournalError](err)
		if !ok || !strings.Contains(e.Error(), c.says) || !strings.Contains(e.Error(), "mv ") {
			t.Errorf("%s: %v", name, err)
		}
		if now, _ := disk.Content(journalPath); !bytes.Equal(now, journalFile) {
			t.Errorf("%s: the journal was touched", name)
		}
	}
	// git turned the line ends: the same content
	crlf := bytes.ReplaceAll(stateFile, []byte("\n"), []byte("\r\n"))
	if s, err := read(t, with(crlf, journalFile)); err != nil || s.Entries[statetest.At("db")].Version != "v2" {
		t.Errorf("with other line ends: %v", err)
	}
}

func TestJournalNewer(t *testing.T) {
	stateFile, journalFile := journal(t)
	newer := state.SealJournal(bytes.Replace(journalFile, []byte(`"journal":1`), []byte(`"journal":2`), 1))
	_, err := read(t, with(stateFile, newer))
	if e, ok := errors.AsType[*state.NewerError](err); !ok || e.What != "journal" || e.Version != 2 {
		t.Error(err)
	}
	unknown := state.SealJournal(bytes.Replace(journalFile, []byte(`"kind":"entry"`), []byte(`"kind":"surprise"`), 1))
	_, err = read(t, with(stateFile, unknown))
	if e, ok := errors.AsType[*state.JournalError](err); !ok || !strings.Contains(e.Error(), "line 4") || !strings.Contains(e.Error(), "surprise") {
		t.Error(err)
	}
}

// While one commit is being made durable, those that come share the next.
func TestGroupCommit(t *testing.T) {
	const writers = 50
	disk := crashfs.New()
	syncs, first := 0, make(chan struct{})
	release := make(chan struct{})
	file := state.OpenFile(statePath, state.FileOptions{Project: project, FS: disk, Locks: state.MemoryLocks(), At: func(point string) error {
		if point == "append.before-sync" {
			if syncs++; syncs == 1 {
				close(first)
				<-release
			}
		}
		return nil
	}})
	session, err := file.Lock(t.Context(), statetest.Who("apply"))
	must(t, err)
	var all sync.WaitGroup
	add := func(name string) {
		all.Go(func() {
			if err := session.Append(t.Context(), statetest.Outcome(name, "v1")); err != nil {
				t.Error(err)
			}
		})
	}
	add("first")
	<-first
	for i := range writers {
		add("s" + strings.Repeat("x", i))
	}
	for state.Waiting(session) < writers {
		// each one is on its way into the next group
	}
	close(release)
	all.Wait()
	if syncs != 2 {
		t.Errorf("%d appends cost %d syncs, want 2", writers+1, syncs)
	}
	s, err := session.Load(t.Context())
	must(t, err)
	if len(s.Entries) != writers+1 {
		t.Errorf("%d entries", len(s.Entries))
	}
	must(t, session.Unlock(t.Context()))
}

// An apply of a thousand changes, all announced at once and known in two
// groups, costs ten syncs.
func TestApplyCostsAHandfulOfSyncs(t *testing.T) {
	disk := crashfs.New()
	must(t, push(onDisk(disk, state.MemoryLocks()), statetest.Snapshot()))
	syncs := 0
	disk.Fault(func(op crashfs.Op) error {
		if op.Kind == "sync" || op.Kind == "syncdir" {
			syncs++
		}
		return nil
	})
	session, err := onDisk(disk, state.MemoryLocks()).Lock(t.Context(), statetest.Who("apply"))
	must(t, err)
	s, err := session.Load(t.Context())
	must(t, err)
	groups := make([][]state.Record, 3)
	for i := range 1000 {
		name := fmt.Sprintf("s%d", i)
		groups[0] = append(groups[0], statetest.Intent(name, "op-2", ""))
		groups[1+i/500] = append(groups[1+i/500], statetest.Outcome(name, "v1"))
	}
	for _, group := range groups {
		must(t, session.Append(t.Context(), group...))
		apply(t, s, group...)
	}
	must(t, session.Save(t.Context(), s))
	must(t, session.Unlock(t.Context()))
	if want := 2 + len(groups) + 5; syncs != want {
		t.Errorf("%d syncs, want %d", syncs, want)
	}
}

// run makes one apply, and returns what it was told is durable.
func run(file *state.File) (appended, saved bool, err error) {
	ctx := context.Background()
	session, err := file.Lock(ctx, statetest.Who("apply"))
	if err != nil {
		return false, false, err
	}
	defer func() { err = errors.Join(err, session.Unlock(ctx)) }()
	s, err := session.Load(ctx)
	if err != nil {
		return false, false, err
	}
	r := statetest.Outcome("db", "v2")
	if err := session.Append(ctx, r); err != nil {
		return false, false, err
	}
	if err := s.Apply(r); err != nil {
		return true, false, err
	}
	err = session.Save(ctx, s)
	return true, err == nil, err
}

// Whatever call fails, with whatever error: a clear error, nothing lost, and
// once the disk works again the next run goes through.
func TestFaults(t *testing.T) {
	cells := 0
	for _, cause := range []error{syscall.ENOSPC, syscall.EIO, syscall.EROFS, syscall.EMFILE, syscall.EDQUOT} {
		for n := 0; ; n++ {
			disk := crashfs.New()
			must(t, push(onDisk(disk, state.MemoryLocks()), statetest.Snapshot("db")))
			var hit crashfs.Op
			disk.Fault(func(op crashfs.Op) error {
				if op.N == n {
					hit = op
					return cause
				}
				return nil
			})
			appended, saved, err := run(onDisk(disk, state.MemoryLocks()))
			disk.Fault(nil)
			if hit.Kind == "" {
				must(t, err)
				break
			}
			cells++
			if err != nil {
				if !errors.Is(err, cause) || !strings.Contains(err.Error(), durable.Advice(cause)) || !strings.Contains(err.Error(), "dir") {
					t.Errorf("%v at %+v: %v", cause, hit, err)
				}
				_, fatal := errors.AsType[*state.DurabilityError](err)
				if synced := hit.Kind == "sync" || hit.Kind == "syncdir"; synced != fatal {
					t.Errorf("%v at %+v: fatal is %v: %v", cause, hit, fatal, err)
				}
			}
			s, readErr := read(t, disk)
			if readErr != nil {
				t.Fatalf("after %v at %+v: %v", cause, hit, readErr)
			}
			version := s.Entries[statetest.At("db")].Version
			if version != "v1" && version != "v2" || appended && version != "v2" || saved && s.Serial != 2 {
				t.Errorf("after %v at %+v: version %s, serial %d, appended %v, saved %v", cause, hit, version, s.Serial, appended, saved)
			}
			if _, _, err := run(onDisk(disk, state.MemoryLocks())); err != nil {
				t.Errorf("the run after %v at %+v: %v", cause, hit, err)
			}
		}
	}
	t.Logf("%d cells", cells)
	if cells < 200 {
		t.Error("too few calls were hit")
	}
}

func push(store state.Store, s *state.Snapshot) error {
	data, err := state.Encode(s)
	if err != nil {
		return err
	}
	ctx := context.Background()
	session, err := store.Lock(ctx, statetest.Who("state push"))
	if err != nil {
		return err
	}
	_, err = state.Push(ctx, session, project, data)
	return errors.Join(err, session.Unlock(ctx))
}

// Once something could not be made durable the session does nothing more.
func TestDurabilityErrorEndsTheSession(t *testing.T) {
	disk := crashfs.New()
	must(t, push(onDisk(disk, state.MemoryLocks()), statetest.Snapshot("db")))
	session, err := onDisk(disk, state.MemoryLocks()).Lock(t.Context(), statetest.Who("apply"))
	must(t, err)
	s, err := session.Load(t.Context())
	must(t, err)
	must(t, session.Append(t.Context(), statetest.Outcome("db", "v2")))
	disk.Fault(func(op crashfs.Op) error {
		if op.Kind == "sync" {
			return syscall.EIO
		}
		return nil
	})
	for _, err := range []error{
		session.Append(t.Context(), statetest.Outcome("db", "v3")),
		session.Append(t.Context(), statetest.Outcome("db", "v4")),
		session.Save(t.Context(), s),
	} {
		if _, ok := errors.AsType[*state.DurabilityError](err); !ok || !errors.Is(err, syscall.EIO) {
			t.Errorf("%v", err)
		}
	}
	disk.Fault(nil)
	if session.Save(t.Context(), s) == nil {
		t.Error("a second try counts as durable")
	}
	must(t, session.Unlock(t.Context()))
}

// After a write that failed without harm the session goes on.
func TestAppendAfterFullDisk(t *testing.T) {
	disk := crashfs.New()
	must(t, push(onDisk(disk, state.MemoryLocks()), statetest.Snapshot("db")))
	session, err := onDisk(disk, state.MemoryLocks()).Lock(t.Context(), statetest.Who("apply"))
	must(t, err)
	must(t, session.Append(t.Context(), statetest.Outcome("db", "v2")))
	disk.Fault(func(op crashfs.Op) error {
		if op.Kind == "write" {
			return syscall.ENOSPC
		}
		return nil
	})
	if err := session.Append(t.Context(), statetest.Outcome("db", "v3")); !errors.Is(err, syscall.ENOSPC) {
		t.Fatal(err)
	}
	disk.Fault(nil)
	must(t, session.Append(t.Context(), statetest.Outcome("api", "v1")))
	s, err := session.Load(t.Context())
	must(t, err)
	if s.Entries[statetest.At("db")].Version != "v2" || s.Entries[statetest.At("api")] == nil {
		t.Error("what was not appended counts, or what was does not")
	}
	must(t, session.Save(t.Context(), s))
	must(t, session.Unlock(t.Context()))
}
