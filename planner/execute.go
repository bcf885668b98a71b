package planner

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/cofferhq/coffer/lang/addr"
	"github.com/cofferhq/coffer/providers"
	"github.com/cofferhq/coffer/state"
)

// walk carries out all steps: first everything that makes or changes, then
// what deletes.
func (r *run) walk(ctx context.Context) {
	var making, deleting []int
	for i, c := range r.changes {
		if c.Action == Delete || c.Action == Forget {
			deleting = append(deleting, i)
		} else {
			making = append(making, i)
		}
	}
	for _, phase := range [][]int{making, deleting} {
		units, graph := r.units(phase)
		graph.Walk(ctx, r.limit(), func(n int) { r.unit(ctx, units[n]) })
	}
	for _, s := range r.steps { // what a cancel left unvisited
		if r.results[s.change.Key()] == nil {
			r.skip(s, "interrupted before it began")
		}
	}
}

// limit is how many units are under way at once. Each store keeps to a limit of
// its own, so that this only bounds what waits for them.
func (r *run) limit() int {
	if r.Parallelism > 0 {
		return r.Parallelism
	}
	limit := 10
	for _, s := range r.Stores {
		limit = max(limit, s.Concurrency())
	}
	return limit
}

// unit carries out one unit. A cancelled run starts no unit, and a unit that
// has begun is finished.
func (r *run) unit(ctx context.Context, u unit) {
	if ctx.Err() != nil || r.journal.failed() {
		return
	}
	interrupted := ctx
	ctx = context.WithoutCancel(ctx)
	batch := providers.Batch{}
	var batched []*step
	at := map[Key]int{}
	for _, i := range u {
		s := r.steps[i]
		if interrupted.Err() != nil { // nothing of a batch is written yet
			r.skip(s, "interrupted before it began")
			continue
		}
		if why := r.held(s, at); why != "" {
			r.skip(s, why)
			continue
		}
		if !s.batches() || !s.store.Batches() {
			r.alone(ctx, s)
			continue
		}
		op, err := r.operation(ctx, s)
		if err != nil {
			r.fail(s, err, false)
			continue
		}
		for _, k := range s.change.DependsOn {
			if n, ok := at[k]; ok {
				op.Needs = append(op.Needs, n)
			}
		}
		at[s.change.Key()] = len(batched)
		batch.Container = s.store.Container(s.loc.Kind, s.loc.Path)
		batch.Ops = append(batch.Ops, op)
		batched = append(batched, s)
	}
	if interrupted.Err() != nil {
		for _, s := range batched {
			r.skip(s, "interrupted before it was written")
		}
		return
	}
	if len(batched) == 0 {
		return
	}
	batch.Known = r.recordedBeside(batched)
	var promised map[string]string
	batch.Promise = func(ctx context.Context, versions map[string]string) error {
		promised = versions
		if err := r.auditCarried(ctx, batched, versions); err != nil {
			return err
		}
		return r.promise(batched[0].loc)(ctx, versions)
	}
	results := batched[0].store.WriteBatch(ctx, batch)
	for i, res := range results {
		if on := failedNeed(batch.Ops[i].Needs, results); on >= 0 {
			r.skip(batched[i], "it depends on "+batched[on].change.Address.String()+", which was not done")
			continue
		}
		r.settle(batched[i], res)
	}
	r.takeBack(batched, promised, results)
}

// auditCarried records that values beside a batch are about to be written
// anew, under another key.
func (r *run) auditCarried(ctx context.Context, batched []*step, versions map[string]string) error {
	if r.Audit == nil {
		return nil
	}
	own := map[string]bool{}
	for _, s := range batched {
		own[s.loc.Path] = own[s.loc.Path] || !s.isObject()
	}
	for _, path := range slices.Sorted(maps.Keys(versions)) {
		if own[path] {
			continue
		}
		at := Location{Provider: batched[0].store.Ref(), Kind: addr.KindSecret, Path: path}
		event := AuditEvent{Action: "reencrypt", Location: at, Op: batched[0].op}
		if e := r.entryAt(at); e != nil {
			event.Address, event.Version = e.Address, e.Version
		}
		if err := r.Audit.Record(ctx, event); err != nil {
			return fmt.Errorf("not done, because the audit record could not be written: %w", err)
		}
	}
	return nil
}

