package render

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/hashicorp/hcl/v2"

	"github.com/cofferhq/coffer/planner"
)

// Findings are what a command has to say of a configuration that has no other
// result: what validate found, or why a command could not begin.
type Findings struct {
	Command string // "validate", "plan", …; it is the name in the marker
	Project string // "" where it could not be read
	At      time.Time
	// Secrets and Environments are how many the configuration has; with errors
	// nobody counts them.
	Secrets, Environments int
	Diagnostics           hcl.Diagnostics
}

// planner returns the diagnostics in the form that documents have, and how many
// of them are errors.
func (f *Findings) planner() (list []planner.Diagnostic, errors int) {
	for _, d := range f.Diagnostics {
		pd := PlanDiagnostic(d)
		if pd.Severity != planner.SeverityWarning {
			errors++
		}
		list = append(list, pd)
	}
	return list, errors
}

// lastLine says what validate says of a valid configuration, else how much is
// wrong.
func (f *Findings) lastLine() string {
	list, errors := f.planner()
	line := fmt.Sprintf("The configuration is valid: %s in %s", plural(f.Secrets, "secret", "secrets"), plural(f.Environments, "environment", "environments"))
	if errors > 0 {
		line = plural(errors, "error", "errors")
	}
	if n := len(list) - errors; n > 0 {
		line += ", " + plural(n, "warning", "warnings")
	}
	return line + "."
}

// findingsCalm is what is said where nothing is wrong.
const findingsCalm = "Nothing is wrong with the configuration."

// DiagnosticsMarkdown writes findings as [PlanMarkdown] writes a plan: how much is
// wrong and where first, below it each with its words, folded.
func DiagnosticsMarkdown(w io.Writer, f *Findings, o MarkdownOptions) error {
	d := newComment(f.Project, f.Command, "`coffer "+f.Command+" -json` lists everything", o)
	list, errors := f.planner()
	last := f.lastLine()
	d.line("### Coffer " + prose(f.Command, mdCode) + ": " + last[:len(last)-1])
	var said []string
	if errors == 0 {
		said = append(said, "No store and no state was asked.")
	}
	if f.Project != "" {
		said = append(said, "Project "+mdCode(clip(Sanitize(f.Project), maxHeadColumns))+".")
	}
	if made := when(f.At); made != "" && d.dated {
		said = append(said, "Made "+made+".")
	}
	if len(said) > 0 {
		d.gap()
		d.line(strings.Join(said, " "))
	}
	d.first(findingsDangers(list), false)
	if len(list) == 0 {
		d.gap()
		d.line(findingsCalm)
	}
	d.diagnostics(list, "Error", "error", "errors")
	d.diagnostics(list, "Warning", "warning", "warnings")
	return d.end(w)
}

func findingsDangers(list []planner.Diagnostic) []danger {
	errors := diagnosticNames(list, planner.SeverityError)
	return dangers(danger{counted(errors, "error", "errors"), "", errors}, warnings(list))
}
