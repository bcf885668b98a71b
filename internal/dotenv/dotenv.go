// Package dotenv reads .env files without changing what is in them. Nothing is
// expanded, nothing is lost: a value comes out byte for byte as written, a "$"
// is a "$", and what other programs read in different ways is an error or a
// [Warning], never a guess. Read [Parse] first; [Quote] is its inverse.
//
// The package makes secret values and prints none: its errors and warnings have
// line numbers and names only. It knows no provider and no configuration.
//
// # The format
//
// A file is UTF-8 or any other superset of ASCII, with or without a byte order
// mark, with lines that end in LF or CRLF. A line is empty, a comment
// (# after optional blanks) or
//
//	[export] NAME = VALUE
//
// where NAME is [A-Za-z_][A-Za-z0-9_]*, blanks around "=" do not count, and
// VALUE is one of
//
//	plain      up to the end of the line, or to a # that follows a blank;
//	           blanks at both ends are cut; nothing in it is special
//	'single'   everything up to the next ', newlines too; nothing is special
//	"double"   everything up to the next ", newlines too; the escapes are
//	           \n \r \t \\ \" \$ \` and any other backslash is an error
//
// After a closing quote only blanks and a comment may follow. A name that
// occurs twice is an error, and so are a line without "=", a NUL byte and a
// carriage return in the middle of a line.
//
// # Other readers
//
// Docker Compose and Ruby's dotenv replace $NAME in plain and double-quoted
// values (Ruby runs $(commands), too); Node's dotenv cuts a plain value at any
// #; Compose takes \' inside single quotes for a quote; systemd has no comments
// behind values and a shell takes a plain value apart at blanks and quotes. See
// docs/dotenv.md for the table with sources.
package dotenv

import (
	"bytes"
	"fmt"
	"io"

	"github.com/cofferhq/coffer/providers/secret"
)

// MaxBytes is the size of the largest file that [Parse] reads.
const MaxBytes = 1 << 20

// File is a parsed .env file.
type File struct {
	Variables []Variable // in the order of the file; names are unique
	Warnings  []Warning  // in the order of the file
}

// Variable is one assignment.
type Variable struct {
	Name  string
	Value secret.Value // never absent; NAME= is an empty value
	Line  int          // of the name
}

// Warning says that another program would read a variable otherwise than
// [Parse] does. It never holds a value.
type Warning struct {
	Name string
	Line int
	Text string // what differs, and how to write it so that all agree
}

func (w Warning) String() string { return fmt.Sprintf("line %d: %s: %s", w.Line, w.Name, w.Text) }

// Error says why a file cannot be read without a guess. It never holds any of
// the file's text but the name of a variable.
type Error struct {
	Line int
	Name string // "" where there is none
	Text string // what is wrong, and the fix
}

func (e *Error) Error() string {
	if e.Name == "" {
		return fmt.Sprintf("line %d: %s", e.Line, e.Text)
	}
	return fmt.Sprintf("line %d: %s: %s", e.Line, e.Name, e.Text)
}

// Parse reads a whole file in the format of the package comment. The error is
// an [*Error] for the first place that has one, or what r returned; then there
// is no File.
func Parse(r io.Reader) (*File, error) {
	text, err := io.ReadAll(io.LimitReader(r, MaxBytes+1))
	if err != nil {
		return nil, fmt.Errorf("read the .env file: %w", err)
	}
	if len(text) > MaxBytes {
		return nil, &Error{Line: 1, Text: "the file has more than 1 MiB; this is no .env file"}
	}
	if bytes.HasPrefix(text, []byte("\xff\xfe")) || bytes.HasPrefix(text, []byte("\xfe\xff")) {
		return nil, &Error{Line: 1, Text: "the file is UTF-16; save it as UTF-8"}
	}
	p := parser{rest: bytes.TrimPrefix(text, []byte("\xef\xbb\xbf")), line: 1, seen: map[string]int{}}
	for len(p.rest) > 0 {
		if err := p.statement(); err != nil {
			return nil, err
		}
	}
	return &p.file, nil
}

type parser struct {
	rest []byte
	line int
	seen map[string]int // the line of each name
	file File
}

