package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/hcl/v2"

	"github.com/cofferhq/coffer/lang"
	"github.com/cofferhq/coffer/lang/addr"
	"github.com/cofferhq/coffer/planner"
	"github.com/cofferhq/coffer/planner/fingerprint"
	"github.com/cofferhq/coffer/providers"
	"github.com/cofferhq/coffer/state"
)

const (
	stateFile   = "coffer.state.json"
	keyFile     = "coffer.fingerprint.key"
	keyVariable = "COFFER_FINGERPRINT_KEY"

	stateVariable = "COFFER_STATE" // what -state is where it is not given
)

// workspace is a configuration with its state and its stores, opened for one
// command: what lies between the arguments and the planner.
type workspace struct {
	inv      *invocation
	cfg      *lang.Config
	blocks   []decodedProvider
	kept     keptState
	backend  stateBackend
	opened   []*providers.Provider
	session  state.Session // nil without the lock
	snapshot *state.Snapshot
	stores   planner.Stores
	desired  *planner.Desired
	inputs   inputs
	key      fingerprint.Key
	withhold bool // as in [opening]
	log      *slog.Logger
	phase    providers.Phase
	patience time.Duration        // for a store that does not answer; 0 is that of the providers
	reason   string               // why a person asked for this, for the audit log
	leases   []planner.Diagnostic // last of the plan's: identities that end before its apply
	newer    uint64               // the serial that was seen of a state newer than this one; 0 is none
	blind    bool                 // what was seen of this state cannot be read or kept
}

// opening says what a workspace is opened for.
type opening struct {
	// operation takes the state lock, which close releases; with "" the state is
	// only read.
	operation string
	// phase is the identity that the providers use where they have several; ""
	// is that of an apply where there is an operation, else that of a plan.
	phase providers.Phase
	// prefetch asks the stores while the state is read; not under a lock, which
	// another run may hold for long.
	prefetch bool
	// withhold leaves supplied values and the fingerprint key alone: what is shown
	// to others must not let the author of a pull request test guesses.
	withhold bool
	// edit adds to the configuration what the command line asks for beyond it.
	edit func(*lang.Config)
}

func (o opening) phased() providers.Phase {
	switch {
	case o.phase != "":
		return o.phase
	case o.operation != "":
		return providers.PhaseApply
	}
	return providers.PhasePlan
}

// openWorkspace opens the workspace of the configuration directory for an
// operation, or with "" to look at it.
func (inv *invocation) openWorkspace(ctx context.Context, operation string) (*workspace, error) {
	return inv.open(ctx, opening{operation: operation})
}

func (inv *invocation) open(ctx context.Context, o opening) (*workspace, error) {
	w, list, err := inv.openUnconnected(ctx, o)
	if err != nil {
		return nil, err
	}
	if o.edit != nil {
		o.edit(w.cfg)
	}
	if err := w.connect(ctx, list); err != nil {
		return nil, errors.Join(err, w.close())
	}
	return w, nil
}

// openUnconnected loads configuration and state and opens the providers, but
// does not ask yet who they are.
func (inv *invocation) openUnconnected(ctx context.Context, o opening) (*workspace, []*providers.Provider, error) {
	w, err := inv.openStateless(ctx, o.phased())
	if err != nil {
		return nil, nil, err
	}
	if w.withhold = o.withhold; !w.withhold {
		if w.key, err = inv.fingerprintKey(); err != nil {
			return nil, nil, err
		}
	}
	list, err := w.openProviders(ctx)
	if err != nil {
		return nil, nil, err
	}
	if o.prefetch {
		for _, p := range list {
			p.Prefetch(ctx)
		}
	}
	if err := w.loadState(ctx, o.operation); err != nil {
		return w, list, err
	}
	recorded, err := w.openRecorded(ctx)
	return w, append(list, recorded...), err
}

// openStateless loads a workspace for what the configuration alone answers.
func (inv *invocation) openStateless(ctx context.Context, phase providers.Phase) (*workspace, error) {
	log, err := inv.logger()
	if err != nil {
		return nil, err
	}
	cfg, blocks, err := inv.loadConfig()
	if err != nil {
		return nil, err
	}
	w := &workspace{
		inv: inv, cfg: cfg, blocks: blocks.providers, kept: blocks.state, log: log, phase: phase,
		inputs: inputs{dir: inv.dir(), vars: inv.Environ.Vars},
	}
	w.backend, err = inv.openState(ctx, cfg, blocks.state, func(ref string) (*providers.Provider, error) { return w.provider(ctx, ref) })
	return w, err
}

