package gcs

import (
	"net/http"

	"github.com/cofferhq/coffer/state/remote"
)

// OpenOver opens with every request going to transport.
func (c *Config) OpenOver(env remote.Env, transport http.RoundTripper) (remote.Blobs, error) {
	return c.open(env, transport)
}
