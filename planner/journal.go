package planner

import (
	"context"
	"sync"

	"github.com/cofferhq/coffer/state"
)

// journal writes outcomes behind the walk's back, as many at once as have come
// in. An outcome that is lost is only probed again, so nobody waits for it,
// except where a copy must not be made before its primary is on record.
type journal struct {
	session state.Session

	mu      sync.Mutex
	wake    *sync.Cond
	queue   []state.Record
	queued  int // records ever queued
	written int // records durable
	closed  bool
	err     error
	done    chan struct{}
}

func newJournal(s state.Session) *journal {
	j := &journal{session: s, done: make(chan struct{})}
	j.wake = sync.NewCond(&j.mu)
	go j.run()
	return j
}

// add queues records.
func (j *journal) add(records ...state.Record) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.queue = append(j.queue, records...)
	j.queued += len(records)
	j.wake.Broadcast()
}

// sync returns when everything queued so far is durable.
func (j *journal) sync() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	for want := j.queued; j.written < want && j.err == nil; {
		j.wake.Wait()
	}
	return j.err
}

// failed reports whether outcomes can no longer be made durable; nothing new
// is started then.
func (j *journal) failed() bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.err != nil
}

// close writes what is left and returns the first error.
func (j *journal) close() error {
	j.mu.Lock()
	j.closed = true
	j.wake.Broadcast()
	j.mu.Unlock()
	<-j.done
	return j.err
}

func (j *journal) run() {
	defer close(j.done)
	for {
		j.mu.Lock()
		for len(j.queue) == 0 && !j.closed {
			j.wake.Wait()
		}
		batch := j.queue
		j.queue = nil
		if len(batch) == 0 || j.err != nil {
			j.mu.Unlock()
			return
		}
		j.mu.Unlock()
		err := j.session.Append(context.Background(), batch...)
		j.mu.Lock()
		j.written += len(batch)
		j.err = err
		j.wake.Broadcast()
		j.mu.Unlock()
	}
}
