package render

import (
	"io"
	"slices"
	"strings"

	"github.com/cofferhq/coffer/lang/addr"
	"github.com/cofferhq/coffer/planner"
)

// ApplyMarkdown writes how an apply ended as [PlanMarkdown] writes a plan: what
// was done in numbers, and what was not done, with its reason and what to do next.
func ApplyMarkdown(w io.Writer, sum ApplySummary, o MarkdownOptions) error {
	d := newComment(sum.Project, "apply", "The output of the job has everything", o)
	head, rest, _ := strings.Cut(strings.TrimPrefix(applyLastLine(sum), "Applied: "), ". ")
	d.line("### Coffer apply: " + prose(head, mdCode))
	d.gap()
	said := prose(rest, mdCode) + " Project " + mdCode(clip(Sanitize(sum.Project), maxHeadColumns))
	if made := when(sum.At); made != "" && d.dated {
		said += ", ended " + made
	}
	d.line(said + ".")
	if sum.Interrupted {
		d.gap()
		d.line("**Interrupted:** what was running was finished and saved. The next apply goes on from here.")
	}
	if o.Digest != "" {
		d.gap()
		d.line("Plan digest " + mdCode(clip(Sanitize(o.Digest), maxHeadColumns)) + ".")
	}
	d.first(applyDangers(sum), false)
	for _, part := range []struct {
		title string
		list  []Outcome
	}{{"Failed", sum.Failed}, {"In conflict, left as it is", sum.Conflicts}, {"Skipped", sum.Skipped}} {
		d.outcomes(part.title, part.list)
	}
	d.behind(sum.Behind)
	d.checks(sum.Checks)
	return d.end(w)
}

func applyDangers(sum ApplySummary) []danger {
	names := func(list []Outcome) []string {
		var out []string
		for _, o := range list {
			out = append(out, o.Address.String())
		}
		return out
	}
	failed, conflicts, skipped := names(sum.Failed), names(sum.Conflicts), names(sum.Skipped)
	var later []string
	for _, a := range sum.Behind {
		later = append(later, a.String())
	}
	return dangers(
		danger{counted(failed, "change failed", "changes failed"), "", failed},
		danger{counted(conflicts, "conflict", "conflicts"), "nothing was written there", conflicts},
		danger{counted(skipped, "change was skipped", "changes were skipped"), "", skipped},
		danger{counted(later, "is behind", "are behind"), "made from what was written since; the next apply makes that anew", later},
		failedChecks(sum.Checks),
	)
}

// outcomes folds changes that were not done, each with why.
func (d *comment) outcomes(title string, list []Outcome) {
	if len(list) == 0 {
		return
	}
	list = slices.Clone(list)
	slices.SortStableFunc(list, func(a, b Outcome) int { return naturally(a.Address, b.Address) })
	var rows []mdRow
	for _, o := range list {
		var b strings.Builder
		b.WriteString("- " + mdCode(o.Address.String()))
		if o.Action != planner.Conflict {
			b.WriteString(", " + prose(string(o.Action), mdCode))
		}
		b.WriteString("\n" + mdParagraphs(mdSub, outcomeText(o)))
		rows = append(rows, mdRow{b.String(), 1})
	}
	d.fold("", title+": "+plural(len(list), "change", "changes"), rows)
}

// outcomeText says why a change was not done and what to do about it.
func outcomeText(o Outcome) string {
	next := o.Next
	if next != "" {
		next = "Next: " + next
	}
	return lines(o.Err, next, effectText(o.Effect), o.Because)
}

// behind folds what the next apply writes because of this one.
func (d *comment) behind(list []addr.Address) {
	if len(list) == 0 {
		return
	}
	list = slices.Clone(list)
	slices.SortFunc(list, naturally)
	var rows []mdRow
	for _, a := range list {
		rows = append(rows, mdRow{"- " + mdCode(a.String()) + "\n", 1})
	}
	d.fold("", "Behind: "+plural(len(list), "secret", "secrets"), rows)
}

// ReportOfApply returns what was not done. What was done is in Planned.
func ReportOfApply(sum ApplySummary) *Report {
	rep := &Report{Command: "apply", Project: sum.Project, At: sum.At, Planned: sum.Carried}
	add := func(rule, title string, list []Outcome) {
		for _, o := range list {
			rep.Findings = append(rep.Findings, NewFinding(rule, LevelError, o.Address, o.Range, title, outcomeText(o), string(o.Action), o.Path))
		}
	}
	add(RuleApplyFailed, "Failed", sum.Failed)
	add(RuleConflict, "Conflict", sum.Conflicts)
	add(RuleApplySkipped, "Skipped", sum.Skipped)
	for _, a := range sum.Behind {
		rep.Findings = append(rep.Findings, NewFinding(RuleWarning, LevelWarning, a, nil, "Behind",
			"made from what was written since, and not made again; the next coffer apply writes it", "behind"))
	}
	rep.add(nil, sum.Checks, nil)
	return rep
}
