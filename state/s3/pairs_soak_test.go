//go:build soak

package s3_test

const pairs = 200
