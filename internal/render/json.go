package render

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/hashicorp/hcl/v2"

	"github.com/cofferhq/coffer/lang/addr"
	"github.com/cofferhq/coffer/planner"
)

// JSON writes doc as one indented JSON document that is safe on a terminal and
// in a CI log: within strings, what [Sanitize] would escape is a \u escape, so
// that every reader still gets the exact text. It returns the errors of
// encoding/json and of the sink.
func JSON(w io.Writer, doc any) error {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(doc); err != nil {
		return fmt.Errorf("encode the document: %w", err)
	}
	_, err := w.Write(escapeJSON(buf.Bytes()))
	return err
}

// escapeJSON escapes what is unsafe to show. All of it is inside strings,
// since the syntax of JSON is plain ASCII without "#".
func escapeJSON(doc []byte) []byte {
	out := make([]byte, 0, len(doc))
	var e escaper
	for len(doc) > 0 {
		r, n := utf8.DecodeRune(doc)
		switch {
		case r == '\n':
			out = append(out, '\n')
			e = escaper{}
		case !e.unsafe(r):
			out = append(out, doc[:n]...)
			e.advance(r)
		default:
			for _, unit := range utf16.Encode([]rune{r}) {
				out = fmt.Appendf(out, `\u%04x`, unit)
			}
			e.advance('\\')
		}
		doc = doc[n:]
	}
	return out
}

// PlanJSON writes the plan document that docs/schema/plan.schema.json
// describes. The summary counts the changes that are in it.
func PlanJSON(w io.Writer, plan *planner.Plan) error {
	doc := *plan
	doc.Changes = notNull(doc.Changes)
	doc.Notes = notNull(doc.Notes)
	doc.Diagnostics = notNull(doc.Diagnostics)
	doc.Summary = planner.Summary{}
	for i := range doc.Changes {
		if a := doc.Changes[i].Action; slices.Contains(countOrder(), a) {
			doc.Summary.Add(a, 1)
		}
	}
	return JSON(w, doc)
}

// DriftJSON writes the document that docs/schema/drift.schema.json describes.
func DriftJSON(w io.Writer, report *planner.DriftReport) error {
	doc := *report
	doc.Drift = notNull(doc.Drift)
	doc.Notes = notNull(doc.Notes)
	doc.Diagnostics = notNull(doc.Diagnostics)
	return JSON(w, doc)
}

// DiagnosticsJSON writes the document that
// docs/schema/diagnostics.schema.json describes: what validate found.
func DiagnosticsJSON(w io.Writer, ds hcl.Diagnostics) error { return ErrorJSON(w, "", ds) }

// ErrorJSON writes the same document for a command that could not begin or go
// on; code is what kind of reason that has, for programs.
func ErrorJSON(w io.Writer, code string, ds hcl.Diagnostics) error {
	doc := struct {
		FormatVersion int                  `json:"format_version"`
		Valid         bool                 `json:"valid"`
		Code          string               `json:"code,omitempty"`
		Errors        int                  `json:"errors"`
		Warnings      int                  `json:"warnings"`
		Diagnostics   []planner.Diagnostic `json:"diagnostics"`
	}{FormatVersion: planner.FormatVersion, Code: code, Diagnostics: []planner.Diagnostic{}}
	for _, d := range ds {
		pd := PlanDiagnostic(d)
		doc.Diagnostics = append(doc.Diagnostics, pd)
		if pd.Severity == planner.SeverityError {
			doc.Errors++
		} else {
			doc.Warnings++
		}
	}
	doc.Valid = doc.Errors == 0
	return JSON(w, doc)
}

// ApplyJSON writes the document that docs/schema/apply.schema.json describes.
func ApplyJSON(w io.Writer, sum ApplySummary) error {
	doc := struct {
		FormatVersion int                    `json:"format_version"`
		Done          map[planner.Action]int `json:"done"`
		Failed        []Outcome              `json:"failed"`
		Skipped       []Outcome              `json:"skipped"`
		Conflicts     []Outcome              `json:"conflicts"`
		Behind        []addr.Address         `json:"behind"`
		Checks        []planner.CheckState   `json:"checks,omitempty"`
		Interrupted   bool                   `json:"interrupted"`
		ValuesRead    int                    `json:"values_read"`
	}{
		FormatVersion: planner.FormatVersion,
		Done:          map[planner.Action]int{},
		Failed:        notNull(sum.Failed),
		Skipped:       notNull(sum.Skipped),
		Conflicts:     notNull(sum.Conflicts),
		Behind:        notNull(sum.Behind),
		Checks:        sum.Checks,
		Interrupted:   sum.Interrupted,
		ValuesRead:    sum.ValuesRead,
	}
	for _, action := range countOrder() {
		doc.Done[action] = sum.Done[action]
	}
	return JSON(w, doc)
}

// notNull makes an absent list an empty one.
func notNull[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return slices.Clip(list)
}
