package planner

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/cofferhq/coffer/lang"
	"github.com/cofferhq/coffer/lang/addr"
	"github.com/cofferhq/coffer/state"
)

// same is the row for a secret whose live version is the recorded one: update
// what differs, rotate what is due, else nothing.
func (x *differ) same(f *facts) outcome {
	if f.r.IsObject() {
		return x.sameObject(f)
	}
	if out, ok := x.settleInterrupted(f); ok {
		return out
	}
	if out, ok := x.sealedAnew(f); ok {
		return out
	}
	fields, metadata := x.staleFields(f)
	if rotation, due := x.due(f); due {
		if f.r.Secret.Rotation.Strategy == "regenerate" && f.r.Class != state.ClassManual && x.o.Rotations != RotationsNone {
			switch {
			case !x.windowOpen(f):
				rotation += ", waits for " + f.r.Secret.Rotation.Window
			case x.canRotate(f):
				return x.rotate(f, ReasonRotationDue)
			}
		}
		x.note(f.r, ReasonRotationDue, "%s", rotation)
	}
	if len(fields) > 0 {
		return x.update(f, ReasonSourceChanged, fields)
	}
	waiting := x.waitingBeyond(f)
	x.noteWaiting(f, waiting)
	out := outcome{generation: f.generation(), blockedFields: waiting}
	if metadata || x.metadataDiffers(f) {
		out.change = x.metadataUpdate(f)
	}
	return out
}

// metadataUpdate brings what stands beside a value in line.
func (x *differ) metadataUpdate(f *facts) *Change {
	c := f.change(Update, ReasonMetadataChanged, "")
	switch {
	case !f.store.marks:
		c.Detail = "recorded in the state only; in " + f.r.Store + " nothing changes"
	case len(f.o.Meta.Outdated) > 0:
		c.Detail = "not kept as provider " + f.r.Store + " says: " + strings.Join(f.o.Meta.Outdated, ", ")
	}
	return c
}

// rekeyed adds to what the "same version" row wants that a single value goes
// from one field to another: it is read and written again, in one version.
func (x *differ) rekeyed(f *facts, out outcome) outcome {
	if f.r.Secret == nil || !f.r.Secret.Single || f.e.Key == f.r.Key || f.e.Version == "" || out.blocked != "" {
		return out
	}
	c := out.change
	switch {
	case c == nil:
		c = f.change(Update, ReasonMetadataChanged, "")
	case c.Action != Update || len(c.Fields) > 0: // the value is written anyway
		return out
	}
	c.Detail = "its key becomes " + keyName(f.r.Key) + ", it was " + keyName(f.e.Key)
	c.From = &From{Address: f.r.Address, Location: c.Location, Version: f.o.Version()}
	c.ReadsValue = true
	out.change, out.whole = c, true
	return out
}

func keyName(key string) string {
	if key == "" {
		return "the platform's own"
	}
	return strconv.Quote(key)
}

// windowOpen reports whether a due rotation may happen now.
func (x *differ) windowOpen(f *facts) bool {
	w, err := lang.ParseWindow(f.r.Secret.Rotation.Window)
	return err == nil && w.Open(x.o.asOf())
}

// settleInterrupted takes up a rotation that an earlier run did not finish.
func (x *differ) settleInterrupted(f *facts) (outcome, bool) {
	if f.interrupted && f.again == Rotate && !f.r.IsReplica() && x.o.Rotations != RotationsNone && x.canRotate(f) {
		return x.rotate(f, ReasonInterrupted), true
	}
	return outcome{}, false
}

// canRotate reports whether a new value may and can be made in this plan.
func (x *differ) canRotate(f *facts) bool {
	if f.r.Secret.Rotation.Never || f.r.Class == state.ClassManual {
		return false
	}
	waiting := x.waitingBeyond(f)
	for name := range x.allFields(f) {
		if waiting[name] != "" {
			return false
		}
	}
	return true
}

