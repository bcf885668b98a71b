// Package planner brings stores in line with a configuration. Three verbs,
// three functions: [Refresh] looks (I/O, no decisions), [Diff] decides (no
// I/O, no clock), [Apply] does what the plan says and decides nothing new.
//
// Read [Desire] first: it turns a configuration into a flat list of
// resources. Then the decision table in decide.go. The package prints nothing
// and knows no platform.
package planner
