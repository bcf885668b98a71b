//go:build unix

package cli

import "syscall"

// disableCoreDumps keeps values in memory out of a core file. Best effort: a
// limit that cannot be lowered is no reason not to run.
func disableCoreDumps() {
	_ = syscall.Setrlimit(syscall.RLIMIT_CORE, &syscall.Rlimit{})
}
