package statetest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cofferhq/coffer/lang/addr"
	"github.com/cofferhq/coffer/state"
)

// Run checks a backend. place makes an empty place and returns how to open a
// store of project [Project] there, each time as another process would.
func Run(t *testing.T, place func(t *testing.T) (open func() state.Store)) {
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) { c.check(t, place(t)) })
	}
	t.Run("surgery", func(t *testing.T) { runSurgery(t, place) })
}

var cases = []struct {
	name  string
	check func(t *testing.T, open func() state.Store)
}{
	{"nothing yet", nothingYet},
	{"save and read back", saveAndRead},
	{"a journal is replayed", journalReplayed},
	{"the first apply is interrupted", firstApplyInterrupted},
	{"an unfinished intent outlives the save", intentOutlivesSave},
	{"concurrent appends all count", concurrentAppends},
	{"one holder at a time", oneHolder},
	{"a reader sees who applies", readerSeesHolder},
	{"an old snapshot replaces no newer one", noLostUpdate},
	{"a cancelled context changes nothing", cancelled},
	{"after unlock nothing works", afterUnlock},
	{"a malformed record is refused", malformed},
	{"another project is refused", otherProject},
	{"what cannot be read back is not saved", unreadable},
}

func nothingYet(t *testing.T, open func() state.Store) {
	if _, err := open().Read(t.Context()); !errors.Is(err, state.ErrNotExist) {
		t.Errorf("read: %v", err)
	}
	if _, err := locked(t, open(), "apply").Load(t.Context()); !errors.Is(err, state.ErrNotExist) {
		t.Errorf("load: %v", err)
	}
}

func saveAndRead(t *testing.T, open func() state.Store) {
	s := saved(t, open(), "db", "api")
	if s.Serial != 1 {
		t.Errorf("the first serial is %d", s.Serial)
	}
	got, err := open().Read(t.Context())
	must(t, err)
	same(t, got, s)
	if got.Serial != 1 || got.Holder != nil {
		t.Errorf("serial %d, holder %v", got.Serial, got.Holder)
	}
	session := locked(t, open(), "apply")
	got, err = session.Load(t.Context())
	must(t, err)
	delete(got.Entries, At("api"))
	must(t, session.Save(t.Context(), got))
	must(t, session.Save(t.Context(), got)) // says nothing new, so nothing is saved
	again, err := open().Read(t.Context())
	must(t, err)
	same(t, again, Snapshot("db"))
	if got.Serial != 2 || again.Serial != 2 {
		t.Errorf("serials %d and %d, want 2", got.Serial, again.Serial)
	}
}

func journalReplayed(t *testing.T, open func() state.Store) {
	saved(t, open(), "db", "old", "kept")
	session := locked(t, open(), "apply")
	must(t, session.Append(t.Context(), Intent("db", "op-2", "v1"), Intent("new", "op-2", ""), Intent("never", "op-2", "")))
	must(t, session.Append(t.Context(), Outcome("new", "v7")))
	must(t, session.Append(t.Context(), state.Record{Kind: state.RecordDrop, Location: At("old")},
		state.Record{Kind: state.RecordRefused, Location: At("never")}))
	must(t, session.Unlock(t.Context()))

	want := Snapshot("db", "kept")
	want.Entries[At("new")] = Entry("new", "v7")
	want.Entries[At("db")].Pending = Intent("db", "op-2", "v1").Intent
	got, err := open().Read(t.Context())
	must(t, err)
	same(t, got, want)

	session = locked(t, open(), "apply")
	got, err = session.Load(t.Context())
	must(t, err)
	same(t, got, want)
	must(t, session.Append(t.Context(), Outcome("db", "v2")))
	got, err = session.Load(t.Context())
	must(t, err)
	want.Entries[At("db")] = Entry("db", "v2")
	same(t, got, want)
	must(t, session.Save(t.Context(), got))
	got, err = open().Read(t.Context())
	must(t, err)
	same(t, got, want)
	if got.Serial != 2 {
		t.Errorf("serial %d, want 2", got.Serial)
	}
}

