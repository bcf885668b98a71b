package cli

import (
	"strings"
	"testing"

	"github.com/hashicorp/hcl/v2"

	"github.com/cofferhq/coffer/internal/render"
	"github.com/cofferhq/coffer/planner"
)

// TestPlannerShowsTheLine: what the planner says of a place is shown with the
// text that stands there, and never with that of another line.
func TestPlannerShowsTheLine(t *testing.T) {
	files := map[string]*hcl.File{"a.hcl": {Bytes: []byte("first {\r\n  text = \"\u00e9e\u0301 \u6f22\"  # \u00fc\n\n  secret \"db\" {\n    path = \"a\\tb\" }\n}")}}
	for name, tt := range map[string]struct {
		at   planner.Range
		want string
	}{
		"first line":      {planner.Range{File: "a.hcl", Line: 1, Column: 1}, "  1 | first {\n    | ^^^^^\n"},
		"a block":         {planner.Range{File: "a.hcl", Line: 4, Column: 3}, "  4 |   secret \"db\" {\n    |   ^^^^^^\n"},
		"behind accents":  {planner.Range{File: "a.hcl", Line: 2, Column: 18}, "  2 |   text = \"\u00e9e\u0301 \u6f22\"  # \u00fc\n    |                   ^^^\n"},
		"in a line":       {planner.Range{File: "a.hcl", Line: 5, Column: 5}, "  5 |     path = \"a\\tb\" }\n    |     ^^^^\n"},
		"last line":       {planner.Range{File: "a.hcl", Line: 6, Column: 1}, "  6 | }\n    | ^\n"},
		"no column":       {planner.Range{File: "a.hcl", Line: 4}, "  4 |   secret \"db\" {\n    |   ^^^^^^\n"},
		"beyond the line": {planner.Range{File: "a.hcl", Line: 1, Column: 99}, ""},
		"beyond the file": {planner.Range{File: "a.hcl", Line: 9, Column: 1}, ""},
		"another file":    {planner.Range{File: "b.hcl", Line: 1, Column: 1}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			diags := fromPlanner([]planner.Diagnostic{{Severity: planner.SeverityError, Summary: "no", Range: &tt.at}}, files)
			if got := *render.PlanDiagnostic(diags[0]).Range; got != tt.at {
				t.Errorf("the place became %v", got)
			}
			var out strings.Builder
			if err := render.DiagnosticsText(&out, diags, files, render.Style{}); err != nil {
				t.Fatal(err)
			}
			_, snippet, found := strings.Cut(strings.TrimPrefix(out.String(), "Error: no\n"), "\n")
			if !found || snippet != tt.want {
				t.Errorf("shown:\n%swant:\n%s", out.String(), tt.want)
			}
		})
	}
}
