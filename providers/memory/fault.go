package memory

import (
	"time"

	"github.com/cofferhq/coffer/providers"
)

// Effect is what a [Fault] does to a call.
type Effect int

const (
	// Refuse fails the call with Fault.Code before any effect.
	Refuse Effect = iota
	// LoseAnswer lets the effect happen and loses the answer: Ambiguous.
	LoseAnswer
	// Land answers Ambiguous and lets the effect happen Fault.Calls calls later,
	// or at [World.Settle].
	Land
)

// Fault is something that goes wrong. The first fault that fits a call hits it.
type Fault struct {
	// Op is the name of an operation as in [World.Calls], Path a driver's path
	// (for a batch its container). Empty is any. Of an Inspect, a fault with a
	// path hits that path alone.
	Op, Path string
	// Skip lets that many fitting calls pass first; Times is how many calls it
	// then hits, 0 being all.
	Skip, Times int
	Effect      Effect
	Code        providers.Code
	RetryAfter  time.Duration
	Calls       int
	// Text is the platform's message; empty is the name of the code.
	Text string
}

// Deny refuses an operation at a path for ever.
func Deny(op, path string) Fault { return Fault{Op: op, Path: path, Code: providers.Denied} }

// Outage makes the platform unreachable after skip more calls.
func Outage(skip int) Fault { return Fault{Skip: skip, Code: providers.Unavailable} }

// Inject adds faults.
func (w *World) Inject(faults ...Fault) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, f := range faults {
		w.faults = append(w.faults, &f)
	}
}

// Heal takes all faults away. Late writes stay on their way.
func (w *World) Heal() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.faults = nil
}

// fault returns the fault that hits a call, nil for none, and counts it.
func (w *World) fault(op, path string) *Fault {
	for _, f := range w.faults {
		if (f.Op == "" || f.Op == op) && (f.Path == "" || f.Path == path) && f.hits() {
			return f
		}
	}
	return nil
}

// pathFault is what keeps one path of a larger call from being answered.
func (w *World) pathFault(op, path string) error {
	for _, f := range w.faults {
		if f.Path == path && (f.Op == "" || f.Op == op) && f.Effect == Refuse && f.hits() {
			return f.err()
		}
	}
	return nil
}

// hits counts a call that fits and reports whether the fault hits it.
func (f *Fault) hits() bool {
	switch {
	case f.Skip > 0:
		f.Skip--
		return false
	case f.Times < 0:
		return false
	case f.Times == 1:
		f.Times = -1
	case f.Times > 1:
		f.Times--
	}
	return true
}

func (f *Fault) err() error {
	code, text := f.Code, f.Text
	if f.Effect != Refuse {
		code = providers.Ambiguous
		if text == "" {
			text = "the answer was lost"
		}
	}
	if text == "" {
		text = code.String()
	}
	return providers.Errorf(code, "%s", text).After(f.RetryAfter)
}

// begin counts a call and lets late writes land whose time has come.
func (w *World) begin(op string) {
	w.counts[op]++
	var waiting []*lateWrite
	for _, l := range w.late {
		if l.left--; l.left > 0 {
			waiting = append(waiting, l)
			continue
		}
		l.land()
	}
	w.late = waiting
}
