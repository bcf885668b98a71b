package render_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/cofferhq/coffer/internal/render"
)

func TestPatch(t *testing.T) {
	for _, test := range []struct{ before, after, want string }{
		{"a\n", "a\n", ""},
		{"a=1\n\tb\n", "a = 1\n\tb\n", "--- a/x.hcl\n+++ b/x.hcl\n@@ -1,2 +1,2 @@\n-a=1\n+a = 1\n \tb\n"},
		{"a", "a\n", "--- a/x.hcl\n+++ b/x.hcl\n@@ -1,1 +1,1 @@\n-a\n\\ No newline at end of file\n+a\n"},
		{"", "a\n", "--- a/x.hcl\n+++ b/x.hcl\n@@ -0,0 +1,1 @@\n+a\n"},
	} {
		var out strings.Builder
		if err := render.Patch(&out, "x.hcl", test.before, test.after); err != nil || out.String() != test.want {
			t.Errorf("%q to %q: %v\n%s", test.before, test.after, err, out.String())
		}
	}
	var out strings.Builder
	if err := render.Patch(&out, "x.hcl", "a\x1b[2J\n", "b\n"); err != nil || strings.Contains(out.String(), "\x1b") {
		t.Errorf("%v\n%q", err, out.String())
	}
}

// A patch says exactly what changes: read back and applied to the one text it
// gives the other.
func TestPatchApplies(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	text := func() string {
		var b strings.Builder
		for range random.IntN(40) {
			fmt.Fprintf(&b, "line %d\n", random.IntN(12))
		}
		return b.String()
	}
	for range 300 {
		before, after := text(), text()
		if random.IntN(2) == 0 { // a small change in a long text
			before = strings.Repeat("same\n", 30) + before + strings.Repeat("tail\n", 30)
			after = strings.Replace(before, "line", "Line", 1+random.IntN(3)) + "end\n"
		}
		var out strings.Builder
		if err := render.Patch(&out, "x", before, after); err != nil {
			t.Fatal(err)
		}
		if got := applyPatch(t, before, out.String()); got != after {
			t.Fatalf("%q and\n%s\ngive %q, want %q", before, out.String(), got, after)
		}
	}
}

func applyPatch(t *testing.T, before, patch string) string {
	old := strings.SplitAfter(before, "\n")
	var b strings.Builder
	at := 0
	for i, line := range strings.SplitAfter(patch, "\n") {
		switch {
		case i < 2 || line == "":
		case strings.HasPrefix(line, "@@"):
			var from, n, to, m int
			if _, err := fmt.Sscanf(line, "@@ -%d,%d +%d,%d @@", &from, &n, &to, &m); err != nil {
				t.Fatal(err)
			}
			if n > 0 {
				from--
			}
			for ; at < from; at++ {
				b.WriteString(old[at])
			}
		case line[0] == '+':
			b.WriteString(line[1:])
		default:
			if old[at] != line[1:] {
				t.Fatalf("line %d is %q, and the patch says %q", at+1, old[at], line)
			}
			if line[0] == ' ' {
				b.WriteString(old[at])
			}
			at++
		}
	}
	return b.String() + strings.Join(old[min(at, len(old)):], "")
}
