package render

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/sergi/go-diff/diffmatchpatch"
)

// Patch writes how a file changes as a unified diff, which patch and git apply
// take. Equal texts write nothing. What could command a terminal is escaped, so
// that a file with such bytes in it gives a patch for eyes alone. The only
// errors are the sink's.
func Patch(w io.Writer, name, before, after string) error {
	lines := patchLines(before, after)
	changed := func(l diffLine) bool { return l.sign != ' ' }
	if before == after {
		return nil
	}
	var b strings.Builder
	name = Sanitize(name)
	fmt.Fprintf(&b, "--- a/%s\n+++ b/%s\n", name, name)
	old, now := 1, 1 // the number of the next line on each side
	for slices.ContainsFunc(lines, changed) {
		skip := max(0, slices.IndexFunc(lines, changed)-contextLines)
		lines, old, now = lines[skip:], old+skip, now+skip
		n := hunkLength(lines)
		a, c := 0, 0
		for _, l := range lines[:n] {
			if l.sign != '+' {
				a++
			}
			if l.sign != '-' {
				c++
			}
		}
		fmt.Fprintf(&b, "@@ -%s +%s @@\n", hunkRange(old, a), hunkRange(now, c))
		for _, l := range lines[:n] {
			writePatchLine(&b, l)
		}
		lines, old, now = lines[n:], old+a, now+c
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// hunkRange names lines as a hunk does: a side without lines stands behind the
// line before.
func hunkRange(from, n int) string {
	if n == 0 {
		from--
	}
	return fmt.Sprintf("%d,%d", from, n)
}

// hunkLength returns how many lines belong to the first hunk: up to a run of
// equal lines that is longer than the context of two differences.
func hunkLength(lines []diffLine) int {
	last := slices.IndexFunc(lines, func(l diffLine) bool { return l.sign != ' ' })
	for i := last; i < len(lines) && i-last <= 2*contextLines+1; i++ {
		if lines[i].sign != ' ' {
			last = i
		}
	}
	return min(last+contextLines+1, len(lines))
}

func writePatchLine(b *strings.Builder, l diffLine) {
	b.WriteRune(l.sign)
	text, ended := strings.CutSuffix(l.text, "\n")
	for i, part := range strings.Split(text, "\t") { // a patch needs its tabs
		if i > 0 {
			b.WriteByte('\t')
		}
		b.WriteString(Sanitize(part))
	}
	b.WriteByte('\n')
	if !ended {
		b.WriteString("\\ No newline at end of file\n")
	}
}

// patchLines compares line by line, each with its newline.
func patchLines(before, after string) []diffLine {
	var out []diffLine
	add := func(sign rune, text string) {
		for line := range strings.Lines(text) {
			out = append(out, diffLine{sign, line})
		}
	}
	if strings.Count(before, "\n")*strings.Count(after, "\n") > maxDiffWork {
		add('-', before)
		add('+', after)
		return out
	}
	dmp := diffmatchpatch.New()
	dmp.DiffTimeout = 0
	chars1, chars2, table := dmp.DiffLinesToChars(before, after)
	signs := map[diffmatchpatch.Operation]rune{
		diffmatchpatch.DiffDelete: '-', diffmatchpatch.DiffInsert: '+', diffmatchpatch.DiffEqual: ' ',
	}
	for _, d := range dmp.DiffCharsToLines(dmp.DiffMain(chars1, chars2, false), table) {
		add(signs[d.Type], d.Text)
	}
	return out
}
