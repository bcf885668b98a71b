package providers

import (
	"context"
	"sync"
)

// Locks are locks by name. The zero value is ready, nil locks nothing.
type Locks struct {
	mu   sync.Mutex
	held map[string]chan struct{}
}

// Lock waits for the lock called name, or until ctx ends, and returns what
// releases it.
func (l *Locks) Lock(ctx context.Context, name string) (release func(), err error) {
	if l == nil {
		return func() {}, nil
	}
	l.mu.Lock()
	if l.held == nil {
		l.held = map[string]chan struct{}{}
	}
	c := l.held[name]
	if c == nil {
		c = make(chan struct{}, 1)
		l.held[name] = c
	}
	l.mu.Unlock()
	select {
	case c <- struct{}{}:
		return func() { <-c }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}
