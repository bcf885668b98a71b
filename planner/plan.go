package planner

import (
	"time"

	"github.com/cofferhq/coffer/lang/addr"
)

// FormatVersion is the version of the plan's JSON form.
const FormatVersion = 1

// Action is what a change does. The list is closed; names are a contract
// (docs/plan-format.md).
type Action string

const (
	Create   Action = "create"
	Update   Action = "update"
	Rotate   Action = "rotate"
	Adopt    Action = "adopt"
	Rename   Action = "rename"
	Relocate Action = "relocate"
	Restore  Action = "restore"
	Delete   Action = "delete"
	Forget   Action = "forget"
	Conflict Action = "conflict"
	Unknown  Action = "unknown"
)

// Reason says why, for people. Apply looks at it in two places: what restarts
// a rotation clock, and which deletes need no confirmation.
type Reason string

const (
	ReasonNew               Reason = "new"
	ReasonImported          Reason = "imported"
	ReasonMissing           Reason = "missing"
	ReasonChangedOutside    Reason = "changed_outside"
	ReasonSourceChanged     Reason = "source_changed"
	ReasonMetadataChanged   Reason = "metadata_changed"
	ReasonReplicaBehind     Reason = "replica_behind"
	ReasonRotationDue       Reason = "rotation_due"
	ReasonRotationRequested Reason = "rotation_requested"
	ReasonInterrupted       Reason = "interrupted"
	ReasonInProgress        Reason = "in_progress"
	ReasonStateLost         Reason = "state_lost"
	ReasonStateBehind       Reason = "state_behind"
	ReasonMarkLost          Reason = "mark_lost"
	ReasonMoved             Reason = "moved"
	ReasonRemoved           Reason = "removed"
	ReasonSoftDeleted       Reason = "soft_deleted"
	ReasonReencrypted       Reason = "reencrypted"
	ReasonUnreachable       Reason = "unreachable"
	ReasonForbidden         Reason = "forbidden"

	// Of notes only.
	ReasonAwaitingValue Reason = "awaiting_value"
	ReasonNotCompared   Reason = "not_compared"
	ReasonOrphan        Reason = "orphan"
	ReasonNotChecked    Reason = "not_checked"
)

// Plan is what apply would do, as plain data: it can be printed, saved, loaded
// and refused without running anything, and it cannot hold a value.
type Plan struct {
	FormatVersion int       `json:"format_version"`
	Project       string    `json:"project"`
	Lineage       string    `json:"lineage"`
	Serial        uint64    `json:"serial"`
	CreatedAt     time.Time `json:"created_at"`
	ExpiresAt     time.Time `json:"expires_at"`
	// At is when rotations were looked at, where that is not CreatedAt: the plan
	// shows what will be due then, and is never applied.
	At time.Time `json:"at,omitzero"`
	// Providers pins the identity behind each provider reference.
	Providers map[string]string `json:"providers,omitempty"`
	// Partial is true for a plan made with -target, -exclude or without a
	// refresh: it deletes nothing outside the selection.
	Partial bool `json:"partial,omitempty"`
	// Refreshed is false for -refresh=false; such a plan is never applied.
	Refreshed   bool         `json:"refreshed"`
	Changes     []Change     `json:"changes"`
	Summary     Summary      `json:"summary"`
	Notes       []Note       `json:"notes"`
	Unchanged   int          `json:"unchanged"`
	ValuesRead  int          `json:"values_read"`
	Live        int          `json:"live"` // secrets of ours that exist now, without their copies: the base of the mass guards
	Checks      []CheckState `json:"checks,omitempty"`
	Diagnostics []Diagnostic `json:"diagnostics"`
}

// Change is one line of a plan.
type Change struct {
	Address  addr.Address `json:"address"`
	Location Location     `json:"location"`
	Action   Action       `json:"action"`
	Reason   Reason       `json:"reason"`
	// Detail is a sentence for people: who, when, what next.
	Detail      string `json:"detail,omitempty"`
	VersionFrom string `json:"version_from,omitempty"`
	// Entry is the version that the state recorded; with VersionFrom it says
	// what the change was made for.
	Entry      string `json:"entry,omitempty"`
	Generation int    `json:"generation,omitempty"`
	// GenerationLive is what a replica holds when it is behind.
	GenerationLive int    `json:"generation_live,omitempty"`
	Role           string `json:"role"`
	ReadsValue     bool   `json:"reads_value"`
	ConfigDigest   string `json:"config_digest,omitempty"`
	// Envelope names the key and scope that a sealed secret is sealed with.
	Envelope string `json:"envelope,omitempty"`
	// From is where a relocated or renamed thing was.
	From *From `json:"from,omitempty"`
	// Fields holds the fields that the change touches; the value of a secret
	// without fields is the field "".
	Fields map[string]FieldChange `json:"fields,omitempty"`
	// Secrets are those that an object decides who can read.
	Secrets []addr.Address `json:"secrets,omitempty"`
	// Before and After are an object's document.
	Before string `json:"before,omitempty"`
	After  string `json:"after,omitempty"`
	// DependsOn are the changes of this plan that must succeed first.
	DependsOn []Key  `json:"depends_on,omitempty"`
	NewValue  bool   `json:"new_value,omitempty"` // replaces or re-makes a value that once was live
	Confirmed bool   `json:"confirmed,omitempty"` // a removed block asks for it
	Range     *Range `json:"range,omitempty"`
}

