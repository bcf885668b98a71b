package providers

import (
	"context"
	"errors"
	"slices"

	"github.com/cofferhq/coffer/providers/secret"
)

// wrap makes the one error of this package out of a driver's.
func (p *Provider) wrap(ctx context.Context, c call, err error) *Error {
	e, raw := p.classify(ctx, c, err)
	if raw != nil {
		raw.finish(scrub([]string{raw.text, raw.hint}, slices.Concat(c.sent, raw.sent)))
	}
	return e
}

// raw is the text of a driver's error, not yet scrubbed.
type raw struct {
	text, hint string
	sent       []secret.Value // besides that of the call
	into       *Error
	ends       []error
}

// SentWith returns the credentials that a driver's error names as sent.
func SentWith(err error) []secret.Value {
	var sent []secret.Value
	for ; err != nil; err = errors.Unwrap(err) {
		if e, ok := err.(*Error); ok {
			sent = append(sent, e.Sent...)
		}
	}
	return sent
}

func (r *raw) finish(texts []string) {
	r.into.Err = &scrubbed{text: texts[0], ends: r.ends}
	r.into.Hint = texts[1]
}

// classify returns the error without any text, and the text to scrub; nil
// where that has been done before.
func (p *Provider) classify(ctx context.Context, c call, err error) (*Error, *raw) {
	var in *Error
	if errors.As(err, &in) {
		if _, done := in.Err.(*scrubbed); done {
			return in, nil
		}
	} else {
		in = &Error{Code: Unknown}
	}
	out := &Error{Code: in.Code, Provider: p.ref, Op: c.op, Path: c.path, RetryAfter: max(in.RetryAfter, 0), Lasting: in.Lasting}
	if out.Path == "" {
		out.Path = in.Path
	}
	ends := endings(err)
	if !out.Code.Definite() {
		out.Code = unclassified(out.Code, c.pure, ends, ctx.Err() != nil)
	}
	if len(ends) == 0 && (out.Code == Cancelled || !out.Code.Definite()) {
		ends = endings(ctx.Err())
	}
	text := err.Error()
	if e, ok := err.(*Error); ok {
		text = e.Code.String()
		if e.Err != nil {
			text = e.Err.Error()
		}
	}
	return out, &raw{text: text, hint: in.Hint, sent: SentWith(err), into: out, ends: ends}
}

// unclassified is the code of an error whose driver gave none. A write that
// ended in any unclear way may have happened; a call that changes nothing has
// no outcome to doubt.
func unclassified(code Code, pure bool, ends []error, ended bool) Code {
	switch {
	case !pure:
		return Ambiguous
	case code == Ambiguous:
		return Unavailable
	case ended:
		return Cancelled
	case len(ends) > 0: // a time limit of the driver's own
		return Unavailable
	}
	return Unknown
}

// endings returns the context errors that err stands for.
func endings(err error) []error {
	var ends []error
	for _, end := range []error{context.Canceled, context.DeadlineExceeded} {
		if errors.Is(err, end) {
			ends = append(ends, end)
		}
	}
	return ends
}

// scrubbed is what is left of a driver's error. The original is dropped, since
// Unwrap would lead back to its text.
type scrubbed struct {
	text string
	ends []error
}

func (s *scrubbed) Error() string   { return s.text }
func (s *scrubbed) Unwrap() []error { return s.ends }
