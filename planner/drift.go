package planner

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/cofferhq/coffer/lang/addr"
	"github.com/cofferhq/coffer/planner/fingerprint"
	"github.com/cofferhq/coffer/providers"
	"github.com/cofferhq/coffer/providers/secret"
	"github.com/cofferhq/coffer/state"
)

// Verified says what a look at the values themselves found, by location.
type Verified map[addr.Location]Verification

// Verification is the outcome for one secret; Err is why its value could not
// be read.
type Verification struct {
	Outcome fingerprint.Outcome
	Err     error
}

// DetectDrift compares what the stores show with what the state recorded. It
// is pure and asks nothing about the configuration but names and places.
// verified is nil unless values were read and compared.
func DetectDrift(d *Desired, s *state.Snapshot, live *Live, stores Stores, o DiffOptions, verified Verified) *DriftReport {
	x := newDiffer(d, s, live, stores, o)
	rep := &DriftReport{
		FormatVersion: FormatVersion, Project: d.Project, Lineage: s.Lineage, Serial: s.Serial, CreatedAt: o.Now,
		Drift: []Drift{}, Notes: []Note{}, Diagnostics: []Diagnostic{},
	}
	x.checkProviders()
	left := uncompared{}
	for _, e := range s.Sorted() {
		store := stores.ByIdentity(e.Location.Provider)
		if !x.matches(e.Address) || store == nil {
			continue
		}
		found := x.driftOf(e, store, verified)
		rep.Drift = append(rep.Drift, found...)
		if len(found) == 0 && e.Role != state.RoleObject && left.seen(store, e, verified) {
			rep.Unchanged++
		}
	}
	rep.Notes = append(rep.Notes, left.notes()...)
	rep.Drift = append(rep.Drift, x.orphanDrift()...)
	back := x.setBack()
	for _, ref := range slices.Sorted(maps.Keys(back)) {
		rep.Diagnostics = append(rep.Diagnostics, Diagnostic{
			Severity: SeverityWarning, Address: &back[ref].first.Address, Summary: "store " + ref + " went back in time", Detail: back[ref].detail(ref),
		})
	}
	slices.SortStableFunc(rep.Drift, func(a, b Drift) int { return a.Address.Compare(b.Address) })
	rep.Diagnostics = append(rep.Diagnostics, x.plan.Diagnostics...)
	rep.Checks = EvaluateChecks(d, s, x.plan, o.Now)
	return rep
}

// driftOf returns what somebody changed about one entry.
func (x *differ) driftOf(e *state.Entry, store *Store, verified Verified) []Drift {
	o := x.live.At(e.Location)
	drift := Drift{
		Address: e.Address, Location: Location{Provider: store.Ref(), Kind: e.Location.Kind, Path: e.Location.Path},
		VersionRecorded: e.Version,
	}
	if r := x.d.byLocation[e.Location]; r != nil {
		drift.Range = r.Range
	}
	if e.Location.Kind == KindRollout { // whoever restarts programs changes no secret
		return nil
	}
	if o.Err != nil {
		return one(drift, DriftUnknown, "%v", o.Err)
	}
	if e.Pending != nil {
		return one(drift, DriftUnknown, "an apply was interrupted here: run `coffer apply`")
	}
	if e.Version == "" {
		return nil
	}
	if !o.Exists && (e.Location.Kind == kindBinding || e.Location.Kind == kindRoleBinding) {
		return one(drift, DriftGrantRemoved, "%s was taken away", x.reads(e))
	}
	if !o.Exists {
		return one(drift, DriftMissing, "gone from its store")
	}
	drift.VersionLive, drift.ChangedAt, drift.ChangedBy = o.Version(), o.Meta.Created, o.Meta.ChangedBy
	if o.Meta.IsDeleted() {
		return one(drift, DriftMissing, "deleted, and kept by the platform%s", keptUntil(&o))
	}
	if e.Role == state.RoleObject {
		return x.objectDrift(drift, e, store, &o)
	}
	if wentBack(e, &o) && !store.Capabilities().EventuallyConsistent {
		return one(drift, DriftSuperseded, "made at %s, before the recorded version: its store went back in time", o.Meta.Created.UTC().Format("2006-01-02 15:04:05 MST"))
	}
	if verified != nil {
		if found, told := verifiedDrift(drift, verified, e, &o); told {
			return found
		}
	}
	if versionDiffers(e, &o) {
		return x.versionDrift(drift, e, &o, verified != nil)
	}
	return x.attributeDrift(drift, e, store, &o)
}

