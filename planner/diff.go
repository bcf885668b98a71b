package planner

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/cofferhq/coffer/lang/addr"
	"github.com/cofferhq/coffer/providers"
	"github.com/cofferhq/coffer/state"
)

// Rotations says which rotations a plan takes up.
type Rotations string

const (
	RotationsDue  Rotations = "due"  // those that are due and have a strategy
	RotationsNone Rotations = "none" // none
	RotationsOnly Rotations = "only" // those, and nothing that is not their consequence
)

// Settlement is a person's word on one address (or all below a prefix).
type Settlement struct {
	Address addr.Address
	Kind    SettleKind
	Version string // SettleRestore: an older version; "" is the recorded one
	From    string // SettleRestore: the store of a replica
	Fields  []string
}

// SettleKind is a closed list.
type SettleKind int

const (
	SettleAccept  SettleKind = iota + 1 // the live version becomes ours
	SettleRestore                       // the recorded version is written again
	SettleRotate                        // a new value, now
	SettleSet                           // a person supplies Fields of a manual value
)

// defaultLifetime is how long a plan may be applied.
const defaultLifetime = 24 * time.Hour

// DiffOptions narrow and direct a plan. Now is the only clock.
type DiffOptions struct {
	Now time.Time
	// At, where it is not zero, is when rotations are looked at in place of Now:
	// the plan shows what will be due then, and is never applied.
	At        time.Time
	Lifetime  time.Duration // how long the plan may be applied; 0 is 24 hours
	Targets   []addr.Address
	Excludes  []addr.Address
	Rotations Rotations // "" is RotationsDue
	Settle    []Settlement
	// Verified is what a look at the values found, for SettleAccept.
	Verified Verified
	// TakeOver lets an import adopt what carries another project's mark.
	TakeOver bool
	// Judge adds what the policy pack of the configuration finds.
	Judge bool
	// Newer is the serial of a newer state than this one that was seen, 0 where
	// there is none: nothing is deleted on the word of the older.
	Newer uint64
}

// Diff decides what apply would do. It is pure: the same arguments give the
// same plan, byte for byte.
func Diff(d *Desired, s *state.Snapshot, live *Live, stores Stores, o DiffOptions) *Plan {
	if o.Rotations == "" {
		o.Rotations = RotationsDue
	}
	if o.Lifetime == 0 {
		o.Lifetime = defaultLifetime
	}
	x := newDiffer(d, s, live, stores, o)
	x.checkProviders()
	for _, r := range d.Resources {
		if x.selected[r.n] {
			x.resource(r)
		}
	}
	for _, e := range x.unwanted() {
		x.leftover(e)
	}
	x.objectsLast()
	x.backInTime()
	x.strangers()
	x.sealingEnds()
	x.keepWhatIsNewer()
	x.finish()
	if o.Judge {
		x.plan.Diagnostics = append(x.plan.Diagnostics, d.PolicyFindings(s, x.plan, o.asOf(), x.isSelected)...)
	}
	x.plan.Checks = EvaluateChecks(d, s, x.plan, o.asOf())
	return x.plan
}

// differ holds what the rows of the decision table look at.
type differ struct {
	d      *Desired
	s      *state.Snapshot
	live   *Live
	stores Stores
	o      DiffOptions
	plan   *Plan
	rows   []row

	selected   []bool                          // by Resource.n
	byAddr     map[addr.Address][]*state.Entry // made when first asked for
	consumed   map[addr.Location]bool          // old places of relocated secrets
	intact     map[string]bool                 // envelopes under which a recorded version still stands
	evicted    map[addr.Location]bool          // places that another address waits for
	replicas   map[addr.Address][]*state.Entry // by primary address; see index
	inputsSeen map[string]int                  // latest generation that anything was made of, by address
	marked     map[string]addr.Location        // strangers with our mark, by the address hash in it
	declared   map[string]*Resource            // secrets, by the address hash in their mark; see index
	kept       []addr.Location                 // objects that stay for now, as another is made of them
	unknown    []addr.Location                 // listed, and named by neither configuration nor state
	outcomes   []outcome                       // by Resource.n
	readers    map[addr.Address][]Key          // changes that stop using a secret
	needed     map[addr.Address]addr.Address   // secrets that something is made of about which nothing can be done now
	caps       map[string]storeFacts           // by provider reference
}

type storeFacts struct {
	providers.Capabilities
	marks, patches, lists, undeletes bool
}

