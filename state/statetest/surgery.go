package statetest

import (
	"errors"
	"strings"
	"testing"

	"github.com/cofferhq/coffer/lang/addr"
	"github.com/cofferhq/coffer/state"
)

func runSurgery(t *testing.T, place func(t *testing.T) (open func() state.Store)) {
	t.Run("an edit is saved or nothing is", func(t *testing.T) { edit(t, place(t)) })
	t.Run("pull and push", func(t *testing.T) { pullAndPush(t, place(t)) })
	t.Run("push refuses", func(t *testing.T) { pushRefuses(t, place(t)) })
	t.Run("push makes the first state", func(t *testing.T) { pushFirst(t, place(t)) })
}

func edit(t *testing.T, open func() state.Store) {
	want := saved(t, open(), "db", "api")
	stop := errors.New("stop")
	err := state.Edit(t.Context(), open(), Who("state rm"), func(s *state.Snapshot) error {
		clear(s.Entries)
		return stop
	})
	if !errors.Is(err, stop) {
		t.Errorf("%v", err)
	}
	got, err := open().Read(t.Context())
	must(t, err)
	same(t, got, want)
	must(t, state.Edit(t.Context(), open(), Who("state rm"), func(s *state.Snapshot) error {
		removed, err := s.Remove(addr.Secret("checkout", "dev", "api"))
		if err == nil && len(removed) != 1 {
			t.Errorf("removed %d", len(removed))
		}
		return err
	}))
	got, err = open().Read(t.Context())
	must(t, err)
	same(t, got, Snapshot("db"))
}

func pullAndPush(t *testing.T, open func() state.Store) {
	saved(t, open(), "db", "api")
	data, err := state.Pull(t.Context(), open())
	must(t, err)
	edited, err := state.Decode(data)
	must(t, err)
	delete(edited.Entries, At("api"))
	data, err = state.Encode(edited)
	must(t, err)
	pushed, err := state.Push(t.Context(), locked(t, open(), "state push"), Project, data)
	must(t, err)
	got, err := open().Read(t.Context())
	must(t, err)
	same(t, got, Snapshot("db"))
	if pushed.Serial != 2 || got.Serial != 2 {
		t.Errorf("serials %d and %d", pushed.Serial, got.Serial)
	}
}

func pushRefuses(t *testing.T, open func() state.Store) {
	want := saved(t, open(), "db")
	open1 := Snapshot("db")
	open1.Serial = 1
	must(t, open1.Apply(Intent("db", "op-2", "v1")))
	old := Snapshot()
	lineage := state.New(Project, "another lineage")
	lineage.Serial = 5
	for name, s := range map[string]*state.Snapshot{
		"serial":  old,
		"project": state.New("other", state.Lineage("other")),
		"lineage": lineage,
		"intent":  open1,
	} {
		data, err := state.Encode(s)
		must(t, err)
		session := locked(t, open(), "state push")
		if _, err := state.Push(t.Context(), session, Project, data); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
		must(t, session.Unlock(t.Context()))
	}
	session := locked(t, open(), "state push")
	must(t, session.Append(t.Context(), Intent("db", "op-2", "v1")))
	good := Snapshot("db")
	good.Serial = 5
	data, err := state.Encode(good)
	must(t, err)
	if _, err := state.Push(t.Context(), session, Project, data); err == nil || !strings.Contains(err.Error(), "open intent") {
		t.Errorf("onto an open intent: %v", err)
	}
	must(t, session.Append(t.Context(), state.Record{Kind: state.RecordRefused, Location: At("db")}))
	got, err := open().Read(t.Context())
	must(t, err)
	same(t, got, want)
}

func pushFirst(t *testing.T, open func() state.Store) {
	data, err := state.Encode(Snapshot("db"))
	must(t, err)
	_, err = state.Push(t.Context(), locked(t, open(), "state push"), Project, data)
	must(t, err)
	got, err := open().Read(t.Context())
	must(t, err)
	same(t, got, Snapshot("db"))
}
