package cli

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"unicode/utf8"

	"github.com/urfave/cli/v2"
)

// manPage is one manual page: its file name, such as coffer-plan.1, and roff.
type manPage struct{ name, roff string }

// writeManPages writes the manual pages into a folder, which is made, and
// prints their paths.
func writeManPages(inv *invocation, app *cli.App, dir string) error {
	dir = inv.path(dir)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("make the folder of the manual pages: %w", err)
	}
	var written []string
	for _, p := range manPages(app) {
		path := filepath.Join(dir, p.name)
		if err := os.WriteFile(path, []byte(p.roff), 0o644); err != nil {
			return fmt.Errorf("write a manual page: %w", err)
		}
		written = append(written, path)
	}
	if inv.json {
		return inv.printJSON(struct {
			FormatVersion int      `json:"format_version"`
			Written       []string `json:"written"`
		}{1, written})
	}
	_, err := fmt.Fprintln(inv.Out, strings.Join(written, "\n"))
	return err
}

// manPages returns coffer(1) and a page for every command and subcommand, made
// of the same tree as the help. They hold no date, so that two builds of one
// commit have the same.
func manPages(app *cli.App) []manPage {
	all := []manPage{programPage(app)}
	var add func(path []string, commands []*cli.Command)
	add = func(path []string, commands []*cli.Command) {
		for _, c := range commands {
			own := append(path[:len(path):len(path)], c.Name)
			all = append(all, commandPage(own, c))
			add(own, c.Subcommands)
		}
	}
	add([]string{app.Name}, app.Commands)
	return all
}

func programPage(app *cli.App) manPage {
	r := newRoff([]string{app.Name}, app.Usage)
	r.section("SYNOPSIS")
	r.synopsis(app.Name, "COMMAND", "[flags]", "[arguments]")
	r.section("DESCRIPTION")
	r.paragraphs(upperFirst(app.Name) + " is " + app.Usage + ": HCL in, plan, apply and drift over the stores that keep them.\n\n" +
		"Start with: coffer init")
	r.section("COMMANDS")
	r.commandList([]string{app.Name}, app.Commands)
	r.section("GLOBAL OPTIONS")
	r.text("They stand before or after the command.")
	r.flagList(app.Flags)
	r.exitStatus()
	return r.page()
}

func commandPage(path []string, c *cli.Command) manPage {
	r := newRoff(path, c.Usage)
	r.section("SYNOPSIS")
	var rest []string
	if len(c.Subcommands) > 0 {
		rest = append(rest, "COMMAND")
	}
	rest = append(rest, "[flags]")
	if c.ArgsUsage != "" {
		rest = append(rest, c.ArgsUsage)
	}
	r.synopsis(strings.Join(path, " "), rest...)
	r.section("DESCRIPTION")
	r.paragraphs(upperFirst(c.Usage) + ".\n\n" + c.Description)
	if len(c.Subcommands) > 0 {
		r.section("COMMANDS")
		r.commandList(path, c.Subcommands)
	}
	if len(c.Flags) > 0 {
		r.section("OPTIONS")
		r.flagList(c.Flags)
	}
	if c.UsageText != "" {
		r.section("EXAMPLES")
		r.verbatim(c.UsageText)
	}
	r.exitStatus()
	r.section("SEE ALSO")
	r.reference(path[:len(path)-1])
	return r.page()
}

// roff builds one page with the macros of man(7). Text reaches it through
// text, verbatim and escape, so that nothing in it is read as a request.
type roff struct {
	name string
	b    strings.Builder
}

func newRoff(path []string, usage string) *roff {
	r := &roff{name: strings.Join(path, "-")}
	r.request(".TH", strings.ToUpper(r.name), "1", "", "coffer "+version, "Coffer")
	r.section("NAME")
	r.line(escapeRoff(r.name) + ` \- ` + escapeRoff(usage))
	return r
}

func (r *roff) page() manPage { return manPage{r.name + ".1", r.b.String()} }

