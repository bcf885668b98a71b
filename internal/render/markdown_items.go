package render

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/cofferhq/coffer/lang/addr"
	"github.com/cofferhq/coffer/planner"
)

const (
	// manyGroups is the number of apps from which those with few changes share a
	// section.
	manyGroups  = 12
	fewChanges  = 3
	beside      = "beside apps"
	mdSub       = "  - " // a line below an item
	maxDiffLine = 200    // lines of one document that are shown
)

// mdGroup is one app, or what is beside apps, with its rows.
type mdGroup struct {
	name  string
	title string // HTML
	rows  []mdRow
}

func (d *comment) group(g mdGroup) { d.fold(g.name, g.title, g.rows) }

// planGroups returns the changes by app. Of very many apps, those in which
// little changes, and nothing that could hurt, are one group, where what they
// have alike is joined.
func planGroups(changes []planner.Change) []mdGroup {
	groups := grouped(changes, func(c *planner.Change) addr.Address { return c.Address }, rankOf)
	small := func(g []*planner.Change) bool {
		return len(groups) > manyGroups && len(g) <= fewChanges && !slices.ContainsFunc(g, hurts)
	}
	var out []mdGroup
	var others []*planner.Change
	apps := 0
	for _, g := range groups {
		if small(g) {
			others = append(others, g...)
			apps++
			continue
		}
		out = append(out, planGroup(groupName(g[0].Address), "", g))
	}
	if len(others) > 0 {
		title := plural(apps, "other app", "other apps")
		if len(out) == 0 {
			title = plural(apps, "app", "apps")
		}
		out = append(out, planGroup("", title, others))
	}
	return out
}

// hurts reports whether a change is one of those that a reader must find.
func hurts(c *planner.Change) bool {
	switch c.Action {
	case planner.Create, planner.Update, planner.Adopt, planner.Rename, planner.Forget:
		return c.NewValue || dropsField(c) || c.ReadsValue
	}
	return true
}

func planGroup(name, title string, changes []*planner.Change) mdGroup {
	g := mdGroup{name: name}
	var plain []planner.Change
	for _, c := range changes {
		plain = append(plain, *c)
	}
	parts := slices.DeleteFunc(tallyOf(plain).parts(), func(s string) bool { return strings.HasPrefix(s, "0 ") })
	g.title = groupTitle(name, title) + ": " + prose(strings.Join(parts, ", "), htmlCode)
	looks := actionLooks()
	for _, c := range changes {
		if rankOf(c) < 0 && !slices.ContainsFunc(looks, func(k kindOfChange) bool { return k.action == c.Action }) {
			looks = append(looks, lookOf(c.Action))
		}
	}
	for _, look := range looks {
		g.rows = append(g.rows, changeRows(changes, look)...)
	}
	return g
}

// groupTitle names a group in HTML; title is in place of a name.
func groupTitle(name, title string) string {
	switch {
	case title != "":
		return title
	case name == "":
		return beside
	}
	return htmlCode(clip(Sanitize(name), maxHeadColumns))
}

// changeRows returns the rows of one section of a group, the first with the
// heading of the section.
func changeRows(changes []*planner.Change, look kindOfChange) []mdRow {
	var items []item
	by := map[addr.Address][]*planner.Change{}
	for _, c := range changes {
		if look.holds(c) {
			items = append(items, changeItem(c, look, true))
			by[c.Address] = append(by[c.Address], c)
		}
	}
	slices.SortStableFunc(items, func(a, b item) int { return naturally(a.address, b.address) })
	of := func(it item) *planner.Change { // in their order, where a forged plan has one address twice
		list := by[it.address]
		by[it.address] = list[1:]
		return list[0]
	}
	var rows []mdRow
	for _, r := range fold(items, len(items) >= foldFrom) {
		var joined []*planner.Change
		for _, it := range r.items {
			joined = append(joined, of(it))
		}
		rows = append(rows, mdRow{changeText(r, joined), len(joined)})
	}
	if len(rows) > 0 {
		rows[0].text = sectionHead(look.title, look.about, len(items)) + rows[0].text
	}
	return rows
}

func sectionHead(title, about string, n int) string {
	head := fmt.Sprintf("**%s** (%d)", prose(title, mdCode), n)
	if about != "" {
		head += ": " + about
	}
	return "\n" + head + "\n\n"
}

