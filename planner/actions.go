package planner

import (
	"maps"
	"slices"
	"strings"

	"github.com/cofferhq/coffer/lang"
	"github.com/cofferhq/coffer/lang/addr"
	"github.com/cofferhq/coffer/state"
)

// opPrefix begins every operation id of a project, so that a write of ours can
// be told from others even when the state that made it is lost.
func opPrefix(project string) string {
	return "cof-" + shortHash(project) + "-"
}

func opIsOurs(op, project string) bool { return op != "" && strings.HasPrefix(op, opPrefix(project)) }

// create plans a thing that does not exist. Where it existed once, a generator
// makes a new value, and that needs the same confirmation as a rotation.
func (x *differ) create(f *facts, reason Reason) outcome {
	if f.r.IsObject() {
		return x.createObject(f, reason)
	}
	set := map[string]FieldChange{}
	real := false // more than public text and templates
	waiting := x.waiting(f)
	for _, field := range f.r.Secret.Fields {
		if waiting[field.Name] == "" {
			set[field.Name] = setField(field.Source)
			real = real || sourceClass(field.Source) != state.ClassTemplate
		}
	}
	if len(set) == 0 || len(waiting) > 0 && !real {
		x.noteWaiting(f, waiting)
		return outcome{blocked: "has no value yet"}
	}
	x.noteWaiting(f, waiting)
	c := f.change(Create, reason, "")
	c.Fields = set
	c.NewValue = reason == ReasonMissing && f.r.Generated()
	if c.NewValue {
		c.Detail = "gone from its store: a new value is made"
	}
	return x.written(f, c, x.nextGeneration(f), waiting)
}

// nextGeneration is the one that a new value gets.
func (x *differ) nextGeneration(f *facts) int {
	if f.e == nil {
		return x.lastGeneration(f.r) + 1
	}
	return f.e.Generation + 1
}

func setField(s *lang.Source) FieldChange {
	fc := FieldChange{Op: OpSet, Source: s.Text()}
	if s.Kind == lang.Public {
		fc.After = s.Plain
	}
	return fc
}

// Field operations of a change.
const (
	OpSet  = "set"
	OpDrop = "drop"
)

// written completes a change that makes values: whether it reads any, and
// whether it makes the whole.
func (x *differ) written(f *facts, c *Change, generation int, waiting map[string]string) outcome {
	whole := true
	for _, field := range f.r.Secret.Fields {
		fc, sets := c.Fields[field.Name]
		if inContainer(f.recordedFields(), f.e != nil, &f.o, field.Name) && (!sets || fc.Op != OpSet) {
			whole = false
		}
		if sets && fc.Op == OpSet && x.readsFor(f, c, field.Source) {
			c.ReadsValue = true
		}
	}
	if !whole && !f.store.patches {
		c.ReadsValue = true
	}
	return outcome{change: c, generation: generation, whole: whole, blockedFields: waiting}
}

// inContainer reports whether a field is, or may be, in what is live: it is
// recorded, it is seen there, or nothing at all is recorded of the fields.
func inContainer(recorded map[string]state.Field, known bool, o *Observation, name string) bool {
	_, had := recorded[name]
	return had || o.Exists && slices.Contains(o.Meta.Fields, name) || known && o.Exists && len(recorded) == 0
}

// readsFor reports whether making a source needs a value that this plan does
// not make itself.
func (x *differ) readsFor(f *facts, c *Change, s *lang.Source) bool {
	for _, ref := range s.Refs() {
		fields := c.Fields
		if ref.Address != f.r.Address {
			dep := x.outcome(ref.Address)
			if dep.change == nil {
				return true
			}
			if dep.whole {
				continue
			}
			fields = dep.change.Fields
		}
		if fields[ref.Field].Op != OpSet {
			return true
		}
	}
	return false
}

// adopt plans to take what is live into the state, and what of the
// configuration it does not meet yet.
func (x *differ) adopt(f *facts, reason Reason, format string, args ...any) outcome {
	return x.onward(f, Adopt, reason, format, args...)
}

