package render

import (
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/cofferhq/coffer/planner"
)

// kindOfDrift is how one kind of finding looks and is counted.
type kindOfDrift struct {
	kind  planner.DriftKind
	sign  string
	tone  Tone
	title string
	word  string // as in "2 changed"
	one   string // the word for one, where it is another
}

// driftLooks is the order of the sections and of the last line.
func driftLooks() []kindOfDrift {
	return []kindOfDrift{
		{planner.DriftChanged, "!", Danger, "Changed outside", "changed", ""},
		{planner.DriftMissing, "-", Danger, "Missing", "missing", ""},
		{planner.DriftSuperseded, "~", Caution, "Superseded", "superseded", ""},
		{planner.DriftMetadata, "~", Caution, "Metadata changed", "metadata", ""},
		{planner.DriftGrantAdded, "+", Danger, "Grant added", "grants added", "grant added"},
		{planner.DriftGrantRemoved, "-", Caution, "Grant removed", "grants removed", "grant removed"},
		{planner.DriftDocument, "~", Caution, "Document changed", "documents", "document"},
		{planner.DriftNotSynced, "!", Caution, "Not synced", "not synced", ""},
		{planner.DriftOrphan, "o", Info, "Orphan", "orphans", "orphan"},
		{planner.DriftUnknown, "?", Caution, "Could not be told", "could not be told", ""},
	}
}

// DriftText writes what a person reads of a drift report. It says what
// metadata showed and no more: never that a value is right. The only errors
// are the sink's.
func DriftText(w io.Writer, report *planner.DriftReport, s Style) error {
	p := newPage(w, s)
	counts := map[planner.DriftKind]int{}
	looks := driftLooks()
	for i := range report.Drift {
		kind := report.Drift[i].Kind
		if counts[kind]++; counts[kind] == 1 && !isDriftKind(kind) {
			looks = append(looks, kindOfDrift{kind, "!", Danger, "Kind " + string(kind), string(kind), ""})
		}
	}
	for _, look := range looks {
		if counts[look.kind] == 0 {
			continue
		}
		title(p, look.tone, look.title, strconv.Itoa(counts[look.kind]), "")
		p.list(driftItems(report.Drift, look))
	}
	notes(p, report.Notes, "coffer drift -json")
	checks(p, report.Checks)
	planDiagnostics(p, report.Diagnostics)
	p.gap()
	p.line(0, toned(Strong, driftLastLine(report, counts)))
	return p.end()
}

func isDriftKind(kind planner.DriftKind) bool {
	for _, l := range driftLooks() {
		if l.kind == kind {
			return true
		}
	}
	return false
}

func driftItems(list []planner.Drift, look kindOfDrift) []item {
	var items []item
	for i := range list {
		d := &list[i]
		if d.Kind != look.kind {
			continue
		}
		it := item{sign: look.sign, tone: look.tone, address: d.Address, remarks: driftRemarks(d), common: unaddressed(d.Detail, d.Address)}
		// Who and when differ from one finding to the next; what only could
		// not be told has neither.
		if d.ChangedBy == "" && d.ChangedAt.IsZero() {
			it.shape = shapeOf(d.Location.Provider, d.Location.Kind, placeless(it.common, d.Location.Path), d.Before, d.After)
			it.why = d.Kind == planner.DriftUnknown
		}
		if d.Before != d.After { // every line that somebody changed is shown
			it.eager, it.loose, it.why = true, true, true
			it.together = func(p *page, _ []item) { document(p, d.Before, d.After) }
		}
		it.body = func(p *page) { driftBody(p, d) }
		items = append(items, it)
	}
	return items
}

func driftRemarks(d *planner.Drift) []span {
	recorded, live := versions(d.VersionRecorded, d.VersionLive)
	var out []span
	if recorded != "" {
		out = append(out, text("version "+recorded+" recorded"))
	}
	if live != "" && live != recorded {
		out = append(out, text(live+" live"))
	}
	return out
}

func driftBody(p *page, d *planner.Drift) {
	place := []span{faint("in "), locationSpan(d.Location)}
	if d.Location.Path == "" { // all of a store
		place = []span{faint("in "), solid(Faint, d.Location.Provider)}
	}
	if at := blockText(d.Range); at != "" {
		place = append(place, text("  "), solid(Faint, at))
	}
	p.flow(bodyIndent, bodyIndent+2, place...)
	var who []string
	if at := when(d.ChangedAt); at != "" {
		who = append(who, "at about "+at)
	}
	if d.ChangedBy != "" {
		who = append(who, "by "+d.ChangedBy)
	}
	if len(who) > 0 {
		p.flow(bodyIndent, bodyIndent+2, text("changed "+strings.Join(who, " ")))
	}
	if d.Detail != reasonText(planner.ReasonChangedOutside) {
		p.paragraphs(bodyIndent, Plain, d.Detail)
	}
	document(p, d.Before, d.After)
}

func driftLastLine(report *planner.DriftReport, counts map[planner.DriftKind]int) string {
	rest := unchangedText(report.Unchanged, true)
	var wrong []string
	if n := failing(report.Checks); n > 0 {
		wrong = append(wrong, plural(n, "check fails", "checks fail"))
	}
	if len(report.Drift) == 0 {
		rest = strings.Join(append([]string{rest}, wrong...), ", ")
		head := "Nothing changed outside"
		if slices.ContainsFunc(report.Notes, func(n planner.Note) bool { return n.Reason == planner.ReasonNotCompared }) {
			head = "Nothing was seen to change outside"
		}
		return fmt.Sprintf("%s: %s. Values read: %d.", head, rest, report.ValuesRead)
	}
	var parts []string
	for _, look := range driftLooks() {
		if n := counts[look.kind]; n > 0 {
			word := look.word
			if n == 1 && look.one != "" {
				word = look.one
			}
			parts = append(parts, fmt.Sprintf("%d %s", n, word))
		}
	}
	rest = strings.Replace(strings.Replace(rest, " secrets ", " ", 1), " secret ", " ", 1)
	return fmt.Sprintf("Drift: %s. %s. Values read: %d.", strings.Join(append(parts, wrong...), ", "), rest, report.ValuesRead)
}
