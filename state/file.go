package state

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"sync"

	"github.com/cofferhq/coffer/internal/durable"
)

// keptBackups is how many snapshots stay beside the state unless
// FileOptions.Backups says otherwise.
const keptBackups = 5

// FileOptions are the surroundings of a state file. The zero value is right
// for a state that exists.
type FileOptions struct {
	// Project is the configuration's. A state of another project is refused
	// with [*ProjectError]; the first apply needs it for its journal.
	Project string
	// FS and Locks are seams for tests; nil is the operating system.
	FS    durable.FS
	Locks Locker
	// At, when not nil, is called at every durable step with one of [Points].
	// An error from it fails the step.
	At func(point string) error
	// Backups is how many replaced snapshots are kept; 0 means 5.
	Backups int
}

// File is a state in one file: the [Store] of backend "local". Beside PATH
// lie PATH.lock, PATH.journal and PATH.N.backup, see [GitIgnore].
type File struct {
	path string
	o    FileOptions

	mu       sync.Mutex
	warnings []string
}

var _ Store = (*File)(nil)

// OpenFile returns the state at path. It touches nothing yet.
func OpenFile(path string, o FileOptions) *File {
	if o.FS == nil {
		o.FS = durable.OS()
	}
	if o.Locks == nil {
		o.Locks = Flocks()
	}
	if o.Backups <= 0 {
		o.Backups = keptBackups
	}
	return &File{path: path, o: o}
}

// GitIgnore returns the .gitignore lines for what lies beside the state file
// path: lock, journal, backups and what a crash may leave. The state itself is
// committed.
func GitIgnore(path string) []string {
	name := filepath.Base(path)
	return []string{name + ".lock", name + ".journal", name + ".*.backup", "." + name + ".*.tmp"}
}

// Points returns every name that FileOptions.At may be called with.
func Points() []string {
	points := []string{"lock.before-take", "lock.after-take"}
	for _, p := range durable.Points() {
		points = append(points, "header."+p)
	}
	for _, step := range []string{durable.StepWrite, durable.StepSync} {
		points = append(points, "append."+durable.Before(step), "append."+durable.After(step))
	}
	for _, p := range durable.Points() {
		points = append(points, "backup."+p)
	}
	for _, step := range []string{durable.StepWrite, durable.StepSync} {
		points = append(points, "saved."+durable.Before(step), "saved."+durable.After(step))
	}
	for _, p := range durable.Points() {
		points = append(points, "save."+p)
	}
	return append(points, "drop.before-remove", "drop.after-remove", "lock.before-release", "lock.after-release")
}

// at returns the hook for the points that begin with prefix.
func (f *File) at(prefix string) func(point string) error {
	if f.o.At == nil {
		return nil
	}
	return func(point string) error { return f.o.At(prefix + point) }
}

// Path returns where the state is.
func (f *File) Path() string { return f.path }

func (f *File) lockPath() string    { return f.path + ".lock" }
func (f *File) journalPath() string { return f.path + ".journal" }

// Warnings returns what was odd about the file when it was last read, in
// sentences for people.
func (f *File) Warnings() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.warnings)
}

// Read returns the snapshot with the journal replayed, see [Store.Read]. An
// apply that runs meanwhile is named in Holder, and what it had announced by
// then is pending.
func (f *File) Read(ctx context.Context) (*Snapshot, error) {
	for attempt := 1; ; attempt++ {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		before, err := f.o.Locks.Holder(f.lockPath())
		if err != nil {
			return nil, err
		}
		l, err := f.load()
		after, holderErr := f.o.Locks.Holder(f.lockPath())
		// An apply began, ended or saved while we read: state and journal may
		// not belong together.
		moved := holderID(before) != holderID(after) || (err == nil || isJournalError(err)) && !f.same(l)
		if moved && attempt < readAttempts {
			continue
		}
		if err = errors.Join(err, holderErr); err != nil {
			return nil, err
		}
		if l.snapshot == nil {
			return nil, ErrNotExist
		}
		l.snapshot.Holder = after
		return l.snapshot, nil
	}
}

// readAttempts bounds how often Read looks again while applies come and go.
const readAttempts = 20

func holderID(h *LockInfo) string {
	if h == nil {
		return ""
	}
	return h.ID
}

func isJournalError(err error) bool {
	_, ok := errors.AsType[*JournalError](err)
	return ok
}

// loaded is what lies on the disk.
type loaded struct {
	info     fs.FileInfo  // of the state; nil where there is none
	state    string       // digest of the state's file; "" where there is none
	data     []byte       // the state's file
	serial   uint64       // of the state
	journal  *journalFile // nil where there is none, or its state was saved
	spent    bool         // there is a journal, and its state was saved
	snapshot *Snapshot    // with the journal replayed; nil where there is neither
}

