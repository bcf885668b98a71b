package forge

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
)

// gitHub speaks the REST API of GitHub, version 2022-11-28. A pull request is an
// issue there, and so are its comments.
type gitHub struct{ c *client }

func signGitHub(h http.Header, token string) {
	h.Set("Authorization", "Bearer "+token)
	h.Set("Accept", "application/vnd.github+json")
	h.Set("X-GitHub-Api-Version", "2022-11-28")
}

type gitHubUser struct {
	ID    int64  `json:"id"`
	Login string `json:"login"`
}

func (u gitHubUser) author() author { return author{id: u.ID, login: u.Login} }

// gitHubPost is a comment or an issue.
type gitHubPost struct {
	ID          int64      `json:"id"`
	Number      int64      `json:"number"`
	Title       string     `json:"title"`
	Body        string     `json:"body"`
	HTMLURL     string     `json:"html_url"`
	User        gitHubUser `json:"user"`
	PullRequest *struct{}  `json:"pull_request"`
}

func (p gitHubPost) post(id int64) post {
	return post{id: id, author: p.User.author(), title: p.Title, body: p.Body, page: page(p.HTMLURL)}
}

const (
	hintGitHubComment = "grant the job `permissions: pull-requests: write` " +
		"(the token of a fork's pull request only reads, whatever it is granted)"
	hintGitHubIssue = "grant the job `permissions: issues: write`, and see that the repository has issues"
	hintGitHubRead  = "grant the job `permissions: pull-requests: read` and `contents: read`"
)

func (g gitHub) at(format string, args ...any) string {
	return "/repos/" + g.c.run.Repository + fmt.Sprintf(format, args...)
}

// whoami asks GET /user, and for the token of an app, which may not ask it, the
// viewer of GraphQL. An app is then known by its login alone: "name[bot]", which
// no person can take.
func (g gitHub) whoami(ctx context.Context) (author, error) {
	const op = "ask GitHub whom the token belongs to"
	var user gitHubUser
	err := g.c.send(ctx, call{op: op, method: http.MethodGet, path: "/user", repeat: true}, into(&user))
	if err == nil && (user.ID <= 0 || user.Login == "") {
		return author{}, &Error{Why: Refused, Op: op, Detail: "the answer names nobody", Hint: g.c.addressHint()}
	}
	var e *Error
	if !errors.As(err, &e) || e.Why != Denied {
		return user.author(), err
	}
	var answer struct {
		Data struct {
			Viewer struct {
				Login string `json:"login"`
			} `json:"viewer"`
		} `json:"data"`
	}
	query := map[string]string{"query": "query { viewer { login } }"}
	err = g.c.send(ctx, call{op: op, method: http.MethodPost, address: graphQL(g.c.run.API), body: query, repeat: true, hint: g.c.tokenHint()}, into(&answer))
	if err == nil && answer.Data.Viewer.Login == "" {
		err = &Error{Why: Denied, Op: op, Detail: "the answer names nobody", Hint: g.c.tokenHint()}
	}
	return author{login: answer.Data.Viewer.Login}, err
}

// graphQL returns the address of the other API: beside the v3 of an Enterprise
// server, else below the host of the API.
func graphQL(api string) string { return strings.TrimSuffix(api, "/v3") + "/graphql" }

func (g gitHub) comments(ctx context.Context, on thread, keep func(post) bool) ([]post, error) {
	found, err := list(ctx, g.c, call{
		op: "read the comments of " + on.name(GitHub), hint: g.hint(on), path: g.at("/issues/%d/comments", on.number),
	}, func(p gitHubPost) bool { return keep(p.post(p.ID)) })
	return posts(found, func(p gitHubPost) post { return p.post(p.ID) }), err
}

func (g gitHub) addComment(ctx context.Context, on thread, body string) (post, error) {
	var p gitHubPost
	err := g.c.send(ctx, call{
		op: "comment on " + on.name(GitHub), hint: g.hint(on), method: http.MethodPost,
		path: g.at("/issues/%d/comments", on.number), body: map[string]string{"body": body},
	}, into(&p))
	return p.post(p.ID), err
}

func (g gitHub) editComment(ctx context.Context, on thread, p post, body string) error {
	return g.c.send(ctx, call{
		op: "change the comment on " + on.name(GitHub), hint: g.hint(on), method: http.MethodPatch,
		path: g.at("/issues/comments/%d", p.id), body: map[string]string{"body": body}, repeat: true,
	}, nil)
}

func (g gitHub) dropComment(ctx context.Context, on thread, p post) error {
	return g.c.send(ctx, call{
		op: "delete a second comment on " + on.name(GitHub), hint: g.hint(on), method: http.MethodDelete,
		path: g.at("/issues/comments/%d", p.id), repeat: true,
	}, nil)
}

func (g gitHub) hint(on thread) string {
	if on.issue {
		return hintGitHubIssue
	}
	return hintGitHubComment
}

// issues asks for those by the author: no label is needed, which only some tokens
// may make, and a repository with thousands of open issues is still one page.
func (g gitHub) issues(ctx context.Context, by author, keep func(post) bool) ([]post, error) {
	found, err := list(ctx, g.c, call{
		op: "look for the issue", hint: hintGitHubIssue, path: g.at("/issues"),
		query: url.Values{"state": {"open"}, "creator": {by.login}, "sort": {"created"}, "direction": {"asc"}},
	}, func(p gitHubPost) bool { return p.PullRequest == nil && keep(p.post(p.Number)) })
	return posts(found, func(p gitHubPost) post { return p.post(p.Number) }), err
}

func (g gitHub) addIssue(ctx context.Context, title, body string) (post, error) {
	var p gitHubPost
	err := g.c.send(ctx, call{
		op: "open the issue", hint: hintGitHubIssue, method: http.MethodPost,
		path: g.at("/issues"), body: map[string]string{"title": title, "body": body},
	}, into(&p))
	return p.post(p.Number), err
}

func (g gitHub) editIssue(ctx context.Context, p post, title, body string) error {
	return g.patchIssue(ctx, "change", p, map[string]string{"title": title, "body": body})
}

func (g gitHub) shutIssue(ctx context.Context, p post, done bool) error {
	reason := "completed"
	if !done {
		reason = "not_planned"
	}
	return g.patchIssue(ctx, "close", p, map[string]string{"state": "closed", "state_reason": reason})
}

func (g gitHub) patchIssue(ctx context.Context, what string, p post, fields map[string]string) error {
	return g.c.send(ctx, call{
		op: fmt.Sprintf("%s issue %d", what, p.id), hint: hintGitHubIssue, method: http.MethodPatch,
		path: g.at("/issues/%d", p.id), body: fields, repeat: true,
	}, nil)
}

func (g gitHub) changeOf(ctx context.Context, commit string) (int, error) {
	type pull struct {
		Number         int    `json:"number"`
		MergedAt       string `json:"merged_at"`
		MergeCommitSHA string `json:"merge_commit_sha"`
		Base           side   `json:"base"`
	}
	found, err := list(ctx, g.c, call{
		op: "look for the pull request of a commit", hint: hintGitHubRead, path: g.at("/commits/%s/pulls", commit),
	}, func(p pull) bool {
		return p.Number > 0 && p.MergedAt != "" && p.Base.repository() == strings.ToLower(g.c.run.Repository) && g.c.run.goesTo(p.Base.Ref)
	})
	return chosen(found, func(p pull) (int, bool) { return p.Number, p.MergeCommitSHA == commit }), err
}

func (gitHub) plain(text string) string { return oneLineEnd(text) }

func (gitHub) limit() int { return gitHubLimit }
