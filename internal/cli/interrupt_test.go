package cli

import (
	"bytes"
	"context"
	"strings"
	"testing"
)

// TestInterruptIsAnswered: the first interruption of an apply is acknowledged at
// once, and the end says what is left, but only where something is.
func TestInterruptIsAnswered(t *testing.T) {
	for _, test := range []struct {
		at    int64 // the file after which it comes
		again bool
	}{{1, true}, {10, false}} {
		p := newThousand(t)
		ctx, cancel := context.WithCancel(context.Background())
		var out, errs bytes.Buffer
		p.renamed = func(n int64) {
			if n == test.at {
				cancel()
			}
		}
		args := []string{"coffer", "-chdir", p.dir, "-parallelism", "1", "apply", "-auto-approve"}
		code := Main(ctx, args, Streams{In: strings.NewReader(""), Out: &out, Err: &errs}, p.environ)
		if code != ExitInterrupted {
			t.Errorf("after file %d: exit code %d", test.at, code)
		}
		if n := strings.Count(errs.String(), "Interrupted: finishing what has begun; again to stop now."); n != 1 {
			t.Errorf("after file %d: the interruption is acknowledged %d times", test.at, n)
		}
		if got := strings.Contains(out.String(), "Run coffer apply again"); got != test.again {
			t.Errorf("after file %d: %.300q", test.at, out.String()[strings.LastIndex(out.String(), "Values read"):])
		}
		if got := strings.Contains(errs.String(), "all that the plan had was done already"); got == test.again {
			t.Errorf("after file %d: stderr does not tell whether something is left", test.at)
		}
	}
}
