package render

import (
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/cofferhq/coffer/planner"
)

// maxCalendar is how many days to come a calendar lists.
const maxCalendar = 200

// RotationHTML writes a rotation status as [PlanHTML] writes a plan: every secret
// with its clock, and the calendar of what is due.
func RotationHTML(w io.Writer, status *planner.RotationStatus, _ HTMLOptions) error {
	return writePage(w, rotationPage(status))
}

func rotationPage(status *planner.RotationStatus) *htmlPage {
	p := &htmlPage{
		Kind: "Coffer rotation", Title: "Secrets", Things: "secrets", ByAction: "status", NoUnchanged: true,
		Project: Sanitize(status.Project), LastLine: rotationLastLine(status), Calm: rotationCalm,
	}
	p.meta(status.Lineage, status.Serial, status.CreatedAt)
	p.dangers(rotationDangers(status))
	list := slices.Clone(status.Secrets)
	slices.SortStableFunc(list, func(a, b planner.SecretRotation) int { return rotationRank(&a) - rotationRank(&b) })
	for i := range list {
		look := rotationLookOf(list[i].State)
		p.Rows = append(p.Rows, rotationRow(&list[i], look))
		p.tile(capital(look.word), toneClass(look.tone), 1)
	}
	p.filters()
	p.calendar(dueOfStatus(status, map[string]bool{}))
	p.rest(nil, nil, status.Diagnostics)
	return p
}

func rotationRow(r *planner.SecretRotation, look rotationLook) htmlRow {
	row := newRow(r.Address, planner.Location{}, capital(look.word), look.tone)
	row.Reason = Sanitize(ruleText(r.Rule))
	if !r.NextDue.IsZero() {
		row.Versions = "due " + r.NextDue.UTC().Format(time.DateOnly)
	}
	if about := rotationAbout(r.State); about != "" {
		row.Detail = append(row.Detail, htmlText{{about, false}})
	}
	row.fact("next due", when(r.NextDue), false)
	row.fact("last rotated", when(r.LastRotated), false)
	if r.AgeSeconds != nil {
		row.fact("age", ageText(*r.AgeSeconds), false)
	}
	row.fact("every", r.Rule.Every, false)
	row.fact("notice", r.Rule.NotifyBefore, false)
	row.fact("strategy", r.Rule.Strategy, true)
	row.fact("window", r.Rule.Window, false)
	row.fact("block", blockText(r.Range), true)
	return row
}

// dueOfStatus returns what a status says is due at some time, but for the
// addresses that are listed already.
func dueOfStatus(status *planner.RotationStatus, listed map[string]bool) []htmlDue {
	var out []htmlDue
	for i := range status.Secrets {
		r := &status.Secrets[i]
		name := Sanitize(r.Address.String())
		if r.NextDue.IsZero() || listed[name] {
			continue
		}
		d := htmlDue{Class: "due", Address: name, What: rotationLookOf(r.State).word, Why: sentenceOf(ruleText(r.Rule)), Date: r.NextDue.UTC().Format(time.DateOnly)}
		if ago := daysAgo(r.NextDue, status.CreatedAt); ago != "" {
			d.Class, d.Days = "overdue", strings.Trim(ago, " ()")
		}
		out = append(out, d)
	}
	return out
}

// withStatus adds to what a plan says of rotations what is due later.
func withStatus(list []htmlDue, status *planner.RotationStatus) []htmlDue {
	if status == nil {
		return list
	}
	listed := map[string]bool{}
	for _, d := range list {
		listed[d.Address] = true
	}
	return append(list, dueOfStatus(status, listed)...)
}

// calendar puts what is due in order of its day. Of what lies far ahead the last
// is left out.
func (p *htmlPage) calendar(list []htmlDue) {
	sortDue(list)
	p.DueCount = len(list)
	if left := len(list) - maxCalendar; left > 0 {
		list = list[:maxCalendar]
		p.DueLeft = strconv.Itoa(left) + " later ones left out; coffer rotation lists them all."
	}
	p.Due = list
}
