package providers

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/cofferhq/coffer/providers/secret"
)

// DefaultMaxWait bounds the retries of one call where [Options] says nothing.
const DefaultMaxWait = 30 * time.Second

// The backoff doubles from firstWait to longestWait, half of each wait being
// jitter, over at most maxTries attempts.
const (
	firstWait   = 250 * time.Millisecond
	longestWait = 10 * time.Second
	maxTries    = 8
)

func (o Options) withDefaults() Options {
	if o.MaxWait <= 0 {
		o.MaxWait = DefaultMaxWait
	}
	if o.Sleep == nil {
		o.Sleep = sleep
	}
	if o.Jitter == nil {
		o.Jitter = rand.Float64
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return o
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// call describes one call to a driver, for its retries and its error.
type call struct {
	op, path string
	pure     bool           // changes nothing, so its outcome is never in doubt
	sent     []secret.Value // must not show in an error
	promised *atomic.Bool   // set once the driver announced the effect
}

// watch returns promise such that c learns of it. After it an attempt is not
// repeated: the journal holds the version of this attempt.
func (c *call) watch(promise Promise) Promise {
	if promise == nil {
		return nil
	}
	c.promised = new(atomic.Bool)
	promised := c.promised
	return func(ctx context.Context, versions map[string]string) error {
		promised.Store(true)
		return promise(ctx, versions)
	}
}

// passes reports whether the same call may soon succeed by itself and did
// nothing now.
func (e *Error) passes() bool { return (e.Code == Throttled || e.Code == Unavailable) && !e.Lasting }

// do runs attempt within the concurrency limit and repeats it while its error
// passes and time is left.
func (p *Provider) do(ctx context.Context, c call, attempt func(context.Context) error) error {
	select {
	case p.slots <- struct{}{}:
		defer func() { <-p.slots }()
	case <-ctx.Done():
		return p.wrap(ctx, c, &Error{Code: Cancelled, Err: ctx.Err()})
	}
	w := p.newWaits()
	for {
		if err := ctx.Err(); err != nil {
			return p.wrap(ctx, c, &Error{Code: Cancelled, Err: err})
		}
		began := p.now()
		err := attempt(ctx)
		if err == nil {
			p.took.Add(int64(p.now().Sub(began)))
			p.calls.Add(1)
			p.down.Store(false)
			p.opts.Log.DebugContext(ctx, "provider call", c.attrs(p, w)...)
			return nil
		}
		e := p.wrap(ctx, c, err)
		wait, again := w.next(e)
		again = again && (c.promised == nil || !c.promised.Load())
		if !again {
			p.gaveUp(ctx, c, w, e)
			return e
		}
		if p.opts.Waiting != nil && w.waited > time.Second && p.told.CompareAndSwap(false, true) {
			p.opts.Waiting(p.ref, e)
		}
		p.opts.Log.InfoContext(ctx, "provider call waits", append(c.attrs(p, w), "code", e.Code.String(), "wait", wait)...)
		if err := p.opts.Sleep(ctx, wait); err != nil {
			return p.wrap(ctx, c, &Error{Code: Cancelled, Err: fmt.Errorf("%w while waiting to try again after: %s", err, e.Err)})
		}
	}
}

func (p *Provider) now() time.Time {
	if p.opts.Now == nil {
		return time.Time{}
	}
	return p.opts.Now()
}

func (p *Provider) gaveUp(ctx context.Context, c call, w *waits, e *Error) {
	if e.Code == Unavailable && w.tries > 1 {
		p.down.Store(true)
	}
	p.opts.Log.InfoContext(ctx, "provider call failed", append(c.attrs(p, w), "code", e.Code.String())...)
}

func (c *call) attrs(p *Provider, w *waits) []any {
	return []any{"provider", p.ref, "op", c.op, "path", c.path, "try", w.tries}
}

// waits decides how long one call waits before its next attempt.
type waits struct {
	p       *Provider
	started time.Time
	waited  time.Duration
	tries   int
}

func (p *Provider) newWaits() *waits {
	w := &waits{p: p, tries: 1}
	if p.opts.Now != nil {
		w.started = p.opts.Now()
	}
	return w
}

// next returns the wait before another attempt, and false when there is to be
// none. A platform that was just found to be down gets no second chance from
// each of the calls still to come.
func (w *waits) next(e *Error) (time.Duration, bool) {
	if !e.passes() || w.tries >= maxTries || w.p.down.Load() && e.Code == Unavailable {
		return 0, false
	}
	backoff := min(firstWait<<(w.tries-1), longestWait)
	wait := backoff/2 + time.Duration(w.p.opts.Jitter()*float64(backoff/2))
	wait = max(wait, e.RetryAfter)
	if w.spent()+wait > w.p.opts.MaxWait {
		return 0, false
	}
	w.waited += wait
	w.tries++
	return wait, true
}

// spent is the longer of the waits and the clock's view: a clock may jump back.
func (w *waits) spent() time.Duration {
	if w.p.opts.Now == nil {
		return w.waited
	}
	return max(w.waited, w.p.opts.Now().Sub(w.started))
}