// same reports whether the state is still the one that was loaded.
func (f *File) same(l *loaded) bool {
	info, err := f.o.FS.Lstat(f.path)
	if err != nil || l.info == nil {
		return errors.Is(err, fs.ErrNotExist) && l.info == nil
	}
	return durable.SameFile(info, l.info) && info.ModTime().Equal(l.info.ModTime()) && info.Size() == l.info.Size()
}

// load reads state and journal. After a [*JournalError] the rest of the
// answer is valid.
func (f *File) load() (*loaded, error) {
	l := &loaded{}
	var err error
	l.data, l.info, err = durable.Read(f.o.FS, f.path, maxBytes)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		err = nil
	case err == nil:
		l.snapshot, err = Decode(l.data)
	}
	f.warn(l.info)
	if err != nil {
		return l, f.named(err)
	}
	if l.snapshot != nil {
		l.state, l.serial = digest(l.data), l.snapshot.Serial
		if f.o.Project != "" {
			if err := l.snapshot.CheckProject(f.o.Project); err != nil {
				return l, f.named(err)
			}
		}
	}
	return l, f.replay(l)
}

// named adds the path to an error that does not know it.
func (f *File) named(err error) error {
	if _, ok := errors.AsType[*durable.Error](err); ok {
		return err
	}
	if _, ok := errors.AsType[*durable.KindError](err); ok {
		return err
	}
	if _, ok := errors.AsType[*durable.TooLargeError](err); ok {
		return err
	}
	return fmt.Errorf("%s: %w", f.path, err)
}

func (f *File) warn(info fs.FileInfo) {
	var warnings []string
	if info != nil && info.Mode().Perm()&0o022 != 0 {
		warnings = append(warnings, fmt.Sprintf("%s can be written by others (mode %04o): chmod go-w %s",
			f.path, info.Mode().Perm(), f.path))
	}
	if info != nil && durable.Foreign(info) {
		warnings = append(warnings, fmt.Sprintf("%s belongs to another user, who can change it: the next apply makes it yours", f.path))
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.warnings = warnings
}

// replay reads the journal and applies it to what was loaded.
func (f *File) replay(l *loaded) error {
	data, _, err := durable.Read(f.o.FS, f.journalPath(), maxBytes)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	j, err := parseJournal(data)
	if newer, ok := errors.AsType[*NewerError](err); ok {
		return newer
	}
	if err != nil {
		return &JournalError{Path: f.journalPath(), Problem: err.Error(), Next: "it was edited or the disk is damaged; " + f.setAside()}
	}
	use, err := f.fits(l, j)
	if err != nil || !use {
		l.spent = err == nil
		return err
	}
	if l.snapshot == nil {
		l.snapshot = New(j.header.Project, j.header.Lineage)
		if f.o.Project != "" {
			if err := l.snapshot.CheckProject(f.o.Project); err != nil {
				return err
			}
		}
	}
	if err := l.snapshot.Replay(j.records); err != nil {
		return &JournalError{Path: f.journalPath(), Problem: err.Error(), Next: f.setAside()}
	}
	l.journal, l.snapshot.Replayed = j, true
	return nil
}

func (f *File) setAside() string {
	return fmt.Sprintf("move it away (mv %s %s.old); what that apply wrote is then adopted, or a conflict to settle with coffer accept", f.journalPath(), f.journalPath())
}

// fits reports whether the journal is to be replayed. One whose last act was
// to save the state that is there has done its work.
func (f *File) fits(l *loaded, j *journalFile) (bool, error) {
	h := j.header
	if l.snapshot != nil && (h.Lineage != l.snapshot.Lineage || h.Project != l.snapshot.Project) {
		return false, &JournalError{Path: f.journalPath(), Problem: fmt.Sprintf("it belongs to the state of project %q", h.Project), Next: f.setAside()}
	}
	if j.saved != nil && (l.serial > j.saved.Serial || l.serial == j.saved.Serial && l.is(j.saved.State)) {
		return false, nil
	}
	if l.serial == h.Serial && l.is(h.State) {
		return true, nil
	}
	return false, &JournalError{
		Path: f.journalPath(),
		Problem: fmt.Sprintf("%s that was interrupted (%s, since %s) worked on another content of the state: it began at serial %d and the state is now at %d (a git pull, merge or checkout in between?)",
			h.Lock.Operation, h.Lock.Who, h.Lock.Since.UTC().Format("2006-01-02 15:04 MST"), h.Serial, l.serial),
		Next: fmt.Sprintf("put back the state of serial %d from git or a .backup, run coffer apply, then merge; or %s", h.Serial, f.setAside()),
	}
}

// is reports whether the state's content is the one that digest names. What
// changed only the form, as git does with line ends, does not count.
func (l *loaded) is(want string) bool {
	if l.state == want || l.snapshot == nil {
		return l.state == want
	}
	data, err := Encode(l.snapshot)
	return err == nil && digest(data) == want
}
