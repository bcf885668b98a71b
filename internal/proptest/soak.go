//go:build soak

package proptest

// explore: every run draws what no run drew before.
const explore = true
