package planner

import (
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/cofferhq/coffer/lang/addr"
	"github.com/cofferhq/coffer/planner/fingerprint"
	"github.com/cofferhq/coffer/providers"
	"github.com/cofferhq/coffer/providers/secret"
	"github.com/cofferhq/coffer/state"
)

// Auditor keeps a record of every read and write of a value. A record is
// durable when Record returns; when it fails, the effect does not happen.
type Auditor interface {
	Record(ctx context.Context, e AuditEvent) error
}

// AuditEvent is one read or write of a value, about to happen.
type AuditEvent struct {
	Action   string // "read", "write", "delete", "purge", "reencrypt" (written anew under another key)
	Address  addr.Address
	Location Location
	Version  string
	Op       string
}

// Event is progress. Events come one at a time.
type Event struct {
	Kind    EventKind
	Change  *Change
	Done    int // changes finished so far, this one included
	Total   int
	Err     error
	Because string // of a skipped change
}

// EventKind is a closed list.
type EventKind int

const (
	EventDone EventKind = iota + 1
	EventFailed
	EventSkipped
)

// Applier carries a plan out. Its fields are set by the caller; Session is
// locked and Snapshot loaded from it.
type Applier struct {
	Desired  *Desired
	Stores   Stores
	Session  state.Session
	Snapshot *state.Snapshot
	Inputs   Inputs
	// Manual are the values that a person supplies in this run.
	Manual map[addr.Address]map[string]secret.Value
	Rand   io.Reader
	Now    func() time.Time
	Key    fingerprint.Key
	Audit  Auditor     // nil keeps no record
	Events func(Event) // nil tells nobody
	// SkipConflicts applies what still fits when something moved since the
	// plan; otherwise one refused change means that nothing is written.
	SkipConflicts bool
	// Saved is true for a plan that was loaded: open intents refuse it.
	Saved       bool
	Parallelism int // units at once; 0 is what the stores allow, at least 10
}

// Result is what became of a plan.
type Result struct {
	Outcomes    []ChangeResult // in the plan's order
	ValuesRead  int
	Interrupted bool
	Checks      []CheckState
}

// ChangeResult is what became of one change.
type ChangeResult struct {
	Change  *Change
	Err     error  // why it failed; nil when done or skipped
	Skipped string // why it was not tried
}

// Failed reports whether anything of the plan was not done.
func (r *Result) Failed() bool {
	return slices.ContainsFunc(r.Outcomes, func(c ChangeResult) bool { return c.Err != nil || c.Skipped != "" })
}

// RefusedError means that a plan, or some of its changes, no longer fits.
// Nothing was written.
type RefusedError struct {
	Reason  string // of the whole plan; else see Changes
	Changes []ChangeResult
}

func (e *RefusedError) Error() string {
	if e.Reason != "" {
		return e.Reason
	}
	first := e.Changes[0]
	if len(e.Changes) == 1 {
		return fmt.Sprintf("a change no longer fits, %s: %v; nothing was written: plan again, or apply the rest with -on-conflict skip", first.Change.Address, first.Err)
	}
	text := fmt.Sprintf("%d changes no longer fit; nothing was written: plan again, or apply the rest with -on-conflict skip", len(e.Changes))
	for _, c := range e.Changes {
		text += fmt.Sprintf("\n  %s: %v", c.Change.Address, c.Err)
	}
	return text
}

// MissingInputsError names the supplied values that the plan needs and that
// are not here. Nothing was written.
type MissingInputsError struct {
	Missing []string // "app.a.secret.b[\"dev\"]: from_env(\"X\") is not set"
}

func (e *MissingInputsError) Error() string {
	text := fmt.Sprintf("%d values that this plan needs are not here; nothing was written", len(e.Missing))
	if len(e.Missing) == 1 {
		text = "a value that this plan needs is not here; nothing was written"
	}
	for _, m := range e.Missing {
		text += "\n  " + m
	}
	return text
}

// run is one Apply under way.
type run struct {
	*Applier
	plan    *Plan
	changes []*Change // those to carry out, in plan order
	byKey   map[Key]int
	steps   []*step
	values  *resolver
	sealing map[addr.Location]Sealing // what the plan's sealed secrets are sealed with now
	journal *journal

	mu      sync.Mutex // guards what follows, and the snapshot
	results map[Key]*ChangeResult
	moved   map[addr.Location]providers.Meta // versions that came with another key
	done    int
}

// Apply does what the plan says, under its preconditions, and nothing else.
//
// It returns a [*RefusedError] or [*MissingInputsError] when nothing was
// written. Otherwise failures of single changes are in the Result, the state is
// saved, and the error is that of the journal or of the save. When ctx ends,
// nothing new is started, what runs is finished, and the state is saved.
func (a *Applier) Apply(ctx context.Context, p *Plan) (*Result, error) {
	r := &run{Applier: a, plan: p, byKey: map[Key]int{}, results: map[Key]*ChangeResult{}, moved: map[addr.Location]providers.Meta{}}
	if err := r.admit(); err != nil {
		return nil, err
	}
	r.choose()
	if err := r.stillFits(ctx); err != nil {
		return nil, err
	}
	r.values = newResolver(r)
	if err := r.values.gather(); err != nil {
		return nil, err
	}
	if len(r.changes) == 0 {
		var err error
		if r.Snapshot.Replayed { // what an interrupted run left is worth a save
			err = r.save(ctx)
		}
		return r.result(ctx), err
	}
	before := r.reads()
	if err := r.announce(ctx); err != nil {
		return nil, err
	}
	r.walk(ctx)
	err := r.journal.close()
	if saveErr := r.save(context.WithoutCancel(ctx)); saveErr != nil {
		_ = r.journal.keep() // the save says what is wrong
		if err == nil {
			err = saveErr
		}
	}
	result := r.result(ctx)
	result.ValuesRead = r.reads() - before
	return result, err
}

