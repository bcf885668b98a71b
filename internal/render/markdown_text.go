package render

import (
	"crypto/sha256"
	"encoding/hex"
	"html"
	"strings"
	"unicode"
)

const (
	// maxTicks is how many backticks may follow one another: Markdown parsers
	// compare longer runs no further than some number of their own, and a fence
	// or a span would end early.
	maxTicks = 20
	// maxMarkerPart is how much of a name a marker shows.
	maxMarkerPart = 100
)

// Marker returns the hidden line that a comment for a project begins with, by
// which the comment is found again. It is the same for the same two names, and
// another for any others.
func Marker(project, name string) string {
	return "<!-- coffer:" + markerPart(project) + ":" + markerPart(name) + " -->"
}

// markerPart escapes what could end a comment or the part.
func markerPart(s string) string {
	const digits = "0123456789abcdef"
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		c := s[i]
		plain := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '_' || c == '.' ||
			c == '-' && i > 0 && s[i-1] != '-'
		if plain {
			b.WriteByte(c)
			continue
		}
		b.WriteByte('%')
		b.WriteByte(digits[c>>4])
		b.WriteByte(digits[c&15])
	}
	part := b.String()
	if len(part) <= maxMarkerPart {
		return part
	}
	sum := sha256.Sum256([]byte(s))
	return part[:maxMarkerPart] + "~" + hex.EncodeToString(sum[:16])
}

// wrapping puts a piece of foreign text where nothing in it means anything.
type wrapping func(string) string

// mdCode returns s as a code span, longer than any run of backticks in it.
func mdCode(s string) string {
	s = fewTicks(Sanitize(s))
	if s == "" {
		return "(empty)"
	}
	if strings.Trim(s, " ") == "" {
		return "(" + plural(len(s), "blank", "blanks") + ")"
	}
	ticks := strings.Repeat("`", longestRun(s)+1)
	if strings.HasPrefix(s, "`") || strings.HasSuffix(s, "`") || s[0] == ' ' && s[len(s)-1] == ' ' {
		s = " " + s + " "
	}
	return ticks + s + ticks
}

// htmlCode returns s as an element of code, for the lines that are HTML.
func htmlCode(s string) string { return "<code>" + html.EscapeString(Sanitize(s)) + "</code>" }

// mdFence returns text, whose lines are sanitised, as a block of code.
func mdFence(info, text string) string {
	text = fewTicks(text)
	fence := strings.Repeat("`", max(3, longestRun(text)+1))
	if !strings.HasSuffix(text, "\n") {
		text += "\n"
	}
	return fence + info + "\n" + text + fence + "\n"
}

// fewTicks shortens runs of backticks beyond maxTicks and says so.
func fewTicks(s string) string {
	long := strings.Repeat("`", maxTicks+1)
	for {
		at := strings.Index(s, long)
		if at < 0 {
			return s
		}
		rest := strings.TrimLeft(s[at:], "`")
		n := len(s) - at - len(rest)
		s = s[:at+maxTicks] + "(" + plural(n-maxTicks, "more backtick", "more backticks") + ")" + rest
	}
}

func longestRun(s string) int {
	longest, run := 0, 0
	for i := 0; i < len(s); i++ {
		if s[i] != '`' {
			run = 0
			continue
		}
		run++
		longest = max(longest, run)
	}
	return longest
}

// prose returns one line of text that may hold foreign words. Plain words stand
// as they are; whatever else stands between them, and commands in backquotes,
// goes through wrap. So nothing in it is a link, an element, a mention or a
// reference, whatever a forge makes of such text.
func prose(s string, wrap wrapping) string {
	parts := strings.Split(s, "`")
	if len(parts)%2 == 0 { // no pairs
		parts = []string{s}
	}
	var b strings.Builder
	for i, part := range parts {
		said := wrap(part)
		if i%2 == 0 {
			said = proseWords(part, i == 0, wrap)
		}
		if b.Len() > 0 && said != "" && !stops(said[:1]) {
			b.WriteByte(' ')
		}
		b.WriteString(said)
	}
	return b.String()
}

// stops reports whether a word is the stop of what stands before it.
func stops(word string) bool { return word != "" && strings.Trim(word, ".,;:") == "" }

func proseWords(s string, first bool, wrap wrapping) string {
	var out, odd []string
	flush := func() {
		if len(odd) == 0 {
			return
		}
		text := strings.Join(odd, " ")
		core := strings.TrimRight(text, ".,;:")
		if core == "" || strings.HasSuffix(core, " ") {
			core = text
		}
		out = append(out, wrap(core)+text[len(core):])
		odd = nil
	}
	for _, word := range strings.Fields(Sanitize(s)) {
		if !plainWord(word, first && len(out)+len(odd) == 0) {
			odd = append(odd, word)
			continue
		}
		flush()
		out = append(out, word)
	}
	flush()
	return strings.Join(out, " ")
}

// plainWord reports whether a word means nothing but itself in Markdown, in
// HTML and to the forges: letters or a number, in parentheses or before a stop.
// What could be a commit's name is not, nor is the number of a list.
func plainWord(word string, first bool) bool {
	if stops(word) {
		return !first && len(word) == 1
	}
	core, opened := strings.CutPrefix(word, "(")
	core = strings.TrimRight(core, ".,;:!?")
	core, closed := strings.CutSuffix(core, ")")
	letters, numbers, hex := 0, 0, 0
	for _, r := range core {
		switch {
		case '0' <= r && r <= '9':
			numbers++
		case unicode.IsLetter(r):
			letters++
		case r == '-' && letters > 0, r == '\'' && letters > 0:
			continue
		default:
			return false
		}
		if strings.ContainsRune("0123456789abcdefABCDEF", r) {
			hex++
		}
	}
	const shortestCommit = 7
	switch {
	case letters > 0 && numbers > 0, letters+numbers == 0:
		return false
	case hex == len(core) && hex >= shortestCommit:
		return false
	case numbers > 0 && first && !opened:
		return word == core
	}
	return opened || !closed || !first
}
