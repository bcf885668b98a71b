package planner

import (
	"fmt"

	"github.com/cofferhq/coffer/planner/fingerprint"
	"github.com/cofferhq/coffer/state"
)

// facts are what a row of the decision table looks at for one resource.
type facts struct {
	r    *Resource
	e    *state.Entry // at this location, else of this address elsewhere; nil
	here bool         // e is at r's location
	// tenant is an entry of another address at r's location.
	tenant *state.Entry
	o      Observation // at r's location
	store  storeFacts
	// primary is what the plan does about a replica's primary.
	primary *outcome
	// recordedVersion is what the state holds, whatever a row makes of e.
	recordedVersion string
	// interrupted: an earlier run left an intent here that did not land.
	interrupted bool
	// again is the action of that intent, where what is live is what it started
	// from.
	again Action
}

// row is one row of the decision table of docs/decisions.md. It returns false
// where it does not fit; the first row that fits decides.
type row struct {
	name   string
	decide func(*differ, *facts) (outcome, bool)
}

// table returns the rows for what the configuration wants, in order. Rows for
// what it no longer wants are in leftover.go.
func table() []row {
	return []row{
		{"live state unknown", rowUnknown},
		{"its place is another's: wait", rowTenant},
		{"a rollout: restart what is to be", rowRollout},
		{"pending: an intent without an outcome", rowPending},
		{"soft-deleted", rowSoftDeleted},
		{"a replica follows its primary", rowReplica},
		{"recorded elsewhere: relocate", rowRelocate},
		{"missing while a replica lives", rowReplicaLives},
		{"accepted, and nothing is there: refuse", rowNothingToAccept},
		{"not recorded and missing: create", rowNew},
		{"import of what is marked for another: refuse", rowImportAnothers},
		{"not recorded, our mark: adopt", rowAdoptOurs},
		{"import or manual, nobody's mark: adopt", rowImport},
		{"not recorded, a stranger's: refuse", rowStranger},
		{"recorded and missing: create again", rowMissing},
		{"our mark is gone", rowMarkLost},
		{"ours, newer than recorded: adopt", rowStateBehind},
		{"outside versions are accepted: adopt", rowAcceptsOutside},
		{"only re-encrypted, or not: cannot be told", rowReencrypted},
		{"changed outside, value at hand: update", rowValueAtHand},
		{"changed outside, generated: conflict", rowConflict},
		{"same place, other name: rename", rowRename},
		{"same version", rowSame},
	}
}

// facts gathers what the table looks at.
func (x *differ) facts(r *Resource) *facts {
	f := &facts{r: r, o: x.live.At(r.Location), store: x.caps[r.Store]}
	here := x.s.Entries[r.Location]
	if here != nil {
		f.recordedVersion = here.Version
	}
	f.o.Meta.Fields = openFields(f.o.Meta.Fields, keysOf(r, here)...)
	x.settleIn(f, here)
	if r.IsReplica() {
		p := x.outcome(r.Address.Primary())
		f.primary = &p
	}
	return f
}

// decide runs the table.
func (x *differ) decide(f *facts) outcome {
	for _, row := range x.rows {
		if out, fits := row.decide(x, f); fits {
			return out
		}
	}
	return outcome{generation: f.generation()}
}

func (f *facts) generation() int {
	if f.e == nil {
		return 0
	}
	return f.e.Generation
}

// recorded reports whether the state has an entry at this location.
func (f *facts) recorded() bool { return f.here && f.e != nil }

// changed reports whether the live version is another than the recorded one.
// Numbers can repeat (a restored backup, a new mount): the time tells.
func (f *facts) changed() bool { return versionDiffers(f.e, &f.o) }

func versionDiffers(e *state.Entry, o *Observation) bool {
	if o.Object != nil && o.Object.Settings && e.Document != "" { // those that are ours
		return o.document(e.Document) != e.Document
	}
	if o.Version() != e.Version {
		return true
	}
	made := o.Meta.Created
	return !made.IsZero() && !e.Created.IsZero() && !made.Equal(e.Created)
}

