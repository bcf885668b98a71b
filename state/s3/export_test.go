package s3

import (
	"context"
	"net/http"

	"github.com/cofferhq/coffer/state/remote"
)

// OpenOver opens with every request going to transport.
func (c *Config) OpenOver(ctx context.Context, env remote.Env, transport http.RoundTripper) (remote.Blobs, error) {
	return c.open(ctx, env, func(http.RoundTripper) http.RoundTripper { return transport })
}
