package state

import (
	"errors"
	"fmt"
	"time"
)

// ErrNotExist means that there is no state yet.
var ErrNotExist = errors.New("there is no state yet")

// LockedError says who holds the state.
type LockedError struct {
	// Holder is zero where the holder could not be read.
	Holder LockInfo
	// Until is when the lock ends by itself if its holder has died; zero where it
	// ends with its holder.
	Until time.Time
}

func (e *LockedError) Error() string {
	h := e.Holder
	if h.ID == "" {
		return "the state is locked by another process; wait for it, or pass a longer -lock-timeout"
	}
	text := fmt.Sprintf("the state is locked by %s: %s, process %d, since %s (lock %s); wait for it, or pass a longer -lock-timeout",
		h.Who, h.Operation, h.PID, h.Since.UTC().Format(time.RFC3339), h.ID)
	if !e.Until.IsZero() {
		text += "; if that process has died, the lock ends at " + e.Until.UTC().Format(time.RFC3339)
	}
	return text
}

// LostLockError means that somebody broke this session's lock. Nothing was
// written after that.
type LostLockError struct {
	Path string
	// Expired: it could not be renewed in time, and others may take it.
	Expired bool
}

func (e *LostLockError) Error() string {
	if e.Expired {
		return fmt.Sprintf("the lock of %s could not be renewed in time, so another run may have it by now: "+
			"what this run did is in the journal, and the next apply finishes it", e.Path)
	}
	return fmt.Sprintf("the lock %s is no longer ours: somebody broke it with \"coffer state unlock\"; "+
		"what this run did is in the journal, and the next apply finishes it", e.Path)
}

// DurabilityError means that the operating system could not make something
// durable: what the disk holds is not known. The session refuses all further
// work; the next run reads what is there.
type DurabilityError struct{ Err error }

func (e *DurabilityError) Error() string {
	return fmt.Sprintf("state is not durable: %v: stop, check the disk, then run \"coffer plan\" to see what was kept", e.Err)
}

// Unwrap returns the cause.
func (e *DurabilityError) Unwrap() error { return e.Err }

// MovedError means that a state was migrated to another backend: what is here
// is the copy that was kept, and nothing uses it any more.
type MovedError struct {
	Path, To string
	Serial   uint64
}

func (e *MovedError) Error() string {
	return fmt.Sprintf("%s was migrated to %s and is only kept as it was: take the coffer block that says so (from the main branch?), "+
		"or migrate back with coffer state migrate", e.Path, e.To)
}

// ProjectError means that a state belongs to another project.
type ProjectError struct{ Got, Want string }

func (e *ProjectError) Error() string {
	return fmt.Sprintf("this state belongs to project %q and the configuration is project %q: "+
		"point -state (or the backend block) at the state of %q", e.Got, e.Want, e.Want)
}

// LineageError means that a state is not a descendant of the one it was to
// replace.
type LineageError struct{ Got, Want string }

func (e *LineageError) Error() string {
	return fmt.Sprintf("the state has lineage %s and the one it would replace %s: they are not versions of one state; "+
		"keep the one whose secrets exist", e.Got, e.Want)
}

// NewerError means that a newer Coffer wrote the file.
type NewerError struct {
	What    string // "state" or "journal"
	Version int
	Reads   int // the newest version that this program reads
}

func (e *NewerError) Error() string {
	return fmt.Sprintf("this %s has format %d, written by a newer coffer; this one reads up to %d: upgrade coffer",
		e.What, e.Version, e.Reads)
}

// TruncatedError means that the end of the state is missing.
type TruncatedError struct{ Line int }

func (e *TruncatedError) Error() string {
	return fmt.Sprintf("the state stops in the middle, at line %d: put back the whole of it, from git, a .backup or the store's versions (coffer state history)", e.Line)
}

// FormatError means that the state was edited into something that Coffer does
// not write.
type FormatError struct {
	Line    int // 0 where it is not about one line
	Problem string
	Next    string // "" is the usual: undo the edit
}

func (e *FormatError) Error() string {
	next := e.Next
	if next == "" {
		next = "undo the edit, or put it back from git, a .backup or the store's versions (coffer state history)"
	}
	if e.Line == 0 {
		return fmt.Sprintf("%s: %s", e.Problem, next)
	}
	return fmt.Sprintf("line %d: %s: %s", e.Line, e.Problem, next)
}

// ChangedError means that the state is not the one any more that the session
// loaded: something else wrote it in spite of the lock.
type ChangedError struct{ Path string }

func (e *ChangedError) Error() string {
	return fmt.Sprintf("%s changed while this run held its lock (a git pull, an editor or a restored copy?): it was left alone; "+
		"put back the version from before and run apply again, the journal beside it knows what was done", e.Path)
}

// JournalError means that a journal cannot be replayed onto the state beside
// it.
type JournalError struct {
	Path    string
	Problem string
	Next    string
}

func (e *JournalError) Error() string {
	return fmt.Sprintf("journal %s: %s: %s", e.Path, e.Problem, e.Next)
}
