package providers

import (
	"context"
	"time"

	"github.com/cofferhq/coffer/providers/secret"
)

// Phase says what an identity is used for.
type Phase string

const (
	PhasePlan  Phase = "plan"  // plan, drift and whatever else only looks
	PhaseApply Phase = "apply" // everything that writes or reads a value
)

// Use is what a configuration can make a phase do with one secret.
type Use struct {
	Path string
	// Write: versions are made or deleted here. False where only the mark is
	// written, as for manual values.
	Write bool
	// Reads are the reasons for which an apply reads its value, none where it
	// never does.
	Reads []string
}

// Leaving is what the state has on a provider and the configuration does not: it
// is looked at, and an apply does what End says.
type Leaving struct {
	ObjectRef // Kind is "secret" for a secret
	End       End
	// Reads are the reasons for which an apply reads the value of a secret: it
	// lives on at another place.
	Reads []string
}

// End is what an apply does with something that leaves. It is a closed list.
type End string

const (
	EndLooked    End = "looked at" // nothing
	EndForgotten End = "forgotten" // our mark is taken off, where there is room for one
	EndDeleted   End = "deleted"   // it is deleted, but for an object that is Kept
	EndNamed     End = "named"     // it is deleted, because a removed block names it
)

// PermissionRequest says what an identity must be able to do on a provider.
type PermissionRequest struct {
	Phase   Phase
	Secrets []Use       // in path order
	Objects []ObjectRef // in order of kind and path
	// Leaving is in order of kind, path and end; what is named twice ends in
	// one way or the other.
	Leaving []Leaving
	// Watermark is the key by which a highest serial is kept here, see
	// [Watermarker]; "" is none.
	Watermark string
	// Keys are keys of the platform that encrypt the state, see [Cryptor].
	Keys []string
}

// Permission is one thing that an identity must be allowed.
type Permission struct {
	Path         string   // in the platform's own terms: "secret/metadata/shop/db"
	Capabilities []string // in the platform's own words
	Why          string   // for people, one line
}

// Permitter knows the least permissions that a configuration needs. It is pure.
type Permitter interface {
	// Permissions returns them in path order.
	Permissions(req PermissionRequest) []Permission
	// PermissionDocument writes permissions in the platform's native form,
	// ready to be given to its own tool, with each Why as a comment.
	PermissionDocument(req PermissionRequest, list []Permission) string
}

// FindingStatus is a closed list.
type FindingStatus string

const (
	FindingOK   FindingStatus = "ok"
	FindingWarn FindingStatus = "warning"
	FindingFail FindingStatus = "error"
)

// Finding is one thing that a doctor looked at.
type Finding struct {
	Subject string // "token", "clock", "secret/data/shop/db"
	Status  FindingStatus
	Text    string // what was found
	Next    string // what to do about it, "" where nothing is to be done
	// Sent are credentials that a server may have repeated in Text; [Provider]
	// takes them out.
	Sent []secret.Value
}

// Examiner looks at an instance for a person who asks what is wrong with it. It
// changes nothing, reads no value and goes on after the first failure.
type Examiner interface {
	Examine(ctx context.Context, needed []Permission) []Finding
}

// Lease says how long the identity in use lasts.
type Lease struct {
	Expires   time.Time // by this machine's clock; zero is never
	Renewable bool      // it is renewed while it is used
	Identity  string    // what to call it: "token of approle ci"
}

// Leaser tells how long the identity in use lasts.
type Leaser interface {
	Lease(ctx context.Context) (Lease, error)
}

// Closer gives back what a driver obtained for this run: a token that it signed
// in for. It is called once, at the end, and is best effort.
type Closer interface {
	Close(ctx context.Context) error
}
