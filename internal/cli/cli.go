// Package cli is the command line: it turns arguments into options, runs one
// command and turns what happened into output and an exit code. Each command
// is one file with an options struct, a constructor and a run function.
//
// It is the only package that knows the process around it (arguments, streams,
// environment, clock), and the only one that knows urfave/cli. What a plan is
// or how one is drawn it leaves to planner and internal/render.
//
// Read [Main] first, then one command, such as validate.go. The list of
// providers is in providers.go, exit codes are in exit.go.
package cli

import (
	"context"
	"crypto/rand"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/hashicorp/hcl/v2"
	"github.com/urfave/cli/v2"

	"github.com/cofferhq/coffer/providers"
)

// Streams are the standard streams of one run.
type Streams struct {
	In  io.Reader
	Out io.Writer // the result and nothing else
	Err io.Writer // progress, prompts, warnings, errors
}

// SystemStreams returns the streams of the process.
func SystemStreams() Streams { return Streams{In: os.Stdin, Out: os.Stdout, Err: os.Stderr} }

// Environ is what a run knows of the machine beside its streams and files.
type Environ struct {
	Vars   map[string]string // the process environment
	Now    func() time.Time
	Random io.Reader
	Seams  Seams
}

// SystemEnviron returns the environment, clock and randomness of the process.
func SystemEnviron() Environ {
	vars := map[string]string{}
	for _, kv := range os.Environ() {
		if name, value, ok := strings.Cut(kv, "="); ok {
			vars[name] = value
		}
	}
	return Environ{Vars: vars, Now: time.Now, Random: rand.Reader}
}

// Getenv returns a variable, "" where it is not set.
func (e Environ) Getenv(name string) string { return e.Vars[name] }

// globals are the flags that every command takes.
type globals struct {
	chdir       string
	json        bool
	noColor     bool
	vars        []string
	varFiles    []string
	state       string
	parallelism int
	lockTimeout time.Duration
}

// invocation is one run of the program: what every command is given.
type invocation struct {
	Streams
	Environ
	globals
	pinned
	command   string // its words, "state rm"
	project   string // of the configuration, once that was read
	wroteJSON bool
	moved     bool                  // a state that was migrated away is opened all the same
	began     bool                  // something may have been changed by now
	opened    []*providers.Provider // to be closed at the end
	kept      *closers              // and stores of state
	locks     *providers.Locks
	warnings  hcl.Diagnostics // for the document of -json
	noted     hcl.Diagnostics // all warnings, for the formats
}

// closers are shared by copies of an invocation.
type closers struct{ all []io.Closer }

// path returns a path from the command line as seen from -chdir.
func (inv *invocation) path(p string) string {
	if p == "" || filepath.IsAbs(p) || inv.chdir == "" {
		return p
	}
	return filepath.Join(inv.chdir, p)
}

// dir returns the configuration directory.
func (inv *invocation) dir() string {
	if inv.chdir == "" {
		return "."
	}
	return inv.chdir
}

// Main runs one command line (args[0] is the program's name) and returns the
// exit code. It never exits the process, and reads nothing but what it is
// given and files.
func Main(ctx context.Context, args []string, streams Streams, env Environ) int {
	disableCoreDumps()
	inv := &invocation{Streams: streams, Environ: env, locks: &providers.Locks{}, kept: &closers{}}
	err := inv.run(ctx, args[1:])
	inv.signOut(ctx)
	return inv.finish(ctx, err)
}

// signOutPatience bounds how long a run takes to give back what it was given.
const signOutPatience = 5 * time.Second

// signOut gives back what the providers obtained for this run, also after an
// interrupt. What cannot be given back ends by itself.
func (inv *invocation) signOut(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), signOutPatience)
	defer cancel()
	for _, p := range inv.opened {
		_ = p.Close(ctx) // it logs what went wrong
	}
	for _, c := range inv.kept.all {
		_ = c.Close() // what it held was given back before
	}
}

