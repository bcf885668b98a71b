package planner

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"io"
	"maps"
	"slices"

	"github.com/cofferhq/coffer/lang/addr"
	"github.com/cofferhq/coffer/providers"
	"github.com/cofferhq/coffer/providers/secret"
	"github.com/cofferhq/coffer/state"
)

// step is one change with all that carrying it out needs.
type step struct {
	change *Change
	store  *Store
	loc    addr.Location
	res    *Resource     // nil for what the configuration no longer has
	old    *state.Entry  // as recorded; nil
	before *state.Intent // what an earlier run left open here; nil
	live   Observation
	op     string
	next   *state.Entry // what the entry becomes; nil for a delete or forget
	// stateOnly: nothing is called, only the state changes.
	stateOnly bool
}

// prepareSteps turns changes into steps. It runs before the journal is written
// and calls no provider.
func (r *run) prepareSteps(live *Live) error {
	r.steps = make([]*step, len(r.changes))
	for i, c := range r.changes {
		store := r.Stores[c.Location.Provider]
		s := &step{change: c, store: store, loc: addr.Location{Provider: store.Identity, Kind: c.Location.Kind, Path: c.Location.Path}}
		s.live = live.At(s.loc)
		s.old = r.Snapshot.Entries[s.loc]
		if s.old != nil {
			s.before = s.old.Pending.Clone()
		}
		if c.ConfigDigest != "" {
			s.res = r.Desired.On(s.loc)
		}
		s.live.Meta.Fields = openFields(s.live.Meta.Fields, keysOf(s.res, s.old)...)
		op, err := newOp(r.Rand, r.Desired.Project)
		if err != nil {
			return err
		}
		s.op = op
		s.next = r.nextEntry(s)
		s.stateOnly = s.effectless(r.Desired.Project)
		if c.Action == Forget && s.old != nil && r.Desired.elsewhere(r.Stores, s.old) != nil {
			s.stateOnly = true // its mark is that of what it now is
		}
		r.steps[i] = s
	}
	return nil
}

// newOp returns a fresh operation id: our project's prefix and 128 random bits.
func newOp(random io.Reader, project string) (string, error) {
	if random == nil {
		random = rand.Reader
	}
	var b [16]byte
	if _, err := io.ReadFull(random, b[:]); err != nil {
		return "", fmt.Errorf("no randomness for an operation id: %w", err)
	}
	return opPrefix(project) + hex.EncodeToString(b[:]), nil
}

// effectless reports whether a step changes nothing but the state.
func (s *step) effectless(project string) bool {
	c := s.change
	marks := s.store.KeepsAttributes()
	switch c.Action {
	case Forget: // takes our mark off what stays, and off nothing else
		mark := s.live.Attributes().Mark
		return !marks || !s.live.Exists || s.live.Meta.IsDeleted() || mark.Project != project || mark.Address != "" && mark.Address != addressMark(c.Address)
	case Adopt, Rename:
		marked := s.res == nil && (s.isObject() || s.live.Attributes().Mark.Project == project) || s.res != nil && s.res.IsObject() && s.stands(project)
		return len(c.Fields) == 0 && (!marks || marked)
	case Update:
		if s.res != nil && s.res.IsObject() {
			return s.stands(project) && (c.Reason != ReasonSourceChanged || len(s.res.Fetches) == 0) // written again, it is looked at
		}
		return s.res != nil && len(c.Fields) == 0 && c.From == nil && !marks
	}
	return false
}

// stands reports whether a live object is as the step leaves it, its mark
// included.
func (s *step) stands(project string) bool {
	o := s.live.Object
	if o == nil || o.Like(s.next.Document) != s.next.Document {
		return false
	}
	return o.NoMark || !s.store.KeepsAttributes() || o.Attributes.Mark == markOf(project, s.res)
}

// writes reports whether the step makes a new version of a secret.
func (s *step) writes() bool {
	c := s.change
	return s.res != nil && !s.isObject() && c.Action != Delete && c.Action != Forget && (s.sets() || c.From != nil && c.Action != Rename)
}

// sets reports whether the change writes a value made from sources.
func (s *step) sets() bool { return len(s.change.Fields) > 0 }

