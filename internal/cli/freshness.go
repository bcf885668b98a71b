package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/cofferhq/coffer/internal/durable"
	"github.com/cofferhq/coffer/planner"
	"github.com/cofferhq/coffer/state"
	"github.com/cofferhq/coffer/state/remote"
)

// A shared state can be put back from an older copy by whoever keeps the
// bucket, and encryption does not help against that. So the highest serial that
// was seen is kept where the state is not: in a file of this user, and in the
// store of the secrets where that has room for a number. From a state that is
// older nothing is deleted, since what it has too much of may be in use.

// seenState is the file of one state.
type seenState struct {
	Project string `json:"project"`
	Place   string `json:"place"`
	Serial  uint64 `json:"serial"`
}

// lookForNewer finds out whether a newer state than this one was seen. A mark
// that cannot be read is no reason to stop: the plan says so.
func (w *workspace) lookForNewer(ctx context.Context) error {
	if _, shared := w.backend.(*remote.Store); !shared {
		return nil
	}
	seen, err := w.seen()
	if err != nil {
		return err
	}
	if ref := w.watermarked(); ref != "" {
		mark, err := w.stores[ref].Watermark(ctx, w.cfg.Settings.Project)
		if err != nil {
			w.inv.note("whether this state is the newest was not compared with the mark on "+ref, err.Error())
		}
		seen = max(seen, mark)
	}
	if seen > w.snapshot.Serial {
		w.newer = seen
		if w.session != nil {
			w.snapshot.Serial = seen // what is saved goes on from there
		}
		return nil
	}
	return w.remember(w.snapshot.Serial)
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

// keepWhatIsNewer takes the deletes out of a plan that was made from an older
// state than one that was seen.
func (w *workspace) keepWhatIsNewer(plan *planner.Plan) {
	if w.newer == 0 {
		return
	}
	plan.Diagnostics = append(plan.Diagnostics, planner.Diagnostic{
		Severity: planner.SeverityWarning,
		Summary:  fmt.Sprintf("this state is older than one that was seen: serial %d was saved", w.newer),
		Detail: "Was " + w.backend.Path() + " restored from a copy? Put the newest version back if the store still has it (coffer state history). " +
			"Else an apply adopts what is newer in the stores and goes on; until then nothing is deleted.",
	})
	plan.Changes = slices.DeleteFunc(plan.Changes, func(c planner.Change) bool {
		if c.Action != planner.Delete {
			return false
		}
		plan.Notes = append(plan.Notes, planner.Note{Address: c.Address, Reason: planner.ReasonStateBehind, Text: "not deleted: the state is older than one that was seen", Range: c.Range})
		return true
	})
}

// markFresh keeps the serial that a run saved. What fails here only makes the
// next check weaker, so it is told and no more.
func (w *workspace) markFresh(ctx context.Context) {
	if _, shared := w.backend.(*remote.Store); !shared || w.snapshot.Serial == 0 {
		return
	}
	err := w.remember(w.snapshot.Serial)
	if ref := w.watermarked(); ref != "" {
		err = errors.Join(err, w.stores[ref].SetWatermark(context.WithoutCancel(ctx), w.cfg.Settings.Project, w.snapshot.Serial))
	}
	if err != nil {
		w.inv.note("the serial of this state was not kept, by which the next run sees whether it is the newest", err.Error())
	}
}

// seenPath is the file that keeps the highest serial seen of this state, ""
// where the user has no place for it.
func (w *workspace) seenPath() string {
	base := w.inv.Getenv("XDG_STATE_HOME")
	if base == "" {
		home := w.inv.Getenv("HOME")
		if home == "" {
			return ""
		}
		base = filepath.Join(home, ".local", "state")
	}
	return filepath.Join(base, "coffer", "seen", state.Lineage(w.cfg.Settings.Project)+".json")
}

func (w *workspace) seen() (uint64, error) {
	path := w.seenPath()
	if path == "" {
		return 0, nil
	}
	data, _, err := durable.Read(durable.OS(), path, maxInput)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	var s seenState
	if err := json.Unmarshal(data, &s); err != nil {
		return 0, fmt.Errorf("%s is not what coffer wrote there: remove it", path)
	}
	if s.Place != w.backend.Path() { // another environment of the same project, or one that moved
		return 0, nil
	}
	return s.Serial, nil
}

// remember keeps the serial as seen. It never goes down.
func (w *workspace) remember(serial uint64) error {
	path := w.seenPath()
	if path == "" || serial == 0 {
		return nil
	}
	if seen, err := w.seen(); err != nil || seen >= serial {
		return err
	}
	data, err := json.Marshal(seenState{Project: w.cfg.Settings.Project, Place: w.backend.Path(), Serial: serial})
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	return durable.Replace(durable.OS(), path, append(data, '\n'), 0o600, nil)
}
