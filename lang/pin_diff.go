package lang

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/hashicorp/hcl/v2"
)

const (
	// maxPinLine is how much of a line a difference shows.
	maxPinLine = 160
	// pinContext is how many lines stand around what differs.
	pinContext = 3
	// maxPinDiff bounds the lines of a difference.
	maxPinDiff = 200
	// maxPinWork bounds lines times lines; beyond it all of both is shown.
	maxPinWork = 1 << 20
)

// pinDiff is how two forms of a block differ.
type pinDiff struct {
	text  string     // as a unified difference
	names []string   // of the arguments
	at    *hcl.Range // of the first line that is new, nil where none is
}

// pinEdit is a line of a difference: ' ', '-' or '+'.
type pinEdit struct {
	sign rune
	line pinLine
}

// diffPins compares two forms line by line. What an argument comes to is shown
// only where it differs.
func diffPins(was, is *pinUnit) pinDiff {
	edits := editPins(was.lines, is.lines)
	var d pinDiff
	for _, e := range edits {
		if e.sign == ' ' {
			continue
		}
		if e.sign == '+' && d.at == nil {
			d.at = e.line.at.Ptr()
		}
		if name := e.line.name; name != "" && !slices.Contains(d.names, name) {
			d.names = append(d.names, name)
		}
	}
	if was.lines == nil || is.lines == nil {
		d.names = nil // all of it
	}
	var b strings.Builder
	fmt.Fprintf(&b, "--- trusted copy%s\n+++ here%s\n", placeOf(was), placeOf(is))
	b.WriteString(strings.Join(showPins(edits), "\n"))
	d.text = b.String()
	return d
}

func placeOf(u *pinUnit) string {
	if u.lines == nil {
		return ": nothing"
	}
	return ", " + place(u.at)
}

// editPins is the shortest way from one list of lines to another.
func editPins(was, is []pinLine) []pinEdit {
	n, m := len(was), len(is)
	var out []pinEdit
	if n*m > maxPinWork {
		for _, l := range was {
			out = append(out, pinEdit{'-', l})
		}
		for _, l := range is {
			out = append(out, pinEdit{'+', l})
		}
		return out
	}
	common := make([][]int, n+1) // of what is left of both
	for i := range common {
		common[i] = make([]int, m+1)
	}
	for i := n - 1; i >= 0; i-- {
		for j := m - 1; j >= 0; j-- {
			common[i][j] = max(common[i+1][j], common[i][j+1])
			if was[i].same(is[j]) {
				common[i][j] = common[i+1][j+1] + 1
			}
		}
	}
	i, j := 0, 0
	for i < n || j < m {
		switch {
		case i < n && j < m && was[i].same(is[j]):
			out = append(out, pinEdit{' ', is[j]})
			i, j = i+1, j+1
		case j == m || i < n && common[i+1][j] >= common[i][j+1]:
			out = append(out, pinEdit{'-', was[i]})
			i++
		default:
			out = append(out, pinEdit{'+', is[j]})
			j++
		}
	}
	return out
}

// showPins writes edits with a few lines around each.
func showPins(edits []pinEdit) []string {
	var out []string
	near := func(i int) bool {
		for k := max(0, i-pinContext); k <= min(len(edits)-1, i+pinContext); k++ {
			if edits[k].sign != ' ' {
				return true
			}
		}
		return false
	}
	left := 0
	for i, e := range edits {
		if !near(i) {
			left++
			continue
		}
		if left > 0 {
			out = append(out, fmt.Sprintf("@@ %d unchanged @@", left))
			left = 0
		}
		if len(out) == maxPinDiff {
			return append(out, "@@ the rest is not shown @@")
		}
		out = append(out, string(e.sign)+windowOf(e, edits))
	}
	if left > 0 {
		out = append(out, fmt.Sprintf("@@ %d unchanged @@", left))
	}
	return out
}

// windowOf is the text of an edit. Of a long one that is shown which differs from
// its counterpart: the same argument on the other side.
func windowOf(e pinEdit, edits []pinEdit) string {
	text := e.line.shown(e.sign != ' ')
	if len(text) <= maxPinLine {
		return text
	}
	from := 0
	for _, o := range edits {
		if o.sign != e.sign && o.sign != ' ' && e.sign != ' ' && o.line.name == e.line.name {
			from = max(commonPrefix(text, o.line.shown(true))-maxPinLine/4, 0)
		}
	}
	to := min(from+maxPinLine, len(text))
	for from > 0 && !utf8.RuneStart(text[from]) {
		from--
	}
	for to < len(text) && !utf8.RuneStart(text[to]) {
		to--
	}
	shown := text[from:to]
	if from > 0 {
		shown = "... " + shown
	}
	if to < len(text) {
		shown += fmt.Sprintf(" ... (%d bytes)", len(text))
	}
	return shown
}

func commonPrefix(a, b string) int {
	n := 0
	for n < len(a) && n < len(b) && a[n] == b[n] {
		n++
	}
	return n
}
