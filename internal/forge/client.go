package forge

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"sync"
	"time"
)

// client sends requests to one forge.
type client struct {
	http  *http.Client
	run   Run
	token Token
	sign  func(h http.Header, token string) // sets the headers of this forge
	now   func() time.Time
	wait  func(context.Context, time.Duration) error

	mu   sync.Mutex
	left time.Duration // of patience
}

// call is one request.
type call struct {
	op      string // for errors: "comment on pull request 12"
	hint    string // what to grant where it is denied
	method  string
	path    string // below the address of the API, with a slash before it
	address string // instead of path: the whole address, on the same host
	query   url.Values
	body    any
	// repeat: sending it twice does what sending it once does.
	repeat bool
}

// newClient returns a client that follows a redirect only to the host that it was
// sent to: elsewhere the token would go along.
func newClient(c *http.Client, run Run, token Token, sign func(http.Header, string), now func() time.Time, wait func(context.Context, time.Duration) error) *client {
	own := http.Client{}
	if c != nil {
		own = *c
	}
	own.CheckRedirect = func(req *http.Request, via []*http.Request) error {
		from := via[0]
		// after some statuses a POST would go on as a GET, which does nothing
		if len(via) > 3 || req.URL.Scheme != from.URL.Scheme || req.URL.Host != from.URL.Host || req.Method != from.Method {
			return http.ErrUseLastResponse
		}
		return nil
	}
	return &client{http: &own, run: run, token: token, sign: sign, now: now, wait: wait, left: patience}
}

// send makes a request and gives the answer to read, again for each time that it
// is repeated. Errors are [*Error]; Unreachable leaves open what was done.
func (c *client) send(ctx context.Context, r call, read func(http.Header, io.Reader) error) error {
	for try := 1; ; try++ {
		e := c.once(ctx, r, read)
		if e == nil {
			return nil
		}
		var pause time.Duration
		switch {
		case e.ended != nil:
			return e
		case e.Why == Limited: // nothing was done
			pause = e.after
		case e.Why == Unreachable && r.repeat:
			pause = max(backoff<<(try-1), e.after)
		default:
			return e
		}
		if try == tries || !c.rest(ctx, pause) {
			return e.orEnded(ctx)
		}
	}
}

// rest waits, and reports whether it did: not for longer than what is left of the
// patience.
func (c *client) rest(ctx context.Context, pause time.Duration) bool {
	c.mu.Lock()
	enough := pause <= c.left
	if enough {
		c.left -= pause
	}
	c.mu.Unlock()
	return enough && c.wait(ctx, pause) == nil && ctx.Err() == nil
}

// once is one request, nil where it was answered as it should be.
func (c *client) once(ctx context.Context, r call, read func(http.Header, io.Reader) error) *Error {
	limited, cancel := context.WithTimeout(ctx, slowest)
	defer cancel()
	req, err := c.encode(limited, r)
	if err != nil {
		return &Error{Why: Refused, Op: r.op, Detail: "the request cannot be written down"}
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return c.unanswered(ctx, r, err)
	}
	defer resp.Body.Close()
	if resp.StatusCode/100 != 2 {
		return c.refused(r, resp)
	}
	if read == nil {
		return nil
	}
	switch err := read(resp.Header, resp.Body); {
	case err == nil:
		return nil
	case errors.Is(err, errTooLarge):
		return &Error{Why: Refused, Op: r.op, Status: resp.StatusCode, Detail: "the answer is larger than the forge can make it", Hint: c.addressHint()}
	case ctx.Err() != nil:
		return interrupted(ctx, r.op)
	default:
		return &Error{Why: Unreachable, Op: r.op, Status: resp.StatusCode, Detail: "the answer broke off, or is not one of this API", Hint: c.addressHint()}
	}
}

func (c *client) encode(ctx context.Context, r call) (*http.Request, error) {
	address := c.run.API + r.path
	if r.address != "" {
		address = r.address
	}
	if len(r.query) > 0 {
		address += "?" + r.query.Encode()
	}
	var body io.Reader
	if r.body != nil {
		var text bytes.Buffer
		enc := json.NewEncoder(&text)
		enc.SetEscapeHTML(false)
		if err := enc.Encode(r.body); err != nil {
			return nil, err
		}
		body = bytes.NewReader(text.Bytes()) // so that a redirect on this host can take it along
	}
	req, err := http.NewRequestWithContext(ctx, r.method, address, body)
	if err != nil {
		return nil, err
	}
	if r.body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	req.Header.Set("User-Agent", "coffer")
	c.sign(req.Header, c.token.expose())
	return req, nil
}

// unanswered is the error of a request that got no answer.
func (c *client) unanswered(ctx context.Context, r call, err error) *Error {
	if ctx.Err() != nil {
		return interrupted(ctx, r.op)
	}
	detail := "it could not be reached"
	var outer *url.Error
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		detail = "no answer in time"
	case errors.As(err, &outer): // without the address
		detail = clean(c.token.scrub(outer.Err.Error()))
	}
	return &Error{Why: Unreachable, Op: r.op, Detail: detail, Hint: c.addressHint()}
}

// addressHint says where the address of the API comes from.
func (c *client) addressHint() string {
	name := "GITHUB_API_URL"
	if c.run.Kind == GitLab {
		name = "CI_API_V4_URL"
	}
	return "see whether the forge is up and reached by the address in " + name
}

var errTooLarge = errors.New("too large")

// meter reads at most item bytes until it is told of the next item, and at most
// page bytes in all. More is errTooLarge.
type meter struct {
	from       io.Reader
	item, page int
}

func (m *meter) Read(p []byte) (int, error) {
	left := min(m.item, m.page)
	if left <= 0 {
		return 0, errTooLarge
	}
	n, err := m.from.Read(p[:min(len(p), left)])
	m.item -= n
	m.page -= n
	return n, err
}

// into reads one JSON value.
func into(v any) func(http.Header, io.Reader) error {
	return func(_ http.Header, body io.Reader) error {
		return json.NewDecoder(&meter{from: body, item: largestItem, page: largestItem}).Decode(v)
	}
}
