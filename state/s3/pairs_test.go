//go:build !soak

package s3_test

// pairs is a quarter of what the soak has.
const pairs = 50
