//go:build unix && soak

package crashtest

// soaking is true in the long run of the tests.
const soaking = true
