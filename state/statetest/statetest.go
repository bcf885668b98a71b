// Package statetest is the suite that every state backend passes: what a
// [state.Store] promises, one case per promise, and what is left when the
// machine stops anywhere.
//
// A backend's test calls [Run], and [Crash] where its storage can be a
// crashfs. Read the first cases of [Run]: they are how a store is used.
package statetest

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/cofferhq/coffer/lang/addr"
	"github.com/cofferhq/coffer/state"
)

// Project is the project that stores under test are opened for.
const Project = "shop-7f3a"

// Who is somebody who locks.
func Who(operation string) state.LockInfo {
	return state.LockInfo{
		ID: "lock-of-" + operation, Operation: operation, Who: "alice@laptop", PID: 4242,
		Since: time.Date(2026, 11, 24, 6, 50, 0, 0, time.UTC),
	}
}

// Entry returns an entry of secret name in environment dev with a version.
func Entry(name, version string) *state.Entry {
	return &state.Entry{
		Address:    addr.Secret("checkout", "dev", name),
		Location:   At(name),
		Store:      "sops",
		Role:       state.RolePrimary,
		Version:    version,
		Created:    time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC),
		Generation: 1,
		Class:      state.ClassGenerated,
		Op:         "op-1",
		RotatedAt:  time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC),
		Fields:     map[string]state.Field{"": {Source: "random_password({ length = 32 })"}},
	}
}

// At is the location of Entry(name, …).
func At(name string) addr.Location {
	return addr.Location{Provider: "sops:files", Kind: "secret", Path: "dev/checkout.yaml#" + name}
}

// Intent returns a record that announces a change to Entry(name, version).
func Intent(name, op, base string) state.Record {
	next := Entry(name, "")
	next.Op = op
	return state.Record{Kind: state.RecordIntent, Location: At(name), Intent: &state.Intent{
		Op: op, Action: "create", Base: base, Started: Who("apply").Since, Next: next,
	}}
}

// Outcome returns a record that says what is there now.
func Outcome(name, version string) state.Record {
	return state.Record{Kind: state.RecordEntry, Location: At(name), Entry: Entry(name, version)}
}

// Snapshot returns an unsaved snapshot with entries of these names at version
// "v1".
func Snapshot(names ...string) *state.Snapshot {
	s := state.New(Project, state.Lineage(Project))
	s.Providers["sops"] = "sops:files"
	for _, name := range names {
		e := Entry(name, "v1")
		s.Entries[e.Location] = e
	}
	return s
}

// locked opens a session that ends with the test.
func locked(t *testing.T, store state.Store, operation string) state.Session {
	t.Helper()
	session, err := store.Lock(t.Context(), Who(operation))
	if err != nil {
		t.Fatalf("lock: %v", err)
	}
	t.Cleanup(func() { must(t, session.Unlock(context.Background())) })
	return session
}

// saved makes a state with these entries and returns it.
func saved(t *testing.T, store state.Store, names ...string) *state.Snapshot {
	t.Helper()
	s := Snapshot(names...)
	session, err := store.Lock(t.Context(), Who("apply"))
	must(t, err)
	must(t, session.Save(t.Context(), s))
	must(t, session.Unlock(t.Context()))
	return s
}

// same fails unless got and want have the same content, serial aside.
func same(t *testing.T, got, want *state.Snapshot) {
	t.Helper()
	if g, w := text(got), text(want); g != w {
		t.Fatalf("got\n%s\nwant\n%s", g, w)
	}
}

// text is the content of s without its serial.
func text(s *state.Snapshot) string {
	if s == nil {
		return "nothing"
	}
	c := s.Clone()
	c.Serial = 0
	data, err := state.Encode(c)
	if err != nil {
		return fmt.Sprintf("not encodable: %v", err)
	}
	return string(data)
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