// takeBack clears what was promised of secrets beside a batch that then came to
// nothing.
func (r *run) takeBack(batched []*step, promised map[string]string, results []providers.Result) {
	if slices.ContainsFunc(results, func(res providers.Result) bool { return res.Err == nil || !definite(res.Err) }) {
		return
	}
	for path := range promised {
		loc := addr.Location{Provider: batched[0].loc.Provider, Kind: addr.KindSecret, Path: path}
		if !slices.ContainsFunc(r.steps, func(s *step) bool { return s.loc == loc }) {
			r.record(state.Record{Kind: state.RecordRefused, Location: loc})
		}
	}
}

// recordedBeside returns the recorded versions of what shares a container with
// a batch that changes who can read it.
func (r *run) recordedBeside(batched []*step) map[string]string {
	if !slices.ContainsFunc(batched, (*step).isObject) {
		return nil
	}
	store, of := batched[0].store, batched[0].loc
	container := store.Container(of.Kind, of.Path)
	known := map[string]string{}
	r.mu.Lock()
	defer r.mu.Unlock()
	for loc, e := range r.Snapshot.Entries {
		if loc.Provider == of.Provider && loc.Kind == addr.KindSecret && store.Container(loc.Kind, loc.Path) == container {
			known[loc.Path] = e.Version
		}
	}
	return known
}

// failedNeed returns the first of the needed operations that failed, else -1.
func failedNeed(needs []int, results []providers.Result) int {
	for _, n := range needs {
		if results[n].Err != nil {
			return n
		}
	}
	return -1
}

// held says why a step cannot be tried: something it waits for did not work
// out. What is in the same batch is left to the batch.
func (r *run) held(s *step, sameBatch map[Key]int) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, k := range s.change.DependsOn {
		if _, in := r.byKey[k]; !in {
			continue
		}
		if _, in := sameBatch[k]; in {
			continue
		}
		if res := r.results[k]; res == nil || res.Err != nil || res.Skipped != "" {
			return "it depends on " + k.Address.String() + ", which was not done"
		}
	}
	return ""
}

// alone carries out a step that is not part of a batch.
func (r *run) alone(ctx context.Context, s *step) {
	if s.stateOnly {
		r.settleStateOnly(s)
		return
	}
	var res providers.Result
	switch c := s.change; {
	case s.live.Meta.IsDeleted() && (c.Action == Restore || s.writes()):
		res.Meta, res.Err = s.store.Undelete(ctx, s.loc.Path)
		if res.Err == nil && s.writes() {
			s.live.Meta = res.Meta
			res = r.write(ctx, s, res.Meta.Version)
		} else if res.Err == nil && s.store.KeepsAttributes() {
			res.Meta, res.Err = s.store.SetAttributes(ctx, s.loc.Path, res.Meta.Version, r.attributes(s))
		}
	case c.Action == Forget && s.isObject(): // its text stays, our mark goes
		res.Object, res.Err = s.store.WriteObject(ctx, providers.ObjectRequest{
			Ref: providers.ObjectRef{Kind: s.loc.Kind, Path: s.loc.Path}, Document: s.live.Object.Document, OpID: s.op, IfVersion: c.VersionFrom,
		})
	case c.Action == Forget, !s.sets() && c.From == nil && !s.isObject() && c.Action != Delete, c.Action == Rename && !s.sets() && !s.isObject():
		res.Meta, res.Err = s.store.SetAttributes(ctx, s.loc.Path, r.base(s), r.attributes(s))
	default:
		res = r.write(ctx, s, r.base(s))
	}
	r.settle(s, res)
}

// base is the version that a step replaces: the planned one, or what became of
// it when this run wrote its container under a new key.
func (r *run) base(s *step) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	if now, carried := r.moved[s.loc]; carried {
		return now.Version
	}
	return s.change.VersionFrom
}