// nextEntry is the entry as it will be when the step has succeeded, all but
// what only the store can tell.
func (r *run) nextEntry(s *step) *state.Entry {
	c := s.change
	if c.Action == Delete || c.Action == Forget {
		return nil
	}
	e := &state.Entry{}
	if source := r.basis(s); source != nil {
		*e = *source
		e.Fields, e.Inputs = maps.Clone(source.Fields), maps.Clone(source.Inputs)
	}
	e.Pending = nil
	e.Location, e.Store, e.Op = s.loc, c.Location.Provider, s.op
	e.Address, e.Generation = c.Address, c.Generation
	if s.res == nil { // accepted although the block is gone
		e.Document = s.live.document(e.Document)
		return e
	}
	e.Role, e.Protect = s.res.Role, s.res.Protect
	if s.res.IsObject() {
		e.Document, e.Generation = s.document(), 0
		if len(s.res.Rolls) > 0 {
			e.Document = r.rolled(s.res)
		}
		e.Needs, e.Holds = r.Desired.needed(s.res), s.res.Holds
		e.Made = c.Action == Create || e.Made || r.madeElsewhere(s)
		return e
	}
	if s.writes() || s.old == nil || s.takesLive() && !s.landedBefore() {
		e.Key = s.res.Key
	}
	sec := s.res.Secret
	e.Class, e.AcceptsOutside = s.res.Class, s.res.AcceptsOutside()
	e.Labels, e.Description, e.Requested = sec.Labels, sec.Description, sec.Generation
	e.Form = recordForm(s.res.Form)
	restarts := restartsClock(c, s.res, e.Fields, s.takesLive())
	e.Fields = r.nextFields(s, e.Fields)
	if e.RotatedAt.IsZero() || restarts {
		e.RotatedAt = r.Now().UTC()
	}
	switch {
	case s.res.IsReplica():
		if c.From != nil {
			r.follow(s, e)
		}
	case s.sets() || s.old == nil && c.From == nil || e.Inputs == nil:
		e.Inputs = r.plannedInputs(s.res)
	case s.keepsValue():
		e.Inputs = r.renamedInputs(s.res, e.Inputs)
	}
	e.Class = strongest(e.Fields, s.res.Class)
	return e
}

// basis is the entry that the next one starts from: the prepared one of an
// interrupted run, the recorded one, the one it comes from, or none.
func (r *run) basis(s *step) *state.Entry {
	c := s.change
	if s.landedBefore() {
		return s.before.Next
	}
	if c.Action == Relocate || s.res != nil && s.res.IsReplica() && c.From != nil {
		if from := r.entryAt(c.From.Location); from != nil {
			copied := from.Clone()
			if p := from.Pending; p != nil && p.Next != nil && from.Version != c.From.Version {
				copied = p.Next.Clone() // what an interrupted run wrote there is what moves
			}
			copied.Version, copied.Envelope = "", ""
			for name, f := range copied.Fields { // a fingerprint is bound to its place
				f.Fingerprint = ""
				copied.Fields[name] = f
			}
			return copied
		}
	}
	return s.old
}

// keepsValue reports whether the step only brings names and places up to date.
func (s *step) keepsValue() bool {
	c := s.change
	return c.Reason == ReasonMetadataChanged || c.Action == Relocate || c.Action == Rename
}

// renamedInputs puts recorded inputs under the names that moved blocks gave
// them; what was not recorded stays so.
func (r *run) renamedInputs(res *Resource, recorded map[string]int) map[string]int {
	var out map[string]int
	for _, need := range res.Needs {
		for _, a := range append([]addr.Address{need}, r.Desired.cameFrom(need)...) {
			generation, known := recorded[a.String()]
			if !known {
				continue
			}
			if out == nil {
				out = map[string]int{}
			}
			out[need.String()] = generation
			break
		}
	}
	return out
}

// recordedFields returns what the state knew of the fields before this run.
func (s *step) recordedFields() map[string]state.Field {
	switch {
	case s.landedBefore():
		return s.before.Next.Fields
	case s.old != nil:
		return s.old.Fields
	case s.live.Exists: // adopted and completed at once
		return assumedFields(s.res, s.live.Meta.Fields)
	}
	return nil
}

// strongest returns the class of the strongest field that is recorded: a
// source that waits does not yet say what the value is.
func strongest(fields map[string]state.Field, otherwise string) string {
	best := ""
	for _, f := range fields {
		if best == "" || rank(f.Class) > rank(best) {
			best = f.Class
		}
	}
	if best == "" {
		return otherwise
	}
	return best
}

// landedBefore reports whether what is live was written by an earlier run whose
// intent is still open.
func (s *step) landedBefore() bool {
	return s.before != nil && s.before.Next != nil && landed(s.before, &s.live)
}

