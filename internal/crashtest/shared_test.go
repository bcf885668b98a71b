//go:build unix

package crashtest

import (
	"context"
	"crypto/rand"
	"fmt"
	"maps"
	"net/http/httptest"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"

	"github.com/cofferhq/coffer/state/remote"
	"github.com/cofferhq/coffer/state/s3"
)

// place is where a shared state is kept.
type place struct {
	name    string
	block   string // of the configuration
	backend remote.Backend
	env     map[string]string
}

// newS3 starts a store that enforces the conditions of writes.
func newS3(t *testing.T) (endpoint string) {
	t.Helper()
	kept := s3mem.New()
	must(t, kept.CreateBucket("bucket"))
	server := httptest.NewServer(gofakes3.New(kept).Server())
	t.Cleanup(server.Close)
	return server.URL
}

func onS3(endpoint, key string) place {
	return place{
		name:    "s3",
		block:   fmt.Sprintf("backend \"s3\" {\n  bucket   = \"bucket\"\n  key      = %q\n  endpoint = %q\n}\n", key, endpoint),
		backend: &s3.Config{Bucket: "bucket", Key: key, Endpoint: endpoint},
		env:     map[string]string{"AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": "aSecretKeyOfTests"},
	}
}

// kept puts a backend block into the settings of a configuration.
func (p place) kept(hcl string) string {
	return strings.Replace(hcl, settings, strings.Replace(settings, "}\n", p.block+"}\n", 1), 1)
}

// folder makes a folder whose processes reach the place, as do those parts of
// the SDKs that read the environment of this process.
func (p place) folder(t *testing.T, env map[string]string) *folder {
	t.Helper()
	f := newFolder(t, env)
	f.env["HOME"] = t.TempDir()
	maps.Copy(f.env, p.env)
	for name, value := range p.env {
		t.Setenv(name, value)
	}
	return f
}

func (p place) blobs(t *testing.T, f *folder) remote.Blobs {
	t.Helper()
	b, err := p.backend.Open(t.Context(), remote.Env{
		Dir: f.dir, Getenv: func(name string) string { return f.env[name] }, Now: time.Now, UserAgent: "coffer/test",
	})
	must(t, err)
	return b
}

func (p place) state(t *testing.T, f *folder) *remote.Store {
	t.Helper()
	return remote.New(p.blobs(t, f), remote.Options{Project: "crash-1", Now: time.Now, Random: rand.Reader})
}

// settledAt returns what is wrong with a shared state where nothing is under
// way.
func settledAt(store *remote.Store) error {
	s, err := store.Read(context.Background())
	if err != nil {
		return err
	}
	if s.Holder != nil {
		return fmt.Errorf("the state is locked by %s", s.Holder.Operation)
	}
	if s.Replayed {
		return fmt.Errorf("the journal is not spent")
	}
	for _, e := range s.Sorted() {
		if e.Pending != nil {
			return fmt.Errorf("%s is pending", e.Address)
		}
	}
	if w := store.Warnings(); len(w) > 0 {
		return fmt.Errorf("warnings: %q", w)
	}
	return nil
}

// unlockable finds in an error how the lock is broken.
var unlockable = regexp.MustCompile(`coffer state unlock (\S+)`)

// recovered does what a person does after a crash: the same again, and where
// that names a lock that nobody gives back, what it says.
func (f *folder) recovered(command ...string) (ran, error) {
	r := f.run(append([]string{"-lock-timeout", "0s"}, command...)...)
	if id := unlockable.FindStringSubmatch(r.stderr); r.code != 0 && id != nil {
		if u := f.run("state", "unlock", id[1]); u.code != 0 {
			return u, fmt.Errorf("unlock: %s", u)
		}
		r = f.run(append([]string{"-lock-timeout", "0s"}, command...)...)
	}
	if r.code != 0 {
		return r, fmt.Errorf("%s after the crash: %s", strings.Join(command, " "), r)
	}
	return r, nil
}

// nothingLeft makes sure that the plan is empty and the state is at rest.
func (f *folder) nothingLeft(store *remote.Store) error {
	changes, orphans, err := f.planned()
	if err != nil {
		return err
	}
	if list := append(changes, orphans...); len(list) > 0 {
		return fmt.Errorf("the plan is not empty:\n  %s", strings.Join(list, "\n  "))
	}
	if _, err := os.Stat(f.dir + "/coffer.state.json"); err == nil {
		return fmt.Errorf("there is a state file beside the shared state")
	}
	return settledAt(store)
}
