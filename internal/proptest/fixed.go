//go:build !soak

package proptest

const explore = false
