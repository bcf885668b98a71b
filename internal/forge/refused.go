package forge

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// refused makes an error of an answer that is no success.
func (c *client) refused(r call, resp *http.Response) *Error {
	said := c.said(resp)
	e := &Error{Op: r.op, Status: resp.StatusCode, Detail: clean(said), Why: Refused}
	switch status := resp.StatusCode; {
	case status == http.StatusTooManyRequests || status == http.StatusForbidden && isRateLimit(resp.Header, said):
		e.Why, e.after = Limited, c.pauseOf(resp.Header)
		e.Hint = fmt.Sprintf("run it again in %s", e.after)
	case status/100 == 3:
		e.Detail = "it sends elsewhere, where the token does not go"
		e.Hint = c.addressHint()
	case status == http.StatusUnauthorized:
		e.Why, e.Hint = Denied, "the token is wrong or has expired: "+c.tokenHint()
	case status == http.StatusForbidden, status == http.StatusNotFound, status == http.StatusGone:
		e.Why, e.Hint = Denied, r.hint
	case status >= 500, status == http.StatusRequestTimeout:
		e.Why, e.Hint = Unreachable, c.addressHint()
		if resp.Header.Get("Retry-After") != "" {
			e.after = c.pauseOf(resp.Header)
		}
	}
	return e
}

// tokenHint says where the token comes from.
func (c *client) tokenHint() string {
	if c.run.Kind == GitLab {
		return "set COFFER_GITLAB_TOKEN to a project access token with the scope api"
	}
	return "set GITHUB_TOKEN to ${{ github.token }}, or COFFER_GITHUB_TOKEN to a token of your own"
}

// said returns what the forge says about an error, without the token: the message
// and, of GitHub, what it found wrong with the fields.
func (c *client) said(resp *http.Response) string {
	text, err := io.ReadAll(io.LimitReader(resp.Body, largestRefusal))
	if err != nil {
		return ""
	}
	var answer struct {
		Message          json.RawMessage `json:"message"` // GitLab: a text, or an object of lists
		Error            string          `json:"error"`
		ErrorDescription string          `json:"error_description"`
		Errors           []struct {
			Message string `json:"message"`
			Field   string `json:"field"`
			Code    string `json:"code"`
		} `json:"errors"`
	}
	if json.Unmarshal(text, &answer) != nil && len(answer.Message) == 0 {
		return ""
	}
	var message string
	if json.Unmarshal(answer.Message, &message) != nil {
		message = string(answer.Message)
	}
	parts := []string{cmp.Or(message, answer.ErrorDescription, answer.Error)}
	for _, e := range answer.Errors {
		parts = append(parts, cmp.Or(e.Message, strings.TrimSpace(e.Field+" "+e.Code)))
	}
	return c.token.scrub(strings.Join(parts, "; "))
}

// isRateLimit reports whether a 403 is about the number of requests and not about
// what they may do. GitHub sends either.
func isRateLimit(h http.Header, said string) bool {
	said = strings.ToLower(said)
	return h.Get("Retry-After") != "" || h.Get("X-RateLimit-Remaining") == "0" ||
		strings.Contains(said, "rate limit") || strings.Contains(said, "abuse detection")
}

// pauseOf is how long the forge asks to wait. Where it does not say, GitHub
// documents a minute for its secondary limits.
func (c *client) pauseOf(h http.Header) time.Duration {
	const longest = 24 * time.Hour
	after := h.Get("Retry-After")
	if s, err := strconv.Atoi(after); err == nil && s >= 0 {
		return max(time.Duration(min(s, int(longest/time.Second)))*time.Second, time.Second)
	}
	at, err := http.ParseTime(after)
	if err != nil {
		reset := cmp.Or(h.Get("X-RateLimit-Reset"), h.Get("RateLimit-Reset")) // of GitLab
		s, err := strconv.ParseInt(reset, 10, 64)
		if err != nil || h.Get("X-RateLimit-Remaining") != "0" && h.Get("RateLimit-Remaining") != "0" {
			return time.Minute
		}
		at = time.Unix(s, 0).Add(time.Second) // the number is rounded down
	}
	return min(max(at.Sub(c.now()), time.Second), longest).Round(time.Second)
}
