package kubernetes

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/cofferhq/coffer/state/remote"
)

// status is the answer of an API server that refuses.
type status struct {
	Kind    string `json:"kind"`
	Reason  string `json:"reason"`
	Message string `json:"message"`
	Details struct {
		Kind              string `json:"kind"`
		RetryAfterSeconds int    `json:"retryAfterSeconds"`
		Causes            []struct {
			Reason string `json:"reason"`
		} `json:"causes"`
	} `json:"details"`
}

func (s status) causedBy(reason string) bool {
	for _, c := range s.Details.Causes {
		if c.Reason == reason {
			return true
		}
	}
	return false
}

// refused is the error of an answer that is not a success.
func (c *client) refused(r request, resp *http.Response, body []byte) error {
	var s status
	own := json.Unmarshal(body, &s) == nil && s.Kind == "Status"
	if own {
		switch {
		case resp.StatusCode == http.StatusNotFound && s.Details.Kind == r.resource.plural:
			if r.verb == update {
				return remote.ErrConflict
			}
			return remote.ErrNotFound
		case resp.StatusCode == http.StatusConflict && (s.Details.Kind == r.resource.plural || s.Details.Kind == r.resource.kind):
			return remote.ErrConflict
		}
	}
	e := c.sort(r, resp.StatusCode, s, own)
	e.After = retryAfter(resp.Header, s)
	return c.fail(r, e)
}

// sort says what kind of refusal it is. Nothing of the answer's text goes into
// the error.
func (c *client) sort(r request, code int, s status, own bool) *remote.Error {
	answers := fmt.Errorf("the API server answers %d %s", code, http.StatusText(code))
	switch {
	case code == http.StatusUnauthorized:
		return &remote.Error{
			Code: remote.Denied, Unchanged: true, Err: errors.New("the API server does not take the credentials (401)"),
			Hint: "sign in again: the token or certificate of the kubeconfig's user, or of the pod, is missing, has expired or was revoked",
		}
	case s.causedBy("NamespaceTerminating"):
		return c.noPlace(fmt.Errorf("the namespace %q is being deleted", c.namespace))
	case code == http.StatusNotFound && s.Details.Kind == "namespaces":
		return c.noPlace(fmt.Errorf("there is no namespace %q", c.namespace))
	case code == http.StatusForbidden && strings.Contains(s.Message, "exceeded quota"):
		return &remote.Error{
			Code: remote.Invalid, Unchanged: true, Err: fmt.Errorf("a ResourceQuota of the namespace %q is used up", c.namespace),
			Hint: "raise it: `kubectl -n " + c.namespace + " describe quota`",
		}
	case (code == http.StatusForbidden || code == http.StatusBadRequest) && strings.Contains(s.Message, "admission webhook"):
		return &remote.Error{
			Code: remote.Invalid, Unchanged: true, Err: fmt.Errorf("an admission webhook of the cluster refuses the %s", r.resource.kind),
			Hint: "exempt the namespace from it, or ask who runs it",
		}
	case code == http.StatusForbidden && own:
		return c.denied(r)
	case code == http.StatusForbidden:
		return &remote.Error{
			Code: remote.Denied, Unchanged: true, Err: errors.New("something on the way to the API server refuses the request (403)"),
			Hint: "look at the cluster's address in the kubeconfig, and at proxies on the way",
		}
	case code == http.StatusTooManyRequests:
		return &remote.Error{Code: remote.Busy, Unchanged: true, Err: answers}
	case code == http.StatusRequestEntityTooLarge, strings.Contains(s.Message, "request is too large"), strings.Contains(s.Message, "larger than max"):
		return &remote.Error{
			Code: remote.Invalid, Unchanged: true, Err: errors.New("the API server or its etcd does not take an object of this size"),
			Hint: "raise the limit of what stands before the API server, or etcd's --max-request-bytes, to 2 MiB",
		}
	case code == http.StatusUnprocessableEntity:
		return &remote.Error{
			Code: remote.Invalid, Unchanged: true, Err: answers,
			Hint: fmt.Sprintf("is there a %s of this name that is not Coffer's, or one that somebody made immutable? Choose another name, or remove it", r.resource.kind),
		}
	case code >= 500 && code != http.StatusNotImplemented:
		return &remote.Error{Code: remote.Busy, Err: answers}
	case own && code == http.StatusConflict: // of a quota, not of ours
		return &remote.Error{Code: remote.Busy, Unchanged: true, Err: answers}
	case own:
		return &remote.Error{Code: remote.Invalid, Unchanged: true, Err: answers}
	}
	return strange(code)
}

func (c *client) noPlace(err error) *remote.Error {
	return &remote.Error{Code: remote.NoPlace, Unchanged: true, Err: err, Hint: "create it: `kubectl create namespace " + c.namespace + "`"}
}