// unconnected makes stores of providers that nobody asked who they are: enough
// for what is told from the configuration alone.
func (w *workspace) unconnected(list []*providers.Provider) planner.Stores {
	stores := planner.Stores{}
	for _, p := range list {
		identity := "unconnected:" + p.Ref() // two stores are two places
		if w.snapshot != nil && w.snapshot.Providers[p.Ref()] != "" {
			identity = w.snapshot.Providers[p.Ref()]
		}
		stores[p.Ref()] = &planner.Store{Provider: p, Identity: identity}
	}
	return stores
}

// close releases the lock, even when the run was interrupted.
func (w *workspace) close() error {
	if w.session == nil {
		return nil
	}
	return w.session.Unlock(context.Background())
}

// statePath returns the path of the state: -state, COFFER_STATE, what the
// configuration says, or the default.
func (inv *invocation) statePath(configured string) string {
	switch {
	case inv.state != "":
		return inv.path(inv.state)
	case configured != "":
		return inv.path(configured)
	}
	return inv.path(stateFile)
}

func (inv *invocation) stateFile(path, project string) *state.File {
	return state.OpenFile(path, state.FileOptions{Project: project, Moved: inv.moved, At: inv.Seams.At})
}

// fingerprintKey returns the key at hand; without one nothing is compared.
func (inv *invocation) fingerprintKey() (fingerprint.Key, error) {
	if text := inv.Getenv(keyVariable); text != "" {
		key, err := fingerprint.ParseKey(text)
		if err != nil {
			return key, fmt.Errorf("%s: %w", keyVariable, err)
		}
		return key, nil
	}
	key, err := fingerprint.Load(inv.path(keyFile))
	if errors.Is(err, fs.ErrNotExist) {
		return fingerprint.Key{}, nil
	}
	return key, err
}

func (w *workspace) loadState(ctx context.Context, operation string) error {
	var err error
	if operation == "" {
		w.snapshot, err = w.backend.Read(ctx)
	} else {
		if w.session, err = w.inv.lock(ctx, w.backend, operation); err != nil {
			return err
		}
		w.snapshot, err = w.session.Load(ctx)
	}
	project := w.cfg.Settings.Project
	switch {
	case errors.Is(err, state.ErrNotExist):
		w.snapshot, err = state.New(project, state.Lineage(project)), w.forgottenMigration(ctx, operation)
	case err == nil:
		err = w.snapshot.CheckProject(project)
	}
	if err != nil {
		return errors.Join(err, w.close())
	}
	for _, warning := range w.backend.Warnings() {
		w.inv.warn(hcl.Diagnostics{{Severity: hcl.DiagWarning, Summary: warning}}, nil)
	}
	w.log.Log(ctx, levelTrace, "state", "serial", w.snapshot.Serial, "secrets", len(w.snapshot.Entries))
	return nil
}

func (w *workspace) connect(ctx context.Context, list []*providers.Provider) error {
	var diags []planner.Diagnostic
	w.stores, diags = planner.Connect(ctx, list, w.snapshot)
	if err := w.check(diags); err != nil {
		return err
	}
	w.lookForNewer(ctx)
	return w.desire()
}

// desire multiplies the configuration by the stores.
func (w *workspace) desire() error {
	var diags []planner.Diagnostic
	w.desired, diags = planner.Desire(w.cfg, w.stores)
	return w.check(diags)
}

// check shows warnings and returns errors.
func (w *workspace) check(list []planner.Diagnostic) error {
	diags := fromPlanner(list, w.cfg.Files)
	if diags.HasErrors() {
		return &diagnosticsError{diags, w.cfg.Files}
	}
	w.inv.warn(diags, w.cfg.Files)
	return nil
}

