package forgetest

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

// refuse writes an error in the words of the forge.
func (s *Server) refuse(w http.ResponseWriter, status int, gitHub, gitLab string) {
	if s.gitLab {
		write(w, status, map[string]string{"message": gitLab})
		return
	}
	write(w, status, map[string]string{
		"message": gitHub, "documentation_url": "https://docs.github.com/rest", "status": strconv.Itoa(status),
	})
}

func write(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	if err := json.NewEncoder(w).Encode(v); err != nil {
		panic(http.ErrAbortHandler)
	}
}

// read reads the body of a request, and answers one that is none.
func read[T any](s *Server, w http.ResponseWriter, r *http.Request) (T, bool) {
	var v T
	if err := json.NewDecoder(r.Body).Decode(&v); err != nil {
		s.refuse(w, http.StatusBadRequest, "Problems parsing JSON", "400 Bad Request")
		return v, false
	}
	return v, true
}

// paged writes one page of a list: 30 (GitHub) or 20 (GitLab) entries by default,
// 100 at most.
func paged[T any](s *Server, w http.ResponseWriter, r *http.Request, all []T, as func(T) any) {
	const most = 100
	usual := 30
	if s.gitLab {
		usual = 20
	}
	size := min(positive(r.URL.Query().Get("per_page"), usual), most)
	page := positive(r.URL.Query().Get("page"), 1)
	pages := max((len(all)+size-1)/size, 1)
	shown := []any{}
	for _, entry := range all[min((page-1)*size, len(all)):min(page*size, len(all))] {
		shown = append(shown, as(entry))
	}
	s.pageHeaders(w, r, page, pages)
	write(w, http.StatusOK, shown)
}

func (s *Server) pageHeaders(w http.ResponseWriter, r *http.Request, page, pages int) {
	var links []string
	link := func(rel string, n int) {
		u := url.URL{Scheme: "http", Host: r.Host, Path: r.URL.Path}
		q := r.URL.Query()
		q.Set("page", strconv.Itoa(n))
		u.RawQuery = q.Encode()
		links = append(links, fmt.Sprintf(`<%s>; rel="%s"`, &u, rel))
	}
	next := ""
	if page > 1 {
		link("prev", page-1)
	}
	if page < pages {
		next = strconv.Itoa(page + 1)
		link("next", page+1)
	}
	if pages > 1 || s.gitLab {
		link("first", 1)
		link("last", pages)
	}
	if len(links) > 0 {
		w.Header().Set("Link", strings.Join(links, ", "))
	}
	if s.gitLab {
		w.Header().Set("X-Page", strconv.Itoa(page))
		w.Header().Set("X-Next-Page", next)
		w.Header().Set("X-Total-Pages", strconv.Itoa(pages))
	}
}

func positive(text string, otherwise int) int {
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		return otherwise
	}
	return n
}

// number returns the number in the path of a request, 0 for none.
func number(r *http.Request) int64 {
	n, err := strconv.ParseInt(r.PathValue("n"), 10, 64)
	if err != nil {
		return 0
	}
	return n
}
