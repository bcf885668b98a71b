package render_test

import (
	"fmt"

	"github.com/cofferhq/coffer/internal/render"
	"github.com/cofferhq/coffer/lang/addr"
	"github.com/cofferhq/coffer/planner"
)

// reviewed is a plan with a finding of every rule that a plan can have.
func reviewed() *planner.Plan {
	p := dangerousMix()
	p.Notes = append(p.Notes, planner.Note{
		Address: addr.Secret("checkout", "production", "jwt"), Reason: planner.ReasonRotationDue,
		Text: "due since 2026-11-18, waits for Sunday 02:00-04:00", Range: &planner.Range{File: "checkout.hcl", Line: 30, Column: 3},
	})
	db := addr.Secret("checkout", "production", "db")
	p.Diagnostics = append(
		p.Diagnostics,
		planner.Diagnostic{
			Severity: planner.SeverityError, Rule: "production_protected", Summary: db.String() + " is not protected", Address: &db,
			Detail: "Production secrets have protect = true.", Range: &planner.Range{File: "checkout.hcl", Line: 12},
		},
		planner.Diagnostic{Severity: planner.SeverityError, Summary: "Two secrets have one place", Range: &planner.Range{File: "team a/1:2.hcl", Line: 4, Column: 7}},
	)
	return p
}

// allDrift is one finding of every kind, among them a grant that nobody
// declared, and a reader more on a list.
func allDrift() *planner.DriftReport {
	r := driftReport()
	for i, kind := range []planner.DriftKind{
		planner.DriftSuperseded, planner.DriftMetadata, planner.DriftGrantAdded, planner.DriftGrantRemoved,
		planner.DriftDocument, planner.DriftOrphan, planner.DriftGrantAdded, planner.DriftNotSynced,
	} {
		c := change(planner.Conflict, "", "till", "production", fmt.Sprintf("s%d", i))
		d := planner.Drift{Address: c.Address, Location: c.Location, Kind: kind, Detail: "it is another one", VersionRecorded: "3", Range: c.Range}
		if i == 6 {
			d.Address, d.VersionRecorded, d.Range = addr.ProviderObject("vault", "policy", "ops"), "", nil
			d.Location = planner.Location{Provider: "vault", Kind: "policy", Path: "ops"}
			d.Detail = "nobody declared it, and it can read production/till/s0: path \"secret/*\""
		}
		r.Drift = append(r.Drift, d)
	}
	return r
}

// twoThousand is a plan that finds something in every change.
func twoThousand() *planner.Plan {
	var changes []planner.Change
	for i := range 2000 {
		c := change(planner.Conflict, planner.ReasonChangedOutside, fmt.Sprintf("app%d", i%40), "production", fmt.Sprintf("s%d", i))
		c.Detail = "changed outside by alice at 2026-11-20 11:58:03 UTC; `coffer accept '" + c.Address.String() + "'` keeps the live value"
		c.VersionFrom, c.Entry = "7", "6"
		changes = append(changes, c)
	}
	return newPlan(0, changes...)
}

// reports are all samples in the form that CI systems get.
func reports() map[string]*render.Report {
	diags, _ := diagnostics()
	return map[string]*render.Report{
		"plan":         render.ReportOfPlan(reviewed()),
		"plan-apps":    render.ReportOfPlan(manyConflicts()),
		"plan-outage":  render.ReportOfPlan(outage()),
		"plan-objects": render.ReportOfPlan(accessObjects()),
		"plan-nothing": render.ReportOfPlan(nothing()),
		"drift":        render.ReportOfDrift(allDrift()),
		"drift-text":   render.ReportOfDrift(objectDrift()),
		"validate":     render.ReportOfDiagnostics("validate", noon, diags),
		"apply":        render.ReportOfApply(applySummary()),
		"empty":        render.ReportOfPlan(&planner.Plan{}),
	}
}
