package render

import (
	"fmt"
	"strings"

	"github.com/sergi/go-diff/diffmatchpatch"
)

const (
	// contextLines are shown around each difference.
	contextLines = 3
	// maxDiffWork bounds lines times lines of a diff, which has no time limit
	// so that it is the same on every machine.
	maxDiffWork = 4 << 20
)

// diffLine is one line of a document: '+', '-' or ' ' and its text.
type diffLine struct {
	sign rune
	text string
}

// document shows how the text of an object changes, line by line.
func document(p *page, before, after string) {
	if before == after {
		return
	}
	if strings.TrimSuffix(before, "\n") == strings.TrimSuffix(after, "\n") {
		p.line(bodyIndent, faint("  only the newline at the end changes"))
		return
	}
	diff(p, bodyIndent, diffDocuments(before, after))
}

func diff(p *page, indent int, lines []diffLine) {
	for i := 0; i < len(lines); i++ {
		if n := sameRun(lines, i); n > 0 {
			p.line(indent, faint(fmt.Sprintf("  ... %s unchanged", plural(n, "line", "lines"))))
			i += n - 1
			continue
		}
		tone := map[rune]Tone{'+': Good, '-': Danger, ' ': Plain}[lines[i].sign]
		shown := strings.TrimRight(string(lines[i].sign)+" "+expandTabs(lines[i].text), " ")
		if shown == "" {
			p.line(0)
			continue
		}
		p.line(indent, toned(tone, shown))
	}
}

// sameRun returns how many lines from i on are too far from any difference to
// be shown.
func sameRun(lines []diffLine, i int) int {
	near := func(j int) bool {
		for k := max(0, j-contextLines); k <= min(len(lines)-1, j+contextLines); k++ {
			if lines[k].sign != ' ' {
				return true
			}
		}
		return false
	}
	n := 0
	for i+n < len(lines) && lines[i+n].sign == ' ' && !near(i+n) {
		n++
	}
	return n
}

// diffDocuments compares line by line, from where the two begin to differ to
// where they do no more. Where that would take too long the whole of one is
// replaced by the whole of the other, which is true as well.
func diffDocuments(before, after string) []diffLine {
	a, b := splitLines(before), splitLines(after)
	head := 0
	for head < min(len(a), len(b)) && a[head] == b[head] {
		head++
	}
	tail := 0
	for tail < min(len(a), len(b))-head && a[len(a)-1-tail] == b[len(b)-1-tail] {
		tail++
	}
	out := signed(' ', a[:head])
	out = append(out, diffLines(a[head:len(a)-tail], b[head:len(b)-tail])...)
	return append(out, signed(' ', a[len(a)-tail:])...)
}

func diffLines(a, b []string) []diffLine {
	if len(a)*len(b) > maxDiffWork {
		return append(signed('-', a), signed('+', b)...)
	}
	dmp := diffmatchpatch.New()
	dmp.DiffTimeout = 0
	chars1, chars2, table := dmp.DiffLinesToChars(joinLines(a), joinLines(b))
	var out []diffLine
	for _, d := range dmp.DiffCharsToLines(dmp.DiffMain(chars1, chars2, false), table) {
		sign := map[diffmatchpatch.Operation]rune{
			diffmatchpatch.DiffDelete: '-', diffmatchpatch.DiffInsert: '+', diffmatchpatch.DiffEqual: ' ',
		}[d.Type]
		out = append(out, signed(sign, splitLines(d.Text))...)
	}
	return out
}

func signed(sign rune, lines []string) []diffLine {
	out := make([]diffLine, len(lines))
	for i, l := range lines {
		out[i] = diffLine{sign, l}
	}
	return out
}

// splitLines returns the lines of s; a missing newline at the end is none.
func splitLines(s string) []string {
	if s == "" {
		return nil
	}
	return strings.Split(strings.TrimSuffix(s, "\n"), "\n")
}

// joinLines ends every line with a newline, so that a last line without one
// is like any other.
func joinLines(lines []string) string {
	if len(lines) == 0 {
		return ""
	}
	return strings.Join(lines, "\n") + "\n"
}

// expandTabs keeps the shape of indented text, which would else be escaped.
func expandTabs(s string) string { return strings.ReplaceAll(s, "\t", "    ") }
