package providers

import (
	"context"
	"errors"
	"maps"
)

// question is one call that answers for many keys at once, and what is known
// of them so far.
type question[K comparable, V any] struct {
	p      *Provider
	op     string
	path   func(K) string
	ask    func(context.Context, []K) (map[K]V, error)
	open   []K // not answered yet
	found  map[K]V
	failed map[string]error
	heard  bool // some attempt answered, if only in part
}

// answer asks until every key has an answer or an error that does not pass.
// Keys that are answered are not asked for again.
func (q *question[K, V]) answer(ctx context.Context, keys []K) (map[K]V, error) {
	q.open, q.found, q.failed = keys, map[K]V{}, map[string]error{}
	if len(keys) == 0 {
		return q.found, nil
	}
	c := call{op: q.op, pure: true}
	if len(keys) == 1 {
		c.path = q.path(keys[0])
	}
	err := q.p.do(ctx, c, q.attempt)
	if err != nil && (!q.heard || ctx.Err() != nil) {
		return nil, err
	}
	if err != nil {
		for _, k := range q.open {
			if q.failed[q.path(k)] == nil {
				q.failed[q.path(k)] = err
			}
		}
	}
	if len(q.failed) > 0 {
		return q.found, &PartialError{Paths: q.failed}
	}
	return q.found, nil
}

func (q *question[K, V]) attempt(ctx context.Context) error {
	answer, err := q.ask(ctx, q.open)
	var partial *PartialError
	if err != nil && !errors.As(err, &partial) {
		return err
	}
	q.heard = true
	if len(q.found) == 0 && answer != nil {
		q.found = answer
	} else {
		maps.Copy(q.found, answer)
	}
	if partial == nil {
		partial = &PartialError{}
	}
	return q.sort(ctx, partial)
}

// sort takes the keys that have no answer out of what was found and returns an
// error while some of them are worth another try.
func (q *question[K, V]) sort(ctx context.Context, partial *PartialError) error {
	var again []K
	var passing error
	for _, k := range q.open {
		path := q.path(k)
		err, bad := partial.Paths[path]
		if !bad {
			delete(q.failed, path)
			continue
		}
		delete(q.found, k)
		if err == nil {
			err = Errorf(Unknown, "no answer")
		}
		e := q.p.wrap(ctx, call{op: q.op, path: path, pure: true}, err)
		q.failed[path] = e
		if e.passes() {
			again, passing = append(again, k), e
		}
	}
	q.open = again
	return passing
}
