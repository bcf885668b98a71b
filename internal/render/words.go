package render

import (
	"strconv"
	"strings"
	"time"

	"github.com/cofferhq/coffer/lang/addr"
	"github.com/cofferhq/coffer/planner"
)

// kindOfChange is how one action looks. Their order in actionLooks is the
// order of the sections of a plan: what can hurt comes first.
type kindOfChange struct {
	action planner.Action
	sign   string
	tone   Tone
	title  string
	about  string // what it means, where that is not plain
	todo   string // as in "3 to create"
	done   string // as in "3 created"
	// anew is true for the section of things that are made or written only
	// because their value is gone.
	anew bool
	// drops is true for the section of secrets that lose a field.
	drops bool
}

// holds reports whether c belongs to this section.
func (k kindOfChange) holds(c *planner.Change) bool {
	anew := c.NewValue && (c.Action == planner.Create || c.Action == planner.Update)
	drops := c.Action == planner.Update && dropsField(c)
	return c.Action == k.action && drops == k.drops && (anew == k.anew || drops)
}

// dropsField reports whether c deletes the value of a field.
func dropsField(c *planner.Change) bool {
	for _, f := range c.Fields {
		if f.Op == opDrop {
			return true
		}
	}
	return false
}

func actionLooks() []kindOfChange {
	return []kindOfChange{
		{action: planner.Conflict, sign: "!", tone: Danger, title: "Conflict", about: "nothing is written here until a person decides", todo: "in conflict", done: "in conflict"},
		{action: planner.Unknown, sign: "?", tone: Caution, title: "Unknown", about: "could not be told, so nothing is written, made or deleted here", todo: "could not be told", done: "could not be told"},
		{action: planner.Delete, sign: "-", tone: Danger, title: "Delete", todo: "to delete", done: "deleted"},
		{action: planner.Update, sign: "-", tone: Danger, title: "Delete fields", about: "the secret stays, a value in it is deleted", drops: true},
		{action: planner.Rotate, sign: "*", tone: Caution, title: "Rotate", about: "a new value takes the place of the one in use", todo: "to rotate", done: "rotated"},
		{action: planner.Create, sign: "*", tone: Caution, title: "New value", about: "the old one is gone, another is made", anew: true},
		{action: planner.Update, sign: "*", tone: Caution, title: "New value", about: "the old one cannot be kept, another is made", anew: true},
		{action: planner.Restore, sign: "<", tone: Caution, title: "Restore", todo: "to restore", done: "restored"},
		{action: planner.Relocate, sign: ">", tone: Info, title: "Relocate", about: "the value moves as it is; the next plan deletes the old place", todo: "to relocate", done: "relocated"},
		{action: planner.Rename, sign: ">", tone: Info, title: "Rename", about: "the value stays where it is", todo: "to rename", done: "renamed"},
		{action: planner.Update, sign: "~", tone: Caution, title: "Update", todo: "to update", done: "updated"},
		{action: planner.Adopt, sign: "=", tone: Info, title: "Adopt", about: "values are neither read nor written", todo: "to adopt", done: "adopted"},
		{action: planner.Create, sign: "+", tone: Good, title: "Create", todo: "to create", done: "created"},
		{action: planner.Forget, sign: ".", tone: Faint, title: "Forget", about: "leaves the state, nothing is deleted", todo: "to forget", done: "forgotten"},
	}
}

// lookOf returns how an action looks; one that is not known looks like a
// conflict, since it may come from a forged file.
func lookOf(action planner.Action) kindOfChange {
	for _, l := range actionLooks() {
		if l.action == action && !l.anew && !l.drops {
			return l
		}
	}
	return kindOfChange{
		action: action, sign: "!", tone: Danger, title: "Action " + string(action), about: "not one of this version",
		todo: string(action), done: string(action),
	}
}

// countOrder is the order of the last line of a plan.
func countOrder() []planner.Action {
	return []planner.Action{
		planner.Create, planner.Update, planner.Rotate, planner.Adopt, planner.Rename, planner.Relocate,
		planner.Restore, planner.Delete, planner.Forget, planner.Conflict, planner.Unknown,
	}
}

// changeReason returns the reason of a change in words. A list of recipients
// has nothing but recipients.
func changeReason(c *planner.Change) string {
	switch {
	case c.Location.Kind == kindRecipients && c.Before != "" && c.Before != c.After:
		return "recipients changed"
	case c.Location.Kind == planner.KindRollout && c.Reason == planner.ReasonSourceChanged:
		return "its secrets change"
	case c.Reason == planner.ReasonReencrypted && c.Action == planner.Update:
		return "sealed to another key" // one that nobody reads
	}
	return reasonText(c.Reason)
}

