package planner

import (
	"errors"
	"fmt"

	"github.com/cofferhq/coffer/lang/addr"
	"github.com/cofferhq/coffer/providers"
	"github.com/cofferhq/coffer/state"
)

// settle records what became of a step.
func (r *run) settle(s *step, res providers.Result) {
	if res.Err != nil {
		r.fail(s, res.Err, !definite(res.Err))
		return
	}
	if s.next == nil {
		r.record(state.Record{Kind: state.RecordDrop, Location: s.loc})
	} else {
		r.record(state.Record{Kind: state.RecordEntry, Location: s.loc, Entry: r.entryWith(s, res)})
	}
	r.carried(s, res.Moved)
	if err := r.durableFirst(s); err != nil {
		r.finished(s.change, err, "")
		return
	}
	r.finished(s.change, nil, "")
}

// entryWith completes the next entry with what the store told.
func (r *run) entryWith(s *step, res providers.Result) *state.Entry {
	e := *s.next
	if s.isObject() {
		e.Version = res.Object.Version
		return &e
	}
	e.Version, e.Created, e.Envelope = res.Meta.Version, res.Meta.Created, res.Meta.Envelope
	if e.Created.IsZero() && e.Version == s.live.Meta.Version {
		e.Created = s.live.Meta.Created
	}
	if e.Envelope == "" && e.Version == s.live.Meta.Version {
		e.Envelope = s.live.Meta.Envelope
	}
	r.values.fingerprints(s, &e)
	return &e
}

// carried records secrets that got another version without another value,
// because their container was written under a new key.
func (r *run) carried(s *step, moved map[string]providers.Meta) {
	for path, meta := range moved {
		loc := addr.Location{Provider: s.loc.Provider, Kind: addr.KindSecret, Path: path}
		r.mu.Lock()
		old := r.Snapshot.Entries[loc]
		r.moved[loc] = meta
		r.mu.Unlock()
		if old == nil {
			continue
		}
		e := *old
		e.Pending = nil
		e.Version, e.Envelope = meta.Version, meta.Envelope
		r.record(state.Record{Kind: state.RecordEntry, Location: loc, Entry: &e})
	}
}

// settleStateOnly records a step that calls no provider.
func (r *run) settleStateOnly(s *step) {
	if s.next == nil {
		r.record(state.Record{Kind: state.RecordDrop, Location: s.loc})
	} else {
		e := *s.next
		if s.isObject() {
			e.Version = s.live.Version()
		} else {
			e.Version, e.Created, e.Envelope = s.live.Meta.Version, s.live.Meta.Created, s.live.Meta.Envelope
		}
		if e.Version == "" && s.old != nil {
			e.Version, e.Created, e.Envelope = s.old.Version, s.old.Created, s.old.Envelope
		}
		r.mu.Lock()
		if now, carried := r.moved[s.loc]; carried {
			e.Version, e.Envelope = now.Version, now.Envelope
		}
		r.mu.Unlock()
		r.record(state.Record{Kind: state.RecordEntry, Location: s.loc, Entry: &e})
	}
	r.finished(s.change, nil, "")
}

// record adds an outcome to the journal and to the snapshot.
func (r *run) record(rec state.Record) {
	rec.At = r.Now().UTC()
	r.journal.add(rec)
	r.mu.Lock()
	defer r.mu.Unlock()
	// A record of our own making always applies; a bug shows in the save.
	_ = r.Snapshot.Apply(rec)
}

// durableFirst waits until the outcome of a primary is on record where a
// re-write would not be harmless, before copies are made of it.
func (r *run) durableFirst(s *step) error {
	if s.store.Capabilities().Settle == 0 || s.res == nil || s.res.Secret == nil || len(s.res.Secret.Replicas) == 0 {
		return nil
	}
	return r.journal.sync()
}

// fail records a failed step. An unknown outcome keeps its intent: the next
// run looks before it writes.
func (r *run) fail(s *step, err error, unknown bool) {
	if unknown {
		r.heard(s)
		err = fmt.Errorf("%w (the outcome is not known; the next run looks before it writes)", err)
	} else {
		r.clear(s)
	}
	var ae *providers.Error
	if errors.As(err, &ae) && ae.Code == providers.Conflict {
		err = fmt.Errorf("somebody else wrote it first: %w", err)
	}
	r.finished(s.change, err, "")
}

// heard keeps on record how long the run lived with a call whose outcome is not
// known, so that what is found later is not taken for somebody else's.
func (r *run) heard(s *step) {
	r.mu.Lock()
	e := r.Snapshot.Entries[s.loc]
	var open *state.Intent
	if e != nil {
		open = e.Pending.Clone()
	}
	r.mu.Unlock()
	if now := r.Now().UTC(); open != nil && now.After(open.Heard()) {
		open.Alive = now
		r.record(state.Record{Kind: state.RecordIntent, Location: s.loc, Intent: open})
	}
}

// lacksMark reports whether what is live is a secret that carries nobody's mark,
// on a store that keeps marks.
func (s *step) lacksMark() bool {
	return !s.isObject() && s.store.KeepsAttributes() && s.live.Attributes().Mark.Project == ""
}

func (r *run) skip(s *step, why string) {
	r.clear(s)
	r.finished(s.change, nil, why)
}

// clear takes the intent of a step that changed nothing out of the journal. An
// intent that was there before this run, and is not settled, comes back as it
// was; so does one that landed without our mark, since it alone says whose that
// is, and that of a restart that is owed.
func (r *run) clear(s *step) {
	if s.stateOnly || r.owesRestart(s) {
		return
	}
	rec := state.Record{Kind: state.RecordRefused, Location: s.loc}
	if s.before != nil && (!s.landedBefore() || s.lacksMark()) {
		rec = state.Record{Kind: state.RecordIntent, Location: s.loc, Intent: s.before, Entry: s.old}
	}
	r.record(rec)
}
