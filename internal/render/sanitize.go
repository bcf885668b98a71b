package render

import (
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/width"
)

const (
	// maxText is how much of one piece of text is shown.
	maxText = 4 << 10
	// maxMarks is how many combining marks may follow one another: real
	// scripts need three, and a pile of them paints over other lines.
	maxMarks = 3
)

// Sanitize returns s as one line that can be shown anywhere in a line: what is
// not plainly visible is written as an escape of Go's syntax (\n, \x1b,
// \u202e, \xff for a byte that is not UTF-8), the commands of CI systems are
// broken, and what is longer than 4 KiB is cut with a word about it. It is
// idempotent, and a backslash of s stays as it is: the result is for reading,
// never for reading back.
func Sanitize(s string) string {
	var e escaper
	if len(s) <= maxText {
		return string(e.append(nil, s))
	}
	cut := maxText
	for cut > 0 && !utf8.RuneStart(s[cut]) && maxText-cut < utf8.UTFMax {
		cut--
	}
	return string(e.append(nil, s[:cut])) + fmt.Sprintf("... (%d more bytes)", len(s)-cut)
}

// escaper escapes text piece by piece. It remembers just enough of the line
// to see a CI command begin, however the text arrives.
type escaper struct {
	begun bool // something other than spaces was shown on this line
	colon bool // it was one colon, so far
	hash  int  // 1 after "#", 2 after "##" and letters behind it
	marks int  // combining marks in a row
}

// append adds s to dst, escaped, all on the current line.
func (e *escaper) append(dst []byte, s string) []byte {
	for len(s) > 0 {
		r, n := utf8.DecodeRuneInString(s)
		shown := r
		switch {
		case r == utf8.RuneError && n == 1:
			dst = fmt.Appendf(dst, `\x%02x`, s[0])
			shown = '\\'
		case e.unsafe(r):
			dst = appendEscape(dst, r)
			shown = '\\'
		default:
			dst = append(dst, s[:n]...)
		}
		e.advance(shown)
		s = s[n:]
	}
	return dst
}

// unsafe reports whether r must not be shown as it is at this place.
func (e *escaper) unsafe(r rune) bool {
	switch {
	case r == ':':
		return e.colon
	case r == '[':
		return e.hash == 2
	case r < utf8.RuneSelf:
		return r < ' ' || r == 0x7f
	case isMark(r):
		return invisible(r) || !e.begun || e.marks >= maxMarks
	}
	// IsPrint is false for all controls (C1), formats (bidi, zero width,
	// tags), separators, private and unassigned code points.
	return !strconv.IsPrint(r) || invisible(r)
}

// advance notes that r was shown. GitHub runs "::command" at the start of a
// line and "##[command]" anywhere in it, Azure Pipelines "##vso[", TeamCity
// "##teamcity[".
func (e *escaper) advance(r rune) {
	e.colon = r == ':' && !e.begun
	e.begun = e.begun || r != ' '
	switch {
	case r == '#':
		e.hash = min(e.hash+1, 2)
	case e.hash == 2 && (unicode.IsLetter(r) || unicode.IsDigit(r)):
	default:
		e.hash = 0
	}
	if isMark(r) {
		e.marks++
	} else {
		e.marks = 0
	}
}

func isMark(r rune) bool { return r >= utf8.RuneSelf && unicode.In(r, unicode.Mn, unicode.Me) }

// invisible reports whether r is a letter, mark or symbol that shows nothing.
func invisible(r rune) bool {
	const brailleBlank = '\u2800'
	return r == brailleBlank || unicode.In(r, unicode.Other_Default_Ignorable_Code_Point, unicode.Variation_Selector)
}

func appendEscape(dst []byte, r rune) []byte {
	switch {
	case r == '\n':
		return append(dst, `\n`...)
	case r == '\r':
		return append(dst, `\r`...)
	case r == '\t':
		return append(dst, `\t`...)
	case r < utf8.RuneSelf:
		return fmt.Appendf(dst, `\x%02x`, r)
	case r <= 0xffff:
		return fmt.Appendf(dst, `\u%04x`, r)
	}
	return fmt.Appendf(dst, `\U%08x`, r)
}

// columns returns how many columns s, already sanitised, takes on a terminal.
func columns(s string) int {
	n := 0
	for _, r := range s {
		switch {
		case r < utf8.RuneSelf:
			n++
		case isMark(r):
		case wide(r):
			n += 2
		default:
			n++
		}
	}
	return n
}

func wide(r rune) bool {
	kind := width.LookupRune(r).Kind()
	return kind == width.EastAsianWide || kind == width.EastAsianFullwidth
}

// clip returns as much of s, already sanitised, as fits into n columns.
func clip(s string, n int) string {
	if columns(s) <= n {
		return s
	}
	var b strings.Builder
	for _, r := range s {
		if n -= columns(string(r)); n < len("...") {
			break
		}
		b.WriteRune(r)
	}
	return b.String() + "..."
}
