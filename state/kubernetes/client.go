package kubernetes

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"k8s.io/client-go/rest"

	"github.com/cofferhq/coffer/internal/kube"
	"github.com/cofferhq/coffer/state/remote"
)

const (
	// maxReply is more than any object has: etcd takes one and a half mebibytes,
	// which base64 makes two.
	maxReply = 8 << 20
	// callTimeout bounds one request; a person may take longer to sign in by a
	// credential plugin, which is then found signed in by the next try.
	callTimeout = 30 * time.Second
	// manager is who wrote, in metadata.managedFields.
	manager = "coffer"
)

// client makes requests for one state.
type client struct {
	*kube.Client
	namespace string
	name      string // of the state
	place     string
}

func newClient(cluster *rest.Config, namespace, name, agent string) (*client, error) {
	place := "kubernetes://" + namespace + "/" + name
	if base, err := kube.Address(cluster); err == nil {
		place = "kubernetes://" + base.Host + strings.TrimSuffix(base.Path, "/") + "/" + namespace + "/" + name
	}
	sender, err := kube.NewClient(cluster, agent, callTimeout)
	if err != nil {
		hint := ""
		if errors.Is(err, kube.ErrCredentials) {
			hint = kube.HintCredentials
		}
		return nil, invalid(place, err, hint)
	}
	return &client{Client: sender, namespace: namespace, name: name, place: place}, nil
}

// request is one call of the API.
type request struct {
	op       string // of remote.Error
	verb     verb
	resource resource
	name     string // of the object; that of a list or a part may be anything
	query    url.Values
	body     any
}

// verb is how RBAC calls what is done.
type verb string

const (
	get    verb = "get"
	list   verb = "list"
	create verb = "create"
	update verb = "update"
	remove verb = "delete"
)

func (v verb) method() string {
	switch v {
	case create:
		return http.MethodPost
	case update:
		return http.MethodPut
	case remove:
		return http.MethodDelete
	}
	return http.MethodGet
}

// call makes a request and decodes the answer into into. It returns
// [remote.ErrNotFound], [remote.ErrConflict] or a [*remote.Error].
func (c *client) call(ctx context.Context, r request, into any) (http.Header, error) {
	if err := ctx.Err(); err != nil {
		return nil, c.fail(r, &remote.Error{Code: remote.Unreachable, Unchanged: true, Err: err})
	}
	req, err := c.request(ctx, r)
	if err != nil {
		return nil, c.fail(r, &remote.Error{Code: remote.Invalid, Unchanged: true, Err: errors.New("no request can be made of it")})
	}
	resp, err := c.Send(req)
	if err != nil {
		return nil, c.fail(r, c.unanswered(ctx, err))
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(io.LimitReader(resp.Body, maxReply+1))
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		return nil, c.refused(r, resp, data)
	}
	if err != nil {
		return nil, c.fail(r, c.unanswered(ctx, err))
	}
	media, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	if len(data) > maxReply || media != "application/json" || json.Unmarshal(data, into) != nil {
		return nil, c.fail(r, strange(resp.StatusCode))
	}
	return resp.Header, nil
}

func (c *client) request(ctx context.Context, r request) (*http.Request, error) {
	var body io.Reader
	if r.body != nil {
		data, err := json.Marshal(r.body)
		if err != nil {
			return nil, err
		}
		body = bytes.NewReader(data)
	}
	segments := slices.Concat(r.resource.segments, []string{"namespaces", c.namespace, r.resource.plural})
	if r.verb != create && r.verb != list {
		segments = append(segments, r.name)
	}
	u := c.Base.JoinPath(segments...)
	query := url.Values{}
	for key, values := range r.query {
		query[key] = values
	}
	if r.verb == create || r.verb == update {
		query.Set("fieldManager", manager)
	}
	u.RawQuery = query.Encode()
	req, err := http.NewRequestWithContext(ctx, r.verb.method(), u.String(), body)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Accept", "application/json")
	if r.verb == list { // the names are enough, and no content travels
		req.Header.Set("Accept", "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1")
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	return req, nil
}

// object makes a request whose answer is the object that it is about.
func (c *client) object(ctx context.Context, r request) (*object, http.Header, error) {
	var o object
	header, err := c.call(ctx, r, &o)
	if err != nil {
		return nil, nil, err
	}
	if o.Kind != r.resource.kind || o.Metadata.Name != r.name || o.Metadata.UID == "" || o.Metadata.ResourceVersion == "" {
		return nil, nil, c.fail(r, strange(http.StatusOK))
	}
	return &o, header, nil
}

// delete makes a request that removes an object. The answer is that object, or
// a word of success.
func (c *client) delete(ctx context.Context, r request) error {
	var answer object
	_, err := c.call(ctx, r, &answer)
	if err == nil && answer.Kind != "Status" && (answer.Kind != r.resource.kind || answer.Metadata.Name != r.name) {
		return c.fail(r, strange(http.StatusOK))
	}
	return err
}

// fail completes an error.
func (c *client) fail(r request, e *remote.Error) error {
	e.Place, e.Op = c.place, r.op
	if r.name != "" {
		e.Place += fmt.Sprintf(" (%s %s)", r.resource.kind, r.name)
	}
	if r.verb == get || r.verb == list {
		e.Unchanged = true
	}
	return e
}