func (r *roff) line(s string) { r.b.WriteString(s + "\n") }

// request writes a request with its arguments, each quoted.
func (r *roff) request(name string, args ...string) {
	for _, a := range args {
		name += ` "` + escapeRoff(a) + `"`
	}
	r.line(name)
}

func (r *roff) section(title string) { r.request(".SH", title) }

func (r *roff) synopsis(command string, rest ...string) {
	r.line(`\fB` + escapeRoff(command) + `\fR ` + escapeRoff(strings.Join(rest, " ")))
}

// text writes a paragraph that may be filled.
func (r *roff) text(s string) {
	for line := range strings.Lines(s) {
		r.line(guardRoff(escapeRoff(strings.TrimSuffix(line, "\n"))))
	}
}

// paragraphs writes text that blank lines divide; one with an indented line
// stays as it is.
func (r *roff) paragraphs(s string) {
	for i, p := range strings.Split(strings.TrimSpace(s), "\n\n") {
		if i > 0 {
			r.line(".PP")
		}
		if strings.Contains("\n"+p, "\n ") {
			r.verbatim(p)
		} else {
			r.text(p)
		}
	}
}

// verbatim writes lines that stay as they are, indented.
func (r *roff) verbatim(s string) {
	r.line(".RS 4\n.nf")
	r.text(s)
	r.line(".fi\n.RE")
}

// term writes one entry of a list; its head is roff.
func (r *roff) term(head, text string) {
	r.line(".TP\n" + head)
	r.text(text)
}

func (r *roff) commandList(path []string, commands []*cli.Command) {
	for _, c := range commands {
		r.term(`\fB`+escapeRoff(strings.Join(append(path[:len(path):len(path)], c.Name), "-"))+`\fR(1)`, upperFirst(c.Usage)+".")
	}
}

func (r *roff) flagList(flags []cli.Flag) {
	for _, f := range flags {
		left, right := describeFlag(f)
		name, value, hasValue := strings.Cut(left, " ")
		head := `\fB` + escapeRoff(name) + `\fR`
		if hasValue {
			head += ` \fI` + escapeRoff(value) + `\fR`
		}
		r.term(head, right)
	}
}

func (r *roff) exitStatus() {
	r.section("EXIT STATUS")
	for line := range strings.Lines(exitCodeHelp) {
		code, meaning, ok := strings.Cut(strings.TrimSpace(line), " ")
		if ok && strings.HasPrefix(line, " ") {
			r.term(`\fB`+escapeRoff(code)+`\fR`, strings.TrimSpace(meaning))
		}
	}
}

// reference names the page of the command above, and of the program.
func (r *roff) reference(path []string) {
	for len(path) > 1 {
		r.line(`\fB` + escapeRoff(strings.Join(path, "-")) + `\fR(1),`)
		path = path[:len(path)-1]
	}
	r.line(`\fB` + escapeRoff(path[0]) + `\fR(1)`)
}

// guardRoff keeps a line of text from being read as a request.
func guardRoff(line string) string {
	if strings.HasPrefix(line, ".") {
		return `\&` + line
	}
	return line
}

// escapeRoff writes text so that every reader of man(7) shows the characters
// that are meant: roff makes typographic signs of some ASCII ones, and only
// the form \[u and a number] brings others through in every locale.
func escapeRoff(s string) string {
	var b strings.Builder
	for _, c := range s {
		switch c {
		case '\\':
			b.WriteString(`\e`)
		case '-':
			b.WriteString(`\-`)
		case '\'':
			b.WriteString(`\(aq`)
		case '`':
			b.WriteString(`\(ga`)
		case '^':
			b.WriteString(`\(ha`)
		case '~':
			b.WriteString(`\(ti`)
		case '"':
			b.WriteString(`\(dq`)
		default:
			if c < utf8.RuneSelf {
				b.WriteRune(c)
			} else {
				fmt.Fprintf(&b, `\[u%04X]`, c)
			}
		}
	}
	return b.String()
}
