// Package canarytest runs the whole program with values that can be recognised,
// through every command, when it succeeds and when it fails, and then searches
// everything it left behind for them: what it printed and logged, every file it
// wrote, its arguments and environment, its goroutine traces.
//
// It is all tests. Read [TestCanaries] first, then project_test.go, which runs
// the program, and sinks_test.go, which keeps what came out of it. What is
// searched for, and how, is in providers/providertest/canary.
package canarytest