func one(d Drift, kind DriftKind, format string, args ...any) []Drift {
	d.Kind = kind
	d.Detail = fmt.Sprintf(format, args...)
	return []Drift{d}
}

func (x *differ) versionDrift(d Drift, e *state.Entry, o *Observation, verified bool) []Drift {
	switch {
	case e.AcceptsOutside, opIsOurs(o.Meta.OpID, x.d.Project):
		return nil
	case x.live.Sealing[e.Location].Envelope != "":
		return one(d, DriftChanged, "%s", whoWhen(o))
	case x.reencrypted(e, o) && verified:
		return one(d, DriftUnknown, "the whole file was encrypted anew, and no fingerprint of the value is on record: look at it, then `coffer accept %s`", quoteArg(e.Address))
	case x.reencrypted(e, o):
		return one(d, DriftUnknown, "the whole file was encrypted anew; whether the value changed too shows `coffer drift -verify-values`")
	}
	return one(d, DriftChanged, "%s", whoWhen(o))
}

// verifiedDrift answers from the values themselves, where they were compared.
func verifiedDrift(d Drift, verified Verified, e *state.Entry, o *Observation) ([]Drift, bool) {
	switch result, ok := verified[e.Location]; {
	case ok && result.Err != nil:
		return one(d, DriftUnknown, "its value could not be read: %v", result.Err), true
	case !ok || result.Outcome == fingerprint.NotComparable:
		return nil, false
	case result.Outcome == fingerprint.Different:
		return one(d, DriftChanged, "%s: the value is not the one that was written", whoWhen(o)), true
	}
	return nil, true
}

func (x *differ) attributeDrift(d Drift, e *state.Entry, store *Store, o *Observation) []Drift {
	if !store.KeepsAttributes() {
		return nil
	}
	a := o.Attributes()
	switch {
	case a.Mark.Project != x.d.Project:
		return one(d, DriftMetadata, "our mark is gone: somebody replaced the secret")
	case !maps.Equal(a.Labels, e.Labels) || a.Description != e.Description:
		return one(d, DriftMetadata, "labels or description were changed")
	case !sameForm(a.Form, recordedForm(e)):
		return one(d, DriftMetadata, "%s", formDiffers(recordedForm(e), a.Form))
	}
	return nil
}

// Kinds of objects whose text is one thing. In the text of others, each line is
// a reader.
const (
	kindPolicy  = "policy"
	kindRole    = "role"
	kindMount   = "mount"
	kindBinding = "binding"

	// kindRoleBinding is a binding of a cluster.
	kindRoleBinding = "rolebinding"
)

// reads says who reads what by an object, for people.
func (x *differ) reads(e *state.Entry) string {
	if r := x.d.byLocation[e.Location]; r != nil && r.Reads != "" {
		return r.Reads
	}
	return e.Location.Path
}

// objectDrift compares documents; for what a provider compiles from readers,
// each line is one grant.
func (x *differ) objectDrift(d Drift, e *state.Entry, store *Store, o *Observation) []Drift {
	recorded, live := e.Document, o.document(e.Document)
	switch kind := e.Location.Kind; {
	case recorded == live && store.KeepsAttributes() && !o.Object.NoMark && o.Attributes().Mark.Project != x.d.Project:
		return one(d, DriftMetadata, "our mark is gone: somebody replaced it")
	case recorded == live:
		return nil
	case d.Address.Provider == "", kind == kindPolicy, kind == kindRole, kind == kindMount, kind == kindBinding, store.Deliverer() != nil:
		return otherText(d, recorded, live) // what a cluster keeps is no list of readers
	}
	var out []Drift
	before, after := strings.Fields(recorded), strings.Fields(live)
	for _, line := range after {
		if !slices.Contains(before, line) {
			out = append(out, one(d, DriftGrantAdded, "%s can read it now", line)...)
		}
	}
	for _, line := range before {
		if !slices.Contains(after, line) {
			out = append(out, one(d, DriftGrantRemoved, "%s cannot read it any more", line)...)
		}
	}
	if len(out) == 0 {
		return otherText(d, recorded, live)
	}
	return out
}

