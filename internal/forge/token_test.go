package forge_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"testing"

	"github.com/cofferhq/coffer/internal/forge"
	"github.com/cofferhq/coffer/internal/forge/forgetest"
	"github.com/cofferhq/coffer/providers/providertest/canary"
	"github.com/cofferhq/coffer/providers/providertest/hostile"
)

// leaks demands that no form of the canary is in what a value prints as.
func leaks(t *testing.T, what string, values ...any) {
	t.Helper()
	var out bytes.Buffer
	for _, v := range values {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
			fmt.Fprintf(&out, verb+"\n", v)
		}
		slog.New(slog.NewTextHandler(&out, nil)).Info("x", "v", v)
		slog.New(slog.NewJSONHandler(&out, nil)).Info("x", "v", v)
		if text, err := json.Marshal(v); err == nil {
			out.Write(text)
		}
		if err, ok := v.(error); ok {
			for err = errors.Unwrap(err); err != nil; err = errors.Unwrap(err) {
				fmt.Fprintf(&out, "%+v\n%#v\n", err, err)
			}
		}
	}
	if hits := canary.NewFinder(canary.Values()[0]).Find(out.Bytes()); len(hits) > 0 {
		t.Errorf("%s: %v in\n%s", what, hits, out.Bytes())
	}
}

func secretToken() string { return string(canary.Values()[0].Value) }

func TestTokenIsNotShown(t *testing.T) {
	token := forge.NewToken("  " + secretToken() + "\n")
	type holder struct {
		Token  forge.Token
		hidden forge.Token
		Many   map[string]*forge.Token
	}
	leaks(t, "the token", token, &token, []forge.Token{token}, holder{token, token, map[string]*forge.Token{"a": &token}})
	if got := fmt.Sprintf("%v %+v %#v %s", token, token, token, token); got != "(hidden) (hidden) (hidden) (hidden)" {
		t.Errorf("%s", got)
	}
	if text, err := json.Marshal(token); err != nil || string(text) != `"(hidden)"` {
		t.Errorf("%s, %v", text, err)
	}
	if token.IsZero() || !forge.NewToken(" \n").IsZero() || !(forge.Token{}).IsZero() {
		t.Error("what is no token, and what is one")
	}
}

// A forge, or a proxy before it, may send back whatever it was sent.
func TestTokenIsInNoError(t *testing.T) {
	eachPlace(t, func(t *testing.T, p *place) {
		p.Token = secretToken()
		echo := func(status int) http.HandlerFunc {
			return func(w http.ResponseWriter, r *http.Request) {
				sent := r.Header.Get("Authorization") + r.Header.Get("Private-Token")
				w.Header().Set("Location", "http://elsewhere.example/"+p.Token)
				w.WriteHeader(status)
				_ = json.NewEncoder(w).Encode(map[string]any{
					"message": "not for " + sent, "error": sent, "errors": []map[string]string{{"message": sent, "field": sent, "code": sent}},
				})
			}
		}
		try := func(what string, f forge.Forge) {
			t.Helper()
			_, err := f.Comment(t.Context(), change, marker, marker, true)
			if err == nil {
				t.Fatalf("%s: no error", what)
			}
			leaks(t, what, err, f, p.run)
		}
		for _, status := range []int{200, 301, 400, 401, 403, 404, 422, 429, 500} {
			for _, match := range []string{"* /user", "GET " + p.commentsPath(), p.post()} {
				if status == 200 && match != "GET "+p.commentsPath() {
					continue
				}
				p.Heal()
				p.Answer(forgetest.Always, match, echo(status))
				if match == "* /user" {
					p.Answer(forgetest.Always, "POST graphql", echo(status))
				}
				try(fmt.Sprintf("%s %d", match, status), p.open(t))
			}
		}
		client := *p.web.Client()
		client.Transport = telling{}
		try("the transport", p.with(t, &client))
		for _, r := range p.Requests() {
			leaks(t, "a request", r)
		}
	})
	for _, kind := range []forge.Kind{forge.GitHub, forge.GitLab} {
		run := forge.Run{Kind: kind, Repository: map[forge.Kind]string{forge.GitHub: "a/b", forge.GitLab: "1"}[kind], API: "http://127.0.0.1:1"}
		for _, bad := range []string{"", secretToken() + "\r\nX-Other: 1" + secretToken(), secretToken() + "é", "a b"} {
			_, err := forge.New(run, forge.NewToken(bad), nil, nil, nil)
			leaks(t, "New", err)
			if e := failure(t, err, forge.Denied); !strings.Contains(e.Hint, "TOKEN") {
				t.Errorf("%v", e)
			}
		}
	}
}

