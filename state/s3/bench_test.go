package s3_test

import (
	"testing"

	"github.com/cofferhq/coffer/state/statetest"
)

func BenchmarkLargeState(b *testing.B) {
	env := surroundings(b)
	statetest.Bench(b, open(b, compatible(b, false), env))
}
