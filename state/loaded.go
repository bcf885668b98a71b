package state

import (
	"errors"
	"fmt"
)

// LoadOptions say what is loaded, and how to speak of it.
type LoadOptions struct {
	// Project, where it is not "", is the only one that is taken.
	Project string
	// State and Journal name the two in errors, and SetAside is what to do about
	// a journal that cannot be used.
	State, Journal, SetAside string
	// Probe: a journal that began on another content of the state is no error;
	// what it announced is pending, so that the next run looks after it.
	Probe bool
	// Moved: a state that was migrated away is taken all the same, as the
	// migration itself does.
	Moved bool
}

// Loaded is a state with the journal beside it, wherever they are kept.
type Loaded struct {
	o        LoadOptions
	state    string       // digest of the state's file; "" where there is none
	data     []byte       // the state's file
	serial   uint64       // of the state
	journal  *journalFile // nil where there is none, or its state was saved
	spent    bool         // there is a journal, and its state was saved
	misfit   bool         // the journal began on another content of the state
	pending  []*Entry     // what a misfit announced
	snapshot *Snapshot    // with the journal replayed; nil where there is neither
}

// Load decodes a state and replays the journal that an interrupted run left;
// nil stands for a file that is not there. Another project is [*ProjectError].
// After a [*JournalError] what the state alone says is valid.
func Load(data, journal []byte, o LoadOptions) (*Loaded, error) {
	l := &Loaded{o: o, data: data}
	if data != nil {
		snapshot, err := Decode(data)
		if err != nil {
			return l, fmt.Errorf("%s: %w", o.State, err)
		}
		l.snapshot, l.state, l.serial = snapshot, digest(data), snapshot.Serial
		if o.Project != "" {
			if err := l.snapshot.CheckProject(o.Project); err != nil {
				return l, fmt.Errorf("%s: %w", o.State, err)
			}
		}
		if snapshot.MovedTo != "" && !o.Moved {
			return l, &MovedError{Path: o.State, To: snapshot.MovedTo, Serial: snapshot.Serial}
		}
	}
	if journal == nil {
		return l, nil
	}
	return l, l.replay(journal)
}

// Snapshot returns the state with the journal replayed, which the caller owns
// from then on; nil where there is no state yet.
func (l *Loaded) Snapshot() *Snapshot { return l.snapshot }

// Misfit reports whether the journal began on another content of the state, see
// LoadOptions.Probe: one of the two was restored or replaced by hand, or a run
// is saving right now.
func (l *Loaded) Misfit() bool { return l.misfit }

// Serial returns that of the state itself.
func (l *Loaded) Serial() uint64 { return l.serial }

// Slim forgets what is big, and what the caller of [Loaded.Snapshot] may change.
func (l *Loaded) Slim() {
	header := &Snapshot{}
	if l.snapshot != nil {
		header.Project, header.Lineage = l.snapshot.Project, l.snapshot.Lineage
	}
	l.snapshot, l.data = header, nil
}

// replay applies the journal to what was loaded.
func (l *Loaded) replay(data []byte) error {
	j, err := parseJournal(data)
	if newer, ok := errors.AsType[*NewerError](err); ok {
		return newer
	}
	if err != nil {
		return &JournalError{Path: l.o.Journal, Problem: err.Error(), Next: "it was edited or the disk is damaged; " + l.o.SetAside}
	}
	use, err := l.fits(j)
	if err != nil || !use {
		l.spent = err == nil
		return err
	}
	if l.snapshot == nil {
		l.snapshot = New(j.header.Project, j.header.Lineage)
		if l.o.Project != "" {
			if err := l.snapshot.CheckProject(l.o.Project); err != nil {
				return err
			}
		}
	}
	replay := l.snapshot.Replay
	if l.misfit {
		replay = l.snapshot.lookAfter
	}
	if err := replay(j.records); err != nil {
		return &JournalError{Path: l.o.Journal, Problem: err.Error(), Next: l.o.SetAside}
	}
	l.journal, l.snapshot.Replayed = j, true
	if l.misfit {
		l.pending = l.snapshot.Clone().Pending()
	}
	return nil
}

