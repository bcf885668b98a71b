package planner

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/cofferhq/coffer/state"
)

// coarse is the grain of the coarsest platform's clock: a time by the second is
// not before one with fractions that is the same.
const coarse = time.Second

// wentBack reports whether what is live was made before what the state
// recorded, which only a restored backup shows. Both times are the platform's.
func wentBack(e *state.Entry, o *Observation) bool {
	made := o.Meta.Created
	return e.Role != state.RoleObject && o.Err == nil && o.Exists && !made.IsZero() && !e.Created.IsZero() &&
		made.Before(e.Created.Truncate(coarse)) && !countedOn(e.Version, o.Version())
}

// countedOn reports whether a store that counts its versions went on since the
// recorded one: then its data is newer, and only its clock is behind, as after
// another node took over.
func countedOn(recorded, live string) bool {
	was, err := strconv.ParseUint(recorded, 10, 64)
	now, liveErr := strconv.ParseUint(live, 10, 64)
	return err == nil && liveErr == nil && now > was
}

// setBack is a store of which some secrets are older than the state knows them.
type setBack struct {
	count int
	first *state.Entry
	made  time.Time
}

// setBack counts by store, less what a person settles.
func (x *differ) setBack() map[string]*setBack {
	back := map[string]*setBack{}
	for loc, e := range x.s.Entries {
		o := x.live.At(loc)
		if !wentBack(e, &o) || !x.matches(e.Address) || x.settlement(e.Address.Primary()) != nil {
			continue
		}
		store := x.stores.ByIdentity(e.Location.Provider)
		if store == nil || store.Capabilities().EventuallyConsistent {
			continue // an answer of the latter may be an old one
		}
		b := back[store.Ref()]
		if b == nil {
			b = &setBack{}
			back[store.Ref()] = b
		}
		if b.first == nil || e.Address.Compare(b.first.Address) < 0 {
			b.first, b.made = e, o.Meta.Created
		}
		b.count++
	}
	return back
}

// backInTime stops a plan over a store that was put back to an earlier time:
// what it shows is neither drift nor anybody's wish.
func (x *differ) backInTime() {
	back := x.setBack()
	for _, ref := range slices.Sorted(maps.Keys(back)) {
		b := back[ref]
		x.plan.Diagnostics = append(x.plan.Diagnostics, Diagnostic{
			Severity: SeverityError, Address: &b.first.Address, Summary: "store " + ref + " went back in time",
			Detail: b.detail(ref) + " Nothing is written: that would mix the two times. Put the newer data back if it still exists. Otherwise `coffer accept ADDRESS…` takes what is live, " +
				"and `coffer rotate ADDRESS…` makes new values; -exclude leaves such secrets out of a plan.",
		})
	}
}

func (b *setBack) detail(ref string) string {
	text := func(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 MST") }
	which := fmt.Sprintf("%d of its secrets are older than the state recorded them, the first", b.count)
	if b.count == 1 {
		which = "One of its secrets is older than the state recorded it,"
	}
	return fmt.Sprintf("%s %s: recorded as made at %s, and what is there was made at %s. A backup of %s was restored.",
		which, b.first.Address, text(b.first.Created), text(b.made), ref)
}
