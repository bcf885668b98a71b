package forge

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// New returns the forge of a run. A plain run needs no token and gets a forge
// that does nothing; for any other, no token is an error, Denied.
//
// client is used with its transport and timeout, but follows no redirect to
// another host; nil is a client of its own. now and wait are the clock: wait
// returns early, with an error, when its context ends. All requests of one Forge
// wait a minute at most in total. A Forge may be used by several goroutines.
func New(run Run, token Token, client *http.Client, now func() time.Time, wait func(context.Context, time.Duration) error) (Forge, error) {
	const op = "set up comments and issues"
	sign := signGitHub
	switch run.Kind {
	case Plain:
		return nowhere{}, nil
	case GitHub:
	case GitLab:
		sign = signGitLab
	default:
		return nil, &Error{Why: Refused, Op: op, Detail: "the run is of no kind that is known"}
	}
	if err := run.check(); err != nil {
		return nil, err
	}
	c := newClient(client, run, token, sign, now, wait)
	switch {
	case token.IsZero():
		return nil, &Error{Why: Denied, Op: op, Detail: "there is no token", Hint: c.tokenHint()}
	case strings.ContainsFunc(token.expose(), func(r rune) bool { return r <= ' ' || r > '~' }):
		return nil, &Error{Why: Denied, Op: op, Detail: "the token has a character that no token has", Hint: c.tokenHint()}
	}
	if run.Kind == GitLab {
		return &keeper{site: gitLab{c}, client: c}, nil
	}
	return &keeper{site: gitHub{c}, client: c}, nil
}

// goesTo reports whether a pull request to branch is one to the branch of the run.
func (r Run) goesTo(branch string) bool { return r.Branch == "" || r.Branch == branch }

// posts turns what a list found into posts.
func posts[T any](found []T, as func(T) post) []post {
	all := make([]post, 0, len(found))
	for _, f := range found {
		all = append(all, as(f))
	}
	return all
}

// chosen returns the number of the pull request that a commit is the merge of,
// else of the newest one that has it, 0 for none.
func chosen[T any](found []T, look func(T) (number int, merge bool)) int {
	newest := 0
	for _, f := range found {
		n, merge := look(f)
		if merge {
			return n
		}
		newest = max(newest, n)
	}
	return newest
}

// page returns an address that a forge gives, "" where it is none that can be
// shown.
func page(address string) string {
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.User != nil || strings.ContainsFunc(address, noAddress) {
		return ""
	}
	return address
}