// onward plans an action that leaves the live value as it is, and goes on with
// the "same version" row: what that row wants is done in the same change.
func (x *differ) onward(f *facts, action Action, reason Reason, format string, args ...any) outcome {
	c := f.change(action, reason, format, args...)
	if f.r.IsObject() {
		return x.onwardObject(f, c)
	}
	g := *f
	g.e = x.adopted(f, reason)
	g.here = true
	if f.store.marks {
		g.o.Meta.Attributes.Mark = x.mark(f.r) // as it will be
	}
	g.interrupted = false
	out := x.samePlace(&g)
	next := out.change
	switch {
	case action != Adopt && action != Restore || f.r.IsReplica():
	case f.e == nil:
		x.noteTakenAsMade(f.r, f.o.Meta.Fields, next)
	case len(g.e.Fields) > len(f.e.Fields):
		x.noteTakenAsThere(f.r, f.o.Meta.Fields)
	}
	if next == nil {
		if out.generation == 0 {
			out.generation = g.e.Generation
		}
		out.change = c
		return out
	}
	c.Fields, c.ReadsValue, c.NewValue = next.Fields, next.ReadsValue, next.NewValue
	c.From, c.GenerationLive = next.From, next.GenerationLive
	if action == Adopt && (next.Action == Rotate || len(next.Fields) > 0 || next.From != nil) {
		c.Action = next.Action
	}
	out.change = c
	return out
}

// noteTakenAsMade says which templates are adopted as they stand: without a
// record nothing tells of which values they were made.
func (x *differ) noteTakenAsMade(r *Resource, seen []string, next *Change) {
	x.noteTakenAsThere(r, seen)
	for _, field := range r.Secret.Fields {
		if sourceClass(field.Source) != state.ClassTemplate || next != nil && next.Fields[field.Name].Op == OpSet {
			continue
		}
		x.note(r, ReasonNotCompared, "%snot compared with what it is made of (adopted as it stands)", fieldLabel(field.Name))
	}
}

// noteTakenAsThere says that fields without a record are not made, since they may
// be there: that cannot be seen.
func (x *differ) noteTakenAsThere(r *Resource, seen []string) {
	if !r.Secret.Single && seen == nil {
		x.note(r, ReasonNotCompared, "its fields are taken to be there, as %s does not tell their names", r.Store)
	}
}

// samePlace is the "same version" row, or, for a copy, what follows from its
// primary.
func (x *differ) samePlace(f *facts) outcome {
	if f.r.IsReplica() {
		out, _ := rowReplica(x, f)
		return out
	}
	return x.same(f)
}

// adopted returns the entry that an adoption would make of what is live.
func (x *differ) adopted(f *facts, reason Reason) *state.Entry {
	var e state.Entry
	if f.e != nil {
		e = *f.e
	} else {
		e = state.Entry{
			Fields: assumedFields(f.r, f.o.Meta.Fields), Inputs: x.inputs(f.r), Labels: f.r.Secret.Labels,
			Description: f.r.Secret.Description, Protect: f.r.Protect, AcceptsOutside: f.r.AcceptsOutside(),
			Requested: f.r.Secret.Generation, Class: f.r.Class, RotatedAt: x.o.Now, Key: f.r.Key,
		}
		if f.o.Meta.IsDeleted() && reason != ReasonChangedOutside { // nobody uses it, so what is at hand is made anew
			maps.DeleteFunc(e.Fields, func(_ string, field state.Field) bool { return atHand(field.Class) })
		}
	}
	e.Address, e.Location, e.Role = f.r.Address, f.r.Location, f.r.Role
	e.Pending = nil
	replaced := f.recorded() && reason != ReasonInterrupted && reason != ReasonReencrypted && versionDiffers(f.e, &f.o)
	switch {
	case f.r.IsReplica() && (replaced || f.e == nil || !x.copyOf(f.r, f.e)):
		e.Generation = 0 // nobody knows which value it holds
	case e.Generation == 0:
		e.Generation = x.lastGeneration(f.r) + 1
	case replaced:
		e.Generation++
		e.RotatedAt, e.Key = x.o.Now, f.r.Key
		e.Fields = withLiveFields(f.r, f.o.Meta.Fields, e.Fields)
	}
	e.Version, e.Created, e.Envelope = f.o.Version(), f.o.Meta.Created, f.o.Meta.Envelope
	return &e
}

// assumedFields takes what is live for what the configuration says, less the
// fields that are seen to lack; seen is nil where names cannot be seen.
func assumedFields(r *Resource, seen []string) map[string]state.Field {
	out := map[string]state.Field{}
	for _, field := range r.Secret.Fields {
		if seen == nil || slices.Contains(seen, field.Name) {
			out[field.Name] = state.Field{Source: field.Source.Text(), Class: sourceClass(field.Source)}
		}
	}
	return out
}

