package cli

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/cofferhq/coffer/providers"
	"github.com/cofferhq/coffer/state"
	"github.com/cofferhq/coffer/state/remote"
)

// backendReport is what init found out about a shared state's store.
type backendReport struct {
	Place  string         `json:"place"`
	Serial uint64         `json:"serial"` // 0 where there is no state yet
	Checks []backendCheck `json:"checks"`
}

// backendCheck is one condition that the store was tried for.
type backendCheck struct {
	Name   string `json:"name"`
	Held   bool   `json:"held"`
	Needed bool   `json:"needed"`
	Detail string `json:"detail,omitempty"`
}

// initBackend proves that the store of a shared state enforces its conditions,
// and finds out whether there is a state.
func (inv *invocation) initBackend(ctx context.Context, r *initReport, here *initFound) error {
	if !here.shared {
		return nil
	}
	w, err := inv.openStateless(ctx, providers.PhaseApply)
	if err != nil {
		return err
	}
	store, ok := w.backend.(*remote.Store)
	if !ok { // -state names a file
		return nil
	}
	report := &backendReport{Place: store.Path(), Checks: []backendCheck{}}
	checks, err := store.Prove(ctx)
	if err != nil {
		return err
	}
	for _, c := range checks {
		report.Checks = append(report.Checks, backendCheck(c))
	}
	switch s, err := store.Read(ctx); {
	case err == nil:
		here.kept, report.Serial = true, s.Serial
	case !errors.Is(err, state.ErrNotExist):
		return err
	default:
		if path := inv.leftBehind(ctx, here.project); path != "" {
			r.Next = append(r.Next, "Bring the state of this project, which is in "+path+", to the backend: coffer state migrate -from local")
		}
	}
	r.Backend = report
	return nil
}

// print writes to w, which keeps its error.
func (b *backendReport) print(w io.Writer) {
	what := "no state yet"
	if b.Serial > 0 {
		what = fmt.Sprintf("serial %d", b.Serial)
	}
	fmt.Fprintf(w, "The state is kept at %s, %s.\n  Its conditional writes were tried, and hold.\n", b.Place, what)
	for _, c := range b.Checks {
		if !c.Held {
			fmt.Fprintf(w, "  It does not enforce a %s (%s). Nothing of ours depends on that.\n", c.Name, c.Detail)
		}
	}
}
