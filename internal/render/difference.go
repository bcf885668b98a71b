package render

import "strings"

// cutDifference splits a text from the unified difference that it ends in: from
// the first line that begins with "--- " before one that begins with "+++ ".
func cutDifference(s string) (text string, difference []string) {
	lines := strings.Split(strings.TrimRight(cutText(s), "\n"), "\n")
	for i := 0; i+1 < len(lines); i++ {
		if strings.HasPrefix(lines[i], "--- ") && strings.HasPrefix(lines[i+1], "+++ ") {
			return strings.Join(lines[:i], "\n"), lines[i:min(len(lines), i+maxDiffLine)]
		}
	}
	return s, nil
}

// detail writes the text of a diagnostic, with the difference that it may end in.
func (p *page) detail(indent int, s string) {
	said, difference := cutDifference(s)
	p.paragraphs(indent, Plain, said)
	for _, line := range difference {
		line = Sanitize(expandTabs(strings.TrimRight(line, "\r")))
		tone := map[string]Tone{"+": Good, "-": Danger, "@": Faint}[(line + " ")[:1]]
		at := indent
		for _, part := range fitting(line, max(p.width-indent, 20)) {
			p.line(at, toned(tone, part))
			at = indent + 2 // what goes on is no line of the text
		}
	}
}

// fitting splits a line that is longer than n columns, the later parts shorter by
// two.
func fitting(line string, n int) []string {
	var out []string
	for columns(line) > n {
		at, width := 0, 0
		for i, r := range line {
			if width += columns(string(r)); width > n {
				break
			}
			at = i + len(string(r))
		}
		out = append(out, line[:at])
		line = line[at:]
		if len(out) == 1 {
			n -= 2
		}
	}
	return append(out, line)
}

// mdDetailText returns the text of a diagnostic below its item.
func mdDetailText(s string) string {
	said, difference := cutDifference(s)
	text := mdParagraphs(mdSub, said)
	if len(difference) == 0 {
		return text
	}
	for i, line := range difference {
		difference[i] = Sanitize(expandTabs(strings.TrimRight(line, "\r")))
	}
	return text + "\n" + mdFence("diff", strings.Join(difference, "\n")) + "\n"
}

// differenceLines are the lines of a difference for a page.
func differenceLines(lines []string) []htmlLine {
	var out []htmlLine
	for _, line := range lines {
		line = Sanitize(expandTabs(strings.TrimRight(line, "\r")))
		class := map[string]string{"+": "add", "-": "del", "@": "at"}[(line + " ")[:1]]
		if len(out) < 2 {
			class = "at" // the names of the sides
		}
		out = append(out, htmlLine{class, line})
	}
	return out
}
