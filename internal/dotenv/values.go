package dotenv

import (
	"bytes"
	"strings"
)

const (
	expands = `other programs would replace "$…" in it, Coffer keeps it as it is; single quotes mean the same to all`
	cuts    = `some programs end the value at its "#", Coffer does only after a blank; quotes mean the same to all`
	slashed = `it ends in a backslash before the closing quote, which Docker Compose reads as an escaped quote; write "…\\" in double quotes`
	quotes  = `a quote stands inside a value without quotes, which a shell would drop; put the whole value in quotes`
	slashes = `a backslash stands in a value without quotes, which a shell, systemd and Ruby would drop; put the value in single quotes`
	returns = `its lines end in CRLF and Coffer keeps the carriage returns; save the file with LF if they do not belong to it`
)

// plain reads a value without quotes, to the end of the line.
func (p *parser) plain(name string, afterBlank bool) ([]byte, error) {
	line, rest, _ := bytes.Cut(p.rest, []byte("\n"))
	line = bytes.TrimSuffix(line, []byte("\r"))
	if err := p.clean(name, line, "\x00\r"); err != nil {
		return nil, err
	}
	value := line
	for i, c := range line {
		if c == '#' && (i > 0 && isBlank(line[i-1]) || i == 0 && afterBlank) {
			value = line[:i]
			break
		}
	}
	value = bytes.TrimRight(value, " \t")
	if string(value) == "=" {
		// The name is not told: it would be the last line of somebody's key.
		return nil, &Error{Line: p.line, Text: `this looks like the last line of a base64 text; put quotes around a value of several lines, and around a value that is really "="`}
	}
	for _, w := range []struct{ signs, text string }{{"$", expands}, {"#", cuts}, {`'"`, quotes}, {`\`, slashes}} {
		if bytes.ContainsAny(value, w.signs) {
			p.warn(name, p.line, w.text)
		}
	}
	p.rest = rest
	p.line++
	return value, nil
}

// single reads a value in single quotes.
func (p *parser) single(name string) ([]byte, error) {
	line := p.line
	body, rest, ok := bytes.Cut(p.rest[1:], []byte("'"))
	if !ok {
		return nil, &Error{Line: line, Name: name, Text: "the single quote is never closed; write ' at the end of the value"}
	}
	if err := p.clean(name, body, "\x00"); err != nil {
		return nil, err
	}
	if bytes.HasSuffix(body, []byte(`\`)) {
		p.warn(name, line, slashed)
	}
	p.spanned(name, line, body)
	p.rest = rest
	return body, p.closed(name)
}

// double reads a value in double quotes and replaces its escapes.
func (p *parser) double(name string) ([]byte, error) {
	line, value := p.line, []byte{}
	dollar := false
	text := p.rest[1:]
	for i := 0; i < len(text); i++ {
		switch c := text[i]; c {
		case '"':
			if err := p.clean(name, text[:i], "\x00"); err != nil {
				return nil, err
			}
			if dollar {
				p.warn(name, line, expands)
			}
			p.spanned(name, line, text[:i])
			p.rest = text[i+1:]
			return value, p.closed(name)
		case '\\':
			i++
			escaped, ok := byte(0), false
			if i < len(text) {
				escaped, ok = unescape(text[i])
			}
			if !ok {
				at := line + bytes.Count(text[:i], []byte("\n"))
				return nil, &Error{Line: at, Name: name, Text: "a backslash in double quotes stands before a sign that programs read in different ways; " +
					`write \\ for a backslash, or use single quotes (the escapes are \n \r \t \\ \" \$ and \` + "`)"}
			}
			value = append(value, escaped)
		case '$':
			dollar = true
			value = append(value, c)
		default:
			value = append(value, c)
		}
	}
	return nil, &Error{Line: line, Name: name, Text: `the double quote is never closed; write " at the end of the value, and \" for one inside it`}
}

func unescape(c byte) (byte, bool) {
	switch c {
	case 'n':
		return '\n', true
	case 'r':
		return '\r', true
	case 't':
		return '\t', true
	case '\\', '"', '$', '`':
		return c, true
	}
	return 0, false
}

// spanned counts the lines of a quoted value.
func (p *parser) spanned(name string, line int, body []byte) {
	p.line += bytes.Count(body, []byte("\n"))
	if bytes.Contains(body, []byte("\r")) {
		p.warn(name, line, returns)
	}
}

// closed checks what follows a closing quote.
func (p *parser) closed(name string) error {
	before := len(p.rest)
	p.blanks()
	if !p.atEnd() && (p.rest[0] != '#' || len(p.rest) == before) {
		return &Error{Line: p.line, Name: name, Text: `there is text behind the closing quote; write \" for a double quote inside double quotes, and a blank before a comment`}
	}
	return p.endOfLine(name)
}

// Quote writes a value so that NAME=Quote(value) reads back as value, byte for
// byte, and as few other programs as possible read it otherwise: plain where
// that is safe, else in single quotes, which nobody expands, else in double
// quotes. A value with a NUL byte has no form; [Parse] refuses what comes out.
func Quote(value []byte) string {
	plain, single := len(value) > 0, true
	for _, c := range value {
		switch {
		case isNameByte(c, false), strings.IndexByte("-./:@%+,=", c) >= 0:
		case c == '\'', c == '\r', c == '\\':
			plain, single = false, false
		default:
			plain = false
		}
	}
	switch {
	case plain && string(value) != "=":
		return string(value)
	case single:
		return "'" + string(value) + "'"
	}
	var b strings.Builder
	b.WriteByte('"')
	for _, c := range value {
		switch c {
		case '\n':
			b.WriteString(`\n`)
		case '\r':
			b.WriteString(`\r`)
		case '\t':
			b.WriteString(`\t`)
		case '\\', '"', '$', '`':
			b.WriteByte('\\')
			b.WriteByte(c)
		default:
			b.WriteByte(c)
		}
	}
	b.WriteByte('"')
	return b.String()
}
