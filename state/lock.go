package state

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"sync"
	"time"
)

// Locker takes the lock beside a state file. [Flocks] are the real ones.
type Locker interface {
	// TryLock takes the lock at path without waiting. It returns nil, nil when
	// somebody else has it.
	TryLock(path string, info LockInfo) (HeldLock, error)
	// Holder says who has the lock at path; nil is nobody.
	Holder(path string) (*LockInfo, error)
	// Break takes the lock at path away from whoever has it.
	Break(path string) error
}

// HeldLock is a lock that was taken.
type HeldLock interface {
	// Ours reports whether nobody broke the lock.
	Ours() bool
	// Unlock releases the lock.
	Unlock() error
}

// How often a lock is asked for, and how often at least: a reader that looks
// whether somebody holds it is in the way for a moment.
const (
	lockPoll     = 20 * time.Millisecond
	lockAttempts = 4
)

// takeLock asks for the lock until ctx is done.
func takeLock(ctx context.Context, locks Locker, path string, info LockInfo) (HeldLock, error) {
	for attempt := 1; ; attempt++ {
		held, err := locks.TryLock(path, info)
		if held != nil || err != nil {
			return held, err
		}
		if errors.Is(ctx.Err(), context.Canceled) {
			return nil, ctx.Err()
		}
		if ctx.Err() != nil && attempt >= lockAttempts {
			return nil, lockedBy(locks, path)
		}
		timer := time.NewTimer(lockPoll)
		if attempt < lockAttempts {
			<-timer.C
			continue
		}
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
		}
	}
}

func lockedBy(locks Locker, path string) error {
	holder, err := locks.Holder(path)
	if err != nil {
		return err
	}
	if holder == nil { // it went away just now
		holder = &LockInfo{}
	}
	return &LockedError{Holder: *holder}
}

// WithID returns i with an ID, made of the others where it has none.
func (i LockInfo) WithID() LockInfo {
	if i.ID == "" {
		i.ID = fmt.Sprintf("%d-%x", i.PID, i.Since.UnixNano())
	}
	return i
}

// MemoryLocks returns locks that only this process knows, for states that are
// kept in memory.
func MemoryLocks() Locker { return &memoryLocks{held: map[string]*memoryLock{}} }

type memoryLocks struct {
	mu   sync.Mutex
	held map[string]*memoryLock
}

type memoryLock struct {
	all  *memoryLocks
	path string
	info LockInfo
}

func (m *memoryLocks) TryLock(path string, info LockInfo) (HeldLock, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.held[path] != nil {
		return nil, nil
	}
	l := &memoryLock{all: m, path: path, info: info}
	m.held[path] = l
	return l, nil
}

func (m *memoryLocks) Holder(path string) (*LockInfo, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	l := m.held[path]
	if l == nil {
		return nil, nil
	}
	info := l.info
	return &info, nil
}

func (m *memoryLocks) Break(path string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.held, path)
	return nil
}

func (l *memoryLock) Ours() bool {
	l.all.mu.Lock()
	defer l.all.mu.Unlock()
	return l.all.held[l.path] == l
}

func (l *memoryLock) Unlock() error {
	l.all.mu.Lock()
	defer l.all.mu.Unlock()
	maps.DeleteFunc(l.all.held, func(_ string, held *memoryLock) bool { return held == l })
	return nil
}