// withLiveFields brings recorded fields in line with the names that are seen
// on the store, after somebody else wrote a version.
func withLiveFields(r *Resource, seen []string, recorded map[string]state.Field) map[string]state.Field {
	out := assumedFields(r, seen)
	for name := range out {
		if old, ok := recorded[name]; ok {
			old.Fingerprint = ""
			out[name] = old
		}
	}
	return out
}

// inputs returns the generation of everything r is made of, as it will be.
func (x *differ) inputs(r *Resource) map[string]int {
	var out map[string]int
	for _, need := range r.Needs {
		if dep := x.d.byAddress[need]; dep == nil || dep.IsObject() {
			continue
		}
		if out == nil {
			out = map[string]int{}
		}
		out[need.String()] = x.generationOf(need)
	}
	return out
}

// generationOf returns the generation that a secret has after this plan.
func (x *differ) generationOf(a addr.Address) int {
	if out := x.outcome(a); out.generation > 0 {
		return out.generation
	}
	if r := x.d.byAddress[a]; r != nil {
		if e := x.s.Entries[r.Location]; e != nil {
			return e.Generation
		}
	}
	return 0
}

// update plans new values for some fields that are at hand.
func (x *differ) update(f *facts, reason Reason, fields map[string]FieldChange) outcome {
	waiting := x.waiting(f)
	for name := range fields {
		if waiting[name] != "" && fields[name].Op == OpSet {
			delete(fields, name)
		}
	}
	if len(fields) == 0 {
		x.noteWaiting(f, waiting)
		return outcome{generation: f.generation(), blockedFields: waiting}
	}
	c := f.change(Update, reason, "")
	if reason == ReasonChangedOutside {
		c.Detail = whoWhen(&f.o)
	}
	c.Fields = fields
	return x.written(f, c, x.nextGeneration(f), waiting)
}

// allFields sets everything whose source can be used now.
func (x *differ) allFields(f *facts) map[string]FieldChange {
	out := map[string]FieldChange{}
	for _, field := range f.r.Secret.Fields {
		if field.Source.Kind != lang.Manual {
			out[field.Name] = setField(field.Source)
		}
	}
	return out
}

// rotate plans what the sources now give, for every field that has one.
func (x *differ) rotate(f *facts, reason Reason) outcome {
	a := f.r.Address
	if f.r.Secret.Rotation.Never {
		return x.refuseRotation(f, a.String()+" is never rotated", "Its block says rotation = never. Take that out first, if the value may really change.")
	}
	if f.r.Class == state.ClassManual {
		return x.refuseRotation(f, a.String()+" has no source that could make a value", "A person writes it. Run: coffer secret set "+quoteArg(a))
	}
	fields := x.allFields(f)
	for name := range f.recordedFields() {
		if _, wanted := fields[name]; !wanted && !x.isField(f.r, name) {
			fields[name] = FieldChange{Op: OpDrop}
		}
	}
	waiting := x.waitingBeyond(f)
	for name := range fields {
		if waiting[name] != "" {
			x.noteWaiting(f, waiting)
			return outcome{generation: f.generation(), blocked: "could not be rotated"}
		}
	}
	c := f.change(Rotate, reason, "")
	c.Fields = fields
	c.NewValue = f.r.Generated()
	return x.written(f, c, x.nextGeneration(f), waiting)
}

// refuseRotation files a diagnostic; the value that is there stays good for
// those that are made of it.
func (x *differ) refuseRotation(f *facts, summary, detail string) outcome {
	out := x.refuse(f, summary, detail)
	out.blocked = ""
	return out
}

func (f *facts) recordedFields() map[string]state.Field {
	if f.e == nil {
		return nil
	}
	return f.e.Fields
}

func (x *differ) isField(r *Resource, name string) bool {
	for _, field := range r.Secret.Fields {
		if field.Name == name {
			return true
		}
	}
	return false
}

// set plans the values that a person supplies in this run.
func (x *differ) set(f *facts) outcome {
	fields := map[string]FieldChange{}
	for _, field := range f.r.Secret.Fields {
		if field.Source.Kind == lang.Manual && slices.Contains(x.settlement(f.r.Address).Fields, field.Name) {
			fields[field.Name] = setField(field.Source)
		}
	}
	c := f.change(Update, ReasonSourceChanged, "")
	c.Fields = fields
	x.addDependants(f.r, fields)
	return x.written(f, c, x.nextGeneration(f), x.waitingBeyond(f))
}
