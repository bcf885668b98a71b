//go:build servers

package postgres

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cofferhq/coffer/lang/addr"
	"github.com/cofferhq/coffer/state"
	"github.com/cofferhq/coffer/state/remote"
	"github.com/cofferhq/coffer/state/statetest"
)

func TestOverPostgreSQL(t *testing.T) {
	s := startServer(t)
	t.Run("blobs", func(t *testing.T) {
		statetest.Blobs(t, func(t *testing.T) func() remote.Blobs {
			_, c := s.place()
			return func() remote.Blobs { return open(t, c) }
		})
	})
	t.Run("state", func(t *testing.T) {
		statetest.Run(t, func(t *testing.T) func() state.Store {
			_, c := s.place()
			return func() state.Store {
				return remote.New(open(t, c), remote.Options{Project: statetest.Project, Now: time.Now, Random: rand.Reader})
			}
		})
	})
	for _, c := range []struct {
		name  string
		check func(*testing.T, *server)
	}{
		{"init finds every condition enforced", checkProve},
		{"a state is one row for each entry", checkRows},
		{"encrypted and not, in turn", checkTurns},
		{"history", checkHistory},
		{"rows that were edited are not a state", checkEdited},
		{"the least rights do", checkRights},
		{"who may not is told what to do", checkDenied},
		{"one grip", checkGrip},
		{"a grip is gone with its connection", checkGripLost},
		{"a write is durable where the database is told not to be", checkDurable},
		{"connections that the server ended are not used", checkEnded},
		{"writers that wait for each other", checkWaiting},
		{"a pooler in between", checkPooler},
		{"a database of another encoding", checkEncoding},
		{"a standby is not asked", checkStandby},
	} {
		t.Run(c.name, func(t *testing.T) { c.check(t, s) })
	}
}

func checkProve(t *testing.T, s *server) {
	_, c := s.place()
	checks, err := remote.Prove(t.Context(), open(t, c), "1a")
	if err != nil || len(checks) < 5 {
		t.Fatalf("%v %v", checks, err)
	}
	for _, check := range checks {
		if !check.Held {
			t.Errorf("%+v", check)
		}
	}
}

// someState is a state of n entries with a serial.
func someState(t testing.TB, n int, serial uint64, change func(*state.Snapshot)) []byte {
	t.Helper()
	s := state.New(statetest.Project, strings.Repeat("ab", 16))
	s.Serial = serial
	s.Providers["sops"] = "sops:files"
	for i := range n {
		e := statetest.Entry(fmt.Sprintf("db_%d", i), fmt.Sprintf("v%d", i))
		e.Description = "ü \"quoted\"\n\u2028 \x01 <&>"
		s.Entries[e.Location] = e
	}
	if change != nil {
		change(s)
	}
	data, err := state.Encode(s)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func put(t testing.TB, b remote.Blobs, data []byte, match string) string {
	t.Helper()
	tag, err := b.Put(t.Context(), remote.StateBlob, data, match)
	if err != nil {
		t.Fatal(err)
	}
	got, err := b.Get(t.Context(), remote.StateBlob)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got.Data, data) || got.Tag != tag {
		t.Fatalf("%d bytes came back as %d, or another tag", len(data), len(got.Data))
	}
	return tag
}

func checkRows(t *testing.T, s *server) {
	schema, c := s.place()
	b := open(t, c)
	from := quote(schema) + ".entries WHERE state = 'team/shop'"
	tag := put(t, b, someState(t, 50, 1, nil), "")
	if n := s.count(t, "SELECT count(*) FROM "+from); n != "50" {
		t.Fatalf("%s rows", n)
	}
	if v := s.count(t, "SELECT version || (entry->>'role') FROM "+from+" AND path = 'dev/checkout.yaml#db_7'"); v != "v7primary" {
		t.Errorf("the row says %q", v)
	}
	put(t, b, someState(t, 51, 2, func(s *state.Snapshot) {
		s.Entries[statetest.At("db_7")].Version = "new"
		delete(s.Entries, statetest.At("db_9"))
	}), tag)
	for query, want := range map[string]string{
		"SELECT count(*) FROM " + from:                                                                 "50",
		"SELECT count(*) FROM " + from + " AND since = 1":                                              "48",
		"SELECT string_agg(path, ' ' ORDER BY path) FROM " + from + " AND since = 2":                   "dev/checkout.yaml#db_50 dev/checkout.yaml#db_7",
		"SELECT string_agg(version, ' ' ORDER BY version) FROM " + quote(schema) + ".replaced_entries": "v7 v9",
	} {
		if got := s.count(t, query); got != want {
			t.Errorf("%s: %s, want %s", query, got, want)
		}
	}
}

