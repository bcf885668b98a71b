// Package render turns plans, drift reports, diagnostics and states into what
// a person reads and into the JSON documents that docs/plan-format.md
// describes. It decides nothing: all it prints is in the data it is given.
//
// The package must not know values (it never imports providers/secret), nor
// the process around it: terminal, colour and width come in as a [Style].
// Text from configuration, state and providers is hostile here (RELIABILITY,
// rules 7 and 8). All of it leaves through one [Writer], which escapes what
// could move the cursor, hide or reorder text or start a command of a CI
// system; emphasis is a [Tone], which text cannot be.
//
// Read [PlanText] first, then page, which lays lines out.
package render

const (
	defaultWidth = 80
	minWidth     = 40
)

// Style is how output looks. The zero Style is plain text in 80 columns.
type Style struct {
	Color bool
	Width int // columns; 0 is 80
}

func (s Style) width() int {
	if s.Width == 0 {
		return defaultWidth
	}
	return max(s.Width, minWidth)
}
