package render

import (
	"bytes"
	"io"
	"unicode/utf8"
)

// maxLine is how many bytes of one line a [Writer] lets through.
const maxLine = 64 << 10

// Tone is emphasis. It is a type of its own, so that the only escape sequences
// that reach a terminal are the seven below.
type Tone uint8

// The tones.
const (
	Plain Tone = iota
	Strong
	Faint
	Good
	Caution
	Danger
	Info
)

const reset = "\x1b[0m"

func (t Tone) sequence() string {
	switch t {
	case Strong:
		return "\x1b[1m"
	case Faint:
		return "\x1b[2m"
	case Good:
		return "\x1b[32m"
	case Caution:
		return "\x1b[33m"
	case Danger:
		return "\x1b[1;31m"
	case Info:
		return "\x1b[36m"
	}
	return ""
}

// Writer is the one way out for text: whatever is written to it is escaped as
// by [Sanitize], newlines excepted. There is one for each sink, since it
// follows the line that is being written. It is not safe for concurrent use.
type Writer struct {
	w     io.Writer
	color bool
	line  escaper
	size  int    // bytes written on this line
	held  []byte // the beginning of a character whose rest is to come
	out   []byte
	err   error
}

// NewWriter returns a Writer to w.
func NewWriter(w io.Writer, s Style) *Writer { return &Writer{w: w, color: s.Color} }

// Write writes b, escaped. After an error of the sink it writes nothing and
// returns that error.
func (w *Writer) Write(b []byte) (int, error) {
	text := append(w.held, b...)
	end := len(text)
	for i := 1; i <= min(len(text), utf8.UTFMax-1); i++ {
		if tail := text[len(text)-i:]; utf8.RuneStart(tail[0]) {
			if !utf8.FullRune(tail) {
				end -= i
			}
			break
		}
	}
	w.emit(Plain, text[:end])
	w.held = bytes.Clone(text[end:])
	if w.err != nil {
		return 0, w.err
	}
	return len(b), nil
}

// Print writes s, escaped, in tone t.
func (w *Writer) Print(t Tone, s string) {
	if len(w.held) > 0 {
		w.emit(Plain, w.held)
		w.held = nil
	}
	w.emit(t, []byte(s))
}

// Err returns the first error of the sink.
func (w *Writer) Err() error { return w.err }

func (w *Writer) emit(t Tone, text []byte) {
	if w.err != nil || len(text) == 0 {
		return
	}
	w.out = w.out[:0]
	styled := w.color && t != Plain
	if styled {
		w.out = append(w.out, t.sequence()...)
	}
	for len(text) > 0 {
		line, rest, ended := bytes.Cut(text, []byte{'\n'})
		w.appendLine(line)
		if ended {
			w.out = append(w.out, '\n')
			w.line, w.size = escaper{}, 0
		}
		text = rest
	}
	if styled {
		w.out = append(w.out, reset...)
	}
	_, w.err = w.w.Write(w.out)
}

// appendLine adds a piece of the current line, as far as there is room in it.
func (w *Writer) appendLine(text []byte) {
	if w.size > maxLine {
		return
	}
	room := maxLine - w.size
	cut := len(text) > room
	if cut {
		text = text[:room]
	}
	w.out = w.line.append(w.out, string(text))
	w.size += len(text)
	if cut {
		w.out = append(w.out, " ... (line cut)"...)
		w.size = maxLine + 1
	}
}
