package forgetest

import (
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"unicode/utf8"
)

// gitLabLimit is how many characters a note or a description may have.
const gitLabLimit = 1_000_000

func (s *Server) gitLabRoutes() *http.ServeMux {
	mux := http.NewServeMux()
	project := "/api/v4/projects/" + s.repository
	mux.HandleFunc("GET /api/v4/user", func(w http.ResponseWriter, _ *http.Request) {
		write(w, http.StatusOK, gitLabPerson(s.Me))
	})
	for where, pull := range map[string]bool{"/merge_requests": true, "/issues": false} {
		notes := project + where + "/{n}/notes"
		mux.HandleFunc("GET "+notes, s.gitLabNotes(pull))
		mux.HandleFunc("POST "+notes, s.gitLabNote(pull))
		mux.HandleFunc("PUT "+notes+"/{note}", s.gitLabEdit(pull))
		mux.HandleFunc("DELETE "+notes+"/{note}", s.gitLabDelete(pull))
	}
	mux.HandleFunc("GET "+project+"/issues", s.gitLabIssues)
	mux.HandleFunc("POST "+project+"/issues", s.gitLabIssue)
	mux.HandleFunc("PUT "+project+"/issues/{n}", s.gitLabPut)
	mux.HandleFunc("GET "+project+"/repository/commits/{sha}/merge_requests", s.gitLabMerges)
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) { s.refuse(w, http.StatusNotFound, "", "404 Not Found") })
	return mux
}

func gitLabPerson(p Person) map[string]any { return map[string]any{"id": p.ID, "username": p.Login} }

func gitLabShow(c Comment) any {
	return map[string]any{"id": c.ID, "body": c.Body, "system": c.System, "author": gitLabPerson(c.Author)}
}

func (s *Server) gitLabShowIssue(t *Issue) any {
	state := "opened"
	if t.Closed {
		state = "closed"
	}
	return map[string]any{
		"id": firstID + int64(t.Number), "iid": t.Number, "title": t.Title, "description": t.Body, "state": state,
		"author": gitLabPerson(t.Author), "web_url": fmt.Sprintf("https://gitlab.example/shop/-/issues/%d", t.Number),
	}
}

func (s *Server) gitLabThread(w http.ResponseWriter, r *http.Request, pull bool) *Issue {
	t := s.thread(int(number(r)), pull)
	if t == nil {
		s.refuse(w, http.StatusNotFound, "", "404 Not found")
	}
	return t
}

func (s *Server) gitLabNotes(pull bool) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		t := s.gitLabThread(w, r, pull)
		if t == nil {
			return
		}
		notes := slices.Clone(t.Comments)
		if r.URL.Query().Get("sort") != "asc" {
			slices.Reverse(notes)
		}
		paged(s, w, r, notes, gitLabShow)
	}
}

// quickAction is a line that GitLab runs and takes out of the text.
var quickAction = regexp.MustCompile(`(?m)^/(close|reopen|merge|label|assign|title|lock)\b.*\n?`)

// gitLabText answers a text that GitLab does not take, and returns what it keeps
// of the others. It looks into code blocks too, since it is not every fence that
// the real one knows. Of quick actions it runs /close alone.
func (s *Server) gitLabText(w http.ResponseWriter, t *Issue, field, text string) (string, bool) {
	if utf8.RuneCountInString(text) > gitLabLimit {
		write(w, http.StatusBadRequest, map[string]any{"message": map[string][]string{field: {"is too long (maximum is 1000000 characters)"}}})
		return "", false
	}
	for _, action := range quickAction.FindAllStringSubmatch(text, -1) {
		t.Closed = t.Closed || action[1] == "close"
	}
	return quickAction.ReplaceAllString(text, ""), true
}

type gitLabBody struct {
	Body        string  `json:"body"`
	Title       *string `json:"title"`
	Description *string `json:"description"`
	StateEvent  string  `json:"state_event"`
}

