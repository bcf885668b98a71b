package postgres

import (
	"bytes"
	"crypto/sha256"
	"os"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/cofferhq/coffer/internal/proptest"
)

// What is taken apart comes together again, in whatever order the rows come: an
// intact state always, a damaged one where it is taken apart at all.
func TestSplitAndJoin(t *testing.T) {
	golden, err := os.ReadFile("../testdata/v1.json")
	if err != nil {
		t.Fatal(err)
	}
	if _, entries, ok := split(golden); !ok || len(entries) < 5 {
		t.Fatalf("the state is not taken apart: %d entries", len(entries))
	}
	proptest.Check(t, func(t *rapid.T) {
		for range 20 {
			data := bytes.Clone(golden)
			at := rapid.IntRange(0, len(data)-1).Draw(t, "at")
			end := rapid.IntRange(at, min(len(data), at+400)).Draw(t, "end")
			switch rapid.SampledFrom([]string{"intact", "byte", "cut", "twice"}).Draw(t, "damage") {
			case "byte":
				data[at] = rapid.Byte().Draw(t, "byte")
			case "cut":
				data = slices.Delete(data, at, end)
			case "twice":
				data = slices.Concat(data[:end], data[at:])
			}
			head, entries, ok := split(data)
			if !ok {
				continue
			}
			ids := map[string]bool{}
			for i, e := range entries {
				ids[e.id] = true
				if said, err := read(e.text); err == nil {
					entries[i].location = said.Location // as the database gives it
				}
			}
			slices.Reverse(entries)
			sum := sha256.Sum256(data)
			back, err := join(head, entries, sum[:])
			if err != nil || !bytes.Equal(back, data) || len(ids) != len(entries) {
				t.Fatalf("%s\ncame back as (%v)\n%s", data, err, back)
			}
		}
	})
}
