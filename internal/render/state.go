package render

import (
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/cofferhq/coffer/lang/addr"
	"github.com/cofferhq/coffer/planner"
	"github.com/cofferhq/coffer/state"
)

// StateListText writes the addresses of entries, one a line: what `state list`
// prints and a script reads.
func StateListText(w io.Writer, entries []*state.Entry, s Style) error {
	p := newPage(w, s)
	for _, e := range inOrder(entries) {
		p.line(0, solid(Plain, e.Address.String()))
	}
	return p.end()
}

// StateText writes a whole state: where it stands, then one line for each
// entry, by app and environment.
func StateText(w io.Writer, snap *state.Snapshot, s Style) error {
	p := newPage(w, s)
	p.line(0, text("State of project "), solid(Strong, snap.Project), text(", serial "+strconv.FormatUint(snap.Serial, 10)))
	p.line(2, faint("lineage "), solid(Faint, snap.Lineage))
	for _, ref := range slices.Sorted(maps.Keys(snap.Providers)) {
		p.flow(2, 4, solid(Faint, ref), faint(" is "), solid(Faint, snap.Providers[ref]))
	}
	if h := snap.Holder; h != nil {
		p.flow(2, 4, toned(Caution, "locked"), text(" by "+h.Who+" for "+h.Operation+" since "+when(h.Since)))
	}
	p.gap()
	entries := inOrder(slices.Collect(maps.Values(snap.Entries)))
	items := make([]item, len(entries))
	for i, e := range entries {
		items[i] = item{sign: " ", address: e.Address, remarks: entryRemarks(e)}
		if e.Pending != nil {
			items[i].sign, items[i].tone = "?", Caution
		}
	}
	p.list(items)
	p.gap()
	p.line(0, toned(Strong, countEntries(entries)))
	return p.end()
}

func entryRemarks(e *state.Entry) []span {
	out := []span{text(e.Store)}
	if e.Version == "" {
		out = append(out, text("nothing there yet"))
	} else {
		out = append(out, text("version "+version(e.Version)))
	}
	if e.Generation > 1 {
		out = append(out, text("generation "+strconv.Itoa(e.Generation)))
	}
	if e.Protect {
		out = append(out, text("protected"))
	}
	if e.Pending != nil {
		out = append(out, toned(Caution, e.Pending.Action+" interrupted"))
	}
	return out
}

func countEntries(entries []*state.Entry) string {
	secrets := map[string]bool{}
	copies, objects, pending := 0, 0, 0
	for _, e := range entries {
		switch e.Role {
		case state.RoleReplica:
			copies++
		case state.RoleObject:
			objects++
		default:
			secrets[e.Address.String()] = true
		}
		if e.Pending != nil {
			pending++
		}
	}
	parts := []string{plural(len(secrets), "secret", "secrets")}
	if copies > 0 {
		parts = append(parts, plural(copies, "copy on a replica", "copies on replicas"))
	}
	if objects > 0 {
		parts = append(parts, plural(objects, "object", "objects"))
	}
	if pending > 0 {
		parts = append(parts, strconv.Itoa(pending)+" left by an interrupted apply")
	}
	return strings.Join(parts, ", ") + "."
}

// EntryText writes all that the state knows of one entry but fingerprints,
// which never leave it.
func EntryText(w io.Writer, e *state.Entry, s Style) error {
	p := newPage(w, s)
	p.line(0, solid(Strong, e.Address.String()))
	for _, row := range entryRows(e) {
		if row[1] != "" {
			p.flow(2, 18, solid(Faint, pad(row[0], 14)), text("  "+row[1]))
		}
	}
	section(p, "Fields", fieldRows(e.Fields))
	section(p, "Made of", inputRows(e.Inputs))
	section(p, "Labels", e.Labels)
	if e.Document != "" {
		p.gap()
		p.line(2, text("Document"))
		for _, line := range splitLines(e.Document) {
			p.line(4, text(expandTabs(line)))
		}
	}
	return p.end()
}

func entryRows(e *state.Entry) [][2]string {
	rows := [][2]string{
		{"store", e.Store},
		{"path", e.Location.Path},
		{"kind", e.Location.Kind},
		{"instance", e.Location.Provider},
		{"role", e.Role},
		{"version", e.Version},
		{"written", when(e.Created)},
		{"generation", number(e.Generation)},
		{"value", e.Class},
		{"value since", when(e.RotatedAt)},
		{"operation", e.Op},
		{"description", e.Description},
	}
	if e.Protect {
		rows = append(rows, [2]string{"protected", "yes"})
	}
	if e.AcceptsOutside {
		rows = append(rows, [2]string{"outside", "versions that others write are accepted"})
	}
	if i := e.Pending; i != nil {
		rows = append(rows, [2]string{"interrupted", i.Action + " begun at " + when(i.Started) + ", operation " + i.Op})
	}
	return rows
}

