// Package examplestest holds the examples and the documentation to what they
// say: every folder below examples runs as its run.sh shows, what Mastodon
// would be started with has the documented form, and every configuration that
// a page shows loads. It has tests alone: read TestExamplesRun first.
//
// The test binary is the program that the scripts run, so they are always of
// the code that is tested.
package examplestest
