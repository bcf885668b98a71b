package vault

import (
	"context"
	"net/url"
)

// request is one call of the HTTP API.
type request struct {
	method string // GET, LIST, POST, PUT, PATCH, DELETE
	path   string // below /v1/, not escaped
	query  url.Values
	body   any // nil is none
	into   any // nil drops the answer
	// root sends no namespace: some paths of sys exist in the root only.
	root bool
}

// do makes one call and decodes the answer into r.into, for 404 too where it
// has a body. Errors are [*providers.Error] with the code that the status
// means; text of the server is in them, and no body, header or token.
func (c *client) do(ctx context.Context, r request) error {
	panic("not built")
}

type client struct{}
