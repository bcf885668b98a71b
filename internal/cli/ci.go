package cli

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/cofferhq/coffer/internal/forge"
	"github.com/cofferhq/coffer/internal/render"
)

func ciCommand(inv *invocation) *cli.Command {
	return &cli.Command{
		Name:  "ci",
		Usage: "the jobs of a forge: plan a pull request, apply, drift",
		Description: `For GitHub Actions, GitLab CI and any other runner: each job finds out where it
runs, writes what that place shows, and keeps one comment or one issue up to
date. docs/ci/ has workflows to copy.`,
		UsageText: `coffer ci plan
coffer ci apply -plan-digest sha256:…
coffer ci drift`,
		Subcommands: []*cli.Command{ciPlanCommand(inv), ciApplyCommand(inv), ciDriftCommand(inv)},
	}
}

// requestPatience bounds one request to a forge.
const requestPatience = time.Minute

// ciJob is one job at the place where it runs: what it found out about the run,
// and what it wrote and posted so far.
type ciJob struct {
	inv   *invocation
	name  string // plan, apply or drift
	run   forge.Run
	forge forge.Forge // nil where nothing is posted
	mute  string      // why nothing is posted, for people
	dir   string      // where the files go, seen from -chdir
	base  string      // copy of the base commit, "" where git was not asked for one
	bases []string    // branches that are trusted besides the repository's own

	formats  formats
	standard bool     // they are those of the place
	project  string   // "" while no configuration that can be trusted was read
	found    int      // ExitChanges where there are changes or drift
	failed   error    // of what was posted
	outputs  []output // of the step
	doc      ciDocument
}

// ciOptions are the flags that the jobs share.
type ciOptions struct {
	dir    string
	post   bool // -comment, or -issue of drift
	format formats
}

// flags returns them; name is what is posted, "comment" or "issue".
func (o *ciOptions) flags(dir, name, posts string) []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "dir", Usage: "write the files into `DIR`", Value: dir, Destination: &o.dir},
		&cli.BoolFlag{Name: name, Usage: posts + "; -" + name + "=false for none", Value: true, Destination: &o.post},
	}
}

// beginCI finds out where the job runs and whether it may post there.
func (inv *invocation) beginCI(name string, o *ciOptions) (*ciJob, error) {
	if strings.ContainsAny(o.dir, "\r\n") {
		return nil, usagef("-dir takes a name without a line break")
	}
	run, err := forge.Detect(inv.Getenv, os.ReadFile)
	if err != nil {
		return nil, err
	}
	j := &ciJob{inv: inv, name: name, run: run, dir: o.dir, formats: o.format}
	j.doc = ciDocument{Job: name, Place: string(run.Kind), Change: run.Change, Files: map[string]string{}}
	token := forge.TokenFrom(run, inv.Getenv)
	switch {
	case !o.post:
	case run.Kind == forge.Plain:
		j.mute = "this is neither a job of GitHub Actions nor of GitLab CI"
	case run.Fork:
		j.mute = "the pull request comes from a fork, whose jobs get no token that may write"
	case token.IsZero():
		j.mute = "there is no token: " + tokenAdvice(run.Kind)
	default:
		j.forge, err = forge.New(run, token, &http.Client{Timeout: requestPatience}, inv.Now, inv.waiting())
	}
	// From here on it is the same as the command of that name, also in what is
	// warned of.
	inv.command = name
	j.formats.command = name
	return j, err
}

func tokenAdvice(place forge.Kind) string {
	if place == forge.GitLab {
		return "set COFFER_GITLAB_TOKEN to an access token of the project with the scope api (CI_JOB_TOKEN may not write comments)"
	}
	return "set GITHUB_TOKEN to ${{ github.token }} in the env of the step"
}

// makeDir makes the folder of the job. A link on the way would lead elsewhere, and
// a pull request can bring one.
func (j *ciJob) makeDir() error {
	path := j.inv.path(j.dir)
	for _, top := range []string{j.inv.Getenv("GITHUB_WORKSPACE"), j.inv.Getenv("CI_PROJECT_DIR"), j.inv.dir()} {
		if link := linkBelow(path, top); top != "" && link != "" {
			return fmt.Errorf("%s is a link, and files are not written through one: remove it, or name another folder with -dir", link)
		}
	}
	return os.MkdirAll(path, 0o755)
}

// notice tells a person what a job does not do. It is no finding of the plan.
func (j *ciJob) notice(text string) {
	j.inv.say("%s", text)
	if j.run.Kind == forge.GitHub && !j.inv.json {
		fmt.Fprintf(j.inv.Out, "::notice title=Coffer::%s\n", strings.ReplaceAll(render.Sanitize(text), "%", "%25"))
	}
}

// muted tells why nothing is posted where something would have been.
func (j *ciJob) muted(what string) {
	if j.mute != "" {
		j.notice(fmt.Sprintf("No %s: %s. All of it is in %s.", what, j.mute, j.places()))
	}
}

func (j *ciJob) places() string {
	if j.run.Summary != "" {
		return "the summary of the job and in " + j.dir
	}
	return j.dir
}

// patiently returns a context for what has to be said or kept also after an
// interruption.
func patiently(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), 2*requestPatience)
}
