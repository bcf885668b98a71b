package vault

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"path"
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
	// above is the namespace to send where it is another than the client's own.
	above *string
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
	api       *http.Client
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
	req, err := c.encode(traced, r, token)
	if err != nil {
		return err
	}
	resp, err := c.api.Do(req)
	if err != nil {
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
	return c.read(r, resp, body)
}

// read makes an error or r.into of an answer.
func (c *client) read(r request, resp *http.Response, body []byte) error {
	status := resp.StatusCode
	if status >= 300 && !(status == http.StatusNotFound && isEnvelope(body)) && !(r.path == pathHealth && len(body) > 0 && body[0] == '{') {
		return c.refused(r, resp, body)
	}
	if r.into != nil && len(body) > 0 {
		scan, ok := r.into.(*scanAnswer)
		if !(ok && scan.readByHand(body)) && json.Unmarshal(body, r.into) != nil {
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

// encode makes the HTTP request. The servers' library writes it down, and sends
// nothing: its client would take the program's own environment. Errors are
// [*providers.Error].
func (c *client) encode(ctx context.Context, r request, token secret.Value) (*http.Request, error) {
	req := &api.Request{
		Method: r.method, Host: c.address.Host, Params: r.query, Headers: http.Header{},
		URL: &url.URL{Scheme: c.address.Scheme, Host: c.address.Host, Path: path.Join(c.address.Path, "/v1/"+r.path)},
	}
	if r.method == methodList || r.method == methodScan {
		req.Method, req.Params = http.MethodGet, url.Values{strings.ToLower(r.method): {"true"}}
		maps.Copy(req.Params, r.query)
	}
	req.Headers.Set(api.RequestHeaderName, "true")
	// A performance standby of Vault Enterprise that is behind hands on what it
	// cannot answer yet, instead of answering from the past.
	req.Headers.Set("X-Vault-Inconsistent", "forward-active-node")
	if namespace := c.namespaceOf(r); namespace != "" {
		req.Headers.Set(api.NamespaceHeaderName, namespace)
	}
	if r.body != nil {
		data, err := encode(r.body)
		if err != nil {
			return nil, providers.Errorf(providers.Invalid, "the request cannot be encoded")
		}
		req.BodyBytes = data
		req.Headers.Set("Content-Type", "application/json")
		if r.method == http.MethodPatch {
			req.Headers.Set("Content-Type", "application/merge-patch+json")
		}
	}
	if !token.IsZero() {
		err := token.Expose(func(b []byte) error { req.ClientToken = string(b); return nil })
		if err != nil {
			return nil, err
		}
	}
	out, err := req.ToHTTP()
	if err != nil {
		return nil, providers.Errorf(providers.Invalid, "%s is no request: %s", r, transportText(err))
	}
	return out.WithContext(ctx), nil
}

func (c *client) namespaceOf(r request) string {
	switch {
	case r.above != nil:
		return *r.above
	case r.root:
		return ""
	}
	return c.namespace
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
