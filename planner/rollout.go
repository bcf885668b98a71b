package planner

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/cofferhq/coffer/lang"
	"github.com/cofferhq/coffer/lang/addr"
	"github.com/cofferhq/coffer/providers"
	"github.com/cofferhq/coffer/state"
)

// This file restarts the programs that use a secret. A rollout is an object whose
// document names the generation of every secret that its workload was last
// restarted for.

// KindRollout is the kind of such an object, see [providers.Roller].
const KindRollout = "rollout"

// roll is one block that restarts workloads.
type roll struct {
	block     addr.Address
	store     *Store
	workloads []lang.Workload
	of        []addr.Address // the secrets whose generations count
}

// rollouts makes a resource of every workload that is to be restarted.
func (b *builder) rollouts() {
	var rolls []roll
	for _, r := range b.d.Resources {
		if r.Secret != nil && !r.IsReplica() && len(r.Secret.Rollouts) > 0 {
			rolls = append(rolls, roll{r.Address, b.stores[r.Store], r.Secret.Rollouts, []addr.Address{r.Address}})
		}
	}
	for _, d := range b.delivered {
		if len(d.block.Rollouts) > 0 {
			rolls = append(rolls, roll{d.block.Address, d.cluster, d.block.Rollouts, d.secrets})
		}
	}
	for _, r := range rolls {
		for _, w := range r.workloads {
			b.rollout(r, w)
		}
	}
}

func (b *builder) rollout(r roll, w lang.Workload) {
	ref, ok := r.store.Rollout(providers.Workload{Kind: w.Kind, Namespace: w.Namespace, Name: w.Name})
	if !ok {
		b.fail(rangeOf(w.Range), fmt.Sprintf("%s cannot restart anything", r.block),
			fmt.Sprintf("It goes to %s, where no programs run. Take rollout out, or let whatever brings the files to the cluster restart them.", r.store.Ref()))
		return
	}
	at := addr.Location{Provider: r.store.Identity, Kind: ref.Kind, Path: ref.Path}
	res := b.d.byLocation[at]
	if res == nil {
		res = &Resource{
			Address: addr.ProviderObject(r.store.Ref(), ref.Kind, ref.Path), Location: at, Store: r.store.Ref(), Role: state.RoleObject,
			Range: rangeOf(w.Range),
		}
		b.add(res)
	}
	res.By = united(res.By, []addr.Address{r.block})
	res.Rolls = united(res.Rolls, r.of)
	slices.SortFunc(res.Rolls, addr.Address.Compare)
	res.After = united(res.Rolls, res.By)
}

// rowRollout decides about a rollout: programs are restarted where what they use
// gets another value in this plan, or where a restart was lost. One that was
// never restarted for a secret is not restarted because of that alone, and a
// workload that is not there yet starts with what is there.
//
// An intent that is still open is a restart that an earlier run owed.
func rowRollout(x *differ, f *facts) (outcome, bool) {
	if f.r.Location.Kind != KindRollout {
		return outcome{}, false
	}
	open := f.recorded() && f.e.Pending != nil
	if h := x.s.Holder; open && h != nil {
		return f.unknown(ReasonInProgress, "%s of %s is running since %s", h.Operation, h.Who, h.Since.UTC().Format("15:04:05 MST")), true
	}
	before, after := x.rolled(f.r)
	r := *f.r // the plan's own: what is desired does not say which values are made
	r.Document = after
	f.r, f.interrupted = &r, open
	live, action := f.o.document(after), Create
	if f.o.Exists {
		action = Update
	}
	lost := open || f.o.Exists && lostRestart(before, live)
	switch {
	case f.o.Lacks != nil, live == after && !open, !lost && before == after:
		return outcome{}, true
	case live == after:
		return outcome{change: f.change(Adopt, ReasonInterrupted, "restarted by the interrupted run")}, true
	case lost:
		return outcome{change: f.change(action, ReasonSourceChanged, "a restart was lost: its programs were last started with an older value")}, true
	}
	return outcome{change: f.change(action, ReasonSourceChanged, "its programs are restarted")}, true
}

// rolled returns what the programs of a workload use now, and after this plan.
func (x *differ) rolled(r *Resource) (before, after string) {
	return rolledDocument(x.d, r, func(of *Resource) int {
			e := x.s.Entries[of.Location]
			if e == nil && !of.IsObject() {
				e = x.newest(of, x.names(of))
			}
			if e == nil {
				return 0
			}
			return e.Generation
		}), rolledDocument(x.d, r, func(of *Resource) int {
			return x.generationOf(of.Address)
		})
}

