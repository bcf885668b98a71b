package render_test

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/width"
)

const screenHeight = 24

// screen is a terminal: what it is sent moves its cursor, overwrites and erases
// as on an xterm (ECMA-48 with the usual private sequences), and whatever else a
// sequence would do to the person's machine is an effect.
type screen struct {
	width   int
	rows    [][]string // every row ever scrolled, a cell holds one character with its marks
	x, y    int
	wrap    bool // the next character begins a new row
	saved   [2]int
	style   string          // of what is printed next, "" is plain
	styles  map[string]bool // every one that was asked for
	effects []string
}

func newScreen(width int) *screen {
	return &screen{width: width, rows: [][]string{nil}, styles: map[string]bool{}}
}

// show sends text as a program does that writes to a terminal: the driver makes
// CR LF of a line feed.
func (s *screen) show(text string) {
	for text != "" {
		r, n := utf8.DecodeRuneInString(text)
		if r == utf8.RuneError && n == 1 {
			if r = rune(text[0]); r >= 0xa0 { // a byte of no character: many take C1 raw
				s.effect("byte", "%#x", r)
				r = '\ufffd'
			}
		}
		text = text[n:]
		switch {
		case r == 0x1b:
			text = s.escape(text)
		case r < 0x20 || r == 0x7f:
			s.control(r)
		case r >= 0x80 && r < 0xa0:
			text = s.escape(string(r-0x40) + text)
		default:
			s.print(r)
		}
	}
}

func (s *screen) effect(kind, format string, args ...any) {
	s.effects = append(s.effects, kind+" "+fmt.Sprintf(format, args...))
}

func (s *screen) control(r rune) {
	switch r {
	case '\n':
		s.feed(true)
	case '\v', '\f':
		s.effect("control", "%U", r)
		s.feed(false)
	case '\r':
		s.x, s.wrap = 0, false
		s.effect("control", "%U", r)
	case '\b':
		s.x, s.wrap = max(s.x-1, 0), false
		s.effect("control", "%U", r)
	case '\t':
		s.x = min((s.x/8+1)*8, s.width-1)
		s.effect("control", "%U", r)
	default:
		s.effect("control", "%U", r)
	}
}

func (s *screen) feed(home bool) {
	if s.y++; s.y == len(s.rows) {
		s.rows = append(s.rows, nil)
	}
	if home {
		s.x = 0
	}
	s.wrap = false
}

func (s *screen) print(r rune) {
	cells := 1
	switch kind := width.LookupRune(r).Kind(); {
	case unicode.In(r, unicode.Cf, unicode.Co, unicode.Zl, unicode.Zp) || unicode.In(r, unicode.Other_Default_Ignorable_Code_Point, unicode.Variation_Selector):
		s.effect("invisible", "%U", r)
		return
	case !unicode.IsGraphic(r):
		s.effect("nothing", "%U", r)
		return
	case r != ' ' && unicode.In(r, unicode.Zs) || r == 0x2800:
		s.effect("blank", "%U", r)
	case unicode.In(r, unicode.Mn, unicode.Me):
		s.mark(r)
		return
	case kind == width.EastAsianWide || kind == width.EastAsianFullwidth:
		cells = 2
	}
	if s.wrap || s.x+cells > s.width {
		s.feed(true)
	}
	row := s.rows[s.y]
	for len(row) < s.x+cells {
		row = append(row, " ")
	}
	row[s.x] = string(r)
	if cells == 2 {
		row[s.x+1] = ""
	}
	s.rows[s.y] = row
	if s.x += cells; s.x >= s.width {
		s.x, s.wrap = s.width-1, true
	}
}

// mark adds a combining mark to the last character. Where none is, or too many
// are on it, it paints over what is beside.
func (s *screen) mark(r rune) {
	at := s.x - 1
	if s.wrap {
		at = s.x
	}
	for at >= 0 && at < len(s.rows[s.y]) && s.rows[s.y][at] == "" { // the second half of a wide one
		at--
	}
	if at < 0 || at >= len(s.rows[s.y]) {
		s.effect("mark", "%U on nothing", r)
		return
	}
	s.rows[s.y][at] += string(r)
	if utf8.RuneCountInString(s.rows[s.y][at]) > 4 {
		s.effect("mark", "a pile on %q", s.rows[s.y][at])
	}
}

// escape takes what follows an ESC and returns what is behind the sequence. One
// that does not end takes the rest of the text, as a terminal waits for it.
func (s *screen) escape(text string) string {
	if text == "" {
		s.effect("escape", "waits")
		return ""
	}
	kind, rest := text[0], text[1:]
	switch kind {
	case '[':
		return s.csi(rest)
	case ']', 'P', 'X', '^', '_':
		return s.string(kind, rest)
	case '(', ')', '*', '+', '#', '%', ' ':
		if rest != "" {
			s.effect("charset", "%q", text[:2])
			return rest[1:]
		}
	case '7':
		s.saved = [2]int{s.x, s.y}
	case '8':
		s.moveTo(s.saved[0], s.saved[1])
	case 'D', 'E':
		s.feed(kind == 'E')
	case 'M':
		s.moveTo(s.x, s.y-1)
	case 'c':
		*s = screen{width: s.width, rows: [][]string{nil}, styles: s.styles, effects: s.effects}
	}
	s.effect("escape", "%q", kind)
	return rest
}