func (s *step) isObject() bool { return s.loc.Kind != addr.KindSecret }

// write carries out one operation by itself.
func (r *run) write(ctx context.Context, s *step, ifVersion string) providers.Result {
	op, err := r.operation(ctx, s)
	if err != nil {
		return providers.Result{Err: &providers.Error{Code: providers.Cancelled, Err: err}}
	}
	var res providers.Result
	switch {
	case op.Write != nil:
		op.Write.IfVersion, op.Write.Promise = ifVersion, r.promise(s.loc)
		res.Meta, res.Err = s.store.Write(ctx, *op.Write)
	case op.Patch != nil:
		op.Patch.IfVersion, op.Patch.Promise = ifVersion, r.promise(s.loc)
		res.Meta, res.Err = s.store.Patch(ctx, *op.Patch)
	case op.Delete != nil:
		res.Err = s.store.Delete(ctx, op.Delete.Path, op.Delete.IfVersion)
	case op.Object != nil:
		res.Object, res.Err = s.store.WriteObject(ctx, *op.Object)
	}
	return res
}

// operation builds the one call that a step makes, with its value resolved and
// the audit record durable.
func (r *run) operation(ctx context.Context, s *step) (providers.Operation, error) {
	c := s.change
	switch {
	case s.isObject():
		doc := ""
		if s.next != nil {
			doc = s.next.Document
		}
		return providers.Operation{Object: &providers.ObjectRequest{
			Ref: providers.ObjectRef{Kind: s.loc.Kind, Path: s.loc.Path}, Document: doc, OpID: s.op, IfVersion: c.VersionFrom, Attributes: r.attributes(s),
		}}, nil
	case c.Action == Delete:
		err := r.audit(ctx, s, "delete")
		return providers.Operation{Delete: &providers.DeleteRequest{Path: s.loc.Path, IfVersion: r.base(s)}}, err
	}
	made, drop, err := r.values.make(ctx, s)
	if err != nil {
		return providers.Operation{}, err
	}
	if err := r.audit(ctx, s, "write"); err != nil {
		return providers.Operation{}, err
	}
	req := &providers.WriteRequest{
		Path: s.loc.Path, Value: s.res.seal(made.value), OpID: s.op, IfVersion: r.base(s), Attributes: r.attributes(s),
	}
	req.KeepAttributes = s.keepsAttributes(req.Attributes)
	if made.whole {
		return providers.Operation{Write: req}, nil
	}
	req.Drop = drop
	return providers.Operation{Patch: req}, nil
}

// keepsAttributes reports whether what is live carries the wanted attributes
// already, all settings included.
func (s *step) keepsAttributes(want providers.Attributes) bool {
	live := s.live.Meta
	return s.live.Exists && !live.IsDeleted() && len(live.Outdated) == 0 && live.Attributes.Mark == want.Mark &&
		live.Attributes.Description == want.Description && maps.Equal(live.Attributes.Labels, want.Labels) &&
		sameForm(live.Attributes.Form, want.Form)
}

func (r *run) audit(ctx context.Context, s *step, action string) error {
	if r.Audit == nil {
		return nil
	}
	err := r.Audit.Record(ctx, AuditEvent{
		Action: action, Address: s.change.Address, Location: s.change.Location, Version: s.change.VersionFrom, Op: s.op,
	})
	if err != nil {
		return fmt.Errorf("not done, because the audit record could not be written: %w", err)
	}
	return nil
}

// promise journals versions that a driver knows before its effect.
func (r *run) promise(loc addr.Location) providers.Promise {
	return func(ctx context.Context, versions map[string]string) error {
		rec := state.Record{Kind: state.RecordPromise, Versions: versions, Location: addr.Location{Provider: loc.Provider, Kind: addr.KindSecret}, At: r.Now().UTC()}
		if err := r.Session.Append(ctx, rec); err != nil {
			return err
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		return r.Snapshot.Apply(rec)
	}
}
