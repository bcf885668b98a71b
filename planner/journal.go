package planner

import (
	"context"
	"sync"
	"time"

	"github.com/cofferhq/coffer/state"
)

// journal writes outcomes behind the walk's back, as many at once as have come
// in. An outcome that is lost is only probed again, so nobody waits for it,
// except where a copy must not be made before its primary is on record.
//
// Where every write is a request, outcomes are gathered for a while, and the
// last ones are left to the save.
type journal struct {
	session state.Session
	remote  state.RemoteSession // session, or nil

	mu      sync.Mutex
	wake    *sync.Cond
	queue   []state.Record
	queued  int // records ever queued
	written int // records durable
	awaited int // of queued, those that somebody waits for
	due     bool
	closed  bool
	err     error
	done    chan struct{}
}

func newJournal(s state.Session) *journal {
	j := &journal{session: s, done: make(chan struct{})}
	j.remote, _ = s.(state.RemoteSession)
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
	j.awaited = j.queued
	j.wake.Broadcast()
	for want := j.queued; j.written < want && j.err == nil; {
		j.wake.Wait()
	}
	return j.err
}

// failed reports whether outcomes can no longer be made durable, or the lock is
// lost; nothing new is started then.
func (j *journal) failed() bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.err != nil || j.remote != nil && j.remote.Lost() != nil
}

// close ends the writing and returns the first error. What is left it writes,
// or, where that is a request, returns for [journal.keep].
func (j *journal) close() error {
	j.mu.Lock()
	j.closed = true
	j.wake.Broadcast()
	j.mu.Unlock()
	<-j.done
	return j.err
}

// keep writes what close left, for a run whose state could not be saved.
func (j *journal) keep() error {
	if len(j.queue) == 0 || j.err != nil {
		return j.err
	}
	return j.session.Append(context.Background(), j.queue...)
}

func (j *journal) run() {
	defer close(j.done)
	for {
		batch := j.next()
		if len(batch) == 0 {
			return
		}
		err := j.session.Append(context.Background(), batch...)
		j.mu.Lock()
		j.written += len(batch)
		j.err = err
		j.wake.Broadcast()
		j.mu.Unlock()
	}
}

// next waits for records that are to be written; none is the end.
func (j *journal) next() []state.Record {
	j.mu.Lock()
	defer j.mu.Unlock()
	for len(j.queue) == 0 && !j.closed && j.err == nil {
		j.wake.Wait()
	}
	if j.remote != nil {
		j.gather()
	}
	if j.err != nil || j.remote != nil && j.closed {
		return nil
	}
	batch := j.queue
	j.queue = nil
	return batch
}

// gather waits for as long as the session likes, or until somebody waits for
// what is in the queue.
func (j *journal) gather() {
	j.due = false
	timer := time.AfterFunc(j.remote.Pace(), func() {
		j.mu.Lock()
		defer j.mu.Unlock()
		j.due = true
		j.wake.Broadcast()
	})
	defer timer.Stop()
	for !j.due && !j.closed && j.awaited <= j.written {
		j.wake.Wait()
	}
}
