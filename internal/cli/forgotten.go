package cli

import (
	"context"
	"errors"
	"fmt"

	"github.com/hashicorp/hcl/v2"

	"github.com/cofferhq/coffer/lang"
	"github.com/cofferhq/coffer/state"
)

// forgottenMigration looks whether the state that is not at the shared place
// lies in the file that was used before: a run that goes on without it would
// begin anew beside it.
func (w *workspace) forgottenMigration(ctx context.Context, operation string) error {
	if !w.shared() {
		return nil
	}
	path := w.inv.leftBehind(ctx, w.cfg.Settings.Project)
	if path == "" {
		return nil
	}
	text := fmt.Sprintf("%s has no state yet, and %s has the one of this project", w.backend.Path(), path)
	const next = "bring it there with coffer state migrate -from local, or move the file away if that state is not needed"
	if operation != "" {
		return fmt.Errorf("%s: %s", text, next)
	}
	w.inv.warn(hcl.Diagnostics{{Severity: hcl.DiagWarning, Summary: text, Detail: "Before you apply, " + next + "."}}, nil)
	return nil
}

// leftBehind returns the default state file where it has a state of this
// project that was not migrated, else "". One that cannot be read may be that.
func (inv *invocation) leftBehind(ctx context.Context, project string) string {
	path := inv.path(lang.DefaultStatePath)
	s, err := state.OpenFile(path, state.FileOptions{Project: project}).Read(ctx)
	var (
		moved   *state.MovedError
		another *state.ProjectError
	)
	switch {
	case errors.Is(err, state.ErrNotExist), errors.As(err, &moved), errors.As(err, &another), err == nil && len(s.Entries) == 0:
		return ""
	}
	return path
}