func (s *Server) gitLabNote(pull bool) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		t := s.gitLabThread(w, r, pull)
		if t == nil {
			return
		}
		b, ok := read[gitLabBody](s, w, r)
		if !ok {
			return
		}
		if text, ok := s.gitLabText(w, t, "note", b.Body); ok {
			s.add(t, Comment{Author: s.Me, Body: text})
			write(w, http.StatusCreated, gitLabShow(t.Comments[len(t.Comments)-1]))
		}
	}
}

// gitLabFound returns the thread and the place of the note in it that a request
// is about.
func (s *Server) gitLabFound(w http.ResponseWriter, r *http.Request, pull bool) (*Issue, int) {
	id, err := strconv.ParseInt(r.PathValue("note"), 10, 64)
	t, i := s.comment(id)
	if err != nil || t == nil || t != s.thread(int(number(r)), pull) {
		s.refuse(w, http.StatusNotFound, "", "404 Note Not Found")
		return nil, 0
	}
	return t, i
}

func (s *Server) gitLabEdit(pull bool) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		t, i := s.gitLabFound(w, r, pull)
		if t == nil {
			return
		}
		b, ok := read[gitLabBody](s, w, r)
		if !ok {
			return
		}
		if text, ok := s.gitLabText(w, t, "note", b.Body); ok {
			t.Comments[i].Body = text
			write(w, http.StatusOK, gitLabShow(t.Comments[i]))
		}
	}
}

func (s *Server) gitLabDelete(pull bool) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if t, i := s.gitLabFound(w, r, pull); t != nil {
			t.Comments = slices.Delete(t.Comments, i, i+1)
			w.WriteHeader(http.StatusNoContent)
		}
	}
}

func (s *Server) gitLabIssues(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	var found []*Issue
	for _, t := range s.threads {
		if !t.Pull && (q.Get("state") != "opened" || !t.Closed) &&
			(q.Get("author_id") == "" || q.Get("author_id") == strconv.FormatInt(t.Author.ID, 10)) {
			found = append(found, t)
		}
	}
	if q.Get("sort") != "asc" {
		slices.Reverse(found)
	}
	paged(s, w, r, found, s.gitLabShowIssue)
}

func (s *Server) gitLabIssue(w http.ResponseWriter, r *http.Request) {
	b, ok := read[gitLabBody](s, w, r)
	if !ok {
		return
	}
	t := &Issue{Number: s.nextNumber(), Author: s.Me}
	if s.gitLabFields(w, t, b) {
		s.threads = append(s.threads, t)
		write(w, http.StatusCreated, s.gitLabShowIssue(t))
	}
}

func (s *Server) gitLabPut(w http.ResponseWriter, r *http.Request) {
	t := s.gitLabThread(w, r, false)
	if t == nil {
		return
	}
	if b, ok := read[gitLabBody](s, w, r); ok && s.gitLabFields(w, t, b) {
		write(w, http.StatusOK, s.gitLabShowIssue(t))
	}
}

// gitLabFields gives an issue what a request says.
func (s *Server) gitLabFields(w http.ResponseWriter, t *Issue, b gitLabBody) bool {
	if b.Title != nil {
		if n := utf8.RuneCountInString(*b.Title); n == 0 || n > 255 {
			write(w, http.StatusBadRequest, map[string]any{"message": map[string][]string{"title": {"is too long (maximum is 255 characters)"}}})
			return false
		}
		t.Title = *b.Title
	}
	if b.Description != nil {
		text, ok := s.gitLabText(w, t, "description", *b.Description)
		if !ok {
			return false
		}
		t.Body = text
	}
	if b.StateEvent != "" {
		t.Closed = b.StateEvent == "close"
	}
	return true
}

func (s *Server) gitLabMerges(w http.ResponseWriter, r *http.Request) {
	var found []merged
	for _, m := range s.merges {
		if m.commit == r.PathValue("sha") {
			found = append(found, m)
		}
	}
	paged(s, w, r, found, func(m merged) any {
		state := "merged"
		if m.open {
			state = "opened"
		}
		project, err := strconv.ParseInt(m.repository, 10, 64)
		if err != nil {
			project = 1
		}
		return map[string]any{
			"iid": m.change, "state": state, "target_branch": m.branch, "target_project_id": project, "merge_commit_sha": m.mergeCommit(),
		}
	})
}
