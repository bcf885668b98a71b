// Package peers holds no code, only a measurement: Coffer beside a bare HTTP
// client that makes the same calls, and beside OpenTofu where one is at hand,
// against one real OpenBao. `make bench-peers` runs it and prints the table of
// docs/benchmarks.md.
package peers
