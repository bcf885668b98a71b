package s3_test

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
	env, c := surroundings(t), compatible(t, false)
	statetest.Race(t, func(testing.TB) state.Store {
		return remote.New(open(t, c, env), remote.Options{Project: statetest.Project, Now: time.Now, Random: rand.Reader})
	}, pairs)
}
