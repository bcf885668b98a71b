package vault

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"github.com/hashicorp/vault/api"

	"github.com/cofferhq/coffer/providers"
	"github.com/cofferhq/coffer/providers/secret"
	"github.com/cofferhq/coffer/providers/vault/signin"
)

// How much of an answer is read: a server is not trusted to be brief. Lists can
// hold the metadata of a whole mount.
const (
	longestAnswer = 4 << 20
	longestList   = 64 << 20
)

// oneRequest bounds one request, waiting for its answer included; a client has
// it as its patience.
const oneRequest = time.Minute

// request is one call of the HTTP API.
type request struct {
	method string // GET, LIST, SCAN, POST, PUT, PATCH, DELETE
	path   string // below /v1/, not escaped
	query  url.Values
	body   any // nil is none
	into   any // nil drops the answer
	// root sends no namespace: some paths of sys exist in the root only.
	root bool
	// public sends no token.
	public bool
	// optional: a refusal is an answer of its own, so it is not looked into.
	optional bool
}

// changes reports whether the call may have an effect.
func (r request) changes() bool {
	switch r.method {
	case http.MethodGet, methodList, methodScan:
		return false
	}
	return true
}

// LIST and SCAN are sent as GET with a parameter, which every proxy knows.
const (
	methodList = "LIST"
	methodScan = "SCAN"
)

// client speaks the HTTP API of one server in one namespace. It is the only
// place that does, and it is safe for concurrent use.
type client struct {
	address   *url.URL
	namespace string
	api       *api.Client // without namespace and token
	patience  time.Duration
	session   *signin.Session
}

// do makes one call and decodes the answer into r.into, for 404 too where it
// has a body. Errors are [*providers.Error] with the code that the status
// means; text of the server is in them, and no body, header or token. A token
// that the server accepts no more is replaced once where that can be done
// without a person.
func (c *client) do(ctx context.Context, r request) error {
	if r.public {
		return c.attempt(ctx, r, secret.Value{})
	}
	token, err := c.session.Token(ctx)
	if err != nil {
		return err
	}
	err = c.attempt(ctx, r, token)
	if providers.CodeOf(err) != providers.Denied || err == nil || r.optional {
		return err
	}
	if policyRefusal(err) { // the token is good, so the session has nothing to find out
		return denied(r, err)
	}
	if c.session.Rejected(ctx, token) {
		token, err = c.session.Token(ctx)
		if err != nil {
			return err
		}
		err = c.attempt(ctx, r, token)
		if err == nil || providers.CodeOf(err) != providers.Denied {
			return err
		}
	}
	if why := c.session.Diagnose(ctx); why != nil {
		return why
	}
	return denied(r, err)
}

// Call implements signin.Caller: one call with a token of the caller's own. The
// body of a GET is its query.
func (c *client) Call(ctx context.Context, token secret.Value, method, path string, body, into any) error {
	r := request{method: method, path: path, body: body, into: into}
	if query, ok := body.(url.Values); ok && !r.changes() {
		r.body, r.query = nil, query
	}
	err := c.attempt(ctx, r, token)
	var e *providers.Error
	if errors.As(err, &e) {
		e.Sent = append(e.Sent, credentialsIn(body)...)
	}
	return err
}

// credentialsIn returns the texts in what a sign-in sends: a server may repeat
// them in its answer.
func credentialsIn(body any) []secret.Value {
	data, err := json.Marshal(body)
	var plain any
	if err != nil || json.Unmarshal(data, &plain) != nil {
		return nil
	}
	var found []secret.Value
	var look func(any)
	look = func(v any) {
		switch v := v.(type) {
		case string:
			found = append(found, secret.String(v))
		case []any:
			for _, element := range v {
				look(element)
			}
		case map[string]any:
			for _, element := range v {
				look(element)
			}
		}
	}
	look(plain)
	return found
}

// attempt makes one request. Its error names the token as sent.
func (c *client) attempt(ctx context.Context, r request, token secret.Value) error {
	err := c.once(ctx, r, token)
	var e *providers.Error
	if !token.IsZero() && errors.As(err, &e) {
		e.Sent = append(e.Sent, token)
	}
	return err
}

// once is one request.
func (c *client) once(ctx context.Context, r request, token secret.Value) error {
	limited, cancel := context.WithTimeout(ctx, c.patience)
	defer cancel()
	var sent atomic.Bool
	traced := httptrace.WithClientTrace(limited, &httptrace.ClientTrace{
		WroteHeaders: func() { sent.Store(true) },
	})
	resp, err := c.send(traced, r, token)
	var refusal *api.ResponseError // an answer like any other, read below
	if err != nil && !errors.As(err, &refusal) {
		return c.unanswered(ctx, r, err, sent.Load())
	}
	defer resp.Body.Close()
	limit := int64(longestAnswer)
	if r.method == methodList || r.method == methodScan {
		limit = longestList
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, limit+1))
	switch {
	case err != nil:
		return c.unanswered(ctx, r, err, true)
	case int64(len(body)) > limit:
		return unclear(r, providers.Invalid, "the answer is larger than %d MiB", limit>>20)
	}
	return c.read(r, resp.Response, body)
}

