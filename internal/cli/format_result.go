package cli

import (
	"fmt"
	"io"
	"path/filepath"
	"slices"

	"github.com/hashicorp/hcl/v2"

	"github.com/cofferhq/coffer/internal/render"
	"github.com/cofferhq/coffer/lang"
	"github.com/cofferhq/coffer/lang/addr"
	"github.com/cofferhq/coffer/planner"
)

// planResult returns a plan in every form; saved says that it is saved too, so
// that the digest is shown which its apply can demand.
func (w *workspace) planResult(plan *planner.Plan, diff planner.DiffOptions, saved bool) *result {
	inv, all := w.inv, *plan
	if !inv.json { // the text has these on stderr
		all.Diagnostics = slices.Concat(inv.notedForPlan(), plan.Diagnostics)
	}
	digest := ""
	if saved && !hasErrors(plan.Diagnostics) {
		digest = w.lasting(plan).Digest()
	}
	r := inv.planForms(&all, digest)
	r.text = func(out io.Writer, s render.Style) error { return render.PlanText(out, plan, s) }
	r.html = func(out io.Writer) error {
		return render.PlanHTML(out, &all, render.HTMLOptions{Digest: digest, Rotation: w.calendarOf(diff)})
	}
	r.options = inv.reportOptions(w.cfg)
	r.options.Unchanged = w.unchangedByPlan(plan, diff)
	return r
}

func (inv *invocation) planForms(plan *planner.Plan, digest string) *result {
	said := digest // in a comment; of no changes it says nothing, and would be another one in every run
	if len(plan.Changes) == 0 {
		said = ""
	}
	return &result{
		inv: inv, found: render.ReportOfPlan(plan), options: inv.reportOptions(nil),
		json: func(out io.Writer) error { return render.PlanJSON(out, plan) },
		markdown: func(out io.Writer, limit int) error {
			return render.PlanMarkdown(out, plan, render.MarkdownOptions{Limit: limit, Digest: digest})
		},
		comment: func(out io.Writer, limit int) error {
			return render.PlanMarkdown(out, plan, render.MarkdownOptions{Limit: limit, Digest: said, Undated: true})
		},
		html: func(out io.Writer) error { return render.PlanHTML(out, plan, render.HTMLOptions{Digest: digest}) },
	}
}

// calendarOf returns when each secret that a plan may be about is due.
func (w *workspace) calendarOf(diff planner.DiffOptions) *planner.RotationStatus {
	return planner.Rotation(w.cfg, w.snapshot, w.inv.Now(), selects(diff))
}

// driftResult returns a drift report in every form.
func (w *workspace) driftResult(report *planner.DriftReport, diff planner.DiffOptions) *result {
	inv, all := w.inv, *report
	if !inv.json {
		all.Diagnostics = slices.Concat(inv.notedForPlan(), report.Diagnostics)
	}
	r := &result{
		inv: inv, found: render.ReportOfDrift(&all), options: inv.reportOptions(w.cfg),
		text: func(out io.Writer, s render.Style) error { return render.DriftText(out, report, s) },
		json: func(out io.Writer) error { return render.DriftJSON(out, &all) },
		markdown: func(out io.Writer, limit int) error {
			return render.DriftMarkdown(out, &all, render.MarkdownOptions{Limit: limit})
		},
		comment: func(out io.Writer, limit int) error {
			lasting := lastingDrift(all)
			return render.DriftMarkdown(out, &lasting, render.MarkdownOptions{Limit: limit, Undated: true})
		},
		html: func(out io.Writer) error { return render.DriftHTML(out, &all, render.HTMLOptions{}) },
	}
	r.options.Unchanged = w.unchangedByDrift(report, diff)
	return r
}

// lastingDrift returns the drift without what changes while it stays the same:
// lines that move, and notes about other secrets.
func lastingDrift(report planner.DriftReport) planner.DriftReport {
	report.Notes, report.Drift = nil, slices.Clone(report.Drift)
	for i := range report.Drift {
		report.Drift[i].Range = nil
	}
	return report
}

// validateResult returns what validate found in a configuration that is valid.
func (inv *invocation) validateResult(cfg *lang.Config) *result {
	r := &result{
		inv: inv, found: render.ReportOfDiagnostics(inv.command, inv.Now(), inv.noted), options: inv.reportOptions(cfg),
		text: func(out io.Writer, _ render.Style) error {
			_, err := fmt.Fprintf(out, "The configuration is valid: %s in %s.\n",
				count(len(cfg.Secrets), "secret"), count(len(cfg.Environments), "environment"))
			return err
		},
		json: func(out io.Writer) error { return render.DiagnosticsJSON(out, inv.noted) },
	}
	r.show(&render.Findings{
		Command: inv.command, Project: cfg.Settings.Project, At: inv.Now(),
		Secrets: len(cfg.Secrets), Environments: len(cfg.Environments), Diagnostics: inv.noted,
	})
	return r
}

