// Release builds what a release of Coffer consists of, into one folder: an
// archive for each platform, Debian and RPM packages, an image for containers,
// a list of what is inside (SBOM) and the checksums of them all. `make release`
// runs it; docs/releases.md says what the files are.
//
// Two runs for one commit, with one version of Go, give the same bytes wherever
// they run: nothing here looks at the clock, a host name, a user or a path. It
// publishes and signs nothing, and knows no place to do so.
//
// Read [release.build] first.
package main

import (
	"flag"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
)

func main() {
	if err := run(os.Args[1:], os.Stdout, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "release:", err)
		os.Exit(1)
	}
}

// run reads the command line, builds, and prints the checksums.
func run(args []string, out, progress io.Writer) error {
	r := release{progress: progress, host: platform{runtime.GOOS, runtime.GOARCH}}
	var given source
	var when, platforms string
	f := flag.NewFlagSet("release", flag.ContinueOnError)
	f.SetOutput(progress)
	f.StringVar(&r.root, "root", ".", "the source, a checkout or an unpacked archive of one")
	f.StringVar(&r.out, "out", "build/release", "the folder for the result; what is in it is replaced")
	f.StringVar(&r.goTool, "go", "go", "the go command")
	f.StringVar(&r.tags, "tags", "", "build tags")
	f.StringVar(&platforms, "platforms", allPlatforms, "what to build for")
	f.StringVar(&given.version, "version", "", "the version, instead of what git describes")
	f.StringVar(&given.commit, "commit", "", "the commit, instead of git's")
	f.StringVar(&when, "epoch", "", "the time of every file in seconds since 1970, instead of the commit's")
	if err := f.Parse(args); err != nil {
		return err
	}
	if f.NArg() > 0 {
		return fmt.Errorf("%q is no flag", f.Arg(0))
	}
	var err error
	if r.platforms, err = parsePlatforms(platforms); err != nil {
		return err
	}
	if r.source, err = describe(r.root, given, when); err != nil {
		return err
	}
	sums, err := r.build()
	if err != nil {
		return err
	}
	_, err = io.WriteString(out, sums)
	return err
}

// allPlatforms is what a release is built for.
const allPlatforms = "linux/amd64,linux/arm64,darwin/amd64,darwin/arm64"

type platform struct{ os, arch string }

func (p platform) String() string { return p.os + "_" + p.arch }

func parsePlatforms(s string) ([]platform, error) {
	var all []platform
	for one := range strings.SplitSeq(s, ",") {
		if !strings.Contains(","+allPlatforms+",", ","+one+",") {
			return nil, fmt.Errorf("no release is built for %q; there is %s", one, allPlatforms)
		}
		goos, arch, _ := strings.Cut(one, "/")
		all = append(all, platform{goos, arch})
	}
	return all, nil
}