func (inv *invocation) run(ctx context.Context, args []string) error {
	app := newApp(inv)
	line, err := parseLine(app, args)
	inv.json, inv.command = line.json, line.path()
	switch {
	case err != nil:
		return err
	case line.help || len(line.commands) == 0:
		return showHelp(inv, app, line)
	case len(line.command().Subcommands) > 0:
		return usagef("coffer %s needs one of: %s", line.path(), names(line.command().Subcommands))
	}
	return app.RunContext(ctx, append([]string{app.Name}, line.argv()...))
}

// newApp returns the command tree.
func newApp(inv *invocation) *cli.App {
	refuse := func(_ *cli.Context, err error, _ bool) error { return usageError{err} }
	app := &cli.App{
		Name:                      "coffer",
		Usage:                     "a declarative reconciler for secrets",
		Flags:                     globalFlags(&inv.globals),
		Commands:                  commands(inv),
		HideHelp:                  true,
		HideVersion:               true,
		DisableSliceFlagSeparator: true,
		Writer:                    inv.Err,
		ErrWriter:                 inv.Err,
		OnUsageError:              refuse,
		// Without a handler of our own urfave/cli calls os.Exit.
		ExitErrHandler: func(*cli.Context, error) {},
		Before:         inv.collectLists,
	}
	walk(app.Commands, func(c *cli.Command) {
		c.HideHelp = true
		c.OnUsageError = refuse
	})
	return app
}

// commands lists every command, in the order of the help.
func commands(inv *invocation) []*cli.Command {
	return []*cli.Command{
		initCommand(inv),
		validateCommand(inv),
		fmtCommand(inv),
		planCommand(inv),
		applyCommand(inv),
		driftCommand(inv),
		showCommand(inv),
		stateCommand(inv),
		importCommand(inv),
		discoverCommand(inv),
		acceptCommand(inv),
		restoreCommand(inv),
		rotateCommand(inv),
		secretCommand(inv),
		purgeCommand(inv),
		permissionsCommand(inv),
		rotationCommand(inv),
		doctorCommand(inv),
		graphCommand(inv),
		auditCommand(inv),
		ciCommand(inv),
		versionCommand(inv),
		completionCommand(inv),
		helpCommand(inv),
	}
}

func globalFlags(g *globals) []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "chdir", Usage: "run as if started in `DIR`", Destination: &g.chdir},
		&cli.BoolFlag{Name: "json", Usage: "print one JSON document on stdout", Destination: &g.json},
		&cli.BoolFlag{Name: "no-color", Usage: "never colour (NO_COLOR does the same)", Destination: &g.noColor},
		&cli.StringSliceFlag{Name: "var", Usage: "set a variable, `NAME=VALUE`; may be repeated"},
		&cli.StringSliceFlag{Name: "var-file", Usage: "read variables from `FILE`; may be repeated"},
		&cli.StringFlag{Name: "state", Usage: "use the state in `FILE` (or COFFER_STATE)", Destination: &g.state},
		&cli.IntFlag{Name: "parallelism", Usage: "at most `N` calls to a provider at once", Destination: &g.parallelism},
		&cli.DurationFlag{
			Name: "lock-timeout", Usage: "wait up to `TIME` for the state lock",
			Value: 30 * time.Second, Destination: &g.lockTimeout,
		},
	}
}

func (inv *invocation) collectLists(c *cli.Context) error {
	switch {
	case c.IsSet("parallelism") && inv.parallelism < 1:
		return usagef("-parallelism is 1 or more, not %d", inv.parallelism)
	case inv.lockTimeout < 0:
		return usagef("-lock-timeout cannot be negative")
	}
	inv.vars = c.StringSlice("var")
	inv.varFiles = c.StringSlice("var-file")
	if inv.state == "" {
		inv.state = inv.Getenv(stateVariable)
	}
	return nil
}

// walk calls f for every command and subcommand.
func walk(commands []*cli.Command, f func(*cli.Command)) {
	for _, c := range commands {
		f(c)
		walk(c.Subcommands, f)
	}
}
