package vault

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/cofferhq/coffer/providers"
)

// refusal is what a server said in an answer with an error status.
type refusal struct {
	status int
	words  string // the errors of the server, "" where it gave none
	json   bool   // the body was of the server's own form, not a gateway's
	text   string // what a person is told instead of the server's words
}

func (e *refusal) Error() string {
	switch {
	case e.text != "":
		return e.text
	case e.words != "":
		return e.words
	}
	return fmt.Sprintf("status %d %s", e.status, http.StatusText(e.status))
}

// Words of the servers, which are the only difference between some refusals.
const (
	wordsCAS       = "check-and-set parameter did not match"
	wordsCASNeeded = "metadata check-and-set parameter required"
	wordsNoRoute   = "no handler for route"
	wordsNoMount   = "preflight capability check returned 403"
	wordsSealed    = "is sealed"
	wordsTooLarge  = "put failed due to value being too large"
	wordsNoToken   = "missing client token"
)

// said reports whether the server used these words in the answer behind err.
func said(err error, words string) bool {
	var r *refusal
	return errors.As(err, &r) && strings.Contains(r.words, words)
}

// policyRefusal reports whether the server says that the token is good and may
// not do this: OpenBao and Vault wrap that text, and no other, in a list of one.
func policyRefusal(err error) bool {
	return said(err, "1 error occurred") && said(err, "permission denied") || said(err, wordsNoMount)
}

// parseRefusal reads the errors out of a body.
func parseRefusal(status int, body []byte) *refusal {
	var answer struct {
		Errors   []string `json:"errors"`
		Warnings []string `json:"warnings"`
	}
	if json.Unmarshal(body, &answer) != nil || answer.Errors == nil && !isEnvelope(body) {
		return &refusal{status: status}
	}
	r := &refusal{status: status, json: true}
	var lines []string
	for _, text := range append(answer.Errors, answer.Warnings...) {
		lines = append(lines, strings.Fields(text)...)
	}
	r.words = strings.Join(lines, " ")
	return r
}

// refused is the error of an answer that is none: status and words decide.
func (c *client) refused(r request, resp *http.Response, body []byte) error {
	if resp.StatusCode < 400 {
		return c.redirected(resp)
	}
	why := parseRefusal(resp.StatusCode, body)
	if r.method == http.MethodPatch && len(body) == 0 && strings.HasPrefix(resp.Header.Get("Content-Type"), "application/json") {
		why.json = true // how the server says that there is nothing to change
	}
	e := &providers.Error{Code: codeOf(r, why), Err: why, RetryAfter: retryAfter(resp.Header)}
	switch {
	case why.status == http.StatusServiceUnavailable && strings.Contains(why.words, wordsSealed):
		why.text, e.Lasting = c.address.Host+" is sealed", true
		e.Hint = "unseal it with `vault operator unseal` or `bao operator unseal`, then run this again"
	case why.status == http.StatusNotImplemented:
		why.text, e.Lasting = c.address.Host+" is not initialised", true
		e.Hint = "initialise it with `vault operator init` or `bao operator init`"
	case !why.json:
		why.text = fmt.Sprintf("%s answers %d %s, not in the form of Vault or OpenBao", c.address.Host, why.status, http.StatusText(why.status))
		e.Hint = "something stands before the server, or the address is not its own"
	case strings.Contains(why.words, "namespace not found"):
		e.Code = providers.Invalid
		why.text = fmt.Sprintf("there is no namespace %q", c.namespace)
		e.Hint = "correct namespace in the provider block, or make it"
	}
	return e
}

// codeOf is the code that a status means. A server that failed while it changed
// something may have changed it.
func codeOf(r request, why *refusal) providers.Code {
	switch why.status {
	case http.StatusBadRequest:
		switch {
		case strings.Contains(why.words, wordsCAS):
			return providers.Conflict
		case strings.Contains(why.words, wordsNoToken):
			return providers.Denied
		}
		return providers.Invalid
	case http.StatusUnauthorized, http.StatusForbidden:
		return providers.Denied
	case http.StatusNotFound:
		if why.json { // a gateway that knows no such page tells nothing of a secret
			return providers.NotFound
		}
		return providers.Unavailable
	case http.StatusMethodNotAllowed:
		return providers.Unsupported
	case http.StatusTooManyRequests:
		return providers.Throttled
	case http.StatusRequestTimeout, http.StatusNotImplemented, http.StatusPreconditionFailed, 472, 473:
		return providers.Unavailable
	case http.StatusServiceUnavailable:
		if why.json {
			return providers.Unavailable
		}
	}
	if why.status < 500 {
		return providers.Invalid
	}
	if strings.Contains(why.words, wordsTooLarge) {
		return providers.Invalid
	}
	return unclear(r, providers.Unavailable, "").Code
}

// retryAfter is what the server asked for, in seconds or as a date.
func retryAfter(h http.Header) time.Duration {
	text := h.Get("Retry-After")
	if seconds, err := strconv.Atoi(text); err == nil && seconds > 0 {
		return time.Duration(min(seconds, 3600)) * time.Second
	}
	at, err := http.ParseTime(text)
	if err != nil {
		return 0
	}
	now, err := http.ParseTime(h.Get("Date")) // the same clock
	if err != nil || !at.After(now) {
		return 0
	}
	return min(at.Sub(now), time.Hour)
}

// redirected refuses an answer that sends elsewhere. The server that gives it
// has done nothing.
func (c *client) redirected(resp *http.Response) error {
	where := "elsewhere"
	hint := "write the address of the server itself into the provider block"
	if to, err := url.Parse(resp.Header.Get("Location")); err == nil && to.Host != "" {
		where = fmt.Sprintf("to %s://%s", to.Scheme, to.Host)
		hint = fmt.Sprintf("if that is the server, write address = %q into the provider block; a token is never sent to where an answer points",
			to.Scheme+"://"+to.Host)
	}
	return providers.Errorf(providers.Invalid, "%s sends %s (status %d), which is not followed", c.address.Host, where, resp.StatusCode).WithHint("%s", hint)
}

// unreadable is the error of an answer of status 200 that is not what it must
// be. One that starts like JSON was cut off on its way, anything else is not
// from this kind of server.
func unreadable(r request, resp *http.Response, body []byte) error {
	if body[0] == '{' {
		return unclear(r, providers.Unavailable, "the answer of %s is cut off or damaged", resp.Request.URL.Host)
	}
	return unclear(r, providers.Invalid, "the answer of %s is no JSON", resp.Request.URL.Host).
		WithHint("look whether the address is that of Vault or OpenBao itself")
}

// capability is what a policy must allow for a request.
func (r request) capability() string {
	switch r.method {
	case http.MethodGet:
		return "read"
	case methodList, methodScan, http.MethodPatch, http.MethodDelete:
		return strings.ToLower(r.method)
	}
	return "update"
}

// denied makes of a refusal what a person can do about it.
func denied(r request, err error) error {
	var e *providers.Error
	if !errors.As(err, &e) {
		return err
	}
	need := fmt.Sprintf("[%q]", r.capability())
	if r.capability() == "update" {
		need = `["create", "update"]`
	}
	path := r.path
	if r.method == methodList || r.method == methodScan {
		path = strings.TrimSuffix(path, "/") + "/"
	}
	var why *refusal
	if !errors.As(err, &why) {
		return err
	}
	why.text = fmt.Sprintf("permission denied: the token may not %s %s", r.capability(), path)
	e.Hint = fmt.Sprintf("its policies need: path %q { capabilities = %s }", path, need)
	return e
}