// staleFields returns the fields to set or drop, and whether only what the
// state says about a source has to follow.
func (x *differ) staleFields(f *facts) (fields map[string]FieldChange, metadata bool) {
	fields = map[string]FieldChange{}
	if _, single := f.e.Fields[""]; len(f.e.Fields) > 0 && single != f.r.Secret.Single {
		x.note(f.r, ReasonSourceChanged, "the secret changes between a single value and fields: that waits for `coffer rotate %s`", quoteArg(f.r.Address))
		return fields, false
	}
	for _, field := range f.r.Secret.Fields {
		rec, had := f.e.Fields[field.Name]
		switch {
		case !had && f.holds(field):
			metadata = true
		case !had && field.Source.Kind != lang.Manual:
			fields[field.Name] = setField(field.Source)
		case had && x.stale(f, field, rec, &metadata):
			fc := setField(field.Source)
			if rec.Source != fc.Source {
				fc.Before = rec.Source
			}
			fields[field.Name] = fc
		}
	}
	for name := range f.e.Fields {
		if !x.isField(f.r, name) {
			fields[name] = FieldChange{Op: OpDrop, Before: f.e.Fields[name].Source}
		}
	}
	x.refuseProtectedDrop(f, fields)
	x.addDependants(f.r, fields)
	return fields, metadata
}

// holds reports whether what is live has a generated field that the state does
// not know, because somebody edited the state: it is never made again.
func (f *facts) holds(field lang.Field) bool {
	unknown := len(f.e.Fields) == 0 && f.e.Version != ""
	return sourceClass(field.Source) == state.ClassGenerated && (unknown || f.o.Exists && slices.Contains(f.o.Meta.Fields, field.Name))
}

// refuseProtectedDrop keeps a protected secret's fields.
func (x *differ) refuseProtectedDrop(f *facts, fields map[string]FieldChange) {
	if !f.e.Protect {
		return
	}
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		if fields[name].Op == OpDrop {
			delete(fields, name)
			x.diagnose(f.r, nil, f.r.Address.String()+" is protected", "Dropping its field "+name+" deletes a value. Apply protect = false first.")
		}
	}
}

// stale decides on one recorded field; it may leave a note instead.
func (x *differ) stale(f *facts, field lang.Field, rec state.Field, metadata *bool) bool {
	class := sourceClass(field.Source)
	text := field.Source.Text()
	changed := text != x.movedText(rec.Source)
	switch {
	case class == state.ClassManual:
		*metadata = *metadata || changed
		return false
	case rec.Class == state.ClassSupplied && class == state.ClassSupplied:
		return x.suppliedStale(f, field, changed, metadata)
	case rec.Class == state.ClassTemplate && class == state.ClassTemplate:
		if changed || x.inputMoved(f, field.Source) {
			return true
		}
		*metadata = *metadata || text != rec.Source // a moved block renamed what it refers to
	case changed:
		x.note(f.r, ReasonSourceChanged, "%s%s -> %s waits for the next rotation, or `coffer rotate %s`", fieldLabel(field.Name), rec.Source, text, quoteArg(f.r.Address))
	}
	return false
}

func fieldLabel(name string) string {
	if name == "" {
		return ""
	}
	return name + ": "
}

// suppliedStale asks the fingerprints whether a person supplied another value.
func (x *differ) suppliedStale(f *facts, field lang.Field, changed bool, metadata *bool) bool {
	if f.r.Secret.Generation != f.e.Requested {
		return true
	}
	c, looked := x.live.Supplied[f.r.Location][field.Name]
	switch {
	case !looked, f.r.IsReplica():
		return false
	case c.Result == Different:
		return true
	case c.Result == Unusable:
		x.diagnose(f.r, nil, "the value for "+f.r.Address.String()+" cannot be used", c.Why)
	case c.Result == NotCompared:
		x.note(f.r, ReasonNotCompared, "%snot compared (%s)", fieldLabel(field.Name), c.Why)
	default:
		*metadata = *metadata || changed
	}
	return false
}

