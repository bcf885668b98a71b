package planner

import (
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/cofferhq/coffer/lang/addr"
)

// maxSkew is how far ahead the clock of the machine that made a plan may be.
const maxSkew = 5 * time.Minute

var errNotAsked = errors.New("a plan made now would not do this")

// admitSaved refuses a plan file that no planner writes, whoever wrote it: the
// digest in it only shows that it is complete.
func (r *run) admitSaved() error {
	p := r.plan
	switch {
	case p.CreatedAt.After(r.Now().Add(maxSkew)):
		return &RefusedError{Reason: "the plan was made in the future: check the clocks and plan again"}
	case p.ExpiresAt.After(p.CreatedAt.Add(defaultLifetime)):
		return &RefusedError{Reason: "the plan lives longer than a plan may: plan again"}
	}
	known := map[Key]*Change{}
	for i := range p.Changes {
		c := &p.Changes[i]
		if known[c.Key()] != nil {
			return &RefusedError{Reason: "the plan changes " + c.Address.String() + " twice: plan again"}
		}
		known[c.Key()] = c
	}
	for i := range p.Changes {
		for _, k := range p.Changes[i].DependsOn {
			if d := known[k]; d == nil || !d.carriedOut() {
				return &RefusedError{Reason: "the plan lacks what " + p.Changes[i].Address.String() + " depends on: plan again"}
			}
		}
	}
	return nil
}

// carriedOut reports whether apply does anything about c.
func (c *Change) carriedOut() bool { return c.Action != Conflict && c.Action != Unknown }

// stillAsked returns the changes of a saved plan that no plan of this
// configuration, state and stores has, by whatever options it was made. It
// decides nothing new: what a plan made now has beyond the saved one is not
// done. A file that somebody wrote by hand so gets no further than what
// everybody may ask for.
func (r *run) stillAsked(ctx context.Context) (map[Key]error, error) {
	left := map[Key]*Change{}
	for _, c := range r.changes {
		left[c.Key()] = c
	}
	refresher := &Refresher{Stores: r.Stores, Wait: noWait}
	live, err := refresher.Refresh(ctx, r.Desired, r.Snapshot)
	if err != nil {
		return nil, err
	}
	supplied := (&Comparer{Inputs: r.Inputs, Key: r.Key}).all(r.Desired, r.Snapshot, live)
	full := r.again(live, DiffOptions{})
	if err := r.sameGuard(full); err != nil {
		return nil, err
	}
	for _, o := range r.options(full) {
		for _, s := range []map[addr.Location]map[string]Comparison{nil, supplied} {
			if len(left) == 0 {
				return nil, nil
			}
			live.Supplied = s
			strike(left, r.again(live, o))
		}
	}
	refused := map[Key]error{}
	for k := range left {
		refused[k] = errNotAsked
	}
	return refused, nil
}

// again makes the plan anew, as of the time when the saved one was made.
func (r *run) again(live *Live, o DiffOptions) *Plan {
	o.Now = r.plan.CreatedAt
	return Diff(r.Desired, r.Snapshot, live, r.Stores, o)
}

// options are all that a saved plan may have been made with. Which resources a
// partial plan was about shows in its changes.
func (r *run) options(full *Plan) []DiffOptions {
	narrow := []DiffOptions{{}}
	if r.plan.Partial {
		only, without := DiffOptions{}, DiffOptions{}
		for i := range r.plan.Changes {
			only.Targets = append(only.Targets, r.plan.Changes[i].Address)
		}
		for i := range full.Changes {
			if a := full.Changes[i].Address; !slices.Contains(only.Targets, a) {
				without.Excludes = append(without.Excludes, a)
			}
		}
		narrow = append(narrow, only, without)
	}
	var all []DiffOptions
	for _, rotations := range []Rotations{RotationsDue, RotationsNone, RotationsOnly} {
		for _, o := range narrow {
			o.Rotations = rotations
			all = append(all, o)
		}
	}
	return all
}

// strike takes out of left what p has too.
func strike(left map[Key]*Change, p *Plan) {
	for i := range p.Changes {
		c := &p.Changes[i]
		if saved := left[c.Key()]; saved != nil && saved.does(c) {
			delete(left, c.Key())
		}
	}
}

// does reports whether two changes do the same, whatever they say about it.
func (c *Change) does(other *Change) bool {
	a, b := *c, *other
	sameFrom := a.From == nil && b.From == nil || a.From != nil && b.From != nil && *a.From == *b.From
	return a.Address == b.Address && a.Location == b.Location && a.Action == b.Action && a.Reason == b.Reason &&
		a.VersionFrom == b.VersionFrom && a.Entry == b.Entry && a.Generation == b.Generation &&
		a.GenerationLive == b.GenerationLive && a.Role == b.Role && a.ReadsValue == b.ReadsValue &&
		a.ConfigDigest == b.ConfigDigest && a.NewValue == b.NewValue && a.Confirmed == b.Confirmed && sameFrom &&
		maps.EqualFunc(a.Fields, b.Fields, func(x, y FieldChange) bool { return x.Op == y.Op }) &&
		sameKeys(a.DependsOn, b.DependsOn)
}

func sameKeys(a, b []Key) bool {
	return len(a) == len(b) && !slices.ContainsFunc(a, func(k Key) bool { return !slices.Contains(b, k) })
}

// sameGuard refuses a plan that counts more live secrets than there are, when
// that spares it a confirmation.
func (r *run) sameGuard(now *Plan) error {
	counted := *r.plan
	counted.Live = min(counted.Live, now.Live)
	deletes, rotations := r.plan.Guard()
	if d, n := counted.Guard(); d != deletes || n != rotations {
		return &RefusedError{Reason: "fewer secrets are live than the plan counts, so it needs a confirmation: plan again"}
	}
	return nil
}
