package render

import (
	"fmt"
	"io"
	"strings"

	"github.com/cofferhq/coffer/planner"
)

// MarkdownOptions are what a comment needs besides its content.
type MarkdownOptions struct {
	// Marker is the name in the hidden first line, see [Marker]; "" is "plan"
	// and "drift".
	Marker string
	// Limit is how many bytes the document may have, 0 any number: GitHub takes
	// 65,536, GitLab 1,000,000.
	Limit int
	// Digest is that of the saved plan, which apply can demand.
	Digest string
	// Undated leaves out what differs from run to run though nothing worth telling
	// does: the time, the serial of the state, and how much is unchanged where
	// nothing else is planned, or beside drift.
	Undated bool
	// HowToSee says where everything is, for a document that is cut; commands
	// stand in backquotes. "" names the command that lists all.
	HowToSee string
}

const (
	// maxSection is the size from which the changes of an app go on in another
	// section, so that little is lost where one has to be left out.
	maxSection = 12 << 10
	// maxHeadNames is how many names follow one line of the first screen.
	maxHeadNames = 5
	// maxHeadColumns bounds a name there.
	maxHeadColumns = 120
	// calm is what is said of changes that need no second look.
	calm = "Nothing is deleted, nothing is in conflict, and no value is made anew."
)

// PlanMarkdown writes a plan as a comment for a pull request: on the first
// screen what will happen and what is dangerous, below it each app's changes,
// folded. What comes from configuration, state or a provider cannot become a
// link, an element or a mention. Beyond the limit whole sections are left out
// from the end, and the last line says so. The only errors are the sink's.
func PlanMarkdown(w io.Writer, plan *planner.Plan, o MarkdownOptions) error {
	d := newComment(plan.Project, "plan", "`coffer plan -json` lists everything", o)
	head, rest, _ := strings.Cut(planLastLine(plan), ". ")
	d.line("### Coffer plan: " + prose(strings.TrimPrefix(head, "Plan: "), mdCode))
	d.gap()
	d.line(d.told(rest, len(plan.Changes) > 0) + d.origin(plan.Project, plan.Serial, plan.CreatedAt))
	d.planDigest(o.Digest)
	d.planNotice(plan)
	d.first(planDangers(plan), len(plan.Changes) > 0)
	d.diagnostics(plan.Diagnostics, "Error", "error", "errors")
	for _, g := range planGroups(plan.Changes) {
		d.group(g)
	}
	d.notes(plan.Notes)
	d.checks(plan.Checks)
	d.diagnostics(plan.Diagnostics, "Warning", "warning", "warnings")
	return d.end(w)
}

// DriftMarkdown writes a drift report as PlanMarkdown writes a plan.
func DriftMarkdown(w io.Writer, report *planner.DriftReport, o MarkdownOptions) error {
	d := newComment(report.Project, "drift", "`coffer drift -json` lists everything", o)
	counts := map[planner.DriftKind]int{}
	for i := range report.Drift {
		counts[report.Drift[i].Kind]++
	}
	last := driftLastLine(report, counts)
	head, rest, _ := strings.Cut(last, ". ")
	d.line("### Coffer drift: " + prose(strings.TrimPrefix(head, "Drift: "), mdCode))
	d.gap()
	d.line(d.told(rest, false) + d.origin(report.Project, report.Serial, report.CreatedAt))
	d.first(driftDangers(report), false)
	d.diagnostics(report.Diagnostics, "Error", "error", "errors")
	for _, g := range driftGroups(report.Drift) {
		d.group(g)
	}
	d.notes(report.Notes)
	d.checks(report.Checks)
	d.diagnostics(report.Diagnostics, "Warning", "warning", "warnings")
	return d.end(w)
}

// first writes what has to be looked at first; of changes without any such thing
// it says so.
func (d *comment) first(list []danger, changes bool) {
	if len(list) == 0 {
		if changes {
			d.gap()
			d.line(calm)
		}
		return
	}
	d.gap()
	d.line("**Look at this first**")
	d.gap()
	for _, l := range list {
		line := "- **" + l.what + "**"
		if l.about != "" {
			line += ", " + l.about
		}
		if len(l.names) > 0 {
			line += ": " + headNames(l.names)
		}
		d.line(line)
	}
}