// outcome is what the plan does about one resource.
type outcome struct {
	change *Change
	// generation is the one the resource has when the plan is done.
	generation int
	// blocked says why nothing can be made from this secret in this plan, and
	// blockedFields why nothing can be made from some of its fields.
	blocked       string
	blockedFields map[string]string
	// whole: the change makes the entire value, so that a replica can take it
	// from memory.
	whole bool
}

func newDiffer(d *Desired, s *state.Snapshot, live *Live, stores Stores, o DiffOptions) *differ {
	x := &differ{
		d: d, s: s, live: live, stores: stores, o: o,
		plan: &Plan{
			FormatVersion: FormatVersion, Project: d.Project, Lineage: s.Lineage, Serial: s.Serial,
			CreatedAt: o.Now, ExpiresAt: o.Now.Add(o.Lifetime), At: o.At, Refreshed: live.Refreshed,
			Partial: len(o.Targets)+len(o.Excludes) > 0 || !live.Refreshed,
			Changes: []Change{}, Notes: []Note{}, Diagnostics: []Diagnostic{},
			Providers: map[string]string{},
		},
		rows:     table(),
		consumed: map[addr.Location]bool{},
		intact:   map[string]bool{},
		evicted:  map[addr.Location]bool{},
		marked:   map[string]addr.Location{},
		unknown:  live.strangers(d, s),
		outcomes: make([]outcome, len(d.Resources)),
		readers:  map[addr.Address][]Key{},
		needed:   map[addr.Address]addr.Address{},
		caps:     map[string]storeFacts{},
	}
	for ref, store := range stores {
		x.plan.Providers[ref] = store.Identity
		x.caps[ref] = storeFacts{
			Capabilities: store.Capabilities(), marks: store.KeepsAttributes(), patches: store.CanPatch(),
			lists: store.CanList(), undeletes: store.CanUndelete(),
		}
	}
	for loc, e := range s.Entries {
		if o := live.At(loc); e.Envelope != "" && o.Exists && o.Meta.Version == e.Version {
			x.intact[loc.Provider+"\x00"+e.Envelope] = true
		}
		if o := live.At(loc); e.Role == state.RolePrimary && (o.Exists && !o.Meta.IsDeleted() || o.Err != nil) {
			x.plan.Live++
		}
	}
	for _, loc := range x.unknown {
		o := live.At(loc)
		mark := o.Meta.Attributes.Mark
		if _, twice := x.marked[mark.Address]; !twice && mark.Project == d.Project && !o.Meta.IsDeleted() {
			x.marked[mark.Address] = loc
		}
	}
	x.selected = x.selection()
	return x
}

// entriesOf returns the entries of an address, by location.
func (x *differ) entriesOf(a addr.Address) []*state.Entry {
	if x.byAddr == nil {
		x.byAddr = make(map[addr.Address][]*state.Entry, len(x.s.Entries))
		for _, e := range x.s.Entries {
			x.byAddr[e.Address] = append(x.byAddr[e.Address], e)
		}
		for _, list := range x.byAddr {
			slices.SortFunc(list, func(a, b *state.Entry) int { return a.Location.Compare(b.Location) })
		}
	}
	return x.byAddr[a]
}

// outcome returns what the plan does about an address, nothing if that is not
// decided yet or not in the plan.
func (x *differ) outcome(a addr.Address) outcome {
	if r := x.d.byAddress[a]; r != nil {
		return x.outcomes[r.n]
	}
	return outcome{}
}

// unwanted returns the entries that the configuration no longer has at their
// places and that no other row has taken up, in order.
func (x *differ) unwanted() []*state.Entry {
	var out []*state.Entry
	for loc, e := range x.s.Entries {
		if (x.d.byLocation[loc] == nil || x.evicted[loc]) && !x.consumed[loc] && x.selects(e) {
			out = append(out, e)
		}
	}
	slices.SortFunc(out, func(a, b *state.Entry) int {
		return cmp.Or(a.Address.Compare(b.Address), a.Location.Compare(b.Location))
	})
	return out
}

// checkProviders says which entries live on a provider that is gone.
func (x *differ) checkProviders() {
	counts := map[string]int{}
	for loc := range x.s.Entries {
		if x.stores.ByIdentity(loc.Provider) == nil {
			counts[loc.Provider]++
		}
	}
	for _, identity := range slices.Sorted(maps.Keys(counts)) {
		n := counts[identity]
		x.diagnose(nil, nil, fmt.Sprintf("a provider that holds %s is not configured", plural(n, "secret", "secrets")),
			fmt.Sprintf("The state has %s on %s. Put its provider block back to delete or relocate them, or forget them with: coffer state rm ADDRESS", plural(n, "entry", "entries"), identity))
	}
}

