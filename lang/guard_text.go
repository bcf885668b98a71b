package lang

import (
	"bytes"
	"fmt"
	"unicode/utf8"

	"github.com/hashicorp/hcl/v2"
)

// guardText refuses text that does not look to a reviewer like what the parser
// reads: wrong encodings, control characters, and characters that reorder or
// hide text (https://trojansource.codes, CVE-2021-42574).
func guardText(filename string, src []byte) hcl.Diagnostics {
	switch {
	case bytes.HasPrefix(src, []byte("\xef\xbb\xbf")):
		return refuse(filename, src, 0, 3, "Byte order mark",
			"The file starts with a byte order mark. Save it as UTF-8 without one.")
	case bytes.HasPrefix(src, []byte("\xff\xfe")), bytes.HasPrefix(src, []byte("\xfe\xff")):
		return refuse(filename, src, 0, 2, "Not UTF-8", "The file is UTF-16. Save it as UTF-8.")
	}
	for i := 0; i < len(src); {
		r, size := rune(src[i]), 1
		if r >= utf8.RuneSelf {
			r, size = utf8.DecodeRune(src[i:])
		}
		if r == utf8.RuneError && size == 1 {
			return refuse(filename, src, i, 1, "Not UTF-8",
				fmt.Sprintf("The byte 0x%02x here is not valid UTF-8. Save the file as UTF-8; binary text does not belong in a configuration.", src[i]))
		}
		if r == '\r' && (i+1 == len(src) || src[i+1] != '\n') {
			return refuse(filename, src, i, 1, "Control character",
				"Here is a carriage return without a newline, which hides text on a terminal. End lines with a newline.")
		}
		if summary, detail := forbidden(r); summary != "" {
			return refuse(filename, src, i, size, summary, detail)
		}
		i += size
	}
	return nil
}

func forbidden(r rune) (summary, detail string) {
	switch {
	case r == '\n' || r == '\t' || r == '\r':
		return "", ""
	case r == 0:
		return "NUL byte", "Here is a NUL byte: this is not a text file. Remove it."
	case r < 0x20 || r >= 0x7f && r <= 0x9f:
		return "Control character", fmt.Sprintf("Here is the control character U+%04X. Remove it; in a quoted text write \\u%04x.", r, r)
	case r == 0x2028 || r == 0x2029:
		return "Invisible character", fmt.Sprintf("Here is the line separator U+%04X, which many editors show as a new line and the parser does not. Use a plain newline; in a quoted text write \\u%04x.", r, r)
	case r >= 0x202a && r <= 0x202e, r >= 0x2066 && r <= 0x2069, r == 0x200e, r == 0x200f, r == 0x061c:
		return "Bidirectional control character", fmt.Sprintf("Here is U+%04X, which changes the order in which text is shown: the file would read otherwise than it works. Remove it; in a quoted text write \\u%04x.", r, r)
	case r == 0x200b, r >= 0x2060 && r <= 0x2064, r >= 0x206a && r <= 0x206f, r == 0xfeff, r == 0x00ad, r == 0x180e, r >= 0xfff9 && r <= 0xfffb:
		return "Invisible character", fmt.Sprintf("Here is the invisible character U+%04X. Remove it; in a quoted text write \\u%04x.", r, r)
	case r >= 0xe0000 && r <= 0xe007f:
		return "Invisible character", fmt.Sprintf("Here is the invisible tag character U+%05X. Remove it; in a quoted text write \\U%08x.", r, r)
	}
	return "", ""
}

// refuse returns one error at size bytes from start.
func refuse(filename string, src []byte, start, size int, summary, detail string) hcl.Diagnostics {
	line := 1 + bytes.Count(src[:start], []byte("\n"))
	column := 1 + utf8.RuneCount(src[bytes.LastIndexByte(src[:start], '\n')+1:start])
	from := hcl.Pos{Line: line, Column: column, Byte: start}
	to := hcl.Pos{Line: line, Column: column + min(size, 1), Byte: start + size}
	return hcl.Diagnostics{{
		Severity: hcl.DiagError,
		Summary:  summary,
		Detail:   detail,
		Subject:  &hcl.Range{Filename: filename, Start: from, End: to},
	}}
}

// countWords returns at least as many as the lexer makes tokens: words and
// single signs, wherever they stand.
func countWords(src []byte) int {
	count, inWord := 0, false
	for _, c := range src {
		word := c >= utf8.RuneSelf || c == '_' || '0' <= c && c <= '9' || 'a' <= c|0x20 && c|0x20 <= 'z'
		space := c == ' ' || c == '\t' || c == '\r'
		if !space && !(word && inWord) {
			count++
		}
		inWord = word
	}
	return count
}
