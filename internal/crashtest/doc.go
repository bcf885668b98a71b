// Package crashtest kills the program before and after everything that it does
// to last, one place after the other, runs it again and looks whether anything
// was lost. It has tests alone: read TestEveryPoint first, then a scenario.
//
// The test binary is the program that is killed: started with an environment
// variable of this package it runs the command line it is given, with a driver
// and a state that count each point and end the process by SIGKILL at one.
package crashtest
