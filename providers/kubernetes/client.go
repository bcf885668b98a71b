package kubernetes

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"mime"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"sync/atomic"
	"time"

	"github.com/cofferhq/coffer/internal/kube"
	"github.com/cofferhq/coffer/providers"
)

// How much of an answer is read: a server is not trusted to be brief. A page of
// a list has what others keep in annotations too.
const (
	longestAnswer = 8 << 20
	longestPage   = 64 << 20
)

// client makes requests. It is safe for concurrent use.
type client struct {
	*kube.Client
	now func() time.Time
	as  string // whom it acts as, "" for the kubeconfig's user
}

// verb is how RBAC calls what is done.
type verb string

const (
	get    verb = "get"
	list   verb = "list"
	create verb = "create"
	patch  verb = "patch"
	remove verb = "delete"
)

func (v verb) method() string {
	switch v {
	case create:
		return http.MethodPost
	case patch:
		return http.MethodPatch
	case remove:
		return http.MethodDelete
	}
	return http.MethodGet
}

// resource is a kind of object of the API.
type resource struct {
	plural, kind, group string
	root                []string // of its path
}

var (
	secrets    = resource{"secrets", "Secret", "", []string{"api", "v1"}}
	namespaces = resource{"namespaces", "Namespace", "", []string{"api", "v1"}}
	reviews    = resource{"selfsubjectreviews", "SelfSubjectReview", "authentication.k8s.io", []string{"apis", "authentication.k8s.io", "v1"}}
	accesses   = resource{"selfsubjectaccessreviews", "SelfSubjectAccessReview", "authorization.k8s.io", []string{"apis", "authorization.k8s.io", "v1"}}
)

// shape is what of an object an answer is to hold.
type shape string

const (
	// The metadata alone: no value travels.
	metadataOnly shape = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
	metadataList shape = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
	// All of it.
	whole shape = "application/json"
)

// request is one call of the API.
type request struct {
	verb      verb
	resource  resource
	namespace string // "" for what lies in none
	name      string // "" for a create or a list
	query     url.Values
	manager   string // of what is changed
	media     string // of body
	body      []byte // holds plaintext where a value is written
	shape     shape  // "" is metadataOnly
	// review: it is sent by create, and changes nothing.
	review bool
}

// changes reports whether the call may have an effect.
func (r request) changes() bool { return r.verb != get && r.verb != list && !r.review }

// answer is what is known of an answer besides its content.
type answer struct {
	// asked is a time of the server's clock before which the request was not yet
	// answered; zero where it does not tell.
	asked time.Time
}

// do makes one request and decodes the answer into into. Errors are
// [*providers.Error]; nothing of the answer is in them but names.
func (c *client) do(ctx context.Context, r request, into any) (answer, error) {
	if err := ctx.Err(); err != nil {
		return answer{}, providers.Errorf(providers.Cancelled, "%w", err)
	}
	var sent atomic.Bool
	traced := httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{WroteHeaders: func() { sent.Store(true) }})
	req, err := c.encode(traced, r)
	if err != nil {
		return answer{}, err
	}
	begun := c.now()
	resp, err := c.Send(req)
	if err != nil {
		return answer{}, c.unanswered(ctx, r, err, sent.Load())
	}
	defer resp.Body.Close()
	limit := int64(longestAnswer)
	if r.verb == list {
		limit = longestPage
	}
	data, err := io.ReadAll(io.LimitReader(resp.Body, limit+1))
	switch {
	case resp.StatusCode < 200 || resp.StatusCode > 299:
		return answer{}, c.refused(r, resp, data)
	case err != nil:
		return answer{}, c.unanswered(ctx, r, err, true)
	case int64(len(data)) > limit:
		return answer{}, unclear(r, providers.Invalid, "the answer of %s is larger than %d MiB", c.Base.Host, limit>>20)
	}
	if media, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type")); media != "application/json" || json.Unmarshal(data, into) != nil {
		return answer{}, c.unreadable(r, data)
	}
	a := answer{}
	if date, err := http.ParseTime(resp.Header.Get("Date")); err == nil {
		a.asked = date.Add(-c.now().Sub(begun))
	}
	return a, nil
}

func (c *client) encode(ctx context.Context, r request) (*http.Request, error) {
	segments := append([]string{}, r.resource.root...)
	if r.namespace != "" {
		segments = append(segments, "namespaces", r.namespace)
	}
	segments = append(segments, r.resource.plural)
	if r.name != "" {
		segments = append(segments, r.name)
	}
	u := c.Base.JoinPath(segments...)
	query := url.Values{}
	for key, values := range r.query {
		query[key] = values
	}
	if r.manager != "" {
		query.Set("fieldManager", r.manager)
	}
	u.RawQuery = query.Encode()
	req, err := http.NewRequestWithContext(ctx, r.verb.method(), u.String(), bytes.NewReader(r.body))
	if err != nil {
		return nil, providers.Errorf(providers.Invalid, "no request can be made of %s", r)
	}
	if r.shape == "" {
		r.shape = metadataOnly
	}
	req.Header.Set("Accept", string(r.shape))
	if r.body != nil {
		req.Header.Set("Content-Type", r.media)
	}
	return req, nil
}

// look makes a request whose answer is the metadata of what it is about.
func (c *client) look(ctx context.Context, r request) (*metadata, error) {
	var o object
	a, err := c.do(ctx, r, &o)
	if err != nil {
		return nil, err
	}
	if o.Kind != "PartialObjectMetadata" || o.Metadata.UID == "" || o.Metadata.ResourceVersion == "" || o.Metadata.Name != r.name && r.name != "" {
		return nil, c.strange(r, http.StatusOK)
	}
	o.Metadata.asked = a.asked
	return &o.Metadata, nil
}
