package render

import (
	"cmp"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/cofferhq/coffer/lang/addr"
	"github.com/cofferhq/coffer/planner"
)

const (
	// maxReaders and maxRead bound the matrix of readers.
	maxReaders = 40
	maxRead    = 300
)

// What a plan does to one reader of one secret, as the page says it: it gets or
// loses the right, or has it and nobody can tell from the plan since when.
const (
	readGains = "gains"
	readLoses = "loses"
	readHas   = "reads"
)

// readersOf returns who reads which secret, as far as the changes of a plan
// decide it: the recipients of files, and the holders of policies; nil where
// they decide nothing.
func readersOf(changes []planner.Change) *htmlMatrix {
	m := access{reads: map[addr.Address]map[string]string{}}
	held := map[string]bool{} // policies whose holders are in the plan
	byPolicy := map[string]*planner.Change{}
	policy := func(c *planner.Change) string { return shapeOf(c.Location.Provider, c.Location.Path) }
	for i := range changes {
		c := &changes[i]
		if c.Location.Kind == addr.KindPolicy {
			byPolicy[policy(c)] = c
		}
	}
	for i := range changes {
		c := &changes[i]
		if !isGrant(c) || c.Before == c.After {
			continue
		}
		holder, name, _ := strings.Cut(c.Location.Path, " ")
		secrets := c.Secrets
		if p := byPolicy[shapeOf(c.Location.Provider, name)]; p != nil {
			secrets = append(slices.Clone(secrets), p.Secrets...)
			held[policy(p)] = true
		}
		m.add(holder, becomes(c.Before != "", c.After != ""), secrets)
	}
	for i := range changes {
		c := &changes[i]
		switch {
		case c.Location.Kind == kindRecipients:
			m.recipients(c)
		case c.Location.Kind == addr.KindPolicy && !held[policy(c)] && c.Before != c.After:
			m.add("policy "+c.Location.Path, becomes(c.Before != "", c.After != ""), c.Secrets)
		}
	}
	return m.matrix()
}

// becomes says what happens to a reader that is or is not there before and after.
func becomes(before, after bool) string {
	switch {
	case before && after:
		return readHas
	case before:
		return readLoses
	}
	return readGains
}

// access collects readers by secret.
type access struct {
	reads   map[addr.Address]map[string]string
	readers []string
}

func (m *access) add(reader, what string, secrets []addr.Address) {
	if len(secrets) == 0 {
		return
	}
	if !slices.Contains(m.readers, reader) {
		m.readers = append(m.readers, reader)
	}
	for _, s := range secrets {
		what := what
		if m.reads[s] == nil {
			m.reads[s] = map[string]string{}
		}
		if was := m.reads[s][reader]; was != "" && was != what { // by one way and not by another
			what = readHas
		}
		m.reads[s][reader] = what
	}
}

func (m *access) recipients(c *planner.Change) {
	before, after := splitLines(c.Before), splitLines(c.After)
	for _, line := range slices.Compact(slices.Sorted(slices.Values(slices.Concat(before, after)))) {
		m.add(line, becomes(slices.Contains(before, line), slices.Contains(after, line)), c.Secrets)
	}
}

func (m *access) matrix() *htmlMatrix {
	if len(m.readers) == 0 {
		return nil
	}
	slices.SortFunc(m.readers, natural)
	var secrets []addr.Address
	for s := range m.reads {
		secrets = append(secrets, s)
	}
	slices.SortFunc(secrets, naturally)
	readers := m.readers[:min(len(m.readers), maxReaders)]
	out := &htmlMatrix{}
	for _, r := range readers {
		out.Readers = append(out.Readers, Sanitize(r))
	}
	for _, s := range secrets[:min(len(secrets), maxRead)] {
		row := htmlReads{Secret: Sanitize(s.String())}
		for _, r := range readers {
			row.Cells = append(row.Cells, m.reads[s][r])
		}
		out.Rows = append(out.Rows, row)
	}
	if left := len(m.readers) - len(readers); left > 0 {
		out.Left = plural(left, "more reader", "more readers")
	}
	if left := len(secrets) - len(out.Rows); left > 0 {
		out.Left = strings.Join(slices.DeleteFunc([]string{out.Left, plural(left, "more secret", "more secrets")}, func(s string) bool { return s == "" }), " and ")
	}
	if out.Left != "" {
		out.Left += " left out; the JSON form has them all."
	}
	return out
}

// dueDate finds the day of a sentence about a rotation.
var dueDate = regexp.MustCompile(`\d{4}-\d{2}-\d{2}`)

// dueOf returns what is due, by day: what the plan rotates, and what waits.
func dueOf(plan *planner.Plan) []htmlDue {
	var out []htmlDue
	add := func(a addr.Address, what, why string) {
		d := htmlDue{Class: "due", Address: Sanitize(a.String()), What: what, Why: sentenceOf(why)}
		if day, err := time.Parse(time.DateOnly, dueDate.FindString(why)); err == nil {
			d.Date = day.Format(time.DateOnly)
			if n := int(plan.CreatedAt.Sub(day) / (24 * time.Hour)); n > 0 && !plan.CreatedAt.IsZero() {
				d.Class, d.Days = "overdue", plural(n, "day ago", "days ago")
			}
		}
		out = append(out, d)
	}
	for i := range plan.Changes {
		c := &plan.Changes[i]
		switch {
		case c.Action == planner.Rotate && c.Reason == planner.ReasonRotationDue:
			add(c.Address, "rotates now", c.Detail)
		case c.Action == planner.Rotate:
			add(c.Address, "rotates now", reasonText(c.Reason)+". "+c.Detail)
		}
	}
	for _, n := range plan.Notes {
		if n.Reason == planner.ReasonRotationDue {
			add(n.Address, "waits", n.Text)
		}
	}
	return out
}

// sortDue orders by the day.
func sortDue(list []htmlDue) {
	slices.SortStableFunc(list, func(a, b htmlDue) int { return cmp.Or(strings.Compare(a.Date, b.Date), natural(a.Address, b.Address)) })
}