// plan looks at the stores and decides what apply would do.
func (w *workspace) plan(ctx context.Context, refresh bool, opts planner.DiffOptions) (*planner.Plan, error) {
	var live *planner.Live
	var err error
	if !refresh {
		live = planner.Recorded(w.snapshot)
	} else if live, err = w.refresh(ctx); err != nil {
		return nil, err
	}
	opts.Now = w.inv.Now()
	if opts.Verified, err = w.compareAccepted(ctx, live, opts); err != nil {
		return nil, err
	}
	opts.Newer = w.newer
	plan := planner.Diff(w.desired, w.snapshot, live, w.stores, opts)
	plan.ValuesRead = w.valuesRead()
	plan.Diagnostics = append(w.inv.planWarnings(), plan.Diagnostics...)
	if w.newer > 0 {
		plan.Diagnostics = append(plan.Diagnostics, w.older())
	}
	for i := range plan.Changes {
		c := &plan.Changes[i]
		c.Detail = w.hintApart(c.Detail, live, c.Location)
	}
	if refresh && doable(plan) > 0 {
		plan.Notes = append(plan.Notes, planner.NotRestarted(ctx, plan, w.desired, w.stores)...)
	}
	if refresh && doable(plan) > 0 && plan.At.IsZero() {
		w.leases = planner.LeaseWarnings(ctx, plan, w.stores, opts.Now)
		plan.Diagnostics = append(plan.Diagnostics, w.leases...)
	}
	w.log.Log(ctx, levelTrace, "plan", "changes", len(plan.Changes))
	return plan, nil
}

// hintApart puts the next step of an error that a store gave for a place on a
// line of its own.
func (w *workspace) hintApart(detail string, live *planner.Live, at planner.Location) string {
	store := w.stores[at.Provider]
	if store == nil || detail == "" {
		return detail
	}
	err := live.At(addr.Location{Provider: store.Identity, Kind: at.Kind, Path: at.Path}).Err
	if e, ok := errors.AsType[*providers.Error](err); ok && e.Hint != "" {
		return strings.Replace(detail, "; "+e.Hint, "\nNext: "+e.Hint, 1)
	}
	return detail
}

// compareAccepted reads and compares the values that a person accepts after
// their whole file was encrypted anew: only that shows whether they changed.
// Without a fingerprint key nothing is read.
func (w *workspace) compareAccepted(ctx context.Context, live *planner.Live, opts planner.DiffOptions) (planner.Verified, error) {
	accepted := func(a addr.Address) bool {
		return slices.ContainsFunc(opts.Settle, func(s planner.Settlement) bool {
			return s.Kind == planner.SettleAccept && s.Address.Contains(a)
		})
	}
	anew := planner.Reencrypted(w.desired, w.snapshot, live, w.stores)
	maps.DeleteFunc(anew, func(a addr.Address, _ bool) bool { return !accepted(a) })
	if len(anew) == 0 || w.key.IsZero() {
		return nil, nil
	}
	log, err := w.auditor()
	if err != nil {
		return nil, err
	}
	v := planner.Verifier{Stores: w.stores, Key: w.key, Audit: log}
	verified, err := v.Verify(ctx, w.snapshot, func(a addr.Address) bool { return anew[a] })
	if err != nil {
		return nil, fmt.Errorf("the values to accept could not be compared with what was written: %w", err)
	}
	return verified, nil
}

func (w *workspace) refresh(ctx context.Context) (*planner.Live, error) {
	r := planner.Refresher{Stores: w.stores, Wait: w.inv.waiting()}
	if !w.withhold {
		r.Compare = &planner.Comparer{Inputs: w.inputs, Key: w.key}
	}
	return r.Refresh(ctx, w.desired, w.snapshot)
}

// valuesRead counts the values that were read from all stores.
func (w *workspace) valuesRead() int {
	n := 0
	for _, s := range w.stores {
		n += s.Reads()
	}
	return n
}

// waiting returns what waits.
func (inv *invocation) waiting() func(context.Context, time.Duration) error {
	if wait := inv.Seams.Wait; wait != nil {
		return wait
	}
	return sleep
}

// sleep waits for d or until ctx ends.
func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// addresses parses addresses from the command line.
func addresses(texts []string) ([]addr.Address, error) {
	var out []addr.Address
	for _, text := range texts {
		a, err := addr.Parse(text)
		if err != nil {
			return nil, usageError{err}
		}
		out = append(out, a)
	}
	return out, nil
}
