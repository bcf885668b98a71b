package planner

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/cofferhq/coffer/lang"
	"github.com/cofferhq/coffer/lang/addr"
	"github.com/cofferhq/coffer/planner/generate"
	"github.com/cofferhq/coffer/providers/secret"
	"github.com/cofferhq/coffer/state"
)

// resolver turns sources into values during an apply. It is the only place
// where plaintext is made, and it forgets everything with the run.
type resolver struct {
	run      *run
	supplied map[*lang.Source]secret.Value
	// plain is how many leading arguments of a derived function are plain text.
	plain map[string]int
	// counts is what the generators of this run remember of their parameters.
	counts generate.Counts

	mu   sync.Mutex
	made map[addr.Address]*making
}

// making is one secret's values in this run, by its primary address.
type making struct {
	mu     sync.Mutex
	fields map[string]secret.Value // made in this run
	whole  secret.Value            // read, or made completely
}

func newResolver(r *run) *resolver {
	v := &resolver{run: r, supplied: map[*lang.Source]secret.Value{}, made: map[addr.Address]*making{}, plain: map[string]int{}}
	for _, sig := range lang.DerivedFunctions() {
		v.plain[sig.Name] = len(sig.PlainArgs)
	}
	return v
}

func (v *resolver) of(a addr.Address) *making {
	v.mu.Lock()
	defer v.mu.Unlock()
	m := v.made[a]
	if m == nil {
		m = &making{fields: map[string]secret.Value{}}
		v.made[a] = m
	}
	return m
}

// gather takes every supplied value that the steps need, or names all that
// are missing, before the first call.
func (v *resolver) gather() error {
	var missing []string
	for _, s := range v.run.steps {
		if s.res == nil || s.res.Secret == nil || s.res.IsReplica() {
			continue
		}
		for _, f := range s.res.Secret.Fields {
			if s.change.Fields[f.Name].Op == OpSet {
				missing = append(missing, v.gatherFrom(f.Source, s)...)
			}
		}
	}
	if len(missing) > 0 {
		return &MissingInputsError{Missing: missing}
	}
	return v.foresee()
}

// foresee puts the fingerprints of supplied values into the intents: a write
// whose answer is lost is adopted with them, and stays comparable.
func (v *resolver) foresee() error {
	if v.run.Key.IsZero() {
		return nil
	}
	for _, s := range v.run.steps {
		if s.res == nil || s.res.Secret == nil || s.next == nil {
			continue
		}
		for _, f := range s.res.Secret.Fields {
			value, supplied := v.supplied[f.Source]
			if !supplied || s.change.Fields[f.Name].Op != OpSet {
				continue
			}
			sum, err := v.run.Key.Sum(s.loc, f.Name, value)
			if err != nil {
				return err
			}
			field := s.next.Fields[f.Name]
			field.Fingerprint = sum
			s.next.Fields[f.Name] = field
		}
	}
	return nil
}

func (v *resolver) gatherFrom(s *lang.Source, st *step) (missing []string) {
	for _, a := range s.Args {
		missing = append(missing, v.gatherFrom(a, st)...)
	}
	if !isSupplied(s) {
		return missing
	}
	value, found, err := v.run.Inputs.Supply(s)
	switch {
	case err != nil:
		return append(missing, fmt.Sprintf("%s: %s: %v", st.change.Address, s.Text(), err))
	case !found:
		return append(missing, fmt.Sprintf("%s: %s", st.change.Address, notHere(s)))
	}
	v.supplied[s] = value
	return missing
}

// make returns the value that a step writes. What is not whole is a patch.
func (v *resolver) make(ctx context.Context, s *step) (keep, []string, error) {
	c := s.change
	m := v.of(s.res.Address.Primary())
	if s.res.IsReplica() || c.From != nil && c.Action != Rename {
		whole, err := v.copied(ctx, s, m)
		if err != nil {
			return keep{}, nil, err
		}
		m.mu.Lock()
		m.whole = whole
		m.mu.Unlock()
		if !s.sets() {
			return keep{whole, true}, nil, nil
		}
	}
	drop, err := v.makeFields(ctx, s, m)
	if err != nil {
		return keep{}, nil, err
	}
	return v.combined(ctx, s, m, drop)
}

// makeFields resolves every field that the step sets.
func (v *resolver) makeFields(ctx context.Context, s *step, m *making) (drop []string, err error) {
	for _, f := range s.res.Secret.Fields {
		if s.change.Fields[f.Name].Op != OpSet {
			continue
		}
		if _, err := v.field(ctx, s, m, f.Name); err != nil {
			return nil, fmt.Errorf("%s%w", fieldLabel(f.Name), err)
		}
	}
	for name, fc := range s.change.Fields {
		if fc.Op == OpDrop {
			drop = append(drop, name)
		}
	}
	return drop, nil
}

