package render_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/cofferhq/coffer/internal/render"
	"github.com/cofferhq/coffer/planner"
)

// TestAHintStaysOneSentence: only a command for the address itself stands on a
// line of its own; others are words of a sentence.
func TestAHintStaysOneSentence(t *testing.T) {
	c := change(planner.Delete, planner.ReasonRemoved, "shop", "dev", "key")
	own := "coffer rotate '" + c.Address.String() + "'"
	var out bytes.Buffer
	if err := render.ApplyText(&out, render.ApplySummary{Failed: []render.Outcome{{
		Address: c.Address, Action: c.Action, Err: "secrets lie in it",
		Next: "purge them first (`coffer purge`, or `vault kv metadata delete`), then `" + own + "` anew",
	}}}, render.Style{Width: 120}); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"Next: purge them first (`coffer purge`, or `vault kv metadata delete`), then\n", "  " + own + "\n"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, out.String())
		}
	}
}