// rolledDocument is the document of a rollout when its secrets have these
// generations.
func rolledDocument(d *Desired, r *Resource, generation func(of *Resource) int) string {
	var text strings.Builder
	for _, a := range r.Rolls {
		if of := d.byAddress[a]; of != nil {
			fmt.Fprintf(&text, "%s = %d\n", a, generation(of))
		}
	}
	return text.String()
}

// rolled is the document of a rollout when the plan is done: a saved plan is not
// asked for it.
func (r *run) rolled(res *Resource) string {
	return rolledDocument(r.Desired, res, func(of *Resource) int {
		if i, ok := r.byKey[of.key()]; ok && r.changes[i].Generation > 0 {
			return r.changes[i].Generation
		}
		if e := r.Snapshot.Entries[of.Location]; e != nil {
			return e.Generation
		}
		return 0
	})
}

// owesRestart reports whether a restart that did not take place is owed: one of
// the secrets has another value by now. Its intent is then left open, since
// nothing else tells the next run.
func (r *run) owesRestart(s *step) bool {
	if s.res == nil || len(s.res.Rolls) == 0 {
		return false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return s.before != nil || slices.ContainsFunc(s.change.DependsOn, func(k Key) bool {
		done := r.results[k]
		return done != nil && done.Err == nil && done.Skipped == "" && slices.Contains(s.res.Rolls, k.Address)
	})
}

// lostRestart reports whether the programs were restarted for one of the secrets
// before, and not for its recorded value.
func lostRestart(before, live string) bool {
	for line := range strings.Lines(before) {
		name, _, _ := strings.Cut(line, " = ")
		for had := range strings.Lines(live) {
			if told, _, _ := strings.Cut(had, " = "); told == name && had != line {
				return true
			}
		}
	}
	return false
}

// ReasonNotRestarted is of notes: programs use a secret that gets another value,
// and nothing restarts them.
const ReasonNotRestarted Reason = "not_restarted"

// NotRestarted says of the secrets to which a plan gives another value which
// programs use them and are not restarted. It asks the clusters, and only where
// there is something to ask about.
func NotRestarted(ctx context.Context, p *Plan, d *Desired, stores Stores) []Note {
	rolled := map[string]bool{}
	changed := map[string]map[string]addr.Address{} // block by the path of its Secret, by store
	use := func(ref, path string, a addr.Address) {
		if changed[ref] == nil {
			changed[ref] = map[string]addr.Address{}
		}
		changed[ref][path] = a
	}
	values := map[addr.Address]bool{}
	for i := range p.Changes {
		c := &p.Changes[i]
		if c.Location.Kind == KindRollout {
			rolled[c.Location.Provider+" "+c.Location.Path] = true
			continue
		}
		store := stores[c.Location.Provider]
		if store == nil || len(c.Fields) == 0 || c.VersionFrom == "" || !c.carriedOut() || c.Reason == ReasonReencrypted {
			continue
		}
		values[c.Address] = true
		if path := store.delivers(c.Address.Kind, c.Location.Path); path != "" {
			use(store.Ref(), path, c.Address)
		}
	}
	for _, f := range d.fetches {
		if slices.ContainsFunc(f.secrets, func(a addr.Address) bool { return values[a] }) {
			use(f.cluster, f.path, f.block)
		}
	}
	var notes []Note
	for _, ref := range stores.Refs() {
		notes = append(notes, notRestartedOn(ctx, stores[ref], changed[ref], rolled)...)
	}
	return notes
}

func notRestartedOn(ctx context.Context, store *Store, changed map[string]addr.Address, rolled map[string]bool) []Note {
	if len(changed) == 0 || store.Err != nil {
		return nil
	}
	var paths []string
	for path := range changed {
		paths = append(paths, path)
	}
	slices.Sort(paths)
	found, err := store.Consumers(ctx, paths)
	if err != nil {
		return []Note{{Address: addr.Address{Provider: store.Ref()}, Reason: ReasonNotChecked, Text: fmt.Sprintf("which programs use the changed secrets could not be told: %v", err)}}
	}
	var notes []Note
	for _, path := range paths {
		var left []string
		for _, w := range found[path] {
			ref, _ := store.Rollout(w)
			if !rolled[store.Ref()+" "+ref.Path] {
				left = append(left, w.Kind+" "+w.Namespace+"/"+w.Name)
			}
		}
		if len(left) > 0 {
			notes = append(notes, Note{
				Address: changed[path], Reason: ReasonNotRestarted,
				Text: "used by " + strings.Join(left, ", ") + ", which go on with the old value until they are restarted; a rollout list in the block does that",
			})
		}
	}
	return notes
}
