package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"unicode/utf8"

	"golang.org/x/term"

	"github.com/cofferhq/coffer/internal/durable"
)

// terminal returns the descriptor of a stream, and whether it is a terminal.
func terminal(stream any) (int, bool) {
	f, ok := stream.(*os.File)
	if !ok {
		return 0, false
	}
	fd := int(f.Fd())
	return fd, term.IsTerminal(fd)
}

// width returns how wide lines may be on stream: the terminal's width, or 80.
func width(stream any) int {
	if fd, ok := terminal(stream); ok {
		if w, _, err := term.GetSize(fd); err == nil && w > 20 {
			return w
		}
	}
	return 80
}

// colored reports whether stream is a terminal and nobody asked for no colour.
func (inv *invocation) colored(stream any) bool {
	_, ok := terminal(stream)
	return ok && !inv.noColor && inv.Getenv("NO_COLOR") == "" && inv.Getenv("TERM") != "dumb"
}

// canAsk reports whether there is a person to ask: stdin and stderr are a
// terminal, and nobody wants a document instead of a conversation.
func (inv *invocation) canAsk() bool {
	_, in := terminal(inv.In)
	_, out := terminal(inv.Err)
	return in && out && !inv.json
}

// errNoAnswer is the end of the input where an answer should be.
var errNoAnswer = errors.New("no answer; nothing was changed")

// ask writes question to stderr and returns the answer, one line without its
// end. It returns at once when ctx ends.
func (inv *invocation) ask(ctx context.Context, question string) (string, error) {
	fmt.Fprint(inv.Err, question)
	return await(ctx, func() (string, error) {
		answer, err := bufio.NewReader(inv.In).ReadString('\n')
		switch {
		case errors.Is(err, io.EOF) && answer != "":
			err = nil
		case errors.Is(err, io.EOF):
			err = errNoAnswer
		}
		return strings.TrimRight(answer, "\r\n"), err
	})
}

// askHidden asks on the terminal fd and returns what is typed, which is not
// shown: the terminal stops echoing before the question is there, so that
// nothing typed early is seen. The terminal is put back in any case.
func (inv *invocation) askHidden(ctx context.Context, fd int, question string) ([]byte, error) {
	before, err := term.MakeRaw(fd)
	if err != nil {
		return nil, err
	}
	defer func() { _ = term.Restore(fd, before) }() // the answer is what counts
	fmt.Fprint(inv.Err, question)
	defer fmt.Fprint(inv.Err, "\r\n")
	return await(ctx, func() ([]byte, error) { return readHidden(inv.In) })
}

// readHidden reads a line from a terminal that is in raw mode, where keys that
// edit or end it come as they are.
func readHidden(in io.Reader) ([]byte, error) {
	const ctrlC, ctrlD, backspace, ctrlU, del = 3, 4, 8, 21, 127
	var line []byte
	key := make([]byte, 1)
	for len(line) <= maxInput {
		switch _, err := io.ReadFull(in, key); {
		case errors.Is(err, io.EOF):
			return nil, errNoAnswer
		case err != nil:
			return nil, err
		}
		switch key[0] {
		case '\r', '\n', ctrlD:
			return line, nil
		case ctrlC:
			return nil, outcome(ExitInterrupted)
		case ctrlU:
			clear(line)
			line = line[:0]
		case backspace, del:
			_, n := utf8.DecodeLastRune(line)
			line = line[:len(line)-n]
		default:
			line = append(line, key[0])
		}
	}
	return line, nil
}

// await runs a read that cannot be cancelled and stops waiting when ctx ends.
// The read may outlive the wait: the process is about to end.
func await[T any](ctx context.Context, read func() (T, error)) (T, error) {
	type answer struct {
		value T
		err   error
	}
	got := make(chan answer, 1)
	go func() {
		v, err := read()
		got <- answer{v, err}
	}()
	select {
	case a := <-got:
		return a.value, a.err
	case <-ctx.Done():
		var none T
		return none, context.Cause(ctx)
	}
}

// readInput returns the content of a file, or of stdin for "-".
func (inv *invocation) readInput(ctx context.Context, file string) ([]byte, error) {
	if file == "-" {
		return inv.readStdin(ctx)
	}
	data, _, err := durable.Read(durable.OS(), inv.path(file), maxInput)
	return data, err
}

// readStdin returns all of stdin, up to one byte more than maxInput.
func (inv *invocation) readStdin(ctx context.Context) ([]byte, error) {
	return await(ctx, func() ([]byte, error) { return io.ReadAll(io.LimitReader(inv.In, maxInput+1)) })
}

// printValue shows a value on a terminal, with a newline at its end. What could
// command the terminal is written as an escape; everything else is as it is.
func printValue(out io.Writer, plaintext []byte) error {
	var b strings.Builder
	for _, r := range string(plaintext) {
		if r == '\n' || r == '\t' || strconv.IsPrint(r) {
			b.WriteRune(r)
		} else {
			b.WriteString(strings.Trim(strconv.QuoteRuneToASCII(r), "'"))
		}
	}
	_, err := io.WriteString(out, strings.TrimSuffix(b.String(), "\n")+"\n")
	return err
}
