package planner

import (
	"context"
	"errors"
	"fmt"

	"github.com/cofferhq/coffer/lang/addr"
	"github.com/cofferhq/coffer/providers"
)

// Why a purge is refused; see [PurgeError].
var (
	ErrNothingToPurge = errors.New("nothing is there")
	ErrNotDeleted     = errors.New("it is not deleted")
	ErrNotOurs        = errors.New("it does not carry this project's mark")
)

// PurgeError says why a secret is not destroyed for good. It wraps one of the
// errors above.
type PurgeError struct {
	Store, Path string
	Err         error
	Next        string // what to do about it
}

func (e *PurgeError) Error() string {
	return fmt.Sprintf("%s on %s is left alone: %v; %s", e.Path, e.Store, e.Err, e.Next)
}

func (e *PurgeError) Unwrap() error { return e.Err }

// Purge destroys for good what Coffer deleted at a path and the store still
// keeps. It returns a [*PurgeError] for whatever is live or not this project's,
// a [*providers.Error] of the store, or the error of the audit log, without
// whose record nothing is destroyed. audit nil keeps no record.
func Purge(ctx context.Context, store *Store, path, project string, audit Auditor) error {
	switch {
	case store.Err != nil:
		return store.Err
	case !store.CanPurge():
		return store.Purge(ctx, path, "") // says so
	}
	found, err := store.Inspect(ctx, []string{path})
	var partial *providers.PartialError
	if errors.As(err, &partial) && partial.Paths[path] != nil {
		err = partial.Paths[path]
	}
	if err != nil {
		return err
	}
	meta, exists := found[path]
	refuse := func(why error, next string) error {
		return &PurgeError{Store: store.Ref(), Path: store.Written(path), Err: why, Next: next}
	}
	mark := meta.Attributes.Mark
	switch {
	case !exists:
		return refuse(ErrNothingToPurge, "look at the path")
	case mark.Project != project && mark.Project != "":
		return refuse(ErrNotOurs, fmt.Sprintf("project %q has to do it", mark.Project))
	case mark.Project != project:
		return refuse(ErrNotOurs, "whoever made it has to do it")
	case !meta.IsDeleted():
		return refuse(ErrNotDeleted, "take it out of the configuration and apply first")
	}
	if audit != nil {
		at := Location{Provider: store.Ref(), Kind: addr.KindSecret, Path: path}
		if err := audit.Record(ctx, AuditEvent{Action: "purge", Location: at, Version: meta.Version}); err != nil {
			return fmt.Errorf("not done, because the audit record could not be written: %w", err)
		}
	}
	return store.Purge(ctx, path, meta.Version)
}
