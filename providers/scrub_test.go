package providers_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"unicode"

	"github.com/cofferhq/coffer/providers"
	"github.com/cofferhq/coffer/providers/providertest/canary"
	"github.com/cofferhq/coffer/providers/providertest/hostile"
	"github.com/cofferhq/coffer/providers/secret"
)

// echo returns the error of a write of v whose platform answers with text.
func echo(ctx context.Context, v secret.Value, err error) error {
	f := &fake{write: func(context.Context, providers.WriteRequest) (providers.Meta, error) { return providers.Meta{}, err }}
	_, got := providers.New("x", f, providers.Options{}).Write(ctx, providers.WriteRequest{Path: "p", Value: v})
	return got
}

// A platform that echoes what was sent, in any encoding that stays readable in
// a message, leaks nothing of it through the error.
func TestNothingSentIsInAnError(t *testing.T) {
	for _, c := range canary.Values() {
		finder := canary.NewFinder(c)
		for form, sample := range canary.Encodings(c.Value) {
			switch form {
			case "base58", "ascii85", "crc-32":
				continue // no platform answers in these
			}
			for _, v := range []secret.Value{secret.New(c.Value), secret.Object(map[string]secret.Value{"other": secret.String("x"), "it": secret.New(c.Value)})} {
				text := fmt.Sprintf("400 Bad Request: cannot store \"%s\" here", sample)
				err := echo(t.Context(), v, providers.Errorf(providers.Invalid, "%s", text).WithHint("see %s", sample))
				shown := fmt.Sprintf("%v %+v %#v %q", err, err, err, err)
				for e := err; e != nil; e = errors.Unwrap(e) {
					shown += e.Error()
				}
				if hits := finder.Find([]byte(shown)); len(hits) > 0 {
					t.Errorf("%s as %s: %v in %q", c.Name, form, hits, shown)
				}
				if !strings.Contains(shown, "400 Bad Request") && form != "gzip" && form != "zlib" && form != "zip" {
					t.Errorf("%s as %s: nothing is left of the message: %q", c.Name, form, shown)
				}
			}
		}
	}
}

func TestScrubbedText(t *testing.T) {
	for _, tc := range []struct{ name, value, text, want string }{
		{"raw", "hunter2-hunter2", "bad value hunter2-hunter2!", "bad value (sensitive)!"},
		{"a piece of 8", "0123456789abcdef", "near '89abcdef'", "near '(sensitive)'"},
		{"cut by the platform", "correct horse battery staple", "value correct horse ba… is bad", "value (sensitive)… is bad"},
		{"twice", "abcd", "abcd and abcd", "(sensitive) and (sensitive)"},
		{"short inside a word", "abc", "abcdef", "abcdef"},
		{"short as a word", "abc", "got abc, want", "got (sensitive), want"},
		{"one letter", "x", "x is not an index, x", "(sensitive) is not an index, (sensitive)"},
		{"empty", "", "nothing was sent", "nothing was sent"},
		{"lines", "line one\nline two\n", "got line one\r\nline two\r\n.", "got (sensitive) ."},
		{"innocent", "hunter2-hunter2", "request id 5f3a9c, permission denied", "request id 5f3a9c, permission denied"},
		{"control characters", "hunter2-hunter2", "a\x1b[31mred\x00\x07\u202e\u200bb", "a[31mredb"},
		{"split by what is dropped", "hunter2-hunter2", "hunter2\x00-\u200bhunter2", "(sensitive)"},
		{"invalid UTF-8", "hunter2-hunter2", "a\xff\xfeb", "ab"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			err := echo(t.Context(), secret.String(tc.value), providers.Errorf(providers.Invalid, "%s", tc.text))
			if got, want := err.Error(), "x write p: "+tc.want; got != want {
				t.Errorf("got  %q\nwant %q", got, want)
			}
		})
	}
}

func TestErrorTextIsBounded(t *testing.T) {
	value := strings.Repeat("0123456789ABCDEF", 1000)
	for name, text := range map[string]string{
		"long":             strings.Repeat("x", 1<<22),
		"runes":            strings.Repeat("é", 1<<20),
		"value at the cut": strings.Repeat("y", 4090) + value,
		"all value":        value + value + "tail",
	} {
		err := echo(t.Context(), secret.String(value), errors.New(text))
		if n := len(err.Error()); n > 700 {
			t.Errorf("%s: %d bytes", name, n)
		}
		if strings.Contains(err.Error(), "0123") {
			t.Errorf("%s: a piece of the value is left", name)
		}
		if !strings.ContainsFunc(err.Error(), unicode.IsLetter) {
			t.Errorf("%s: nothing is left", name)
		}
	}
}

func TestHostileErrorText(t *testing.T) {
	for _, s := range hostile.Strings() {
		err := echo(t.Context(), secret.String("hunter2-hunter2"), providers.Errorf(providers.Denied, "%s", s).WithHint("%s", s))
		if text := err.Error(); strings.ContainsFunc(text, func(r rune) bool { return unicode.In(r, unicode.Cc, unicode.Cf) }) || len(text) > 1500 {
			t.Errorf("%.80q becomes %.200q", s, text)
		}
	}
}

// The error that comes out is the one error: its chain is short, keeps the
// context errors and loses everything else.
func TestTheOneError(t *testing.T) {
	inner := &leaky{"hunter2-hunter2"}
	err := echo(t.Context(), secret.String("hunter2-hunter2"),
		fmt.Errorf("outer: %w", &providers.Error{Code: providers.Denied, Hint: "ask for hunter2-hunter2", Err: fmt.Errorf("%w: %w", inner, context.DeadlineExceeded)}))
	var e *providers.Error
	if !errors.As(err, &e) || e.Code != providers.Denied || e.Provider != "x" || e.Op != "write" || e.Path != "p" || e.Hint != "ask for (sensitive)" {
		t.Errorf("%#v", err)
	}
	var l *leaky
	if errors.As(err, &l) {
		t.Error("the driver's error can still be reached")
	}
	if !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		t.Error("the context error is lost, or another is found")
	}
	if again := echo(t.Context(), secret.String("other value"), err); again != err {
		t.Errorf("an error that is finished was made anew: %v", again)
	}
}

type leaky struct{ text string }

func (l *leaky) Error() string { return l.text }

func FuzzScrub(f *testing.F) {
	for _, c := range canary.Values() {
		f.Add(c.Value, []byte("before "), []byte(" after"))
	}
	f.Fuzz(func(t *testing.T, value, before, after []byte) {
		if len(value) < 8 || len(value) > 1000 || len(before) > 1000 || len(after) > 1000 {
			return
		}
		text := string(before) + string(value) + string(after)
		got := echo(t.Context(), secret.New(value), errors.New(text)).Error()
		got = strings.ReplaceAll(strings.TrimPrefix(got, "x write p: "), secret.Redacted, "\x00")
		for i := 0; i+8 <= len(value); i++ {
			piece := value[i : i+8]
			if plain(piece) && bytes.Contains([]byte(got), piece) {
				t.Fatalf("a piece of %q is in %q", value, got)
			}
		}
	})
}

// plain reports whether a piece would be shown as it is.
func plain(b []byte) bool {
	for _, c := range b {
		if c <= ' ' || c >= 0x7f {
			return false
		}
	}
	return true
}
