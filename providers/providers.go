// Package providers is the contract between Coffer and the platforms that keep
// secrets. A platform is a [Driver] in a folder of its own; [Provider] is the
// concrete type that stands in front of every driver and adds what all share:
// a concurrency limit, retries, one kind of error, and a count of value reads.
//
// Read [Driver] first, then [WriteRequest] and [Meta]. The package knows no
// configuration language, no state and no plan.
package providers

import (
	"context"
	"time"

	"github.com/cofferhq/coffer/providers/secret"
)

// Driver is what every platform implements. All methods are safe for
// concurrent use. A driver never prints, never retries a call that is not
// idempotent, and returns the platform's error wrapped in an [*Error] with one
// of the codes of this package; [Provider] fills in the rest.
//
// A cancelled context makes a call return at once with an error for which
// errors.Is(err, ctx.Err()) holds, and changes nothing.
type Driver interface {
	// Capabilities returns constant facts about the platform.
	Capabilities() Capabilities
	// Identity pins the instance behind the configuration (cluster id, account
	// and region, folder). It changes when the instance does.
	Identity(ctx context.Context) (string, error)
	// Inspect returns metadata for the given paths and never needs a value. A
	// path that is not in the answer does not exist. Where the answer covers
	// only some paths it returns what it has and a [*PartialError] that names
	// the others.
	Inspect(ctx context.Context, paths []string) (map[string]Meta, error)
	// Read returns the plaintext of one version; "" is the current one.
	// Missing is [NotFound].
	Read(ctx context.Context, path, version string) (secret.Value, error)
	// Write creates or replaces one secret under its precondition. The returned
	// Meta holds at least the new version.
	Write(ctx context.Context, req WriteRequest) (Meta, error)
	// Delete removes the secret if its version is ifVersion, using the
	// platform's recovery window where there is one. A missing secret is no
	// error; another version is [Conflict].
	Delete(ctx context.Context, path, ifVersion string) error
}

// Capabilities are constant facts about a platform. What a platform can do
// beyond [Driver] is an optional interface instead; never both for one thing.
type Capabilities struct {
	// Versioned: Read can return versions before the current one.
	Versioned bool
	// Versionless: a version says that a secret is there, and is the same whoever
	// wrote it last, so that nothing is known to be unchanged.
	Versionless bool
	// ConditionalWrite: the platform itself enforces WriteRequest.IfVersion.
	// Without it a racing write is detected afterwards, not prevented.
	ConditionalWrite bool
	// SoftDelete: a deleted secret can be restored for a time, and its name is
	// taken meanwhile.
	SoftDelete bool
	// ValueBlind: Inspect and List need no permission to read values.
	ValueBlind bool
	// EventuallyConsistent: one answer of "missing" proves nothing; two, a
	// settle time apart, do.
	EventuallyConsistent bool
	// Settle is how long a write with an unknown outcome can still land; zero
	// where an operation id or precondition makes a re-write harmless.
	Settle time.Duration
	// KeyInPath: the key of a single value is the last part of its path, so that
	// `key` changes the place. Elsewhere a single value with a key of its own is
	// kept as one field of that name.
	KeyInPath bool
	// Shared: there is no room for an owner mark and others keep secrets in the
	// same place, so that what exists is ours only where the state has it. (In a
	// folder of our own the place itself is the mark.)
	Shared bool
	// MaxBytes is the largest value of one secret, in bytes; 0 is no limit.
	MaxBytes int
	// Concurrency is how many calls may run at once; 0 is 1.
	Concurrency int
}

// Mark is the owner mark, written into whatever attributes a platform has. A
// platform without room for one (sops) is marked by the place itself.
type Mark struct {
	Project   string `json:"project,omitempty"`
	Address   string `json:"address,omitempty"` // hash of the address, see [AddressHash]
	Protected bool   `json:"protected,omitempty"`
}

// Attributes is the public text that travels with a secret.
type Attributes struct {
	Mark        Mark              `json:"mark,omitzero"`
	Labels      map[string]string `json:"labels,omitempty"`
	Description string            `json:"description,omitempty"`
	// Form is zero on platforms that are not [FormDriver]s.
	Form Form `json:"form,omitzero"`
}

// Form is what a Secret of Kubernetes has beside its value, labels and
// description; the zero value is an ordinary one.
type Form struct {
	Type        string            `json:"type,omitempty"` // "" is Opaque
	Immutable   bool              `json:"immutable,omitempty"`
	Annotations map[string]string `json:"annotations,omitempty"`
	Scope       string            `json:"scope,omitempty"` // of a sealed secret
}

// Meta is what a platform tells about one secret without its value.
type Meta struct {
	// Version is the platform's name of the live version. Equal versions with
	// equal Created mean an equal value; that is all a plan relies on.
	Version string
	// Created is when the live version was made, by the platform's clock; zero
	// where it does not tell. Never compare it with another platform's clock.
	Created time.Time
	// OpID is the operation that wrote the live version, where the platform
	// keeps it in the same write.
	OpID string
	// Deleted is not zero for a soft-deleted secret, and Purged is when its
	// name becomes free again.
	Deleted, Purged time.Time
	Attributes      Attributes
	// Fields are the names of the fields where they can be seen without
	// reading a value; nil where they cannot. A single value has the field "".
	Fields []string
	// Envelope identifies the key that wraps the version where a platform can
	// re-encrypt values without changing them (a sops file); else "".
	Envelope string
	// ChangedBy is who wrote the live version, where the platform tells.
	ChangedBy string
	// Outdated names settings beside the value (how many versions are kept, …)
	// that are not what the provider block says; SetAttributes mends them.
	Outdated []string
	// Remains: the current version is deleted and older ones can still be read.
	// Delete takes those too.
	Remains bool
}

