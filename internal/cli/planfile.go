package cli

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/cofferhq/coffer/internal/durable"
	"github.com/cofferhq/coffer/lang"
	"github.com/cofferhq/coffer/planner"
	"github.com/cofferhq/coffer/providers/sops"
)

// maxPlanFile is above every plan that coffer writes.
const maxPlanFile = 64 << 20

// savePlan writes a plan file. It holds no value, but a plan that others could
// write would be theirs.
func (inv *invocation) savePlan(plan *planner.Plan, file string) error {
	if hasErrors(plan.Diagnostics) {
		return errors.New("a plan with errors is not saved: mend them and plan again")
	}
	data, err := plan.Encode()
	if err != nil {
		return err
	}
	path := inv.path(file)
	if err := durable.Replace(durable.OS(), path, data, 0o600, nil); err != nil {
		return err
	}
	inv.say("Saved in %s, digest %s.", path, plan.Digest())
	return nil
}

// lasting returns the plan without what holds for now alone: which identities
// end soon is looked up anew, and said, by the apply.
func (w *workspace) lasting(plan *planner.Plan) *planner.Plan {
	saved := *plan
	saved.Diagnostics = saved.Diagnostics[:len(saved.Diagnostics)-len(w.leases)]
	return &saved
}

// mayHold refuses a name for a plan file that is, or may become, something
// else: what is there is replaced only where it is a plan.
func (w *workspace) mayHold(file string) error {
	what := w.reserved(file)
	if what == "" {
		data, _, err := durable.Read(durable.OS(), resolved(w.inv.path(file)), maxPlanFile)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return nil
		case err != nil:
			return err
		case len(data) == 0 || bytes.HasPrefix(data, []byte(`{"plan_digest":`)):
			return nil
		}
		what = "there already and no plan"
	}
	return fmt.Errorf("a plan is not written to %s, which is %s; name another file, such as -out release.plan", file, what)
}

// reserved says what a file is, or may become, that no result is written to;
// "" for any other. A workspace that could not be opened knows less of that.
func (w *workspace) reserved(file string) string {
	path, statePath := resolved(w.inv.path(file)), resolved(w.inv.statePath(""))
	if w.cfg != nil {
		statePath = resolved(w.inv.statePath(w.cfg.Settings.StatePath))
	}
	if w.backend != nil {
		statePath = resolved(w.backend.Path())
	}
	own := map[string]string{
		statePath:                       "the state",
		resolved(w.inv.path(keyFile)):   "the fingerprint key",
		resolved(w.inv.path(rulesFile)): "the list of readers",
	}
	if w.cfg != nil && w.cfg.Settings.Audit != nil {
		own[resolved(w.inv.path(w.cfg.Settings.Audit.Path))] = "the audit log"
	}
	switch {
	case own[path] != "":
		return own[path]
	case filepath.Ext(path) == ".hcl":
		return "a name for configuration"
	case strings.HasPrefix(path, statePath+"."):
		return "what coffer keeps beside the state"
	}
	for _, b := range w.blocks {
		folder := storeFolder(b)
		if folder == "" {
			continue
		}
		rel, err := filepath.Rel(resolved(w.inv.path(folder)), path)
		if err == nil && rel != ".." && !strings.HasPrefix(rel, ".."+string(filepath.Separator)) {
			return "below the store " + b.block.Ref()
		}
	}
	return ""
}

// storeFolder returns the folder that a store keeps its files in, "" for one
// that keeps none here.
func storeFolder(b decodedProvider) string {
	if c, ok := b.config.(*sops.Config); ok {
		if c.Path == "" {
			return sops.DefaultPath
		}
		return c.Path
	}
	return ""
}

// resolved returns path without links, as far as it exists.
func resolved(path string) string {
	if abs, err := filepath.Abs(path); err == nil {
		path = abs
	}
	return lang.WithoutLinks(path)
}

// readPlan reads a plan file that nobody else can have written.
func readPlan(path string) (*planner.Plan, error) {
	data, info, err := durable.Read(durable.OS(), path, maxPlanFile)
	if err != nil {
		return nil, err
	}
	if runtime.GOOS != "windows" && info.Mode().Perm()&0o022 != 0 {
		return nil, fmt.Errorf("others can write the plan file %s (mode %04o), so it proves nothing; run chmod go-w on it after looking, or plan again",
			path, info.Mode().Perm())
	}
	plan, err := planner.DecodePlan(bytes.NewReader(data))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return plan, nil
}
