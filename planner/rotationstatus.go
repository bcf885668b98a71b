package planner

import (
	"cmp"
	"slices"
	"time"

	"github.com/cofferhq/coffer/lang"
	"github.com/cofferhq/coffer/lang/addr"
	"github.com/cofferhq/coffer/state"
)

// RotationState says where a secret stands in its rotation. The list is closed.
type RotationState string

const (
	RotationOverdue   RotationState = "overdue"   // its value is older than its rotation allows
	RotationDueSoon   RotationState = "due_soon"  // it is within notify_before of that
	RotationScheduled RotationState = "scheduled" // it has a time to come
	RotationNotMade   RotationState = "not_made"  // the state has no value of it, so no clock runs
	RotationNone      RotationState = "none"      // no rotation is written for it
	RotationNever     RotationState = "never"     // rotation = never
	RotationFollows   RotationState = "follows"   // it is made of other secrets, and changes when they do
)

// RotationStatus is the answer of rotation: every secret of a configuration
// with its clock, what is most urgent first. It cannot hold a value.
type RotationStatus struct {
	FormatVersion int              `json:"format_version"`
	Project       string           `json:"project"`
	Lineage       string           `json:"lineage"`
	Serial        uint64           `json:"serial"`
	CreatedAt     time.Time        `json:"created_at"`
	Secrets       []SecretRotation `json:"secrets"`
	Overdue       int              `json:"overdue"`
	DueSoon       int              `json:"due_soon"`
	Diagnostics   []Diagnostic     `json:"diagnostics"`
}

// SecretRotation is the clock of one secret.
type SecretRotation struct {
	Address addr.Address  `json:"address"`
	State   RotationState `json:"state"`
	Overdue bool          `json:"overdue"`
	// AgeSeconds and LastRotated are absent where no clock runs. LastRotated is
	// when the value was made, set, accepted or imported.
	AgeSeconds  *int64       `json:"age_seconds,omitempty"`
	LastRotated time.Time    `json:"last_rotated,omitzero"`
	NextDue     time.Time    `json:"next_due,omitzero"`
	Rule        RotationRule `json:"rule,omitzero"`
	Range       *Range       `json:"range,omitempty"`
}

// RotationRule is the rotation that holds for a secret, in the words of the
// configuration.
type RotationRule struct {
	Every        string `json:"every,omitempty"`
	NotifyBefore string `json:"notify_before,omitempty"`
	Strategy     string `json:"strategy,omitempty"`
	Window       string `json:"window,omitempty"`
}

// Rotation tells the clocks of the secrets that pick picks, from the
// configuration and the state alone. It is pure.
func Rotation(cfg *lang.Config, s *state.Snapshot, now time.Time, pick func(addr.Address) bool) *RotationStatus {
	out := &RotationStatus{
		FormatVersion: FormatVersion, Project: cfg.Settings.Project, Lineage: s.Lineage, Serial: s.Serial,
		CreatedAt: now.UTC(), Secrets: []SecretRotation{}, Diagnostics: []Diagnostic{},
	}
	recorded := recordedPrimaries(cfg.Moved, s)
	for _, secret := range cfg.Secrets {
		if secret.Address.Kind != addr.KindSecret || !pick(secret.Address) {
			continue
		}
		r := rotationOf(secret, recorded(secret.Address), now)
		switch r.State {
		case RotationOverdue:
			out.Overdue++
		case RotationDueSoon:
			out.DueSoon++
		}
		out.Secrets = append(out.Secrets, r)
	}
	slices.SortStableFunc(out.Secrets, moreUrgent)
	return out
}

// recordedPrimaries finds the entry of a secret, also of one that a moved block
// gave another name.
func recordedPrimaries(moved []*lang.Moved, s *state.Snapshot) func(addr.Address) *state.Entry {
	by := make(map[addr.Address]*state.Entry, len(s.Entries))
	for _, e := range s.Sorted() {
		if e.Role == state.RolePrimary && by[e.Address] == nil {
			by[e.Address] = e
		}
	}
	names := &Desired{Moved: moved}
	return func(a addr.Address) *state.Entry {
		if e := by[a]; e != nil {
			return e
		}
		for _, old := range names.cameFrom(a) {
			if e := by[old]; e != nil {
				return e
			}
		}
		return nil
	}
}

func rotationOf(secret *lang.Secret, e *state.Entry, now time.Time) SecretRotation {
	r := SecretRotation{Address: secret.Address, Range: rangeOf(secret.Range), Rule: ruleOf(secret.Rotation)}
	made := e != nil && e.Version != "" && !e.RotatedAt.IsZero()
	if made {
		age := int64(max(now.Sub(e.RotatedAt), 0) / time.Second)
		r.AgeSeconds, r.LastRotated = &age, e.RotatedAt.UTC()
	}
	switch {
	case classOf(secret) == state.ClassTemplate:
		r.State = RotationFollows
		return r
	case secret.Rotation.Never:
		r.State = RotationNever
		return r
	case !made:
		r.State = RotationNotMade
		return r
	}
	at, ok := dueAt(secret, e)
	switch {
	case !ok:
		r.State = RotationNone
		return r
	case isDue(at, now):
		r.State, r.Overdue = RotationOverdue, true
	case isDue(noticeAt(secret, at), now):
		r.State = RotationDueSoon
	default:
		r.State = RotationScheduled
	}
	r.NextDue = at.UTC()
	return r
}

func ruleOf(r lang.Rotation) RotationRule {
	if r.Never || r.Every <= 0 {
		return RotationRule{}
	}
	rule := RotationRule{Every: lang.FormatDuration(r.Every), Strategy: r.Strategy, Window: r.Window}
	if r.NotifyBefore > 0 {
		rule.NotifyBefore = lang.FormatDuration(r.NotifyBefore)
	}
	return rule
}

// moreUrgent orders by state, then by when it is due, then the older first.
func moreUrgent(a, b SecretRotation) int {
	order := []RotationState{
		RotationOverdue, RotationDueSoon, RotationScheduled, RotationNotMade, RotationNone, RotationNever, RotationFollows,
	}
	return cmp.Or(
		cmp.Compare(slices.Index(order, a.State), slices.Index(order, b.State)),
		a.NextDue.Compare(b.NextDue),
		a.LastRotated.Compare(b.LastRotated),
		a.Address.Compare(b.Address),
	)
}
