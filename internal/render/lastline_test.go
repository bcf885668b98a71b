package render_test

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/cofferhq/coffer/internal/render"
	"github.com/cofferhq/coffer/planner"
)

func TestLastLines(t *testing.T) {
	of := func(unchanged int, actions ...planner.Action) *planner.Plan {
		p := newPlan(unchanged)
		for i, a := range actions {
			p.Changes = append(p.Changes, change(a, planner.ReasonNew, "a", "dev", fmt.Sprintf("s%d", i)))
		}
		return p
	}
	failing := newPlan(1)
	failing.Diagnostics = []planner.Diagnostic{{Severity: planner.SeverityError, Summary: "no"}, {Severity: planner.SeverityWarning, Summary: "hm"}}
	blind := of(1, planner.Create)
	blind.Checks = []planner.CheckState{{Name: "a"}, {Name: "b", Holds: true}}
	unchecked := newPlan(2)
	unchecked.Checks = []planner.CheckState{{Name: "a"}, {Name: "b"}}
	apart := of(4, planner.Create, planner.Delete, planner.Delete, planner.Delete, planner.Update, planner.Rotate)
	apart.Changes[1].Confirmed = true
	apart.Changes[2].Reason = planner.ReasonMoved
	apart.Changes[4].Fields = map[string]planner.FieldChange{"old": {Op: "drop"}}
	for _, c := range []planner.Action{planner.Create, planner.Delete, planner.Conflict, planner.Update, planner.Forget} {
		o := objects().Changes[0]
		o.Action = c
		apart.Changes = append(apart.Changes, o)
	}
	lying := of(3, planner.Delete)
	lying.Summary.Create = 9
	stale := newPlan(5)
	stale.Refreshed = false
	read := of(1, planner.Update)
	read.ValuesRead = 2
	for want, p := range map[string]*planner.Plan{
		"Plan: 3 to create, 1 to rotate, 0 to delete. 41 unchanged. Values read: 0.":                                                                                                                     of(41, planner.Rotate, planner.Create, planner.Create, planner.Create),
		"No changes. 45 secrets unchanged since their recorded version. Values read: 0.":                                                                                                                 nothing(),
		"No changes. 1 secret unchanged since its recorded version. Values read: 0.":                                                                                                                     newPlan(1),
		"Plan: 0 to create, 0 to delete, 1 in conflict, 2 could not be told. 4 unchanged. Values read: 0.":                                                                                               of(4, planner.Unknown, planner.Conflict, planner.Unknown),
		"No changes, 1 error. 1 secret unchanged since its recorded version. Values read: 0.":                                                                                                            failing,
		"Plan: 0 to create, 1 to delete. 3 unchanged. Values read: 0.":                                                                                                                                   lying,
		"Plan: 1 to create, 0 to delete, 1 check fails. 1 unchanged. Values read: 0.":                                                                                                                    blind,
		"No changes, 2 checks fail. 2 secrets unchanged since their recorded version. Values read: 0.":                                                                                                   unchecked,
		"Plan: 1 to create, 1 to rotate, 4 to delete (2 confirmed), 1 in conflict, 2 recipients lists to change, 1 recipients list to delete, 1 recipients list to forget. 4 unchanged. Values read: 0.": apart,
		"No changes. 5 secrets not checked. Values read: 0.":                                                                                                                                             stale,
		"Plan: 0 to create, 1 to update, 0 to delete. 1 unchanged. Values read: 2.":                                                                                                                      read,
		"Plan: 1 to create, 1 to update, 1 to rotate, 1 to adopt, 1 to rename, 1 to relocate, 1 to restore, 1 to delete, 1 to forget. 0 unchanged. Values read: 0.": of(0,
			planner.Forget, planner.Delete, planner.Restore, planner.Relocate, planner.Rename, planner.Adopt, planner.Rotate, planner.Update, planner.Create),
	} {
		lastLine(t, want, func(w io.Writer) error { return render.PlanText(w, p, render.Style{}) })
	}
	one := emptyDrift()
	one.Unchanged, one.Drift = 1, driftReport().Drift[:1]
	unseen := emptyDrift()
	unseen.Unchanged, unseen.Notes = 0, []planner.Note{{Reason: planner.ReasonNotCompared, Text: "2 secrets on vault: there, and not compared"}}
	for want, r := range map[string]*planner.DriftReport{
		"Nothing was seen to change outside: 0 secrets unchanged since their recorded version. Values read: 0.":        unseen,
		"Nothing changed outside: 45 secrets unchanged since their recorded version. Values read: 0.":                  emptyDrift(),
		"Drift: 2 changed, 1 missing, 1 could not be told. 42 unchanged since their recorded version. Values read: 0.": driftReport(),
		"Drift: 1 changed. 1 unchanged since its recorded version. Values read: 0.":                                    one,
	} {
		lastLine(t, want, func(w io.Writer) error { return render.DriftText(w, r, render.Style{}) })
	}
	gone := render.ApplySummary{
		Done: map[planner.Action]int{planner.Create: 2, planner.Update: 1, planner.Delete: 4, planner.Forget: 1},
		Objects: map[string]map[planner.Action]int{
			"policy": {planner.Create: 1, planner.Update: 1}, "role": {planner.Delete: 1, planner.Forget: 1}, "mount": {planner.Delete: 2},
		},
	}
	for want, sum := range map[string]render.ApplySummary{
		"Applied: 0 created, 0 deleted. Values read: 0.": {},
		"Applied: 1 created, 1 deleted, 2 policies changed, 2 mounts deleted, 1 role deleted, 1 role forgotten. Values read: 0.": gone,
	} {
		lastLine(t, want, func(w io.Writer) error { return render.ApplyText(w, sum, render.Style{}) })
	}
}

func lastLine(t *testing.T, want string, write func(io.Writer) error) {
	t.Helper()
	var out bytes.Buffer
	if err := write(&out); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")
	if got := lines[len(lines)-1]; got != want {
		t.Errorf("last line\n  %s\nwant\n  %s", got, want)
	}
}
