package render

import (
	"fmt"
	"slices"
	"strings"

	"github.com/cofferhq/coffer/lang/addr"
)

const (
	// foldFrom is the number of items in a section from which like items are
	// joined; up to it every item shows all its details.
	foldFrom = 13
	// cutFrom is the number of items in a section from which harmless ones are
	// counted and not all named.
	cutFrom = 121
	// maxNames is how many names or lines of them are shown then, where there are
	// more than maxNames+cutLeast.
	maxNames = 20
	cutLeast = 20
	// foldLeast is the smallest group that is worth joining.
	foldLeast = 3
	// maxColumn bounds the column in which the remarks of a section begin.
	maxColumn = 48
)

// item is one line of a section and what stands under it.
type item struct {
	sign    string
	tone    Tone
	address addr.Address
	remarks []span // behind the address: reason, versions
	// shared are the remarks of joined items, which hold for each of them.
	shared []span
	// shape is what items must share to be joined into one line: everything
	// that a reader would want to see told apart. Items without one stay alone.
	shape string
	// common is what items of one shape say together, and together what they
	// show together.
	common   string
	together func(p *page, joined []item)
	body     func(*page)
	// eager items are joined in a short section too.
	eager bool
	// loose items stand apart from their neighbours.
	loose bool
	// why: what stands under the item is the reason why nothing is done, and is
	// shown however many there are.
	why bool
	// harmless items write over nothing and delete nothing: of very many a reader
	// needs the number and where to see all, not every name.
	harmless bool
}

// shapeOf joins what makes a shape.
func shapeOf(parts ...string) string { return strings.Join(parts, "\x00") }

// list writes the items of one section, in address order.
func (p *page) list(items []item) {
	slices.SortStableFunc(items, func(a, b item) int { return naturally(a.address, b.address) })
	rows := fold(items, len(items) >= foldFrom)
	terse := 0
	for _, r := range rows {
		if len(r.items) == 1 && r.items[0].shape != "" {
			terse++
		}
	}
	details := terse < foldFrom
	column := 0
	if !details {
		column = remarkColumn(rows)
	}
	cut := len(items) >= cutFrom
	single, left := plainRows(rows), 0
	for i, r := range rows {
		if i > 0 && r.items[0].loose {
			p.gap()
		}
		switch {
		case len(r.items) > 1:
			p.joined(r, cut)
		case cut && r.plain() && single > maxNames+cutLeast && left >= maxNames:
			left++
		default:
			if r.plain() {
				left++
			}
			p.item(r.items[0], column, details || r.items[0].shape == "" || r.items[0].why)
		}
	}
	if cut && single > maxNames+cutLeast {
		p.flow(2, 6, faint(more(single-maxNames)))
	}
}

// plain reports whether r is one harmless item with no story of its own.
func (r row) plain() bool {
	return len(r.items) == 1 && r.items[0].harmless && r.items[0].common == ""
}

// plainRows counts the rows that are plain.
func plainRows(rows []row) int {
	n := 0
	for _, r := range rows {
		if r.plain() {
			n++
		}
	}
	return n
}

// more says that not all is shown, and how to see it.
func more(n int) string { return fmt.Sprintf("and %d more; with -json all are listed", n) }

// remarkColumn returns where the remarks of single items begin.
func remarkColumn(rows []row) int {
	column := 0
	for _, r := range rows {
		if n := columns(Sanitize(r.items[0].address.String())); len(r.items) == 1 && n <= maxColumn {
			column = max(column, n)
		}
	}
	return column
}

func (p *page) item(it item, column int, details bool) {
	const indent, hang = 2, 6
	name := Sanitize(it.address.String())
	head := []span{toned(it.tone, it.sign), text(" "), solid(Strong, name)}
	remarks := sentence(it.remarks)
	width := 0
	for _, s := range remarks {
		width += columns(Sanitize(s.text))
	}
	start := indent + 2 + max(column, columns(name)) + 2
	switch {
	case hang+columns(name) > p.width: // it stands alone, and breaks nowhere
		p.line(indent, head...)
		p.flow(hang, hang, remarks...)
	case len(remarks) == 0:
		p.flow(indent, hang, head...)
	case start+width <= p.width:
		p.line(indent, append(append(head, text(spaces(start-indent-2-columns(name)))), remarks...)...)
	default:
		p.flow(indent, hang, head...)
		p.flow(hang, hang, remarks...)
	}
	if details && it.body != nil {
		it.body(p)
	}
}

// row is one item, or many of one shape that differ in one name only.
type row struct {
	items  []item
	naming naming // of a row of many
	places []string
	// inPlaces is true for one name in several places, which then tell the
	// items apart.
	inPlaces bool
}

// naming splits an address into what items of a row share and the name that
// tells them apart.
type naming func(addr.Address) (shared addr.Address, name string)

// withinApp names a thing within its app and environment.
func withinApp(a addr.Address) (shared addr.Address, name string) {
	name = strings.TrimPrefix(addr.Address{Kind: "x", Name: a.Name, Key: a.Key}.String(), "x.")
	a.Name, a.Key = "", ""
	return a, name
}

// overApps names the app of a thing that many apps have.
func overApps(a addr.Address) (shared addr.Address, name string) {
	name = strings.TrimPrefix(addr.Address{App: a.App, AppKey: a.AppKey}.String(), "app.")
	a.App, a.AppKey = "", ""
	return a, name
}

