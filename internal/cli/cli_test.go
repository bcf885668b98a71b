package cli

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/cofferhq/coffer/state"
)

// TestMain makes the program itself a command of the scripts.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"coffer": func() {
			env := SystemEnviron()
			if env.Getenv(cloudVariable) != "" {
				env.Seams.Registry = cloudRegistry()
			}
			os.Exit(Main(context.Background(), os.Args, SystemStreams(), env))
		},
	})
}

// TestScripts runs every script: one for each command, and one for each error
// that a person meets. They are the documentation of what the program does.
func TestScripts(t *testing.T) {
	runScripts(t, "testdata/script", nil)
}

// runScripts runs the scripts of a folder; more, where there is any, has the
// last word on the environment of each, and commands are those of the folder
// alone.
func runScripts(t *testing.T, dir string, more func(*testscript.Env) error, commands ...scriptCommands) {
	cmds := scriptCommands{"document": document, "exits": exits, "lock": lock, "hand": byHand}
	for _, of := range commands {
		maps.Copy(cmds, of)
	}
	testscript.Run(t, testscript.Params{
		Dir:                 dir,
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Condition:           condition,
		Cmds:                cmds,
		Setup: func(env *testscript.Env) error {
			env.Setenv("HOME", env.WorkDir+"/home")
			env.Setenv("XDG_CONFIG_HOME", env.WorkDir+"/home/.config")
			env.Setenv("USER", "alice")
			for name, dir := range map[string]string{"EXAMPLES": "../../examples", "DOCS": "../../docs"} {
				abs, err := filepath.Abs(dir)
				if err != nil {
					return err
				}
				env.Setenv(name, abs)
			}
			if err := os.MkdirAll(env.WorkDir+"/home", 0o700); err != nil || more == nil {
				return err
			}
			return more(env)
		},
	})
}

// scriptCommands are what a script can do beside running programs.
type scriptCommands = map[string]func(*testscript.TestScript, bool, []string)

// condition knows [root]: for it no folder is read-only.
func condition(name string) (bool, error) {
	if name == "root" {
		return os.Geteuid() == 0, nil
	}
	return false, fmt.Errorf("unknown condition %q", name)
}

// exits runs a command that must end with an exit code: exits 2 coffer drift
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE COMMAND [ARGS…]")
	}
	got := "0"
	if err := ts.Exec(args[1], args[2:]...); err != nil {
		var failed *exec.ExitError
		if !errors.As(err, &failed) {
			ts.Fatalf("%v", err)
		}
		got = strconv.Itoa(failed.ExitCode())
	}
	if got != args[0] {
		ts.Fatalf("%s ended with exit code %s, not %s", args[1], got, args[0])
	}
}

// lock holds the state lock of FILE until the script ends: lock FILE
func lock(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: lock FILE")
	}
	store := state.OpenFile(ts.MkAbs(args[0]), state.FileOptions{})
	who := state.LockInfo{ID: "42-c0ffee", Operation: "apply", Who: "bob@build", PID: 42, Since: time.Unix(1_700_000_000, 0)}
	session, err := store.Lock(context.Background(), who)
	ts.Check(err)
	ts.Defer(func() { _ = session.Unlock(context.Background()) }) // may have been broken
}

// document holds the stdout of the last command to be exactly one JSON
// document, valid against docs/schema/NAME.schema.json: document [NAME]
func document(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) > 1 {
		ts.Fatalf("usage: document [SCHEMA]")
	}
	in := strings.NewReader(ts.ReadFile("stdout"))
	doc, err := jsonschema.UnmarshalJSON(in) // refuses anything after the document
	ts.Check(err)
	if len(args) == 1 {
		schema, err := jsonschema.NewCompiler().Compile("../../docs/schema/" + args[0] + ".schema.json")
		ts.Check(err)
		ts.Check(schema.Validate(doc))
	}
}
