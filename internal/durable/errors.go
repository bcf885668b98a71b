package durable

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"
)

// Error is what went wrong with a file, with the next step for a person.
type Error struct {
	Step string // a step of [Replace], or "open", "read", "list", "remove"
	Path string
	// Replaced says that Path may hold the new content already.
	Replaced bool
	Err      error
}

func (e *Error) Error() string {
	text := fmt.Sprintf("%s %s: %v", verb(e.Step), e.Path, cause(e.Err))
	if advice := Advice(e.Err); advice != "" {
		text += ": " + advice
	}
	return text
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Unsynced reports whether the operating system refused to make the content
// durable. What is on the disk is then unknown, and trying again proves
// nothing: a second fsync may succeed without having written anything
// (https://wiki.postgresql.org/wiki/Fsync_Errors).
func (e *Error) Unsynced() bool { return e.Step == StepSync || e.Step == StepSyncDir }

func verb(step string) string {
	switch step {
	case StepCreate:
		return "create a temporary file for"
	case StepSync:
		return "make durable (fsync)"
	case StepRename:
		return "put in place"
	case StepSyncDir:
		return "make durable (fsync of the folder)"
	default:
		return step
	}
}

// cause drops the path and call that the os package repeats.
func cause(err error) error {
	if pe, ok := errors.AsType[*fs.PathError](err); ok {
		return pe.Err
	}
	if le, ok := errors.AsType[*os.LinkError](err); ok {
		return le.Err
	}
	return err
}

// Advice returns the next step for an error of the operating system, "" where
// there is nothing to say.
func Advice(err error) string {
	switch {
	case errors.Is(err, syscall.ENOSPC):
		return "free some space on that disk and run again"
	case errors.Is(err, syscall.EDQUOT):
		return "your quota on that disk is used up; free some space and run again"
	case errors.Is(err, syscall.EROFS):
		return "the file system is read-only; mount it for writing or use another place"
	case errors.Is(err, fs.ErrPermission):
		return "give your user the right to do that in the folder, or run as its owner"
	case errors.Is(err, syscall.EMFILE), errors.Is(err, syscall.ENFILE):
		return "too many files are open; raise the limit (ulimit -n) and run again"
	case errors.Is(err, syscall.EIO):
		return "the disk reports a fault; check it before you go on"
	default:
		return ""
	}
}
