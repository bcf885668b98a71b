package planner

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"github.com/cofferhq/coffer/lang/addr"
	"github.com/cofferhq/coffer/state"
)

// stillFits looks again at everything the plan is about and refuses what is no
// longer as it was: another live version, another entry, another configuration.
func (r *run) stillFits(ctx context.Context) error {
	swapped := r.swapped(ctx)
	live, err := r.lookAgain(ctx)
	if err != nil {
		return err
	}
	var notAsked map[Key]error
	if r.Saved {
		if notAsked, err = r.stillAsked(ctx); err != nil {
			return err
		}
	}
	var refused []ChangeResult
	gone := map[Key]bool{}
	for _, c := range r.changes {
		if err := cmp.Or(swapped[c.Location.Provider], r.fits(c, live), notAsked[c.Key()]); err != nil {
			refused = append(refused, ChangeResult{Change: c, Err: err})
			gone[c.Key()] = true
		}
	}
	r.steps = nil
	if len(refused) == 0 {
		return r.prepareSteps(live)
	}
	if !r.SkipConflicts {
		return &RefusedError{Changes: refused}
	}
	r.fallWith(gone)
	for i := range refused {
		r.results[refused[i].Change.Key()] = &refused[i]
	}
	r.drop(gone)
	return r.prepareSteps(live)
}

// swapped asks every store that is to be changed again who it is, and returns
// why nothing may be written where the answer is another than the plan's: a
// person may have read the plan for an hour.
func (r *run) swapped(ctx context.Context) map[string]error {
	found := map[string]error{}
	asked := map[string]bool{}
	for _, c := range r.changes {
		ref := c.Location.Provider
		store := r.Stores[ref]
		if store == nil || asked[ref] {
			continue
		}
		asked[ref] = true
		identity, incarnation, err := store.WhoNow(ctx)
		switch {
		case err != nil:
			found[ref] = fmt.Errorf("who is behind provider %s cannot be told any more: %w", ref, err)
		case identity != store.Identity:
			found[ref] = fmt.Errorf("provider %s is another instance than the one that was planned against: it was %q, now it is %q", ref, store.Identity, identity)
		case store.Incarnation != "" && incarnation != store.Incarnation:
			found[ref] = fmt.Errorf("what provider %s keeps secrets in is not the one that was planned against: it was %q, now it is %q", ref, store.Incarnation, incarnation)
		}
	}
	return found
}

// fallWith adds to gone all that depends on what is in it, with the reason.
func (r *run) fallWith(gone map[Key]bool) {
	for again := true; again; {
		again = false
		for _, c := range r.changes {
			for _, k := range c.DependsOn {
				if gone[k] && !gone[c.Key()] {
					gone[c.Key()], again = true, true
					r.results[c.Key()] = &ChangeResult{Change: c, Skipped: "it depends on " + k.Address.String() + ", which no longer fits"}
				}
			}
		}
	}
}

// lookAgain inspects only what the plan touches.
func (r *run) lookAgain(ctx context.Context) (*Live, error) {
	some := &Desired{Project: r.Desired.Project, byLocation: map[addr.Location]*Resource{}}
	add := func(l Location) {
		store := r.Stores[l.Provider]
		if store == nil {
			return
		}
		loc := addr.Location{Provider: store.Identity, Kind: l.Kind, Path: l.Path}
		if some.byLocation[loc] == nil {
			res := &Resource{Location: loc, Store: l.Provider}
			some.byLocation[loc] = res
			some.Resources = append(some.Resources, res)
		}
	}
	for _, c := range r.changes {
		add(c.Location)
		if c.From != nil {
			add(c.From.Location)
		}
	}
	refresher := &Refresher{Stores: r.Stores, Wait: noWait}
	sealed := &Live{}
	refresher.askSealing(ctx, r.sealed(), sealed)
	r.sealing = sealed.Sealing
	return refresher.inspect(ctx, some, r.Snapshot)
}