func (x *differ) diagnose(r *Resource, at *addr.Address, summary, detail string) {
	diag := Diagnostic{Severity: SeverityError, Summary: summary, Detail: detail, Address: at}
	if r != nil {
		diag.Range = r.Range
		if at == nil {
			diag.Address = &r.Address
		}
	}
	x.plan.Diagnostics = append(x.plan.Diagnostics, diag)
}

func (x *differ) note(r *Resource, reason Reason, format string, args ...any) {
	x.plan.Notes = append(x.plan.Notes, Note{Address: r.Address, Reason: reason, Text: fmt.Sprintf(format, args...), Range: r.Range})
}

// settlement returns what a person said about an address.
func (x *differ) settlement(a addr.Address) *Settlement {
	for i := range x.o.Settle {
		if s := &x.o.Settle[i]; s.Address.Contains(a) {
			return s
		}
	}
	return nil
}

func (x *differ) settles(a addr.Address, kind SettleKind) bool {
	s := x.settlement(a)
	return s != nil && s.Kind == kind
}

// resource runs one resource through the decision table and files the result.
func (x *differ) resource(r *Resource) {
	f := x.facts(r)
	out := f.refuseFixed(x.decide(f))
	if out.change != nil {
		out = x.file(f, out)
	}
	x.outcomes[r.n] = out
}

// file completes a change and adds it to the plan.
func (x *differ) file(f *facts, out outcome) outcome {
	c := out.change
	c.Role, c.Range, c.ConfigDigest = f.r.Role, f.r.Range, f.r.Digest()
	c.Generation = out.generation
	if len(c.Fields) > 0 {
		c.Envelope = x.live.Sealing[f.r.Location].Envelope
	}
	c.DependsOn = x.dependencies(f.r)
	if e := f.e; e != nil {
		for input := range e.Inputs {
			if a, err := addr.Parse(input); err == nil {
				if c.carriedOut() {
					x.readers[a] = append(x.readers[a], c.Key())
				} else {
					x.needed[a] = c.Address
				}
			}
		}
	}
	x.plan.Changes = append(x.plan.Changes, *c)
	return out
}

// dependencies returns the changes of this plan that r waits for.
func (x *differ) dependencies(r *Resource) []Key {
	var keys []Key
	for _, need := range r.waitsFor() {
		if c := x.outcome(need).change; c != nil && c.Action != Conflict && c.Action != Unknown {
			keys = append(keys, c.Key())
		}
	}
	return keys
}

// finish sorts the plan and counts.
func (x *differ) finish() {
	p := x.plan
	if x.o.Rotations == RotationsOnly {
		p.Changes = onlyRotations(p.Changes)
	}
	slices.SortStableFunc(p.Changes, func(a, b Change) int {
		if c := a.Address.Compare(b.Address); c != 0 {
			return c
		}
		return cmp.Or(strings.Compare(a.Location.Provider, b.Location.Provider), strings.Compare(a.Location.Path, b.Location.Path))
	})
	slices.SortStableFunc(p.Notes, func(a, b Note) int { return a.Address.Compare(b.Address) })
	slices.SortStableFunc(p.Diagnostics, func(a, b Diagnostic) int { return strings.Compare(a.Summary, b.Summary) })
	for i := range p.Changes {
		p.Summary.Add(p.Changes[i].Action, 1)
	}
	left := uncompared{}
	for i, r := range x.d.Resources {
		same := x.selected[i] && !r.IsObject() && x.outcomes[i].change == nil && x.outcomes[i].blocked == ""
		if same && (!x.live.Refreshed || left.plainly(x.stores[r.Store])) {
			p.Unchanged++
		}
	}
	p.Notes = append(p.Notes, left.notes()...)
	if p.Partial {
		p.Notes = append(p.Notes, x.partialNote()...)
	}
}

func (x *differ) partialNote() []Note {
	if x.live.Refreshed {
		return nil
	}
	return []Note{{Reason: ReasonNotChecked, Text: "the stores were not asked: this shows the state only, and cannot be applied"}}
}

// Add counts n changes of one action.
func (s *Summary) Add(a Action, n int) {
	counter := map[Action]*int{
		Create: &s.Create, Update: &s.Update, Rotate: &s.Rotate, Adopt: &s.Adopt, Rename: &s.Rename, Relocate: &s.Relocate,
		Restore: &s.Restore, Delete: &s.Delete, Forget: &s.Forget, Conflict: &s.Conflict, Unknown: &s.Unknown,
	}[a]
	*counter += n
}
