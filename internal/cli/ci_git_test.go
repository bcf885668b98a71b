package cli

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cofferhq/coffer/internal/forge"
)

// A pull request can commit a folder that git takes for a repository: nothing of
// its configuration is read, and no object of it stands for another.
func TestAFolderThatLooksLikeARepository(t *testing.T) {
	top := t.TempDir()
	t.Setenv("HOME", t.TempDir())
	t.Setenv("GIT_CONFIG_NOSYSTEM", "1")
	run := func(args ...string) {
		t.Helper()
		cmd := exec.Command("git", append([]string{"-c", "user.name=a", "-c", "user.email=a@example.com"}, args...)...)
		cmd.Dir = top
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("git %v: %v\n%s", args, err, out)
		}
	}
	write := func(name, text string, mode os.FileMode) {
		t.Helper()
		path := filepath.Join(top, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
	}
	run("init", "-q", "-b", "main")
	const prod = "deploy/prod/"
	write(prod+"x.sh", "#!/bin/sh\ntouch \"$(dirname \"$0\")/ran\"\n", 0o755)
	write(prod+"HEAD", "ref: refs/heads/main\n", 0o644)
	write(prod+"objects/info/.keep", "", 0o644)
	write(prod+"refs/heads/.keep", "", 0o644)
	write(prod+"config", "[core]\nrepositoryformatversion = 0\nbare = false\nworktree = .\nfsmonitor = ./x.sh\n"+
		"[remote \"origin\"]\nurl = ext::./x.sh\n[protocol \"ext\"]\nallow = always\n", 0o644)
	run("add", "-A")
	run("commit", "-q", "-m", "x")

	inv := &invocation{Environ: SystemEnviron(), globals: globals{chdir: filepath.Join(top, prod)}}
	inv.Streams = Streams{Out: os.Stdout, Err: os.Stderr}
	here, err := inv.repository(context.Background())
	if err != nil || here.top != resolved(top) || here.prefix != "deploy/prod" {
		t.Fatalf("the checkout is %q at %q: %v", here.prefix, here.top, err)
	}
	j := &ciJob{inv: inv, run: forge.Run{Kind: forge.Plain, Base: "1111111111111111111111111111111111111111"}}
	if _, err := j.checkout(context.Background()); err == nil {
		t.Error("a commit that is nowhere was found")
	}
	if _, err := os.Stat(filepath.Join(top, prod, "ran")); err == nil {
		t.Error("what a pull request brought was run")
	}
}

// Whoever opens a pull request chooses where it goes: only the repository's own
// branch, and those that the job names, have commits to trust.
func TestTrustedBranches(t *testing.T) {
	for _, c := range []struct {
		branch, own string
		named       []string
		trusted     bool
	}{
		{"main", "main", nil, true},
		{"evil", "main", nil, false},
		{"release", "main", []string{"release"}, true},
		{"Main", "main", nil, false},
		{"evil", "main", []string{"release"}, false},
		{"main", "", nil, true}, // the place does not tell
	} {
		err := (&ciJob{run: forge.Run{Branch: c.branch, Default: c.own}, bases: c.named}).trustsBranch()
		if (err == nil) != c.trusted || err != nil && !strings.Contains(err.Error(), "-base "+c.branch) {
			t.Errorf("%+v: %v", c, err)
		}
	}
}
