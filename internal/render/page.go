package render

import (
	"bufio"
	"io"
	"regexp"
	"strings"
)

// page lays out text in lines. Its Writer is the sink's.
type page struct {
	w     *Writer
	buf   *bufio.Writer
	width int
	begun bool
	gapAt bool // an empty line is due before the next one
}

func newPage(w io.Writer, s Style) *page {
	buf := bufio.NewWriter(w)
	return &page{w: NewWriter(buf, s), buf: buf, width: s.width()}
}

// end writes out what is buffered and returns the first error of the sink.
func (p *page) end() error {
	if err := p.w.Err(); err != nil {
		return err
	}
	return p.buf.Flush()
}

// span is a piece of a paragraph in one tone.
type span struct {
	tone Tone
	text string
	// solid text is never broken: an address, a path.
	solid bool
	// code is broken even inside a word where that is longer than a line.
	code bool
}

func text(s string) span          { return span{text: s} }
func code(s string) span          { return span{text: s, code: true} }
func toned(t Tone, s string) span { return span{tone: t, text: s} }
func solid(t Tone, s string) span { return span{tone: t, text: s, solid: true} }
func faint(s string) span         { return span{tone: Faint, text: s} }
func spaces(n int) string         { return strings.Repeat(" ", max(n, 0)) }
func pad(s string, n int) string  { return s + spaces(n-columns(s)) }

// sentence puts commas between parts.
func sentence(parts []span) []span {
	var out []span
	for i, part := range parts {
		if i > 0 {
			out = append(out, text(", "))
		}
		out = append(out, part)
	}
	return out
}

// gap asks for an empty line before the next line.
func (p *page) gap() { p.gapAt = p.begun }

// line writes spans in one line, however long it is.
func (p *page) line(indent int, spans ...span) {
	p.open(indent)
	column := indent
	for _, s := range spans {
		s = p.bounded(s, column)
		p.w.Print(s.tone, s.text)
		column += columns(s.text)
	}
	p.w.Print(Plain, "\n")
}

func (p *page) open(indent int) {
	if p.gapAt {
		p.w.Print(Plain, "\n")
	}
	p.gapAt, p.begun = false, true
	p.w.Print(Plain, spaces(indent))
}

// unit is what stands between two places where a line may be broken.
type unit struct {
	before int // spaces before it, dropped at the start of a line
	spans  []span
	width  int
}

// flow writes a paragraph: its first line is indented by first, those that
// follow by hang. Lines are broken at spaces, but not inside a solid span.
func (p *page) flow(first, hang int, spans ...span) {
	units := p.units(spans, hang)
	if len(units) == 0 {
		return
	}
	p.open(first)
	column := first
	var run span // what is next on this line, in one tone
	put := func(s span) {
		if s.tone != run.tone {
			p.w.Print(run.tone, run.text)
			run = span{tone: s.tone}
		}
		run.text += s.text
	}
	for i, u := range units {
		switch {
		case i > 0 && column+u.before+u.width > p.width:
			p.w.Print(run.tone, run.text)
			run.text = ""
			p.w.Print(Plain, "\n"+spaces(hang))
			column = hang
		case i > 0 && run.tone == u.spans[0].tone:
			run.text += spaces(u.before)
			column += u.before
		case i > 0:
			put(text(spaces(u.before)))
			column += u.before
		}
		for _, s := range u.spans {
			put(s)
		}
		column += u.width
	}
	p.w.Print(run.tone, run.text)
	p.w.Print(Plain, "\n")
}

// paragraphs flows text that may have lines of its own.
func (p *page) paragraphs(indent int, tone Tone, s string) {
	for line := range strings.Lines(cutText(s)) {
		line = strings.TrimRight(line, "\r\n")
		if at := policyLine.FindStringIndex(line); at != nil {
			p.flow(indent, indent, toned(tone, line[:at[0]]))
			p.line(indent+2, toned(Strong, line[at[0]:at[1]]))
			line = line[at[1]:]
		}
		p.flow(indent, indent, toned(tone, line))
	}
}

