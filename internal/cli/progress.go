package cli

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"github.com/cofferhq/coffer/internal/render"
	"github.com/cofferhq/coffer/planner"
	"github.com/cofferhq/coffer/state"
)

// progress returns what tells a person how far an apply is: one line that is
// written over on a terminal, a line for each change elsewhere.
func (inv *invocation) progress() func(planner.Event) {
	_, live := terminal(inv.Err)
	return func(e planner.Event) {
		word := map[planner.EventKind]string{
			planner.EventDone: "done", planner.EventFailed: "FAILED", planner.EventSkipped: "skipped",
		}[e.Kind]
		line := fmt.Sprintf("[%d/%d] %s %s: %s", e.Done, e.Total, e.Change.Action, e.Change.Address, word)
		if !live {
			inv.say("%s", line)
			return
		}
		// The text is escaped by hand: the two sequences are ours.
		const begin, clear = "\r", "\x1b[K"
		fmt.Fprint(inv.Err, begin+render.Sanitize(fit(line, width(inv.Err)-1))+clear)
		if e.Done == e.Total {
			fmt.Fprint(inv.Err, begin+clear)
		}
	}
}

// acknowledge answers the first interruption of an apply at once: what has
// begun is finished, which may take long. The function it returns ends that.
func (inv *invocation) acknowledge(ctx context.Context, applier *planner.Applier) func() {
	var mu sync.Mutex // of stderr, which progress writes to as well
	show := applier.Events
	applier.Events = func(e planner.Event) {
		mu.Lock()
		defer mu.Unlock()
		show(e)
	}
	said := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(said)
		mu.Lock()
		defer mu.Unlock()
		inv.say("\nInterrupted: finishing what has begun; again to stop now.")
	})
	return func() {
		if !stop() {
			<-said
		}
	}
}

// noteMissingKey says that what is written now cannot be compared later.
func (w *workspace) noteMissingKey(plan *planner.Plan) {
	writes := func(c planner.Change) bool {
		switch c.Action {
		case planner.Create, planner.Update, planner.Rotate, planner.Restore, planner.Relocate:
			return c.Role != state.RoleObject
		default:
			return false
		}
	}
	if !w.key.IsZero() || !slices.ContainsFunc(plan.Changes, writes) {
		return
	}
	w.inv.say("There is no fingerprint key here (%s, or %s), so what is written cannot be compared with later: get the team's key, as you would a password.",
		keyFile, keyVariable)
}

// fit cuts s to n characters.
func fit(s string, n int) string {
	if r := []rune(s); len(r) > n {
		return string(r[:n])
	}
	return s
}