func alone(items []item) []row {
	rows := make([]row, len(items))
	for i := range items {
		rows[i].items = items[i : i+1]
	}
	return rows
}

// withinProvider names an object of a provider by its key.
func withinProvider(a addr.Address) (shared addr.Address, name string) {
	name = a.Key
	a.Key = ""
	return a, name
}

// overEnvironments names the place of a secret that is in several.
func overEnvironments(a addr.Address) (shared addr.Address, name string) {
	name = placeOf(a)
	a.Environment, a.Store = "", ""
	return a, name
}

// fold joins what is alike: first within one app and environment, then what is
// left over apps, then one secret over its environments; and the objects of a
// provider. In a short section only what is eager is joined.
func fold(items []item, many bool) []row {
	may := func(it item) bool { return it.shape != "" && (many || it.eager) }
	app := func(it item) bool { return may(it) && it.address.App != "" }
	object := func(it item) bool { return may(it) && it.address.Provider != "" }
	rows := foldBy(foldBy(alone(items), withinApp, app, foldLeast), overApps, app, foldLeast)
	rows = foldBy(rows, withinProvider, object, 2)
	rows = foldBy(rows, overEnvironments, app, 2)
	slices.SortStableFunc(rows, func(a, b row) int { return naturally(a.items[0].address, b.items[0].address) })
	return overPlaces(rows)
}

// overPlaces joins rows that list the same names in several environments or
// stores.
func overPlaces(rows []row) []row {
	first := map[string]int{}
	var out []row
	for _, r := range rows {
		if len(r.items) == 1 {
			out = append(out, r)
			continue
		}
		if r.inPlaces {
			r.places = r.names()
			out = append(out, r)
			continue
		}
		r.places = []string{placeOf(r.items[0].address)}
		shared, _ := r.naming(r.items[0].address)
		shared.Environment, shared.Store = "", ""
		key := shapeOf(shared.String(), r.items[0].shape, strings.Join(r.names(), "\x00"))
		if i, ok := first[key]; ok {
			out[i].places = append(out[i].places, r.places...)
			continue
		}
		first[key] = len(out)
		out = append(out, r)
	}
	return out
}

// placeOf is what an address says behind its name.
func placeOf(a addr.Address) string {
	if a.Store != "" {
		return a.Environment + "@" + a.Store
	}
	return a.Environment
}

// names are what tells the items of r apart.
func (r row) names() []string {
	names := make([]string, len(r.items))
	for i, it := range r.items {
		_, names[i] = r.naming(it.address)
	}
	return names
}

// onePlaceEach reports whether items are one name in several places: one block
// of the configuration.
func onePlaceEach(items []item) bool {
	one, _ := overEnvironments(items[0].address)
	other, _ := overEnvironments(items[1].address)
	return one == other
}

// foldBy joins single items of one shape that by tells apart, from least on and
// what is eager from two on.
func foldBy(rows []row, by naming, may func(item) bool, least int) []row {
	type key struct {
		shared addr.Address
		shape  string
	}
	keyOf := func(r row) (key, bool) {
		it := r.items[0]
		if len(r.items) > 1 || !may(it) {
			return key{}, false
		}
		shared, _ := by(it.address)
		return key{shared, it.shape}, true
	}
	groups := map[key][]item{}
	for _, r := range rows {
		if k, ok := keyOf(r); ok {
			groups[k] = append(groups[k], r.items[0])
		}
	}
	var out []row
	for _, r := range rows {
		k, ok := keyOf(r)
		group := groups[k]
		switch {
		case !ok || len(group) == 1 || len(group) > 0 && len(group) < least && !group[0].eager:
			out = append(out, r)
		case len(group) > 0:
			out = append(out, row{items: group, naming: by, inPlaces: onePlaceEach(group)})
			groups[k] = nil
		}
	}
	return out
}

// joined writes many items as one: what they share, then their names, all of
// them unless cut says that there are too many.
func (p *page) joined(r row, cut bool) {
	const indent, hang = 2, 6
	first := r.items[0]
	what, _ := r.naming(first.address)
	what.Environment, what.Store = "", ""
	if what.App != "" && what.Name == "" {
		what.Kind = ""
	}
	head := []span{toned(first.tone, first.sign), text(" "), solid(Strong, what.String()), text("  ")}
	if places := strings.Join(r.places, ", "); places != "" {
		head = append(head, toned(Strong, places), text(": "))
	}
	var said []span
	if !r.inPlaces {
		n := kindText(len(r.items), first.address.Kind)
		if len(r.places) > 1 {
			n += " each"
		}
		said = append(said, text(n))
	}
	head = append(head, sentence(append(said, first.shared...))...)
	p.flow(indent, hang, head...)
	p.paragraphs(hang, Plain, first.common)
	if first.together != nil {
		first.together(p, r.items)
	}
	if r.inPlaces {
		return
	}
	all := r.names()
	shown := all
	if cut && first.harmless && len(all) > maxNames+cutLeast {
		shown = all[:maxNames]
	}
	var names []span
	for _, name := range shown {
		names = append(names, solid(Plain, name))
	}
	p.flow(hang, hang, sentence(names)...)
	if rest := len(all) - len(shown); rest > 0 {
		p.flow(hang, hang, faint(more(rest)))
	}
}
