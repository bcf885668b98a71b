package state

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/cofferhq/coffer/lang/addr"
)

// Limits of what is read; a state with more was not written by Coffer.
const (
	maxBytes = 512 << 20 // a state or journal
	maxDepth = 16        // nested JSON; the deepest that Coffer writes is 6
	maxPath  = 4096      // one part of a location
)

// CheckRecords returns what is malformed in records that are to be appended.
func CheckRecords(records []Record) error {
	for _, r := range records {
		if err := r.check(); err != nil {
			return err
		}
	}
	return nil
}

// check says what is wrong with a record.
func (r Record) check() error {
	switch r.Kind {
	case RecordIntent:
		if r.Intent == nil {
			return fmt.Errorf("record %q at %s has no intent", r.Kind, r.Location)
		}
		if err := checkIntent(r.Intent, r.Location); err != nil {
			return err
		}
		if r.Entry != nil {
			return checkEntryAt(r.Entry, r.Location)
		}
		return checkLocation(r.Location)
	case RecordPromise:
		if r.Location.Provider == "" || r.Location.Kind == "" {
			return fmt.Errorf("record %q names no provider and kind", r.Kind)
		}
		if r.Intent != nil && !utf8.ValidString(r.Intent.Op) {
			return errors.New("an intent is not UTF-8")
		}
		for path, version := range r.Versions {
			if !utf8.ValidString(version) {
				return fmt.Errorf("the version promised at %q is not UTF-8", path)
			}
			if err := checkLocation(addr.Location{Provider: r.Location.Provider, Kind: r.Location.Kind, Path: path}); err != nil {
				return err
			}
		}
		return nil
	case RecordEntry:
		if r.Entry == nil {
			return fmt.Errorf("record %q at %s has no entry", r.Kind, r.Location)
		}
		return checkEntryAt(r.Entry, r.Location)
	case RecordDrop, RecordRefused:
		return checkLocation(r.Location)
	default:
		return fmt.Errorf("%q is no kind of record", r.Kind)
	}
}

func checkEntryAt(e *Entry, at addr.Location) error {
	if e.Location != at {
		return fmt.Errorf("a record at %s holds an entry at %s", at, e.Location)
	}
	return checkEntry(e)
}

// checkEntry says what is wrong with an entry, whoever made it: this program
// before it writes one, or a hostile file. Only what prints as itself passes,
// so that what is written can be read back.
func checkEntry(e *Entry) error {
	if e.Address.Kind == "" {
		return fmt.Errorf("the entry at %s has no address of a secret or object", e.Location)
	}
	if back, err := addr.Parse(e.Address.String()); err != nil {
		return err
	} else if back != e.Address {
		return fmt.Errorf("address %s does not read back as itself", e.Address)
	}
	if err := checkLocation(e.Location); err != nil {
		return err
	}
	switch e.Role {
	case RolePrimary, RoleReplica, RoleObject:
	default:
		return fmt.Errorf("%s: %q is no role", e.Address, e.Role)
	}
	if !isClass(e.Class) {
		return fmt.Errorf("%s: %q is no class", e.Address, e.Class)
	}
	if e.Store == "" {
		return fmt.Errorf("%s: no store", e.Address)
	}
	if e.Generation < 0 || e.Requested < 0 {
		return fmt.Errorf("%s: a negative generation", e.Address)
	}
	for _, n := range e.Inputs {
		if n < 0 {
			return fmt.Errorf("%s: a negative generation", e.Address)
		}
	}
	if err := checkText(e); err != nil {
		return fmt.Errorf("%s: %w", e.Address, err)
	}
	if e.Pending != nil {
		return checkIntent(e.Pending, addr.Location{})
	}
	return nil
}

func isClass(class string) bool {
	switch class {
	case "", ClassGenerated, ClassManual, ClassSupplied, ClassTemplate:
		return true
	default:
		return false
	}
}

// checkIntent checks an intent; its next entry stands at the zero or given
// location and has no intent of its own.
func checkIntent(i *Intent, at addr.Location) error {
	if !utf8.ValidString(i.Op + i.Action + i.Base + i.Promised + strings.Join(i.Begins, "")) {
		return errors.New("an intent is not UTF-8")
	}
	if i.Next == nil {
		return nil
	}
	if i.Next.Pending != nil {
		return fmt.Errorf("%s: an intent inside an intent", i.Next.Address)
	}
	if at != (addr.Location{}) {
		return checkEntryAt(i.Next, at)
	}
	return checkEntry(i.Next)
}

// checkLocation refuses what no platform uses for a name and what leads out of
// a folder. Drivers check their own rules besides.
func checkLocation(l addr.Location) error {
	for _, part := range []string{l.Provider, l.Kind, l.Path} {
		switch {
		case part == "":
			return fmt.Errorf("location %q is not complete", l.String())
		case len(part) > maxPath:
			return errors.New("a location is longer than any platform allows")
		case !utf8.ValidString(part):
			return fmt.Errorf("location %q is not UTF-8", l.String())
		case strings.ContainsFunc(part, func(r rune) bool { return r < ' ' || r == 0x7f }):
			return fmt.Errorf("location %q holds a control character", l.String())
		}
	}
	for segment := range strings.SplitSeq(l.Path, "/") {
		if segment == ".." || segment == "." {
			return fmt.Errorf("location %q leads out of its folder", l.String())
		}
	}
	return nil
}

func checkText(e *Entry) error {
	ok := utf8.ValidString(e.Store) && utf8.ValidString(e.Version) && utf8.ValidString(e.Envelope) && utf8.ValidString(e.Op) &&
		utf8.ValidString(e.Description) && utf8.ValidString(e.Document) && utf8.ValidString(e.Key)
	for _, need := range e.Needs {
		ok = ok && utf8.ValidString(need)
	}
	for name, f := range e.Fields {
		ok = ok && utf8.ValidString(name) && utf8.ValidString(f.Source) && utf8.ValidString(f.Fingerprint)
		if !isClass(f.Class) {
			return fmt.Errorf("%q is no class", f.Class)
		}
	}
	for name := range e.Inputs {
		ok = ok && utf8.ValidString(name)
	}
	for name, value := range e.Labels {
		ok = ok && utf8.ValidString(name) && utf8.ValidString(value)
	}
	if f := e.Form; f != nil {
		ok = ok && utf8.ValidString(f.Type) && utf8.ValidString(f.Scope)
		for name, value := range f.Annotations {
			ok = ok && utf8.ValidString(name) && utf8.ValidString(value)
		}
	}
	if !ok {
		return errors.New("a text is not UTF-8")
	}
	return nil
}

func checkHeader(s *Snapshot) error {
	if s.Project == "" || s.Lineage == "" {
		return errors.New("a state names its project and lineage")
	}
	if s.Serial > MaxSerial {
		return fmt.Errorf("the serial %d is higher than any that was ever counted to", s.Serial)
	}
	ok := utf8.ValidString(s.Project) && utf8.ValidString(s.Lineage)
	for _, of := range []map[string]string{s.Providers, s.Incarnations} {
		for ref, identity := range of {
			if ref == "" || identity == "" {
				return errors.New("a provider has no reference or no identity")
			}
			ok = ok && utf8.ValidString(ref) && utf8.ValidString(identity)
		}
	}
	if !ok {
		return errors.New("a text is not UTF-8")
	}
	return nil
}
