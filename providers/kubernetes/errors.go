package kubernetes

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/cofferhq/coffer/providers"
)

// Refusals of the API server that a caller looks at again.
var (
	errExists  = errors.New("a Secret of this name is there already")
	errTouched = errors.New("somebody else changed it meanwhile")
	errExpired = errors.New("the list took longer than its pages are kept")
)

// status is the answer of an API server that refuses. Its message may repeat
// what was sent, so names alone are taken out of it.
type status struct {
	Kind    string `json:"kind"`
	Reason  string `json:"reason"`
	Message string `json:"message"`
	Details struct {
		Kind              string  `json:"kind"`
		Causes            []cause `json:"causes"`
		RetryAfterSeconds int     `json:"retryAfterSeconds"`
	} `json:"details"`
}

type cause struct {
	Reason  string `json:"reason"`
	Message string `json:"message"`
	Field   string `json:"field"`
}

func (s status) causedBy(reason, field string) bool {
	return slices.ContainsFunc(s.Details.Causes, func(c cause) bool { return c.Reason == reason && (field == "" || c.Field == field) })
}

// about reports whether the refusal is about what was asked for, and not about
// something that it lies in.
func (s status) about(r resource) bool { return s.Details.Kind == r.plural || s.Details.Kind == r.kind }

// refused is the error of an answer that is no success.
func (c *client) refused(r request, resp *http.Response, body []byte) error {
	var s status
	own := json.Unmarshal(body, &s) == nil && s.Kind == "Status"
	e := c.redirected(resp)
	if e == nil && own {
		e = c.sort(r, resp.StatusCode, s)
	}
	if e == nil {
		e = r.notServed(resp.StatusCode, body)
	}
	if e == nil {
		e = c.foreign(r, resp.StatusCode)
	}
	return e.After(retryAfter(resp.Header, s))
}

// sort says what the API server's refusal means.
func (c *client) sort(r request, code int, s status) *providers.Error {
	switch code {
	case http.StatusUnauthorized:
		return c.unauthorized()
	case http.StatusNotFound:
		switch {
		case s.about(r.resource):
			return providers.Errorf(providers.NotFound, "there is no %s %s", r.resource.kind, r.name)
		case s.Details.Kind == namespaces.plural:
			return noNamespace(r, "there is no namespace %q")
		}
	case http.StatusForbidden:
		return c.forbidden(r, s)
	case http.StatusConflict:
		switch {
		case s.Reason == "AlreadyExists":
			return providers.Errorf(providers.Conflict, "%w", errExists)
		case s.about(r.resource):
			return providers.Errorf(providers.Conflict, "%w", errTouched)
		}
		// Of what it lies in, a quota: it passes.
		return providers.Errorf(providers.Unavailable, "the API server is busy with the %s of the namespace %q", word(s.Details.Kind), r.namespace)
	case http.StatusGone:
		return providers.Errorf(providers.Unavailable, "%w", errExpired)
	case http.StatusUnprocessableEntity:
		return unprocessable(r, s)
	case http.StatusTooManyRequests:
		return providers.Errorf(providers.Throttled, "the API server has too many requests (429)")
	}
	if e := refusedWhole(r, code, s); e != nil {
		return e
	}
	if code >= 500 {
		return unclear(r, providers.Unavailable, "the API server answers %d %s", code, http.StatusText(code))
	}
	return providers.Errorf(providers.Invalid, "the API server answers %d %s", code, http.StatusText(code))
}

// refusedWhole is the error of an object that is refused for what stands before
// the storage; nil for any other.
func refusedWhole(r request, code int, s status) *providers.Error {
	switch {
	case strings.Contains(s.Message, "admission webhook"):
		return providers.Errorf(providers.Invalid, "the admission webhook %s refuses the %s", between(s.Message, `admission webhook "`, `"`), r.resource.kind).
			WithHint("exempt it there, or ask who runs the webhook what it wants")
	case strings.Contains(s.Message, "ValidatingAdmissionPolicy"):
		return providers.Errorf(providers.Invalid, "the ValidatingAdmissionPolicy %s refuses the %s", between(s.Message, `ValidatingAdmissionPolicy '`, `'`), r.resource.kind).
			WithHint("exempt it there, or ask who keeps the policy what it wants")
	case strings.Contains(s.Message, "failed calling webhook"): // before anything is stored
		return providers.Errorf(providers.Unavailable, "the admission webhook %s of the cluster does not work", between(s.Message, `failed calling webhook "`, `"`)).
			WithHint("ask who runs it: the API server stores nothing that it has not seen")
	case strings.Contains(s.Message, "field not declared in schema"):
		return providers.Errorf(providers.Invalid, "the cluster's %s has no field %s", r.resource.kind, between(s.Message, "): .", ":")).
			WithHint("what brings this kind to the cluster is older or newer than what Coffer writes")
	case code == http.StatusRequestEntityTooLarge, strings.Contains(s.Message, "request is too large"), strings.Contains(s.Message, "larger than max"):
		return tooLarge()
	}
	return nil
}

