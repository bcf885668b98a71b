package statetest

import (
	"crypto/rand"
	"fmt"
	"testing"
	"time"

	"github.com/cofferhq/coffer/state"
	"github.com/cofferhq/coffer/state/remote"
)

// Bench times what a run does with a state of 10,000 entries: it loads it, and
// saves it with 100 of them changed.
func Bench(b *testing.B, blobs remote.Blobs) {
	b.Helper()
	const entries, changed = 10_000, 100
	store := remote.New(blobs, remote.Options{Project: Project, Now: time.Now, Random: rand.Reader})
	must := func(err error) {
		b.Helper()
		if err != nil {
			b.Fatal(err)
		}
	}
	session, err := store.Lock(b.Context(), Who("apply"))
	must(err)
	var names []string
	for i := range entries {
		names = append(names, fmt.Sprintf("secret-%d", i))
	}
	s := Snapshot(names...)
	must(session.Save(b.Context(), s))
	b.Run("load", func(b *testing.B) {
		for b.Loop() {
			if _, err := store.Read(b.Context()); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("save", func(b *testing.B) {
		for i := 0; b.Loop(); i++ {
			touch(s, names[:changed], fmt.Sprint(i))
			if err := session.Save(b.Context(), s); err != nil {
				b.Fatal(err)
			}
		}
	})
	must(session.Unlock(b.Context()))
}

func touch(s *state.Snapshot, names []string, version string) {
	for _, name := range names {
		s.Entries[At(name)].Version = version
	}
}
