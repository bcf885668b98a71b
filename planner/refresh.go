package planner

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/cofferhq/coffer/lang/addr"
	"github.com/cofferhq/coffer/providers"
	"github.com/cofferhq/coffer/state"
)

// Refresher asks the stores.
type Refresher struct {
	Stores Stores
	// Compare looks at the supplied values; nil compares nothing.
	Compare *Comparer
	// Wait pauses between the two looks that an eventually consistent store
	// needs before "missing" is believed. It returns early when ctx ends.
	Wait func(ctx context.Context, d time.Duration) error
}

// Refresh looks at every location that the configuration or the state names,
// store by store in parallel. It makes no decision and needs no value. What a
// store does not tell is in the answer as an Err; the error returned is only
// that of ctx.
func (r *Refresher) Refresh(ctx context.Context, d *Desired, s *state.Snapshot) (*Live, error) {
	live := &Live{Refreshed: true}
	wanted := locations(d, s)
	var wg sync.WaitGroup
	for _, ref := range r.Stores.Refs() {
		store := r.Stores[ref]
		wg.Go(func() { live.add(store.Identity, r.ask(ctx, store, wanted[store.Identity], s)) })
	}
	wg.Wait()
	if err := ctx.Err(); err != nil {
		return nil, context.Cause(ctx)
	}
	r.askSealing(ctx, d, live)
	if r.Compare != nil {
		live.Supplied = r.Compare.all(d, s, live)
	}
	return live, nil
}

// inspect looks at the resources of d alone, without a list; s says which of
// them are recorded.
func (r *Refresher) inspect(ctx context.Context, d *Desired, s *state.Snapshot) (*Live, error) {
	live := &Live{Refreshed: true}
	for identity, wanted := range locations(d, &state.Snapshot{}) {
		store := r.Stores.ByIdentity(identity)
		secrets, objects := split(wanted)
		a := &answers{}
		a.secrets, a.failed, a.err = answer(ctx, store.Inspect, secrets)
		r.confirmMissing(ctx, store, secrets, a, s)
		a.lookAtObjects(ctx, store, objects)
		live.add(identity, a)
	}
	if err := ctx.Err(); err != nil {
		return nil, context.Cause(ctx)
	}
	return live, nil
}

// locations groups all locations to look at by provider identity.
func locations(d *Desired, s *state.Snapshot) map[string][]addr.Location {
	counts := map[string]int{}
	for _, r := range d.Resources {
		counts[r.Location.Provider]++
	}
	by := map[string][]addr.Location{}
	for identity, n := range counts {
		by[identity] = make([]addr.Location, 0, n)
	}
	for _, r := range d.Resources {
		by[r.Location.Provider] = append(by[r.Location.Provider], r.Location)
	}
	for loc := range s.Entries {
		if d.byLocation[loc] == nil {
			by[loc.Provider] = append(by[loc.Provider], loc)
		}
	}
	return by
}

// split separates secrets from objects.
func split(wanted []addr.Location) (secrets []string, objects []providers.ObjectRef) {
	for _, loc := range wanted {
		if loc.Kind == addr.KindSecret {
			secrets = append(secrets, loc.Path)
		} else {
			objects = append(objects, providers.ObjectRef{Kind: loc.Kind, Path: loc.Path})
		}
	}
	return secrets, objects
}

// ask asks one store about its locations. It prefers one list to a look at
// each path: that also shows strangers.
func (r *Refresher) ask(ctx context.Context, store *Store, wanted []addr.Location, s *state.Snapshot) *answers {
	if store.Err != nil {
		return &answers{err: store.Err, objectsErr: store.Err}
	}
	a := &answers{}
	secrets, objects := split(wanted)
	if store.PrefersList() {
		if listed, err := store.List(ctx); err == nil {
			a.secrets, a.listed = listed, true
		}
	}
	if !a.listed {
		a.secrets, a.failed, a.err = answer(ctx, store.Inspect, secrets)
	}
	r.confirmMissing(ctx, store, secrets, a, s)
	a.lookAtObjects(ctx, store, objects)
	return a
}

// looker is a way to ask a store about paths.
type looker func(ctx context.Context, paths []string) (map[string]providers.Meta, error)

// answer asks about single paths. A path that a whole answer does not name is
// missing, one that a partial answer names as failed is unknown.
func answer(ctx context.Context, ask looker, paths []string) (found map[string]providers.Meta, failed map[string]error, err error) {
	if len(paths) == 0 {
		return nil, nil, nil
	}
	slices.Sort(paths) // what is asked, and so what fails first, is the same every time
	found, err = ask(ctx, paths)
	var partial *providers.PartialError
	if errors.As(err, &partial) {
		return found, partial.Paths, nil
	}
	return found, nil, err
}

// confirmMissing looks a second time at what is recorded and not there, path by
// path: the first answer may come from a list, and a list passes over what it
// cannot read, or what a policy filters out of it. One "missing" of an eventually
// consistent store proves nothing either, so the second look comes a settle time
// later there.
func (r *Refresher) confirmMissing(ctx context.Context, store *Store, paths []string, a *answers, s *state.Snapshot) {
	if a.err != nil {
		return
	}
	var lost []string
	for _, path := range paths {
		e := s.Entries[addr.Location{Provider: store.Identity, Kind: addr.KindSecret, Path: path}]
		if _, exists := a.secrets[path]; !exists && a.failed[path] == nil && e != nil && (e.Version != "" || e.Pending != nil) {
			lost = append(lost, path)
		}
	}
	if len(lost) == 0 {
		return
	}
	if a.failed == nil {
		a.failed = map[string]error{}
	}
	var found map[string]providers.Meta
	var failed map[string]error
	var err error
	if caps := store.Capabilities(); caps.EventuallyConsistent {
		err = r.Wait(ctx, caps.Settle)
	}
	if err != nil {
		err = fmt.Errorf("the second look was cut short: %w", err)
	} else {
		found, failed, err = answer(ctx, store.Probe, lost)
	}
	for _, path := range lost {
		if err != nil {
			a.failed[path] = err
		}
	}
	maps.Copy(a.failed, failed)
	if a.secrets == nil {
		a.secrets = found
		return
	}
	maps.Copy(a.secrets, found)
}

func (a *answers) lookAtObjects(ctx context.Context, store *Store, refs []providers.ObjectRef) {
	if len(refs) == 0 {
		return
	}
	var err error
	a.objects, err = store.InspectObjects(ctx, refs)
	var partial *providers.PartialError
	if errors.As(err, &partial) {
		a.failedObjects = partial.Paths
		return
	}
	a.objectsErr = err
}
