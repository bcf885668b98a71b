package render_test

import (
	"bytes"
	"flag"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/hcl/v2"

	"github.com/cofferhq/coffer/internal/render"
	"github.com/cofferhq/coffer/lang/addr"
	"github.com/cofferhq/coffer/planner"
)

var update = flag.Bool("update", false, "write the golden files anew")

// TestGolden shows each kind of output in 80 columns: read testdata to see
// what a user sees.
func TestGolden(t *testing.T) {
	style := render.Style{Width: 80}
	plan := func(p *planner.Plan) func(io.Writer) error {
		return func(w io.Writer) error { return render.PlanText(w, p, style) }
	}
	drift := func(r *planner.DriftReport) func(io.Writer) error {
		return func(w io.Writer) error { return render.DriftText(w, r, style) }
	}
	stale := threeChanges()
	stale.Refreshed = false
	for name, write := range map[string]func(io.Writer) error{
		"plan-3.txt":           plan(threeChanges()),
		"plan-300.txt":         plan(manyChanges()),
		"plan-apps.txt":        plan(manyApps()),
		"plan-danger.txt":      plan(dangerousMix()),
		"plan-nothing.txt":     plan(nothing()),
		"plan-replicas.txt":    plan(replicas()),
		"plan-relocations.txt": plan(relocations()),
		"plan-objects.txt":     plan(objects()),
		"plan-notes.txt":       plan(notesOnly()),
		"plan-conflicts.txt":   plan(manyConflicts()),
		"plan-outage.txt":      plan(outage()),
		"plan-stale.txt":       plan(stale),
		"plan-recipients.txt":  plan(recipients()),
		"plan-sources.txt":     plan(sources()),
		"plan-renamed.txt":     plan(renamed()),
		"plan-protected.txt":   plan(protected()),
		"plan-adopts.txt":      plan(adopts()),
		"plan-access.txt":      plan(accessObjects()),
		"plan-cluster.txt":     plan(clusterChanges()),
		"doctor.txt":           func(w io.Writer) error { return render.DoctorText(w, checkups(), style) },
		"plan-protected.json":  func(w io.Writer) error { return render.PlanJSON(w, protected()) },
		"apply-behind.txt": func(w io.Writer) error {
			return render.ApplyText(w, render.ApplySummary{
				Done: map[planner.Action]int{planner.Rotate: 1, planner.Update: 1}, Objects: map[string]map[planner.Action]int{"recipients": {planner.Update: 1}},
				Behind: []addr.Address{addr.Secret("shop", "dev", "web"), addr.Secret("shop", "dev", "url10"), addr.Secret("shop", "dev", "url9")},
				Checks: []planner.CheckState{{Name: "rotation_slo", Message: "One is overdue."}, {Name: "other", Holds: true}},
			}, style)
		},
		"plan-3.json": func(w io.Writer) error { return render.PlanJSON(w, threeChanges()) },
		"plan-color.txt": func(w io.Writer) error {
			return render.PlanText(w, dangerousMix(), render.Style{Color: true, Width: 80})
		},
		"drift.txt":          drift(driftReport()),
		"drift-nothing.txt":  drift(emptyDrift()),
		"drift-objects.txt":  drift(objectDrift()),
		"drift-objects.json": func(w io.Writer) error { return render.DriftJSON(w, objectDrift()) },
		"drift.json":         func(w io.Writer) error { return render.DriftJSON(w, driftReport()) },
		"apply.txt":          func(w io.Writer) error { return render.ApplyText(w, applySummary(), style) },
		"apply.json":         func(w io.Writer) error { return render.ApplyJSON(w, applySummary()) },
		"diagnostics.txt": func(w io.Writer) error {
			ds, files := diagnostics()
			return render.DiagnosticsText(w, ds, files, style)
		},
		"diagnostics.json": func(w io.Writer) error {
			ds, _ := diagnostics()
			return render.DiagnosticsJSON(w, ds)
		},
		"state.txt":      func(w io.Writer) error { return render.StateText(w, snapshot(), style) },
		"state.json":     func(w io.Writer) error { return render.StateJSON(w, snapshot()) },
		"state-list.txt": func(w io.Writer) error { return render.StateListText(w, entries(), style) },
		"state-show.txt": func(w io.Writer) error { return render.EntryText(w, entries()[0], style) },
	} {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			if err := write(&out); err != nil {
				t.Fatal(err)
			}
			golden(t, name, out.Bytes())
		})
	}
}

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s differs (-want +got); go test -update writes it anew:\n%s", path, diff)
	}
}

func applySummary() render.ApplySummary {
	denied := addr.Secret("checkout", "production", "db")
	return render.ApplySummary{
		Done: map[planner.Action]int{planner.Create: 3, planner.Rotate: 1},
		Failed: []render.Outcome{{
			Address: denied, Action: planner.Create, Effect: render.EffectNone,
			Err: "sops write production/checkout/db: permission denied", Next: "make secrets/production/checkout.yaml writable",
		}},
		Skipped: []render.Outcome{{
			Address: addr.Secret("checkout", "production", "db_url"), Action: planner.Create, Because: "needs " + denied.String() + ", which failed",
		}},
		Conflicts: []render.Outcome{{
			Address: addr.Secret("checkout", "production", "jwt"), Action: planner.Update, Because: "version 7 was written since the plan was made",
		}},
		Interrupted: true, ValuesRead: 1, Project: "payments-7c1f", At: noon,
		Carried: []addr.Address{addr.Secret("checkout", "dev", "db")}, Behind: []addr.Address{addr.Secret("checkout", "dev", "db_url")},
		Checks: []planner.CheckState{{Name: "slo", Message: "One is overdue."}},
	}
}

// diagnostics returns an error in a line with tabs, one in a line that is far
// too long, and a warning without a place.
func diagnostics() (hcl.Diagnostics, map[string]*hcl.File) {
	src := []byte("app \"checkout\" {\n\tvalu = random_uuid()\n}\n" + `x = "` + string(bytes.Repeat([]byte("long "), 40)) + `${bad}` + string(bytes.Repeat([]byte(" tail"), 40)) + "\"\n")
	at := func(needle string) *hcl.Range {
		start := bytes.Index(src, []byte(needle))
		line := bytes.Count(src[:start], []byte("\n")) + 1
		column := start - bytes.LastIndexByte(src[:start], '\n')
		return &hcl.Range{
			Filename: "app.hcl",
			Start:    hcl.Pos{Line: line, Column: column, Byte: start},
			End:      hcl.Pos{Line: line, Column: column + len(needle), Byte: start + len(needle)},
		}
	}
	return hcl.Diagnostics{
		{
			Severity: hcl.DiagError, Summary: "Unsupported argument",
			Detail: `An argument named "valu" is not expected here. Did you mean "value"?`, Subject: at("valu"),
		},
		{Severity: hcl.DiagError, Summary: "Unknown variable", Detail: "There is no variable named \"bad\".\nWrite var.bad for an input variable.", Subject: at("bad")},
		{Severity: hcl.DiagWarning, Summary: "No environment uses rotation.monthly"},
	}, map[string]*hcl.File{"app.hcl": {Bytes: src}}
}
