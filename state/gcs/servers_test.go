//go:build servers

package gcs_test

import (
	"crypto/rand"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cofferhq/coffer/state"
	"github.com/cofferhq/coffer/state/gcs"
	"github.com/cofferhq/coffer/state/remote"
	"github.com/cofferhq/coffer/state/statetest"
	"github.com/cofferhq/coffer/state/statetest/servers"
)

// emulator is a server, and how many buckets it has.
type emulator struct {
	address string
	buckets atomic.Int64
}

func start(t testing.TB) *emulator {
	t.Helper()
	return &emulator{address: servers.FakeGCS(t)}
}

func (e *emulator) env() remote.Env { return environment("STORAGE_EMULATOR_HOST=" + e.address) }

// state makes a bucket and returns a state in it.
func (e *emulator) state(t testing.TB, versioning bool) gcs.Config {
	t.Helper()
	name := fmt.Sprintf("bucket-%d", e.buckets.Add(1))
	body := strings.NewReader(fmt.Sprintf(`{"name":%q,"versioning":{"enabled":%t}}`, name, versioning))
	resp, err := http.Post(e.address+"/storage/v1/b?project=p", "application/json", body)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("no bucket: %s", resp.Status)
	}
	return gcs.Config{Bucket: name, Key: "team/coffer"}
}

func TestBlobs(t *testing.T) {
	e := start(t)
	for _, versioning := range []bool{false, true} {
		statetest.Blobs(t, func(t *testing.T) func() remote.Blobs {
			c := e.state(t, versioning)
			return func() remote.Blobs { return open(t, c, e.env()) }
		})
	}
}

func TestStore(t *testing.T) {
	e := start(t)
	statetest.Run(t, func(t *testing.T) func() state.Store {
		c := e.state(t, true)
		return func() state.Store {
			return remote.New(open(t, c, e.env()), remote.Options{Project: statetest.Project, Now: time.Now, Random: rand.Reader})
		}
	})
}

func TestProveNoticesADeleteWithoutCondition(t *testing.T) {
	e := start(t)
	checks, err := remote.Prove(t.Context(), open(t, e.state(t, false), e.env()), "1a2b")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range checks {
		if c.Held == (c.Name == "stale delete") {
			t.Errorf("%s: held %t: %s", c.Name, c.Held, c.Detail)
		}
	}
}

func TestNoBucket(t *testing.T) {
	e := start(t)
	b := open(t, gcs.Config{Bucket: "nobody-made-this", Key: "coffer"}, e.env())
	_, err := b.Put(t.Context(), remote.StateBlob, []byte("x"), "")
	if refused, ok := err.(*remote.Error); !ok || refused.Code != remote.NoPlace || !refused.Unchanged {
		t.Errorf("%v", err)
	}
}

func TestHistory(t *testing.T) {
	e := start(t)
	for _, versioning := range []bool{true, false} {
		b := open(t, e.state(t, versioning), e.env())
		historian := b.(remote.Historian)
		tags := map[string]string{}
		contents := []string{"one", "two, longer", "three"}
		for i, data := range contents {
			for _, name := range []string{remote.StateBlob, remote.JournalBlob, remote.LockBlob} {
				tag, err := b.Put(t.Context(), name, []byte(data), tags[name])
				if err != nil {
					t.Fatal(err)
				}
				tags[name] = tag
			}
			want := i + 1
			if !versioning {
				want = 0
			}
			versions, err := historian.History(t.Context(), remote.StateBlob)
			if err != nil || len(versions) != want {
				t.Fatalf("%d versions, %v, want %d: %v", len(versions), err, want, versions)
			}
			for i, v := range versions {
				want := contents[len(versions)-1-i]
				data, err := historian.GetVersion(t.Context(), remote.StateBlob, v.ID)
				if err != nil || string(data) != want || v.Bytes != int64(len(want)) || v.Latest != (i == 0) || time.Since(v.Written) > time.Minute {
					t.Errorf("version %d: %q, %v, %+v, want %q", i, data, err, v, want)
				}
			}
		}
	}
}
