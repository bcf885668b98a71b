package render

import (
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/cofferhq/coffer/lang/addr"
	"github.com/cofferhq/coffer/planner"
)

// maxDiffShown is how many lines of one difference a page has.
const maxDiffShown = 2000

func planPage(plan *planner.Plan, o HTMLOptions) *htmlPage {
	p := &htmlPage{
		Kind: "Coffer plan", Title: "Changes", Things: "changes", ByAction: "action", Unchanged: plan.Unchanged,
		Project: Sanitize(plan.Project), LastLine: Sanitize(planLastLine(plan)),
		Calm: calm,
	}
	for _, n := range planNotices(plan) {
		p.Notices = append(p.Notices, n.head+" "+n.text)
	}
	p.meta(plan.Lineage, plan.Serial, plan.CreatedAt)
	p.fact("expires", when(plan.ExpiresAt), false)
	p.fact("digest", o.Digest, true)
	p.fact("values read", strconv.Itoa(plan.ValuesRead), false)
	for _, name := range slices.Sorted(maps.Keys(plan.Providers)) {
		p.fact(name, plan.Providers[name], true)
	}
	p.dangers(planDangers(plan))
	p.planRows(plan.Changes)
	p.Matrix = readersOf(plan.Changes)
	p.calendar(withStatus(dueOf(plan), o.Rotation))
	p.rest(plan.Notes, plan.Checks, plan.Diagnostics)
	return p
}

func driftPage(report *planner.DriftReport) *htmlPage {
	counts := map[planner.DriftKind]int{}
	for i := range report.Drift {
		counts[report.Drift[i].Kind]++
	}
	p := &htmlPage{
		Kind: "Coffer drift", Title: "Changed outside", Things: "findings", ByAction: "kind", Unchanged: report.Unchanged,
		Project: Sanitize(report.Project), LastLine: Sanitize(driftLastLine(report, counts)),
		Calm: "Nothing was seen to change outside.",
	}
	p.meta(report.Lineage, report.Serial, report.CreatedAt)
	p.fact("values read", strconv.Itoa(report.ValuesRead), false)
	p.dangers(driftDangers(report))
	p.driftRows(report.Drift)
	p.rest(report.Notes, report.Checks, report.Diagnostics)
	return p
}

func (p *htmlPage) meta(lineage string, serial uint64, at time.Time) {
	p.fact("state", "serial "+strconv.FormatUint(serial, 10), false)
	p.fact("lineage", lineage, true)
	p.fact("made", when(at), false)
}

// fact adds a line to what the page was made from, nothing for no value.
func (p *htmlPage) fact(name, value string, code bool) {
	p.Meta = appendFact(p.Meta, name, value, code)
}

func appendFact(list []htmlFact, name, value string, code bool) []htmlFact {
	if value == "" {
		return list
	}
	return append(list, htmlFact{Sanitize(name), Sanitize(value), code})
}

func (p *htmlPage) dangers(list []danger) {
	for _, d := range list {
		out := htmlDanger{What: d.what, About: d.about}
		shown := d.names
		if len(shown) > maxHeadNames+1 {
			shown = shown[:maxHeadNames]
		}
		for _, name := range shown {
			out.Names = append(out.Names, clip(Sanitize(name), maxHeadColumns))
		}
		out.More = len(d.names) - len(shown)
		p.Dangers = append(p.Dangers, out)
	}
}

// planRows adds changes in the order of the sections of a plan.
func (p *htmlPage) planRows(changes []planner.Change) {
	looks := actionLooks()
	for i := range changes {
		if !slices.ContainsFunc(looks, func(k kindOfChange) bool { return k.holds(&changes[i]) }) {
			looks = append(looks, lookOf(changes[i].Action))
		}
	}
	for _, look := range looks {
		var chosen []*planner.Change
		for i := range changes {
			if look.holds(&changes[i]) {
				chosen = append(chosen, &changes[i])
			}
		}
		slices.SortStableFunc(chosen, func(a, b *planner.Change) int { return naturally(a.Address, b.Address) })
		for _, c := range chosen {
			p.Rows = append(p.Rows, changeRow(c, look))
		}
		p.tile(look.title, toneClass(look.tone), len(chosen))
	}
	p.filters()
}

func (p *htmlPage) driftRows(list []planner.Drift) {
	looks := driftLooks()
	for i := range list {
		if k := list[i].Kind; !slices.ContainsFunc(looks, func(l kindOfDrift) bool { return l.kind == k }) {
			looks = append(looks, unknownDrift(k))
		}
	}
	for _, look := range looks {
		n := len(p.Rows)
		var chosen []*planner.Drift
		for i := range list {
			if list[i].Kind == look.kind {
				chosen = append(chosen, &list[i])
			}
		}
		slices.SortStableFunc(chosen, func(a, b *planner.Drift) int { return naturally(a.Address, b.Address) })
		for _, d := range chosen {
			p.Rows = append(p.Rows, driftRow(d, look))
		}
		p.tile(look.title, toneClass(look.tone), len(p.Rows)-n)
	}
	p.filters()
}

