package forge_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cofferhq/coffer/internal/forge"
	"github.com/cofferhq/coffer/internal/forge/forgetest"
)

const (
	marker      = "<!-- coffer:shop:plan -->"
	driftMarker = "<!-- coffer:shop:drift -->"
	change      = 12
	commit      = "0123456789abcdef0123456789abcdef01234567"
)

var (
	alice    = forgetest.Person{ID: 7, Login: "alice"}
	otherBot = forgetest.Person{ID: 99, Login: "quoting[bot]", App: true}
)

// place is one forge with a client of it.
type place struct {
	*forgetest.Server
	run   forge.Run
	clock *clock
	web   *httptest.Server
}

// clock is a time that passes only where somebody waits.
type clock struct {
	mu    sync.Mutex
	at    time.Time
	waits []time.Duration
	stop  context.CancelFunc // called when somebody waits
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) wait(ctx context.Context, d time.Duration) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
	c.waits = append(c.waits, d)
	if c.stop != nil {
		c.stop()
	}
	return ctx.Err()
}

func (c *clock) waited() (sum time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, d := range c.waits {
		sum += d
	}
	return sum
}

// eachPlace runs a test on every kind of forge and of token.
func eachPlace(t *testing.T, test func(t *testing.T, p *place)) {
	for name, start := range map[string]func(*testing.T) *place{
		"github, token of the job": func(t *testing.T) *place { return newGitHub(t, "") },
		"github, token of a person": func(t *testing.T) *place {
			p := newGitHub(t, "")
			p.Me = forgetest.Person{ID: 5_000_000_001, Login: "shop-robot"}
			return p
		},
		"github enterprise": func(t *testing.T) *place { return newGitHub(t, "/api/v3") },
		"gitlab":            newGitLab,
	} {
		t.Run(name, func(t *testing.T) { test(t, start(t)) })
	}
}

func newGitHub(t *testing.T, api string) *place {
	p := serve(t, forgetest.GitHub("acme/shop"))
	p.run = forge.Run{Kind: forge.GitHub, Repository: "acme/shop", API: p.web.URL + api, Web: "https://github.example/acme/shop", Branch: "main"}
	return p
}

func newGitLab(t *testing.T) *place {
	p := serve(t, forgetest.GitLab("4711"))
	p.run = forge.Run{Kind: forge.GitLab, Repository: "4711", API: p.web.URL + "/api/v4", Web: "https://gitlab.example/acme/shop", Branch: "main"}
	return p
}

func serve(t *testing.T, s *forgetest.Server) *place {
	t.Helper()
	web := httptest.NewServer(s)
	t.Cleanup(web.Close)
	s.Open(change)
	return &place{Server: s, web: web, clock: &clock{at: time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)}}
}

// open returns a client as one run has it.
func (p *place) open(t *testing.T) forge.Forge {
	t.Helper()
	return p.with(t, p.web.Client())
}

func (p *place) with(t *testing.T, client *http.Client) forge.Forge {
	t.Helper()
	f, err := forge.New(p.run, forge.NewToken(p.Token), client, p.clock.now, p.clock.wait)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// say posts a plan comment and demands what becomes of it.
func (p *place) say(t *testing.T, body, want string) forge.Done {
	t.Helper()
	done, err := p.open(t).Comment(t.Context(), change, marker, marker+"\n"+body, true)
	if err != nil {
		t.Fatal(err)
	}
	if done.What != want {
		t.Fatalf("%s, want %s", done.What, want)
	}
	return done
}

// bodies returns the comments that are there, without our marker's line.
func (p *place) bodies() []string {
	all := []string{}
	for _, c := range p.Comments(change) {
		all = append(all, strings.TrimPrefix(c.Body, marker+"\n"))
	}
	return all
}

// written returns the methods of the requests that asked for a change.
func (p *place) written() string {
	var all []string
	for _, r := range p.Written() {
		all = append(all, r.Method)
	}
	return strings.Join(all, " ")
}

// failure demands an error of a kind and returns it.
func failure(t *testing.T, err error, why forge.Why) *forge.Error {
	t.Helper()
	var e *forge.Error
	if !errors.As(err, &e) {
		t.Fatalf("the error is %v (%T)", err, err)
	}
	if e.Why != why {
		t.Fatalf("%v: %s, want %s", err, e.Why, why)
	}
	return e
}

func fill(n int) string { return strings.Repeat("x", n) }

// edit is the method by which a comment is changed.
func (p *place) edit() string {
	if p.run.Kind == forge.GitLab {
		return http.MethodPut
	}
	return http.MethodPatch
}

// commentsPath is a part of the path of the comments of the change.
func (p *place) commentsPath() string {
	if p.run.Kind == forge.GitLab {
		return "/merge_requests/" + strconv.Itoa(change) + "/notes"
	}
	return "/issues/" + strconv.Itoa(change) + "/comments"
}
