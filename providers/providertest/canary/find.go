package canary

import (
	"bytes"
	"encoding/base32"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"html"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// piece is the length of the pieces of a dense value that count as a leak, and
// of the keys of the index.
const piece = 8

// Hit is one place where a canary was found.
type Hit struct {
	Canary string // its name
	Form   string // "raw", "base64", …
	// In says inside of what: "" for the text itself, "gzip", "zip member", …
	In string
	At int // byte offset there
}

func (h Hit) String() string {
	s := fmt.Sprintf("%s as %s at byte %d", h.Canary, h.Form, h.At)
	if h.In != "" {
		s += " of " + h.In
	}
	return s
}

// Find searches for one dense value. For many values or texts make a [Finder].
func Find(haystack, value []byte) []Hit {
	return NewFinder(Of("value", value, len(value) >= 2*piece)).Find(haystack)
}

// Finder searches for all forms of some canaries at once, in one pass over the
// text whatever their number.
type Finder struct {
	exact    *index // as the text stands
	squeezed *index // without white space
}

// NewFinder returns a finder of the given canaries.
func NewFinder(canaries ...Canary) *Finder {
	f := &Finder{exact: newIndex(), squeezed: newIndex()}
	for _, c := range canaries {
		if len(c.Value) == 0 {
			continue
		}
		patterns(c, func(form string, p []byte) {
			f.exact.add(pattern{c.Name, form, p})
			f.squeezed.add(pattern{c.Name, form, squeeze(p)})
		})
	}
	return f
}

// Find returns where canaries are, at most one hit per canary and form in each
// part of the haystack. Members of gzip, zlib and zip are parts of their own,
// recursively.
func (f *Finder) Find(haystack []byte) []Hit {
	var hits []Hit
	f.find(haystack, "", 0, &hits)
	return hits
}

func (f *Finder) find(text []byte, in string, depth int, hits *[]Hit) {
	seen := map[[2]string]bool{}
	where := text
	report := func(p pattern, at int) {
		if inDigest(where, at, len(p.bytes)) {
			return
		}
		if key := [2]string{p.canary, p.form}; !seen[key] {
			seen[key] = true
			*hits = append(*hits, Hit{Canary: p.canary, Form: p.form, In: in, At: at})
		}
	}
	f.exact.search(text, report)
	if bytes.ContainsAny(text, "\r\n") {
		where = squeeze(text)
		f.squeezed.search(where, report)
	}
	if depth < maxDepth {
		unpack(text, func(kind string, member []byte) {
			f.find(member, strings.TrimSpace(in+" "+kind), depth+1, hits)
		})
	}
}

// inDigest reports whether a find of up to 8 hexadecimal digits lies inside a
// number as long as a digest. Output is full of those, and one in some thousand
// runs has the digits of a short value in one of them.
func inDigest(text []byte, at, n int) bool {
	isHex := func(c byte) bool { return c >= '0' && c <= '9' || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F' }
	if n > 8 {
		return false
	}
	for _, c := range text[at : at+n] {
		if !isHex(c) {
			return false
		}
	}
	from, to := at, at+n
	for from > 0 && isHex(text[from-1]) {
		from--
	}
	for to < len(text) && isHex(text[to]) {
		to++
	}
	return slices.Contains([]int{32, 40, 64, 96, 128}, to-from)
}

// squeeze takes out all white space, and before a line break the mark of a soft
// one (RFC 2045, 6.7), which undoes wrapping, folding and indentation.
func squeeze(text []byte) []byte {
	out := make([]byte, 0, len(text))
	for _, c := range text {
		switch c {
		case '\n', '\r':
			out = bytes.TrimSuffix(out, []byte("="))
		case ' ', '\t':
		default:
			out = append(out, c)
		}
	}
	return out
}

type pattern struct {
	canary, form string
	bytes        []byte
}

// index finds patterns by their first eight bytes; the few shorter ones are
// searched one by one and count only as words of their own.
type index struct {
	filter [1 << 13]uint8
	byHead map[uint64][]pattern
	short  []pattern
}

func newIndex() *index { return &index{byHead: map[uint64][]pattern{}} }

func (x *index) add(p pattern) {
	if len(p.bytes) < 3 {
		return
	}
	if len(p.bytes) < piece {
		x.short = append(x.short, p)
		return
	}
	key := head(p.bytes)
	for _, other := range x.byHead[key] {
		if bytes.Equal(other.bytes, p.bytes) && other.canary == p.canary {
			return // the same in another form
		}
	}
	x.filter[hash(key)>>3] |= 1 << (hash(key) & 7)
	x.byHead[key] = append(x.byHead[key], p)
}

func head(b []byte) uint64 {
	b = b[:piece]
	return uint64(b[0]) | uint64(b[1])<<8 | uint64(b[2])<<16 | uint64(b[3])<<24 |
		uint64(b[4])<<32 | uint64(b[5])<<40 | uint64(b[6])<<48 | uint64(b[7])<<56
}

func hash(key uint64) uint16 { return uint16((key * 0x9E3779B97F4A7C15) >> 48) }

func (x *index) search(text []byte, report func(p pattern, at int)) {
	if len(text) >= piece {
		key := head(text) << 8
		for i := 0; i+piece <= len(text); i++ {
			key = key>>8 | uint64(text[i+piece-1])<<56
			if i == 0 {
				key = head(text)
			}
			h := hash(key)
			if x.filter[h>>3]&(1<<(h&7)) == 0 {
				continue
			}
			for _, p := range x.byHead[key] {
				if bytes.HasPrefix(text[i:], p.bytes) {
					report(p, i)
				}
			}
		}
	}
	for _, p := range x.short {
		if at := indexWord(text, p.bytes); at >= 0 {
			report(p, at)
		}
	}
}

// indexWord is bytes.Index for a word that no letter or digit touches.
func indexWord(text, word []byte) int {
	for from := 0; ; {
		i := bytes.Index(text[from:], word)
		if i < 0 {
			return -1
		}
		i += from
		before, _ := utf8.DecodeLastRune(text[:i])
		after, _ := utf8.DecodeRune(text[i+len(word):])
		if !partOfWord(before) && !partOfWord(after) {
			return i
		}
		from = i + 1
	}
}

func partOfWord(r rune) bool { return unicode.IsLetter(r) || unicode.IsDigit(r) }

// patterns calls add with what to search for.
func patterns(c Canary, add func(form string, p []byte)) {
	v, text := c.Value, string(c.Value)
	add("raw", v)
	addBase64(v, add)
	add("base32", []byte(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(v)))
	add("base58", []byte(base58(v)))
	add("ascii85", []byte(ascii(v)))
	addHex(v, add)
	addText(text, add)
	for bigEndian, form := range []string{"utf-16le", "utf-16be"} {
		add(form, utf16Bytes(v, bigEndian))
	}
	if r := reverse(v); !bytes.Equal(r, v) {
		add("reversed", r)
	}
	addSums(v, add)
	if c.Dense {
		for i := 0; i+piece <= len(v); i++ {
			add("8-byte piece", v[i:i+piece])
		}
	}
}

func addText(text string, add func(form string, p []byte)) {
	for _, f := range [][2]string{
		{"percent query", url.QueryEscape(text)},
		{"percent path", url.PathEscape(text)},
		{"double percent", url.QueryEscape(url.QueryEscape(text))},
		{"json", inner(jsonQuote(text))},
		{`json \u`, units(text, `\u%04x`)},
		{`json \u`, units(text, `\u%04X`)},
		{"go quoted", inner(strconv.Quote(text))},
		{"go ascii", inner(strconv.QuoteToASCII(text))},
		{"html entities", units(text, "&#%d;")},
		{"html hex entities", units(text, "&#x%x;")},
		{"html", html.EscapeString(text)},
		{"xml", xmlText(text)},
		{"quoted-printable", printable(text)},
		{"quoted-printable all", percent([]byte(text), "=")},
		{"shell quoted", strings.ReplaceAll(text, "'", `'\''`)},
		{"yaml quoted", strings.ReplaceAll(text, "'", "''")},
	} {
		add(f[0], []byte(f[1]))
	}
}

func addSums(v []byte, add func(form string, p []byte)) {
	for form, sum := range sums(v) {
		add(form, []byte(hex.EncodeToString(sum)))
		add(form, []byte(strings.ToUpper(hex.EncodeToString(sum))))
		add(form, sum)
		if len(sum) >= piece {
			add(form+" base64", []byte(base64.RawStdEncoding.EncodeToString(sum)))
			add(form+" base64", []byte(base64.RawURLEncoding.EncodeToString(sum)))
		}
	}
}

func addBase64(v []byte, add func(form string, p []byte)) {
	for i, form := range []string{"base64", "base64url"} {
		enc := []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding}[i]
		add(form, []byte(enc.EncodeToString(v)))
		for offset := range 3 {
			encoded := enc.EncodeToString(slices.Concat(make([]byte, offset), v))
			first, last := (offset*8+5)/6, (offset+len(v))*8/6
			if last-first >= piece {
				add(fmt.Sprintf("%s at offset %d", form, offset), []byte(encoded[first:last]))
			}
		}
	}
}

func addHex(v []byte, add func(form string, p []byte)) {
	lower := hex.EncodeToString(v)
	for _, digits := range []string{lower, strings.ToUpper(lower)} {
		add("hex", []byte(digits))
		for _, f := range [][2]string{
			{"hex colons", ":"},
			{"hex spaced", " "},
			{"percent", "%"},
			{"double percent", "%25"},
			{"hex escapes", `\x`},
			{"go bytes", ", 0x"},
		} {
			var b strings.Builder
			for i := 0; i < len(digits); i += 2 {
				b.WriteString(f[1] + digits[i:i+2])
			}
			add(f[0], []byte(strings.TrimLeft(b.String(), ": ,")))
		}
	}
	for _, between := range []string{" ", ", ", ","} {
		list := strings.Trim(strings.ReplaceAll(fmt.Sprint(v), " ", between), "[]")
		add("byte list", []byte(list))
	}
}
