//go:build servers

package postgres

import (
	"fmt"
	"testing"

	"github.com/cofferhq/coffer/state"
	"github.com/cofferhq/coffer/state/remote"
	"github.com/cofferhq/coffer/state/statetest"
)

// BenchmarkLargeState is a state of 10,000 entries, of which 100 change with
// every save.
func BenchmarkLargeState(b *testing.B) {
	s := startServer(b)
	_, c := s.place()
	blobs := open(b, c)
	var versions [2][]byte
	for i := range versions {
		versions[i] = someState(b, 10000, 1, func(s *state.Snapshot) {
			for k := range 100 {
				s.Entries[statetest.At(fmt.Sprintf("db_%d", k))].Version = fmt.Sprint(i)
			}
		})
	}
	tag := put(b, blobs, versions[0], "")
	b.Run("save", func(b *testing.B) {
		for i := 0; b.Loop(); i++ {
			var err error
			if tag, err = blobs.Put(b.Context(), remote.StateBlob, versions[(i+1)%2], tag); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("load", func(b *testing.B) {
		for b.Loop() {
			if _, err := blobs.Get(b.Context(), remote.StateBlob); err != nil {
				b.Fatal(err)
			}
		}
	})
}
