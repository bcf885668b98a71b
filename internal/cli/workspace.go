package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"os/user"
	"slices"
	"strconv"
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
)

// workspace is a configuration with its state and its stores, opened for one
// command: what lies between the arguments and the planner.
type workspace struct {
	inv      *invocation
	cfg      *lang.Config
	blocks   []decodedProvider
	backend  *state.File
	session  state.Session // nil without the lock
	snapshot *state.Snapshot
	stores   planner.Stores
	desired  *planner.Desired
	inputs   inputs
	key      fingerprint.Key
	log      *slog.Logger
	reason   string // why a person asked for this, for the audit log
}

// openWorkspace opens the workspace of the configuration directory. With an
// operation ("apply") it takes the state lock, which close releases; with ""
// the state is only read.
func (inv *invocation) openWorkspace(ctx context.Context, operation string) (*workspace, error) {
	return inv.openWorkspaceWith(ctx, operation, func(*lang.Config) {})
}

// openWorkspaceWith lets edit add to the configuration what the command line
// asks for beyond it.
func (inv *invocation) openWorkspaceWith(ctx context.Context, operation string, edit func(*lang.Config)) (*workspace, error) {
	w, list, err := inv.openUnconnected(ctx, operation)
	if err != nil {
		return nil, err
	}
	edit(w.cfg)
	if err := w.connect(ctx, list); err != nil {
		return nil, errors.Join(err, w.close())
	}
	return w, nil
}

// openUnconnected loads configuration and state and opens the providers, but
// does not ask yet who they are.
func (inv *invocation) openUnconnected(ctx context.Context, operation string) (*workspace, []*providers.Provider, error) {
	log, err := inv.logger()
	if err != nil {
		return nil, nil, err
	}
	cfg, blocks, err := inv.loadConfig()
	if err != nil {
		return nil, nil, err
	}
	w := &workspace{
		inv: inv, cfg: cfg, blocks: blocks, log: log,
		backend: inv.stateFile(inv.statePath(cfg.Settings.StatePath), cfg.Settings.Project),
		inputs:  inputs{dir: inv.dir(), vars: inv.Environ.Vars},
	}
	if w.key, err = inv.fingerprintKey(); err != nil {
		return nil, nil, err
	}
	list, err := w.openProviders(ctx, blocks)
	if err != nil {
		return nil, nil, err
	}
	return w, list, w.loadState(ctx, operation)
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
	return state.OpenFile(path, state.FileOptions{Project: project, At: inv.Seams.At})
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

func (w *workspace) openProviders(ctx context.Context, blocks []decodedProvider) ([]*providers.Provider, error) {
	var list []*providers.Provider
	env := providers.Env{
		Dir: w.inv.dir(), Getenv: w.inv.Getenv, Now: w.inv.Now, Random: w.inv.Random, Project: w.cfg.Settings.Project,
	}
	for _, b := range blocks {
		driver, err := b.factory.Open(ctx, env, b.config)
		if err != nil {
			return nil, fmt.Errorf("provider %s: %w", b.block.Ref(), err)
		}
		list = append(list, providers.New(b.block.Ref(), driver, providers.Options{
			Parallelism: w.inv.parallelism, Now: w.inv.Now, Log: w.log,
		}))
	}
	return list, nil
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
		w.snapshot, err = state.New(project, state.Lineage(project)), nil
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

// lock takes the state lock, waiting as long as -lock-timeout says, and says
// for whom it waits.
func (inv *invocation) lock(ctx context.Context, backend state.Store, operation string) (state.Session, error) {
	who := inv.lockInfo(operation)
	try := func(wait time.Duration) (state.Session, error) {
		ctx, cancel := context.WithTimeout(ctx, wait)
		defer cancel()
		return backend.Lock(ctx, who)
	}
	session, err := try(0)
	var locked *state.LockedError
	if errors.As(err, &locked) && inv.lockTimeout > 0 {
		inv.say("Waiting up to %s: the state is locked by %s.", inv.lockTimeout, holder(locked.Holder))
		session, err = try(inv.lockTimeout)
	}
	if errors.As(err, &locked) && locked.Holder.ID != "" {
		return nil, fmt.Errorf("%w; if it hangs and cannot be stopped: coffer state unlock %s", err, locked.Holder.ID)
	}
	return session, err
}

func holder(h state.LockInfo) string {
	if h.ID == "" {
		return "another process"
	}
	return fmt.Sprintf("%s (%s, process %d)", h.Who, h.Operation, h.PID)
}

// waitingStore is a store whose lock is waited for as -lock-timeout says.
type waitingStore struct {
	state.Store
	inv *invocation
}

func (s waitingStore) Lock(ctx context.Context, who state.LockInfo) (state.Session, error) {
	return s.inv.lock(ctx, s.Store, who.Operation)
}

// lockInfo says who asks for the lock, for people.
func (inv *invocation) lockInfo(operation string) state.LockInfo {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	return state.LockInfo{Operation: operation, Who: inv.user() + "@" + host, PID: os.Getpid(), Since: inv.Now().UTC()}
}

func (inv *invocation) user() string {
	for _, name := range []string{"USER", "LOGNAME", "USERNAME"} {
		if u := inv.Getenv(name); u != "" {
			return u
		}
	}
	if u, err := user.Current(); err == nil && u.Username != "" {
		return u.Username
	}
	return "uid" + strconv.Itoa(os.Getuid())
}

func (w *workspace) connect(ctx context.Context, list []*providers.Provider) error {
	var diags []planner.Diagnostic
	w.stores, diags = planner.Connect(ctx, list, w.snapshot)
	if err := w.check(diags); err != nil {
		return err
	}
	w.desired, diags = planner.Desire(w.cfg, w.stores)
	return w.check(diags)
}

// check shows warnings and returns errors.
func (w *workspace) check(list []planner.Diagnostic) error {
	diags := fromPlanner(list)
	if diags.HasErrors() {
		return &diagnosticsError{diags, w.cfg.Files}
	}
	w.inv.warn(diags, w.cfg.Files)
	return nil
}

// plan looks at the stores and decides what apply would do.
func (w *workspace) plan(ctx context.Context, refresh bool, opts planner.DiffOptions) (*planner.Plan, error) {
	live := planner.Recorded(w.snapshot)
	var err error
	if refresh {
		if live, err = w.refresh(ctx); err != nil {
			return nil, err
		}
	}
	opts.Now = w.inv.Now()
	if opts.Verified, err = w.compareAccepted(ctx, live, opts); err != nil {
		return nil, err
	}
	plan := planner.Diff(w.desired, w.snapshot, live, w.stores, opts)
	plan.ValuesRead = w.valuesRead()
	plan.Diagnostics = append(w.inv.planWarnings(), plan.Diagnostics...)
	w.log.Log(ctx, levelTrace, "plan", "changes", len(plan.Changes))
	return plan, nil
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
	r := planner.Refresher{
		Stores:  w.stores,
		Compare: &planner.Comparer{Inputs: w.inputs, Key: w.key},
		Wait:    sleep,
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

// backend returns the state of the configuration. With -state it needs no
// configuration that can be read; without it, a guess would be dangerous.
func (inv *invocation) backend() (*state.File, error) {
	cfg, _, err := inv.loadConfig()
	switch {
	case err == nil:
		return inv.stateFile(inv.statePath(cfg.Settings.StatePath), cfg.Settings.Project), nil
	case inv.state != "":
		return inv.stateFile(inv.statePath(""), ""), nil
	}
	return nil, err
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