func (c *client) denied(r request) *remote.Error {
	rule := fmt.Sprintf("apiGroups: [%q], resources: [%s], verbs: [%s]", r.resource.group, r.resource.plural, r.verb)
	if named := r.name == c.name || r.name == c.name+"."+remote.JournalBlob || r.resource.kind == leases.kind; named && r.verb != create {
		rule += fmt.Sprintf(", resourceNames: [%s]", r.name)
	}
	return &remote.Error{
		Code: remote.Denied, Unchanged: true,
		Err:  fmt.Errorf("these credentials may not %s %s in the namespace %q (403)", r.verb, r.resource.plural, c.namespace),
		Hint: "add the rule {" + rule + "} to their Role; `coffer permissions` prints the whole of it",
	}
}

// strange is an answer that no API server gives.
func strange(code int) *remote.Error {
	return &remote.Error{
		Code: remote.Unreachable, Err: fmt.Errorf("the answer (%d) is not one of a Kubernetes API server", code),
		Hint: "look at the cluster's address in the kubeconfig, and at proxies on the way",
	}
}

func retryAfter(h http.Header, s status) time.Duration {
	seconds, err := strconv.Atoi(h.Get("Retry-After"))
	if err != nil {
		seconds = s.Details.RetryAfterSeconds
	}
	return time.Duration(min(max(seconds, 0), 3600)) * time.Second
}

// unanswered is the error of a request without a whole answer.
func (c *client) unanswered(ctx context.Context, err error) *remote.Error {
	if ctx.Err() != nil {
		return &remote.Error{Code: remote.Unreachable, Err: ctx.Err()}
	}
	if outer, ok := errors.AsType[*url.Error](err); ok {
		err = outer.Err
	}
	if text := err.Error(); c.plugin != "" && strings.HasPrefix(text, "getting credentials: ") {
		return c.pluginFailed(text)
	}
	if e := untrusted(err); e != nil {
		return e
	}
	e := &remote.Error{Code: remote.Unreachable, Err: errors.New("no answer that is HTTP")}
	var op *net.OpError
	var timeout interface{ Timeout() bool }
	switch {
	case errors.As(err, &op):
		e.Err, e.Unchanged = op, op.Op == "dial"
	case errors.As(err, &timeout) && timeout.Timeout():
		e.Err = fmt.Errorf("no answer within %s", callTimeout)
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		e.Err = errors.New("the connection broke off")
	}
	e.Hint = "is the API server at " + c.base.Host + " up, and reachable from here?"
	return e
}

// pluginFailed says what a credential plugin came to. What it wrote to stderr
// is on the terminal already; its stdout is a credential and is not quoted.
func (c *client) pluginFailed(text string) *remote.Error {
	e := &remote.Error{Code: remote.Denied, Unchanged: true, Hint: "run `kubectl auth whoami` with the same kubeconfig and look at what it says"}
	switch {
	case strings.Contains(text, "not found"):
		e.Err = fmt.Errorf("the kubeconfig's credential plugin %q is not installed", c.plugin)
		e.Hint = "install it, or put it onto the PATH"
	case strings.Contains(text, "failed with exit code"):
		e.Err = fmt.Errorf("the kubeconfig's credential plugin %q failed", c.plugin)
	case strings.Contains(text, "interactive"), strings.Contains(text, "standard input"):
		e.Err = fmt.Errorf("the kubeconfig's credential plugin %q needs a terminal", c.plugin)
		e.Hint = "run where there is one, or use another user of the kubeconfig"
	default:
		e.Err = fmt.Errorf("the kubeconfig's credential plugin %q gave no credentials", c.plugin)
	}
	return e
}

// untrusted returns an error for a connection that TLS refused before anything
// was sent, nil for any other.
func untrusted(err error) *remote.Error {
	var alert tls.AlertError
	var record tls.RecordHeaderError
	e := &remote.Error{Code: remote.Unreachable, Unchanged: true}
	_, authority := errors.AsType[x509.UnknownAuthorityError](err)
	_, name := errors.AsType[x509.HostnameError](err)
	_, certificate := errors.AsType[x509.CertificateInvalidError](err)
	switch {
	case authority:
		e.Err = errors.New("the server's certificate is signed by nobody that the kubeconfig trusts")
		e.Hint = "look at certificate-authority of its cluster"
	case name:
		e.Err = errors.New("the server's certificate is for another name")
		e.Hint = "look at server and tls-server-name of its cluster"
	case certificate:
		e.Err = errors.New("the server's certificate is not valid")
		e.Hint = "renew it, or set the clock of this machine right"
	case errors.As(err, &record), errors.Is(err, http.ErrSchemeMismatch):
		e.Err = errors.New("the server does not speak TLS")
		e.Hint = "look at server of the kubeconfig's cluster"
	case errors.As(err, &alert):
		e.Err = fmt.Errorf("the server refuses the connection: %w", alert)
		e.Hint = "look at the client certificate of the kubeconfig's user"
	default:
		return nil
	}
	return e
}
