package forge_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cofferhq/coffer/internal/forge"
	"github.com/cofferhq/coffer/internal/forge/forgetest"
)

// post is the request that makes a comment.
func (p *place) post() string { return "POST " + p.commentsPath() }

// fails comments and returns the error, of the wanted kind.
func (p *place) fails(t *testing.T, why forge.Why) *forge.Error {
	t.Helper()
	_, err := p.open(t).Comment(t.Context(), change, marker, marker+"\ntext", true)
	return failure(t, err, why)
}

func TestErrorAnswers(t *testing.T) {
	type answer struct {
		status int
		why    forge.Why
		asked  int // how often
		hint   string
	}
	for name, a := range map[string]answer{
		"bad request":   {400, forge.Refused, 1, ""},
		"unauthorized":  {401, forge.Denied, 1, "expired"},
		"forbidden":     {403, forge.Denied, 1, "grant"},
		"not found":     {404, forge.Denied, 1, "grant"},
		"gone":          {410, forge.Denied, 1, "grant"},
		"conflict":      {409, forge.Refused, 1, ""},
		"too large":     {413, forge.Refused, 1, ""},
		"unprocessable": {422, forge.Refused, 1, ""},
		"server error":  {500, forge.Unreachable, 4, "API"},
		"bad gateway":   {502, forge.Unreachable, 4, "API"},
		"unavailable":   {503, forge.Unreachable, 4, "API"},
	} {
		t.Run(name, func(t *testing.T) {
			eachPlace(t, func(t *testing.T, p *place) {
				for _, match := range []string{"GET " + p.commentsPath(), p.post()} {
					p.Heal()
					p.Forget()
					p.Fail(forgetest.Always, match, a.status)
					e := p.fails(t, a.why)
					hint := a.hint
					if p.run.Kind == forge.GitLab && hint == "grant" {
						hint = "COFFER_GITLAB_TOKEN"
					}
					if e.Status != a.status || !strings.Contains(e.Hint, hint) || !strings.Contains(e.Error(), " 12: status "+strconv.Itoa(a.status)) {
						t.Errorf("%s: %+v", match, e)
					}
					method, _, _ := strings.Cut(match, " ")
					asked := slices.DeleteFunc(p.Requests(), func(r forgetest.Request) bool {
						return r.Method != method || !strings.Contains(r.Path, p.commentsPath())
					})
					if len(asked) != a.asked {
						t.Errorf("%s: asked %d times, want %d", match, len(asked), a.asked)
					}
				}
			})
		})
	}
}

// Denied says the permission to grant, of the right thing.
func TestDenied(t *testing.T) {
	eachPlace(t, func(t *testing.T, p *place) {
		p.Deny("POST ")
		if p.Me.App {
			p.Heal()
			p.Deny(p.post())
			p.Deny("POST /issues")
		}
		e := p.fails(t, forge.Denied)
		_, err := p.open(t).OpenIssue(t.Context(), driftMarker, "drift", driftMarker)
		issue := failure(t, err, forge.Denied)
		want := []string{"pull-requests: write", "issues: write", "Resource not accessible by integration"}
		if p.run.Kind == forge.GitLab {
			want = []string{"CI_JOB_TOKEN", "COFFER_GITLAB_TOKEN", "403 Forbidden"}
		}
		if !strings.Contains(e.Hint, want[0]) || !strings.Contains(issue.Hint, want[1]) || e.Detail != want[2] {
			t.Errorf("%v\n%v", e, issue)
		}
		if len(p.bodies()) > 0 || len(p.Issues()) > 0 {
			t.Error("something was written")
		}
	})
}

// Without knowing who we are nothing is written.
func TestWhoWeAreIsUnknown(t *testing.T) {
	eachPlace(t, func(t *testing.T, p *place) {
		for _, status := range []int{403, 404, 500} {
			p.Heal()
			p.Fail(forgetest.Always, "* /user", status)
			p.Fail(forgetest.Always, "POST graphql", status)
			why := forge.Denied
			if status == 500 {
				why = forge.Unreachable
			}
			p.fails(t, why)
		}
		p.Heal()
		p.Answer(forgetest.Always, "* /user", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, `{}`) })
		p.fails(t, forge.Refused)
		if len(p.bodies()) > 0 {
			t.Errorf("written: %q", p.bodies())
		}
		p.Heal()
		p.AddComment(change, forgetest.Comment{Body: marker + "\nby nobody"}) // whose account is gone
		p.say(t, "text", forge.Created)
	})
}