// Whose mark a live thing carries.
type whose int

const (
	ours whose = iota
	nobodys
	anothers
)

// whose reads the owner mark. On a platform without attributes the place is
// the mark, so everything there is ours.
func (x *differ) whose(marks bool, o *Observation) whose {
	mark := o.Attributes().Mark
	switch {
	case mark.Project != "" && mark.Project != x.d.Project:
		return anothers
	case mark.Project == "" && marks:
		return nobodys
	}
	return ours
}

// owner says whose it is that lies at f's place. What has no room for a mark is
// ours when the state has it, or when it is what is wanted anyway.
func (x *differ) owner(f *facts) whose {
	if o := f.o.Object; o != nil && o.NoMark {
		if f.recorded() || o.Like(f.r.Document) == f.r.Document {
			return ours
		}
		return nobodys
	}
	if f.store.Shared && !f.store.marks && !f.recorded() && !f.r.IsObject() {
		return nobodys // others write beside us, and nothing tells whose it is
	}
	return x.whose(f.store.marks, &f.o)
}

// change starts a Change for f.
func (f *facts) change(action Action, reason Reason, format string, args ...any) *Change {
	c := &Change{
		Address: f.r.Address, Action: action, Reason: reason,
		Location: Location{Provider: f.r.Store, Kind: f.r.Location.Kind, Path: f.r.Location.Path},
	}
	if format != "" {
		c.Detail = fmt.Sprintf(format, args...)
	}
	if f.o.Exists && f.o.Err == nil {
		c.VersionFrom = f.o.Version()
	}
	c.Entry = f.recordedVersion
	if f.r.IsObject() {
		c.Before, c.After, c.Secrets = f.o.document(f.r.Document), f.r.Document, f.r.Covers
		c.Detail = joined(c.Detail, f.leftAsIs())
	}
	if f.interrupted && action != Conflict && action != Unknown {
		c.Reason = ReasonInterrupted
	}
	return c
}

// conflict is an outcome that writes nothing and lets nothing be made of it.
func (f *facts) conflict(reason Reason, format string, args ...any) outcome {
	c := f.change(Conflict, reason, format, args...)
	return outcome{change: c, generation: f.generation(), blocked: "is in conflict"}
}

func (f *facts) unknown(reason Reason, format string, args ...any) outcome {
	c := f.change(Unknown, reason, format, args...)
	return outcome{change: c, generation: f.generation(), blocked: "could not be told"}
}

// refuse files a diagnostic at the block.
func (x *differ) refuse(f *facts, summary, detail string) outcome {
	x.diagnose(f.r, nil, summary, detail)
	return outcome{generation: f.generation(), blocked: "cannot be managed yet"}
}

func rowUnknown(x *differ, f *facts) (outcome, bool) {
	if f.o.Err != nil {
		return f.unknown(f.o.Reason(), "%v", f.o.Err), true
	}
	if err := x.live.Sealing[f.r.Location].Err; err != nil {
		o := Observation{Err: err}
		return f.unknown(o.Reason(), "what it is to be sealed with cannot be told: %v", err), true
	}
	return outcome{}, false
}

func rowNew(x *differ, f *facts) (outcome, bool) {
	if f.o.Exists || f.e != nil {
		return outcome{}, false
	}
	return x.create(f, ReasonNew), true
}

func rowAdoptOurs(x *differ, f *facts) (outcome, bool) {
	if f.e != nil || x.owner(f) != ours || f.r.Import == nil && x.markedForAnother(f.r, &f.o) {
		return outcome{}, false
	}
	if f.r.Import != nil {
		return x.adopt(f, ReasonImported, ""), true
	}
	if f.o.Object != nil && f.o.Object.NoMark {
		return x.adopt(f, ReasonImported, "exists already, as it is declared"), true
	}
	return x.adopt(f, ReasonStateLost, "exists and is ours, but the state does not have it"), true
}

