package providers

import "context"

// early is an answer that was asked for before it is needed.
type early[T any] struct {
	done  chan struct{}
	value T
	err   error
}

// ahead asks in the background, after the answer that comes before.
func ahead[T any](before <-chan struct{}, ask func() (T, error)) *early[T] {
	e := &early[T]{done: make(chan struct{})}
	go func() {
		defer close(e.done)
		if before != nil {
			<-before
		}
		e.value, e.err = ask()
	}()
	return e
}

// prefetched are the answers that [Provider.Prefetch] asked for; each is used
// once.
type prefetched struct {
	identity    *early[string]
	incarnation *early[string]
	list        *early[map[string]Meta]
}

// Prefetch begins to ask what a look at the whole store needs: Identity,
// Incarnation and, where one list is preferred to a look at each path, List.
// The next call of each takes the answer, so that the store works while the
// program does. It is for callers that will make these calls at once: an answer
// is as old as its question.
func (p *Provider) Prefetch(ctx context.Context) {
	var pre prefetched
	pre.identity = ahead(nil, func() (string, error) { return p.askIdentity(ctx) })
	pre.incarnation = ahead(pre.identity.done, func() (string, error) {
		if pre.identity.err != nil {
			return "", pre.identity.err
		}
		return p.askIncarnation(ctx)
	})
	if p.PrefersList() {
		pre.list = ahead(pre.incarnation.done, func() (map[string]Meta, error) {
			if pre.incarnation.err != nil {
				return nil, pre.incarnation.err
			}
			return p.askList(ctx)
		})
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.early = pre
}

// PrefersList reports whether one List is preferred to an Inspect of many
// paths: it shows strangers too, and on an eventually consistent platform it is
// late.
func (p *Provider) PrefersList() bool {
	return p.CanList() && !p.caps.EventuallyConsistent
}

// take returns the answer that was asked for early, or asks now. A cancelled
// ctx is found by the question itself.
func take[T any](p *Provider, slot func(*prefetched) **early[T], ask func() (T, error)) (T, error) {
	p.mu.Lock()
	at := slot(&p.early)
	e := *at
	*at = nil
	p.mu.Unlock()
	if e == nil {
		return ask()
	}
	<-e.done
	return e.value, e.err
}
