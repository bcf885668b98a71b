package render

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/cofferhq/coffer/lang/addr"
	"github.com/cofferhq/coffer/planner"
)

// rotationCalm is what is said where nothing has to be done.
const rotationCalm = "No rotation is overdue, and none is due soon."

// rotationOrder lists the states, most urgent first.
func rotationOrder() []planner.RotationState {
	return []planner.RotationState{
		planner.RotationOverdue, planner.RotationDueSoon, planner.RotationScheduled, planner.RotationNotMade,
		planner.RotationNone, planner.RotationNever, planner.RotationFollows,
	}
}

// rotationRank orders states; one that is not known comes first.
func rotationRank(r *planner.SecretRotation) int { return slices.Index(rotationOrder(), r.State) }

// rotationAbout says what a state means, where its name does not.
func rotationAbout(s planner.RotationState) string {
	return map[planner.RotationState]string{
		planner.RotationOverdue: "the value is older than its rotation allows",
		planner.RotationNotMade: "the state has no value, so no clock runs",
		planner.RotationNone:    "no rotation is written",
		planner.RotationFollows: "made of other secrets, and changes when they do",
	}[s]
}

func rotationLastLine(status *planner.RotationStatus) string {
	return fmt.Sprintf("Rotation: %d overdue, %d due soon, %s.", status.Overdue, status.DueSoon, plural(len(status.Secrets), "secret", "secrets"))
}

// RotationMarkdown writes a rotation status as [PlanMarkdown] writes a plan: what
// is overdue first, below it each app's secrets with their clocks, folded.
func RotationMarkdown(w io.Writer, status *planner.RotationStatus, o MarkdownOptions) error {
	d := newComment(status.Project, "rotation", "`coffer rotation -json` lists everything", o)
	d.line("### Coffer rotation: " + strings.TrimSuffix(strings.TrimPrefix(rotationLastLine(status), "Rotation: "), "."))
	d.gap()
	d.line(d.origin(status.Project, status.Serial, status.CreatedAt))
	first := rotationDangers(status)
	d.first(first, false)
	if len(first) == 0 && len(status.Secrets) > 0 {
		d.gap()
		d.line(rotationCalm)
	}
	d.diagnostics(status.Diagnostics, "Error", "error", "errors")
	now := status.CreatedAt
	if o.Undated {
		now = time.Time{}
	}
	for _, found := range grouped(status.Secrets, func(r *planner.SecretRotation) addr.Address { return r.Address }, rotationRank) {
		name := groupName(found[0].Address)
		d.group(mdGroup{name: name, title: groupTitle(name, "") + ": " + rotationCounts(found), rows: rotationRows(found, now)})
	}
	d.diagnostics(status.Diagnostics, "Warning", "warning", "warnings")
	return d.end(w)
}

// rotationDangers returns what is overdue and what will be soon.
func rotationDangers(status *planner.RotationStatus) []danger {
	var overdue, soon []string
	for i := range status.Secrets {
		switch r := &status.Secrets[i]; r.State {
		case planner.RotationOverdue:
			overdue = append(overdue, r.Address.String())
		case planner.RotationDueSoon:
			soon = append(soon, r.Address.String())
		}
	}
	errors := diagnosticNames(status.Diagnostics, planner.SeverityError)
	return dangers(
		danger{counted(errors, "error", "errors"), "so this is not all that there is", errors},
		danger{counted(overdue, "rotation is overdue", "rotations are overdue"), "", overdue},
		danger{counted(soon, "rotation is due soon", "rotations are due soon"), "", soon},
		warnings(status.Diagnostics),
	)
}

// rotationCounts counts the secrets of an app by their state.
func rotationCounts(found []*planner.SecretRotation) string {
	var parts []string
	for i := -1; i < len(rotationOrder()); i++ {
		n := 0
		word := ""
		for _, r := range found {
			if rotationRank(r) == i {
				n, word = n+1, rotationLookOf(r.State).word
			}
		}
		if n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, word))
		}
	}
	return strings.Join(parts, ", ")
}

// rotationRows returns the rows of an app, each state under a head of its own.
func rotationRows(found []*planner.SecretRotation, now time.Time) []mdRow {
	found = slices.Clone(found)
	slices.SortStableFunc(found, func(a, b *planner.SecretRotation) int { return rotationRank(a) - rotationRank(b) })
	var rows []mdRow
	for i, r := range found {
		text := rotationEntry(r, now)
		if i == 0 || rotationRank(found[i-1]) != rotationRank(r) {
			n := 0
			for _, other := range found {
				if rotationRank(other) == rotationRank(r) {
					n++
				}
			}
			text = sectionHead(capital(rotationLookOf(r.State).word), rotationAbout(r.State), n) + text
		}
		rows = append(rows, mdRow{text, 1})
	}
	return rows
}

func rotationEntry(r *planner.SecretRotation, now time.Time) string {
	var b strings.Builder
	b.WriteString("- " + mdCode(r.Address.String()))
	for _, said := range rotationClock(r, now) {
		b.WriteString(", " + said)
	}
	b.WriteByte('\n')
	if rule := ruleText(r.Rule); rule != "" {
		b.WriteString(mdParagraphs(mdSub, rule))
	}
	if at := blockText(r.Range); at != "" {
		b.WriteString(mdSub + mdCode(at) + "\n")
	}
	return b.String()
}

// rotationClock says when a secret is due and since when its value is what it is;
// all of it is words and dates of ours.
func rotationClock(r *planner.SecretRotation, now time.Time) []string {
	var out []string
	if !r.NextDue.IsZero() {
		out = append(out, "due "+r.NextDue.UTC().Format(time.DateOnly)+daysAgo(r.NextDue, now))
	}
	if !r.LastRotated.IsZero() {
		out = append(out, "rotated "+r.LastRotated.UTC().Format(time.DateOnly))
	}
	return out
}

// daysAgo says how long a day has passed, "" for one that has not.
func daysAgo(day, now time.Time) string {
	if n := int(now.Sub(day) / (24 * time.Hour)); n > 0 && !now.IsZero() {
		return " (" + plural(n, "day", "days") + " ago)"
	}
	return ""
}

// capital begins a word of ours with a capital.
func capital(word string) string { return strings.ToUpper(word[:1]) + word[1:] }
