//go:build servers

package kubernetes

import (
	"crypto/rand"
	"testing"
	"time"

	"github.com/cofferhq/coffer/state"
	"github.com/cofferhq/coffer/state/remote"
	"github.com/cofferhq/coffer/state/statetest"
	"github.com/cofferhq/coffer/state/statetest/servers"
)

// Two runs want the state at once, again and again.
func TestRace(t *testing.T) {
	r := &real{Cluster: servers.Kube(t)}
	open := r.permitted(t, r.namespace(), true, nil)
	statetest.Race(t, func(testing.TB) state.Store {
		return remote.New(open(), remote.Options{Project: statetest.Project, Now: time.Now, Random: rand.Reader})
	}, 200)
}