// reasonText returns a reason in words.
func reasonText(r planner.Reason) string {
	switch r {
	case planner.ReasonMissing:
		return "missing in the store"
	case planner.ReasonInterrupted:
		return "left by an interrupted apply"
	case planner.ReasonInProgress:
		return "another apply is at it"
	case planner.ReasonStateLost:
		return "the state did not know it"
	case planner.ReasonStateBehind:
		return "the state is behind"
	case planner.ReasonMarkLost:
		return "our mark is gone"
	case planner.ReasonRemoved:
		return "no longer configured"
	case planner.ReasonSoftDeleted:
		return "deleted, still restorable"
	case planner.ReasonReencrypted:
		return "its file was encrypted anew"
	case planner.ReasonUnreachable:
		return "cannot be read"
	case planner.ReasonForbidden:
		return "permission missing"
	case planner.ReasonAwaitingValue:
		return "awaiting a value"
	}
	return strings.ReplaceAll(string(r), "_", " ")
}

// kindRecipients is the kind of the objects that hold the recipients of a file.
const kindRecipients = "recipients"

// plural returns "1 secret", "3 secrets".
func plural(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return strconv.Itoa(n) + " " + many
}

// kindText names n things of an address' kind: "25 secrets".
func kindText(n int, kind string) string {
	switch kind {
	case addr.KindSecret:
		return plural(n, "secret", "secrets")
	case addr.KindEnvFile:
		return plural(n, "env file", "env files")
	case addr.KindPolicy:
		return plural(n, "policy", "policies")
	case kindRecipients:
		return plural(n, "recipients list", "recipients lists")
	case kindBinding:
		return plural(n, "grant", "grants")
	case planner.KindRollout:
		return plural(n, "rollout", "rollouts")
	case addr.KindKubernetesSecret, addr.KindSealedSecret, addr.KindExternalSecret:
		word := strings.ReplaceAll(kind, "_", " ")
		return plural(n, word, word+"s")
	case "externalsecret": // what a cluster has of one
		return plural(n, "external secret", "external secrets")
	case "secretstore", "clustersecretstore":
		return plural(n, "secret store", "secret stores")
	case "serviceaccount":
		return plural(n, "service account", "service accounts")
	case "rolebinding":
		return plural(n, "role binding", "role bindings")
	case addr.KindPolicyDocument:
		return plural(n, "policy document", "policy documents")
	case addr.KindRole, addr.KindMount:
		return plural(n, kind, kind+"s")
	}
	if !addr.ValidName(kind) { // from a state or a plan that somebody wrote
		return plural(n, "object", "objects")
	}
	return plural(n, kind+" object", kind+" objects")
}

// version shortens what is too long to compare by eye, such as a digest.
func version(v string) string {
	const long, short = 24, 12
	if len(v) <= long {
		return v
	}
	return v[:short] + "..."
}

// versions shortens a and b unless that would make them look alike.
func versions(a, b string) (string, string) {
	if short, other := version(a), version(b); a == b || short != other {
		return short, other
	}
	return a, b
}

// when returns a time for people, "" for none.
func when(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format("2006-01-02 15:04 UTC")
}

// blockText names the line of a block.
func blockText(r *planner.Range) string {
	if r == nil {
		return ""
	}
	return rangeText(&planner.Range{File: r.File, Line: r.Line})
}

// rangeText returns "file:line:column", "" for no place.
func rangeText(r *planner.Range) string {
	if r == nil || r.File == "" {
		return ""
	}
	s := r.File + ":" + strconv.Itoa(r.Line)
	if r.Column > 0 {
		s += ":" + strconv.Itoa(r.Column)
	}
	return s
}

// quoted returns an address as one word of a POSIX shell.
func quoted(a addr.Address) string {
	return "'" + strings.ReplaceAll(a.String(), "'", `'\''`) + "'"
}

// placeless is text without the place that it is about, so that the same thing
// said of many places is one thing.
func placeless(s, path string) string {
	if path == "" {
		return s
	}
	return strings.ReplaceAll(s, path, "PLACE")
}

// unaddressed returns s, which was said of a, as it can be said of many.
func unaddressed(s string, a addr.Address) string {
	return strings.ReplaceAll(s, quoted(a), "'ADDRESS'")
}
