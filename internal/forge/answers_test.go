package forge_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/cofferhq/coffer/internal/forge"
	"github.com/cofferhq/coffer/internal/forge/forgetest"
)

func TestAnswersThatAreNone(t *testing.T) {
	for name, text := range map[string]string{
		"a page of a proxy": "<html>log in</html>", "nothing": "", "an object": `{"message":"hello"}`, "half a list": `[{"id":1},`,
		"text for a number": `[{"id":"one"}]`, "null": "null",
	} {
		t.Run(name, func(t *testing.T) {
			eachPlace(t, func(t *testing.T, p *place) {
				p.Answer(forgetest.Always, "GET "+p.commentsPath(), func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, text) })
				if e := p.fails(t, forge.Unreachable); !strings.Contains(e.Detail, "not one of this API") {
					t.Errorf("%v", e)
				}
				if len(p.Written()) > 0 {
					t.Errorf("written: %v", p.Written())
				}
			})
		})
	}
}

// endless is a body that never ends: head, then filler.
type endless struct{ head, filler string }

func (e *endless) Read(p []byte) (int, error) {
	if e.head == "" {
		e.head = e.filler
	}
	n := copy(p, e.head)
	e.head = e.head[n:]
	return n, nil
}

func (*endless) Close() error { return nil }

// answers is a transport that gives one answer after who we are is known.
type answers struct {
	http.RoundTripper
	body func() io.ReadCloser
}

func (a answers) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := a.RoundTripper.RoundTrip(r)
	if err == nil && strings.Contains(r.URL.RawQuery, "per_page") {
		resp.Body.Close()
		resp.Body = a.body()
	}
	return resp, err
}

func TestEndlessAnswers(t *testing.T) {
	for name, e := range map[string]endless{
		"one comment without end":  {`[{"id":1,"body":"`, strings.Repeat("x", 64<<10)},
		"brackets without end":     {``, strings.Repeat("[", 64<<10)},
		"an unknown field, no end": {`[{"other":[`, strings.Repeat(`{},`, 20<<10)},
	} {
		t.Run(name, func(t *testing.T) {
			p := newGitHub(t, "")
			client := *p.web.Client()
			client.Transport = answers{client.Transport, func() io.ReadCloser { own := e; return &own }}
			_, err := p.with(t, &client).Comment(t.Context(), change, marker, marker, true)
			var f *forge.Error
			if !errors.As(err, &f) || len(p.Written()) > 0 {
				t.Errorf("%v, %v", err, p.Written())
			}
		})
	}
	t.Run("pages without end", func(t *testing.T) {
		eachPlace(t, func(t *testing.T, p *place) {
			p.Answer(forgetest.Always, "GET "+p.commentsPath(), func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Link", fmt.Sprintf(`<http://%s/elsewhere>; rel="next"`, r.Host))
				w.Header().Set("X-Next-Page", "2")
				_, _ = io.WriteString(w, "[]")
			})
			if e := p.fails(t, forge.Refused); !strings.Contains(e.Detail, "10000") || len(p.Written()) > 0 {
				t.Errorf("%v", e)
			}
		})
	})
}