func firstApplyInterrupted(t *testing.T, open func() state.Store) {
	session := locked(t, open(), "apply")
	must(t, session.Append(t.Context(), Intent("db", "op-1", "")))
	must(t, session.Unlock(t.Context()))
	got, err := open().Read(t.Context())
	must(t, err)
	if got.Project != Project || got.Lineage != state.Lineage(Project) || got.Serial != 0 {
		t.Errorf("project %q, lineage %q, serial %d", got.Project, got.Lineage, got.Serial)
	}
	e := got.Entries[At("db")]
	if e == nil || e.Pending == nil || e.Version != "" || e.Address != Entry("db", "").Address {
		t.Fatalf("entry %+v", e)
	}
	session = locked(t, open(), "apply")
	got, err = session.Load(t.Context())
	must(t, err)
	must(t, session.Save(t.Context(), got))
	again, err := open().Read(t.Context())
	must(t, err)
	same(t, again, got)
}

func intentOutlivesSave(t *testing.T, open func() state.Store) {
	saved(t, open(), "db")
	session := locked(t, open(), "apply")
	s, err := session.Load(t.Context())
	must(t, err)
	r := Intent("db", "op-2", "v1")
	must(t, session.Append(t.Context(), r))
	must(t, s.Apply(r))
	must(t, session.Save(t.Context(), s))
	got, err := open().Read(t.Context())
	must(t, err)
	same(t, got, s)
	if got.Entries[At("db")].Pending == nil {
		t.Error("the intent is gone")
	}
}