func rowImport(x *differ, f *facts) (outcome, bool) {
	who := x.owner(f)
	wanted := f.r.Import != nil || f.r.Class == state.ClassManual
	takes := who == nobodys || who == anothers && x.o.TakeOver && f.r.Import != nil
	if !f.o.Exists || !wanted || !takes {
		return outcome{}, false
	}
	return x.adopt(f, ReasonImported, ""), true
}

func rowStranger(x *differ, f *facts) (outcome, bool) {
	if f.e != nil {
		return outcome{}, false
	}
	id := f.place(x)
	owner, way := "by nobody", fmt.Sprintf("Adopt it with an import block, or: coffer import '%s' %s", f.r.Address, shellWord(id))
	if mark := f.o.Attributes().Mark; mark.Project != "" {
		owner, way = fmt.Sprintf("by project %q", mark.Project), fmt.Sprintf("Set another path, or take it over with: coffer import -take-over '%s' %s", f.r.Address, shellWord(id))
	}
	if x.markedForAnother(f.r, &f.o) {
		owner, way = "under another address", x.wayPast(f)
	}
	what := "secret at"
	if f.r.IsObject() {
		what = f.r.Location.Kind
	}
	return x.refuse(f, fmt.Sprintf("%s exists already, managed %s", f.r.Address, owner),
		fmt.Sprintf("There is a %s %q on %s. %s", what, id, f.r.Store, way)), true
}

func rowMissing(x *differ, f *facts) (outcome, bool) {
	if f.o.Exists || !f.recorded() {
		return outcome{}, false
	}
	if f.r.Generated() && f.r.Secret.Rotation.Never && !x.settles(f.r.Address, SettleRotate) {
		return f.conflict(ReasonMissing, "gone, and rotation = never forbids a new value: put the old one back, or start anew with `coffer state rm %s`", quoteArg(f.r.Address)), true
	}
	return x.create(f, ReasonMissing), true
}

func rowMarkLost(x *differ, f *facts) (outcome, bool) {
	who := x.owner(f)
	if !f.recorded() || who == ours {
		return outcome{}, false
	}
	if who == nobodys && f.again != "" && !f.changed() { // nobody wrote since: that run had not come to its mark
		return x.adopt(f, ReasonInterrupted, "our mark is written, which the interrupted run did not come to"), true
	}
	if who == nobodys && x.settles(f.r.Address, SettleAccept) {
		return x.adopt(f, ReasonMarkLost, "our mark is written again"), true
	}
	if who == anothers {
		return f.conflict(ReasonMarkLost, "now carries the mark of project %q: `coffer import -take-over %s %s` takes it back",
			f.o.Attributes().Mark.Project, quoteArg(f.r.Address), shellWord(f.place(x))), true
	}
	return f.conflict(ReasonMarkLost, "our mark is gone: somebody replaced it. `coffer accept %s` makes it ours again", quoteArg(f.r.Address)), true
}

func rowStateBehind(x *differ, f *facts) (outcome, bool) {
	if !f.changed() || !opIsOurs(f.o.Meta.OpID, x.d.Project) {
		return outcome{}, false
	}
	return x.adopt(f, ReasonStateBehind, "written by Coffer after this state"), true
}

func rowAcceptsOutside(x *differ, f *facts) (outcome, bool) {
	if !f.changed() || !f.r.AcceptsOutside() {
		return outcome{}, false
	}
	if x.settles(f.r.Address, SettleSet) {
		return x.set(f), true
	}
	return x.adopt(f, ReasonChangedOutside, "%s", whoWhen(&f.o)), true
}