// telling is a transport whose errors show what was to be sent.
type telling struct{}

func (telling) RoundTrip(r *http.Request) (*http.Response, error) {
	return nil, fmt.Errorf("cannot send %v to %s", r.Header, r.URL)
}

func TestTokenFrom(t *testing.T) {
	for name, c := range map[string]struct {
		kind forge.Kind
		env  map[string]string
		want bool
	}{
		"github, the job's":  {forge.GitHub, map[string]string{"GITHUB_TOKEN": "a"}, true},
		"github, its own":    {forge.GitHub, map[string]string{"COFFER_GITHUB_TOKEN": "a"}, true},
		"github, blank":      {forge.GitHub, map[string]string{"COFFER_GITHUB_TOKEN": " ", "GITHUB_TOKEN": "\n"}, false},
		"github, of gitlab":  {forge.GitHub, map[string]string{"COFFER_GITLAB_TOKEN": "a"}, false},
		"gitlab, its own":    {forge.GitLab, map[string]string{"COFFER_GITLAB_TOKEN": "a"}, true},
		"gitlab, the job's":  {forge.GitLab, map[string]string{"CI_JOB_TOKEN": "a"}, false},
		"gitlab, of github":  {forge.GitLab, map[string]string{"GITHUB_TOKEN": "a"}, false},
		"plain, all of them": {forge.Plain, map[string]string{"GITHUB_TOKEN": "a", "COFFER_GITLAB_TOKEN": "a"}, false},
	} {
		if got := forge.TokenFrom(forge.Run{Kind: c.kind}, func(n string) string { return c.env[n] }); got.IsZero() == c.want {
			t.Errorf("%s: a token: %v, want %v", name, !got.IsZero(), c.want)
		}
	}
	// our own goes first
	p := newGitHub(t, "")
	env := map[string]string{"COFFER_GITHUB_TOKEN": p.Token, "GITHUB_TOKEN": "other"}
	f, err := forge.New(p.run, forge.TokenFrom(p.run, func(n string) string { return env[n] }), nil, p.clock.now, p.clock.wait)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Comment(t.Context(), change, marker, marker, true); err != nil {
		t.Error(err)
	}
}

// What a forge says is shown on one line that does nothing in a terminal or a log.
func TestErrorTextsAreCleaned(t *testing.T) {
	p := newGitHub(t, "")
	for _, text := range append(hostile.Strings(), hostile.Long()...) {
		p.Heal()
		p.Answer(1, "GET "+p.commentsPath(), func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(422)
			_ = json.NewEncoder(w).Encode(map[string]string{"message": text})
		})
		_, err := p.open(t).Comment(t.Context(), change, marker, marker, true)
		e := failure(t, err, forge.Refused)
		if n := len([]rune(e.Detail)); n > 450 || strings.Contains(e.Detail, "##") || strings.HasPrefix(e.Detail, "::") ||
			strings.ContainsFunc(e.Detail, func(r rune) bool { return r < ' ' || r == 0x7f || r >= 0x80 && r < 0xa0 }) {
			t.Errorf("%q gives %d characters: %q", text, n, e.Detail)
		}
		for _, never := range []string{"\u202e", "\u2066", "\u200b", "\u2028", "\ufeff", "\u00ad"} {
			if strings.Contains(e.Detail, never) {
				t.Errorf("%q is shown as %q", text, e.Detail)
			}
		}
	}
	for n, want := range map[int]int{200: 200, 10_000: 201, 1 << 20: 0} { // the last is not read to its end
		p.Heal()
		p.Answer(forgetest.Always, "GET "+p.commentsPath(), func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(422)
			_, _ = fmt.Fprintf(w, `{"message":%q}`, fill(n))
		})
		if e := p.fails(t, forge.Refused); len([]rune(e.Detail)) != want {
			t.Errorf("of %d characters %q is shown", n, e.Detail)
		}
	}
}
