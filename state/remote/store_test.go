package remote_test

import (
	"crypto/rand"
	"testing"
	"time"

	"github.com/cofferhq/coffer/state"
	"github.com/cofferhq/coffer/state/remote"
	"github.com/cofferhq/coffer/state/statetest"
)

func TestStoreInMemory(t *testing.T) {
	statetest.Run(t, func(*testing.T) func() state.Store {
		m := &statetest.Memory{Now: time.Now}
		return func() state.Store {
			return remote.New(m, remote.Options{Project: statetest.Project, Now: time.Now, Random: rand.Reader})
		}
	})
}

func TestRaceInMemory(t *testing.T) {
	m := &statetest.Memory{Now: time.Now}
	statetest.Race(t, func(testing.TB) state.Store {
		return remote.New(m, remote.Options{Project: statetest.Project, Now: time.Now, Random: rand.Reader})
	}, 50)
}