// fits reports whether the journal is to be replayed. One whose last act was
// to save the state that is there has done its work.
func (l *Loaded) fits(j *journalFile) (bool, error) {
	h := j.header
	if l.snapshot != nil && (h.Lineage != l.snapshot.Lineage || h.Project != l.snapshot.Project) {
		return false, &JournalError{Path: l.o.Journal, Problem: fmt.Sprintf("it belongs to the state of project %q", h.Project), Next: l.o.SetAside}
	}
	if j.saved != nil && (l.serial > j.saved.Serial || l.serial == j.saved.Serial && l.is(j.saved.State)) {
		return false, nil
	}
	if l.serial == h.Serial && l.is(h.State) {
		return true, nil
	}
	if l.o.Probe {
		l.misfit = true
		return true, nil
	}
	return false, &JournalError{
		Path: l.o.Journal,
		Problem: fmt.Sprintf("%s that was interrupted (%s, since %s) worked on another content of the state: it began at serial %d and the state is now at %d (a git pull, merge or checkout, or a restored copy?)",
			h.Lock.Operation, h.Lock.Who, h.Lock.Since.UTC().Format("2006-01-02 15:04 MST"), h.Serial, l.serial),
		Next: fmt.Sprintf("put back the state of serial %d from git, the store's versions or a .backup, run coffer apply, then merge; or %s", h.Serial, l.o.SetAside),
	}
}

// is reports whether the state's content is the one that digest names. What
// changed only the form, as git does with line ends, does not count.
func (l *Loaded) is(want string) bool {
	if l.state == want || l.snapshot == nil {
		return l.state == want
	}
	data, err := Encode(l.snapshot)
	return err == nil && digest(data) == want
}

// header begins a journal on what was loaded.
func (l *Loaded) header(project string, who LockInfo) (journalHeader, error) {
	h := journalHeader{Journal: journalVersion, Serial: l.serial, State: l.state, Lock: who}
	h.Project, h.Lineage = l.Of(project)
	if h.Project == "" {
		return h, errors.New("there is no state yet and no project to begin a journal for: save an empty state first")
	}
	return h, nil
}

// Follows says why next must not replace what was loaded.
func (l *Loaded) Follows(next *Snapshot) error {
	was := l.snapshot
	switch {
	case was == nil:
	case was.Project != "" && was.Project != next.Project:
		return fmt.Errorf("%s: %w", l.o.State, &ProjectError{Got: was.Project, Want: next.Project})
	case was.Lineage != "" && was.Lineage != next.Lineage:
		return fmt.Errorf("%s: %w", l.o.State, &LineageError{Got: next.Lineage, Want: was.Lineage})
	}
	if next.Serial < l.serial {
		return fmt.Errorf("%s is at serial %d, newer than %d, which was to be saved: load it again", l.o.State, l.serial, next.Serial)
	}
	return nil
}

// Saved is what there is once snapshot was saved as data.
func (l *Loaded) Saved(snapshot *Snapshot, data []byte) *Loaded {
	return &Loaded{o: l.o, state: digest(data), serial: snapshot.Serial, snapshot: &Snapshot{Project: snapshot.Project, Lineage: snapshot.Lineage}}
}

// HasJournal reports whether a run left a journal whose records are not in the
// state.
func (l *Loaded) HasJournal() bool { return l.journal != nil }

// Is reports whether the state's file says just what s says, the serial
// included. There is none that says nothing.
func (l *Loaded) Is(s *Snapshot) bool {
	if l.state == "" {
		return false
	}
	data, err := Encode(s)
	return err == nil && digest(data) == l.state
}

// Of returns the project and lineage of the state, or those of project where
// there is no state yet.
func (l *Loaded) Of(project string) (string, string) {
	if l.snapshot != nil && l.snapshot.Project != "" {
		return l.snapshot.Project, l.snapshot.Lineage
	}
	return project, Lineage(project)
}
