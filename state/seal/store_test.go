package seal

import (
	"crypto/rand"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cofferhq/coffer/state/remote"
	"github.com/cofferhq/coffer/state/statetest"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// A change of keys is done by the next save, of the state and of the journal,
// also where nothing else changes; and it is said until then.
func TestAChangeOfKeys(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, who := &statetest.Memory{Now: time.Now}, statetest.Who("apply")
		store := func(s *Sealer) *remote.Store {
			s.Random = rand.Reader
			return remote.New(m, remote.Options{Project: statetest.Project, Now: time.Now, Random: rand.Reader, Seal: s})
		}
		first, err := remote.New(m, remote.Options{Project: statetest.Project, Now: time.Now, Random: rand.Reader}).Lock(t.Context(), who)
		must(t, err)
		must(t, first.Save(t.Context(), statetest.Snapshot("db")))
		must(t, first.Unlock(t.Context()))
		for _, s := range []*Sealer{{Key: clear{"open", "1"}, Plain: true}, {Key: clear{"open", "2"}}, {Plain: true, Fallbacks: []Key{clear{"open", "2"}}}} {
			session, err := store(s).Lock(t.Context(), who)
			must(t, err)
			got, err := session.Load(t.Context())
			must(t, err)
			if !got.Replayed {
				t.Errorf("%+v: a save is not worth it", s.Key)
			}
			serial := got.Serial
			must(t, session.Save(t.Context(), got))
			must(t, session.Unlock(t.Context()))
			if got.Serial != serial+1 {
				t.Errorf("%+v: not saved", s.Key)
			}
			after := store(&Sealer{Key: s.Key})
			if got, err = after.Read(t.Context()); err != nil || got.Replayed || len(after.Warnings()) != 0 {
				t.Errorf("%+v: without the fallback: %v, %q", s.Key, err, after.Warnings())
			}
		}
	})
}
