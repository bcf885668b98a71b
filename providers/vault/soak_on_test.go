//go:build servers && soak

package vault

// soaking is true in the long run of the tests.
const soaking = true
