package planner

import (
	"strings"

	"github.com/cofferhq/coffer/lang"
	"github.com/cofferhq/coffer/lang/addr"
)

// cameFrom returns the addresses that moved blocks lead to a from, nearest
// first. A circle of moves ends when it closes.
func (d *Desired) cameFrom(a addr.Address) []addr.Address {
	var from []addr.Address
	for range d.Moved {
		moved := false
		for _, m := range d.Moved {
			if m.To.Contains(a) && m.From != m.To {
				a = movedBack(a, m)
				from = append(from, a)
				moved = true
				break
			}
		}
		if !moved {
			break
		}
	}
	return from
}

// movedBack replaces the prefix m.To of a by m.From.
func movedBack(a addr.Address, m *lang.Moved) addr.Address {
	a.App, a.AppKey = m.From.App, m.From.AppKey
	if m.From.Kind != "" {
		a.Kind, a.Name, a.Key = m.From.Kind, m.From.Name, m.From.Key
	}
	if m.From.Environment != "" {
		a.Environment = m.From.Environment
	}
	return a
}

// movedText applies the moved blocks to recorded source text, so that a new
// name of what it refers to does not look like a new template. Names that moved
// more than once take as many rounds.
func (x *differ) movedText(text string) string {
	for range x.d.Moved {
		was := text
		for _, m := range x.d.Moved {
			from, to := m.From.In("").String(), m.To.In("").String()
			for _, end := range []string{".", "}", ")", ","} {
				text = strings.ReplaceAll(text, from+end, to+end)
			}
		}
		if text == was {
			break
		}
	}
	return text
}
