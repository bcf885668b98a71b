package cli

import (
	"context"
	"fmt"
	"regexp"
	"runtime"
	"runtime/debug"
	"strings"

	"github.com/urfave/cli/v2"
)

// nextVersion is the release that this source becomes: a build that no release
// made counts as its forerunner.
const nextVersion = "0.1.0"

// linkedVersion and linkedCommit are written by the linker when a release is
// built (-X, see internal/tools/release), and by nothing else.
var (
	linkedVersion = ""
	linkedCommit  = ""
)

// version is what required_version in a coffer block is compared with, and
// revision the commit, with "+changes" where the tree had some; "" where
// neither the linker nor the Go tool knew.
var version, revision = builtFrom(linkedVersion, linkedCommit, debug.ReadBuildInfo)

// builtFrom names a build: by what the linker was told; else by the module
// version that go install or go build recorded; else as a forerunner of the
// next release.
func builtFrom(version, commit string, read func() (*debug.BuildInfo, bool)) (string, string) {
	info, ok := read()
	if !ok {
		info = &debug.BuildInfo{}
	}
	if commit == "" {
		commit = vcsRevision(info)
	}
	if version == "" {
		version = moduleVersion(info)
	}
	if version == "" {
		version = nextVersion + "-dev"
		if c, changed := strings.CutSuffix(commit, changesSuffix); c != "" {
			version += "+" + c[:min(len(c), shortCommit)]
			if changed {
				version += ".changes"
			}
		}
	}
	return version, commit
}

const (
	changesSuffix = "+changes"
	shortCommit   = 12 // as in the versions that the Go tool makes up
)

// moduleVersion returns the version of a tagged commit, or of one that follows
// a tag, without its "v". What the Go tool makes up where there is no tag says
// only 0.0.0, which no required_version fits: that is no version.
func moduleVersion(info *debug.BuildInfo) string {
	v, ok := strings.CutPrefix(info.Main.Version, "v")
	if !ok || strings.HasPrefix(v, "0.0.0-") {
		return ""
	}
	return v
}

// vcsRevision returns the commit that the Go tool recorded: of a checkout as
// it is, of a module that was fetched the end of its made-up version.
func vcsRevision(info *debug.BuildInfo) string {
	rev, changes := "", ""
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision":
			rev = s.Value
		case s.Key == "vcs.modified" && s.Value == "true":
			changes = changesSuffix
		}
	}
	if rev == "" && madeUp.MatchString(info.Main.Version) {
		rev = info.Main.Version[len(info.Main.Version)-shortCommit:]
	}
	if rev == "" {
		return ""
	}
	return rev + changes
}

// madeUp fits the versions that the Go tool gives to commits without a tag.
var madeUp = regexp.MustCompile(`[-.]\d{14}-[0-9a-f]{12}$`)

func versionCommand(inv *invocation) *cli.Command {
	return &cli.Command{
		Name:  "version",
		Usage: "print the version",
		UsageText: `coffer version
coffer version -json`,
		Action: func(c *cli.Context) error {
			if err := inv.noArguments(c); err != nil {
				return err
			}
			return runVersion(c.Context, inv)
		},
	}
}

func runVersion(_ context.Context, inv *invocation) error {
	v := struct {
		FormatVersion int    `json:"format_version"`
		Version       string `json:"version"`
		Revision      string `json:"revision,omitempty"`
		Go            string `json:"go"`
		Platform      string `json:"platform"`
	}{
		FormatVersion: 1, Version: version, Revision: revision,
		Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH,
	}
	if inv.json {
		return inv.printJSON(v)
	}
	fmt.Fprintf(inv.Out, "coffer %s\n", v.Version)
	if v.Revision != "" {
		fmt.Fprintf(inv.Out, "revision %s\n", v.Revision)
	}
	fmt.Fprintf(inv.Out, "%s %s\n", v.Go, v.Platform)
	return nil
}
