// Package remote keeps a state where every job of a team reaches it: a few
// small blobs in a store that the team has already, written under conditions
// that the store itself enforces.
//
// Safety is the conditional write, the lock is a courtesy: two runs that both
// believe to hold it cannot overwrite each other, because each write names the
// content it replaces. Nothing is ever deleted on the way: a lock is released
// and a journal spent by writing it again, since not every store deletes under
// a condition.
//
// Read [Blobs] first, which a backend implements in a folder of its own
// (state/s3, …), then [Store]. The package knows no platform and no SDK.
package remote

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// The blobs of a state. Names beginning with [ProbePrefix] are made and removed
// by [Prove].
const (
	StateBlob   = "state"
	JournalBlob = "journal"
	LockBlob    = "lock"
	ProbePrefix = "probe-"
)

// Blobs are the blobs of one state, by the names above. A backend implements it
// with one request a call and without trying again; [Store] repeats what may be
// repeated and looks after an outcome that is unknown. It is safe for
// concurrent use.
//
// Every error other than [ErrNotFound] and [ErrConflict] is an [*Error].
type Blobs interface {
	// Get returns a blob. It sees every Put that returned before it was called,
	// whoever made it. [ErrNotFound] means that there is none.
	Get(ctx context.Context, name string) (Blob, error)
	// Put writes data as the whole blob if match is the tag of the one that is
	// there, or, where match is "", if there is none; the store decides that, in
	// one step. It returns the new tag. [ErrConflict] means that the condition
	// did not hold and nothing was written.
	Put(ctx context.Context, name string, data []byte, match string) (tag string, err error)
	// Delete removes a blob if match is its tag, with the same errors as Put; a
	// blob that is not there is [ErrNotFound]. Only probes are deleted.
	Delete(ctx context.Context, name, match string) error
	// String names the place for people, such as s3://bucket/team/state. It
	// holds no credential.
	String() string
}

// Blob is what [Blobs.Get] returns.
type Blob struct {
	Data []byte
	// Tag names this content in the store: another content, written at any time,
	// has another one. It is never "". (An ETag that is a digest of the content
	// will do: no two writes of [Store] have the same content.)
	Tag string
	// Age is how long ago the blob was written, by the store's own clock on both
	// ends (such as the headers Date and Last-Modified of one answer). Negative
	// where the store does not tell.
	Age time.Duration
}

// MaxBytes is the largest blob that is read or written.
const MaxBytes = 64 << 20

var (
	// ErrNotFound means that there is no such blob.
	ErrNotFound = errors.New("no such blob")
	// ErrConflict means that the blob is not the one that was to be replaced, or
	// exists though it was to be created. Nothing was written.
	ErrConflict = errors.New("somebody else wrote it meanwhile")
)

// Code says what kind of error it is.
type Code string

// The codes of an [Error].
const (
	Denied      Code = "denied"      // the store refuses these credentials
	NoPlace     Code = "no_place"    // the bucket, container, namespace or database does not exist
	Unreachable Code = "unreachable" // no answer, or one that is not the store's
	Busy        Code = "busy"        // throttled, or in trouble that passes: it may be tried again
	Invalid     Code = "invalid"     // the store does not take it: too large, a bad name, a bad setting
)

// Error is an error of a store. Its text holds no body, header or query of an
// answer, since these may carry credentials.
type Error struct {
	Code  Code
	Place string // as [Blobs.String] says, with the blob where it matters
	Op    string // "read", "write", "delete", …
	// Unchanged: the store certainly did nothing. A write that fails otherwise
	// may have landed.
	Unchanged bool
	// After is how long the store asks to be left alone; 0 where it does not say.
	After time.Duration
	Err   error  // what happened, scrubbed
	Hint  string // the next step for a person
}

func (e *Error) Error() string {
	text := fmt.Sprintf("%s: cannot %s: %v", e.Place, e.Op, e.Err)
	switch {
	case e.Hint != "":
		text += "; " + e.Hint
	case e.Code == Unreachable:
		text += "; see that it is up and can be reached from here, then run the command again"
	}
	return text
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Historian is what a backend implements whose store keeps what was replaced.
type Historian interface {
	// History returns the versions of a blob, the newest first. An empty list
	// means that the store is not told to keep any.
	History(ctx context.Context, name string) ([]Version, error)
	// GetVersion returns one of them.
	GetVersion(ctx context.Context, name, id string) ([]byte, error)
}

// Version is a content that a blob has or had.
type Version struct {
	ID      string
	Written time.Time
	Bytes   int64
	Latest  bool
}

// Gripper is what a backend implements that notices by itself when whoever
// holds a lock is gone, as PostgreSQL does when a connection ends. A lease then
// need not run out first.
type Gripper interface {
	// Grip takes the only grip of this state, nil where somebody else has it.
	Grip(ctx context.Context) (Grip, error)
}

// Grip is held until it is released or its holder is gone.
type Grip interface {
	// Held reports whether it is still ours, without asking anybody.
	Held() bool
	// Release gives it back. Calling it again does nothing.
	Release()
}

// Backend is the configuration of a backend: a struct with hcl tags, which the
// arguments of its block are decoded into.
type Backend interface {
	// Open returns the blobs without a request where it can. Errors name the
	// argument that is wrong.
	Open(ctx context.Context, env Env) (Blobs, error)
	// Permissions returns the least rights for reading the state (a plan) or for
	// changing it (an apply), in the platform's own form, ready to use.
	Permissions(write bool) string
}

// Env is what a backend may use of its surroundings. Credentials come by the
// SDK's own chain.
type Env struct {
	Dir    string // of the configuration, for relative paths
	Getenv func(string) string
	Now    func() time.Time
	// UserAgent names the program in requests.
	UserAgent string
}