// read makes an error or r.into of an answer.
func (c *client) read(r request, resp *http.Response, body []byte) error {
	status := resp.StatusCode
	if status >= 300 && !(status == http.StatusNotFound && isEnvelope(body)) && !(r.path == pathHealth && len(body) > 0 && body[0] == '{') {
		return c.refused(r, resp, body)
	}
	if r.into != nil && len(body) > 0 {
		if err := json.Unmarshal(body, r.into); err != nil {
			return unreadable(r, resp, body)
		}
	}
	if r.into == nil && len(body) > 0 && json.Unmarshal(body, &struct{}{}) != nil {
		return unreadable(r, resp, body) // not from the server, which so may have done nothing
	}
	if r.into != nil && len(body) == 0 && status == http.StatusOK {
		return unclear(r, providers.Unavailable, "the answer is empty")
	}
	if status == http.StatusNotFound {
		return c.refused(r, resp, body)
	}
	return nil
}

// isEnvelope reports whether a body holds an answer and not errors alone.
func isEnvelope(body []byte) bool { return bytes.Contains(body, []byte(`"request_id"`)) }

// send makes the HTTP request. Its errors are those of the connection, an
// [*api.ResponseError] beside an answer, or [*providers.Error].
func (c *client) send(ctx context.Context, r request, token secret.Value) (*api.Response, error) {
	method, query := r.method, r.query
	if method == methodList || method == methodScan {
		query = url.Values{strings.ToLower(method): {"true"}}
		for k, v := range r.query {
			query[k] = v
		}
		method = http.MethodGet
	}
	namespace := c.namespace
	if r.root {
		namespace = ""
	}
	own := c.api.WithNamespace(namespace) // a copy, so that its token is this call's
	if !token.IsZero() {
		err := token.Expose(func(b []byte) error { own.SetToken(string(b)); return nil })
		if err != nil {
			return nil, err
		}
	}
	req := own.NewRequest(method, "/v1/"+r.path)
	req.Params = query
	if r.body != nil {
		data, err := encode(r.body)
		if err != nil {
			return nil, providers.Errorf(providers.Invalid, "the request cannot be encoded")
		}
		req.BodyBytes = data
		req.Headers.Set("Content-Type", "application/json")
		if method == http.MethodPatch {
			req.Headers.Set("Content-Type", "application/merge-patch+json")
		}
	}
	//lint:ignore SA1019 the calls that are to be used instead decode into maps, or send PATCH with a content type that no KV engine takes
	return own.RawRequestWithContext(ctx, req)
}

// encode is json.Marshal but for what values are made of: a [rawBody] is sent
// as it is.
func encode(v any) ([]byte, error) {
	if raw, ok := v.(rawBody); ok {
		return raw, nil
	}
	return json.Marshal(v)
}

// rawBody is JSON that was written by hand because it holds plaintext.
type rawBody []byte

// unanswered is the error of a request that got no whole answer. sent says
// whether the server may have seen it.
func (c *client) unanswered(ctx context.Context, r request, err error, sent bool) error {
	if ended := ctx.Err(); ended != nil {
		code := providers.Cancelled
		if sent && r.changes() {
			code = providers.Ambiguous
		}
		return providers.Errorf(code, "%w", ended)
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return unclearIf(r, sent, "no answer from %s within %v", c.address.Host, c.patience)
	}
	if e := trust(err, c.address); e != nil {
		return e
	}
	return unclearIf(r, sent, "%s is not reached: %s", c.address.Host, transportText(err))
}

// transportText is the text of a transport error without the URL, whose query
// may hold a sign-in code.
func transportText(err error) string {
	var u *url.Error
	if errors.As(err, &u) {
		err = u.Err
	}
	return err.Error()
}

// unclear is an error after the server had the request: what changes nothing
// gets the code, what may have happened is Ambiguous.
func unclear(r request, code providers.Code, format string, args ...any) *providers.Error {
	if r.changes() {
		code = providers.Ambiguous
	}
	return providers.Errorf(code, format, args...)
}

func unclearIf(r request, sent bool, format string, args ...any) *providers.Error {
	if !sent {
		return providers.Errorf(providers.Unavailable, format, args...).WithHint("look whether the address is right and the server runs")
	}
	return unclear(r, providers.Unavailable, format, args...)
}

func (r request) String() string { return fmt.Sprintf("%s %s", r.method, r.path) }
