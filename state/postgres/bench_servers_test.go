//go:build servers

package postgres

import (
	"testing"

	"github.com/cofferhq/coffer/state/statetest"
)

func BenchmarkLargeState(b *testing.B) {
	s := startServer(b)
	_, c := s.place()
	statetest.Bench(b, open(b, c))
}
