package canary

import (
	"archive/zip"
	"bytes"
	"compress/gzip"
	"compress/zlib"
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/ascii85"
	"encoding/base32"
	"encoding/base64"
	"encoding/hex"
	"encoding/xml"
	"fmt"
	"hash/crc32"
	"html"
	"io"
	"math/big"
	"mime/quotedprintable"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode/utf16"
)

// Encodings returns a sample of every form in which a value may leak, by name,
// each as a program would write it, framed by other text where the form has a
// place inside a longer one. Short values lack the forms that cannot be told
// from chance: base64 in the middle of other text, and pieces.
func Encodings(value []byte) map[string][]byte {
	samples := map[string][]byte{}
	set := func(name, s string) { samples[name] = []byte(s) }
	set("raw", string(value))
	base64Samples(value, set)
	set("base32", base32.StdEncoding.EncodeToString(value))
	set("base58", base58(value))
	set("ascii85", ascii(value))
	hexSamples(value, set)
	textSamples(string(value), set)
	set("utf-16le", string(utf16Bytes(value, 0)))
	set("utf-16be", string(utf16Bytes(value, 1)))
	set("reversed", string(reverse(value)))
	set("wrapped at 64", wrap(base64.StdEncoding.EncodeToString(value), 64))
	set("wrapped at 76", wrap(base64.StdEncoding.EncodeToString(value), 76))
	samples["gzip"] = packed(value, func(w io.Writer) io.WriteCloser { return gzip.NewWriter(w) })
	samples["zlib"] = packed(value, func(w io.Writer) io.WriteCloser { return zlib.NewWriter(w) })
	samples["zip"] = zipped(value)
	for name, sum := range sums(value) {
		set(name, hex.EncodeToString(sum))
	}
	if len(value) >= 2*piece {
		set("8-byte piece", "x"+string(value[piece/2:piece/2+piece])+"y")
	}
	return samples
}

func base64Samples(value []byte, set func(name, s string)) {
	set("base64", base64.StdEncoding.EncodeToString(value))
	set("base64 unpadded", base64.RawStdEncoding.EncodeToString(value))
	set("base64url", base64.URLEncoding.EncodeToString(value))
	set("base64url unpadded", base64.RawURLEncoding.EncodeToString(value))
	if len(value) < piece {
		return
	}
	for offset := 1; offset < 3; offset++ {
		framed := slices.Concat([]byte("ab")[:offset], value, []byte("tail"))
		set(fmt.Sprintf("base64 at offset %d", offset), base64.StdEncoding.EncodeToString(framed))
		set(fmt.Sprintf("base64url at offset %d", offset), base64.URLEncoding.EncodeToString(framed))
	}
}

func hexSamples(value []byte, set func(name, s string)) {
	set("hex", hex.EncodeToString(value))
	set("hex upper", fmt.Sprintf("%X", value))
	set("hex colons", strings.ReplaceAll(fmt.Sprintf("% x", value), " ", ":"))
	set("hex spaced", fmt.Sprintf("% x", value))
	set("byte list", fmt.Sprint(value))
	set("percent", percent(value, "%"))
	set("double percent", percent(value, "%25"))
}

func textSamples(text string, set func(name, s string)) {
	set("percent query", url.QueryEscape(text))
	set(`json \u`, units(text, `\u%04x`))
	set("json", inner(jsonQuote(text)))
	set("go quoted", strconv.Quote(text))
	set("html entities", units(text, "&#%d;"))
	set("html", html.EscapeString(text))
	set("xml", xmlText(text))
	set("yaml folded", "key: >-\n"+indent(wrap(text, 20), "    "))
	set("quoted-printable", printable(text))
	set("shell quoted", "'"+strings.ReplaceAll(text, "'", `'\''`)+"'")
}

func percent(value []byte, mark string) string {
	var b strings.Builder
	for _, c := range value {
		fmt.Fprintf(&b, "%s%02X", mark, c)
	}
	return b.String()
}

// units writes every UTF-16 unit of text; the JSON form of RFC 8259, 7.
func units(text, format string) string {
	var b strings.Builder
	for _, u := range utf16.Encode([]rune(text)) {
		fmt.Fprintf(&b, format, u)
	}
	return b.String()
}

// jsonQuote is the least that RFC 8259, 7 asks for, as most encoders write it.
func jsonQuote(text string) string {
	var b strings.Builder
	for _, r := range text {
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\r':
			b.WriteString(`\r`)
		case r == '\t':
			b.WriteString(`\t`)
		case r < 0x20:
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			b.WriteRune(r)
		}
	}
	return `"` + b.String() + `"`
}

func inner(quoted string) string { return quoted[1 : len(quoted)-1] }

func xmlText(text string) string {
	var b bytes.Buffer
	_ = xml.EscapeText(&b, []byte(text)) // a bytes.Buffer does not fail
	return b.String()
}

func printable(text string) string {
	var b bytes.Buffer
	w := quotedprintable.NewWriter(&b)
	_, _ = io.WriteString(w, text)
	_ = w.Close()
	return b.String()
}

func wrap(s string, width int) string {
	var lines []string
	for len(s) > width {
		lines = append(lines, s[:width])
		s = s[width:]
	}
	return strings.Join(append(lines, s), "\n")
}

func indent(s, with string) string {
	return with + strings.ReplaceAll(s, "\n", "\n"+with)
}

func reverse(value []byte) []byte {
	r := slices.Clone(value)
	slices.Reverse(r)
	return r
}

func ascii(value []byte) string {
	b := make([]byte, ascii85.MaxEncodedLen(len(value)))
	return string(b[:ascii85.Encode(b, value)])
}

const base58Digits = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"

// base58 is Bitcoin's: leading zero bytes are leading ones.
func base58(value []byte) string {
	var out []byte
	n, base, digit := new(big.Int).SetBytes(value), big.NewInt(58), new(big.Int)
	for n.Sign() > 0 {
		n.DivMod(n, base, digit)
		out = append(out, base58Digits[digit.Int64()])
	}
	for _, b := range value {
		if b != 0 {
			break
		}
		out = append(out, '1')
	}
	slices.Reverse(out)
	return string(out)
}

// utf16Bytes writes the text of value with the high byte of each unit at
// 1-high of its two bytes.
func utf16Bytes(value []byte, bigEndian int) []byte {
	var out []byte
	for _, u := range utf16.Encode([]rune(string(value))) {
		if bigEndian == 1 {
			out = append(out, byte(u>>8), byte(u))
		} else {
			out = append(out, byte(u), byte(u>>8))
		}
	}
	return out
}

func packed(value []byte, packer func(io.Writer) io.WriteCloser) []byte {
	var b bytes.Buffer
	b.WriteString("some text before ")
	w := packer(&b)
	_, _ = w.Write(value)
	_ = w.Close()
	return b.Bytes()
}

func zipped(value []byte) []byte {
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	if w, err := z.Create("member"); err == nil {
		_, _ = w.Write(value)
	}
	_ = z.Close()
	return b.Bytes()
}

func sums(value []byte) map[string][]byte {
	m, s1, s2, s5 := md5.Sum(value), sha1.Sum(value), sha256.Sum256(value), sha512.Sum512(value)
	c := crc32.ChecksumIEEE(value)
	return map[string][]byte{
		"md5": m[:], "sha-1": s1[:], "sha-256": s2[:], "sha-512": s5[:],
		"crc-32": {byte(c >> 24), byte(c >> 16), byte(c >> 8), byte(c)},
	}
}
