package planner

import (
	"fmt"
	"maps"
	"slices"

	"github.com/cofferhq/coffer/planner/fingerprint"
	"github.com/cofferhq/coffer/state"
)

// This file keeps "unchanged" true: a store without versions shows that a secret
// is there, and not whether somebody wrote another value into it.

// uncompared counts, by store reference, the secrets of which it cannot be told
// whether they are as they were.
type uncompared map[string]int

// plainly reports whether what store shows of a secret tells that nobody wrote
// it; else the secret is counted.
func (u uncompared) plainly(store *Store) bool {
	if !store.Capabilities().Versionless {
		return true
	}
	u[store.Ref()]++
	return false
}

// seen is plainly for an entry whose value may have been read and compared.
func (u uncompared) seen(store *Store, e *state.Entry, verified Verified) bool {
	return e.Version == "" || verified[e.Location].Outcome == fingerprint.Same || u.plainly(store)
}

// notes says of each store what was not compared.
func (u uncompared) notes() []Note {
	var notes []Note
	for _, ref := range slices.Sorted(maps.Keys(u)) {
		notes = append(notes, Note{Reason: ReasonNotCompared, Text: fmt.Sprintf(
			"%s on %s: there, and not compared, as it keeps no versions: a value that somebody else wrote is not seen", plural(u[ref], "secret", "secrets"), ref)})
	}
	return notes
}
