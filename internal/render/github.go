package render

import (
	"fmt"
	"io"
	"strconv"
	"strings"
)

// maxAnnotations is how many annotations of each level GitHub shows of a step;
// of the 50 of a job that leaves room for others.
const maxAnnotations = 10

// GitHub writes a report as the commands that a runner of GitHub Actions turns
// into annotations of the lines of the configuration. Beyond what GitHub shows,
// the least important are left out, and the last annotation counts them. The
// only errors are the sink's.
func GitHub(w io.Writer, rep *Report, o ReportOptions) error {
	counts, left := map[Level]int{}, map[Level]int{}
	for i := range rep.Findings {
		counts[rep.Findings[i].Level]++
	}
	notices := maxAnnotations
	if max(counts[LevelError], counts[LevelWarning], counts[LevelNotice]) > maxAnnotations {
		notices-- // room for the one that counts the others
	}
	room := map[Level]int{LevelError: maxAnnotations, LevelWarning: maxAnnotations, LevelNotice: notices}
	var b strings.Builder
	for i := range rep.Findings {
		f := &rep.Findings[i]
		if room[f.Level] == 0 {
			left[f.Level]++
			continue
		}
		room[f.Level]--
		annotation(&b, f, o)
	}
	if n := left[LevelError] + left[LevelWarning] + left[LevelNotice]; n > 0 {
		var parts []string
		for _, l := range []Level{LevelError, LevelWarning, LevelNotice} {
			if left[l] > 0 {
				parts = append(parts, plural(left[l], string(l), string(l)+"s"))
			}
		}
		fmt.Fprintf(&b, "::notice title=%s::%s\n", githubProperty(plural(n, "more finding", "more findings")),
			githubData(strings.Join(parts, ", ")+" left out: GitHub shows "+strconv.Itoa(maxAnnotations)+" of each kind. coffer "+rep.Command+" -json has all."))
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func annotation(b *strings.Builder, f *ReportFinding, o ReportOptions) {
	title := Sanitize(f.headline())
	properties := []string{}
	if file, line, exact := o.place(f); exact {
		properties = append(properties, "file="+githubProperty(Sanitize(file)), "line="+strconv.Itoa(line))
		if f.Range.Column > 0 {
			properties = append(properties, "col="+strconv.Itoa(f.Range.Column))
		}
	}
	properties = append(properties, "title="+githubProperty(title))
	lines := sanitizeLines(f.Message)
	if len(lines) == 0 {
		lines = []string{title} // an annotation without a message is not shown
	}
	fmt.Fprintf(b, "::%s %s::%s\n", f.Level, strings.Join(properties, ","), githubData(strings.Join(lines, "\n")))
}

// githubData escapes the message of a workflow command.
func githubData(s string) string {
	return strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A").Replace(s)
}

// githubProperty escapes a property of a workflow command.
func githubProperty(s string) string {
	return strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A", ":", "%3A", ",", "%2C").Replace(s)
}
