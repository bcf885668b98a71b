//go:build unix && !soak

package canarytest

// long is true for a night's run: every way on for every failure.
const long = false

// levels are those of the log at which the whole story is told: trace logs all
// that the others do, through the same handler.
func levels() []string { return []string{"trace"} }

// manuals is how many values a person types in.
const manuals = 5
