package planner_test

import (
	"bytes"
	"testing"

	"github.com/cofferhq/coffer/planner"
	"github.com/cofferhq/coffer/planner/plannertest"
	"github.com/cofferhq/coffer/providers/memory"
)

// FuzzDecodePlan: a plan file is refused or read; what is read prints back to
// the same bytes, so nothing in a file goes unnoticed by its digest.
func FuzzDecodePlan(f *testing.F) {
	w := plannertest.New(f, memory.Full()).Configure(gen)
	text, err := w.Plan().Encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Add([]byte(`{"plan_digest":"","plan":{}}`))
	f.Add([]byte(`{"plan_digest":"sha256:00","plan":{"changes":[{"action":"delete"}]}}`))
	f.Add([]byte(`{"plan":null}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := planner.DecodePlan(bytes.NewReader(data))
		if err != nil {
			return
		}
		again, err := p.Encode()
		if err != nil {
			t.Fatal(err)
		}
		q, err := planner.DecodePlan(bytes.NewReader(again))
		if err != nil {
			t.Fatalf("a plan that was read does not print: %v", err)
		}
		if q.Digest() != p.Digest() {
			t.Fatal("the digest changes when a plan is printed and read")
		}
	})
}
