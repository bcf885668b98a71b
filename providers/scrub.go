package providers

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/cofferhq/coffer/providers/secret"
)

const (
	// longestRead is how much of a platform's text is looked at, longestText
	// how much of it is kept. Replies are not trusted to be short.
	longestRead = 4 << 10
	longestText = 600
	// gram is the length of the pieces that are compared: any 8 characters in a
	// row of a value, in any form, are taken out.
	gram = 8
	// shortValue is the length in bytes below which a value is only taken out
	// where it stands as a word of its own.
	shortValue = 4
)

// scrub takes everything that was sent out of the texts of a platform: the
// values and their pieces, raw and in the forms of [forms], and control and
// invisible characters, then cuts the texts to a readable length. It works on
// all texts at once because a batch has many values and many errors.
func scrub(texts []string, sent []secret.Value) []string {
	s := newScrubber(texts)
	for _, v := range sent {
		each(v, s.remove)
	}
	out := make([]string, len(texts))
	for i := range texts {
		out[i] = s.result(i)
	}
	return out
}

func each(v secret.Value, use func([]byte)) {
	if !v.IsObject() {
		_ = v.Expose(func(b []byte) error {
			use(b)
			return nil
		})
		return
	}
	for _, name := range v.Names() {
		field, _ := v.Field(name)
		each(field, use)
	}
}

// scrubber holds the texts as one, with an index of all their grams, so that a
// value of any size is only walked over once.
type scrubber struct {
	text    string
	starts  []int  // where each text begins; one more for the end
	cut     []bool // the text was longer than what is looked at
	covered []bool // bytes to take out
	// filter is a bit per hash of a gram in text; head and next chain the
	// positions of one gram, counted from 1.
	filter [1 << 13]uint8
	head   map[uint64]int32
	next   []int32
}

// separator holds control characters, which no cleaned text does, so that no
// match reaches over it.
const separator = "\x00\x00\x00\x00\x00\x00\x00\x00"

func newScrubber(texts []string) *scrubber {
	s := &scrubber{head: map[uint64]int32{}}
	var b strings.Builder
	for _, t := range texts {
		s.starts = append(s.starts, b.Len())
		s.cut = append(s.cut, len(t) > longestRead)
		b.WriteString(plain(t[:min(len(t), longestRead)]))
		b.WriteString(separator)
	}
	s.starts = append(s.starts, b.Len())
	s.text = b.String()
	s.covered = make([]bool, len(s.text))
	s.next = make([]int32, len(s.text))
	for i := 0; i+gram <= len(s.text); i++ {
		key := gramAt(s.text, i)
		bit := hashGram(key)
		s.filter[bit>>3] |= 1 << (bit & 7)
		s.next[i] = s.head[key]
		s.head[key] = int32(i + 1)
	}
	return s
}

func gramAt(s string, i int) uint64 {
	s = s[i : i+gram]
	return uint64(s[0]) | uint64(s[1])<<8 | uint64(s[2])<<16 | uint64(s[3])<<24 |
		uint64(s[4])<<32 | uint64(s[5])<<40 | uint64(s[6])<<48 | uint64(s[7])<<56
}

func hashGram(key uint64) uint16 { return uint16((key * 0x9E3779B97F4A7C15) >> 48) }

// remove covers one value in all its forms.
func (s *scrubber) remove(value []byte) {
	if len(value) == 0 || len(s.text) == 0 {
		return
	}
	forms(value, func(form string) {
		form = plain(form)
		switch {
		case len(form) == 0:
		case len(form) >= gram:
			s.coverGrams(form)
		default:
			s.coverWhole(form, len(value) < shortValue)
		}
	})
}

func (s *scrubber) coverGrams(form string) {
	for i := 0; i+gram <= len(form); i++ {
		key := gramAt(form, i)
		bit := hashGram(key)
		if s.filter[bit>>3]&(1<<(bit&7)) == 0 {
			continue
		}
		for at := s.head[key]; at != 0; at = s.next[at-1] {
			s.cover(int(at-1), gram)
		}
		delete(s.head, key) // covered for good
	}
}

func (s *scrubber) coverWhole(form string, word bool) {
	for from := 0; ; {
		i := strings.Index(s.text[from:], form)
		if i < 0 {
			return
		}
		i += from
		if !word || !inWord(s.text, i, len(form)) {
			s.cover(i, len(form))
		}
		from = i + 1
	}
}

func (s *scrubber) cover(at, n int) {
	for i := at; i < at+n; i++ {
		s.covered[i] = true
	}
}

func inWord(text string, at, n int) bool {
	part := func(r rune) bool { return unicode.IsLetter(r) || unicode.IsDigit(r) }
	before, _ := utf8.DecodeLastRuneInString(text[:at])
	after, _ := utf8.DecodeRuneInString(text[at+n:])
	return part(before) || part(after)
}

// result returns text number n with [secret.Redacted] for what is covered.
func (s *scrubber) result(n int) string {
	var b strings.Builder
	end := s.starts[n+1] - len(separator)
	for i := s.starts[n]; i < end; i++ {
		switch {
		case !s.covered[i]:
			b.WriteByte(s.text[i])
		case i == s.starts[n] || !s.covered[i-1]:
			b.WriteString(secret.Redacted)
		}
	}
	text := b.String()
	if s.cut[n] {
		// The start of a value may be all that is left at the end.
		text = text[:max(0, len(text)-4*gram)]
	}
	return shorten(strings.ToValidUTF8(text, ""))
}

func shorten(text string) string {
	text = strings.TrimSpace(text)
	if len(text) <= longestText {
		return text
	}
	return strings.ToValidUTF8(text[:longestText], "") + "…"
}

// plain drops what a terminal or a reader would not show as it is, and turns
// white space into blanks.
func plain(s string) string {
	if !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r >= 0x7f }) {
		return s
	}
	return strings.Map(func(r rune) rune {
		switch {
		case r >= ' ' && r < 0x7f:
			return r
		case unicode.IsSpace(r):
			return ' '
		case r == utf8.RuneError, unicode.In(r, unicode.Cc, unicode.Cf, unicode.Co, unicode.Cs):
			return -1
		}
		return r
	}, s)
}
