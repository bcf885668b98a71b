package render

import (
	"fmt"
	"io"
	"strings"
	"time"
)

// comment lays a Markdown document out: a head, then folded sections, each of
// which is there as a whole or left out.
type comment struct {
	limit  int
	how    string // where everything is
	dated  bool   // the time and the serial are told
	head   strings.Builder
	folded []mdSection
}

// mdSection is one folded part.
type mdSection struct {
	name    string // of an app, as it was given; "" for a part that is of no app
	text    string
	changes int
}

// mdRow is a piece of a section that is never torn, and how many changes it shows.
type mdRow struct {
	text    string
	changes int
}

func newComment(project, kind, how string, o MarkdownOptions) *comment {
	name := o.Marker
	if name == "" {
		name = kind
	}
	if o.HowToSee != "" {
		how = o.HowToSee
	}
	d := &comment{limit: o.Limit, how: how, dated: !o.Undated}
	d.line(Marker(project, name))
	return d
}

// line adds a line to the head; gap an empty one.
func (d *comment) line(s string) { d.head.WriteString(s + "\n") }
func (d *comment) gap()          { d.head.WriteByte('\n') }

// told is the rest of the last line, which counts what is unchanged; always says
// that it is told in any case.
func (d *comment) told(rest string, always bool) string {
	if !d.dated && !always {
		return ""
	}
	return prose(rest, mdCode) + " "
}

// origin says what the document was made from.
func (d *comment) origin(project string, serial uint64, at time.Time) string {
	s := "Project " + mdCode(clip(Sanitize(project), maxHeadColumns))
	if !d.dated {
		return s + "."
	}
	s += fmt.Sprintf(", state serial %d", serial)
	if made := when(at); made != "" {
		s += ", made " + made
	}
	return s + "."
}

// fold adds rows under a title that is HTML; where they are too many, they go on
// in sections of their own.
func (d *comment) fold(name, title string, rows []mdRow) {
	const begin, end = "<details>\n<summary>", "</summary>\n\n"
	part := mdSection{name: name, text: begin + title + end}
	for i, r := range rows {
		if i > 0 && len(part.text)+len(r.text) > maxSection {
			d.folded = append(d.folded, part.trimmed())
			part = mdSection{name: name, text: begin + title + " (continued)" + end}
		}
		if strings.HasSuffix(part.text, end) {
			r.text = strings.TrimLeft(r.text, "\n")
		}
		part.text += r.text
		part.changes += r.changes
	}
	d.folded = append(d.folded, part.trimmed())
}

// trimmed ends a section with its last line.
func (s mdSection) trimmed() mdSection {
	s.text = strings.TrimRight(s.text, "\n")
	return s
}

// What stands around a section: an empty line ends the Markdown inside.
const beforeDetails, closeDetails = "\n", "\n\n</details>\n"

// size is how many bytes the section takes in the document.
func (s mdSection) size() int { return len(beforeDetails) + len(s.text) + len(closeDetails) }

// end writes the document, as much of it as the limit allows.
func (d *comment) end(w io.Writer) error {
	head, kept := d.head.String(), len(d.folded)
	size := len(head)
	for _, s := range d.folded {
		size += s.size()
	}
	for d.limit > 0 && kept > 0 && (size > d.limit || size+len(d.leftOut(kept)) > d.limit) {
		kept--
		size -= d.folded[kept].size()
	}
	if d.limit > 0 { // the head is small but for what somebody forged
		head = wholeLines(head, d.limit-len(d.leftOut(kept)))
	}
	var b strings.Builder
	b.WriteString(head)
	for _, s := range d.folded[:kept] {
		b.WriteString(beforeDetails + s.text + closeDetails)
	}
	b.WriteString(d.leftOut(kept))
	_, err := io.WriteString(w, b.String())
	return err
}

// leftOut says what is not there when only the first n sections are.
func (d *comment) leftOut(n int) string {
	cut := d.folded[n:]
	if len(cut) == 0 {
		return ""
	}
	changes, names, named := 0, []string(nil), map[string]bool{"": true}
	for _, s := range cut {
		changes += s.changes
		if !named[s.name] {
			named[s.name] = true
			names = append(names, s.name)
		}
	}
	what := plural(len(cut), "section", "sections")
	if changes > 0 {
		what += " with " + plural(changes, "change", "changes")
	}
	if len(names) > 0 {
		what += " (" + headNames(names) + ")"
	}
	return fmt.Sprintf("\n**Not shown here:** %s, to stay within %d bytes. %s.\n", what, d.limit, strings.TrimRight(prose(d.how, mdCode), "."))
}

// wholeLines returns as many lines of s as fit into n bytes, at least the first,
// which is the marker.
func wholeLines(s string, n int) string {
	if len(s) <= n {
		return s
	}
	end := strings.IndexByte(s, '\n') + 1
	if at := strings.LastIndexByte(s[:max(n, 0)], '\n') + 1; at > end {
		end = at
	}
	return s[:end]
}
