//go:build !soak

package render_test

// everyNth is how many formats a variant of a hostile string passes by: fewer
// than all in the gate.
const everyNth = 4