// policyLine finds a line of a policy in a text, which is to be copied and so
// stands alone and unbroken. It has no spaces but its own, so that nothing that
// a terminal breaks it into passes for a line of ours.
var policyLine = regexp.MustCompile(`path "[^" ]+" \{ capabilities = \[("[a-z]+",? ?)+\] \}`)

// cutText bounds the text of one paragraph before it is split.
func cutText(s string) string {
	if len(s) <= maxLine {
		return s
	}
	return s[:maxLine] + "\n... (cut)"
}

// units splits spans at the places where a line may be broken, sanitised.
func (p *page) units(spans []span, hang int) []unit {
	var units []unit
	before := 0 // spaces since the last piece; none: it goes on
	add := func(s span) {
		if before > 0 || len(units) == 0 {
			units = append(units, unit{before: before})
		}
		u := &units[len(units)-1]
		u.spans = append(u.spans, s)
		u.width += columns(s.text)
		before = 0
	}
	for _, s := range spans {
		s = p.bounded(s, hang+glued(units, before))
		if s.solid {
			add(s)
			continue
		}
		for rest := s.text; rest != ""; {
			word := strings.TrimLeft(rest, " ")
			before = min(before+len(rest)-len(word), 2)
			if word == "" {
				break
			}
			end := strings.IndexByte(word+" ", ' ')
			if n := command(word); n > end && columns(word[:n]) <= p.width-hang {
				end = n
			}
			add(span{tone: s.tone, text: word[:end]})
			if s.code {
				units = p.broken(units, hang)
			}
			rest = word[end:]
		}
	}
	return units
}

// command returns the length of a command in backquotes that text begins with,
// and of what sticks to it; 0 where there is none. A command that is broken
// over two lines cannot be pasted.
func command(text string) int {
	if !strings.HasPrefix(text, "`coffer ") {
		return 0
	}
	end := strings.IndexByte(text[1:], '`')
	if end < 0 {
		return 0
	}
	end += 2
	return end + strings.IndexByte(text[end:]+" ", ' ')
}

// glued returns the width of what the next piece sticks to.
func glued(units []unit, before int) int {
	if before > 0 || len(units) == 0 {
		return 0
	}
	return units[len(units)-1].width
}

// bounded returns s sanitised, as it is written at a column. A terminal breaks
// what is solid and longer than a line wherever the line ends, and what follows
// must not pass for a line of ours: a blank beyond the first line is written as
// `\ `, which an address may have in place of a blank, so that it can still be
// pasted. That of a grant, which has one and no more, stays.
func (p *page) bounded(s span, column int) span {
	s.text = Sanitize(s.text)
	room := p.width - column
	if !s.solid || columns(s.text) <= room || hasOneBlank(s.text) {
		return s
	}
	var b strings.Builder
	at := 0
	for _, r := range s.text {
		if r == ' ' && at >= room {
			b.WriteByte('\\')
		}
		b.WriteRune(r)
		at += columns(string(r))
	}
	s.text = b.String()
	return s
}

// hasOneBlank reports whether s ends as an address does that has one blank, as
// between the holder and the policy of a grant.
func hasOneBlank(s string) bool {
	return strings.Count(s, " ") == 1 && strings.HasSuffix(strings.TrimSuffix(s, "'"), `"]`)
}

// broken splits the last unit, made of code, if it is longer than a line.
func (p *page) broken(units []unit, hang int) []unit {
	u := units[len(units)-1]
	last := u.spans[len(u.spans)-1]
	room := max(p.width-hang, 1)
	if u.width <= room || columns(last.text) <= room {
		return units
	}
	units = units[:len(units)-1]
	u.spans, u.width = u.spans[:len(u.spans)-1], u.width-columns(last.text)
	for _, r := range last.text {
		if n := columns(string(r)); u.width+n > room {
			units = append(units, u)
			u = unit{}
		}
		u.spans = append(u.spans, span{tone: last.tone, text: string(r)})
		u.width += columns(string(r))
	}
	return append(units, u)
}
