//go:build servers

package gcs_test

import (
	"testing"

	"github.com/cofferhq/coffer/state/statetest"
)

func BenchmarkLargeState(b *testing.B) {
	e := start(b)
	statetest.Bench(b, open(b, e.state(b, false), e.env()))
}