// changeText returns one change, or many that are alike.
func changeText(r row, changes []*planner.Change) string {
	c, it := changes[0], r.items[0]
	var b strings.Builder
	if len(changes) == 1 {
		b.WriteString("- " + mdCode(it.address.String()) + remarksText(it.remarks) + "\n")
		mdPlace(&b, c)
		mdDetail(&b, c)
	} else {
		b.WriteString(joinedHead(r))
		if at := codes(c.Location.Provider, blockText(c.Range)); r.inPlaces && c.Action != planner.Unknown {
			b.WriteString(mdSub + "in " + strings.Join(at, ", ") + "\n")
		}
		b.WriteString(mdParagraphs(mdSub, it.common))
		if it.harmless && len(changes) >= cutFrom {
			b.WriteString(mdSub + nameList(r, maxNames) + "\n")
		} else if !r.inPlaces {
			b.WriteString(mdSub + nameList(r, len(changes)) + "\n")
		}
	}
	if c.Action != planner.Unknown {
		mdFields(&b, c.Fields)
		mdObject(&b, c, len(changes) == 1)
	}
	return b.String()
}

// joinedHead says what joined changes share.
func joinedHead(r row) string {
	what, _ := r.naming(r.items[0].address)
	what.Environment, what.Store = "", ""
	if what.App != "" && what.Name == "" {
		what.Kind = ""
	}
	head := "- "
	if name := what.String(); name != "" {
		head += mdCode(name) + " "
	}
	if places := codes(r.places...); len(places) > 0 {
		head += "in " + strings.Join(places, ", ") + " "
	}
	n := kindText(len(r.items), r.items[0].address.Kind)
	if len(r.places) > 1 && !r.inPlaces {
		n += " each"
	}
	return strings.TrimRight(head, " ") + ": " + prose(n, mdCode) + remarksText(r.items[0].shared) + "\n"
}

// nameList lists what tells joined changes apart.
func nameList(r row, most int) string {
	names := r.names()
	shown := names[:min(most, len(names))]
	list := strings.Join(codes(shown...), ", ")
	if rest := len(names) - len(shown); rest > 0 {
		list += fmt.Sprintf(" and %d more", rest)
	}
	return list
}

// remarksText puts what is said of an item behind its name.
func remarksText(remarks []span) string {
	var b strings.Builder
	for _, s := range remarks {
		if said := prose(s.text, mdCode); said != "" {
			b.WriteString(", " + said)
		}
	}
	return b.String()
}

// mdPlace says where a change happens and which block asks for it.
func mdPlace(b *strings.Builder, c *planner.Change) {
	place := locationCodes(c.Location)
	if c.From != nil {
		if c.From.Address != c.Address {
			b.WriteString(mdSub + mdCode(c.From.Address.String()) + " → " + mdCode(c.Address.String()) + "\n")
		}
		if c.From.Location != c.Location {
			place = locationCodes(c.From.Location) + " → " + place
		}
	}
	if at := blockText(c.Range); at != "" {
		place += ", " + mdCode(at)
	}
	b.WriteString(mdSub + "in " + place + "\n")
}

func locationCodes(l planner.Location) string {
	kind := l.Kind
	if kind == addr.KindSecret {
		kind = ""
	}
	return strings.Join(codes(l.Provider, kind, l.Path), " ")
}

// mdDetail writes the sentence of a change; of a conflict each command that
// settles it on a line of its own.
func mdDetail(b *strings.Builder, c *planner.Change) {
	detail := strings.TrimPrefix(cause(c), changeReason(c)+"; ")
	if detail == changeReason(c) {
		detail = ""
	}
	if c.Action != planner.Conflict {
		b.WriteString(mdParagraphs(mdSub, detail))
		return
	}
	for _, part := range conflictParts(c, detail) {
		b.WriteString(mdParagraphs(mdSub, part))
	}
}

// mdParagraphs returns text that may have lines of its own, each as one line
// that begins with a sign of ours.
func mdParagraphs(sign, s string) string {
	var b strings.Builder
	if len(s) > maxText {
		s = s[:maxText] + "\n(cut)"
	}
	for line := range strings.Lines(s) {
		if said := prose(strings.TrimRight(line, "\r\n"), mdCode); said != "" {
			b.WriteString(sign + said + "\n")
		}
	}
	return b.String()
}

// mdFields lists the fields that a change touches.
func mdFields(b *strings.Builder, fields map[string]planner.FieldChange) {
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		f := fields[name]
		b.WriteString(mdSub + mdCode(fieldName(name)) + ": ")
		if f.Op == opDrop {
			b.WriteString("**deletes this value**\n")
			continue
		}
		for _, s := range sourceSpans(f) {
			switch {
			case s.code:
				b.WriteString(mdCode(s.text))
			case s.tone == Faint:
				b.WriteString(" → ")
			default:
				b.WriteString(s.text)
			}
		}
		b.WriteByte('\n')
	}
}

