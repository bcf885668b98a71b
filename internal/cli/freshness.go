package cli

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/hashicorp/hcl/v2"

	"github.com/cofferhq/coffer/planner"
	"github.com/cofferhq/coffer/state"
	"github.com/cofferhq/coffer/state/remote"
)

// A shared state can be put back from an older copy by whoever keeps the
// bucket, and encryption does not help against that. So the highest serial that
// was seen is kept where the state is not: in a file of this user, and in the
// store of the secrets where that has room for a number. From a state that is
// older nothing is deleted, since what it has too much of may be in use.
//
// Neither of the two is needed to go on: what fails with them makes the check
// weaker, so it is told and no more.

// shared reports whether the state is one that a team shares.
func (w *workspace) shared() bool {
	_, ok := w.backend.(*remote.Store)
	return ok
}

// lookForNewer finds out whether a newer state than this one was seen. Under
// the lock, what is saved then goes on above that one.
func (w *workspace) lookForNewer(ctx context.Context) {
	if !w.shared() {
		return
	}
	file := w.seenFile()
	seen, err := file.highest()
	if ref := w.watermarked(); ref != "" {
		mark, err := w.stores[ref].Watermark(ctx, w.watermarkKey())
		if err != nil {
			w.inv.note("whether this state is the newest was not compared with the mark on "+ref, err.Error())
		}
		seen = max(seen, mark)
	}
	if seen <= w.snapshot.Serial && err == nil {
		err = file.raise(w.snapshot.Serial)
	}
	w.blind = err != nil
	w.inv.noteSeen(err)
	if seen <= w.snapshot.Serial {
		return
	}
	w.newer = seen
	if w.session != nil {
		w.snapshot.Serial = seen
		w.snapshot.Replayed = true // a save is worth it though nothing changes
	}
}

// watermarked is the store that keeps the mark: the first that has room.
func (w *workspace) watermarked() string {
	for _, ref := range w.stores.Refs() {
		if s := w.stores[ref]; s.Err == nil && s.KeepsWatermarks() {
			return ref
		}
	}
	return ""
}

// watermarkKey tells apart the states of one project, such as one for each
// environment.
func (w *workspace) watermarkKey() string {
	sum := sha256.Sum256([]byte(w.backend.Path()))
	return w.cfg.Settings.Project + "-" + hex.EncodeToString(sum[:6])
}

// older says that this state is older than one that was seen.
func (w *workspace) older() planner.Diagnostic {
	return planner.Diagnostic{
		Severity: planner.SeverityWarning,
		Summary:  olderText(w.newer),
		Detail: "Was " + w.backend.Path() + " restored from a copy? Put the newest version back if the store still has it (coffer state history). " +
			"Else an apply adopts what is newer in the stores and goes on; until then nothing is deleted.",
	}
}

func olderText(seen uint64) string {
	return fmt.Sprintf("this state is older than one that was seen: serial %d was saved", seen)
}

// mayDelete refuses a plan with deletes beside a state that is older than one
// that was seen, whoever made the plan and confirmed it.
func (w *workspace) mayDelete(plan *planner.Plan) error {
	deletes := 0
	for i := range plan.Changes {
		if plan.Changes[i].Action == planner.Delete {
			deletes++
		}
	}
	if w.newer == 0 || deletes == 0 {
		return nil
	}
	return fmt.Errorf("%s, so nothing is deleted on its word, and the plan has %s; nothing was changed: "+
		"put the newest version of %s back if the store still has it (coffer state history), "+
		"else run coffer apply without a plan, which adopts what is newer and deletes nothing, then plan again",
		olderText(w.newer), count(deletes, "delete"), w.backend.Path())
}

// markFresh keeps the serial that a run saved.
func (w *workspace) markFresh(ctx context.Context) {
	if !w.shared() || w.snapshot.Serial == 0 {
		return
	}
	var err error
	if !w.blind { // else it was told
		err = w.seenFile().raise(w.snapshot.Serial)
	}
	if ref := w.watermarked(); ref != "" {
		err = errors.Join(err, w.stores[ref].SetWatermark(context.WithoutCancel(ctx), w.watermarkKey(), w.snapshot.Serial))
	}
	w.inv.noteSeen(err)
}

// noteSeen tells what went wrong with the serials that were seen.
func (inv *invocation) noteSeen(err error) {
	if err == nil {
		return
	}
	inv.note("the serial of this state was not kept or compared, by which a run sees whether it is the newest", err.Error())
}

// knowingStore is a state whose lock is waited for as -lock-timeout says, and
// whose sessions know which serial was seen of it.
type knowingStore struct {
	stateBackend
	inv  *invocation
	seen seenFile
}

func (w *workspace) knowing() knowingStore { return knowingStore{w.backend, w.inv, w.seenFile()} }

// Lock implements [state.Store].
func (s knowingStore) Lock(ctx context.Context, who state.LockInfo) (state.Session, error) {
	session, err := s.inv.lock(ctx, s.stateBackend, who.Operation)
	if err != nil {
		return nil, err
	}
	return knowing{session, s.inv, s.seen}, nil
}

// knowing is a session for what changes the state without a plan: what it saves
// goes on above the highest serial that was seen.
type knowing struct {
	state.Session
	inv  *invocation
	seen seenFile
}

// Save implements [state.Session].
func (k knowing) Save(ctx context.Context, s *state.Snapshot) error {
	seen, err := k.seen.highest()
	k.inv.noteSeen(err)
	if seen > s.Serial {
		k.inv.warn(hcl.Diagnostics{{
			Severity: hcl.DiagWarning, Summary: olderText(seen),
			Detail: fmt.Sprintf("It is saved above that one. If %s was restored from a copy by mistake, coffer state history lists the newer ones.", k.seen.place),
		}}, nil)
		s.Serial = seen
	}
	if err := k.Session.Save(ctx, s); err != nil {
		return err
	}
	if err == nil {
		k.inv.noteSeen(k.seen.raise(s.Serial))
	}
	return nil
}
