package kubernetes

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
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
	f := c.Unanswered(ctx, err)
	e := &remote.Error{Code: remote.Unreachable, Unchanged: f.Unsent, Err: f.Err, Hint: f.Hint}
	if f.SignIn {
		e.Code = remote.Denied
	}
	return e
}