// forbidden sorts what answers 403: RBAC is only one of them.
func (c *client) forbidden(r request, s status) *providers.Error {
	switch {
	case s.causedBy("NamespaceTerminating", ""):
		return noNamespace(r, "the namespace %q is being deleted")
	case strings.Contains(s.Message, "exceeded quota"):
		return providers.Errorf(providers.Invalid, "the ResourceQuota %s of the namespace %q is used up", between(s.Message, "exceeded quota: ", ","), r.namespace).
			WithHint("raise it: `kubectl -n %s describe quota`", r.namespace)
	case strings.Contains(s.Message, "cannot impersonate"):
		return providers.Errorf(providers.Denied, "these credentials may not act as %q (403)", c.as).
			WithHint(`add the rule {apiGroups: [""], resources: [users, groups], verbs: [impersonate]} to their ClusterRole`)
	}
	if e := refusedWhole(r, http.StatusForbidden, s); e != nil {
		return e
	}
	if strings.Contains(s.Message, "is attempting to grant RBAC permissions not currently held") {
		return providers.Errorf(providers.Denied, "with the %s these credentials would give more than they may do themselves (403)", r.resource.kind).
			WithHint("`coffer permissions -phase apply` prints the rules that they need for it")
	}
	where, role := "", "ClusterRole"
	if r.namespace != "" {
		where, role = fmt.Sprintf(" in the namespace %q", r.namespace), "Role in the namespace "+r.namespace
	}
	rule := fmt.Sprintf("apiGroups: [%q], resources: [%s], verbs: [%s]", r.resource.group, r.resource.plural, r.verb)
	if r.name != "" {
		rule += fmt.Sprintf(", resourceNames: [%s]", r.name)
	}
	return providers.Errorf(providers.Denied, "these credentials may not %s %s%s (403)", r.verb, r.resource.plural, where).
		WithHint("add the rule {%s} to their %s; `coffer permissions` prints all that is needed", rule, role)
}

// unprocessable is the error of a 422: which fields, and why, without what was
// in them.
func unprocessable(r request, s status) *providers.Error {
	switch {
	case s.causedBy("FieldValueInvalid", "metadata.uid"):
		return providers.Errorf(providers.Conflict, "%w: it was deleted and made again", errTouched)
	case slices.ContainsFunc(s.Details.Causes, func(c cause) bool { return strings.Contains(c.Message, "when `immutable` is set") }):
		return providers.Errorf(providers.Invalid, "the Secret is immutable").
			WithHint("nothing can change that: delete it (`kubectl -n %s delete secret %s`), and the next apply makes it again; pods that mount it have to be restarted", r.namespace, r.name)
	case s.causedBy("FieldValueTooLong", "data"):
		return tooLarge()
	}
	var fields []string
	for _, c := range s.Details.Causes {
		fields = append(fields, word(c.Field)+" ("+word(c.Reason)+")")
	}
	return providers.Errorf(providers.Invalid, "the API server does not take the %s: %s", r.resource.kind, strings.Join(fields, ", ")).
		WithHint("`kubectl explain %s`, or the page of its type, says what these fields must be", strings.ToLower(r.resource.kind))
}

func tooLarge() *providers.Error {
	return providers.Errorf(providers.Invalid, "the API server or its etcd does not take an object of this size").
		WithHint("a Secret holds a mebibyte; raise the limit of what stands before the API server, or keep the value elsewhere")
}

// notServed is the error of a kind that others than Kubernetes bring, where the
// API server has no such path; nil for any other. Of its own kinds a 404 like
// that is a proxy's.
func (r request) notServed(code int, body []byte) *providers.Error {
	theirs := strings.Contains(r.resource.group, ".") && !strings.HasSuffix(r.resource.group, ".k8s.io")
	if code != http.StatusNotFound || !theirs || strings.TrimSpace(string(body)) != "404 page not found" {
		return nil
	}
	return providers.Errorf(providers.Invalid, "the cluster does not serve %s.%s", r.resource.plural, strings.Join(r.resource.root[1:], "/")).
		WithHint("install what brings it (a controller and its CRDs), or take what needs it out")
}

