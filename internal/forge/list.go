package forge

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
)

// list reads all pages of a list and returns what keep wants of it. It holds one
// entry at a time beside that. Which page is next is counted here, not taken from
// the answer: its addresses are not followed.
func list[T any](ctx context.Context, c *client, r call, keep func(T) bool) ([]T, error) {
	r.method, r.repeat = http.MethodGet, true
	query := r.query
	var all []T
	for page := 1; page <= maxPages; page++ {
		r.query = url.Values{"per_page": {strconv.Itoa(pageSize)}, "page": {strconv.Itoa(page)}}
		maps.Copy(r.query, query)
		var kept []T
		more := false
		err := c.send(ctx, r, func(h http.Header, body io.Reader) error {
			kept, more = nil, hasNext(h)
			return each(body, largestItem, largestPage, func(entry T) {
				if keep(entry) {
					kept = append(kept, entry)
				}
			})
		})
		if err != nil {
			return nil, err
		}
		all = append(all, kept...)
		if !more {
			return all, nil
		}
	}
	return nil, &Error{Why: Refused, Op: r.op, Detail: fmt.Sprintf("the list has more than %d entries, which is where looking for ours ends", maxPages*pageSize)}
}

var nextLink = regexp.MustCompile(`;\s*rel="?next"?`)

// hasNext reports whether there is a further page: GitHub says so in Link, GitLab
// in X-Next-Page too.
func hasNext(h http.Header) bool {
	return h.Get("X-Next-Page") != "" || nextLink.MatchString(h.Get("Link"))
}

// each reads the entries of a JSON array one by one: at most item bytes of one,
// and page bytes in all.
func each[T any](body io.Reader, item, page int, use func(T)) error {
	m := &meter{from: body, item: item, page: page}
	dec := json.NewDecoder(m)
	if start, err := dec.Token(); err != nil {
		return err
	} else if start != json.Delim('[') {
		return errors.New("not a list")
	}
	for dec.More() {
		m.item = item
		var entry T
		if err := dec.Decode(&entry); err != nil {
			return err
		}
		use(entry)
	}
	_, err := dec.Token()
	return err
}