// otherText is the finding of a text that was changed, with both.
func otherText(d Drift, recorded, live string) []Drift {
	d.Before, d.After = recorded, live
	return one(d, DriftDocument, "the text was changed")
}

// orphanDrift reports what is ours on a store and in nobody's books.
func (x *differ) orphanDrift() []Drift {
	x.strangers()
	var out []Drift
	for _, n := range x.plan.Notes {
		if n.Reason == ReasonOrphan {
			out = append(out, Drift{
				Address: n.Address, Location: Location{Provider: n.Address.Provider, Kind: n.Address.Kind, Path: n.Address.Key},
				Kind: DriftOrphan, Detail: n.Text,
			})
		}
	}
	return out
}

// Reencrypted returns the addresses of secrets whose whole container was
// encrypted anew, so that only a look at the value tells whether it changed.
func Reencrypted(d *Desired, s *state.Snapshot, live *Live, stores Stores) map[addr.Address]bool {
	x := newDiffer(d, s, live, stores, DiffOptions{})
	out := map[addr.Address]bool{}
	for loc, e := range s.Entries {
		if o := live.At(loc); o.Exists && x.reencrypted(e, &o) {
			out[e.Address] = true
		}
	}
	return out
}

// Verifier reads values to compare them with their fingerprints. It is the one
// part of a drift check that reads any, and each read is audited.
type Verifier struct {
	Stores Stores
	Key    fingerprint.Key
	Audit  Auditor
}

// Verify reads every recorded secret that matches and compares it, field by
// field. Why one could not be read is in the answer; the error returned is that
// of the audit log, or of ctx.
func (v *Verifier) Verify(ctx context.Context, s *state.Snapshot, matches func(addr.Address) bool) (Verified, error) {
	out := Verified{}
	for _, e := range s.Sorted() {
		store := v.Stores.ByIdentity(e.Location.Provider)
		if store == nil || e.Role == state.RoleObject || e.Version == "" || !matches(e.Address) || !hasFingerprint(e) || unreadable(store, e) {
			continue
		}
		result, err := v.one(ctx, store, e)
		var refused *providers.Error
		switch {
		case errors.As(err, &refused) && ctx.Err() == nil:
			out[e.Location] = Verification{Err: err}
		case err != nil:
			return nil, fmt.Errorf("%s: %w", e.Address, err)
		default:
			out[e.Location] = Verification{Outcome: result}
		}
	}
	return out, nil
}

func hasFingerprint(e *state.Entry) bool {
	for _, f := range e.Fields {
		if f.Fingerprint != "" {
			return true
		}
	}
	return false
}

// one compares one secret: different beats not comparable beats same.
func (v *Verifier) one(ctx context.Context, store *Store, e *state.Entry) (fingerprint.Outcome, error) {
	if v.Audit != nil {
		at := Location{Provider: store.Ref(), Kind: e.Location.Kind, Path: e.Location.Path}
		if err := v.Audit.Record(ctx, AuditEvent{Action: "read", Address: e.Address, Location: at, Version: e.Version}); err != nil {
			return fingerprint.NotComparable, err
		}
	}
	value, err := store.Read(ctx, e.Location.Path, "")
	if err != nil {
		return fingerprint.NotComparable, err
	}
	if value, err = open(value, e.Address, keysOf(nil, e)...); err != nil {
		return fingerprint.Different, nil // somebody wrote it in another form
	}
	return v.compare(e, value)
}

func (v *Verifier) compare(e *state.Entry, value secret.Value) (fingerprint.Outcome, error) {
	result := fingerprint.Same
	for name, f := range e.Fields {
		if f.Fingerprint == "" {
			result = fingerprint.NotComparable
			continue
		}
		part, err := pick(value, name, e.Address)
		if err != nil {
			return fingerprint.Different, nil
		}
		got, err := v.Key.Compare(f.Fingerprint, e.Location, name, part)
		if err != nil {
			return fingerprint.NotComparable, err
		}
		if got == fingerprint.Different {
			return got, nil
		}
		if got == fingerprint.NotComparable {
			result = got
		}
	}
	return result, nil
}
