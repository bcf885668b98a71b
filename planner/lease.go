package planner

import (
	"context"
	"fmt"
	"time"

	"github.com/cofferhq/coffer/providers"
)

// An apply is not expected to be faster than this, whatever was measured: the
// calls of a plan are few and short.
const (
	fastestCall  = 10 * time.Millisecond
	fastestApply = 10 * time.Second
)

// LeaseWarnings says which identities end before the apply of p is expected to,
// as far as their platforms tell and nothing renews them. It asks each store
// that has something to do once, and none where nothing is to be done; a store
// that does not tell is passed over.
func LeaseWarnings(ctx context.Context, p *Plan, stores Stores, now time.Time) []Diagnostic {
	var diags []Diagnostic
	for _, ref := range stores.Refs() {
		store := stores[ref]
		changes, took := store.estimate(p)
		if changes == 0 || store.Err != nil {
			continue
		}
		lease, err := store.Lease(ctx)
		if err != nil || lease.Expires.IsZero() || lease.Renewable || lease.Expires.After(now.Add(took)) {
			continue
		}
		diags = append(diags, endsEarly(ref, lease, changes, took, now))
	}
	return diags
}

// estimate returns how many changes of p are on the store, and how long they
// take by what its calls took so far.
func (s *Store) estimate(p *Plan) (changes int, took time.Duration) {
	calls := 0
	for i := range p.Changes {
		c := &p.Changes[i]
		if c.Location.Provider != s.Ref() || !c.carriedOut() {
			continue
		}
		changes++
		calls += 2 // a value, and what stands beside it
		if c.ReadsValue {
			calls++
		}
	}
	each := max(s.Latency(), fastestCall)
	took = each * time.Duration(calls) / time.Duration(s.Concurrency())
	return changes, max(took, fastestApply)
}

func endsEarly(ref string, lease providers.Lease, changes int, took time.Duration, now time.Time) Diagnostic {
	who := lease.Identity
	if who == "" {
		who = "the identity"
	}
	left := "has ended already"
	if d := lease.Expires.Sub(now); d > 0 {
		left = "ends in " + d.Round(time.Second).String()
	}
	return Diagnostic{
		Severity: SeverityWarning,
		Summary:  fmt.Sprintf("%s on %s ends before this apply is expected to", who, ref),
		Detail: fmt.Sprintf("It ends at %s (it %s) and nothing renews it; the %d changes there take about %s. What is not done by then fails, and the next apply does it. Sign in anew first.",
			lease.Expires.UTC().Format("2006-01-02 15:04:05 MST"), left, changes, took.Round(time.Second)),
	}
}