// string is OSC, DCS and the like: title, links, clipboard, palette, and worse.
func (s *screen) string(kind byte, text string) string {
	end, after := len(text), len(text)
	for _, stop := range []string{"\a", "\x1b\\", "\u009c"} {
		if i := strings.Index(text, stop); i >= 0 && i < end {
			end, after = i, i+len(stop)
		}
	}
	s.effect("string", "%c%.40q", kind, text[:end])
	return text[after:]
}

func (s *screen) csi(text string) string {
	i := 0
	for i < len(text) && text[i] >= 0x20 && text[i] <= 0x3f {
		i++
	}
	if i == len(text) || text[i] < 0x40 || text[i] > 0x7e {
		s.effect("escape", "broken CSI %.20q", text)
		return text[i:]
	}
	params, final := text[:i], text[i]
	if final == 'm' {
		s.styles[params] = true
		if s.style = params; params == "0" {
			s.style = ""
		}
		return text[i+1:]
	}
	s.effect("sequence", "CSI %s%c", params, final)
	n := 1
	first, second, _ := strings.Cut(params, ";")
	if v, err := strconv.Atoi(first); err == nil {
		n = min(max(v, 1), 1<<12)
	}
	top := max(0, len(s.rows)-screenHeight)
	switch final {
	case 'A', 'F':
		s.moveTo(s.x, s.y-n)
	case 'B', 'E':
		s.moveTo(s.x, s.y+n)
	case 'C':
		s.moveTo(s.x+n, s.y)
	case 'D':
		s.moveTo(s.x-n, s.y)
	case 'G':
		s.moveTo(n-1, s.y)
	case 'd':
		s.moveTo(s.x, top+n-1)
	case 'H', 'f':
		column, _ := strconv.Atoi(second)
		s.moveTo(max(column, 1)-1, top+n-1)
	case 'K':
		s.rows[s.y] = s.rows[s.y][:min(s.x, len(s.rows[s.y]))]
	case 'J':
		from := s.y + 1
		if params == "2" || params == "3" {
			from = top
		}
		if params == "3" {
			from = 0
		}
		for ; from < len(s.rows); from++ {
			s.rows[from] = nil
		}
	}
	return text[i+1:]
}

// moveTo keeps to the part of the screen that can be seen.
func (s *screen) moveTo(x, y int) {
	top := max(0, len(s.rows)-screenHeight)
	s.x, s.y, s.wrap = min(max(x, 0), s.width-1), min(max(y, top), len(s.rows)-1), false
}

func (s *screen) text() []string {
	var out []string
	for _, row := range s.rows {
		out = append(out, strings.TrimRight(strings.Join(row, ""), " "))
	}
	return out
}

// onScreen shows out on a terminal and returns its rows. It is an error if they
// are not the lines of out, each broken where the terminal ends, or if anything
// happened but printing in a tone of ours.
func onScreen(out string, columns int, color bool) ([]string, error) {
	s := newScreen(columns)
	s.show(out)
	if len(s.effects) > 0 {
		return nil, fmt.Errorf("the terminal does %q", s.effects[:min(len(s.effects), 4)])
	}
	if s.style != "" || s.x != 0 || s.y != len(s.rows)-1 {
		return nil, fmt.Errorf("the terminal is left at column %d in style %q", s.x, s.style)
	}
	for style := range s.styles {
		if !color || !slices.Contains([]string{"0", "1", "2", "32", "33", "1;31", "36"}, style) {
			return nil, fmt.Errorf("the terminal shows the style %q", style)
		}
	}
	rows := s.text()
	shown := 0
	for want := range strings.Lines(out) {
		rest := solid(toneless.Replace(want))
		for first := true; first || rest != ""; first = false {
			if shown == len(rows) || !strings.HasPrefix(rest, solid(rows[shown])) {
				return nil, fmt.Errorf("not on the screen: %.200q", want)
			}
			rest = strings.TrimPrefix(rest, solid(rows[shown]))
			shown++
		}
	}
	return rows, nil
}

// solid is text without the blanks that a terminal may break it at.
func solid(s string) string { return strings.TrimSuffix(strings.ReplaceAll(s, " ", ""), "\n") }

// toneless takes out the sequences of the tones, which are written down apart
// from the code that it tests.
var toneless = strings.NewReplacer("\x1b[0m", "", "\x1b[1m", "", "\x1b[2m", "", "\x1b[32m", "", "\x1b[33m", "", "\x1b[1;31m", "", "\x1b[36m", "")

// lastLineForm is how the last line of a text begins, whatever the command.
var lastLineForm = []string{
	"Plan: ", "No changes", "Drift: ", "Nothing changed outside", "Nothing was seen to change outside", "Applied: ", "Rotation: ",
}

// notForged is an error if a row of the screen but that of the last line reads
// like one.
func notForged(out string, rows []string) error {
	lines := strings.Split(strings.TrimSuffix(toneless.Replace(out), "\n"), "\n")
	last := lines[len(lines)-1]
	for i, row := range rows {
		looks := slices.ContainsFunc(lastLineForm, func(form string) bool { return strings.HasPrefix(row, form) })
		if looks && !(strings.HasPrefix(last, row) && onlyBlank(rows[min(i+1+len(last)/40, len(rows)):])) {
			return fmt.Errorf("row %d of %d reads like a last line: %.100q", i, len(rows), row)
		}
	}
	return nil
}

func onlyBlank(rows []string) bool {
	return !slices.ContainsFunc(rows, func(row string) bool { return row != "" })
}