// mdObject shows what happens to an object: a grant in words, any other as a
// difference of its text.
func mdObject(b *strings.Builder, c *planner.Change, alone bool) {
	if c.Before == c.After {
		return
	}
	if isGrant(c) {
		if !alone { // the names say who gets what
			return
		}
		holder, policy, _ := strings.Cut(c.Location.Path, " ")
		if c.After == "" {
			b.WriteString(mdSub + "takes the policy " + mdCode(policy) + " from " + mdCode(holder) + "\n")
			return
		}
		b.WriteString(mdSub + "grants " + mdCode(holder) + " the policy " + mdCode(policy) + "\n")
		return
	}
	if c.Location.Kind == kindRecipients && c.Action == planner.Update && c.Before != "" && losesLine(c.Before, c.After) {
		b.WriteString(mdSub + "**Whoever was removed can still read old commits.** The file gets a new data key; rotate what they must not know.\n")
	}
	b.WriteString(mdDiff(c.Location.Path, c.Before, c.After))
}

// mdDiff returns a unified difference as a block of code, cut at a whole line.
func mdDiff(name, before, after string) string {
	var b strings.Builder
	if err := Patch(&b, name, before, after); err != nil { // a Builder takes all
		return ""
	}
	lines := strings.SplitAfter(b.String(), "\n")
	shown, size := 0, 0
	for shown < min(len(lines), maxDiffLine) && size+len(lines[shown]) <= maxSection/2 {
		size += len(lines[shown])
		shown++
	}
	text := strings.Join(lines[:shown], "")
	if rest := len(lines) - shown; rest > 1 {
		text += fmt.Sprintf("... %s more\n", plural(rest-1, "line", "lines"))
	}
	return "\n" + mdFence("diff", text) + "\n"
}

// driftGroups returns findings by app.
func driftGroups(list []planner.Drift) []mdGroup {
	looks := driftLooks()
	for i := range list {
		if k := list[i].Kind; !slices.ContainsFunc(looks, func(l kindOfDrift) bool { return l.kind == k }) {
			looks = append(looks, unknownDrift(k))
		}
	}
	rank := func(d *planner.Drift) int {
		return slices.IndexFunc(looks, func(l kindOfDrift) bool { return l.kind == d.Kind })
	}
	var out []mdGroup
	for _, found := range grouped(list, func(d *planner.Drift) addr.Address { return d.Address }, rank) {
		name := groupName(found[0].Address)
		g := mdGroup{name: name, title: groupTitle(name, "") + ": " + plural(len(found), "finding", "findings")}
		for i, look := range looks {
			g.rows = append(g.rows, driftRows(slices.DeleteFunc(slices.Clone(found), func(d *planner.Drift) bool { return rank(d) != i }), look)...)
		}
		out = append(out, g)
	}
	return out
}

func driftRows(found []*planner.Drift, look kindOfDrift) []mdRow {
	slices.SortStableFunc(found, func(a, b *planner.Drift) int { return naturally(a.Address, b.Address) })
	var rows []mdRow
	for _, d := range found {
		rows = append(rows, mdRow{driftEntry(d), 1})
	}
	if len(rows) > 0 {
		rows[0].text = sectionHead(look.title, "", len(found)) + rows[0].text
	}
	return rows
}

func driftEntry(d *planner.Drift) string {
	var b strings.Builder
	b.WriteString("- " + mdCode(d.Address.String()) + remarksText(driftRemarks(d)) + "\n")
	place := locationCodes(d.Location)
	if at := blockText(d.Range); at != "" {
		place += ", " + mdCode(at)
	}
	b.WriteString(mdSub + "in " + place + "\n")
	if who := changedText(d); who != "" {
		b.WriteString(mdSub + "changed" + who + "\n")
	}
	if d.Detail != reasonText(planner.ReasonChangedOutside) {
		b.WriteString(mdParagraphs(mdSub, d.Detail))
	}
	if d.Before != d.After {
		b.WriteString(mdDiff(d.Location.Path, d.Before, d.After))
	}
	return b.String()
}

// changedText says when and by whom, as far as a platform tells.
func changedText(d *planner.Drift) string {
	s := ""
	if at := when(d.ChangedAt); at != "" {
		s += " at about " + at
	}
	if d.ChangedBy != "" {
		s += " by " + mdCode(d.ChangedBy)
	}
	return s
}
