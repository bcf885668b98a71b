package lang

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

const checked = `
coffer {
  project = "shop"
}
provider "sops" {
}
environment "dev" {
  store = sops
}
variable "most" {
  default = 0
}
check "slo" {
  assert {
    condition     = length(overdue("dev")) <= var.most
    error_message = "Overdue: ${join(", ", overdue("dev"))}."
  }
  assert {
    condition     = length(concat(due("dev"), conflicts("dev"), unprotected("dev"))) == 0
    error_message = "Something else."
  }
}
`

func loadChecked(t *testing.T, text string, o Options) *Check {
	t.Helper()
	dir := t.TempDir()
	write(t, dir, "coffer.hcl", text)
	o.ProviderTypes = []string{"sops"}
	cfg, diags := Load(dir, o)
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	return cfg.Checks[0]
}

func TestCheckEvaluate(t *testing.T) {
	list := func(names ...string) func(string) []string {
		return func(env string) []string {
			if env != "dev" {
				t.Errorf("asked about %q", env)
			}
			return names
		}
	}
	for _, c := range []struct {
		name  string
		facts CheckFacts
		want  []string
	}{
		{"nothing is known", CheckFacts{}, nil},
		{"all is well", CheckFacts{Overdue: list(), Due: list(), Conflicts: list(), Unprotected: list()}, nil},
		{"overdue", CheckFacts{Overdue: list("a", "b")}, []string{"Overdue: a, b."}},
		{"due", CheckFacts{Due: list("a")}, []string{"Something else."}},
		{"conflicts", CheckFacts{Conflicts: list("a")}, []string{"Something else."}},
		{"unprotected and overdue", CheckFacts{Unprotected: list("a"), Overdue: list("b")}, []string{"Overdue: b.", "Something else."}},
	} {
		failed, diags := loadChecked(t, checked, Options{}).Evaluate(c.facts)
		if len(diags) > 0 {
			t.Errorf("%s: %v", c.name, diags)
		}
		var got []string
		for _, f := range failed {
			got = append(got, f.Message)
			if f.Range.Filename != "coffer.hcl" || f.Range.Start.Line < 13 {
				t.Errorf("%s: wrong place %v", c.name, f.Range)
			}
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s: %s", c.name, diff)
		}
	}
}

func TestCheckEvaluateVariable(t *testing.T) {
	check := loadChecked(t, checked, Options{Vars: map[string]string{"most": "2"}})
	failed, diags := check.Evaluate(CheckFacts{Overdue: func(string) []string { return []string{"a", "b"} }})
	if len(failed) > 0 || len(diags) > 0 {
		t.Errorf("two may be overdue: %v %v", failed, diags)
	}
}

// What only shows with real answers is a diagnostic, not a failed assertion.
func TestCheckEvaluateError(t *testing.T) {
	check := loadChecked(t, strings.Replace(checked, "length(overdue(\"dev\")) <= var.most", "overdue(\"dev\")[7] == \"\"", 1), Options{})
	failed, diags := check.Evaluate(CheckFacts{})
	if len(failed) != 0 || !diags.HasErrors() || diags[0].Subject.Start.Line != 15 {
		t.Errorf("want one diagnostic at line 15, got %v, %v", failed, diags)
	}
}

// A check may read files long after Load.
func TestCheckReadsFile(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "note.txt", "noted")
	write(t, dir, "coffer.hcl", strings.Replace(checked, "Something else.", "${file(\"note.txt\")}", 1))
	cfg, diags := Load(dir, Options{ProviderTypes: []string{"sops"}})
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	failed, _ := cfg.Checks[0].Evaluate(CheckFacts{Due: func(string) []string { return []string{"x"} }})
	if len(failed) != 1 || failed[0].Message != "noted" {
		t.Errorf("got %v, want the text of the file", failed)
	}
}

func TestCheckDeadline(t *testing.T) {
	loop := "length([for a in overdue(\"dev\") : [for b in range(30000) : [for c in [a] : c]]]) == 0"
	loop = strings.ReplaceAll(loop, "[for c in [a] : c]", "a")
	text := strings.Replace(checked, "length(overdue(\"dev\")) <= var.most", loop, 1)
	check := loadChecked(t, text, Options{Deadline: 50 * time.Millisecond})
	many := make([]string, 3000)
	failed, diags := check.Evaluate(CheckFacts{Overdue: func(string) []string { return many }})
	if failed != nil || len(diags) != 1 || diags[0].Subject == nil || !strings.Contains(diags[0].Summary, "too") {
		t.Errorf("want the deadline's diagnostic, got %v, %v", failed, diags)
	}
}
