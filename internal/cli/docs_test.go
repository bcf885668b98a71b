package cli

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/urfave/cli/v2"
)

var update = flag.Bool("update", false, "put the help of the program into docs/commands.md")

const commandsPage = "../../docs/commands.md"

// helpBlock finds the blocks of docs/commands.md that show a command's help.
var helpBlock = regexp.MustCompile("(?s)```text\n\\$ coffer (help[a-z ]*)\n(.*?)```\n")

// TestCommandsPage keeps docs/commands.md in step with the program: every
// command has its help there, word for word. Run it with -update after a
// change of the help.
func TestCommandsPage(t *testing.T) {
	page, err := os.ReadFile(commandsPage)
	if err != nil {
		t.Fatal(err)
	}
	if *update {
		page = helpBlock.ReplaceAllFunc(page, func(block []byte) []byte {
			command := string(helpBlock.FindSubmatch(block)[1])
			return fmt.Appendf(nil, "```text\n$ coffer %s\n%s```\n", command, helpOf(t, command))
		})
		if err := os.WriteFile(commandsPage, page, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	shown := map[string]string{}
	for _, m := range helpBlock.FindAllSubmatch(page, -1) {
		shown[string(m[1])] = string(m[2])
	}
	for _, command := range allHelp() {
		for line := range strings.Lines(helpOf(t, command)) {
			if utf8.RuneCountInString(line) > helpWidth+1 {
				t.Errorf("coffer %s has a line of more than %d columns: %s", command, helpWidth, line)
			}
		}
		text, ok := shown[command]
		switch {
		case !ok:
			t.Errorf("%s shows no block for coffer %s", commandsPage, command)
		case text != helpOf(t, command):
			t.Errorf("%s shows another text for coffer %s than the program does; run this test with -update", commandsPage, command)
		}
		delete(shown, command)
	}
	for command := range shown {
		t.Errorf("%s shows coffer %s, which does not exist", commandsPage, command)
	}
}

// allHelp returns the arguments that print the help of every command.
func allHelp() []string {
	all := []string{"help"}
	var add func(path string, commands []*cli.Command)
	add = func(path string, commands []*cli.Command) {
		for _, c := range commands {
			all = append(all, path+" "+c.Name)
			add(path+" "+c.Name, c.Subcommands)
		}
	}
	add("help", newApp(&invocation{}).Commands)
	return all
}

// helpOf runs the program.
func helpOf(t *testing.T, command string) string {
	t.Helper()
	var out, errs bytes.Buffer
	code := Main(context.Background(), append([]string{"coffer"}, strings.Fields(command)...),
		Streams{In: strings.NewReader(""), Out: &out, Err: &errs}, Environ{})
	if code != ExitDone || errs.Len() > 0 {
		t.Fatalf("coffer %s: exit %d, %s", command, code, errs.String())
	}
	return out.String()
}

// TestHelpIsComplete holds every command to the same form.
func TestHelpIsComplete(t *testing.T) {
	walk(newApp(&invocation{}).Commands, func(c *cli.Command) {
		if c.Usage == "" || strings.HasSuffix(c.Usage, ".") {
			t.Errorf("%s: want a usage line without a full stop", c.Name)
		}
		if !strings.HasPrefix(c.UsageText, "coffer ") && c.Name != "completion" {
			t.Errorf("%s: want at least one example", c.Name)
		}
		for _, f := range c.Flags {
			if _, usage := describeFlag(f); usage == "" {
				t.Errorf("%s -%s: want a usage", c.Name, f.Names()[0])
			}
		}
	})
}
