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
	// Moved: a state that was migrated away is opened all the same.
	Moved bool
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

// onDisk is what lies on the disk.
type onDisk struct {
	*Loaded
	info fs.FileInfo // of the state; nil where there is none
}

// same reports whether the state is still the one that was loaded.
func (f *File) same(l *onDisk) bool {
	info, err := f.o.FS.Lstat(f.path)
	if err != nil || l.info == nil {
		return errors.Is(err, fs.ErrNotExist) && l.info == nil
	}
	return durable.SameFile(info, l.info) && info.ModTime().Equal(l.info.ModTime()) && info.Size() == l.info.Size()
}

// load reads state and journal. After a [*JournalError] the rest of the
// answer is valid.
func (f *File) load() (*onDisk, error) {
	l := &onDisk{Loaded: &Loaded{}}
	data, info, err := readIfThere(f.o.FS, f.path)
	l.info = info
	f.warn(info)
	if err != nil {
		return l, f.named(err)
	}
	journal, _, err := readIfThere(f.o.FS, f.journalPath())
	if err != nil {
		return l, err
	}
	l.Loaded, err = Load(data, journal, LoadOptions{Project: f.o.Project, Moved: f.o.Moved, State: f.path, Journal: f.journalPath(), SetAside: f.setAside()})
	return l, err
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

func (f *File) setAside() string {
	return fmt.Sprintf("move it away (mv %s %s.old); what that apply wrote is then adopted, or a conflict to settle with coffer accept", f.journalPath(), f.journalPath())
}
