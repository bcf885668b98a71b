package planner

import (
	"context"
	"fmt"

	"github.com/cofferhq/coffer/state"
)

// intents are the first records of the journal, one for every step with an
// effect.
func (r *run) intents() []state.Record {
	var records []state.Record
	started := r.Now().UTC()
	for _, s := range r.steps {
		if s.stateOnly {
			continue
		}
		if s.landedBefore() { // on record first: the new intent takes the place of the old
			e := s.before.Next.Clone()
			e.Version, e.Created, e.Envelope = s.live.Version(), s.live.Meta.Created, s.live.Meta.Envelope
			e.Document = s.live.document(e.Document) // it may not have come to the wanted one
			records = append(records, state.Record{Kind: state.RecordEntry, Location: s.loc, Entry: e, At: started})
		}
		rec := state.Record{
			Kind: state.RecordIntent, Location: s.loc, At: started,
			Intent: &state.Intent{Op: s.op, Action: string(s.change.Action), Base: s.change.VersionFrom, Started: started, Next: s.next},
		}
		if s.writes() {
			rec.Intent.Promised = s.store.NextVersion(s.change.VersionFrom)
		}
		if s.isObject() && s.res != nil && s.change.VersionFrom == "" {
			rec.Intent.Begins = s.res.Begins
		}
		if s.next == nil && s.old == nil { // an orphan: nothing else says what it is
			rec.Entry = &state.Entry{Address: s.change.Address, Location: s.loc, Store: s.change.Location.Provider, Role: s.change.Role}
		}
		records = append(records, rec)
	}
	return records
}

// announce makes every intent durable before the first call.
func (r *run) announce(ctx context.Context) error {
	records := r.intents()
	if len(records) > 0 {
		if err := r.Session.Append(ctx, records...); err != nil {
			return fmt.Errorf("nothing was written: the journal could not be: %w", err)
		}
	}
	r.journal = newJournal(r.Session)
	for _, rec := range records {
		if err := r.Snapshot.Apply(rec); err != nil {
			return err
		}
	}
	return nil
}