// statement reads one line, or several where a quoted value spans them.
func (p *parser) statement() error {
	start := p.line
	p.blanks()
	if p.atEnd() || p.rest[0] == '#' {
		return p.endOfLine("")
	}
	name := p.word()
	if name == "export" && len(p.rest) > 0 && isBlank(p.rest[0]) {
		p.blanks()
		if !p.at('=') { // else a variable is called export
			name = p.word()
		}
	}
	p.blanks()
	switch {
	case !p.at('=') && !p.lineHasEqual():
		return &Error{Line: start, Text: "this line is no assignment; write NAME=VALUE, put a # before a comment and quotes around a value of several lines"}
	case !p.at('=') || name == "":
		return &Error{Line: start, Text: `the name before "=" is missing or not a name; a name has letters, digits and _ and does not start with a digit`}
	}
	if first, ok := p.seen[name]; ok {
		return &Error{Line: start, Name: name, Text: fmt.Sprintf("this name is on line %d already and programs disagree on which counts; remove one", first)}
	}
	p.seen[name] = start
	p.rest = p.rest[1:]
	before := len(p.rest)
	p.blanks()
	value, err := p.value(name, len(p.rest) < before)
	if err != nil {
		return err
	}
	p.file.Variables = append(p.file.Variables, Variable{Name: name, Value: secret.New(value), Line: start})
	return nil
}

func (p *parser) value(name string, afterBlank bool) ([]byte, error) {
	switch {
	case p.at('\''):
		return p.single(name)
	case p.at('"'):
		return p.double(name)
	case p.at('`'):
		return nil, &Error{Line: p.line, Name: name, Text: "the value starts with a backtick, which only some programs take for a quote; use single or double quotes"}
	default:
		return p.plain(name, afterBlank)
	}
}

// word reads a name; "" where there is none. It stops behind letters that
// cannot be a name, so that what follows is not "=".
func (p *parser) word() string {
	n := 0
	for n < len(p.rest) && isNameByte(p.rest[n], n == 0) {
		n++
	}
	word := string(p.rest[:n])
	p.rest = p.rest[n:]
	return word
}

func isNameByte(c byte, first bool) bool {
	return c == '_' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || !first && '0' <= c && c <= '9'
}

func isBlank(c byte) bool { return c == ' ' || c == '\t' }

func (p *parser) blanks() {
	for len(p.rest) > 0 && isBlank(p.rest[0]) {
		p.rest = p.rest[1:]
	}
}

func (p *parser) at(c byte) bool { return len(p.rest) > 0 && p.rest[0] == c }

func (p *parser) lineHasEqual() bool {
	line, _, _ := bytes.Cut(p.rest, []byte("\n"))
	return bytes.IndexByte(line, '=') >= 0
}

func (p *parser) atEnd() bool {
	return len(p.rest) == 0 || p.rest[0] == '\n' || bytes.HasPrefix(p.rest, []byte("\r\n"))
}

// endOfLine skips a comment and the end of the line.
func (p *parser) endOfLine(name string) error {
	line, rest, _ := bytes.Cut(p.rest, []byte("\n"))
	line = bytes.TrimSuffix(line, []byte("\r"))
	if err := p.clean(name, line, "\x00\r"); err != nil {
		return err
	}
	p.rest = rest
	p.line++
	return nil
}

// clean refuses bytes that no .env file has.
func (p *parser) clean(name string, text []byte, bad string) error {
	i := bytes.IndexAny(text, bad)
	if i < 0 {
		return nil
	}
	at := p.line + bytes.Count(text[:i], []byte("\n"))
	if text[i] == 0 {
		return &Error{Line: at, Name: name, Text: "here is a NUL byte, which no environment variable can hold; remove it, or keep the value in a file of its own"}
	}
	return &Error{Line: at, Name: name, Text: `here is a carriage return in the middle of a line; end lines with LF or CRLF, and write \r in double quotes for one that belongs to a value`}
}

func (p *parser) warn(name string, line int, text string) {
	p.file.Warnings = append(p.file.Warnings, Warning{Name: name, Line: line, Text: text})
}
