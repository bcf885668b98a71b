//go:build servers

package azblob

import (
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/cofferhq/coffer/state"
	"github.com/cofferhq/coffer/state/remote"
	"github.com/cofferhq/coffer/state/statetest"
	"github.com/cofferhq/coffer/state/statetest/servers"
)

func TestOverAzurite(t *testing.T) {
	s := servers.Azurite(t)
	env := map[string]string{"AZURE_STORAGE_KEY": s.Key}
	open := func(t *testing.T, c Config) remote.Blobs {
		t.Helper()
		c.Account, c.Endpoint = s.Account, s.URL
		b, err := c.Open(t.Context(), remote.Env{Getenv: func(name string) string { return env[name] }, Now: time.Now, UserAgent: "coffer/test"})
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	makeContainer(t, open(t, Config{Container: "states", Key: "x"}))
	n := 0
	place := func() Config {
		n++
		return Config{Container: "states", Key: fmt.Sprintf("team %d/ä+b&c/coffer", n)}
	}
	t.Run("blobs", func(t *testing.T) {
		statetest.Blobs(t, func(t *testing.T) func() remote.Blobs {
			c := place()
			return func() remote.Blobs { return open(t, c) }
		})
	})
	t.Run("state", func(t *testing.T) {
		statetest.Run(t, func(t *testing.T) func() state.Store {
			c := place()
			return func() state.Store {
				return remote.New(open(t, c), remote.Options{Project: statetest.Project, Now: time.Now, Random: rand.Reader})
			}
		})
	})
	t.Run("init finds every condition enforced", func(t *testing.T) {
		checks, err := remote.Prove(t.Context(), open(t, place()), "1a")
		if err != nil || len(checks) < 5 {
			t.Fatalf("%v %v", checks, err)
		}
		for _, c := range checks {
			if !c.Held {
				t.Errorf("%+v", c)
			}
		}
	})
	t.Run("no container", func(t *testing.T) {
		b := open(t, Config{Container: "elsewhere", Key: "x"})
		_, get := b.Get(t.Context(), remote.StateBlob)
		_, put := b.Put(t.Context(), remote.StateBlob, []byte("x"), "")
		for _, err := range []error{get, put} {
			e, ok := errors.AsType[*remote.Error](err)
			if !ok || e.Code != remote.NoPlace || !e.Unchanged || !strings.Contains(e.Hint, "--account-name coffertest --name elsewhere") {
				t.Errorf("%v", err)
			}
		}
	})
	t.Run("another key", func(t *testing.T) {
		env["AZURE_STORAGE_KEY"] = "AAAA"
		_, err := open(t, place()).Put(t.Context(), remote.StateBlob, []byte("x"), "")
		if e, ok := errors.AsType[*remote.Error](err); !ok || e.Code != remote.Denied || !e.Unchanged || strings.Contains(err.Error(), "AAAA") {
			t.Errorf("%v", err)
		}
	})
}

func makeContainer(t testing.TB, b remote.Blobs) {
	t.Helper()
	client, err := b.(*store).list()
	if err == nil {
		_, err = client.Create(t.Context(), nil)
	}
	if err != nil {
		t.Fatal(err)
	}
}
