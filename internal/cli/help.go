package cli

import (
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"
)

const exitCodeHelp = `Exit codes:
  0    done, or nothing to do
  1    error; an apply that leaves a conflict or refuses a change
  2    changes or drift present (plan -detailed-exitcode; always for drift)
  3    something could not be told, and nothing worse
  130  interrupted
`

func helpCommand(inv *invocation) *cli.Command {
	var man string
	return &cli.Command{
		Name:      "help",
		Usage:     "explain a command",
		ArgsUsage: "[COMMAND…]",
		UsageText: `coffer help
coffer help plan
coffer help state rm
coffer help -man ~/.local/share/man/man1`,
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "man", Usage: "write all manual pages into `DIR` and print their paths", Destination: &man},
		},
		Action: func(c *cli.Context) error {
			if man != "" {
				if c.Args().Present() {
					return usagef("-man writes the pages of all commands; leave out %s", strings.Join(c.Args().Slice(), " "))
				}
				return writeManPages(inv, c.App, man)
			}
			l, err := parseLine(c.App, c.Args().Slice())
			if err != nil {
				return err
			}
			if len(l.args) > 0 {
				return usagef("%q is not a command of coffer %s; coffer help lists them", l.args[0], l.path())
			}
			l.help = true
			return showHelp(inv, c.App, l)
		},
	}
}

// showHelp prints the help of the line's command, or of the program. Asked for
// it is the result; without a command it is an error, and goes to stderr.
func showHelp(inv *invocation, app *cli.App, l *line) error {
	var b strings.Builder
	if len(l.commands) == 0 {
		writeProgramHelp(&b, app)
	} else {
		writeCommandHelp(&b, app, l)
	}
	switch {
	case !l.help:
		if inv.json {
			return usagef("no command; coffer help lists them")
		}
		_, _ = io.WriteString(inv.Err, b.String())
		return outcome(ExitError)
	case inv.json:
		return inv.printJSON(struct {
			FormatVersion int    `json:"format_version"`
			Help          string `json:"help"`
		}{1, b.String()})
	}
	_, err := io.WriteString(inv.Out, b.String())
	return err
}

func writeProgramHelp(w io.Writer, app *cli.App) {
	fmt.Fprintf(w, "Coffer is %s:\nHCL in, plan, apply and drift over the stores that keep them.\n\n", app.Usage)
	fmt.Fprint(w, "Usage: coffer COMMAND [flags] [arguments]\n\nCommands:\n")
	writeCommandList(w, app.Commands)
	fmt.Fprint(w, "\nGlobal flags, before or after the command:\n")
	writeFlags(w, app.Flags)
	fmt.Fprint(w, "\n"+exitCodeHelp)
	fmt.Fprint(w, "\nStart with: coffer init\nMore on a command: coffer help COMMAND\n")
}

func writeCommandHelp(w io.Writer, app *cli.App, l *line) {
	c := l.command()
	usage := []string{"coffer", l.path()}
	if len(c.Subcommands) > 0 {
		usage = append(usage, "COMMAND")
	}
	usage = append(usage, "[flags]")
	if c.ArgsUsage != "" {
		usage = append(usage, c.ArgsUsage)
	}
	fmt.Fprintf(w, "Usage: %s\n\n%s.\n", strings.Join(usage, " "), upperFirst(c.Usage))
	if c.Description != "" {
		fmt.Fprintf(w, "\n%s\n", strings.TrimSpace(c.Description))
	}
	if len(c.Subcommands) > 0 {
		fmt.Fprint(w, "\nCommands:\n")
		writeCommandList(w, c.Subcommands)
	}
	if len(c.Flags) > 0 {
		fmt.Fprint(w, "\nFlags:\n")
		writeFlags(w, c.Flags)
	}
	for i, text := range wrap("Global flags: -"+strings.Join(flagNames(app.Flags), " -")+" (coffer help)", helpWidth) {
		fmt.Fprintf(w, "%s%s\n", []string{"\n", "  "}[min(i, 1)], text)
	}
	if c.UsageText != "" {
		fmt.Fprintf(w, "\nExamples:\n  %s\n", strings.ReplaceAll(c.UsageText, "\n", "\n  "))
	}
	fmt.Fprint(w, "\n"+exitCodeHelp)
}

func writeCommandList(w io.Writer, commands []*cli.Command) {
	width := 0
	for _, c := range commands {
		width = max(width, len(c.Name))
	}
	for _, c := range commands {
		fmt.Fprintf(w, "  %-*s  %s\n", width, c.Name, c.Usage)
	}
}

// writeFlags lists flags; the words between backquotes in a usage name the
// value, as in the standard library.
func writeFlags(w io.Writer, flags []cli.Flag) {
	left := make([]string, len(flags))
	right := make([]string, len(flags))
	width := 0
	for i, f := range flags {
		left[i], right[i] = describeFlag(f)
		width = max(width, len(left[i]))
	}
	for i := range flags {
		for j, line := range wrap(right[i], helpWidth-width-4) {
			if j > 0 {
				left[i] = ""
			}
			fmt.Fprintf(w, "  %-*s  %s\n", width, left[i], line)
		}
	}
}

// helpWidth is how wide the help may be.
const helpWidth = 80

// wrap breaks text into lines of at most width characters where it can.
func wrap(text string, width int) []string {
	var lines []string
	line := ""
	for _, word := range strings.Fields(text) {
		if line != "" && len(line)+1+len(word) > width {
			lines, line = append(lines, line), ""
		}
		line = strings.TrimPrefix(line+" "+word, " ")
	}
	return append(lines, line)
}

func describeFlag(f cli.Flag) (left, right string) {
	left = "-" + f.Names()[0]
	doc, ok := f.(cli.DocGenerationFlag)
	if !ok {
		return left, ""
	}
	before, rest, quoted := strings.Cut(doc.GetUsage(), "`")
	if !quoted {
		return left, doc.GetUsage()
	}
	value, after, _ := strings.Cut(rest, "`")
	right = before + value + after
	if d := doc.GetDefaultText(); d != "" && d != "0" && d != strconv.Itoa(notGiven) {
		right += " (default " + strings.Trim(d, `"`) + ")"
	}
	return left + " " + value, right
}

func upperFirst(s string) string {
	if s == "" {
		return ""
	}
	return strings.ToUpper(s[:1]) + s[1:]
}