// show makes Markdown and a page of what was found.
func (r *result) show(f *render.Findings) {
	r.markdown = func(out io.Writer, limit int) error {
		return render.DiagnosticsMarkdown(out, f, render.MarkdownOptions{Limit: limit})
	}
	r.comment = func(out io.Writer, limit int) error {
		return render.DiagnosticsMarkdown(out, f, render.MarkdownOptions{Limit: limit, Undated: true})
	}
	r.html = func(out io.Writer) error { return render.DiagnosticsHTML(out, f) }
}

// applyResult returns how an apply ended in every form; its text was shown.
func (inv *invocation) applyResult(sum render.ApplySummary) *result {
	return &result{
		inv: inv, found: render.ReportOfApply(sum), options: inv.reportOptions(nil), shown: true,
		text: func(out io.Writer, s render.Style) error { return render.ApplyText(out, sum, s) },
		json: func(out io.Writer) error { return render.ApplyJSON(out, sum) },
		markdown: func(out io.Writer, limit int) error {
			return render.ApplyMarkdown(out, sum, render.MarkdownOptions{Limit: limit})
		},
	}
}

// errorResult returns what a command that could not begin has to show; project is
// "" where it is not known.
func (inv *invocation) errorResult(command, code, project string, diags hcl.Diagnostics) *result {
	r := &result{
		inv: inv, found: render.ReportOfDiagnostics(command, inv.Now(), diags), options: inv.reportOptions(nil),
		json: func(out io.Writer) error { return render.ErrorJSON(out, code, diags) },
	}
	r.show(&render.Findings{Command: command, Project: project, At: inv.Now(), Diagnostics: diags})
	if command == "plan" { // what was asked for is an empty plan with errors
		plan := &planner.Plan{FormatVersion: planner.FormatVersion, Project: project, CreatedAt: inv.Now()}
		for _, d := range diags {
			plan.Diagnostics = append(plan.Diagnostics, render.PlanDiagnostic(d))
		}
		forms := inv.planForms(plan, "")
		r.markdown, r.comment, r.html = forms.markdown, forms.comment, forms.html
	}
	return r
}

// notedForPlan returns the warnings of this run in the form of a plan's.
func (inv *invocation) notedForPlan() []planner.Diagnostic {
	var out []planner.Diagnostic
	for _, d := range inv.noted {
		out = append(out, render.PlanDiagnostic(d))
	}
	return out
}

// reportOptions says where the configuration is; cfg is nil where it could not
// be loaded.
func (inv *invocation) reportOptions(cfg *lang.Config) render.ReportOptions {
	o := render.ReportOptions{Dir: inv.repositoryDir(), Version: version}
	if cfg != nil && cfg.Files["coffer.hcl"] == nil {
		for name := range cfg.Files {
			if o.File == "" || name < o.File {
				o.File = name
			}
		}
	}
	return o
}

// repositoryDir returns the configuration directory as seen from the root of
// the repository, where a CI system names it, else from where the command runs.
func (inv *invocation) repositoryDir() string {
	dir := resolved(inv.dir())
	for _, root := range []string{inv.Getenv("GITHUB_WORKSPACE"), inv.Getenv("CI_PROJECT_DIR"), "."} {
		if root == "" {
			continue
		}
		if rel, err := filepath.Rel(resolved(root), dir); err == nil && filepath.IsLocal(rel) {
			return rel
		}
	}
	return ""
}

// unchangedByPlan returns the addresses that a plan counts as unchanged, nil
// where they are not known for certain.
func (w *workspace) unchangedByPlan(plan *planner.Plan, diff planner.DiffOptions) []addr.Address {
	if !plan.Refreshed {
		return nil
	}
	changed := map[addr.Address]bool{}
	for i := range plan.Changes {
		changed[plan.Changes[i].Address] = true
	}
	var out []addr.Address
	chosen := selects(diff)
	for _, r := range w.desired.Resources {
		if !r.IsObject() && !changed[r.Address] && chosen(r.Address) && w.snapshot.Entries[r.Location] != nil {
			out = append(out, r.Address)
		}
	}
	return certain(out, plan.Unchanged)
}

// unchangedByDrift does the same for a drift report.
func (w *workspace) unchangedByDrift(report *planner.DriftReport, diff planner.DiffOptions) []addr.Address {
	found := map[addr.Address]bool{}
	for i := range report.Drift {
		found[report.Drift[i].Address] = true
	}
	var out []addr.Address
	chosen := selects(diff)
	for _, e := range w.snapshot.Sorted() {
		object := e.Address.Kind != addr.KindSecret
		if !object && !found[e.Address] && chosen(e.Address) {
			out = append(out, e.Address)
		}
	}
	return certain(out, report.Unchanged)
}

// certain returns list if it has n addresses: what was not compared, or waits,
// is not unchanged, and then nobody knows here which ones are.
func certain(list []addr.Address, n int) []addr.Address {
	if len(list) != n {
		return nil
	}
	return list
}
