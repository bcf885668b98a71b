package render

import (
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/cofferhq/coffer/planner"
)

// bodyIndent is where the details of a change begin.
const bodyIndent = 6

// opDrop is the Op of a field that the configuration no longer has.
const opDrop = "drop"

// maxWays is for how many conflicts of a plan the commands are written out.
const maxWays = 5

// changeItem returns the line of c and what stands under it; ways is false for
// a conflict without its commands.
func changeItem(c *planner.Change, look kindOfChange, ways bool) item {
	it := item{
		sign: look.sign, tone: look.tone, address: c.Address, common: unaddressed(cause(c), c.Address),
		remarks: changeRemarks(c, versionText(c)), shared: changeRemarks(c, ""),
		loose: c.Action == planner.Conflict && ways || c.Before != c.After,
		// The same for every secret of a file, and for every file of a folder.
		why:      c.Action == planner.Unknown || c.Action == planner.Conflict,
		eager:    c.Action == planner.Unknown || c.Before != c.After && !isGrant(c),
		harmless: c.Action == planner.Adopt || c.Action == planner.Create && !c.NewValue && c.Before == c.After,
	}
	it.body = func(p *page) { changeBody(p, c, ways) }
	if c.Action != planner.Conflict {
		it.shape = changeShape(c)
		it.together = func(p *page, joined []item) { changesBody(p, c, joined) }
	}
	return it
}

// changesBody shows what joined changes have in common.
func changesBody(p *page, c *planner.Change, joined []item) {
	if c.Action == planner.Unknown {
		return
	}
	if at := blockText(c.Range); at != "" && onePlaceEach(joined) {
		p.flow(bodyIndent, bodyIndent+2, faint("in "), solid(Faint, c.Location.Provider), text("  "), solid(Faint, at))
	}
	fields(p, c.Fields)
	if !isGrant(c) { // the names say who gets what
		objectText(p, c)
	}
	files := make([]string, len(joined))
	for i, it := range joined {
		files[i] = it.address.Key
	}
	lostReaders(p, c, files)
}

// changeShape is what joined changes share. Versions may differ: they are in
// the JSON.
func changeShape(c *planner.Change) string {
	from := ""
	if c.From != nil {
		a := c.From.Address
		if a.Name != c.Address.Name || a.Key != c.Address.Key {
			return "" // each has its own story
		}
		a.Name, a.Key = "", ""
		from = shapeOf(a.String(), c.From.Location.Provider)
	}
	said := ""
	for _, s := range changeRemarks(c, "") {
		said = shapeOf(said, s.text)
	}
	parts := []string{c.Location.Provider, c.Location.Kind, pathShape(c), reasonShape(c), from, said, c.Before, c.After}
	for _, name := range slices.Sorted(maps.Keys(c.Fields)) {
		f := c.Fields[name]
		parts = append(parts, name, f.Op, f.Source, f.Before, f.After)
	}
	return shapeOf(parts...)
}

// cause is the detail of c. Its place stands above it, so that it is left out of
// the error: what failed for many then reads the same for all.
func cause(c *planner.Change) string {
	if c.Action != planner.Unknown {
		return c.Detail
	}
	tried, why, found := strings.Cut(c.Detail, " "+c.Location.Path+": ")
	if !found || !strings.HasPrefix(tried, c.Location.Provider+" ") || strings.ContainsAny(tried, ":`") {
		return c.Detail
	}
	return why
}

// reasonShape is what is said of c, without its place where it could not be told.
func reasonShape(c *planner.Change) string {
	said := unaddressed(cause(c), c.Address)
	if c.Action == planner.Unknown {
		return placeless(said, c.Location.Path)
	}
	return said
}

// pathShape is the path of c with the parts that come from its address left
// out. One that a block wrote stands out.
func pathShape(c *planner.Change) string {
	a := c.Address
	if a.App == "" || c.Action == planner.Adopt && c.Reason == planner.ReasonImported {
		return "" // what is adopted stays where it is
	}
	names := []string{a.Environment, a.App, a.Name, a.App + "-" + a.Name + ".env", a.Name + "_base64"}
	parts := strings.Split(c.Location.Path, "/")
	for i, part := range parts {
		if n := slices.Index(names, part); n >= 0 {
			parts[i] = "\x00"
		}
	}
	return strings.Join(parts, "/")
}

// changeRemarks are the words behind the address.
func changeRemarks(c *planner.Change, version string) []span {
	out := []span{solid(Plain, changeReason(c))}
	if version != "" {
		out = append(out, solid(Plain, version))
	}
	switch {
	case c.GenerationLive > 0 && c.GenerationLive != c.Generation:
		out = append(out, solid(Caution, "generation "+strconv.Itoa(c.GenerationLive)+" -> "+strconv.Itoa(c.Generation)))
	case c.Generation > 1:
		out = append(out, solid(Plain, "generation "+strconv.Itoa(c.Generation)))
	}
	if c.NewValue && c.Action != planner.Rotate {
		out = append(out, solid(Caution, "new value"))
	}
	if c.ReadsValue {
		out = append(out, solid(Caution, "reads value"))
	}
	if c.Confirmed {
		out = append(out, solid(Plain, "confirmed by a removed block"))
	}
	if c.Envelope != "" { // whoever has that key can read it
		out = append(out, solid(Plain, "sealed with "+shortEnvelope(c.Envelope)))
	}
	return out
}

