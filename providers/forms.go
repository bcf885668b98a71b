package providers

import (
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base32"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"html"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// forms calls use with every form in which a platform, a library or Go itself
// may echo a value: as it is, quoted, escaped, encoded, as a list of bytes, and
// the unkeyed hashes that upload checks print.
func forms(value []byte, use func(string)) {
	text := string(value)
	use(text)
	quotedForms(text, use)
	hexForms(value, use)
	base64Forms(value, use)
	if escaped, err := json.Marshal(text); err == nil && inner(string(escaped)) != text {
		base64Forms([]byte(inner(string(escaped))), use) // a whole body, encoded
	}
	use(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(value))
	reversed := slices.Clone(value)
	slices.Reverse(reversed)
	use(string(reversed))
	for _, sum := range hashes(value) {
		use(hex.EncodeToString(sum))
		use(strings.ToUpper(hex.EncodeToString(sum)))
		use(base64.StdEncoding.EncodeToString(sum))
		use(base64.URLEncoding.EncodeToString(sum))
	}
}

func quotedForms(text string, use func(string)) {
	use(inner(strconv.Quote(text)))
	use(inner(strconv.QuoteToASCII(text)))
	if escaped, err := json.Marshal(text); err == nil {
		use(inner(string(escaped)))
	}
	use(strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;").Replace(text))
	use(html.EscapeString(text))
	use(url.QueryEscape(text))
	use(url.PathEscape(text))
	use(url.QueryEscape(url.QueryEscape(text)))
	use(strings.ReplaceAll(text, "'", `'\''`))
	use(strings.ReplaceAll(text, "'", "''"))
	units(text, use, func(b []byte, r rune) []byte {
		b = append(b, `\u`...)
		for range 4 - len(strconv.FormatInt(int64(r), 16)) {
			b = append(b, '0')
		}
		return strconv.AppendInt(b, int64(r), 16)
	})
	units(text, use, func(b []byte, r rune) []byte { return append(strconv.AppendInt(append(b, "&#"...), int64(r), 10), ';') })
	units(text, use, func(b []byte, r rune) []byte {
		return append(strconv.AppendInt(append(b, "&#x"...), int64(r), 16), ';')
	})
}

// units writes text character by character.
func units(text string, use func(string), write func([]byte, rune) []byte) {
	var b []byte
	for _, r := range text {
		b = write(b, r)
	}
	use(string(b))
}

func inner(quoted string) string { return quoted[1 : len(quoted)-1] }

func hexForms(value []byte, use func(string)) {
	lower := hex.EncodeToString(value)
	for _, digits := range []string{lower, strings.ToUpper(lower)} {
		use(digits)
		for _, between := range []string{":", " ", "%", "%25", `\x`, "="} {
			use(strings.TrimPrefix(split(digits, between), between))
		}
		use(split(digits, ", 0x"))
	}
	list := make([]string, len(value))
	for i, b := range value {
		list[i] = strconv.Itoa(int(b))
	}
	for _, between := range []string{" ", ", ", ","} {
		use("[" + strings.Join(list, between) + "]")
	}
}

// split puts between in front of every pair of digits.
func split(digits, between string) string {
	var b strings.Builder
	for i := 0; i < len(digits); i += 2 {
		b.WriteString(between)
		b.WriteString(digits[i : i+2])
	}
	return b.String()
}

// base64Forms also covers a value in the middle of a longer encoded text,
// where it can start at three offsets.
func base64Forms(value []byte, use func(string)) {
	for _, enc := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
		use(enc.EncodeToString(value))
		for offset := range 3 {
			encoded := enc.EncodeToString(append(make([]byte, offset), value...))
			first := (offset*8 + 5) / 6
			last := (offset + len(value)) * 8 / 6
			use(encoded[min(first, last):last])
		}
	}
}

func hashes(value []byte) [][]byte {
	m, s1, s2, s5 := md5.Sum(value), sha1.Sum(value), sha256.Sum256(value), sha512.Sum512(value)
	return [][]byte{m[:], s1[:], s2[:], s5[:]}
}
