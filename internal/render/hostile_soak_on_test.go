//go:build soak

package render_test

// everyNth is how many formats a variant of a hostile string passes by: none in the
// long run of the tests.
const everyNth = 1
