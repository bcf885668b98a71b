//go:build unix && soak

package canarytest

const long = true

func levels() []string { return []string{"", "debug", "trace"} }

const manuals = 18
