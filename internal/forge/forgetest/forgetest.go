// Package forgetest is a small forge in memory: the endpoints of GitHub and of
// GitLab that comments and issues need, with the documented pages, limits and
// error answers. It is for tests, and must not know the code that it tests: what
// it says is taken from the documentation of the forges.
//
// A [Server] is an http.Handler. Give it to httptest.NewServer; its address is
// that of the API of a GitHub, with "/api/v3" added that of an Enterprise server,
// and with "/api/v4" added that of a GitLab.
//
// What it does not know: rights that differ by what is asked for, and git, so a
// commit that nobody told it of is in no pull request.
package forgetest

import (
	"bytes"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
)

// Person is who writes.
type Person struct {
	ID    int64
	Login string
	App   bool // of GitHub: the token may not ask GET /user
}

// Comment is a comment of GitHub or a note of GitLab.
type Comment struct {
	ID     int64
	Author Person
	Body   string
	System bool // of GitLab: written by the forge in the name of the author
}

// Issue is an issue, or what a pull request has of one.
type Issue struct {
	Number   int
	Author   Person
	Title    string
	Body     string
	Closed   bool
	Reason   string // of GitHub: "completed", "not_planned"
	Comments []Comment
	Pull     bool // it is a pull request
}

// Request is one request as it came.
type Request struct {
	Method string
	Path   string // with the query
	Body   string
	Signed bool // it had the token
}

// Writes reports whether the request asked for a change. The question that
// GraphQL is asked by POST is none.
func (r Request) Writes() bool {
	return r.Method != http.MethodGet && !strings.HasSuffix(r.Path, "/graphql")
}

// merged is a pull request that brought a commit.
type merged struct {
	commit, branch string
	change         int
	repository     string
	open           bool
	within         bool // it is one of several, and another is the merge
}

// Server is one repository of a forge. Set Token and Me before it serves.
type Server struct {
	Token string // that requests must have
	Me    Person // whom it belongs to

	repository string // or the id of the project
	gitLab     bool
	mux        *http.ServeMux

	mu       sync.Mutex
	threads  []*Issue
	merges   []merged
	nextID   int64
	requests []Request
	faults   []*fault
}

// firstID is where ids start: beyond 32 bits, as those of the real forges.
const firstID = 3_000_000_000

// GitHub returns a server for a repository, "owner/name", with the token of a job.
func GitHub(repository string) *Server {
	s := &Server{repository: repository, nextID: firstID, Token: "ghs_ForTests", Me: Person{ID: 41898282, Login: "github-actions[bot]", App: true}}
	s.mux = s.gitHubRoutes()
	return s
}

// GitLab returns a server for a project, by its id, with a project access token.
func GitLab(project string) *Server {
	s := &Server{repository: project, gitLab: true, nextID: firstID, Token: "glpat-ForTests", Me: Person{ID: 4242424242, Login: "project_7_bot"}}
	s.mux = s.gitLabRoutes()
	return s
}

// Open makes pull requests of these numbers.
func (s *Server) Open(changes ...int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, n := range changes {
		s.threads = append(s.threads, &Issue{Number: n, Pull: true, Author: Person{ID: 7, Login: "alice"}, Title: "a change"})
	}
}

// Merge tells of a commit that a pull request brought into a branch.
func (s *Server) Merge(commit, branch string, change int) {
	s.tell(merged{commit: commit, branch: branch, change: change, repository: s.repository})
}

// MergeWithin tells of a commit that a pull request brought into a branch together
// with a later one, which is its merge.
func (s *Server) MergeWithin(commit, branch string, change int) {
	s.tell(merged{commit: commit, branch: branch, change: change, repository: s.repository, within: true})
}

// Foreign tells of a commit that is in a merged pull request of another
// repository, as that of a fork is.
func (s *Server) Foreign(commit, branch, repository string, change int) {
	s.tell(merged{commit: commit, branch: branch, change: change, repository: repository})
}

// Pending tells of a commit that is in an open pull request.
func (s *Server) Pending(commit, branch string, change int) {
	s.tell(merged{commit: commit, branch: branch, change: change, repository: s.repository, open: true})
}

// mergeCommit is what the forge says that the merge is.
func (m merged) mergeCommit() string {
	if m.within {
		return "9999999999999999999999999999999999999999"
	}
	return m.commit
}

func (s *Server) tell(m merged) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.merges = append(s.merges, m)
}

// AddComment writes a comment on a pull request by hand, and returns its id.
func (s *Server) AddComment(change int, c Comment) int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.thread(change, true)
	if t == nil {
		panic("no pull request of that number: call Open first")
	}
	return s.add(t, c)
}

// AddIssue writes an issue by hand, and returns its number.
func (s *Server) AddIssue(i Issue) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	i.Number = s.nextNumber()
	s.threads = append(s.threads, &i)
	return i.Number
}

// Edit gives a comment another text by hand, as a browser does.
func (s *Server) Edit(id int64, body string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if t, i := s.comment(id); t != nil {
		t.Comments[i].Body = body
	}
}

// Comments returns the comments on a pull request.
func (s *Server) Comments(change int) []Comment {
	s.mu.Lock()
	defer s.mu.Unlock()
	if t := s.thread(change, true); t != nil {
		return slices.Clone(t.Comments)
	}
	return nil
}

// Issues returns every issue, open or closed.
func (s *Server) Issues() []Issue {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []Issue
	for _, t := range s.threads {
		if !t.Pull {
			own := *t
			own.Comments = slices.Clone(t.Comments)
			all = append(all, own)
		}
	}
	return all
}

// Requests returns what was asked since the server was made, or Forget called.
func (s *Server) Requests() []Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.requests)
}

// Written returns the requests that asked for a change.
func (s *Server) Written() []Request {
	return slices.DeleteFunc(s.Requests(), func(r Request) bool { return !r.Writes() })
}

// Forget empties the list of requests.
func (s *Server) Forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests = nil
}

// ServeHTTP implements [http.Handler].
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		http.Error(w, "cannot read the body", http.StatusBadRequest)
		return
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	signed := r.Header.Get("Authorization") == "Bearer "+s.Token
	if s.gitLab {
		signed = r.Header.Get("PRIVATE-TOKEN") == s.Token
	}
	s.mu.Lock()
	s.requests = append(s.requests, Request{r.Method, r.URL.RequestURI(), string(body), signed})
	f := s.faultFor(r)
	s.mu.Unlock()
	answer := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !signed {
			s.refuse(w, http.StatusUnauthorized, "Bad credentials", "401 Unauthorized")
			return
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		s.mux.ServeHTTP(w, r)
	})
	if f != nil {
		f.serve(w, r, answer)
		return
	}
	answer(w, r)
}

// thread returns a pull request or an issue. GitHub numbers both together, and
// takes either for an issue.
func (s *Server) thread(number int, pull bool) *Issue {
	for _, t := range s.threads {
		if t.Number == number && (t.Pull == pull || !s.gitLab) {
			return t
		}
	}
	return nil
}

func (s *Server) comment(id int64) (*Issue, int) {
	for _, t := range s.threads {
		if i := slices.IndexFunc(t.Comments, func(c Comment) bool { return c.ID == id }); i >= 0 {
			return t, i
		}
	}
	return nil, 0
}

func (s *Server) add(t *Issue, c Comment) int64 {
	s.nextID++
	c.ID = s.nextID
	t.Comments = append(t.Comments, c)
	return c.ID
}

func (s *Server) nextNumber() int {
	n := 1
	for _, t := range s.threads {
		if !s.gitLab || !t.Pull {
			n = max(n, t.Number+1)
		}
	}
	return n
}