// admit refuses a plan that was made for something else.
func (r *run) admit() error {
	p := r.plan
	refuse := func(format string, args ...any) error {
		return &RefusedError{Reason: fmt.Sprintf(format, args...)}
	}
	switch {
	case p.FormatVersion != FormatVersion:
		return refuse("the plan has format %d, this coffer applies format %d: plan again", p.FormatVersion, FormatVersion)
	case p.Project != r.Desired.Project:
		return refuse("the plan is for project %q, this is %q", p.Project, r.Desired.Project)
	case p.Lineage != r.Snapshot.Lineage:
		return refuse("the plan was made for another state (lineage %s, here %s): plan again", p.Lineage, r.Snapshot.Lineage)
	case !p.Refreshed:
		return refuse("the plan was made without asking the stores: plan again without -refresh=false")
	case !p.At.IsZero():
		return refuse("the plan shows what will be due at %s: plan again without -at", p.At.UTC().Format(time.RFC3339))
	case r.Now().After(p.ExpiresAt):
		return refuse("the plan expired at %s: plan again", p.ExpiresAt.UTC().Format(time.RFC3339))
	}
	for _, d := range p.Diagnostics {
		if d.Severity == SeverityError {
			return refuse("the plan has errors: %s", d.Summary)
		}
	}
	for _, ref := range r.Stores.Refs() {
		if s := r.Stores[ref]; p.Providers[ref] != s.Identity {
			return refuse("provider %s is %q now, the plan was made for %q: plan again", ref, s.Identity, p.Providers[ref])
		}
	}
	if r.Saved {
		if err := r.admitSaved(); err != nil {
			return err
		}
		for _, e := range r.Snapshot.Entries {
			if e.Pending != nil && e.Location.Kind != KindRollout { // one owed is in the plan
				return refuse("an apply was interrupted and left %s open: run `coffer apply` to recover, then plan again", e.Address)
			}
		}
	}
	return nil
}

// choose takes the changes that do something.
func (r *run) choose() {
	for i := range r.plan.Changes {
		c := &r.plan.Changes[i]
		if c.Action != Conflict && c.Action != Unknown {
			r.byKey[c.Key()] = len(r.changes)
			r.changes = append(r.changes, c)
		}
	}
}

// drop takes a change out of the run.
func (r *run) drop(gone map[Key]bool) {
	kept := r.changes[:0:0]
	clear(r.byKey)
	for _, c := range r.changes {
		if !gone[c.Key()] {
			r.byKey[c.Key()] = len(kept)
			kept = append(kept, c)
		}
	}
	r.changes = kept
}

func (r *run) reads() int {
	n := 0
	for _, s := range r.Stores {
		n += s.Reads()
	}
	return n
}

// finished files what became of a change and tells it.
func (r *run) finished(c *Change, err error, skipped string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.results[c.Key()] = &ChangeResult{Change: c, Err: err, Skipped: skipped}
	r.done++
	if r.Events == nil {
		return
	}
	kind := EventDone
	switch {
	case err != nil:
		kind = EventFailed
	case skipped != "":
		kind = EventSkipped
	}
	r.Events(Event{Kind: kind, Change: c, Done: r.done, Total: len(r.changes), Err: err, Because: skipped})
}

// result collects the outcomes in the plan's order.
func (r *run) result(ctx context.Context) *Result {
	out := &Result{Interrupted: ctx.Err() != nil}
	for i := range r.plan.Changes {
		c := &r.plan.Changes[i]
		if res := r.results[c.Key()]; res != nil {
			out.Outcomes = append(out.Outcomes, *res)
		}
	}
	out.Checks = EvaluateChecks(r.Desired, r.Snapshot, r.plan, r.Now())
	return out
}

// save writes the snapshot once, with the providers it was made against.
func (r *run) save(ctx context.Context) error {
	if r.Snapshot.Providers == nil {
		r.Snapshot.Providers = map[string]string{}
	}
	maps.DeleteFunc(r.Snapshot.Providers, func(ref, identity string) bool { // an alias that was renamed
		return r.Stores[ref] == nil && r.Stores.ByIdentity(identity) != nil
	})
	for ref, s := range r.Stores {
		if s.Identity != "" && !strings.HasPrefix(s.Identity, unreached) {
			r.Snapshot.Providers[ref] = s.Identity
		}
	}
	r.incarnate(ctx)
	if err := r.Session.Save(ctx, r.Snapshot); err != nil {
		return fmt.Errorf("the changes were made and journalled, but the state could not be saved: %w", err)
	}
	return nil
}

// incarnate records what each store's secrets lie in. One that this run made is
// asked for; where that is not told, the next save does.
func (r *run) incarnate(ctx context.Context) {
	maps.DeleteFunc(r.Snapshot.Incarnations, func(ref, _ string) bool { return r.Snapshot.Providers[ref] == "" })
	for ref, s := range r.Stores {
		if s.Incarnation == "" && s.Err == nil {
			s.Incarnation, _ = s.Provider.Incarnation(ctx)
		}
		if s.Incarnation == "" {
			continue
		}
		if r.Snapshot.Incarnations == nil {
			r.Snapshot.Incarnations = map[string]string{}
		}
		r.Snapshot.Incarnations[ref] = s.Incarnation
	}
}

// definite reports whether an error proves that nothing happened.
func definite(err error) bool { return providers.CodeOf(err).Definite() }