// IsDeleted reports whether the secret is soft-deleted.
func (m Meta) IsDeleted() bool { return !m.Deleted.IsZero() }

// Promise journals versions (by path) that a driver knows before the effect.
// When it returns nil they are durable; on an error the driver must not go on.
// A driver calls it at most once per write or batch, just before the effect,
// with every path whose version the effect changes.
type Promise func(ctx context.Context, versions map[string]string) error

// WriteRequest asks for one new version of one secret.
type WriteRequest struct {
	Path  string
	Value secret.Value
	// Drop names fields to remove; only for [Patcher] and [Operation.Patch].
	Drop []string
	// OpID is unique to the change. The same id twice makes one version.
	OpID string
	// IfVersion is the live version this write replaces; "" means that nothing
	// may exist at the path. Anything else there is [Conflict].
	IfVersion  string
	Attributes Attributes
	// KeepAttributes says that what is live carries these attributes already, so
	// that a driver that writes them in a call of their own can save it.
	KeepAttributes bool
	// Promise is nil or as [Promise] says; only drivers that know the version
	// before the effect call it.
	Promise Promise
}

// DeleteRequest asks to delete one secret.
type DeleteRequest struct {
	Path      string
	IfVersion string
}

// Patcher changes some fields of a secret without reading the others. The
// request's Value holds the fields to set and Drop those to remove.
type Patcher interface {
	Patch(ctx context.Context, req WriteRequest) (Meta, error)
}

// Attributer changes attributes without touching the value or its version. A
// driver without it keeps no attributes at all.
type Attributer interface {
	SetAttributes(ctx context.Context, path, ifVersion string, a Attributes) (Meta, error)
}

// Lister returns the metadata of everything below the provider's prefix, by
// path, soft-deleted secrets included, without reading a value. An incomplete
// answer is an error.
type Lister interface {
	List(ctx context.Context) (map[string]Meta, error)
}

// Restorer brings a soft-deleted secret back. The live version is then the one
// that was deleted.
type Restorer interface {
	Undelete(ctx context.Context, path string) (Meta, error)
}

// Purger destroys for good what a delete left behind.
type Purger interface {
	// Purge destroys every version of the soft-deleted secret whose version is
	// ifVersion. What is live, or has another version, is [Conflict]; missing is
	// no error.
	Purge(ctx context.Context, path, ifVersion string) error
}

// Dater tells when a version was made that may not be the current one: numbers
// repeat where a backup was put back.
type Dater interface {
	// VersionCreated returns when, by the platform's clock; missing is
	// [NotFound].
	VersionCreated(ctx context.Context, path, version string) (time.Time, error)
}

// Prober looks at single paths where Inspect may answer from a list, which can be
// filtered or late: what it does not find is not there, or hidden on purpose.
type Prober interface {
	// Probe answers like [Driver.Inspect].
	Probe(ctx context.Context, paths []string) (map[string]Meta, error)
}

// Predictor knows the version that a write makes from the one that it replaces
// under its precondition (Vault counts up), so that after a crash the version
// that is live tells whose write it is.
type Predictor interface {
	// NextVersion is pure; base "" is a secret that does not exist.
	NextVersion(base string) string
}

// Incarnator tells a container from another of the same name, where an
// [Identity] stays when its content is thrown away (a mount that was deleted
// and made again).
type Incarnator interface {
	// Incarnation is "" while the container does not exist.
	Incarnation(ctx context.Context) (string, error)
}

// Operation is one step of a batch; exactly one of the requests is set.
type Operation struct {
	Write  *WriteRequest
	Patch  *WriteRequest
	Delete *DeleteRequest
	Object *ObjectRequest
	// Needs are the positions of operations of the same batch, all before this
	// one, that must succeed first: their values are part of this one's.
	Needs []int
}

// Result is what became of one [Operation].
type Result struct {
	Meta   Meta   // of a write or patch
	Object Object // of an object operation
	// Moved holds the new metadata of secrets outside the batch whose version
	// or envelope changed with it though their value did not (a sops file that
	// gets a new data key, or another reader). Each is told once per batch.
	Moved map[string]Meta
	Err   error
}

// Batch is a set of operations on one container.
type Batch struct {
	Container string
	Ops       []Operation
	Promise   Promise
	// Known are the recorded versions of secrets in the container that are not
	// in the batch, by path. Where the container is written anew under another
	// key, Promise and Result.Moved name those whose live version is the
	// recorded one, and no others: what somebody else wrote stays somebody
	// else's.
	Known map[string]string
}

// BatchWriter writes all changes of one container (a file, an object with many
// keys) at once. Operations of a batch succeed or fail one by one where a
// precondition fails, and together where the container cannot be written.
type BatchWriter interface {
	// Container returns the container that path lies in. It is pure.
	Container(kind, path string) string
	// WriteBatch returns exactly one result per operation, in order.
	WriteBatch(ctx context.Context, b Batch) []Result
}
