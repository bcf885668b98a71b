package forgetest

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
)

// Always is a count for what does not end.
const Always = -1

// fault is what happens to requests instead of, or around, their answer.
type fault struct {
	left  int // requests; Always
	match string
	serve func(w http.ResponseWriter, r *http.Request, answer http.HandlerFunc)
}

// faultFor takes the first fault that fits a request. s.mu is held.
func (s *Server) faultFor(r *http.Request) *fault {
	for _, f := range s.faults {
		if f.left != 0 && fits(f.match, r) {
			if f.left > 0 {
				f.left--
			}
			return f
		}
	}
	return nil
}

// fits reports whether a request is one of "METHOD part": part is anywhere in its
// path, and the method "*" is any. An empty match is every request.
func fits(match string, r *http.Request) bool {
	method, part, _ := strings.Cut(match, " ")
	return match == "" || (method == "*" || method == r.Method) && strings.Contains(r.URL.Path, part)
}

func (s *Server) fault(n int, match string, serve func(http.ResponseWriter, *http.Request, http.HandlerFunc)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = append(s.faults, &fault{n, match, serve})
}

// Heal ends all that was configured of the methods below.
func (s *Server) Heal() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = nil
}

// Answer gives the next n requests that match ("POST /comments", "* /issues", "")
// an answer of the test's own.
func (s *Server) Answer(n int, match string, answer http.HandlerFunc) {
	s.fault(n, match, func(w http.ResponseWriter, r *http.Request, _ http.HandlerFunc) { answer(w, r) })
}

// Deny refuses requests as the forge does where the token lacks a permission.
func (s *Server) Deny(match string) {
	s.Answer(Always, match, func(w http.ResponseWriter, _ *http.Request) {
		s.refuse(w, http.StatusForbidden, "Resource not accessible by integration", "403 Forbidden")
	})
}

// Fail gives the next n requests a status, and does nothing.
func (s *Server) Fail(n int, match string, status int) {
	s.Answer(n, match, func(w http.ResponseWriter, _ *http.Request) {
		s.refuse(w, status, http.StatusText(status), fmt.Sprintf("%d %s", status, http.StatusText(status)))
	})
}

// RateLimit refuses the next n requests for there being too many, with the given
// headers: Retry-After, X-RateLimit-Remaining, X-RateLimit-Reset. GitHub sends 403
// or 429, GitLab 429.
func (s *Server) RateLimit(n int, match string, status int, headers map[string]string) {
	s.Answer(n, match, func(w http.ResponseWriter, _ *http.Request) {
		for name, value := range headers {
			w.Header().Set(name, value)
		}
		s.refuse(w, status, "You have exceeded a secondary rate limit. Please wait a few minutes before you try again.",
			"This endpoint has been requested too many times. Try again later.")
	})
}

// Where is when a connection is cut.
type Where int

const (
	Before Where = iota // before the request does anything
	After               // what it asked for is done, and nothing answered
	Inside              // what it asked for is done, and half of the answer sent
)

// Cut ends the connection of the next n requests.
func (s *Server) Cut(n int, match string, where Where) {
	s.fault(n, match, func(w http.ResponseWriter, r *http.Request, answer http.HandlerFunc) {
		if where != Before {
			full := httptest.NewRecorder()
			answer(full, r)
			if where == Inside {
				text := full.Body.Bytes()
				w.Header().Set("Content-Type", full.Header().Get("Content-Type"))
				w.Header().Set("Content-Length", strconv.Itoa(len(text)))
				w.WriteHeader(full.Code)
				_, _ = w.Write(text[:len(text)/2])
			}
		}
		panic(http.ErrAbortHandler)
	})
}

// Redirect sends the next n requests to another address with a status.
func (s *Server) Redirect(n int, match string, status int, to func(*http.Request) string) {
	s.Answer(n, match, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Location", to(r))
		s.refuse(w, status, "Moved Permanently", "301 Moved Permanently")
	})
}

// Meet holds the next n requests that match until all of them are there, then
// answers them one after the other: so many runs have looked before any writes.
func (s *Server) Meet(n int, match string) {
	var there sync.WaitGroup
	there.Add(n)
	s.fault(n, match, func(w http.ResponseWriter, r *http.Request, answer http.HandlerFunc) {
		there.Done()
		all := make(chan struct{})
		go func() {
			there.Wait()
			close(all)
		}()
		select {
		case <-all:
			answer(w, r)
		case <-r.Context().Done():
			panic(http.ErrAbortHandler)
		}
	})
}