// rowReencrypted: every value of the container moved under another key, so
// whether this one also changed cannot be seen without reading it. A person who
// accepts it, where fingerprints show that it did not, keeps its clock.
func rowReencrypted(x *differ, f *facts) (outcome, bool) {
	if !x.reencrypted(f.e, &f.o) || x.sealed(f.r) {
		return outcome{}, false
	}
	if x.settles(f.r.Address, SettleAccept) && x.o.Verified[f.r.Location].Outcome == fingerprint.Same {
		return x.adopt(f, ReasonReencrypted, "the file was encrypted anew, the value is the recorded one"), true
	}
	if x.settlement(f.r.Address) != nil {
		return outcome{}, false
	}
	return f.unknown(ReasonReencrypted,
		"the whole file was encrypted anew; whether the value changed too takes a look at it: `coffer drift -verify-values`, or `coffer accept %s`", quoteArg(f.r.Address)), true
}

// reencrypted reports whether a version changed together with every other of
// its container, under another key.
func (x *differ) reencrypted(e *state.Entry, o *Observation) bool {
	return versionDiffers(e, o) && e.Envelope != "" && o.Meta.Envelope != "" && e.Envelope != o.Meta.Envelope &&
		!x.intact[e.Location.Provider+"\x00"+e.Envelope]
}

// atHand reports whether the value can be made again as it was: it is supplied
// or a template, and was so when it was recorded.
func (f *facts) atHand() bool {
	return f.r.IsObject() || atHand(f.r.Class) && (f.e.Class == "" || atHand(f.e.Class))
}

// atHand reports whether a value of a class can be made again from its source.
func atHand(class string) bool { return class == state.ClassSupplied || class == state.ClassTemplate }

func rowValueAtHand(x *differ, f *facts) (outcome, bool) {
	if !f.changed() || !f.r.IsObject() && f.r.Class != state.ClassSupplied && f.r.Class != state.ClassTemplate {
		return outcome{}, false
	}
	if f.r.IsObject() || x.settles(f.r.Address, SettleAccept) {
		return x.adopt(f, ReasonChangedOutside, "%s", whoWhen(&f.o)), true
	}
	return x.update(f, ReasonChangedOutside, x.allFields(f)), true
}

func rowConflict(x *differ, f *facts) (outcome, bool) {
	if !f.changed() {
		return outcome{}, false
	}
	what := f.r.Secret.OnOutsideChange
	s := x.settlement(f.r.Address)
	switch {
	case s != nil && s.Kind == SettleAccept, s == nil && what == "accept":
		return x.adopt(f, ReasonChangedOutside, "%s", whoWhen(&f.o)), true
	case s != nil && s.Kind == SettleRotate:
		return x.rotate(f, ReasonRotationRequested), true
	case s != nil && s.Kind == SettleRestore, s == nil && what == "restore":
		return x.restore(f, s), true
	}
	a := quoteArg(f.r.Address)
	ways := fmt.Sprintf("`coffer accept %s` keeps the live value, `coffer rotate %s` makes a new one", a, a)
	if f.store.Versioned {
		ways = fmt.Sprintf("`coffer accept %s` keeps the live value, `coffer restore %s` writes the recorded one again, `coffer rotate %s` makes a new one", a, a, a)
	}
	return f.conflict(ReasonChangedOutside, "%s; %s", whoWhen(&f.o), ways), true
}

func rowRename(x *differ, f *facts) (outcome, bool) {
	if f.e.Address == f.r.Address && f.e.Role == f.r.Role {
		return outcome{}, false
	}
	if out, behind := x.promotedBehind(f); behind {
		return out, true
	}
	out := x.onward(f, Rename, ReasonMoved, "was %s", f.e.Address)
	if out.change.From == nil {
		out.change.From = &From{Address: f.e.Address, Location: out.change.Location, Version: f.e.Version}
	}
	return out, true
}

func rowSame(x *differ, f *facts) (outcome, bool) {
	if s := x.settlement(f.r.Address); s != nil && f.r.Role == state.RolePrimary {
		switch s.Kind {
		case SettleRotate:
			return x.rotate(f, ReasonRotationRequested), true
		case SettleSet:
			return x.set(f), true
		case SettleRestore:
			if s.Version != "" || s.From != "" {
				return x.restore(f, s), true
			}
		}
	}
	return x.rekeyed(f, x.same(f)), true
}
