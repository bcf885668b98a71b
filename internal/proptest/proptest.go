// Package proptest runs property tests so that a gate tells the same on every
// machine: the draws of `make test` begin at a fixed seed, those of `make soak`
// at a new one each time.
//
// A gate that draws anew each time fails for changes that are innocent of what
// it found; finding is the long run's work, and what it finds becomes a case.
package proptest

import (
	"flag"
	"testing"

	"pgregory.net/rapid"
)

// seed is any number; a property that needs another one has found a defect.
const seed = "20261124"

// Check is rapid.Check from the fixed seed, unless the build is tagged soak or
// the -rapid.seed flag names another. A failure prints the seed to repeat it with.
func Check(t *testing.T, property func(*rapid.T)) {
	t.Helper()
	if f := flag.Lookup("rapid.seed"); !explore && f.Value.String() == f.DefValue {
		if err := flag.Set(f.Name, seed); err != nil {
			t.Fatal(err)
		}
	}
	rapid.Check(t, property)
}
