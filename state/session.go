package state

import (
	"bytes"
	"context"
	"errors"
	"os"
	"sync"

	"github.com/cofferhq/coffer/internal/durable"
)

// Lock takes the lock beside the state, see [Store.Lock].
func (f *File) Lock(ctx context.Context, who LockInfo) (Session, error) {
	return f.lock(ctx, who)
}

func (f *File) lock(ctx context.Context, who LockInfo) (*fileSession, error) {
	who = who.WithID()
	var held HeldLock
	err := durable.Step(f.at("lock."), "take", func() (err error) {
		held, err = takeLock(ctx, f.o.Locks, f.lockPath(), who)
		return err
	})
	if err != nil {
		if held != nil {
			err = errors.Join(err, held.Unlock())
		}
		return nil, err
	}
	f.clean()
	return &fileSession{f: f, who: who, lock: held}, nil
}

// fileSession is a locked [File].
type fileSession struct {
	f   *File
	who LockInfo

	group GroupCommit

	mu       sync.Mutex // guards what follows, and the files
	lock     HeldLock   // nil after Unlock
	base     *onDisk    // what was on the disk; nil before the first load
	appender *appender  // nil before the first append after a load or save
	broken   error      // set once the disk is not to be trusted
}

var _ Session = (*fileSession)(nil)

func (s *fileSession) Load(ctx context.Context) (*Snapshot, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.ready(ctx); err != nil {
		return nil, err
	}
	l, err := s.f.load()
	if err != nil {
		return nil, err
	}
	if l.spent {
		if err := s.drop(); err != nil {
			return nil, err
		}
	}
	snapshot := l.snapshot
	s.keep(l)
	if snapshot == nil {
		return nil, ErrNotExist
	}
	return snapshot, nil
}

// keep remembers l, less what is big and not ours.
func (s *fileSession) keep(l *onDisk) {
	l.Slim()
	s.base = l
}

// loadOnce makes sure that the session knows what is on the disk.
func (s *fileSession) loadOnce() error {
	if s.base != nil {
		return nil
	}
	l, err := s.f.load()
	if err == nil {
		s.keep(l)
	}
	return err
}

// ready says why nothing more may be done; mu is held.
func (s *fileSession) ready(ctx context.Context) error {
	switch {
	case s.lock == nil:
		return errors.New("the state is not locked any more")
	case s.broken != nil:
		return s.broken
	case ctx.Err() != nil:
		return ctx.Err()
	case !s.lock.Ours():
		return &LostLockError{Path: s.f.lockPath()}
	default:
		return nil
	}
}

// fatal marks the session broken where err says that the disk is not to be
// trusted.
func (s *fileSession) fatal(err error) error {
	if e, ok := errors.AsType[*durable.Error](err); ok && (e.Unsynced() || e.Replaced) {
		s.broken = &DurabilityError{Err: err}
		return s.broken
	}
	return err
}

// Append adds records, see [Session.Append]. Once the records are on their way
// a cancelled ctx does not stop them.
func (s *fileSession) Append(ctx context.Context, records ...Record) error {
	if err := CheckRecords(records); err != nil {
		return err
	}
	if len(records) == 0 {
		return nil
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	return s.group.Do(records, func(records []Record) error {
		s.mu.Lock()
		defer s.mu.Unlock()
		if err := s.ready(context.WithoutCancel(ctx)); err != nil {
			return err
		}
		return s.append("append.", journalLine{Records: records})
	})
}

// append writes one line to the journal and makes it durable; mu is held.
func (s *fileSession) append(points string, line journalLine) error {
	if s.appender == nil {
		if err := s.openJournal(); err != nil {
			return s.fatal(err)
		}
	}
	return s.fatal(s.appender.write(s.f.at(points), line))
}

// openJournal begins a journal, or goes on with the one that a crash left.
func (s *fileSession) openJournal() error {
	if err := s.loadOnce(); err != nil {
		return err
	}
	a := &appender{path: s.f.journalPath()}
	left := s.base.journal
	if left != nil {
		a.sum, a.size = left.sum, left.size
	} else if err := s.beginJournal(a); err != nil {
		return err
	}
	f, err := durable.Open(s.f.o.FS, a.path, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return err
	}
	a.file = f
	if left != nil {
		err = a.clean()
	}
	if err != nil {
		_ = f.Close() // the first error is what counts
		return err
	}
	s.appender = a
	return nil
}

func (s *fileSession) beginJournal(a *appender) error {
	header, err := s.base.header(s.f.o.Project, s.who)
	if err != nil {
		return err
	}
	line, sum, err := encodeLine("", header)
	if err != nil {
		return err
	}
	a.sum, a.size = sum, int64(len(line))
	return durable.Replace(s.f.o.FS, a.path, line, stateMode, s.f.at("header."))
}

// stateMode is the mode of everything beside the lock.
const stateMode = 0o600

// Save replaces the snapshot, see [Session.Save].
func (s *fileSession) Save(ctx context.Context, snapshot *Snapshot) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.ready(ctx); err != nil {
		return err
	}
	if err := s.loadOnce(); err != nil {
		return err
	}
	data, err := snapshot.EncodeNext()
	if err != nil {
		return err
	}
	old, err := s.unchanged(snapshot)
	if err != nil {
		return err
	}
	if asItWas, err := Encode(snapshot); err == nil && old != nil && bytes.Equal(asItWas, old) {
		return s.drop() // a run that came to nothing leaves nothing to commit
	}
	if err := s.f.backup(old); err != nil {
		return s.fatal(err)
	}
	now := journalSaved{Serial: snapshot.Serial + 1, State: digest(data)}
	if s.appender != nil || s.base.journal != nil {
		if err := s.append("saved.", journalLine{Saved: &now}); err != nil {
			return err
		}
	}
	if err := durable.Replace(s.f.o.FS, s.f.path, data, stateMode, s.f.at("save.")); err != nil {
		return s.fatal(err)
	}
	snapshot.Serial, snapshot.Replayed = now.Serial, false
	s.base = &onDisk{Loaded: s.base.Saved(snapshot, data)}
	s.f.prune()
	return s.drop()
}

// unchanged returns the bytes of the state that is about to be replaced, after
// making sure that it is the one that was loaded and that snapshot follows it.
func (s *fileSession) unchanged(snapshot *Snapshot) ([]byte, error) {
	data, _, err := readIfThere(s.f.o.FS, s.f.path)
	if err != nil {
		return nil, err
	}
	now := ""
	if data != nil {
		now = digest(data)
	}
	if now != s.base.state {
		return nil, &ChangedError{Path: s.f.path}
	}
	return data, s.base.Follows(snapshot)
}

// drop removes the journal. The line that says what was saved makes one that
// stays harmless, so that is no reason to call the save a failure.
func (s *fileSession) drop() error {
	if s.appender != nil {
		_ = s.appender.file.Close()
		s.appender = nil
	}
	return durable.Step(s.f.at("drop."), "remove", func() error {
		_ = s.f.o.FS.Remove(s.f.journalPath())
		return nil
	})
}

// Unlock releases the lock, see [Session.Unlock]. A journal that was not saved
// stays for the next session.
func (s *fileSession) Unlock(context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.lock == nil {
		return nil
	}
	if s.appender != nil {
		_ = s.appender.file.Close() // what matters was synced
		s.appender = nil
	}
	return durable.Step(s.f.at("lock."), "release", func() error {
		lock := s.lock
		s.lock = nil
		return lock.Unlock()
	})
}
