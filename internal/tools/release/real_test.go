//go:build release

package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	modzip "golang.org/x/mod/zip"

	gomodule "golang.org/x/mod/module"
)

// These tests build the real program; the others of this package a stand-in.

const repositoryRoot = "../../.."

// realTags are those of the Makefile.
const realTags = "urfave_cli_no_docs"

// TestRealRelease builds a release of this tree for one architecture of Linux.
func TestRealRelease(t *testing.T) {
	files := releaseOf(t, repositoryRoot, filepath.Join(t.TempDir(), "out"),
		"-version", "1.98.7", "-tags", realTags, "-platforms", "linux/"+runtime.GOARCH)
	at := func(rest string) []byte { return files["coffer_1.98.7_"+rest] }
	archive, _ := untar(t, gunzip(t, at("linux_"+runtime.GOARCH+".tar.gz")))
	for name, want := range map[string]string{
		"man/coffer-plan.1": `.SH "OPTIONS"`, "man/coffer-state-rm.1": `.TH "COFFER\-STATE\-RM"`, "man/coffer.1": `"coffer 1.98.7"`,
		"completions/coffer.bash": "complete -o filenames -F _coffer coffer", "completions/_coffer": "#compdef coffer",
		"completions/coffer.fish": "complete -c coffer", "README.md": "# Coffer", "LICENSE": "Apache License",
		"THIRD-PARTY.txt": "github.com/hashicorp/hcl/v2 v2",
	} {
		if !bytes.Contains(archive[name].data, []byte(want)) {
			t.Errorf("%s does not hold %q", name, want)
		}
	}
	_, _, installed := debOf(t, at("linux_"+runtime.GOARCH+".deb"))
	_, inRPM := rpmOf(t, at("linux_"+runtime.GOARCH+".rpm"))
	binary := checkImages(t, at("oci.tar"), "1.98.7")
	for place, have := range map[string][]byte{
		"archive": archive["coffer"].data, "deb": installed["./usr/bin/coffer"].data, "rpm": inRPM["/usr/bin/coffer"].data,
	} {
		if !bytes.Equal(have, binary) {
			t.Errorf("the program in the %s is not that of the image", place)
		}
	}
	if runtime.GOOS == "linux" {
		says := runBinary(t, binary, "version")
		if want := "coffer 1.98.7\nrevision " + testCommit + "\n"; !strings.HasPrefix(says, want) {
			t.Errorf("coffer version says %q, want %q", says, want)
		}
	}
	validSPDX(t, at("sbom.spdx.json"))
	if !bytes.Contains(at("sbom.spdx.json"), []byte(`"pkg:golang/github.com/hashicorp/hcl/v2@v2.`)) {
		t.Error("the SBOM does not name HCL")
	}
	for name, data := range files {
		t.Logf("%10d %s", len(data), name)
	}
}

// copyOfTree copies what git knows or would take, as it lies there.
func copyOfTree(t *testing.T) string {
	t.Helper()
	out, err := exec.Command("git", "--no-optional-locks", "-C", repositoryRoot, "ls-files", "-coz", "--exclude-standard").Output()
	if err != nil {
		t.Fatalf("git ls-files: %v", err)
	}
	dir := t.TempDir()
	for name := range strings.SplitSeq(strings.TrimSuffix(string(out), "\x00"), "\x00") {
		data, err := os.ReadFile(filepath.Join(repositoryRoot, name))
		if os.IsNotExist(err) {
			continue // removed, and not yet committed
		}
		if err != nil {
			t.Fatal(err)
		}
		to := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(to, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func goCommand(t *testing.T, dir string, env []string, args ...string) string {
	t.Helper()
	cmd := exec.Command("go", args...)
	cmd.Dir = dir
	cmd.Env = append(append(os.Environ(), "CGO_ENABLED=0", "GOWORK=off"), env...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("go %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(string(out))
}

func versionOf(t *testing.T, path string) string {
	t.Helper()
	out, err := exec.Command(path, "version").Output()
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

// A build of a tagged checkout knows its tag and its commit.
func TestRealGoBuild(t *testing.T) {
	repo := repository{t, copyOfTree(t)}
	repo.git("init", "-q")
	repo.git("add", ".")
	repo.commit("all")
	repo.git("tag", "v1.98.7")
	path := filepath.Join(t.TempDir(), "coffer")
	goCommand(t, repo.dir, nil, "build", "-trimpath", "-buildvcs=true", "-tags", realTags, "-o", path, ".")
	if says, want := versionOf(t, path), "coffer 1.98.7\nrevision "+repo.git("rev-parse", "HEAD")+"\n"; !strings.HasPrefix(says, want) {
		t.Errorf("coffer version says %q, want %q", says, want)
	}
}

// TestRealGoInstall installs Coffer as a user does, from a module proxy in a
// folder: go.mod has nothing that go install refuses, the module's files fit
// into a module, and the program knows its version.
func TestRealGoInstall(t *testing.T) {
	bin, cache, proxy := t.TempDir(), t.TempDir(), t.TempDir()
	serve(t, proxy, copyOfTree(t), gomodule.Version{Path: module, Version: "v1.98.7"})
	have := strings.Split(goCommand(t, ".", nil, "env", "GOMODCACHE", "GOPROXY"), "\n")
	env := []string{
		"GOBIN=" + bin, "GOMODCACHE=" + cache, "GOSUMDB=off", "GOFLAGS=-modcacherw -trimpath -tags=" + realTags,
		"GOPROXY=file://" + filepath.ToSlash(proxy) + ",file://" + filepath.ToSlash(filepath.Join(have[0], "cache", "download")) + "," + have[1],
	}
	goCommand(t, bin, env, "install", module+"@v1.98.7")
	if says := versionOf(t, filepath.Join(bin, "coffer")); !strings.HasPrefix(says, "coffer 1.98.7\n") {
		t.Errorf("coffer version says %q", says)
	}
}

// serve lays out one version of a module as a module proxy has it.
func serve(t *testing.T, proxy, tree string, m gomodule.Version) {
	t.Helper()
	escaped, err := gomodule.EscapePath(m.Path)
	if err != nil {
		t.Fatal(err)
	}
	goMod, err := os.ReadFile(filepath.Join(tree, "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	var zipped bytes.Buffer
	if err := modzip.CreateFromDir(&zipped, m, tree); err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(proxy, filepath.FromSlash(escaped), "@v")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string][]byte{
		"list": []byte(m.Version + "\n"), m.Version + ".mod": goMod, m.Version + ".zip": zipped.Bytes(),
		m.Version + ".info": fmt.Appendf(nil, `{"Version":%q,"Time":"2026-01-02T03:04:05Z"}`, m.Version),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("the module is %d bytes", zipped.Len())
}

// The tags here and in the Makefile are the same.
func TestRealTags(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(repositoryRoot, "Makefile"))
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Contains(strings.Split(string(text), "\n"), "TAGS  := "+realTags) {
		t.Errorf("the Makefile does not set TAGS to %s", realTags)
	}
}