func (r *run) entryAt(l Location) *state.Entry {
	store := r.Stores[l.Provider]
	if store == nil {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.Snapshot.Entries[addr.Location{Provider: store.Identity, Kind: l.Kind, Path: l.Path}]
}

// restartsClock reports whether the rotation clock of r starts anew with c;
// recorded are the fields of the entry that the next one starts from.
func restartsClock(c *Change, r *Resource, recorded map[string]state.Field, takesLive bool) bool {
	switch {
	case r.IsReplica():
		return false // its clock is the primary's, see follow
	case c.Action == Create, c.Action == Rotate, replaces(c, r, recorded):
		return true
	case c.Action == Adopt:
		return c.Reason == ReasonChangedOutside || c.Reason == ReasonImported || c.Reason == ReasonStateBehind
	}
	return c.Action == Restore && (c.From != nil || takesLive)
}

// takesLive reports whether what somebody else wrote is taken as it is.
func (s *step) takesLive() bool {
	c := s.change
	return c.VersionFrom != c.Entry && (c.Action == Adopt || c.Action == Restore && c.From == nil && c.Reason == ReasonChangedOutside)
}

// follow makes e, the entry of a copy, say of the value what its primary's entry
// will say: so that the copy can become the primary.
func (r *run) follow(s *step, e *state.Entry) {
	p := r.Desired.At(s.res.Address.Primary())
	if p == nil {
		return
	}
	of := r.Snapshot.Entries[p.Location]
	if i, ok := r.byKey[p.key()]; ok && r.steps[i] != nil && r.steps[i].next != nil {
		of = r.steps[i].next // a primary stands before its copies
	}
	if of != nil {
		e.RotatedAt, e.Inputs = of.RotatedAt, maps.Clone(of.Inputs)
	}
}

// replaces reports whether a value that is recorded gets another: neither a
// field that is added nor a template that follows makes the rest any younger.
func replaces(c *Change, r *Resource, recorded map[string]state.Field) bool {
	for _, f := range r.Secret.Fields {
		if c.Fields[f.Name].Op != OpSet || sourceClass(f.Source) != r.Class {
			continue
		}
		if _, had := recorded[f.Name]; had || recorded == nil {
			return true
		}
	}
	return false
}

// nextFields applies what a change does to what is recorded of the fields.
func (r *run) nextFields(s *step, recorded map[string]state.Field) map[string]state.Field {
	c := s.change
	fields := recorded
	adopts := c.VersionFrom != "" && s.live.Exists && c.VersionFrom != c.Entry && (s.takesLive() || c.Action == Update || c.Action == Rename)
	switch {
	case fields == nil && s.live.Exists && c.From == nil:
		fields = assumedFields(s.res, s.live.Meta.Fields)
	case adopts && c.Reason == ReasonChangedOutside && c.From == nil:
		fields = withLiveFields(s.res, s.live.Meta.Fields, fields)
	case fields == nil && (s.res.IsReplica() || c.Action == Relocate):
		fields = assumedFields(s.res, nil)
	case fields == nil:
		fields = map[string]state.Field{}
	}
	wanted := map[string]string{}
	for _, f := range s.res.Secret.Fields {
		wanted[f.Name] = sourceClass(f.Source)
		old, had := fields[f.Name]
		// What is supplied, or left to a person, may change its source while
		// the value stays: the record follows.
		renamed := s.keepsValue() && old.Class == state.ClassTemplate && wanted[f.Name] == state.ClassTemplate
		follows := had && (renamed || wanted[f.Name] == state.ClassManual || old.Class == state.ClassSupplied && wanted[f.Name] == state.ClassSupplied)
		if c.Fields[f.Name].Op == OpSet {
			old.Fingerprint = "" // of the value before; the new one is taken when it is written
		}
		found := !had && s.live.Exists && slices.Contains(s.live.Meta.Fields, f.Name)
		if c.Fields[f.Name].Op == OpSet || follows || found {
			fields[f.Name] = state.Field{Source: f.Source.Text(), Class: wanted[f.Name], Fingerprint: old.Fingerprint}
		}
	}
	for name, fc := range c.Fields {
		if fc.Op == OpDrop {
			delete(fields, name)
		}
	}
	return fields
}

// plannedInputs returns the generations that the plan leaves behind.
func (r *run) plannedInputs(res *Resource) map[string]int {
	var out map[string]int
	for _, need := range res.Needs {
		dep := r.Desired.At(need)
		if dep == nil || dep.IsObject() {
			continue
		}
		if out == nil {
			out = map[string]int{}
		}
		gen := 0
		if e := r.Snapshot.Entries[dep.Location]; e != nil {
			gen = e.Generation
		}
		if i, ok := r.byKey[dep.key()]; ok {
			gen = r.changes[i].Generation
		}
		out[need.String()] = gen
	}
	return out
}

// attributes are what the store shall say of the resource.
func (r *run) attributes(s *step) providers.Attributes {
	switch {
	case s.res == nil && s.next == nil && s.isObject() && s.change.Action == Delete: // whose word it is
		return providers.Attributes{Mark: providers.Mark{Project: r.Desired.Project, Address: addressMark(s.change.Address)}}
	case !s.store.KeepsAttributes(), s.res == nil && s.next == nil:
		return providers.Attributes{}
	case s.res == nil: // accepted although the block is gone
		e := s.next
		mark := providers.Mark{Project: r.Desired.Project, Address: addressMark(e.Address), Protected: e.Protect}
		return providers.Attributes{Mark: mark, Labels: e.Labels, Description: e.Description, Form: recordedForm(e)}
	}
	a := providers.Attributes{Mark: markOf(r.Desired.Project, s.res), Form: s.res.Form}
	if s.res.Secret != nil {
		a.Labels, a.Description = s.res.Secret.Labels, s.res.Secret.Description
	}
	return a
}

// keep is what a step hands on: the value it made, for those that need it.
type keep struct {
	value secret.Value // the whole value, or only the fields set when partial
	whole bool
}
