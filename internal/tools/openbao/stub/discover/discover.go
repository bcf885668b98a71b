// Package discover stands in for the discovery of raft peers in clouds, which
// the test server does not use.
package discover

import (
	"errors"
	"log"
)

// Provider is anything.
type Provider any

// Providers is empty.
var Providers map[string]Provider

// Discover finds nothing.
type Discover struct{}

// Option is ignored.
type Option func()

// WithProviders is ignored.
func WithProviders(map[string]Provider) Option { return nil }

// New returns what finds nothing.
func New(...Option) (*Discover, error) { return &Discover{}, nil }

// Addrs refuses.
func (*Discover) Addrs(string, *log.Logger) ([]string, error) {
	return nil, errors.New("auto_join is not part of this test server")
}
