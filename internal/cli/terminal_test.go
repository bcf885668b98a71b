package cli

import (
	"context"
	"io"
	"strings"
	"testing"
)

func TestAskTakesALine(t *testing.T) {
	for in, want := range map[string]string{"yes\n": "yes", "yes\r\n": "yes", "yes": "yes", "\n": ""} {
		inv := &invocation{Streams: Streams{In: strings.NewReader(in), Err: io.Discard}}
		if got, err := inv.ask(context.Background(), "Do this?"); err != nil || got != want {
			t.Errorf("%q: %q, %v", in, got, err)
		}
	}
}

// Ctrl-D, or a terminal that goes away, is no answer.
func TestNoAnswer(t *testing.T) {
	inv := &invocation{Streams: Streams{In: strings.NewReader(""), Err: io.Discard}}
	if _, err := inv.ask(context.Background(), "Do this?"); err == nil || err.Error() != "no answer; nothing was changed" {
		t.Errorf("%v", err)
	}
	if _, err := readHidden(strings.NewReader("half")); err == nil || err.Error() != "no answer; nothing was changed" {
		t.Errorf("%v", err)
	}
}