// tile counts one action; sections that share a name share a tile.
func (p *htmlPage) tile(title, class string, n int) {
	if n == 0 {
		return
	}
	title = Sanitize(title)
	if i := slices.IndexFunc(p.Tiles, func(t htmlTile) bool { return t.Action == title }); i >= 0 {
		p.Tiles[i].N += n
		return
	}
	p.Tiles = append(p.Tiles, htmlTile{Class: class, Action: title, Label: strings.ToLower(title), N: n})
}

// filters lists what the rows can be filtered by.
func (p *htmlPage) filters() {
	apps, envs, stores := map[string]bool{}, map[string]bool{}, map[string]bool{}
	for _, r := range p.Rows {
		apps[r.App], envs[r.Env], stores[r.Store] = true, true, true
	}
	for _, t := range p.Tiles {
		p.Actions = append(p.Actions, t.Action)
	}
	p.Apps, p.Envs, p.Stores = filterNames(apps), filterNames(envs), filterNames(stores)
}

// filterNames lists what is in a set, and not nothing.
func filterNames(set map[string]bool) []string {
	delete(set, "")
	return slices.SortedFunc(maps.Keys(set), natural)
}

func toneClass(t Tone) string {
	switch t {
	case Danger:
		return "danger"
	case Caution:
		return "caution"
	case Good:
		return "good"
	case Info:
		return "info"
	}
	return "faint"
}

// newRow fills what changes and findings have in common.
func newRow(a addr.Address, l planner.Location, title string, tone Tone) htmlRow {
	return htmlRow{
		Class: toneClass(tone), Action: Sanitize(title), Address: Sanitize(a.String()),
		App: Sanitize(strings.TrimPrefix(groupName(a), "app.")), Env: Sanitize(a.Environment), Store: Sanitize(l.Provider),
	}
}

// place adds where something is and which block it comes from.
func (r *htmlRow) place(l planner.Location, at *planner.Range) {
	kind := ""
	if l.Kind != addr.KindSecret && l.Kind != "" {
		kind = " " + l.Kind
	}
	r.fact("in", strings.TrimSpace(l.Provider+kind+" "+l.Path), true)
	r.fact("block", blockText(at), true)
}

func (r *htmlRow) fact(name, value string, code bool) {
	r.Facts = appendFact(r.Facts, name, value, code)
}

func (p *htmlPage) rest(notes []planner.Note, checks []planner.CheckState, ds []planner.Diagnostic) {
	groups, order := notesByReason(notes)
	p.NoteCount = len(notes)
	for _, reason := range order {
		g := htmlNotes{Reason: Sanitize(reasonText(reason))}
		for _, n := range groups[reason] {
			g.Notes = append(g.Notes, htmlNote{Sanitize(addressText(n.Address)), sentenceOf(n.Text)})
		}
		p.Notes = append(p.Notes, g)
	}
	for _, c := range checks {
		f := htmlFinding{Class: "danger", Word: "Check fails:", Text: htmlText{{Sanitize(c.Name), true}}, Detail: paragraphsOf(c.Message)}
		if c.Holds {
			f.Class, f.Word, f.Detail = "good", "Check holds:", nil
		}
		f.place(rangeText(c.Range))
		p.Findings = append(p.Findings, f)
	}
	for _, d := range ds {
		said, difference := cutDifference(d.Detail)
		f := htmlFinding{
			Class: "danger", Word: "Error:", Text: sentenceOf(d.Summary), Detail: paragraphsOf(said), Diff: differenceLines(difference),
		}
		if d.Severity == planner.SeverityWarning {
			f.Class, f.Word = "caution", "Warning:"
		}
		f.place(rangeText(d.Range))
		if d.Address != nil {
			f.place(d.Address.String())
		}
		p.Findings = append(p.Findings, f)
	}
}

func (f *htmlFinding) place(s string) {
	if s != "" {
		f.Places = append(f.Places, Sanitize(s))
	}
}

// sentenceOf returns one line, its commands in backquotes as code.
func sentenceOf(s string) htmlText {
	parts := strings.Split(s, "`")
	if len(parts)%2 == 0 {
		parts = []string{s}
	}
	var out htmlText
	for i, part := range parts {
		if part != "" {
			out = append(out, htmlPiece{Sanitize(part), i%2 == 1})
		}
	}
	return out
}

// paragraphsOf returns text that may have lines of its own.
func paragraphsOf(s string) []htmlText {
	var out []htmlText
	for line := range strings.Lines(cutText(s)) {
		if t := sentenceOf(strings.TrimRight(line, "\r\n")); len(t) > 0 {
			out = append(out, t)
		}
	}
	return out
}
