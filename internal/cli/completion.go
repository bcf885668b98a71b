package cli

import (
	"fmt"
	"strings"

	"github.com/urfave/cli/v2"
)

func completionCommand(inv *invocation) *cli.Command {
	return &cli.Command{
		Name:      "completion",
		Usage:     "print a completion script for a shell",
		ArgsUsage: "bash|zsh|fish",
		UsageText: `source <(coffer completion bash)
coffer completion zsh > "${fpath[1]}/_coffer"
coffer completion fish > ~/.config/fish/completions/coffer.fish`,
		Action: func(c *cli.Context) error {
			if err := inv.arguments(c, 1, 1); err != nil {
				return err
			}
			return runCompletion(inv, c.App, c.Args().First())
		},
	}
}

func runCompletion(inv *invocation, app *cli.App, shell string) error {
	if inv.json {
		return usagef("a completion script has no JSON form; leave out -json")
	}
	var script string
	switch words := completions(app); shell {
	case "bash":
		script = bashCompletion(words)
	case "zsh":
		script = "#compdef coffer\nautoload -U +X bashcompinit && bashcompinit\n" + bashCompletion(words)
	case "fish":
		script = fishCompletion(app)
	default:
		return usagef("no completion for the shell %q; there is bash, zsh and fish", shell)
	}
	_, err := fmt.Fprint(inv.Out, script)
	return err
}

// completion is what can follow a command's words.
type completion struct {
	path  string // "", "state", "state rm"
	words []string
}

func completions(app *cli.App) []completion {
	global := dashed(app.Flags)
	var all []completion
	var add func(path string, commands []*cli.Command, flags []string)
	add = func(path string, commands []*cli.Command, flags []string) {
		var words []string
		for _, c := range commands {
			words = append(words, c.Name)
		}
		all = append(all, completion{path, append(append(words, flags...), global...)})
		for _, c := range commands {
			add(strings.TrimSpace(path+" "+c.Name), c.Subcommands, dashed(c.Flags))
		}
	}
	add("", app.Commands, nil)
	return all
}

func dashed(flags []cli.Flag) []string {
	out := flagNames(flags)
	for i := range out {
		out[i] = "-" + out[i]
	}
	return out
}

// bashCompletion offers the words that can follow the commands typed so far,
// and files elsewhere.
func bashCompletion(all []completion) string {
	var b strings.Builder
	b.WriteString(`_coffer() {
  local path="" word words next
  for word in "${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
    case "$word" in -*) continue ;; esac
    next="${path:+$path }$word"
    case "$next" in
`)
	paths := make([]string, 0, len(all))
	for _, c := range all[1:] {
		paths = append(paths, `"`+c.path+`"`)
	}
	fmt.Fprintf(&b, "    %s) path=\"$next\" ;;\n", strings.Join(paths, "|"))
	b.WriteString("    esac\n  done\n  case \"$path\" in\n")
	for _, c := range all {
		fmt.Fprintf(&b, "  %q) words=%q ;;\n", c.path, strings.Join(c.words, " "))
	}
	b.WriteString(`  esac
  COMPREPLY=($(compgen -W "$words" -- "${COMP_WORDS[COMP_CWORD]}"))
  [ "${#COMPREPLY[@]}" -gt 0 ] || COMPREPLY=($(compgen -f -- "${COMP_WORDS[COMP_CWORD]}"))
}
complete -o filenames -F _coffer coffer
`)
	return b.String()
}

// fishCompletion describes each command and its flags.
func fishCompletion(app *cli.App) string {
	var b strings.Builder
	quote := func(s string) string { return "'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(s) + "'" }
	for _, f := range app.Flags {
		left, right := describeFlag(f)
		name, _, _ := strings.Cut(left, " ")
		fmt.Fprintf(&b, "complete -c coffer -o %s -d %s\n", name[1:], quote(right))
	}
	var add func(condition string, commands []*cli.Command)
	add = func(condition string, commands []*cli.Command) {
		for _, c := range commands {
			fmt.Fprintf(&b, "complete -c coffer -f -n %s -a %s -d %s\n", quote(condition), c.Name, quote(c.Usage))
			seen := "__fish_seen_subcommand_from " + c.Name
			for _, f := range c.Flags {
				left, right := describeFlag(f)
				name, _, _ := strings.Cut(left, " ")
				fmt.Fprintf(&b, "complete -c coffer -n %s -o %s -d %s\n", quote(seen), name[1:], quote(right))
			}
			add(seen, c.Subcommands)
		}
	}
	add("__fish_use_subcommand", app.Commands)
	return b.String()
}
