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

// onAzurite opens a state in a container of a new server; address may be that
// of something in front of it, "" for nothing.
func onAzurite(t testing.TB, s servers.Blobs, address string) func() remote.Blobs {
	t.Helper()
	at := func(address string) remote.Blobs {
		b, err := (&Config{Account: s.Account, Endpoint: address, Container: "states", Key: "team/coffer"}).Open(t.Context(), remote.Env{
			Getenv: func(name string) string { return map[string]string{"AZURE_STORAGE_KEY": s.Key}[name] }, Now: time.Now, UserAgent: "coffer/test",
		})
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	return func() remote.Blobs { return at(address) }
}

// Two runs want the state at once, again and again.
func TestRace(t *testing.T) {
	s := servers.Azurite(t)
	open := onAzurite(t, s, s.URL)
	makeContainer(t, open())
	statetest.Race(t, func() state.Store {
		return remote.New(open(), remote.Options{Project: statetest.Project, Now: time.Now, Random: rand.Reader})
	}, 200)
}
