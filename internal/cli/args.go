package cli

import (
	"slices"
	"strings"
	"time"

	"github.com/agext/levenshtein"
	"github.com/urfave/cli/v2"
)

// line is a command line taken apart. urfave/cli wants flags before arguments
// and silently takes a later flag for an argument; so the line is understood
// here first, or refused, and handed on in the order urfave/cli wants.
type line struct {
	global   []string // global flags, each as -name=value
	commands []*cli.Command
	flags    []string // flags of the command
	args     []string
	json     bool
	help     bool
}

// command returns the innermost command.
func (l *line) command() *cli.Command { return l.commands[len(l.commands)-1] }

// path returns the words of the command, "state rm".
func (l *line) path() string {
	words := make([]string, len(l.commands))
	for i, c := range l.commands {
		words[i] = c.Name
	}
	return strings.Join(words, " ")
}

// argv returns the line in the order urfave/cli understands.
func (l *line) argv() []string {
	argv := slices.Clone(l.global)
	for _, c := range l.commands {
		argv = append(argv, c.Name)
	}
	argv = append(argv, l.flags...)
	return append(append(argv, "--"), l.args...)
}

// parseLine takes args apart. Flags may stand anywhere before "--", as -name
// or --name, with =VALUE or the value as the next argument. The returned line
// is never nil, so that -json is known even when the rest is refused.
func parseLine(app *cli.App, args []string) (*line, error) {
	l := &line{json: wantsJSON(args)}
	p := lineParser{line: l, app: app, seen: map[string]bool{}}
	for len(args) > 0 {
		word := args[0]
		args = args[1:]
		var err error
		switch {
		case word == "--":
			l.args = append(l.args, args...)
			args = nil
		case len(word) > 1 && word[0] == '-':
			args, err = p.flag(word, args)
		default:
			err = p.word(word)
		}
		if err != nil {
			return l, err
		}
	}
	return l, nil
}

// wantsJSON looks for -json without understanding the rest of the line.
func wantsJSON(args []string) bool {
	for _, a := range args {
		switch a {
		case "--":
			return false
		case "-json", "--json", "-json=true", "--json=true":
			return true
		}
	}
	return false
}

type lineParser struct {
	*line
	app  *cli.App
	seen map[string]bool
}

// word takes a command's name, or an argument once the command is complete.
func (p *lineParser) word(word string) error {
	below := p.app.Commands
	if len(p.commands) > 0 {
		below = p.command().Subcommands
		if len(below) == 0 {
			p.args = append(p.args, word)
			return nil
		}
	}
	for _, c := range below {
		if c.HasName(word) {
			p.commands = append(p.commands, c)
			return nil
		}
	}
	all := make([]string, len(below))
	for i, c := range below {
		all[i] = c.Name
	}
	what := strings.TrimSpace("coffer " + p.path())
	return usagef("%s has no command %q%s; %s lists them", what, word, didYouMean(word, "", all),
		strings.TrimSpace("coffer help "+p.path()))
}

// flag takes one flag and, where it needs one, its value from rest.
func (p *lineParser) flag(word string, rest []string) ([]string, error) {
	name, value, hasValue := strings.Cut(strings.TrimLeft(word, "-"), "=")
	if name == "h" || name == "help" {
		p.help = true
		return rest, nil
	}
	f, into := p.lookup(name)
	if f == nil {
		return nil, p.unknownFlag(name)
	}
	_, isBool := f.(*cli.BoolFlag)
	_, isList := f.(*cli.StringSliceFlag)
	switch {
	case hasValue:
	case isBool:
		value = "true"
	case len(rest) == 0:
		return nil, usagef("flag -%s needs a value", name)
	case len(rest[0]) > 1 && rest[0][0] == '-':
		return nil, usagef("flag -%s needs a value, and %s looks like a flag; write -%s=%s if it is the value",
			name, rest[0], name, rest[0])
	default:
		value, rest = rest[0], rest[1:]
	}
	if p.seen[name] && !isList {
		return nil, usagef("flag -%s is given twice", name)
	}
	if _, isTime := f.(*cli.DurationFlag); isTime {
		if _, err := time.ParseDuration(value); err != nil {
			return nil, usagef("flag -%s wants a time with its unit, such as 30s or 5m, not %q", name, value)
		}
	}
	p.seen[name] = true
	*into = append(*into, "-"+name+"="+value)
	return rest, nil
}

// lookup finds a flag of the command, or a global one, and where it goes.
func (p *lineParser) lookup(name string) (cli.Flag, *[]string) {
	if len(p.commands) > 0 {
		if f := findFlag(p.command().Flags, name); f != nil {
			return f, &p.flags
		}
	}
	return findFlag(p.app.Flags, name), &p.global
}

func findFlag(flags []cli.Flag, name string) cli.Flag {
	for _, f := range flags {
		if slices.Contains(f.Names(), name) {
			return f
		}
	}
	return nil
}

func (p *lineParser) unknownFlag(name string) error {
	if len(p.commands) == 0 {
		return p.unknownBeforeCommand(name)
	}
	known := flagNames(append(slices.Clone(p.command().Flags), p.app.Flags...))
	return usagef("coffer %s has no flag -%s%s; coffer help %s lists them",
		p.path(), name, didYouMean(name, "-", known), p.path())
}

// unknownBeforeCommand knows the likeliest mistake: a flag of a command that
// stands before it.
func (p *lineParser) unknownBeforeCommand(name string) error {
	if p.app.Command(name) != nil {
		return usagef("%s is a command: coffer %s", name, name)
	}
	var owners []string
	walk(p.app.Commands, func(c *cli.Command) {
		if findFlag(c.Flags, name) != nil {
			owners = append(owners, c.Name)
		}
	})
	if len(owners) > 0 {
		return usagef("-%s is a flag of %s and stands after the command: coffer %s -%s …",
			name, strings.Join(owners, ", "), owners[0], name)
	}
	return usagef("there is no global flag -%s%s; coffer help lists them",
		name, didYouMean(name, "-", flagNames(p.app.Flags)))
}

func flagNames(flags []cli.Flag) []string {
	var all []string
	for _, f := range flags {
		all = append(all, f.Names()...)
	}
	return all
}

// names lists commands for people: "list, show, mv".
func names(commands []*cli.Command) string {
	all := make([]string, len(commands))
	for i, c := range commands {
		all[i] = c.Name
	}
	return strings.Join(all, ", ")
}

// didYouMean suggests the nearest of the known words, in the form ", did you
// mean …?", or nothing where none is near.
func didYouMean(word, prefix string, known []string) string {
	best, distance := "", 3
	for _, k := range known {
		if d := levenshtein.Distance(word, k, nil); d < distance {
			best, distance = k, d
		}
	}
	if best == "" {
		return ""
	}
	return " (did you mean " + prefix + best + "?)"
}