func TestRateLimits(t *testing.T) {
	start := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	reset := func(d time.Duration) string { return strconv.FormatInt(start.Add(d).Unix(), 10) }
	type limit struct {
		status  int
		headers map[string]string
		times   int
		wait    time.Duration // 0: refused without waiting
	}
	for name, l := range map[string]limit{
		"429 with Retry-After":           {429, map[string]string{"Retry-After": "7"}, 1, 7 * time.Second},
		"429 twice":                      {429, map[string]string{"Retry-After": "20"}, 2, 40 * time.Second},
		"429 until the patience ends":    {429, map[string]string{"Retry-After": "25"}, 3, 0},
		"429 with a date":                {429, map[string]string{"Retry-After": start.Add(9 * time.Second).Format(http.TimeFormat)}, 1, 9 * time.Second},
		"429 with a date that is past":   {429, map[string]string{"Retry-After": start.Add(-time.Hour).Format(http.TimeFormat)}, 1, time.Second},
		"429 that says nothing":          {429, nil, 1, time.Minute},
		"429 that says nonsense":         {429, map[string]string{"Retry-After": "-5"}, 1, time.Minute},
		"429 of an hour":                 {429, map[string]string{"Retry-After": "3600"}, 1, 0},
		"429 of too large a number":      {429, map[string]string{"Retry-After": "9000000000000000000"}, 1, 0},
		"429 of no wait at all":          {429, map[string]string{"Retry-After": "0"}, 1, time.Second},
		"429 with the reset of GitHub":   {429, map[string]string{"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": reset(30 * time.Second)}, 1, 31 * time.Second},
		"429 with the reset of GitLab":   {429, map[string]string{"RateLimit-Remaining": "0", "RateLimit-Reset": reset(30 * time.Second)}, 1, 31 * time.Second},
		"429 with a reset in an hour":    {429, map[string]string{"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": reset(time.Hour)}, 1, 0},
		"403 with a reset":               {403, map[string]string{"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": reset(2 * time.Second)}, 1, 3 * time.Second},
		"403 with Retry-After":           {403, map[string]string{"Retry-After": "3"}, 1, 3 * time.Second},
		"403 whose text alone tells":     {403, map[string]string{"X-RateLimit-Remaining": "55", "X-RateLimit-Reset": reset(time.Hour)}, 1, time.Minute},
		"503 with Retry-After":           {503, map[string]string{"Retry-After": "11"}, 1, 11 * time.Second},
		"503 with Retry-After of a year": {503, map[string]string{"Retry-After": "31536000"}, 1, 0},
	} {
		t.Run(name, func(t *testing.T) {
			eachPlace(t, func(t *testing.T, p *place) {
				text := "reading"
				for _, match := range []string{"GET " + p.commentsPath(), p.post()} {
					if strings.HasPrefix(match, "POST") && l.status == 503 || strings.Contains(name, "text alone") && p.run.Kind == forge.GitLab {
						continue // nobody knows what a POST did
					}
					if match == p.post() {
						text = "writing"
						p.Server.Open(13) // a thread without a comment yet
					}
					p.Heal()
					before := p.clock.waited()
					p.clock.at = start
					p.RateLimit(l.times, match, l.status, l.headers)
					_, err := p.open(t).Comment(t.Context(), change, marker, marker+"\n"+text, true)
					if waited := p.clock.waited() - before; l.wait > 0 && (err != nil || waited != l.wait) {
						t.Fatalf("%s: waited %s: %v", match, waited, err)
					}
					if l.wait > 0 {
						for _, c := range p.Comments(change) {
							deleteComment(t, p, c.ID)
						}
						continue
					}
					why := forge.Limited
					if l.status == 503 {
						why = forge.Unreachable
					}
					if e := failure(t, err, why); why == forge.Limited && !strings.Contains(e.Hint, "again in ") {
						t.Errorf("%v", e)
					}
					if waited := p.clock.waited() - before; waited > time.Minute {
						t.Errorf("waited %s", waited)
					}
				}
			})
		})
	}
}

// deleteComment takes a comment away by hand.
func deleteComment(t *testing.T, p *place, id int64) {
	t.Helper()
	path := p.run.API + "/repos/acme/shop/issues/comments/" + strconv.FormatInt(id, 10)
	if p.run.Kind == forge.GitLab {
		path = p.run.API + "/projects/4711/merge_requests/12/notes/" + strconv.FormatInt(id, 10)
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodDelete, path, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+p.Token)
	req.Header.Set("Private-Token", p.Token)
	req.Header.Set("X-GitHub-Api-Version", "2022-11-28")
	resp, err := p.web.Client().Do(req)
	if err != nil || resp.StatusCode != http.StatusNoContent {
		t.Fatal(resp, err)
	}
	resp.Body.Close()
}

