//go:build unix

package crashtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/cofferhq/coffer/internal/cli"
	"github.com/cofferhq/coffer/providers"
	"github.com/cofferhq/coffer/providers/sops"
	"github.com/cofferhq/coffer/providers/vault"
)

// childVariable makes this binary the program: its value is the number of the
// point at which to die, 0 for none, or the name of one.
const childVariable = "COFFER_CRASH_CHILD"

func TestMain(m *testing.M) {
	if text, isChild := os.LookupEnv(childVariable); isChild {
		at, err := strconv.Atoi(text)
		if err != nil {
			os.Exit(child(&countdown{at: -1, name: text}))
		}
		os.Exit(child(&countdown{at: at}))
	}
	os.Exit(m.Run())
}

func child(c *countdown) int {
	env := cli.SystemEnviron()
	env.Seams = cli.Seams{At: c.point, Registry: providers.NewRegistry(
		stopping(sops.FactoryWith(sops.Options{At: c.sopsPoint}), c), stopping(vault.Factory(), c),
	)}
	code := cli.Main(context.Background(), append([]string{"coffer"}, os.Args[1:]...), cli.SystemStreams(), env)
	fmt.Fprintf(os.Stderr, "%s%d\n", passedMark, c.n)
	return code
}

// What a child says of its points on stderr.
const (
	pointMark  = "crashtest: point "
	passedMark = "crashtest: passed "
)

// countdown counts points and kills the process at one of them.
type countdown struct {
	mu   sync.Mutex
	n    int
	at   int
	name string
}

func (c *countdown) point(name string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.n++
	here := c.n == c.at || name == c.name
	if c.at == 0 || here {
		fmt.Fprintf(os.Stderr, "%s%s\n", pointMark, name)
	}
	if here {
		if err := syscall.Kill(os.Getpid(), syscall.SIGKILL); err != nil {
			panic(err)
		}
		select {}
	}
	return nil
}

func (c *countdown) sopsPoint(name string) error { return c.point("sops." + name) }

// around is a call between its two points.
func (c *countdown) around(call string, do func()) {
	_ = c.point("before " + call) // a point fails nothing, it ends the process
	do()
	_ = c.point("after " + call)
}

// ran is how a process ended.
type ran struct {
	killed bool
	at     string   // the point at which it was killed
	points []string // all points of a run that was not to be killed
	passed int      // points that a process which was not killed went by
	code   int
	out    string
	stderr string
}

// start runs the program as a process of its own that dies at a point.
func (f *folder) start(t *testing.T, at string, command []string) ran {
	t.Helper()
	cmd := exec.Command(os.Args[0], f.line(command)...)
	cmd.Env = append(f.environ(), childVariable+"="+at, "GOGC=off")
	cmd.Stdin = strings.NewReader(f.stdin)
	var out, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &stderr
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	status, ok := cmd.ProcessState.Sys().(syscall.WaitStatus)
	if !ok {
		t.Fatal("no wait status on this system")
	}
	r := ran{killed: status.Signaled() && status.Signal() == syscall.SIGKILL, code: status.ExitStatus(), out: out.String()}
	var rest []string
	for line := range strings.Lines(stderr.String()) {
		line = strings.TrimSuffix(line, "\n")
		switch {
		case strings.HasPrefix(line, pointMark):
			r.at = strings.TrimPrefix(line, pointMark)
			r.points = append(r.points, r.at)
		case strings.HasPrefix(line, passedMark):
			r.passed, _ = strconv.Atoi(strings.TrimPrefix(line, passedMark))
		default:
			rest = append(rest, line)
		}
	}
	r.stderr = strings.Join(rest, "\n")
	return r
}
