package planner_test

import (
	"os"
	"strings"
	"testing"

	"github.com/cofferhq/coffer/planner"
)

// TestDecisionsPage: the page for users has every row, in the table's order.
func TestDecisionsPage(t *testing.T) {
	page, err := os.ReadFile("../docs/decisions.md")
	if err != nil {
		t.Fatal(err)
	}
	rest := string(page)
	for _, row := range planner.RowNames() {
		_, after, found := strings.Cut(rest, "| "+row+" |")
		if !found {
			t.Fatalf("docs/decisions.md lacks the row %q, or has it in another place", row)
		}
		rest = after
	}
}
