package planner_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/cofferhq/coffer/planner"
	"github.com/cofferhq/coffer/planner/fingerprint"
	"github.com/cofferhq/coffer/providers"
	"github.com/cofferhq/coffer/providers/memory"
	"github.com/cofferhq/coffer/state"
)

// versionless is a platform that shows what is there, and not which value.
type versionless struct{ *memory.Driver }

func (d versionless) Powers() providers.Powers { return d.Driver.Powers() }

func (d versionless) Capabilities() providers.Capabilities {
	c := d.Driver.Capabilities()
	c.Versionless = true
	return c
}

// TestNothingIsUnchangedWithoutVersions: a store that cannot show that a value is
// as it was is not said to, unless the value was read and compared.
func TestNothingIsUnchangedWithoutVersions(t *testing.T) {
	w := full(t)
	world := memory.NewWorld("mem-v1")
	w.Others = map[string]func() providers.Driver{"memory.v": func() providers.Driver { return versionless{memory.New(world, memory.Files())} }}
	w.Environ["K"] = "supplied"
	w.Configure(app(sec("key", "value = random_hex()")) + with(app(sec("a", "value = random_hex()")+sec("b", `value = from_env("K")`)),
		"\"dev\"", "\"old\"", "store = memory", "store = memory.v", "\"shop\"", "\"past\""))
	w.Apply()
	told := func(unchanged int, notes []planner.Note, want int, text string) {
		t.Helper()
		said := slices.ContainsFunc(notes, func(n planner.Note) bool {
			return n.Reason == planner.ReasonNotCompared && strings.HasPrefix(n.Text, text)
		})
		if unchanged != want || !said {
			t.Errorf("%d unchanged, want %d; %+v", unchanged, want, notes)
		}
	}
	p := w.Plan()
	told(p.Unchanged, p.Notes, 1, "2 secrets on memory.v: there, and not compared")
	rep := w.Drift()
	told(rep.Unchanged, rep.Notes, 1, "2 secrets on memory.v: there, and not compared")
	l := w.Look()
	verified := planner.Verified{}
	for loc, e := range l.Snapshot.Entries {
		if e.Class == state.ClassSupplied {
			verified[loc] = planner.Verification{Outcome: fingerprint.Same}
		}
	}
	rep = planner.DetectDrift(l.Desired, l.Snapshot, l.Live, l.Stores, l.Options, verified)
	told(rep.Unchanged, rep.Notes, 2, "1 secret on memory.v: there, and not compared")
	if p = planner.Diff(l.Desired, l.Snapshot, planner.Recorded(l.Snapshot), l.Stores, l.Options); p.Unchanged != 3 {
		t.Errorf("%d not checked, want 3", p.Unchanged) // of the state alone
	}
}
