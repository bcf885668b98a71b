package render

import (
	"fmt"
	"io"
	"strings"

	"github.com/cofferhq/coffer/planner"
)

// The statuses of a [Finding].
const (
	FindingOK      = "ok"
	FindingWarning = "warning"
	FindingError   = "error"
)

// maxFine is how many findings of one checkup that are fine are listed when
// there are more than maxFine+1.
const maxFine = 12

// Finding is one thing that doctor looked at.
type Finding struct {
	Subject string `json:"subject"`
	Status  string `json:"status"`
	Text    string `json:"text"`
	Next    string `json:"next,omitempty"` // what to do about it
}

// Checkup is what doctor found about one provider, or about the project.
type Checkup struct {
	Of       string    `json:"of"`
	Identity string    `json:"identity,omitempty"`
	Reached  *bool     `json:"reached,omitempty"` // of a provider
	Findings []Finding `json:"findings"`
}

// DoctorText writes one line for each finding, and the next step below where
// there is one. Nothing that is wrong is left out. The only errors are the
// sink's.
func DoctorText(w io.Writer, list []Checkup, s Style) error {
	p := newPage(w, s)
	for _, c := range list {
		p.gap()
		p.flow(0, 2, solid(Strong, c.Of))
		fine := 0
		for _, f := range c.Findings {
			if f.Status == FindingOK {
				fine++
			}
		}
		shown := 0
		for _, f := range c.Findings {
			if f.Status == FindingOK {
				if shown++; shown > maxFine && fine > maxFine+1 {
					continue
				}
			}
			finding(p, f)
		}
		if fine > maxFine+1 {
			p.line(2, toned(Good, pad(FindingOK, findingColumn)), faint(fmt.Sprintf("  and %d more; coffer doctor -json lists all", fine-maxFine)))
		}
	}
	p.gap()
	n := findings(list)
	p.line(0, toned(Strong, fmt.Sprintf("Doctor: %d ok, %s, %s.", n[FindingOK],
		plural(n[FindingWarning], "warning", "warnings"), plural(n[FindingError], "error", "errors"))))
	return p.end()
}

// findingColumn is how wide the column of the statuses is.
const findingColumn = len(FindingWarning)

func finding(p *page, f Finding) {
	const indent = 2
	tone := map[string]Tone{FindingOK: Good, FindingWarning: Caution}[f.Status]
	if tone == Plain {
		tone = Danger
	}
	hang := indent + findingColumn + 2
	p.flow(indent, hang, solid(tone, pad(f.Status, findingColumn)), text("  "), solid(Strong, f.Subject), text(": "+oneLine(f.Text)))
	if f.Next != "" {
		p.paragraphs(hang, Plain, "Next: "+f.Next)
	}
}

// oneLine joins the lines of a text.
func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }

// findings counts by status.
func findings(list []Checkup) map[string]int {
	n := map[string]int{}
	for _, c := range list {
		for _, f := range c.Findings {
			n[f.Status]++
		}
	}
	return n
}

// DoctorJSON writes the document that docs/schema/doctor.schema.json describes.
func DoctorJSON(w io.Writer, phase string, list []Checkup, diags []planner.Diagnostic) error {
	n := findings(list)
	return JSON(w, struct {
		FormatVersion int                  `json:"format_version"`
		Phase         string               `json:"phase"`
		Checks        []Checkup            `json:"checks"`
		Summary       map[string]int       `json:"summary"`
		Diagnostics   []planner.Diagnostic `json:"diagnostics,omitempty"`
	}{
		FormatVersion: planner.FormatVersion, Phase: phase, Checks: notNull(list), Diagnostics: diags,
		Summary: map[string]int{FindingOK: n[FindingOK], FindingWarning: n[FindingWarning], FindingError: n[FindingError]},
	})
}
