// Package audit keeps the record of who had which value read, written or
// deleted: one JSON object a line, each holding the hash of the one before.
// [Log.Record] returns when the record is durable, so the rule "no record, no
// effect" is one call before the effect. [Verify] finds what was changed later.
//
// A record has names and times and no place for a value. The package reads no
// clock and knows no plan, no provider and no configuration. Read [Event], then
// [Open] and [Verify]; docs/audit.md says what the chain proves and what not.
package audit

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"time"

	"github.com/gofrs/flock"

	"github.com/cofferhq/coffer/internal/durable"
)

// Event is what is about to happen. Every field is text for people; one that is
// too long is cut, with a mark.
type Event struct {
	Action   string // "read", "write", "delete", …
	Address  string // of the thing, "" where there is none
	Provider string // identity of the store
	Kind     string // "secret", or the kind of an object
	Path     string
	Version  string // that is read, or that the write replaces; "" is the current one or none
	Op       string // operation id, shared by all that one change does
	Note     string // a reason that a person gave
}

// Options are what an [Open] log writes into each record and how it works.
type Options struct {
	Now     func() time.Time
	Project string
	Who     string // user@host
	Command string // "apply", "secret get", …

	// At, when not nil, is called before and after a group of records is written
	// and made durable, with "audit.before-write" and the like. An error from it
	// fails that step.
	At func(point string) error
	// FS is durable.OS() unless set.
	FS durable.FS
	// Lock keeps other processes out until the function it returns is called.
	// Unless set it is a lock of the operating system on path + ".lock".
	Lock func(ctx context.Context, path string) (unlock func(), err error)
}

// Log appends to an audit file. It is safe for concurrent use, also by several
// processes; between records it holds neither the file nor a lock.
type Log struct {
	path string
	opts Options

	mu      sync.Mutex
	waiting []*waiter
	writing bool
	last    Anchor
	broken  error // set for good when the disk refused to make something durable
}

type waiter struct {
	event Event
	done  chan error
}

const (
	mode = 0o600
	// group is how many records share one fsync at most.
	group = 16
	// lockWait is how long a record waits for other processes, each of which
	// holds the lock for one fsync.
	lockWait = 10 * time.Second
)

// ModeError says that others than the owner may read or write the file.
type ModeError struct {
	Path string
	Mode fs.FileMode
}

func (e *ModeError) Error() string {
	return fmt.Sprintf("the audit log %s has mode %04o, so others can read or change it: look at it with coffer audit verify, then chmod 600", e.Path, e.Mode)
}

// ErrCut is returned when the log ends before a record that this process wrote.
var ErrCut = errors.New("the audit log ends before a record that this process wrote: somebody cut or replaced it")

// Open makes the file with mode 0600 if there is none, checks its last records
// and repairs what a crash left: an incomplete last record, whose effect never
// happened, is cut off and a record with action "torn" says so. A link, a FIFO,
// a folder or a hard link is a [*durable.KindError], a looser mode a
// [*ModeError]; other errors name the file and what to do.
func Open(path string, opts Options) (*Log, error) {
	if opts.FS == nil {
		opts.FS = durable.OS()
	}
	if opts.Lock == nil {
		opts.Lock = lockFile
	}
	l := &Log{path: path, opts: opts}
	if err := l.write(nil); err != nil {
		return nil, err
	}
	return l, nil
}

// Record appends one record and returns when it is durable. On an error the
// effect must not happen. Calls at the same time share an fsync. A context that
// ends before the call is an error; later it changes nothing.
func (l *Log) Record(ctx context.Context, e Event) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	w := &waiter{event: e, done: make(chan error, 1)}
	l.mu.Lock()
	l.waiting = append(l.waiting, w)
	lead := !l.writing
	l.writing = true
	l.mu.Unlock()
	if lead {
		l.drain()
	}
	return <-w.done
}

// drain writes what is waiting, group by group, until nothing is.
func (l *Log) drain() {
	for {
		l.mu.Lock()
		n := min(len(l.waiting), group)
		if n == 0 {
			l.writing = false
			l.mu.Unlock()
			return
		}
		batch := l.waiting[:n:n]
		l.waiting = l.waiting[n:]
		l.mu.Unlock()

		events := make([]Event, n)
		for i, w := range batch {
			events[i] = w.event
		}
		err := l.write(events)
		for _, w := range batch {
			w.done <- err
		}
	}
}

// Anchor returns the last record that this process wrote or found. A person who
// keeps it elsewhere can later tell that the log was not cut before it.
func (l *Log) Anchor() Anchor {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.last
}

