package cli

import (
	"context"
	"errors"
	"fmt"
)

// Exit codes. They are a contract (docs/commands.md).
const (
	ExitDone        = 0   // done, or nothing to do
	ExitError       = 1   // an error; an apply that leaves a conflict or refuses a change
	ExitChanges     = 2   // changes or drift present
	ExitUnknown     = 3   // something could not be told, and nothing worse
	ExitInterrupted = 130 // interrupted
)

// outcome ends a command with a code and no further words: what there was to
// say is already printed.
type outcome int

func (o outcome) Error() string { return fmt.Sprintf("exit code %d", int(o)) }

// usageError is a command line that cannot be understood.
type usageError struct{ err error }

func (e usageError) Error() string { return e.err.Error() }
func (e usageError) Unwrap() error { return e.err }

func usagef(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

// exitCode is the one place that turns what happened into an exit code. An
// error beats unknown, and unknown beats changes; commands hand in the worst.
func exitCode(ctx context.Context, err error) int {
	var o outcome
	switch {
	case err == nil:
		return ExitDone
	case ctx.Err() != nil:
		return ExitInterrupted
	case errors.As(err, &o):
		return int(o)
	default:
		return ExitError
	}
}
