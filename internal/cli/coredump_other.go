//go:build !unix

package cli

// disableCoreDumps does nothing: this platform writes no core files.
func disableCoreDumps() {}
