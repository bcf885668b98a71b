//go:build servers

package postgres

import (
	"crypto/rand"
	"testing"
	"time"

	"github.com/cofferhq/coffer/state"
	"github.com/cofferhq/coffer/state/remote"
	"github.com/cofferhq/coffer/state/statetest"
)

// Two runs want the state at once, again and again.
func TestRace(t *testing.T) {
	s := startServer(t)
	_, c := s.place()
	statetest.Race(t, func(t testing.TB) state.Store {
		return remote.New(open(t, c), remote.Options{Project: statetest.Project, Now: time.Now, Random: rand.Reader})
	}, 200)
}