// Key names one change of a plan.
type Key struct {
	Address  addr.Address `json:"address"`
	Provider string       `json:"provider"`
	Path     string       `json:"path"`
}

// Key returns the name of c within its plan.
func (c *Change) Key() Key { return Key{c.Address, c.Location.Provider, c.Location.Path} }

// Location is where a change happens. Provider is the reference, which people
// know; the identity behind it is in Plan.Providers.
type Location struct {
	Provider string `json:"provider"`
	Kind     string `json:"kind"`
	Path     string `json:"path"`
}

// From is where a renamed or relocated thing was.
type From struct {
	Address  addr.Address `json:"address"`
	Location Location     `json:"location"`
	Version  string       `json:"version"`
}

// FieldChange is what happens to one field.
type FieldChange struct {
	// Op is "set" or "drop".
	Op     string `json:"op"`
	Source string `json:"source,omitempty"`
	// Before and After are source text, or the text of a public value.
	Before string `json:"before,omitempty"`
	After  string `json:"after,omitempty"`
}

// Range is a place in a configuration file.
type Range struct {
	File   string `json:"file"`
	Line   int    `json:"line"`
	Column int    `json:"column,omitempty"`
}

// Note is what apply leaves alone.
type Note struct {
	Address addr.Address `json:"address"`
	Reason  Reason       `json:"reason"`
	Text    string       `json:"text"`
	Range   *Range       `json:"range,omitempty"`
}

// CheckState is the outcome of one assertion.
type CheckState struct {
	Name    string `json:"name"`
	Holds   bool   `json:"holds"`
	Message string `json:"message,omitempty"`
	Range   *Range `json:"range,omitempty"`
}

// Severity of a diagnostic.
type Severity string

const (
	SeverityError   Severity = "error"
	SeverityWarning Severity = "warning"
)

// Diagnostic is a problem at a place in the configuration.
type Diagnostic struct {
	Severity Severity `json:"severity"`
	Summary  string   `json:"summary"`
	Detail   string   `json:"detail,omitempty"`
	// Rule names the rule of the policy pack that found it; see
	// [lang.PolicyRuleNames].
	Rule    string        `json:"rule,omitempty"`
	Address *addr.Address `json:"address,omitempty"`
	Range   *Range        `json:"range,omitempty"`
}

// Summary counts changes by action. Every action is present.
type Summary struct {
	Create   int `json:"create"`
	Update   int `json:"update"`
	Rotate   int `json:"rotate"`
	Adopt    int `json:"adopt"`
	Rename   int `json:"rename"`
	Relocate int `json:"relocate"`
	Restore  int `json:"restore"`
	Delete   int `json:"delete"`
	Forget   int `json:"forget"`
	Conflict int `json:"conflict"`
	Unknown  int `json:"unknown"`
}

// Drift is one thing that somebody changed by hand.
type Drift struct {
	Address         addr.Address `json:"address"`
	Location        Location     `json:"location"`
	Kind            DriftKind    `json:"kind"`
	Detail          string       `json:"detail"`
	VersionRecorded string       `json:"version_recorded,omitempty"`
	VersionLive     string       `json:"version_live,omitempty"`
	ChangedAt       time.Time    `json:"changed_at,omitzero"`
	ChangedBy       string       `json:"changed_by,omitempty"`
	// Before and After are the recorded and the live document of an object whose
	// text was changed.
	Before string `json:"before,omitempty"`
	After  string `json:"after,omitempty"`
	Range  *Range `json:"range,omitempty"`
}

// DriftKind is a closed list.
type DriftKind string

const (
	DriftChanged      DriftKind = "changed"
	DriftMissing      DriftKind = "missing"
	DriftSuperseded   DriftKind = "superseded"
	DriftMetadata     DriftKind = "metadata"
	DriftGrantAdded   DriftKind = "grant_added"
	DriftGrantRemoved DriftKind = "grant_removed"
	DriftDocument     DriftKind = "document"
	DriftOrphan       DriftKind = "orphan"
	DriftNotSynced    DriftKind = "not_synced"
	DriftUnknown      DriftKind = "unknown"
)

// DriftReport is the answer of drift: the plan's envelope with findings.
type DriftReport struct {
	FormatVersion int          `json:"format_version"`
	Project       string       `json:"project"`
	Lineage       string       `json:"lineage"`
	Serial        uint64       `json:"serial"`
	CreatedAt     time.Time    `json:"created_at"`
	Drift         []Drift      `json:"drift"`
	Notes         []Note       `json:"notes"`
	Unchanged     int          `json:"unchanged"`
	ValuesRead    int          `json:"values_read"`
	Checks        []CheckState `json:"checks,omitempty"`
	Diagnostics   []Diagnostic `json:"diagnostics"`
}
