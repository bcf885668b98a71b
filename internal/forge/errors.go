package forge

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Why says what is to be done about an error.
type Why string

const (
	Denied      Why = "denied"      // the token may not do this: 401, 403, and 404 where it should be there
	Limited     Why = "limited"     // too many requests, and waiting as long as was told was not possible
	Refused     Why = "refused"     // the request is wrong: 422, 400
	Unreachable Why = "unreachable" // no answer, or 5xx after retries; what was asked may have been done
)

// Error is what went wrong with one request. It holds no token, header or body.
type Error struct {
	Why    Why
	Op     string // "comment on pull request 12"
	Status int    // 0 where there was no answer
	Detail string // what the forge said, cut and cleaned
	Hint   string // the next step: the permission to grant

	ended error         // why the context ended, nil where it did not
	after time.Duration // how long the forge asks to wait
}

func (e *Error) Error() string {
	text := e.Op + ": "
	switch {
	case e.ended != nil:
		text += e.ended.Error()
	case e.Status != 0:
		text += "status " + strconv.Itoa(e.Status)
		if e.Detail != "" {
			text += ": " + e.Detail
		}
	case e.Detail != "":
		text += e.Detail
	default:
		text += string(e.Why)
	}
	if e.Hint != "" {
		text += "; " + e.Hint
	}
	return text
}

// Unwrap returns context.Canceled or context.DeadlineExceeded where the context
// ended, nothing else: an error of the network may hold what was sent.
func (e *Error) Unwrap() error { return e.ended }

// interrupted is the error of a context that has ended.
func interrupted(ctx context.Context, op string) *Error {
	ended := context.Canceled
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		ended = context.DeadlineExceeded
	}
	return &Error{Why: Unreachable, Op: op, ended: ended}
}

// orEnded returns e, or the error of a context that has ended meanwhile.
func (e *Error) orEnded(ctx context.Context) *Error {
	if ctx.Err() != nil {
		return interrupted(ctx, e.Op)
	}
	return e
}

// gone reports whether what the request is about is no longer there.
func (e *Error) gone() bool { return e.Status == 404 || e.Status == 410 }

// isGone reports whether err is of something that is no longer there.
func isGone(err error) bool {
	var e *Error
	return errors.As(err, &e) && e.gone()
}

// longestDetail is how many characters of what a forge says an error shows.
const longestDetail = 200

// clean makes a text from outside one short line of visible characters, without
// anything that a runner takes for a command.
func clean(text string) string {
	var b strings.Builder
	blank, shown := false, 0
	for _, r := range text {
		switch {
		case unicode.IsSpace(r) || unicode.IsControl(r):
			blank = true
			continue
		case r == utf8.RuneError || !unicode.IsPrint(r) || unicode.In(r, unicode.Mn, unicode.Me, unicode.Other_Default_Ignorable_Code_Point):
			continue
		case shown == longestDetail:
			return b.String() + "…"
		}
		if blank && shown > 0 {
			b.WriteByte(' ')
		}
		// "##[error]" is a command anywhere in a line, "::error::" at its start
		if last := b.String(); r == '#' && strings.HasSuffix(last, "#") || r == ':' && (last == "" || strings.HasSuffix(last, ":")) {
			b.WriteByte(' ')
		}
		b.WriteRune(r)
		blank = false
		shown++
	}
	return b.String()
}
