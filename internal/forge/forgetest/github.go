package forgetest

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"unicode/utf8"
)

// gitHubLimit is how many characters GitHub says that a comment or issue may have.
const gitHubLimit = 65_536

func (s *Server) gitHubRoutes() *http.ServeMux {
	mux := http.NewServeMux()
	handle := func(method, path string, f http.HandlerFunc) {
		checked := func(w http.ResponseWriter, r *http.Request) {
			switch {
			case r.Header.Get("User-Agent") == "":
				s.refuse(w, http.StatusForbidden, "Request forbidden by administrative rules.", "")
			case r.Header.Get("X-GitHub-Api-Version") != "2022-11-28":
				s.refuse(w, http.StatusBadRequest, "the version of the API is not supported", "")
			default:
				f(w, r)
			}
		}
		mux.HandleFunc(method+" "+path, checked)
		mux.HandleFunc(method+" /api/v3"+path, checked)
	}
	repo := "/repos/" + s.repository
	handle("GET", "/user", s.gitHubUser)
	handle("GET", repo+"/issues/{n}/comments", s.gitHubComments)
	handle("POST", repo+"/issues/{n}/comments", s.gitHubComment)
	handle("PATCH", repo+"/issues/comments/{n}", s.gitHubEdit)
	handle("DELETE", repo+"/issues/comments/{n}", s.gitHubDelete)
	handle("GET", repo+"/issues", s.gitHubIssues)
	handle("POST", repo+"/issues", s.gitHubIssue)
	handle("PATCH", repo+"/issues/{n}", s.gitHubPatch)
	handle("GET", repo+"/commits/{sha}/pulls", s.gitHubPulls)
	mux.HandleFunc("POST /graphql", s.gitHubViewer)
	mux.HandleFunc("POST /api/graphql", s.gitHubViewer)
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) { s.refuse(w, http.StatusNotFound, "Not Found", "") })
	return mux
}

func gitHubPerson(p Person) map[string]any {
	kind := "User"
	if p.App {
		kind = "Bot"
	}
	return map[string]any{"id": p.ID, "login": p.Login, "type": kind}
}

func (s *Server) gitHubUser(w http.ResponseWriter, _ *http.Request) {
	if s.Me.App {
		s.refuse(w, http.StatusForbidden, "Resource not accessible by integration", "")
		return
	}
	write(w, http.StatusOK, gitHubPerson(s.Me))
}

func (s *Server) gitHubViewer(w http.ResponseWriter, r *http.Request) {
	q, ok := read[struct {
		Query string `json:"query"`
	}](s, w, r)
	switch {
	case !ok:
	case q.Query != "query { viewer { login } }":
		write(w, http.StatusOK, map[string]any{"errors": []map[string]string{{"message": "Parse error"}}})
	default:
		write(w, http.StatusOK, map[string]any{"data": map[string]any{"viewer": map[string]string{"login": s.Me.Login}}})
	}
}

func (s *Server) gitHubShow(t *Issue) func(Comment) any {
	return func(c Comment) any {
		return map[string]any{
			"id": c.ID, "body": c.Body, "user": gitHubPerson(c.Author),
			"html_url": fmt.Sprintf("https://github.example/%s/pull/%d#issuecomment-%d", s.repository, t.Number, c.ID),
		}
	}
}

func (s *Server) gitHubShowIssue(t *Issue) any {
	state := "open"
	if t.Closed {
		state = "closed"
	}
	shown := map[string]any{
		"id": firstID + int64(t.Number), "number": t.Number, "title": t.Title, "body": t.Body, "state": state, "user": gitHubPerson(t.Author),
		"html_url": fmt.Sprintf("https://github.example/%s/issues/%d", s.repository, t.Number),
	}
	if t.Pull {
		shown["pull_request"] = map[string]string{"url": "https://github.example/pulls/" + strconv.Itoa(t.Number)}
	}
	return shown
}

func (s *Server) gitHubThread(w http.ResponseWriter, r *http.Request) *Issue {
	t := s.thread(int(number(r)), true)
	if t == nil {
		s.refuse(w, http.StatusNotFound, "Not Found", "")
	}
	return t
}

func (s *Server) gitHubComments(w http.ResponseWriter, r *http.Request) {
	if t := s.gitHubThread(w, r); t != nil {
		paged(s, w, r, t.Comments, s.gitHubShow(t))
	}
}