func checkTurns(t *testing.T, s *server) {
	schema, c := s.place()
	b := open(t, c)
	twice := bytes.Replace(someState(t, 3, 1, nil), []byte("db_2"), []byte("db_1"), -1)
	tag := ""
	for i, data := range [][]byte{
		someState(t, 3, 1, nil), []byte("age-encryption.org/v1\n\x00\xff"), someState(t, 0, 2, nil),
		{},
		someState(t, 4, 3, nil), twice, someState(t, 4, 3, nil)[:400], someState(t, 2, 5, nil),
		// paths that no index would hold
		someState(t, 1, 6, func(s *state.Snapshot) {
			e := statetest.Entry("long", "v")
			e.Address = addr.Secret("checkout", "dev", "long")
			e.Location.Path = strings.Repeat("ä/", 1300)
			s.Entries[e.Location] = e
		}),
	} {
		tag = put(t, b, data, tag)
		if want := map[int]string{0: "3", 4: "4", 7: "2", 8: "2"}[i]; want != "" {
			if n := s.count(t, "SELECT count(*) FROM "+quote(schema)+".entries"); n != want {
				t.Errorf("content %d: %s rows, want %s", i, n, want)
			}
		}
	}
}

func checkHistory(t *testing.T, s *server) {
	_, c := s.place()
	b := open(t, c)
	h := b.(remote.Historian)
	if list, err := h.History(t.Context(), remote.StateBlob); err != nil || len(list) != 0 {
		t.Fatalf("before anything: %v %v", list, err)
	}
	var wrote [][]byte
	tag := ""
	for i := range kept + 5 {
		data := fmt.Append(nil, "encrypted ", i)
		if i%3 != 0 {
			data = someState(t, 3+i%4, uint64(i+1), func(s *state.Snapshot) { s.Entries[statetest.At("db_1")].Version = fmt.Sprint(i / 2) })
		}
		tag = put(t, b, data, tag)
		wrote = append(wrote, data)
	}
	list, err := h.History(t.Context(), remote.StateBlob)
	if err != nil || len(list) != kept+1 || !list[0].Latest || list[1].Latest {
		t.Fatalf("%+v %v", list, err)
	}
	slices.Reverse(wrote)
	for i, v := range list {
		got, err := h.GetVersion(t.Context(), remote.StateBlob, v.ID)
		if err != nil || !bytes.Equal(got, wrote[i]) || v.Bytes != int64(len(wrote[i])) || time.Since(v.Written) > time.Minute {
			t.Errorf("%+v: %d bytes, %v, want %d", v, len(got), err, len(wrote[i]))
		}
	}
	for _, id := range []string{"1", "0", "999", "x", ""} {
		if _, err := h.GetVersion(t.Context(), remote.StateBlob, id); !errors.Is(err, remote.ErrNotFound) {
			t.Errorf("version %q: %v", id, err)
		}
	}
	if n := s.count(t, "SELECT count(*) FROM "+quote(c.Schema)+".replaced_entries WHERE until <= 5"); n != "0" {
		t.Errorf("%s rows are left of what is forgotten", n)
	}
}

func checkEdited(t *testing.T, s *server) {
	for _, edit := range []string{
		"UPDATE {s}.entries SET entry = '{}' WHERE version = 'v1'", "DELETE FROM {s}.entries WHERE version = 'v1'",
		"UPDATE {s}.entries SET address = '?'", "UPDATE {s}.blobs SET sum = NULL", "DROP TABLE {s}.entries", " DROP TABLE {s}.entries",
		"UPDATE {s}.blobs SET body = 'x'",
	} {
		_, c := s.place()
		b := open(t, c)
		tag := put(t, b, someState(t, 3, 1, nil), "")
		s.sql(t, strings.ReplaceAll(edit, "{s}", quote(c.Schema)))
		_, err := b.Get(t.Context(), remote.StateBlob)
		if strings.HasPrefix(edit, "DROP") {
			_, err = b.Put(t.Context(), remote.StateBlob, []byte("x"), tag)
		}
		e, ok := errors.AsType[*remote.Error](err)
		if !ok || e.Hint == "" || e.Code != remote.Invalid && e.Code != remote.NoPlace {
			t.Errorf("%s: %v", edit, err)
		}
	}
}

func checkRights(t *testing.T, s *server) {
	_, c := s.place()
	s.roles(t, "coffer_plan", "coffer_apply")
	s.sql(t, c.Permissions(true)+c.Permissions(false))
	planner, applier := c, c
	planner.Connection, applier.Connection = s.connection("coffer_plan"), s.connection("coffer_apply")
	p, a := open(t, planner), open(t, applier)
	if _, err := p.Get(t.Context(), remote.StateBlob); !errors.Is(err, remote.ErrNotFound) {
		t.Fatal(err)
	}
	if _, err := remote.Prove(t.Context(), a, "x"); err != nil {
		t.Fatal(err)
	}
	tag := ""
	for i := range kept + 2 {
		tag = put(t, a, someState(t, 2+i%3, uint64(i+1), nil), tag)
	}
	if _, err := p.Get(t.Context(), remote.StateBlob); err != nil {
		t.Error(err)
	}
	list, err := p.(remote.Historian).History(t.Context(), remote.StateBlob)
	if err != nil || len(list) != kept+1 {
		t.Fatal(list, err)
	}
	if _, err := p.(remote.Historian).GetVersion(t.Context(), remote.StateBlob, list[5].ID); err != nil {
		t.Error(err)
	}
	_, err = p.Put(t.Context(), remote.StateBlob, []byte("x"), tag)
	if e, ok := errors.AsType[*remote.Error](err); !ok || e.Code != remote.Denied || !e.Unchanged || !strings.Contains(e.Hint, "permissions") {
		t.Errorf("a plan wrote: %v", err)
	}
	if g, err := a.(remote.Gripper).Grip(t.Context()); err != nil || g == nil {
		t.Errorf("grip: %v", err)
	} else {
		g.Release()
	}
}

