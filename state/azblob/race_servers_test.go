//go:build servers

package azblob

import (
	"crypto/rand"
	"testing"
	"time"

	"github.com/cofferhq/coffer/state"
	"github.com/cofferhq/coffer/state/remote"
	"github.com/cofferhq/coffer/state/statetest"
	"github.com/cofferhq/coffer/state/statetest/servers"
)

// onAzurite opens a state in a container of s, which is found at an address.
func onAzurite(t testing.TB, s servers.Blobs, address string) remote.Blobs {
	t.Helper()
	b, err := (&Config{Account: s.Account, Endpoint: address, Container: "states", Key: "team/coffer"}).Open(t.Context(), remote.Env{
		Getenv: func(name string) string { return map[string]string{"AZURE_STORAGE_KEY": s.Key}[name] }, Now: time.Now, UserAgent: "coffer/test",
	})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// Two runs want the state at once, again and again.
func TestRace(t *testing.T) {
	s := servers.Azurite(t)
	makeContainer(t, onAzurite(t, s, s.URL))
	statetest.Race(t, func(t testing.TB) state.Store {
		return remote.New(onAzurite(t, s, s.URL), remote.Options{Project: statetest.Project, Now: time.Now, Random: rand.Reader})
	}, 200)
}
