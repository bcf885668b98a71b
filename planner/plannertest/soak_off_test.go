//go:build servers && !soak

package plannertest

// soaking is true in the long run of the tests.
const soaking = false