func checkDenied(t *testing.T, s *server) {
	s.roles(t, "nobody_at_all")
	_, c := s.place()
	for _, x := range []struct {
		name       string
		connection string
		code       remote.Code
	}{
		{"tables", s.connection("nobody_at_all"), remote.Denied},
		{"no role", s.connection("no_such_role"), remote.Denied},
		{"no database", strings.Replace(s.connection(""), "dbname=postgres", "dbname=nope", 1), remote.NoPlace},
		{"nobody there", "host=" + t.TempDir(), remote.Unreachable},
		{"nobody listens", "host=127.0.0.1 port=1 sslmode=disable", remote.Unreachable},
	} {
		c.Connection = x.connection
		b := open(t, c)
		_, err := b.Put(t.Context(), remote.LockBlob, []byte("x"), "")
		e, ok := errors.AsType[*remote.Error](err)
		if !ok || e.Code != x.code || !e.Unchanged {
			t.Errorf("%s: %#v %v", x.name, e, err)
		}
		if ok && e.Hint == "" && x.code != remote.Unreachable {
			t.Errorf("%s: no hint: %v", x.name, err)
		}
	}
	t.Setenv("PGPASSWORD", "another one")
	c.Connection = s.connection("")
	_, err := open(t, c).Get(t.Context(), remote.StateBlob)
	if e, ok := errors.AsType[*remote.Error](err); !ok || e.Code != remote.Denied || strings.Contains(err.Error(), "another one") {
		t.Errorf("another password: %v", err)
	}
}

func checkDurable(t *testing.T, s *server) {
	_, c := s.place()
	c.Connection += " options='-c synchronous_commit=off -c default_transaction_isolation=serializable -c default_transaction_read_only=on'"
	b := open(t, c)
	tag := put(t, b, someState(t, 2, 1, nil), "")
	put(t, b, someState(t, 3, 2, nil), tag)
}

func checkEnded(t *testing.T, s *server) {
	_, c := s.place()
	b := open(t, c)
	tag := put(t, b, []byte("1"), "")
	for i := range 3 {
		s.sql(t, "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE application_name = 'coffer/test'")
		tag = put(t, b, fmt.Append(nil, i), tag)
	}
}

// checkEncoding uses a database that has no sign for what the state says: it is
// kept whole.
func checkEncoding(t *testing.T, s *server) {
	s.sql(t, "CREATE DATABASE latin ENCODING 'LATIN1' TEMPLATE template0")
	_, c := s.place()
	c.Connection = strings.Replace(c.Connection, "dbname=postgres", "dbname=latin", 1)
	b := open(t, c)
	tag := put(t, b, someState(t, 2, 1, func(s *state.Snapshot) {
		for _, e := range s.Entries {
			e.Description = "ü"
		}
	}), "")
	tag = put(t, b, someState(t, 2, 2, nil), tag) // with U+2028
	put(t, b, someState(t, 0, 3, nil), tag)
}

// checkStandby promotes nothing: it asks a server that is one by its own words.
func checkStandby(t *testing.T, s *server) {
	_, c := s.place()
	b := open(t, c)
	put(t, b, someState(t, 2, 1, nil), "")
	// What a session finds first in its path is what it asks.
	s.sql(t, "CREATE SCHEMA standby; CREATE FUNCTION standby.pg_is_in_recovery() RETURNS boolean LANGUAGE sql AS 'SELECT true'")
	c.Connection += " options='-c search_path=standby,pg_catalog'"
	_, err := open(t, c).Get(t.Context(), remote.StateBlob)
	if e, ok := errors.AsType[*remote.Error](err); !ok || e.Code != remote.Invalid || e.Hint != standbyHint {
		t.Errorf("%v", err)
	}
}

// checkWaiting holds the row of a state in another session: a writer waits, and
// a cancelled one says that it does not know.
func checkWaiting(t *testing.T, s *server) {
	_, c := s.place()
	b := open(t, c)
	tag := put(t, b, someState(t, 2, 1, nil), "")
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	hold := s.begin(t, "SELECT 1 FROM "+quote(c.Schema)+".blobs FOR UPDATE")
	_, err := b.Put(ctx, remote.StateBlob, []byte("2"), tag)
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v", err)
	}
	done := make(chan error, 1)
	go func() {
		_, err := b.Put(t.Context(), remote.StateBlob, []byte("3"), tag)
		done <- err
	}()
	hold()
	if err := <-done; err != nil {
		t.Errorf("after the wait: %v", err)
	}
}