// gitHubText answers a text that GitHub does not take.
func (s *Server) gitHubText(w http.ResponseWriter, what, body string, empty bool) bool {
	message := ""
	switch {
	case utf8.RuneCountInString(body) > gitHubLimit:
		message = "Body is too long (maximum is 65536 characters)"
	case body == "" && !empty:
		message = "Body cannot be blank"
	default:
		return true
	}
	write(w, http.StatusUnprocessableEntity, map[string]any{"message": "Validation Failed", "errors": []map[string]string{
		{"resource": what, "code": "unprocessable", "field": "data", "message": message},
	}})
	return false
}

type gitHubBody struct {
	Title       *string `json:"title"`
	Body        *string `json:"body"`
	State       string  `json:"state"`
	StateReason string  `json:"state_reason"`
}

func (b gitHubBody) text() string {
	if b.Body == nil {
		return ""
	}
	return *b.Body
}

func (s *Server) gitHubComment(w http.ResponseWriter, r *http.Request) {
	t := s.gitHubThread(w, r)
	if t == nil {
		return
	}
	if b, ok := read[gitHubBody](s, w, r); ok && s.gitHubText(w, "IssueComment", b.text(), false) {
		s.add(t, Comment{Author: s.Me, Body: b.text()})
		write(w, http.StatusCreated, s.gitHubShow(t)(t.Comments[len(t.Comments)-1]))
	}
}

func (s *Server) gitHubEdit(w http.ResponseWriter, r *http.Request) {
	t, i := s.comment(number(r))
	if t == nil {
		s.refuse(w, http.StatusNotFound, "Not Found", "")
		return
	}
	if b, ok := read[gitHubBody](s, w, r); ok && s.gitHubText(w, "IssueComment", b.text(), false) {
		t.Comments[i].Body = b.text()
		write(w, http.StatusOK, s.gitHubShow(t)(t.Comments[i]))
	}
}

func (s *Server) gitHubDelete(w http.ResponseWriter, r *http.Request) {
	t, i := s.comment(number(r))
	if t == nil {
		s.refuse(w, http.StatusNotFound, "Not Found", "")
		return
	}
	t.Comments = slices.Delete(t.Comments, i, i+1)
	w.WriteHeader(http.StatusNoContent)
}

func (s *Server) gitHubIssues(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	var found []*Issue
	for _, t := range s.threads {
		open := q.Get("state") != "closed" && !t.Closed || q.Get("state") == "all"
		if open && (q.Get("creator") == "" || q.Get("creator") == t.Author.Login) {
			found = append(found, t)
		}
	}
	if q.Get("direction") != "asc" {
		slices.Reverse(found)
	}
	paged(s, w, r, found, s.gitHubShowIssue)
}

func (s *Server) gitHubIssue(w http.ResponseWriter, r *http.Request) {
	b, ok := read[gitHubBody](s, w, r)
	switch {
	case !ok:
	case b.Title == nil || *b.Title == "" || utf8.RuneCountInString(*b.Title) > 256:
		s.refuse(w, http.StatusUnprocessableEntity, "Validation Failed", "")
	case s.gitHubText(w, "Issue", b.text(), true):
		t := &Issue{Number: s.nextNumber(), Author: s.Me, Title: *b.Title, Body: b.text()}
		s.threads = append(s.threads, t)
		write(w, http.StatusCreated, s.gitHubShowIssue(t))
	}
}

func (s *Server) gitHubPatch(w http.ResponseWriter, r *http.Request) {
	t := s.gitHubThread(w, r)
	if t == nil {
		return
	}
	b, ok := read[gitHubBody](s, w, r)
	if !ok || !s.gitHubText(w, "Issue", b.text(), true) {
		return
	}
	if b.Title != nil {
		t.Title = *b.Title
	}
	if b.Body != nil {
		t.Body = *b.Body
	}
	if b.State != "" {
		t.Closed, t.Reason = b.State == "closed", b.StateReason
	}
	write(w, http.StatusOK, s.gitHubShowIssue(t))
}

func (s *Server) gitHubPulls(w http.ResponseWriter, r *http.Request) {
	var found []merged
	for _, m := range s.merges {
		if m.commit == r.PathValue("sha") {
			found = append(found, m)
		}
	}
	paged(s, w, r, found, func(m merged) any {
		pull := map[string]any{
			"number": m.change, "state": "closed", "merged_at": "2026-11-24T10:00:00Z", "merge_commit_sha": m.mergeCommit(),
			"base": map[string]any{"ref": m.branch, "repo": map[string]string{"full_name": m.repository}},
		}
		if m.open {
			pull["state"], pull["merged_at"] = "open", nil
		}
		return pull
	})
}