// sealed are the resources that the plan seals.
func (r *run) sealed() *Desired {
	d := &Desired{}
	for _, c := range r.changes {
		store := r.Stores[c.Location.Provider]
		if c.Envelope == "" || store == nil {
			continue
		}
		if res := r.Desired.On(addr.Location{Provider: store.Identity, Kind: c.Location.Kind, Path: c.Location.Path}); res != nil {
			d.Resources = append(d.Resources, res)
		}
	}
	return d
}

// fits compares one change with what is there now.
func (r *run) fits(c *Change, live *Live) error {
	store := r.Stores[c.Location.Provider]
	if store == nil {
		return fmt.Errorf("provider %s is not configured any more", c.Location.Provider)
	}
	loc := addr.Location{Provider: store.Identity, Kind: c.Location.Kind, Path: c.Location.Path}
	o := live.At(loc)
	if o.Err != nil {
		return o.Err
	}
	version := ""
	if o.Exists {
		version = o.Version()
	}
	e := r.Snapshot.Entries[loc]
	recorded := ""
	if e != nil {
		recorded = e.Version
	}
	switch {
	case version != c.VersionFrom:
		return fmt.Errorf("its version is %s now, the plan was made for %s", orNothing(version), orNothing(c.VersionFrom))
	case recorded != c.Entry:
		return fmt.Errorf("the state records version %s now, the plan was made for %s", orNothing(recorded), orNothing(c.Entry))
	}
	if now := r.sealing[loc].Envelope; c.Envelope != now && c.Envelope != "" {
		return fmt.Errorf("the plan seals it with %s, and that would be %s now", c.Envelope, orNothing(now))
	}
	if err := r.fitsSource(c, live); err != nil {
		return err
	}
	return r.fitsConfiguration(c, loc, e)
}

// fitsSource compares the place that a value is taken from. What a copy is
// made of is the primary's business.
func (r *run) fitsSource(c *Change, live *Live) error {
	if c.From == nil || c.From.Version == "" || c.From.Location == c.Location {
		return nil
	}
	store := r.Stores[c.From.Location.Provider]
	if store == nil {
		return fmt.Errorf("provider %s is not configured any more", c.From.Location.Provider)
	}
	o := live.At(addr.Location{Provider: store.Identity, Kind: c.From.Location.Kind, Path: c.From.Location.Path})
	switch {
	case o.Err != nil:
		return o.Err
	case !o.Exists || o.Version() != c.From.Version:
		return fmt.Errorf("its value at %s has another version than the plan was made for", c.From.Location.Path)
	}
	return nil
}

// fitsConfiguration refuses a change that the configuration does not ask for,
// which also keeps a forged plan from deleting what is declared or protected.
func (r *run) fitsConfiguration(c *Change, loc addr.Location, e *state.Entry) error {
	res := r.Desired.On(loc)
	if c.ConfigDigest == "" { // what the configuration no longer has
		switch {
		case res != nil && res.Address == c.Address:
			return fmt.Errorf("the configuration wants it now, as %s", res.Address)
		case c.Action != Delete && c.Action != Forget && c.Action != Adopt:
			return fmt.Errorf("the configuration does not have it")
		case c.Action == Delete && e != nil && e.Protect && c.Reason != ReasonMoved:
			return fmt.Errorf("it is protected")
		case c.Action == Delete && e == nil && r.removedFor(c.Address) == nil:
			return fmt.Errorf("neither the state nor a removed block names it")
		case e != nil && e.Address != c.Address:
			return fmt.Errorf("the state has %s there", e.Address)
		}
		return nil
	}
	switch {
	case res == nil || res.Address != c.Address:
		return fmt.Errorf("the configuration no longer has it there")
	case res.Digest() != c.ConfigDigest:
		return fmt.Errorf("its configuration has changed since the plan")
	case c.Action == Delete || c.Action == Forget:
		return fmt.Errorf("the configuration wants it")
	}
	return nil
}

func (r *run) removedFor(a addr.Address) any {
	for _, block := range r.Desired.Removed {
		if block.Destroy && block.From.Contains(a) {
			return block
		}
	}
	return nil
}

func orNothing(version string) string {
	if version == "" {
		return "nothing"
	}
	return version
}

func noWait(context.Context, time.Duration) error { return nil }