// headNames lists the first of many names.
func headNames(names []string) string {
	shown := names
	if len(names) > maxHeadNames+1 {
		shown = names[:maxHeadNames]
	}
	var out []string
	for _, name := range shown {
		out = append(out, mdCode(clip(Sanitize(name), maxHeadColumns)))
	}
	list := strings.Join(out, ", ")
	if rest := len(names) - len(shown); rest > 0 {
		list += fmt.Sprintf(" and %d more", rest)
	}
	return list
}

func (d *comment) planDigest(digest string) {
	if digest != "" {
		d.gap()
		d.line("Plan digest " + mdCode(clip(Sanitize(digest), maxHeadColumns)) + ": apply refuses any other plan when it is given with `-plan-digest`.")
	}
}

// planNotice says what holds for all of a plan that is not like others.
func (d *comment) planNotice(plan *planner.Plan) {
	for _, n := range planNotices(plan) {
		d.gap()
		d.line("**" + n.head + "** " + n.text)
	}
}

// diagnostics folds those of one severity; those that say the same are one.
func (d *comment) diagnostics(list []planner.Diagnostic, word, one, many string) {
	var rows []mdRow
	n := 0
	for _, group := range alikeDiagnostics(list) {
		if (word == "Warning") != (group[0].Severity == planner.SeverityWarning) {
			continue
		}
		n += len(group)
		var b strings.Builder
		fmt.Fprintf(&b, "- **%s:** %s\n", word, prose(group[0].Summary, mdCode))
		for _, one := range group {
			place := codes(rangeText(one.Range))
			if one.Address != nil {
				place = append(place, mdCode(one.Address.String()))
			}
			if len(place) > 0 {
				b.WriteString(mdSub + strings.Join(place, ", ") + "\n")
			}
		}
		b.WriteString(mdDetailText(group[0].Detail))
		rows = append(rows, mdRow{text: b.String()})
	}
	if len(rows) > 0 {
		d.fold("", plural(n, one, many), rows)
	}
}

// notes folds what apply leaves alone, by reason.
func (d *comment) notes(list []planner.Note) {
	if len(list) == 0 {
		return
	}
	groups, order := notesByReason(list)
	var rows []mdRow
	for _, reason := range order {
		var b strings.Builder
		fmt.Fprintf(&b, "- **%s** (%d)\n", prose(reasonText(reason), mdCode), len(groups[reason]))
		for _, n := range groups[reason] {
			parts := codes(addressText(n.Address))
			if said := prose(n.Text, mdCode); said != "" {
				parts = append(parts, said)
			}
			b.WriteString(mdSub + strings.Join(parts, " ") + "\n")
			if b.Len() > maxSection/2 {
				rows = append(rows, mdRow{text: b.String()})
				b.Reset()
			}
		}
		rows = append(rows, mdRow{text: b.String()})
	}
	d.fold("", fmt.Sprintf("Left alone: %d", len(list)), rows)
}

// checks folds the assertions that fail, and counts the others.
func (d *comment) checks(list []planner.CheckState) {
	failed := failing(list)
	if failed == 0 {
		return
	}
	var rows []mdRow
	for _, c := range list {
		if c.Holds {
			continue
		}
		parts := append(codes(c.Name), codes(rangeText(c.Range))...)
		rows = append(rows, mdRow{text: "- " + strings.Join(parts, ", ") + "\n" + mdParagraphs(mdSub, c.Message)})
	}
	d.fold("", fmt.Sprintf("Checks: %d of %d fail; they inform and stop nothing", failed, len(list)), rows)
}

// codes returns the texts that are not empty, as code.
func codes(list ...string) []string {
	var out []string
	for _, s := range list {
		if s != "" {
			out = append(out, mdCode(s))
		}
	}
	return out
}