// shortEnvelope is an envelope with as much of its key as two keys differ in; the
// page and the JSON have all of it.
func shortEnvelope(envelope string) string {
	const most = 23 // "sha256:" and eight bytes
	key, scope, _ := strings.Cut(envelope, " ")
	if len(key) > most {
		key = strings.ToValidUTF8(key[:most], "") + "…"
	}
	return strings.TrimSpace(key + " " + scope)
}

// versionText says which version the change starts from, and which one the
// state recorded where that is another.
func versionText(c *planner.Change) string {
	live, recorded := versions(c.VersionFrom, c.Entry)
	switch {
	case live == "" && recorded == "":
		return ""
	case live == "":
		return "version " + recorded + " recorded"
	case recorded == "" || live == recorded:
		return "version " + live
	}
	return "version " + live + " live, " + recorded + " recorded"
}

func changeBody(p *page, c *planner.Change, ways bool) {
	place := []span{faint("in "), locationSpan(c.Location)}
	if isGrant(c) {
		place = []span{faint("in "), solid(Faint, c.Location.Provider)}
	}
	if at := blockText(c.Range); at != "" {
		place = append(place, text("  "), solid(Faint, at))
	}
	if c.From != nil {
		fromTo(p, c)
		place = place[2:]
	}
	p.flow(bodyIndent, bodyIndent+2, place...)
	// The remarks have said the reason.
	detail := strings.TrimPrefix(c.Detail, changeReason(c)+"; ")
	if detail == changeReason(c) {
		detail = ""
	}
	switch {
	case c.Action == planner.Unknown:
		p.paragraphs(bodyIndent, Plain, cause(c))
		return
	case c.Action != planner.Conflict:
		p.paragraphs(bodyIndent, Plain, detail)
	case ways:
		waysOn(p, c.Address, conflictDetail(c, detail))
	default:
		what, _, _ := strings.Cut(detail, "`")
		p.paragraphs(bodyIndent, Plain, strings.TrimRight(what, " ;,:"))
	}
	fields(p, c.Fields)
	objectText(p, c)
	lostReaders(p, c, []string{c.Address.Key})
}

func locationSpan(l planner.Location) span {
	s := l.Provider + " "
	if l.Kind != "secret" {
		s += l.Kind + " "
	}
	return solid(Faint, s+l.Path)
}

// fromTo shows what a move changes, address and place.
func fromTo(p *page, c *planner.Change) {
	if c.From.Address != c.Address {
		arrow(p, solid(Plain, c.From.Address.String()), solid(Plain, c.Address.String()))
	}
	if c.From.Location != c.Location {
		from := locationSpan(c.From.Location)
		if c.From.Version != "" && c.From.Version != c.VersionFrom {
			from.text += " version " + version(c.From.Version)
		}
		arrow(p, from, locationSpan(c.Location))
	}
}

func arrow(p *page, from, to span) {
	p.flow(bodyIndent, bodyIndent+2, from, text(" "), solid(Faint, "-> "), to)
}

// fields lists the fields that a change touches, names in one column.
func fields(p *page, changes map[string]planner.FieldChange) {
	labels := map[string]string{}
	for name := range changes {
		labels[name] = Sanitize(fieldName(name))
	}
	column := nameColumn(slices.Collect(maps.Values(labels)))
	for _, name := range slices.Sorted(maps.Keys(changes)) {
		hang := bodyIndent + column + 2
		if columns(labels[name]) > column {
			hang = bodyIndent + 2
		}
		tone := Strong
		if changes[name].Op == opDrop {
			tone = Danger
		}
		head := []span{solid(tone, pad(labels[name], column)), text("  ")}
		p.flow(bodyIndent, hang, append(head, fieldSpans(changes[name])...)...)
	}
}

// nameColumn returns the width of a column of names; longer ones stick out.
func nameColumn(names []string) int {
	const most = 24
	column := 0
	for _, name := range names {
		if n := columns(Sanitize(name)); n <= most {
			column = max(column, n)
		}
	}
	return column
}

// fieldName returns how a field is called; the value of a secret without
// fields has none.
func fieldName(name string) string {
	if name == "" {
		return "value"
	}
	return name
}

func fieldSpans(f planner.FieldChange) []span {
	if f.Op == opDrop {
		return []span{toned(Danger, "deletes this value")}
	}
	return sourceSpans(f)
}

// sourceSpans shows where a value comes from, and before and after where that
// changes: of the source, or of public text that its source does not show.
func sourceSpans(f planner.FieldChange) []span {
	arrow := toned(Faint, " -> ")
	shown := f.After == "" || strings.Contains(f.Source, f.After)
	switch {
	case f.Source == "":
		return []span{code(f.Before), arrow, code(f.After)}
	case shown && (f.Before == "" || f.Before == f.Source):
		return []span{code(f.Source)}
	case shown:
		return []span{code(f.Before), arrow, code(f.Source)}
	case f.Before == "" || f.Before == f.After:
		return []span{code(f.Source), text(": "), code(f.After)}
	}
	return []span{code(f.Source), text(": "), code(f.Before), arrow, code(f.After)}
}
