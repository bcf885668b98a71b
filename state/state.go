// Package state keeps what Coffer knows between runs: which secrets it manages,
// where they are and at which version it last saw them. It never holds a
// value, a value's length or unkeyed hash, or a credential.
//
// Read [Snapshot] and [Entry] first, then [Store] and [Session]. A snapshot is
// one file's content; the journal beside it makes an apply crash-safe. The
// package knows no configuration and no provider.
package state

import (
	"context"
	"time"

	"github.com/cofferhq/coffer/lang/addr"
)

// Store is where snapshots are kept.
type Store interface {
	// Lock takes the exclusive right to change the state, waiting as long as
	// ctx allows. [*LockedError] says who holds it.
	Lock(ctx context.Context, who LockInfo) (Session, error)
	// Read returns the snapshot with the journal replayed, without a lock.
	// [ErrNotExist] means that there is no state yet. Snapshot.Holder names a
	// running apply.
	Read(ctx context.Context) (*Snapshot, error)
}

// Session is the locked state. Everything that changes state needs one. It is
// safe for concurrent use.
type Session interface {
	// Load returns the snapshot with the journal replayed; the caller owns it.
	// [ErrNotExist] means that there is no state yet.
	Load(ctx context.Context) (*Snapshot, error)
	// Append adds records to the journal. They are durable when it returns.
	// Concurrent calls share one write.
	Append(ctx context.Context, records ...Record) error
	// Save replaces the snapshot atomically with serial s.Serial+1 (stored into
	// s), keeps the old one where there is room for it, and drops the journal. A
	// snapshot that
	// says what is saved already changes nothing but that. On error the old
	// snapshot and the journal are untouched, unless it is [*DurabilityError].
	Save(ctx context.Context, s *Snapshot) error
	// Unlock releases the lock. Calling it again does nothing.
	Unlock(ctx context.Context) error
}

// RemoteSession is a [Session] whose every write is a request, and whose lock
// lives only as long as it is renewed.
type RemoteSession interface {
	Session
	// Pace returns how long to gather outcomes before the next append of some
	// that nobody waits for. It grows with each call.
	Pace() time.Duration
	// Lost returns a [*LostLockError] once somebody else may hold the lock. It
	// asks nobody. No call that changes anything may begin then.
	Lost() error
}

// LockInfo says who holds a lock, in words for people.
type LockInfo struct {
	ID        string    `json:"id"`
	Operation string    `json:"operation"` // "apply", "state rm", …
	Who       string    `json:"who"`       // user@host
	PID       int       `json:"pid"`
	Since     time.Time `json:"since"`
}

// Roles of an entry.
const (
	RolePrimary = "primary"
	RoleReplica = "replica"
	RoleObject  = "object"
)

// Snapshot is one state file's content.
type Snapshot struct {
	Project string
	Lineage string // identity of this state; derived from the project
	Serial  uint64 // rises by one with every save
	// MovedTo names where the state lives now, if it was migrated from here; see
	// [*MovedError].
	MovedTo string
	// Providers pins the identity behind each provider reference.
	Providers map[string]string
	// Incarnations tell, by provider reference, which of several containers of
	// the same identity it is: a mount that is deleted and made again has
	// another. Providers that make no difference are not in it.
	Incarnations map[string]string
	// Entries are keyed by location, which is their identity.
	Entries map[addr.Location]*Entry

	// Holder names the process that holds the lock; only [Store.Read] sets it,
	// and it is never saved.
	Holder *LockInfo
	// Replayed: a save is worth it though nothing changes. The journal that an
	// interrupted apply left is part of this snapshot and not yet of the saved
	// state, or that is encrypted otherwise than it would be now, or is older than
	// one that was seen. It is never saved itself.
	Replayed bool
}