func number(n int) string {
	if n == 0 {
		return ""
	}
	return strconv.Itoa(n)
}

func fieldRows(fields map[string]state.Field) map[string]string {
	rows := map[string]string{}
	for name, f := range fields {
		rows[fieldName(name)] = f.Source
	}
	return rows
}

func inputRows(inputs map[string]int) map[string]string {
	rows := map[string]string{}
	for address, generation := range inputs {
		rows[address] = "generation " + strconv.Itoa(generation)
	}
	return rows
}

func section(p *page, name string, rows map[string]string) {
	if len(rows) == 0 {
		return
	}
	p.gap()
	p.line(2, text(name))
	names := slices.Sorted(maps.Keys(rows))
	column := nameColumn(names)
	for _, key := range names {
		p.flow(4, 8, solid(Plain, pad(Sanitize(key), column)), text("  "), code(rows[key]))
	}
}

// StateJSON writes the document that docs/schema/state.schema.json describes:
// the state without fingerprints, which never leave it.
func StateJSON(w io.Writer, snap *state.Snapshot) error {
	doc := stateDocument{
		FormatVersion: planner.FormatVersion,
		Project:       snap.Project,
		Lineage:       snap.Lineage,
		Serial:        snap.Serial,
		Providers:     snap.Providers,
		Entries:       entryDocuments(slices.Collect(maps.Values(snap.Entries))),
	}
	return JSON(w, doc)
}

// EntriesJSON writes entries alone, as the list "entries" of a state document:
// what `state list` and `state show` print.
func EntriesJSON(w io.Writer, entries []*state.Entry) error {
	return JSON(w, struct {
		FormatVersion int             `json:"format_version"`
		Entries       []entryDocument `json:"entries"`
	}{planner.FormatVersion, entryDocuments(entries)})
}

type stateDocument struct {
	FormatVersion int               `json:"format_version"`
	Project       string            `json:"project"`
	Lineage       string            `json:"lineage"`
	Serial        uint64            `json:"serial"`
	Providers     map[string]string `json:"providers,omitempty"`
	Entries       []entryDocument   `json:"entries"`
}

type entryDocument struct {
	Address        addr.Address             `json:"address"`
	Location       addr.Location            `json:"location"`
	Store          string                   `json:"store"`
	Role           string                   `json:"role"`
	Version        string                   `json:"version,omitempty"`
	Created        time.Time                `json:"created,omitzero"`
	Generation     int                      `json:"generation,omitempty"`
	Class          string                   `json:"class,omitempty"`
	Op             string                   `json:"op,omitempty"`
	RotatedAt      time.Time                `json:"rotated_at,omitzero"`
	Fields         map[string]fieldDocument `json:"fields,omitempty"`
	Inputs         map[string]int           `json:"inputs,omitempty"`
	Labels         map[string]string        `json:"labels,omitempty"`
	Description    string                   `json:"description,omitempty"`
	Protect        bool                     `json:"protect,omitempty"`
	AcceptsOutside bool                     `json:"accepts_outside,omitempty"`
	Requested      int                      `json:"requested,omitempty"`
	Document       string                   `json:"document,omitempty"`
	Pending        *pendingDocument         `json:"pending,omitempty"`
}

type fieldDocument struct {
	Source string `json:"source"`
}

type pendingDocument struct {
	Op       string    `json:"op"`
	Action   string    `json:"action"`
	Base     string    `json:"base,omitempty"`
	Promised string    `json:"promised,omitempty"`
	Started  time.Time `json:"started"`
}

func entryDocuments(entries []*state.Entry) []entryDocument {
	out := make([]entryDocument, 0, len(entries))
	for _, e := range inOrder(entries) {
		d := entryDocument{
			Address: e.Address, Location: e.Location, Store: e.Store, Role: e.Role, Version: e.Version,
			Created: e.Created, Generation: e.Generation, Class: e.Class, Op: e.Op, RotatedAt: e.RotatedAt,
			Inputs: e.Inputs, Labels: e.Labels, Description: e.Description, Protect: e.Protect,
			AcceptsOutside: e.AcceptsOutside, Requested: e.Requested, Document: e.Document,
		}
		if len(e.Fields) > 0 {
			d.Fields = map[string]fieldDocument{}
		}
		for name, f := range e.Fields {
			d.Fields[name] = fieldDocument{f.Source}
		}
		if i := e.Pending; i != nil {
			d.Pending = &pendingDocument{i.Op, i.Action, i.Base, i.Promised, i.Started}
		}
		out = append(out, d)
	}
	return out
}

// inOrder returns entries in natural address order, then by location.
func inOrder(entries []*state.Entry) []*state.Entry {
	sorted := slices.Clone(entries)
	slices.SortFunc(sorted, func(a, b *state.Entry) int {
		if c := naturally(a.Address, b.Address); c != 0 {
			return c
		}
		return a.Location.Compare(b.Location)
	})
	return sorted
}
