package render_test

import (
	"errors"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/cofferhq/coffer/internal/render"
	"github.com/cofferhq/coffer/providers/providertest/hostile"
)

// TestScreenIsATerminal: sequences do on the screen what they do on an xterm.
func TestScreenIsATerminal(t *testing.T) {
	for _, c := range []struct{ sent, shown string }{
		{"safe\rEVIL", "EVIL"},
		{"a\b\b\bbc", "bc"},
		{"hidden\n\x1b[1A\x1b[2Kshown\n", "shown||"},
		{"one\ntwo\x1b[2J\x1b[Hthree", "three|"},
		{"one\x1bctwo", "two"},
		{"a\u009b2Cb", "a  b"},
		{"a\x9b2Cb", "a  b"},
		{"a\x1b]0;title\x07b\x1b]8;;http://x\x1b\\c", "abc"},
		{"a\x1bPq\u009cb", "ab"},
		{"a\x1b]never ends", "a"},
		{"x\x1b7yz\x1b8!", "x!z"},
		{strings.Repeat("a", 80) + "b", strings.Repeat("a", 80) + "|b"},
		{strings.Repeat("a", 79) + "\u6f22", strings.Repeat("a", 79) + "|\u6f22"},
		{strings.Repeat("a", 80) + "\nb", strings.Repeat("a", 80) + "|b"},
		{"e\u0301x", "e\u0301x"},
		{"pro\u200bduction", "production"},
		{"a\tb", "a       b"},
		{"\x1b[31mred\x1b[0m", "red"},
	} {
		s := newScreen(80)
		s.show(c.sent)
		if got := strings.Join(s.text(), "|"); got != strings.TrimSuffix(c.shown, "|") && got != c.shown {
			t.Errorf("%q shows %q, want %q", c.sent, got, c.shown)
		}
	}
}

// TestScreenSees: sent as they are, the hostile strings do to the terminal what
// the check is there to find.
func TestScreenSees(t *testing.T) {
	seen, harmless := 0, 0
	for _, h := range hostile.Strings() {
		if len(h) > 4<<10 {
			continue
		}
		_, err := onScreen("before "+h+" behind\n", 80, false)
		plain := utf8.ValidString(h) && !strings.ContainsFunc(h, func(r rune) bool { return r != '\n' && render.Sanitize("a"+string(r)) != "a"+string(r) })
		switch {
		case err != nil:
			seen++
		case plain:
			harmless++
		default:
			t.Errorf("%q passes", h)
		}
	}
	if seen < 150 || harmless < 100 {
		t.Errorf("%d seen, %d harmless on a terminal", seen, harmless)
	}
	if rows, err := onScreen("  \x1b[1;31mfine\x1b[0m "+strings.Repeat("x ", 60)+"\n", 80, true); err != nil {
		t.Error(err, rows)
	}
	for _, bad := range []string{"\x1b[31mred\x1b[0m\n", "\x1b[32mopen\n", "no newline", "a\x1b[1mb\x1b[0m\x1b[8mc\x1b[0m\n"} {
		if _, err := onScreen(bad, 80, true); err == nil {
			t.Errorf("%q passes", bad)
		}
	}
	for _, bad := range []string{forged + "\nx\nPlan: 0 to create.\n", strings.Repeat("x", 80) + forged + "\n\n\n\nNo changes.\n"} {
		rows, err := onScreen(bad, 80, false)
		if err = errors.Join(err, notForged(bad, rows)); err == nil {
			t.Errorf("%q passes", bad)
		}
	}
	if out := "  - a\n\nPlan: " + strings.Repeat("1 to create, ", 12) + "\n"; true {
		rows, err := onScreen(out, 80, false)
		if err = errors.Join(err, notForged(out, rows)); err != nil {
			t.Error(err)
		}
	}
}
