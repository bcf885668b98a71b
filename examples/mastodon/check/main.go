// Command check looks at the environment that Mastodon would be started with.
// For every variable that is there and has the documented form it prints
// "ok NAME"; what is wrong goes to stderr by name, and the exit code is 1. It
// prints no value, and starts nothing.
//
// The forms are those of docs.joinmastodon.org/admin/config, of the tasks that
// it says to make values with, and of the Rails guide to Active Record
// Encryption. Begin with variables.
package main

import (
	"fmt"
	"io"
	"os"
)

func main() {
	os.Exit(run(os.Getenv, os.Stdout, os.Stderr))
}

// run returns the exit code: 0 where all is well.
func run(getenv func(string) string, out, errs io.Writer) int {
	code := 0
	for _, v := range variables() {
		problem := "is not set"
		if value := getenv(v.name); value != "" {
			problem = v.problem(value, getenv)
		}
		if problem != "" {
			fmt.Fprintf(errs, "%s %s\n", v.name, problem)
			code = 1
			continue
		}
		fmt.Fprintf(out, "ok %s\n", v.name)
	}
	return code
}