// write appends one group. Only one goroutine is in it at a time.
func (l *Log) write(events []Event) error {
	if l.broken != nil {
		return l.broken
	}
	ctx, cancel := context.WithTimeout(context.Background(), lockWait)
	defer cancel()
	unlock, err := l.opts.Lock(ctx, l.path)
	if err != nil {
		return fmt.Errorf("audit log %s: %w", l.path, err)
	}
	defer unlock()
	f, made, err := l.open()
	if err != nil {
		return err
	}
	err = l.append(f, events)
	if closeErr := f.Close(); err == nil && closeErr != nil {
		err = l.fail("close", closeErr)
	}
	if err == nil && made {
		if err = l.opts.FS.SyncDir(filepath.Dir(l.path)); err != nil {
			l.broken = l.fail(durable.StepSyncDir, err)
			return l.broken
		}
	}
	return err
}

func (l *Log) open() (f durable.File, made bool, err error) {
	if _, err := durable.Check(l.opts.FS, l.path); errors.Is(err, fs.ErrNotExist) {
		made = true
	}
	f, err = durable.Open(l.opts.FS, l.path, os.O_RDWR|os.O_APPEND|os.O_CREATE, mode)
	if err != nil {
		return nil, false, err
	}
	info, err := f.Stat()
	switch {
	case err != nil:
		err = l.fail("read", err)
	case info.Mode().Perm()&0o077 != 0 && runtime.GOOS != "windows": // which has no such bits
		err = &ModeError{Path: l.path, Mode: info.Mode().Perm()}
	default:
		return f, made, nil
	}
	_ = f.Close() // nothing was written
	return nil, false, err
}

func (l *Log) append(f durable.File, events []Event) error {
	info, err := f.Stat()
	if err != nil {
		return l.fail("read", err)
	}
	end, err := readEnd(f, info.Size())
	if err != nil {
		return l.fail("read", err)
	}
	l.mu.Lock()
	last := l.last
	l.mu.Unlock()
	if end.last.Seq < last.Seq || end.last.Seq == last.Seq && end.last.Hash != last.Hash {
		return fmt.Errorf("%s: %w; look at it with coffer audit verify", l.path, ErrCut)
	}
	if end.size < info.Size() {
		note := fmt.Sprintf("%d bytes of an incomplete record were cut off here: a crash while it was written, before its effect", info.Size()-end.size)
		events = append([]Event{{Action: ActionTorn, Note: note}}, events...)
		err := f.Truncate(end.size)
		if err == nil {
			err = f.Sync()
		}
		if err != nil {
			l.broken = l.fail(durable.StepSync, err)
			return l.broken
		}
	}
	return l.put(f, end, events)
}

// put writes the events behind end and makes them durable.
func (l *Log) put(f durable.File, end end, events []Event) error {
	at := end.last
	if len(events) > 0 {
		var lines []byte
		for i, e := range events {
			r := l.record(e, at, i)
			line := r.seal()
			lines = append(lines, line...)
			at = r.anchor()
		}
		err := l.step(durable.StepWrite, func() error {
			_, err := f.Write(lines)
			return err
		})
		if err != nil {
			// Half a record would be taken for what a crash left, so it does no
			// harm where it cannot be removed.
			_ = f.Truncate(end.size)
			return l.fail(durable.StepWrite, err)
		}
		if err := l.step(durable.StepSync, f.Sync); err != nil {
			l.broken = l.fail(durable.StepSync, err)
			return l.broken
		}
	}
	l.mu.Lock()
	l.last = at
	l.mu.Unlock()
	return nil
}

// step does one durable step between its two points.
func (l *Log) step(name string, do func() error) error {
	at := l.opts.At
	if at != nil {
		at = func(point string) error { return l.opts.At("audit." + point) }
	}
	return durable.Step(at, name, do)
}

func (l *Log) record(e Event, after Anchor, position int) *record {
	prev := after.Hash
	if after.Seq == 0 {
		prev = genesis
	}
	return &record{
		V: 1, Seq: after.Seq + 1, Time: l.opts.Now().UTC(), Group: position,
		Project: l.opts.Project, Op: e.Op, Action: e.Action, Address: e.Address,
		Provider: e.Provider, Kind: e.Kind, Path: e.Path, Version: e.Version,
		Who: l.opts.Who, Command: l.opts.Command, Note: e.Note, Prev: prev,
	}
}

func (l *Log) fail(step string, err error) error {
	return fmt.Errorf("audit log: %w; nothing is read or written without its record", &durable.Error{Step: step, Path: l.path, Err: err})
}

// lockFile locks path + ".lock", which is never removed: removing it would let
// two processes hold two locks of one name.
func lockFile(ctx context.Context, path string) (func(), error) {
	lock := flock.New(path+".lock", flock.SetFlag(os.O_CREATE|os.O_RDWR|durable.NoFollow), flock.SetPermissions(mode))
	ok, err := lock.TryLockContext(ctx, 5*time.Millisecond)
	if errors.Is(err, context.DeadlineExceeded) || err == nil && !ok {
		return nil, fmt.Errorf("another process holds %s.lock since %v; see what it waits for", path, lockWait)
	}
	if err != nil {
		return nil, fmt.Errorf("lock %s.lock: %w", path, err)
	}
	return func() { _ = lock.Close() }, nil
}