// Whatever breaks and wherever: the comment is there once, and says the text.
func TestLostAnswers(t *testing.T) {
	for where, name := range map[forgetest.Where]string{forgetest.Before: "before", forgetest.After: "after", forgetest.Inside: "inside"} {
		t.Run(name, func(t *testing.T) {
			eachPlace(t, func(t *testing.T, p *place) {
				p.Cut(1, p.post(), where)
				p.say(t, "one", forge.Created)
				p.Cut(2, "GET "+p.commentsPath(), where)
				p.Cut(1, p.edit()+" ", where)
				p.say(t, "two", forge.Updated)
				p.AddComment(change, forgetest.Comment{Author: p.Me, Body: marker + "\nextra"})
				p.Cut(1, "DELETE ", where)
				p.say(t, "two", forge.Updated)
				if got := p.bodies(); !slices.Equal(got, []string{"two"}) {
					t.Errorf("%q", got)
				}
				p.Cut(1, "POST /issues", where)
				p.Cut(1, "* /user", where)
				p.report(t, "drift", forge.Created)
				p.Cut(1, "POST /issues/", where) // the last comment
				p.Cut(1, p.edit()+" /issues/", where)
				p.over(t, forge.Closed)
				if i := p.Issues(); len(i) != 1 || !i[0].Closed || len(i[0].Comments) != 1 {
					t.Errorf("%+v", i)
				}
			})
		})
	}
	t.Run("for good", func(t *testing.T) {
		eachPlace(t, func(t *testing.T, p *place) {
			p.Cut(forgetest.Always, p.post(), forgetest.Before)
			if e := p.fails(t, forge.Unreachable); e.Status != 0 || e.Hint == "" {
				t.Errorf("%+v", e)
			}
			if n := len(p.written()); n > 4*len("POST ") {
				t.Errorf("asked %q", p.written())
			}
		})
	})
}

// A POST that landed and was answered by 5xx is not made again.
func TestPostThatFailedAfterAll(t *testing.T) {
	eachPlace(t, func(t *testing.T, p *place) {
		p.AddComment(change, forgetest.Comment{Author: alice, Body: "first"})
		p.Answer(1, p.post(), func(w http.ResponseWriter, _ *http.Request) {
			p.AddComment(change, forgetest.Comment{Author: p.Me, Body: marker + "\ntext"})
			w.WriteHeader(http.StatusBadGateway)
		})
		p.say(t, "text", forge.Created)
		if p.written() != "POST" || len(p.bodies()) != 2 {
			t.Errorf("%s, %q", p.written(), p.bodies())
		}
	})
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestRedirects(t *testing.T) {
	eachPlace(t, func(t *testing.T, p *place) {
		var stolen []http.Header
		thief := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { stolen = append(stolen, r.Header) }))
		defer thief.Close()
		away := func(*http.Request) string { return thief.URL + "/user?token=" + p.Token }
		for _, status := range []int{301, 302, 303, 307, 308} {
			for _, match := range []string{"* /user", "GET " + p.commentsPath(), p.post()} {
				p.Heal()
				p.Redirect(forgetest.Always, match, status, away)
				if e := p.fails(t, forge.Refused); e.Status != status || strings.Contains(e.Error(), p.Token) {
					t.Errorf("%v", e)
				}
			}
		}
		if len(stolen) > 0 {
			t.Errorf("%d requests reached another host", len(stolen))
		}
		var plain []string // the same host, without or with TLS
		client := http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
			plain = append(plain, r.URL.Scheme)
			to := http.Header{"Location": {"https://" + r.URL.Host + "/"}}
			return &http.Response{StatusCode: 301, Header: to, Body: http.NoBody, Request: r}, nil
		})}
		_, err := p.with(t, &client).Comment(t.Context(), change, marker, marker, true)
		if failure(t, err, forge.Refused); !slices.Equal(plain, []string{"http"}) {
			t.Errorf("asked by %v", plain)
		}
		// a repository that was renamed is on the same host
		here := func(r *http.Request) string { return r.URL.RequestURI() }
		for _, status := range []int{301, 302, 303} {
			p.Heal()
			p.Redirect(1, "GET "+p.commentsPath(), status, here)
			p.Redirect(1, p.post(), status, here)
			p.fails(t, forge.Refused) // would be a GET, which makes nothing
		}
		p.Heal()
		p.Redirect(1, "GET "+p.commentsPath(), 301, here)
		p.Redirect(1, p.post(), 307, here)
		p.Redirect(1, p.edit()+" ", 308, here)
		p.say(t, "one", forge.Created)
		p.say(t, "two", forge.Updated)
		p.Redirect(forgetest.Always, "GET "+p.commentsPath(), 307, here)
		p.fails(t, forge.Refused)
	})
}

func TestEndedContext(t *testing.T) {
	eachPlace(t, func(t *testing.T, p *place) {
		ended := func(cause error, ctx context.Context) {
			t.Helper()
			_, err := p.open(t).Comment(ctx, change, marker, marker, true)
			if e := failure(t, err, forge.Unreachable); !errors.Is(e, cause) {
				t.Errorf("%v is not %v", e, cause)
			}
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		ended(context.Canceled, ctx)
		past, cancel := context.WithDeadline(t.Context(), time.Unix(0, 0))
		defer cancel()
		ended(context.DeadlineExceeded, past)
		for _, match := range []string{p.post(), "GET " + p.commentsPath()} {
			p.Heal()
			ctx, cancel := context.WithCancel(t.Context())
			p.Answer(forgetest.Always, match, func(w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(500)
				cancel()
			})
			ended(context.Canceled, ctx)
			p.Heal() // and while it waits to try again
			p.Fail(forgetest.Always, match, 500)
			ctx, p.clock.stop = context.WithCancel(t.Context())
			ended(context.Canceled, ctx)
			p.clock.stop = nil
		}
	})
}
