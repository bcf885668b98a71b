package state

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/cofferhq/coffer/lang/addr"
)

// Lineage returns the lineage of a project's states. It derives from the
// project, so that a state rebuilt from the marks in the stores continues the
// lost one.
func Lineage(project string) string {
	sum := sha256.Sum256([]byte("coffer state lineage\n" + project))
	return hex.EncodeToString(sum[:16])
}

// New returns an empty snapshot of serial 0; lineage is [Lineage] of project.
func New(project, lineage string) *Snapshot {
	return &Snapshot{
		Project:   project,
		Lineage:   lineage,
		Providers: map[string]string{},
		Entries:   map[addr.Location]*Entry{},
	}
}

// CheckProject returns [*ProjectError] unless s belongs to project.
func (s *Snapshot) CheckProject(project string) error {
	if s.Project != project {
		return &ProjectError{Got: s.Project, Want: project}
	}
	return nil
}

// Sorted returns the entries in address, then location order: the order of the
// file and of every output.
func (s *Snapshot) Sorted() []*Entry {
	return slices.SortedFunc(maps.Values(s.Entries), compareEntries)
}

func compareEntries(a, b *Entry) int {
	if c := a.Address.Compare(b.Address); c != 0 {
		return c
	}
	return a.Location.Compare(b.Location)
}

// Pending returns the entries with an open intent, in order.
func (s *Snapshot) Pending() []*Entry {
	return slices.DeleteFunc(s.Sorted(), func(e *Entry) bool { return e.Pending == nil })
}

// Clone returns a copy that shares nothing with s.
func (s *Snapshot) Clone() *Snapshot {
	c := *s
	c.Providers, c.Incarnations = maps.Clone(s.Providers), maps.Clone(s.Incarnations)
	c.Entries = make(map[addr.Location]*Entry, len(s.Entries))
	for l, e := range s.Entries {
		c.Entries[l] = e.Clone()
	}
	if s.Holder != nil {
		holder := *s.Holder
		c.Holder = &holder
	}
	return &c
}

// Clone returns a copy that shares nothing with e.
func (e *Entry) Clone() *Entry {
	if e == nil {
		return nil
	}
	c := *e
	c.Fields = maps.Clone(e.Fields)
	c.Inputs = maps.Clone(e.Inputs)
	c.Labels = maps.Clone(e.Labels)
	c.Form = e.Form.Clone()
	c.Needs = slices.Clone(e.Needs)
	c.Pending = e.Pending.Clone()
	return &c
}

// Clone returns a copy that shares nothing with f.
func (f *Form) Clone() *Form {
	if f == nil {
		return nil
	}
	c := *f
	c.Annotations = maps.Clone(f.Annotations)
	return &c
}

// Clone returns a copy that shares nothing with i.
func (i *Intent) Clone() *Intent {
	if i == nil {
		return nil
	}
	c := *i
	c.Begins = slices.Clone(i.Begins)
	c.Next = i.Next.Clone()
	return &c
}

// Apply changes s as one journal record says. It is the only place that gives
// records a meaning: replay uses it, and so does an apply for its copy in
// memory. The record may be used again by the caller.
//
// An intent at a location without an entry makes one with the identity of
// Intent.Next, or of Record.Entry where the intent is a delete, and without a
// version. An error means that the record is malformed; s is then unchanged.
func (s *Snapshot) Apply(r Record) error {
	if err := r.check(); err != nil {
		return err
	}
	switch r.Kind {
	case RecordIntent:
		return s.announce(r)
	case RecordPromise:
		s.promise(r)
	case RecordEntry:
		e := r.Entry.Clone()
		e.Pending = nil
		s.put(e)
	case RecordDrop:
		delete(s.Entries, r.Location)
	case RecordRefused:
		e := s.Entries[r.Location]
		if e == nil || e.Pending == nil {
			return nil
		}
		e.Pending = nil
		if e.neverExisted() {
			delete(s.Entries, r.Location)
		}
	}
	return nil
}

// Replay applies the records of a journal, in order, and notes in every intent
// that they leave open when its apply was last heard of. A journal may hold
// several applies, one after the other: what began an apply is the newest time
// that an intent started at, and its records are those behind it.
func (s *Snapshot) Replay(records []Record) error {
	heard := map[int64]time.Time{} // by the start of the apply
	var began time.Time
	for i, r := range records {
		if err := s.Apply(r); err != nil {
			return fmt.Errorf("record %d: %w", i+1, err)
		}
		if r.Intent != nil && r.Intent.Started.After(began) {
			began = r.Intent.Started
		}
		if key := began.UnixNano(); r.At.After(heard[key]) {
			heard[key] = r.At
		}
	}
	for _, e := range s.Entries {
		if e.Pending != nil {
			e.Pending.alive(heard[e.Pending.Started.UnixNano()])
		}
	}
	return nil
}

// lookAfter makes pending what the records of a journal announced that belongs
// to another content of this state: what came of it, the stores tell. Where the
// state knows of a later version than the intent began with, it knows more.
func (s *Snapshot) lookAfter(records []Record) error {
	for i, r := range records {
		if r.Kind != RecordIntent {
			continue
		}
		if e := s.Entries[r.Location]; e != nil && (e.Version != r.Intent.Base || e.Op == r.Intent.Op) {
			continue
		}
		if err := s.Apply(r); err != nil {
			return fmt.Errorf("record %d: %w", i+1, err)
		}
	}
	return nil
}

// Heard returns when the apply that made the intent was last heard of, by its
// own clock. It may have lived longer, but did nothing that it wrote down.
func (i *Intent) Heard() time.Time {
	if i.Alive.After(i.Started) {
		return i.Alive
	}
	return i.Started
}

// alive notes that the apply was heard of at a time.
func (i *Intent) alive(at time.Time) {
	if at.After(i.Heard()) {
		i.Alive = at
	}
}

func (s *Snapshot) put(e *Entry) {
	if s.Entries == nil {
		s.Entries = map[addr.Location]*Entry{}
	}
	s.Entries[e.Location] = e
}

func (s *Snapshot) announce(r Record) error {
	e := s.Entries[r.Location]
	if e == nil {
		identity := r.Intent.Next
		if identity == nil {
			identity = r.Entry
		}
		if identity == nil {
			return fmt.Errorf("intent at %s: there is no entry, and neither next nor entry names one", r.Location)
		}
		e = &Entry{
			Address:  identity.Address,
			Location: r.Location,
			Store:    identity.Store,
			Role:     identity.Role,
			Protect:  identity.Protect,
		}
		s.put(e)
	}
	e.Pending = r.Intent.Clone()
	return nil
}

// promise notes which versions the paths of one container will have. Paths
// that no entry knows hold nothing of ours.
func (s *Snapshot) promise(r Record) {
	for path, version := range r.Versions {
		e := s.Entries[addr.Location{Provider: r.Location.Provider, Kind: r.Location.Kind, Path: path}]
		switch {
		case e == nil:
		case e.Pending != nil:
			e.Pending.Promised = version
			e.Pending.alive(r.At)
		default:
			moved := Intent{Action: ActionCarried, Base: e.Version, Promised: version, Started: r.At, Next: e.Clone()}
			if r.Intent != nil {
				moved.Op, moved.Started = r.Intent.Op, r.Intent.Started
			}
			e.Pending = &moved
		}
	}
}

// neverExisted tells an entry that only an intent made from one whose value a
// person still has to write: that one knows where its value comes from.
func (e *Entry) neverExisted() bool {
	return e.Version == "" && e.Generation == 0 && e.Class == "" && len(e.Fields) == 0
}
