// Coffer is a declarative reconciler for secrets. This file turns signals into
// a cancelled context; everything else starts in internal/cli.
package main

import (
	"context"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"github.com/cofferhq/coffer/internal/cli"
)

func main() {
	// A run is short and its memory small: collecting less often is a fifth of
	// its time.
	debug.SetGCPercent(400)
	ctx, cancel := context.WithCancel(context.Background())
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	// A reader that goes away (coffer apply | head) must not kill an apply half way.
	signal.Ignore(syscall.SIGPIPE)
	go func() {
		<-signals
		cancel()
		<-signals
		os.Exit(cli.ExitInterrupted)
	}()
	os.Exit(cli.Main(ctx, os.Args, cli.SystemStreams(), cli.SystemEnviron()))
}