func concurrentAppends(t *testing.T, open func() state.Store) {
	saved(t, open())
	session := locked(t, open(), "apply")
	const writers, each = 8, 5
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for i := range each {
				if err := session.Append(t.Context(), Outcome(fmt.Sprintf("s%d-%d", w, i), "v1")); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	got, err := open().Read(t.Context())
	must(t, err)
	if len(got.Entries) != writers*each {
		t.Errorf("%d entries, want %d", len(got.Entries), writers*each)
	}
}

func oneHolder(t *testing.T, open func() state.Store) {
	first, err := open().Lock(t.Context(), Who("apply"))
	must(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err = open().Lock(ctx, Who("import"))
	locked, ok := errors.AsType[*state.LockedError](err)
	if !ok || locked.Holder != Who("apply") {
		t.Fatalf("the second lock: %v", err)
	}
	for _, want := range []string{"alice@laptop", "apply", "4242", "2026-11-24T06:50:00Z", "-lock-timeout"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q does not say %q", err, want)
		}
	}
	stopped, stop := context.WithCancel(t.Context())
	stop()
	if _, err := open().Lock(stopped, Who("import")); !errors.Is(err, context.Canceled) {
		t.Errorf("a cancelled wait: %v", err)
	}
	got := make(chan error, 1)
	go func() {
		s, err := open().Lock(t.Context(), Who("import"))
		if err == nil {
			err = s.Unlock(t.Context())
		}
		got <- err
	}()
	must(t, first.Unlock(t.Context()))
	must(t, <-got)
}

func readerSeesHolder(t *testing.T, open func() state.Store) {
	saved(t, open(), "db")
	session := locked(t, open(), "apply")
	must(t, session.Append(t.Context(), Intent("db", "op-2", "v1")))
	got, err := open().Read(t.Context())
	must(t, err)
	if got.Holder == nil || *got.Holder != Who("apply") {
		t.Errorf("holder %v", got.Holder)
	}
	if got.Entries[At("db")].Pending == nil {
		t.Error("the running apply's intent is not seen")
	}
	must(t, session.Unlock(t.Context()))
	got, err = open().Read(t.Context())
	must(t, err)
	if got.Holder != nil {
		t.Errorf("still held by %v", got.Holder)
	}
}

func noLostUpdate(t *testing.T, open func() state.Store) {
	saved(t, open(), "db")
	stale, err := open().Read(t.Context())
	must(t, err)
	session := locked(t, open(), "apply")
	fresh, err := session.Load(t.Context())
	must(t, err)
	fresh.Entries[At("api")] = Entry("api", "v1")
	must(t, session.Save(t.Context(), fresh))
	if err := session.Save(t.Context(), stale); err == nil {
		t.Error("an old snapshot replaced a newer one")
	}
	other := state.New(Project, "another lineage")
	other.Serial = 9
	if _, ok := errors.AsType[*state.LineageError](session.Save(t.Context(), other)); !ok {
		t.Error("another lineage replaced the state")
	}
	got, err := open().Read(t.Context())
	must(t, err)
	same(t, got, fresh)
}

func cancelled(t *testing.T, open func() state.Store) {
	want := saved(t, open(), "db")
	session := locked(t, open(), "apply")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	changed := Snapshot("api")
	changed.Serial = 1
	for name, err := range map[string]error{
		"append": session.Append(ctx, Outcome("api", "v1")),
		"save":   session.Save(ctx, changed),
	} {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := session.Load(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("load: %v", err)
	}
	if _, err := open().Read(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("read: %v", err)
	}
	got, err := open().Read(t.Context())
	must(t, err)
	same(t, got, want)
}

func afterUnlock(t *testing.T, open func() state.Store) {
	want := saved(t, open(), "db")
	session := locked(t, open(), "apply")
	must(t, session.Unlock(t.Context()))
	must(t, session.Unlock(t.Context()))
	changed := Snapshot()
	changed.Serial = 1
	if session.Append(t.Context(), Outcome("api", "v1")) == nil || session.Save(t.Context(), changed) == nil {
		t.Error("a session without its lock wrote")
	}
	got, err := open().Read(t.Context())
	must(t, err)
	same(t, got, want)
}

func malformed(t *testing.T, open func() state.Store) {
	want := saved(t, open(), "db")
	session := locked(t, open(), "apply")
	misplaced := Outcome("db", "v2")
	misplaced.Location = At("api")
	for _, r := range []state.Record{
		{},
		{Kind: "surprise", Location: At("db")},
		{Kind: state.RecordIntent, Location: At("db")},
		{Kind: state.RecordEntry, Location: At("db")},
		{Kind: state.RecordDrop},
		{Kind: state.RecordPromise, Versions: map[string]string{"a": "1"}},
		misplaced,
	} {
		if session.Append(t.Context(), Outcome("good", "v1"), r) == nil {
			t.Errorf("%+v was taken", r)
		}
	}
	got, err := open().Read(t.Context())
	must(t, err)
	same(t, got, want)
}

func otherProject(t *testing.T, open func() state.Store) {
	session := locked(t, open(), "apply")
	must(t, session.Save(t.Context(), state.New("other", state.Lineage("other"))))
	must(t, session.Unlock(t.Context()))
	_, err := open().Read(t.Context())
	e, ok := errors.AsType[*state.ProjectError](err)
	if !ok || e.Got != "other" || e.Want != Project {
		t.Errorf("read: %v", err)
	}
	_, err = locked(t, open(), "apply").Load(t.Context())
	if _, ok := errors.AsType[*state.ProjectError](err); !ok {
		t.Errorf("load: %v", err)
	}
}

func unreadable(t *testing.T, open func() state.Store) {
	want := saved(t, open(), "db")
	session := locked(t, open(), "apply")
	for name, spoil := range map[string]func(*state.Entry){
		"address":  func(e *state.Entry) { e.Address = addr.Address{} },
		"name":     func(e *state.Entry) { e.Address.Name = "No Name" },
		"role":     func(e *state.Entry) { e.Role = "boss" },
		"UTF-8":    func(e *state.Entry) { e.Version = "\xff" },
		"location": func(e *state.Entry) { e.Location.Path = "../../etc/passwd" },
	} {
		s := Snapshot("api")
		s.Serial = 1
		spoil(s.Entries[At("api")])
		if session.Save(t.Context(), s) == nil {
			t.Errorf("%s: saved", name)
		}
	}
	got, err := open().Read(t.Context())
	must(t, err)
	same(t, got, want)
}
