//go:build unix

package canarytest

import (
	"context"
	"io"
	"os"
	"os/signal"
	"syscall"
	"testing"

	"github.com/cofferhq/coffer/internal/cli"
)

const (
	asProgram = "COFFER_CANARY_PROGRAM"
	// leakOut and leakErr name files that the positive control has the program
	// print: a leak that must be found.
	leakOut = "COFFER_CANARY_LEAK_STDOUT"
	leakErr = "COFFER_CANARY_LEAK_STDERR"
	// leakWait has the program say "ready" and wait for the end of stdin before
	// it begins.
	leakWait = "COFFER_CANARY_WAIT"
)

// TestMain lets the tests start this binary as the program.
func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "1" {
		os.Exit(m.Run())
	}
	leak(os.Stdout, os.Getenv(leakOut))
	leak(os.Stderr, os.Getenv(leakErr))
	if os.Getenv(leakWait) != "" {
		_, _ = io.WriteString(os.Stdout, "ready")
		_, _ = io.Copy(io.Discard, os.Stdin)
	}
	program()
}

// program is the main function of the module, which no test can import.
func program() {
	ctx, cancel := context.WithCancel(context.Background())
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	signal.Ignore(syscall.SIGPIPE)
	go func() {
		<-signals
		cancel()
		<-signals
		os.Exit(cli.ExitInterrupted)
	}()
	os.Exit(cli.Main(ctx, os.Args, cli.SystemStreams(), cli.SystemEnviron()))
}

func leak(to io.Writer, file string) {
	if file == "" {
		return
	}
	data, err := os.ReadFile(file)
	if err != nil {
		panic(err)
	}
	if _, err := to.Write(data); err != nil {
		panic(err)
	}
}