// Entry is one managed thing at one location.
type Entry struct {
	Address  addr.Address  `json:"address"`
	Location addr.Location `json:"location"`
	// Store is the provider reference it was last reached through.
	Store string `json:"store"`
	Role  string `json:"role"`
	// Version is the live version as last recorded; "" when nothing is there
	// yet (only a pending intent, or a value that a person still has to write).
	Version  string    `json:"version,omitempty"`
	Created  time.Time `json:"created,omitzero"`
	Envelope string    `json:"envelope,omitempty"`
	// Generation counts values: 1 for the first. It is the same on the primary
	// and on replicas that are not behind.
	Generation int `json:"generation,omitempty"`
	// Class is how the value came to be: see the Class constants.
	Class string `json:"class,omitempty"`
	// Op is the operation that wrote Version.
	Op string `json:"op,omitempty"`
	// RotatedAt is when the value was made, set, accepted or imported: the
	// start of its rotation clock.
	RotatedAt time.Time `json:"rotated_at,omitzero"`
	// Fields by name, "" for a single value.
	Fields map[string]Field `json:"fields,omitempty"`
	// Inputs are the generations of the secrets that the value was made of,
	// by address.
	Inputs map[string]int `json:"inputs,omitempty"`

	Labels      map[string]string `json:"labels,omitempty"`
	Description string            `json:"description,omitempty"`
	Form        *Form             `json:"form,omitempty"` // nil is the zero value
	Protect     bool              `json:"protect,omitempty"`
	// AcceptsOutside: versions are fine (manual, bootstrap,
	// strategy provider). Kept here so that the rule outlives the block.
	AcceptsOutside bool `json:"accepts_outside,omitempty"`
	// Requested is the configured "generation" of a supplied value that was
	// last written.
	Requested int `json:"requested,omitempty"`
	// Key is the field that a single value is kept as, where the configuration
	// names one and the platform has no other place for it.
	Key string `json:"key,omitempty"`
	// Document is the content of an object, which is public by definition.
	Document string `json:"document,omitempty"`
	// Needs are the objects of the same provider, each as "KIND PATH", that an
	// object is made of: it goes before they do.
	Needs []string `json:"needs,omitempty"`
	// Made: an apply of this state created the object; one that was found as it
	// was wanted is not ours to delete.
	Made bool `json:"made,omitempty"`
	// Holds: all secrets of the provider lie in this object and go with it.
	Holds bool `json:"holds,omitempty"`
	// Pending is the intent whose outcome is not known.
	Pending *Intent `json:"pending,omitempty"`
}

// Form is what a Secret of Kubernetes has beside its value.
type Form struct {
	Type        string            `json:"type,omitempty"`
	Immutable   bool              `json:"immutable,omitempty"`
	Annotations map[string]string `json:"annotations,omitempty"`
	Scope       string            `json:"scope,omitempty"`
}

// Classes of an entry's value. A secret with fields has the class of its
// strongest field, in this order.
const (
	ClassGenerated = "generated"
	ClassManual    = "manual"
	ClassSupplied  = "supplied" // from_env, from_file, from_dotenv, from_sops
	ClassTemplate  = "template" // made of other secrets and public text only
)

// Field is what is known of one field, all of it public.
type Field struct {
	// Source is the canonical text of where the value comes from, such as
	// random_password({ length = 32 }).
	Source string `json:"source"`
	// Class is the field's own, see the Class constants.
	Class string `json:"class,omitempty"`
	// Fingerprint is "keyid:base64" of a keyed hash; see planner/fingerprint.
	Fingerprint string `json:"fingerprint,omitempty"`
}

// Intent is what an apply is about to do, journalled before the first call.
type Intent struct {
	Op     string `json:"op"`
	Action string `json:"action"`
	// Base is the live version the change starts from; "" is nothing.
	Base string `json:"base,omitempty"`
	// Promised is the version the effect will have, where the driver knew.
	Promised string `json:"promised,omitempty"`
	// Begins are documents that a create of an object passes through before it
	// has that of Next, see providers.ObjectSpec.
	Begins []string `json:"begins,omitempty"`
	// Started is when the apply announced it.
	Started time.Time `json:"started"`
	// Alive is when that apply was last heard of, see [Intent.Heard]; zero where
	// it was only heard of when it started.
	Alive time.Time `json:"alive,omitzero"`
	// Next is the entry if the change succeeds, with Version still empty; nil
	// for a delete.
	Next *Entry `json:"next,omitempty"`
}

// ActionCarried is the action of an intent for a secret whose version changes
// only because its container is written anew under another key.
const ActionCarried = "carried"

// Record kinds, one per journal line.
const (
	// RecordIntent announces Intent at Location.
	RecordIntent = "intent"
	// RecordPromise adds Versions (by path, at Location.Provider and
	// Location.Kind) to open intents as Promised. A path without an open
	// intent is a secret that moves along with the others: it gets an intent
	// of its own with [ActionCarried], its Base the recorded version and its
	// Next the entry as it stands.
	RecordPromise = "promise"
	// RecordEntry is a known outcome: Entry is now at Location, nothing pending.
	RecordEntry = "entry"
	// RecordDrop is a known outcome: nothing of ours is at Location any more.
	RecordDrop = "drop"
	// RecordRefused clears the intent at Location; nothing was changed.
	RecordRefused = "refused"
)

// Record is one line of the journal.
type Record struct {
	Kind     string            `json:"kind"`
	Location addr.Location     `json:"location,omitzero"`
	Intent   *Intent           `json:"intent,omitempty"`
	Versions map[string]string `json:"versions,omitempty"`
	Entry    *Entry            `json:"entry,omitempty"`
	// At is when the record was made, by the clock of the run: a sign that it was
	// alive then.
	At time.Time `json:"at,omitzero"`
}
