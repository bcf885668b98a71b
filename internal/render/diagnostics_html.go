package render

import (
	"io"

	"github.com/cofferhq/coffer/planner"
)

// DiagnosticsHTML writes findings as [PlanHTML] writes a plan.
func DiagnosticsHTML(w io.Writer, f *Findings) error { return writePage(w, findingsPage(f)) }

func findingsPage(f *Findings) *htmlPage {
	list, errors := f.planner()
	p := &htmlPage{
		Kind: "Coffer " + Sanitize(f.Command), Project: Sanitize(f.Project), LastLine: f.lastLine(), Calm: findingsCalm, NoUnchanged: true,
	}
	p.fact("made", when(f.At), false)
	p.dangers(findingsDangers(list))
	p.count(errors, "danger", "Error", "Errors")
	p.count(len(list)-errors, "caution", "Warning", "Warnings")
	if errors == 0 {
		p.count(f.Secrets, "plain", "Secret", "Secrets")
		p.count(f.Environments, "plain", "Environment", "Environments")
	}
	var first, then []planner.Diagnostic
	for _, d := range list {
		if d.Severity == planner.SeverityWarning {
			then = append(then, d)
		} else {
			first = append(first, d)
		}
	}
	p.rest(nil, nil, append(first, then...))
	return p
}

// count adds a tile that says how many of a thing there are.
func (p *htmlPage) count(n int, class, one, many string) {
	title := many
	if n == 1 {
		title = one
	}
	p.tile(title, class, n)
}