// inputMoved reports whether a secret that the source refers to has, or will
// have, another generation than the one recorded.
func (x *differ) inputMoved(f *facts, s *lang.Source) bool {
	for _, ref := range s.Refs() {
		if ref.Address == f.r.Address {
			continue
		}
		recorded, known := f.e.Inputs[ref.Address.String()]
		if !known {
			for _, old := range x.d.cameFrom(ref.Address) {
				if recorded, known = f.e.Inputs[old.String()]; known {
					break
				}
			}
		}
		if gen := x.generationOf(ref.Address); gen > 0 && gen != recorded && x.blockedRef(f.r, ref) == "" {
			return true
		}
	}
	return false
}

// addDependants adds the fields made of fields that are set.
func (x *differ) addDependants(r *Resource, fields map[string]FieldChange) {
	for again := true; again; {
		again = false
		for _, field := range r.Secret.Fields {
			if _, in := fields[field.Name]; in || field.Source.Kind == lang.Manual || sourceClass(field.Source) != state.ClassTemplate {
				continue
			}
			for _, ref := range field.Source.Refs() {
				if ref.Address == r.Address && fields[ref.Field].Op == OpSet {
					fields[field.Name] = setField(field.Source)
					again = true
				}
			}
		}
	}
}

// metadataDiffers compares the public text beside the value.
func (x *differ) metadataDiffers(f *facts) bool {
	s, e := f.r.Secret, f.e
	if !maps.Equal(s.Labels, e.Labels) || s.Description != e.Description || f.r.Protect != e.Protect ||
		!sameForm(f.r.Form, recordedForm(e)) || f.r.AcceptsOutside() != e.AcceptsOutside || f.r.Class != e.Class && f.r.Class == state.ClassManual {
		return true
	}
	if !f.store.marks || !x.live.Refreshed {
		return false
	}
	a := f.o.Meta.Attributes
	return len(f.o.Meta.Outdated) > 0 || !maps.Equal(a.Labels, s.Labels) || a.Description != s.Description || a.Mark != x.mark(f.r) ||
		!sameForm(a.Form, f.r.Form)
}

// due reports whether the value is older than its rotation allows, in words.
func (x *differ) due(f *facts) (string, bool) {
	at, ok := dueAt(f.r.Secret, f.e)
	if !ok || !isDue(at, x.o.asOf()) || f.r.IsReplica() {
		return "", false
	}
	return "due since " + at.UTC().Format("2006-01-02") + ", made " + f.e.RotatedAt.UTC().Format("2006-01-02") +
		", every " + lang.FormatDuration(f.r.Secret.Rotation.Every), true
}

// dueAt returns when a value is due. Due times spread over the last tenth of
// the period by a hash of the address, so that a thousand secrets made on one
// day are not due on one day.
func dueAt(s *lang.Secret, e *state.Entry) (time.Time, bool) {
	every := s.Rotation.Every
	if s.Rotation.Never || every <= 0 || e == nil || e.RotatedAt.IsZero() {
		return time.Time{}, false
	}
	early := time.Duration(spread(s.Address) * float64(every) / 10)
	return e.RotatedAt.Add(every - early), true
}

// noticeAt returns when a secret that is due at a time is to be announced.
func noticeAt(s *lang.Secret, due time.Time) time.Time { return due.Add(-s.Rotation.NotifyBefore) }

// isDue reports whether a time has come.
func isDue(at, now time.Time) bool { return !now.Before(at) }

// spread maps an address to [0,1), evenly and always alike.
func spread(a addr.Address) float64 {
	sum := sha256.Sum256([]byte(a.Primary().String()))
	return float64(binary.BigEndian.Uint64(sum[:8])>>11) / (1 << 53)
}

func shortHash(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:4])
}
