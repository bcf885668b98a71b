package render_test

import (
	"bytes"
	"errors"
	"regexp"
	"strings"
	"testing"

	"github.com/cofferhq/coffer/internal/render"
	"github.com/cofferhq/coffer/lang/addr"
	"github.com/cofferhq/coffer/planner"
	"github.com/cofferhq/coffer/state"
)

// TestAddressesCanBePasted: an address with blanks is read back as what it was,
// in a list, a command and a table, and what a terminal breaks it into has no
// blank that could make a line of it.
func TestAddressesCanBePasted(t *testing.T) {
	a := addr.ProviderObject("vault", "recipients", "some folder/"+strings.Repeat("x", 80)+" with a long name/a file")
	c := change(planner.Conflict, planner.ReasonChangedOutside, "", "", "")
	c.Address = a
	var out bytes.Buffer
	if err := errors.Join(
		render.PlanText(&out, newPlan(1, c), render.Style{}),
		render.StateListText(&out, []*state.Entry{{Address: a}}, render.Style{}),
	); err != nil {
		t.Fatal(err)
	}
	shown := regexp.MustCompile(`provider\.vault\.recipients\["[^"]*"\]`).FindAllString(out.String(), -1)
	if len(shown) < 4 {
		t.Errorf("%d addresses in\n%s", len(shown), out.String())
	}
	for _, text := range shown {
		if got, err := addr.Parse(text); err != nil || got != a {
			t.Errorf("%s is read as %s, %v", text, got, err)
		}
		if strings.Contains(strings.ReplaceAll(text[80:], `\ `, ""), " ") {
			t.Errorf("a blank beyond the first line in %s", text)
		}
	}
}