// foreign is the error of an answer that is not an API server's own.
func (c *client) foreign(r request, code int) *providers.Error {
	switch {
	case code == http.StatusUnauthorized:
		return c.unauthorized()
	case code == http.StatusForbidden:
		return providers.Errorf(providers.Denied, "something on the way to %s refuses the request (403)", c.Base.Host).WithHint(hintProxy)
	case code == http.StatusTooManyRequests:
		return providers.Errorf(providers.Throttled, "%s has too many requests (429)", c.Base.Host)
	case code >= 500:
		return unclear(r, providers.Unavailable, "%s answers %d %s, not in the form of an API server", c.Base.Host, code, http.StatusText(code)).WithHint(hintProxy)
	}
	return providers.Errorf(providers.Unavailable, "%s answers %d %s, not in the form of an API server", c.Base.Host, code, http.StatusText(code)).WithHint(hintProxy)
}

const hintProxy = "look at the cluster's address in the kubeconfig, and at proxies on the way"

func (c *client) unauthorized() *providers.Error {
	return providers.Errorf(providers.Denied, "the API server does not take the credentials (401)").
		WithHint("sign in again: the token or certificate of the kubeconfig's user, or of the pod, is missing, has expired or was revoked")
}

func noNamespace(r request, format string) *providers.Error {
	return providers.Errorf(providers.Invalid, format, r.namespace).WithHint("create it: `kubectl create namespace %s`", r.namespace)
}

// redirected refuses an answer that sends elsewhere; nil for any other.
func (c *client) redirected(resp *http.Response) *providers.Error {
	if resp.StatusCode < 300 || resp.StatusCode > 399 {
		return nil
	}
	where := "elsewhere"
	if to, err := url.Parse(resp.Header.Get("Location")); err == nil && to.Host != "" {
		where = fmt.Sprintf("to %s://%s", to.Scheme, to.Host)
	}
	return providers.Errorf(providers.Invalid, "%s sends %s (status %d), which is not followed", c.Base.Host, where, resp.StatusCode).WithHint(hintProxy)
}

// strange is the error of a success that no API server gives.
func (c *client) strange(r request, code int) *providers.Error {
	return unclear(r, providers.Invalid, "the answer of %s (%d) is not one of a Kubernetes API server", c.Base.Host, code).WithHint(hintProxy)
}

// unreadable is the error of a success that cannot be decoded. One that starts
// like JSON was cut off on its way.
func (c *client) unreadable(r request, body []byte) *providers.Error {
	if len(body) == 0 || body[0] == '{' {
		return unclear(r, providers.Unavailable, "the answer of %s is cut off or damaged", c.Base.Host)
	}
	return c.strange(r, http.StatusOK)
}

// unanswered is the error of a request without a whole answer. sent says whether
// the server may have seen it.
func (c *client) unanswered(ctx context.Context, r request, err error, sent bool) error {
	f := c.Unanswered(ctx, err)
	code := providers.Unavailable
	switch {
	case f.Ended:
		code = providers.Cancelled
	case f.SignIn:
		code = providers.Denied
	case f.Lasting:
		code = providers.Invalid
	}
	if sent && !f.Unsent && r.changes() {
		code = providers.Ambiguous
	}
	return &providers.Error{Code: code, Err: f.Err, Hint: f.Hint, Lasting: f.Lasting}
}

// unclear is an error after the server had the request: what changes nothing
// gets the code, what may have happened is Ambiguous.
func unclear(r request, code providers.Code, format string, args ...any) *providers.Error {
	if r.changes() {
		code = providers.Ambiguous
	}
	return providers.Errorf(code, format, args...)
}

func retryAfter(h http.Header, s status) time.Duration {
	seconds, err := strconv.Atoi(h.Get("Retry-After"))
	if err != nil {
		seconds = s.Details.RetryAfterSeconds
	}
	return time.Duration(min(max(seconds, 0), 3600)) * time.Second
}

// between returns the name between two texts of a message, or a word for one
// that is none.
func between(message, before, after string) string {
	_, rest, ok := strings.Cut(message, before)
	name, _, closed := strings.Cut(rest, after)
	if !ok || !closed {
		return "of the cluster"
	}
	return word(name)
}

// word returns text of a server that is a name and can hold no value: keys of
// data are among them, and nobody keeps a secret in one.
func word(text string) string {
	odd := func(r rune) bool { return !isAlphanumeric(r) && !strings.ContainsRune("-_./[]", r) }
	if text == "" || len(text) > longestName || strings.ContainsFunc(text, odd) {
		return "(odd)"
	}
	return text
}

func (r request) String() string {
	return fmt.Sprintf("%s %s %s/%s", r.verb, r.resource.plural, r.namespace, r.name)
}
