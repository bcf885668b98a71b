package render

import (
	"bytes"
	"io"
	"strconv"
	"strings"

	"github.com/hashicorp/hcl/v2"

	"github.com/cofferhq/coffer/planner"
)

// DiagnosticsText writes diagnostics of the configuration: place, the line
// with carets under what is meant, and what to do. Values of expressions are
// not shown. The only errors are the sink's.
func DiagnosticsText(w io.Writer, ds hcl.Diagnostics, files map[string]*hcl.File, s Style) error {
	p := newPage(w, s)
	errors, warnings := 0, 0
	for _, d := range ds {
		p.gap()
		pd := PlanDiagnostic(d)
		if pd.Severity == planner.SeverityError {
			errors++
		} else {
			warnings++
		}
		severity(p, pd.Severity, d.Summary)
		if r := rangeText(pd.Range); r != "" {
			p.line(2, solid(Faint, r))
		}
		if d.Subject != nil {
			snippet(p, d, files[d.Subject.Filename])
		}
		p.detail(2, d.Detail)
	}
	if len(ds) > 1 {
		p.gap()
		p.line(0, toned(Strong, plural(errors, "error", "errors")+", "+plural(warnings, "warning", "warnings")+"."))
	}
	return p.end()
}

// PlanDiagnostic returns a diagnostic of the configuration in the form that
// the JSON documents have. One that the planner found is as it was.
func PlanDiagnostic(d *hcl.Diagnostic) planner.Diagnostic {
	if f, ok := d.Extra.(interface{ Found() planner.Diagnostic }); ok {
		found := f.Found()
		if found.Severity = planner.SeverityError; d.Severity == hcl.DiagWarning {
			found.Severity = planner.SeverityWarning // whoever shows it may have made it milder
		}
		return found
	}
	out := planner.Diagnostic{Severity: planner.SeverityError, Summary: d.Summary, Detail: d.Detail}
	if d.Severity == hcl.DiagWarning {
		out.Severity = planner.SeverityWarning
	}
	if d.Subject != nil {
		out.Range = &planner.Range{
			File: d.Subject.Filename, Line: d.Subject.Start.Line, Column: d.Subject.Start.Column,
		}
	}
	return out
}

// snippet shows the first line of r with carets under it. A long line is cut
// to a window around the place, and what is said to be a secret is not shown.
func snippet(p *page, d *hcl.Diagnostic, f *hcl.File) {
	r := d.Subject
	if f == nil {
		return
	}
	before, subject, after, ok := sourceLine(f.Bytes, r)
	if !ok {
		return
	}
	if hides, ok := d.Extra.(interface{ HidesSource() bool }); ok && hides.HidesSource() {
		subject, after = "(not shown)", ""
	}
	number := strconv.Itoa(r.Start.Line)
	room := max(p.width-2-len(number)-3, 20)
	before, subject, after = Sanitize(expandTabs(before)), Sanitize(expandTabs(subject)), Sanitize(expandTabs(after))
	subject = clip(subject, room*2/3)
	before = clipLeft(before, room-columns(subject)-min(columns(after), room/4))
	after = clip(after, max(room-columns(before)-columns(subject), 3))
	bar := faint(spaces(len(number)) + " | ")
	p.line(2, faint(number+" | "), text(before), toned(Strong, subject), text(after))
	p.line(2, bar, text(spaces(columns(before))), toned(Danger, strings.Repeat("^", max(columns(subject), 1))))
}

// sourceLine returns the first line of r in three parts; ok is false where src
// has no such place.
func sourceLine(src []byte, r *hcl.Range) (before, subject, after string, ok bool) {
	start, end := r.Start.Byte, r.End.Byte
	if start < 0 || start > len(src) || bytes.Count(src[:start], []byte("\n"))+1 != r.Start.Line {
		return "", "", "", false
	}
	lineStart := bytes.LastIndexByte(src[:start], '\n') + 1
	lineEnd := len(src)
	if i := bytes.IndexByte(src[start:], '\n'); i >= 0 {
		lineEnd = start + i
	}
	end = min(max(end, start), lineEnd)
	trim := func(b []byte) string { return strings.TrimRight(string(b), "\r") }
	return string(src[lineStart:start]), trim(src[start:end]), trim(src[end:lineEnd]), true
}

// clipLeft returns as much of the end of s as fits into n columns.
func clipLeft(s string, n int) string {
	if columns(s) <= n {
		return s
	}
	runes := []rune(s)
	room := n - len("...")
	at := len(runes)
	for at > 0 && room-columns(string(runes[at-1])) >= 0 {
		at--
		room -= columns(string(runes[at]))
	}
	return "..." + string(runes[at:])
}
