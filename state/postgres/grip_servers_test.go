//go:build servers

package postgres

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/cofferhq/coffer/state/remote"
)

func checkGrip(t *testing.T, s *server) {
	_, c := s.place()
	one, two := open(t, c).(remote.Gripper), open(t, c).(remote.Gripper)
	other := c
	other.Name = "team/other"
	for range 3 {
		g, err := one.Grip(t.Context())
		if err != nil || g == nil || !g.Held() {
			t.Fatal(g, err)
		}
		if again, err := two.Grip(t.Context()); err != nil || again != nil {
			t.Fatalf("two have it: %v %v", again, err)
		}
		if h, err := open(t, other).(remote.Gripper).Grip(t.Context()); err != nil || h == nil {
			t.Fatalf("another state is locked with it: %v", err)
		} else {
			h.Release()
		}
		g.Release()
		g.Release()
		if g.Held() {
			t.Fatal("held after its release")
		}
		one, two = two, one
	}
	c.Pooled = true
	if _, ok := open(t, c).(remote.Gripper); ok {
		t.Error("pooled, and there is a grip")
	}
}

func checkGripLost(t *testing.T, s *server) {
	_, c := s.place()
	b := open(t, c).(remote.Gripper)
	g, err := b.Grip(t.Context())
	if err != nil || g == nil {
		t.Fatal(err)
	}
	s.sql(t, fmt.Sprintf("SELECT pg_terminate_backend(%d)", g.(*grip).conn.PID()))
	select {
	case <-g.(*grip).gone:
	case <-time.After(10 * time.Second):
	}
	if g.Held() {
		t.Error("held without a connection")
	}
	next, err := b.Grip(t.Context())
	if err != nil || next == nil {
		t.Fatalf("the next in line: %v", err)
	}
	g.Release() // which is not the one of the next
	if !next.Held() {
		t.Error("released by somebody else")
	}
	next.Release()
}

// checkPooler goes through one that announces a session of its own, as poolers
// do.
func checkPooler(t *testing.T, s *server) {
	_, c := s.place()
	c.Connection = strings.Replace(c.Connection, "port="+s.port, fmt.Sprintf("port=%d", pooler(t, s)), 1)
	b := open(t, c)
	put(t, b, someState(t, 2, 1, nil), "")
	_, err := b.(remote.Gripper).Grip(t.Context())
	e, ok := errors.AsType[*remote.Error](err)
	if !ok || e.Code != remote.Invalid || !strings.Contains(e.Hint, "pooled = true") {
		t.Errorf("%v", err)
	}
	if n := s.count(t, "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'"); n != "0" {
		t.Errorf("%s locks are left", n)
	}
}