// combined puts the fields together: the whole value where everything is at
// hand, a patch where the store can keep the rest by itself, else a read.
func (v *resolver) combined(ctx context.Context, s *step, m *making, drop []string) (keep, []string, error) {
	m.mu.Lock()
	fields, read := m.fields, m.whole
	m.mu.Unlock()
	if s.res.Secret.Single {
		value := fields[""]
		m.mu.Lock()
		m.whole = value
		m.mu.Unlock()
		return keep{value, true}, drop, nil
	}
	complete := true // then what is dropped is gone with the old value
	for _, f := range s.res.Secret.Fields {
		if _, made := fields[f.Name]; !made && (!read.IsZero() || inContainer(s.recordedFields(), s.old != nil, &s.live, f.Name)) {
			complete = false
		}
	}
	fresh := s.change.VersionFrom == "" && read.IsZero()
	switch {
	case complete || fresh:
		value := secret.Object(fields)
		m.mu.Lock()
		m.whole = value
		m.mu.Unlock()
		return keep{value, true}, drop, nil
	case read.IsZero() && s.store.CanPatch():
		return keep{secret.Object(fields), false}, drop, nil
	case read.IsZero():
		var err error
		if read, err = v.read(ctx, s.res, s.change.VersionFrom); err != nil {
			return keep{}, nil, err
		}
	}
	value := read.With(fields, drop...)
	m.mu.Lock()
	m.whole = value
	m.mu.Unlock()
	return keep{value, true}, drop, nil
}

// copied returns the value of another place: a replica's primary, the old
// place of a relocated secret, an older version.
func (v *resolver) copied(ctx context.Context, s *step, m *making) (secret.Value, error) {
	c := s.change
	m.mu.Lock()
	whole := m.whole
	m.mu.Unlock()
	if s.res.IsReplica() && !whole.IsZero() {
		return whole, nil
	}
	from := c.From
	store := v.run.Stores[from.Location.Provider]
	version := from.Version
	if s.res.IsReplica() {
		e := v.run.entryAt(from.Location)
		if e == nil || e.Version == "" {
			return secret.Value{}, errors.New("its primary has no recorded version")
		}
		version = e.Version
	}
	if err := v.auditRead(ctx, from.Address, from.Location, version, s.op); err != nil {
		return secret.Value{}, err
	}
	value, err := v.readVersion(ctx, store, from.Location, version)
	if err != nil {
		return secret.Value{}, err
	}
	return v.run.open(value, from.Address, from.Location)
}

// open takes a value out of the form in which it lies at a place.
func (r *run) open(value secret.Value, a addr.Address, at Location) (secret.Value, error) {
	res := r.Desired.On(addr.Location{Provider: r.Stores[at.Provider].Identity, Kind: at.Kind, Path: at.Path})
	return open(value, a, keysOf(res, r.entryAt(at))...)
}

// readVersion reads exactly one version. The recorded one must still be the one
// that was recorded, not another that got its number after a backup was put
// back. A store without older versions can only be asked for the current one, so
// it is inspected around the read.
func (v *resolver) readVersion(ctx context.Context, store *Store, at Location, version string) (secret.Value, error) {
	path := at.Path
	if e := v.run.entryAt(at); e != nil && e.Version == version && !e.Created.IsZero() {
		created, err := store.VersionCreated(ctx, path, version)
		if err != nil {
			return secret.Value{}, err
		}
		if !created.IsZero() && !created.Equal(e.Created) {
			return secret.Value{}, fmt.Errorf("version %s of %s on %s is another than the recorded one: it was made at %s, the recorded one at %s; it was not read",
				version, path, store.Ref(), created.UTC().Format(time.RFC3339), e.Created.UTC().Format(time.RFC3339))
		}
	}
	if store.Capabilities().Versioned {
		return store.Read(ctx, path, version)
	}
	value, err := store.Read(ctx, path, "")
	if err != nil {
		return secret.Value{}, err
	}
	found, err := store.Inspect(ctx, []string{path})
	if err != nil {
		return secret.Value{}, err
	}
	if found[path].Version != version {
		return secret.Value{}, fmt.Errorf("%s on %s has another version than planned", path, store.Ref())
	}
	return value, nil
}

// read returns the current value of a resource's primary at a version.
func (v *resolver) read(ctx context.Context, r *Resource, version string) (secret.Value, error) {
	at := Location{Provider: r.Store, Kind: r.Location.Kind, Path: r.Location.Path}
	if err := v.auditRead(ctx, r.Address, at, version, ""); err != nil {
		return secret.Value{}, err
	}
	value, err := v.readVersion(ctx, v.run.Stores[r.Store], at, version)
	if err != nil {
		return secret.Value{}, err
	}
	return v.run.open(value, r.Address, at)
}

func (v *resolver) auditRead(ctx context.Context, a addr.Address, at Location, version, op string) error {
	if v.run.Audit == nil {
		return nil
	}
	err := v.run.Audit.Record(ctx, AuditEvent{Action: "read", Address: a, Location: at, Version: version, Op: op})
	if err != nil {
		return fmt.Errorf("not read, because the audit record could not be written: %w", err)
	}
	return nil
}

// fingerprints records keyed hashes of what a person may supply again, and,
// where a whole file can be re-encrypted, of every value that was written.
func (v *resolver) fingerprints(s *step, e *state.Entry) {
	if v.run.Key.IsZero() || s.res == nil || s.res.Secret == nil || unreadable(s.store, e) {
		return // what nobody reads is never compared
	}
	m := v.of(s.res.Address.Primary())
	m.mu.Lock()
	fields, whole := m.fields, m.whole
	m.mu.Unlock()
	for name, field := range e.Fields {
		value, ok := fields[name]
		if !ok && !whole.IsZero() {
			var err error
			value, err = pick(whole, name, s.res.Address)
			ok = err == nil
		}
		if !ok || field.Class != state.ClassSupplied && e.Envelope == "" {
			continue
		}
		if sum, err := v.run.Key.Sum(s.loc, name, value); err == nil {
			field.Fingerprint = sum
			e.Fields[name] = field
		}
	}
}
