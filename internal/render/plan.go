package render

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/cofferhq/coffer/planner"
)

// PlanText writes what a person reads of a plan. What can hurt comes first;
// many like changes are joined into one line with all their names. The last
// line is a contract, see docs/plan-format.md. The only errors are the sink's.
func PlanText(w io.Writer, plan *planner.Plan, s Style) error {
	p := newPage(w, s)
	planHeader(p, plan)
	planSections(p, plan.Changes)
	renames(p, plan.Changes)
	notes(p, plan.Notes, "coffer plan -json")
	checks(p, plan.Checks)
	planDiagnostics(p, plan.Diagnostics)
	p.gap()
	p.line(0, toned(Strong, planLastLine(plan)))
	return p.end()
}

// planHeader says what a reader must know before the first change. A plain
// plan has none.
func planHeader(p *page, plan *planner.Plan) {
	if !plan.At.IsZero() {
		p.flow(0, 2, toned(Caution, "As of "+plan.At.UTC().Format("2006-01-02 15:04 MST")+":"),
			text(" what will be due then, if nothing else changes. This plan cannot be applied."))
		p.gap()
	}
	switch {
	case !plan.Refreshed:
		p.flow(0, 2, toned(Caution, "Not refreshed:"),
			text(" nobody looked at the stores, so this plan cannot be applied."))
		p.gap()
	case plan.Partial:
		p.flow(0, 2, toned(Caution, "Partial plan:"),
			text(" only what was selected, with what it depends on. Nothing else is changed or deleted."))
		p.gap()
	}
}

func planSections(p *page, changes []planner.Change) {
	section := func(look kindOfChange) {
		var chosen []*planner.Change
		for i := range changes {
			if look.holds(&changes[i]) {
				chosen = append(chosen, &changes[i])
			}
		}
		if len(chosen) > 0 {
			planSection(p, look, chosen)
		}
	}
	known := map[planner.Action]bool{}
	for _, look := range actionLooks() {
		known[look.action] = true
		section(look)
	}
	for i := range changes {
		if a := changes[i].Action; !known[a] {
			known[a] = true
			section(lookOf(a))
		}
	}
}

func planSection(p *page, look kindOfChange, changes []*planner.Change) {
	slices.SortStableFunc(changes, func(a, b *planner.Change) int { return naturally(a.Address, b.Address) })
	items := make([]item, len(changes))
	for i, c := range changes {
		items[i] = changeItem(c, look, i < maxWays)
	}
	about := look.about
	if look.action == planner.Conflict && len(changes) > maxWays {
		about += fmt.Sprintf("; the commands are shown for the first %d", maxWays)
	}
	title(p, look.tone, look.title, countText(changes), about)
	p.list(items)
}

// title opens a section: "Delete (3)".
func title(p *page, tone Tone, name, n, about string) {
	p.gap()
	head := []span{toned(tone, fmt.Sprintf("%s (%s)", name, n))}
	if about != "" {
		head = append(head, text(": "+about))
	}
	p.flow(0, 2, head...)
	p.gap()
}

// planLastLine sums up a plan. It counts the changes itself: the summary of a
// saved plan is a claim of whoever wrote the file.
func planLastLine(plan *planner.Plan) string {
	var wrong []string
	if n := failing(plan.Checks); n > 0 {
		wrong = append(wrong, plural(n, "check fails", "checks fail"))
	}
	errors := 0
	for _, group := range alikeDiagnostics(plan.Diagnostics) {
		if group[0].Severity == planner.SeverityError {
			errors++
		}
	}
	if errors > 0 {
		wrong = append(wrong, plural(errors, "error", "errors"))
	}
	if len(plan.Changes) == 0 {
		head := strings.Join(append([]string{"No changes"}, wrong...), ", ")
		return fmt.Sprintf("%s. %s. Values read: %d.", head, unchangedText(plan.Unchanged, plan.Refreshed), plan.ValuesRead)
	}
	parts := append(tallyOf(plan.Changes).parts(), wrong...)
	rest := "unchanged"
	if !plan.Refreshed {
		rest = "not checked"
	}
	return fmt.Sprintf("Plan: %s. %d %s. Values read: %d.", strings.Join(parts, ", "), plan.Unchanged, rest, plan.ValuesRead)
}

// unchangedText never says more than what metadata can show (RELIABILITY,
// section 5).
func unchangedText(n int, refreshed bool) string {
	switch {
	case !refreshed:
		return plural(n, "secret", "secrets") + " not checked"
	case n == 1:
		return "1 secret unchanged since its recorded version"
	}
	return fmt.Sprintf("%d secrets unchanged since their recorded version", n)
}
