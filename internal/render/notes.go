package render

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/cofferhq/coffer/planner"
)

// maxNotes is how many notes of one reason are listed when there are more
// than maxNotes+1.
const maxNotes = 5

// notes lists what apply leaves alone, by reason. all is the command that
// shows those which are left out.
func notes(p *page, list []planner.Note, all string) {
	if len(list) == 0 {
		return
	}
	title(p, Plain, "Left alone", strconv.Itoa(len(list)), "")
	groups := map[planner.Reason][]planner.Note{}
	var order []planner.Reason
	for _, n := range list {
		if groups[n.Reason] == nil {
			order = append(order, n.Reason)
		}
		groups[n.Reason] = append(groups[n.Reason], n)
	}
	slices.Sort(order)
	for _, reason := range order {
		noteGroup(p, reason, groups[reason], all)
	}
}

func noteGroup(p *page, reason planner.Reason, group []planner.Note, all string) {
	slices.SortStableFunc(group, func(a, b planner.Note) int { return naturally(a.Address, b.Address) })
	head := []span{toned(Info, "i"), text(" "), toned(Strong, reasonText(reason)), text(fmt.Sprintf(" (%d)", len(group)))}
	said := unaddressed(group[0].Text, group[0].Address)
	same := len(group) > 1 && !slices.ContainsFunc(group, func(n planner.Note) bool { return unaddressed(n.Text, n.Address) != said })
	if same && said != "" {
		head = append(head, text(": "+said))
	}
	p.flow(2, bodyIndent, head...)
	shown := group
	if len(group) > maxNotes+1 {
		shown = group[:maxNotes]
	}
	for _, n := range shown {
		var line []span
		if !n.Address.IsZero() {
			line = append(line, solid(Plain, n.Address.String()), text("  "))
		}
		if !same {
			line = append(line, text(n.Text))
		}
		p.flow(bodyIndent, bodyIndent+4, line...)
	}
	if rest := len(group) - len(shown); rest > 0 {
		p.flow(bodyIndent, bodyIndent, faint(fmt.Sprintf("and %d more; %s lists all", rest, all)))
	}
}

// checks lists the assertions that do not hold, and counts the others.
func checks(p *page, list []planner.CheckState) {
	if len(list) == 0 {
		return
	}
	p.gap()
	failed := failing(list)
	if failed == 0 {
		p.flow(0, 2, text("Checks: "+plural(len(list), "holds", "hold")+"."))
		return
	}
	p.flow(0, 2, toned(Danger, fmt.Sprintf("Checks: %d of %d fail", failed, len(list))), text(": they inform and stop nothing"))
	p.gap()
	for _, c := range list {
		if c.Holds {
			continue
		}
		line := []span{toned(Danger, "x"), text(" "), solid(Strong, c.Name)}
		if c.Message != "" {
			line = append(line, text(": "+c.Message))
		}
		if at := rangeText(c.Range); at != "" {
			line = append(line, text("  "), solid(Faint, at))
		}
		p.flow(2, bodyIndent, line...)
	}
}

// failing counts the assertions that do not hold.
func failing(list []planner.CheckState) int {
	n := 0
	for _, c := range list {
		if !c.Holds {
			n++
		}
	}
	return n
}

// planDiagnostics writes the diagnostics of a plan or a report.
func planDiagnostics(p *page, list []planner.Diagnostic) {
	for _, group := range alikeDiagnostics(list) {
		p.gap()
		d := group[0]
		if len(group) > 1 {
			what := "each " + said(d)
			if rest, is := strings.CutPrefix(said(d), "is "); is {
				what = "are " + rest
			}
			severity(p, d.Severity, fmt.Sprintf("%d addresses %s", len(group), what))
			for _, d := range group {
				diagnosticPlace(p, d)
			}
		} else {
			severity(p, d.Severity, d.Summary)
			diagnosticPlace(p, d)
		}
		p.detail(2, d.Detail)
	}
}

func diagnosticPlace(p *page, d planner.Diagnostic) {
	var at []span
	if r := rangeText(d.Range); r != "" {
		at = append(at, solid(Faint, r), text("  "))
	}
	if d.Address != nil {
		at = append(at, solid(Plain, d.Address.String()))
	}
	p.flow(2, 4, at...)
}

// alikeDiagnostics groups those that say the same of several addresses, in
// address order; each group stands where its first one does.
func alikeDiagnostics(list []planner.Diagnostic) [][]planner.Diagnostic {
	var groups [][]planner.Diagnostic
	at := map[string]int{}
	for _, d := range list {
		key := shapeOf(string(d.Severity), said(d), d.Detail)
		if i, ok := at[key]; ok && said(d) != "" {
			groups[i] = append(groups[i], d)
			continue
		}
		at[key] = len(groups)
		groups = append(groups, []planner.Diagnostic{d})
	}
	for _, g := range groups {
		if len(g) > 1 {
			slices.SortStableFunc(g, func(a, b planner.Diagnostic) int { return naturally(*a.Address, *b.Address) })
		}
	}
	return groups
}

// said returns what a summary says of its address, "" where it says nothing of
// one.
func said(d planner.Diagnostic) string {
	if d.Address == nil {
		return ""
	}
	rest, found := strings.CutPrefix(d.Summary, d.Address.String()+" ")
	if !found {
		return ""
	}
	return rest
}

// severity writes the first line of a diagnostic.
func severity(p *page, s planner.Severity, summary string) {
	word := toned(Danger, "Error:")
	if s == planner.SeverityWarning {
		word = toned(Caution, "Warning:")
	}
	p.flow(0, 2, word, text(" "+summary))
}
