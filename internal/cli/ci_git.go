package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/cofferhq/coffer/internal/render"
)

// git runs the git of this machine in one checkout. It signs in as the checkout
// says: no credential of ours goes there, neither as an argument nor as a
// variable.
//
// The repository is always named: git would take a folder that looks like one
// for it, and a pull request can bring such a folder, with a configuration that
// runs commands. Nothing of git's own runs anything here, and no object stands
// for another.
type git struct {
	dir string // that has the .git
	env []string
}

func (inv *invocation) git(dir string) git { return git{dir: dir, env: gitEnviron(inv.Environ.Vars)} }

// named returns the options before every command.
func (g git) named() []string {
	return []string{
		"--git-dir=" + filepath.Join(g.dir, ".git"), "--work-tree=" + g.dir, "--no-replace-objects",
		"-c", "safe.bareRepository=explicit", "-c", "protocol.ext.allow=never", "-c", "core.fsmonitor=false", "-c", "core.hooksPath=" + os.DevNull,
	}
}

// gitEnviron returns what git is given of the environment: where it finds itself,
// its configuration and what signs it in, and how it gets out. What it says has
// to be in English, and it has nobody to ask.
func gitEnviron(vars map[string]string) []string {
	env := []string{"LC_ALL=C", "GIT_TERMINAL_PROMPT=0"}
	for name, value := range vars {
		if givenToGit(name) {
			env = append(env, name+"="+value)
		}
	}
	slices.Sort(env)
	return env
}

func givenToGit(name string) bool {
	switch name {
	case "PATH", "HOME", "XDG_CONFIG_HOME", "TMPDIR", "SSH_AUTH_SOCK":
		return true
	case "GIT_TERMINAL_PROMPT", "GIT_TOKEN", "GIT_PASSWORD":
		return false
	case "GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY", "GIT_ALTERNATE_OBJECT_DIRECTORIES", "GIT_COMMON_DIR", "GIT_NAMESPACE":
		return false // they would name another repository
	}
	if strings.HasPrefix(name, "GIT_TRACE") { // it would show what signs in
		return false
	}
	proxy := strings.ToLower(name)
	return strings.HasPrefix(name, "GIT_") || slices.Contains([]string{"http_proxy", "https_proxy", "all_proxy", "no_proxy"}, proxy)
}

// gitError is a git that did not do what it was asked.
type gitError struct {
	command string // "fetch"
	code    int    // -1 where it did not run
	said    string
}

func (e *gitError) Error() string {
	if e.said == "" {
		return fmt.Sprintf("git %s ended with exit code %d", e.command, e.code)
	}
	return "git " + e.command + ": " + e.said
}

// maxGitOutput bounds what is kept of an answer of git.
const maxGitOutput = 64 << 20

// run returns what git prints. Errors are [*gitError], or that of ctx.
func (g git) run(ctx context.Context, args ...string) ([]byte, error) {
	var out bytes.Buffer
	err := g.stream(ctx, nil, &limitedBuffer{&out, maxGitOutput}, args...)
	return out.Bytes(), err
}

// line is run for an answer of one line.
func (g git) line(ctx context.Context, args ...string) (string, error) {
	out, err := g.run(ctx, args...)
	return strings.TrimRight(string(out), "\r\n"), err
}

func (g git) stream(ctx context.Context, in io.Reader, out io.Writer, args ...string) error {
	cmd := exec.CommandContext(ctx, "git", append(g.named(), args...)...)
	cmd.Dir, cmd.Env, cmd.Stdin, cmd.Stdout = g.dir, g.env, in, out
	var said bytes.Buffer
	cmd.Stderr = &limitedBuffer{&said, 64 << 10}
	err := cmd.Run()
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	failed := &gitError{command: gitCommand(args), code: -1, said: gitSaid(said.String())}
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit):
		failed.code = exit.ExitCode()
	case errors.Is(err, exec.ErrNotFound):
		failed.said = "there is no git on this machine: install it"
	case failed.said == "":
		failed.said = err.Error()
	}
	return failed
}

// gitCommand finds the command behind the options that stand before it.
func gitCommand(args []string) string {
	for i := 0; i < len(args); i++ {
		switch {
		case args[i] == "-c":
			i++
		case !strings.HasPrefix(args[i], "-"):
			return args[i]
		}
	}
	return "git"
}

// userInfo is what may stand before the host of an address: a name, or a token.
var userInfo = regexp.MustCompile(`(://)[^/@\s'"]+@`)

// gitSaid makes what git said one line without credentials: git leaves them out
// of most of what it prints, but not all of it is git's.
func gitSaid(text string) string {
	var lines []string
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(strings.TrimPrefix(strings.TrimSpace(line), "fatal: "))
		if line != "" && !saysNothing(line) {
			lines = append(lines, line)
		}
	}
	const most = 6
	if len(lines) > most {
		lines = lines[len(lines)-most:]
	}
	return render.Sanitize(userInfo.ReplaceAllString(strings.Join(lines, "; "), "${1}(hidden)@"))
}

// saysNothing reports whether a line of git repeats what is known: to which
// address it spoke, that it failed, and advice for a person at a keyboard.
func saysNothing(line string) bool {
	return slices.ContainsFunc([]string{"hint: ", "To ", "error: failed to push some refs"}, func(p string) bool { return strings.HasPrefix(line, p) })
}

// limitedBuffer keeps the beginning of what is written.
type limitedBuffer struct {
	to   *bytes.Buffer
	left int
}

func (b *limitedBuffer) Write(p []byte) (int, error) {
	n := min(len(p), b.left)
	b.to.Write(p[:n])
	b.left -= n
	return len(p), nil
}
