package forge

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
)

// gitLab speaks the REST API v4 of GitLab. A comment is a note there.
type gitLab struct{ c *client }

func signGitLab(h http.Header, token string) {
	h.Set("PRIVATE-TOKEN", token)
	h.Set("Accept", "application/json")
}

type gitLabUser struct {
	ID    int64  `json:"id"`
	Login string `json:"username"`
}

func (u gitLabUser) author() author { return author{id: u.ID, login: u.Login} }

type gitLabNote struct {
	ID     int64      `json:"id"`
	Body   string     `json:"body"`
	System bool       `json:"system"` // "added 1 commit": written in the name of who did it
	Author gitLabUser `json:"author"`
}

type gitLabIssue struct {
	IID         int64      `json:"iid"`
	Title       string     `json:"title"`
	Description string     `json:"description"`
	WebURL      string     `json:"web_url"`
	Author      gitLabUser `json:"author"`
}

func (i gitLabIssue) post() post {
	return post{id: i.IID, author: i.Author.author(), title: i.Title, body: i.Description, page: page(i.WebURL)}
}

const hintGitLab = "set COFFER_GITLAB_TOKEN to a project access token with the scope api and the role Reporter or above, " +
	"as a masked variable; the job's own CI_JOB_TOKEN may not write notes"

func (g gitLab) at(format string, args ...any) string {
	return "/projects/" + g.c.run.Repository + fmt.Sprintf(format, args...)
}

func (g gitLab) notes(on thread) string {
	if on.issue {
		return g.at("/issues/%d/notes", on.number)
	}
	return g.at("/merge_requests/%d/notes", on.number)
}

// note returns a note as a post. Notes have no address in the API.
func (g gitLab) note(on thread, n gitLabNote) post {
	p := post{id: n.ID, author: n.Author.author(), body: n.Body}
	if g.c.run.Web != "" {
		where := "merge_requests"
		if on.issue {
			where = "issues"
		}
		p.page = fmt.Sprintf("%s/-/%s/%d#note_%d", g.c.run.Web, where, on.number, n.ID)
	}
	return p
}

func (g gitLab) whoami(ctx context.Context) (author, error) {
	const op = "ask GitLab whom the token belongs to"
	var user gitLabUser
	err := g.c.send(ctx, call{op: op, hint: hintGitLab, method: http.MethodGet, path: "/user", repeat: true}, into(&user))
	if err == nil && user.ID <= 0 {
		err = &Error{Why: Refused, Op: op, Detail: "the answer names nobody", Hint: g.c.addressHint()}
	}
	return user.author(), err
}

func (g gitLab) comments(ctx context.Context, on thread, keep func(post) bool) ([]post, error) {
	found, err := list(ctx, g.c, call{
		op: "read the notes of " + on.name(GitLab), hint: hintGitLab, path: g.notes(on),
		query: url.Values{"order_by": {"created_at"}, "sort": {"asc"}},
	}, func(n gitLabNote) bool { return !n.System && keep(g.note(on, n)) })
	return posts(found, func(n gitLabNote) post { return g.note(on, n) }), err
}

func (g gitLab) addComment(ctx context.Context, on thread, body string) (post, error) {
	var n gitLabNote
	err := g.c.send(ctx, call{
		op: "comment on " + on.name(GitLab), hint: hintGitLab, method: http.MethodPost,
		path: g.notes(on), body: map[string]string{"body": body},
	}, into(&n))
	return g.note(on, n), err
}

func (g gitLab) editComment(ctx context.Context, on thread, p post, body string) error {
	return g.c.send(ctx, call{
		op: "change the note on " + on.name(GitLab), hint: hintGitLab, method: http.MethodPut,
		path: g.notes(on) + "/" + strconv.FormatInt(p.id, 10), body: map[string]string{"body": body}, repeat: true,
	}, nil)
}

func (g gitLab) dropComment(ctx context.Context, on thread, p post) error {
	return g.c.send(ctx, call{
		op: "delete a second note on " + on.name(GitLab), hint: hintGitLab, method: http.MethodDelete,
		path: g.notes(on) + "/" + strconv.FormatInt(p.id, 10), repeat: true,
	}, nil)
}

// issues asks for those by the author; see gitHub.issues.
func (g gitLab) issues(ctx context.Context, by author, keep func(post) bool) ([]post, error) {
	found, err := list(ctx, g.c, call{
		op: "look for the issue", hint: hintGitLab, path: g.at("/issues"),
		query: url.Values{
			"state": {"opened"}, "author_id": {strconv.FormatInt(by.id, 10)}, "scope": {"all"},
			"order_by": {"created_at"}, "sort": {"asc"},
		},
	}, func(i gitLabIssue) bool { return keep(i.post()) })
	return posts(found, gitLabIssue.post), err
}

func (g gitLab) addIssue(ctx context.Context, title, body string) (post, error) {
	var i gitLabIssue
	err := g.c.send(ctx, call{
		op: "open the issue", hint: hintGitLab, method: http.MethodPost,
		path: g.at("/issues"), body: map[string]string{"title": title, "description": body},
	}, into(&i))
	return i.post(), err
}

func (g gitLab) editIssue(ctx context.Context, p post, title, body string) error {
	return g.putIssue(ctx, "change", p, map[string]string{"title": title, "description": body})
}

func (g gitLab) shutIssue(ctx context.Context, p post, _ bool) error {
	return g.putIssue(ctx, "close", p, map[string]string{"state_event": "close"})
}

func (g gitLab) putIssue(ctx context.Context, what string, p post, fields map[string]string) error {
	return g.c.send(ctx, call{
		op: fmt.Sprintf("%s issue %d", what, p.id), hint: hintGitLab, method: http.MethodPut,
		path: g.at("/issues/%d", p.id), body: fields, repeat: true,
	}, nil)
}

func (g gitLab) changeOf(ctx context.Context, commit string) (int, error) {
	type request struct {
		IID             int    `json:"iid"`
		State           string `json:"state"`
		TargetBranch    string `json:"target_branch"`
		TargetProjectID int64  `json:"target_project_id"`
		MergeCommitSHA  string `json:"merge_commit_sha"`
		SquashCommitSHA string `json:"squash_commit_sha"`
	}
	found, err := list(ctx, g.c, call{
		op: "look for the merge request of a commit", hint: hintGitLab, path: g.at("/repository/commits/%s/merge_requests", commit),
	}, func(r request) bool {
		return r.IID > 0 && r.State == "merged" && strconv.FormatInt(r.TargetProjectID, 10) == g.c.run.Repository && g.c.run.goesTo(r.TargetBranch)
	})
	return chosen(found, func(r request) (int, bool) {
		return r.IID, r.MergeCommitSHA == commit || r.SquashCommitSHA == commit
	}), err
}

// command is a line that GitLab may take for a quick action ("/close", "/merge")
// and run with the rights of the token. It skips code blocks, but only those with
// the shortest fence, so each such line gets a blank before it.
var command = regexp.MustCompile(`(?m)^/`)

func (gitLab) plain(text string) string { return command.ReplaceAllString(oneLineEnd(text), " /") }

func (gitLab) limit() int { return gitLabLimit }
