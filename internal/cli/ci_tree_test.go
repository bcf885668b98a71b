package cli

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// What git would filter is committed byte for byte all the same, modes are kept,
// what is gone leaves, and a name can be odd. No link is taken.
func TestCICommitHoldsTheFilesThemselves(t *testing.T) {
	top := t.TempDir()
	t.Setenv("HOME", t.TempDir())
	t.Setenv("GIT_CONFIG_NOSYSTEM", "1")
	run := func(args ...string) string {
		t.Helper()
		cmd := exec.Command("git", append([]string{"-C", top, "-c", "user.name=a", "-c", "user.email=a@example.com"}, args...)...)
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("git %v: %v\n%s", args, err, out)
		}
		return string(out)
	}
	write := func(name, text string, mode os.FileMode) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(top, name), []byte(text), mode); err != nil {
			t.Fatal(err)
		}
	}
	run("init", "-q", "-b", "main")
	write("run", "old", 0o755)
	write("gone", "old", 0o644)
	run("add", "-A")
	run("commit", "-q", "-m", "x")
	run("config", "filter.lfs.clean", "cat >/dev/null; echo pointer")
	run("config", "filter.lfs.required", "true")
	write(".git/info/attributes", "* filter=lfs text eol=crlf\n", 0o644)
	write("run", "new\r\n", 0o755)
	odd := "\"a\\\n\r"
	write(odd, "odd\r\n", 0o644)
	if err := os.Remove(filepath.Join(top, "gone")); err != nil {
		t.Fatal(err)
	}

	inv := &invocation{Environ: SystemEnviron(), globals: globals{chdir: top}}
	k := &keeper{checkout: checkout{git: inv.git(top), top: top}, paths: []string{"."}}
	parent := strings.TrimSpace(run("rev-parse", "HEAD"))
	ctx := context.Background()
	id, entries, err := k.writeCommit(ctx, t.TempDir(), parent, "y", []string{"run", "gone", odd})
	if err != nil {
		t.Fatal(err)
	}
	if got := run("cat-file", "blob", id+":run") + run("cat-file", "blob", id+":"+odd); got != "new\r\nodd\r\n" {
		t.Errorf("committed is %q", got)
	}
	tree := run("ls-tree", "-z", id)
	if strings.Count(tree, "\x00") != 2 || !strings.Contains(tree, "\t"+odd+"\x00") || !strings.Contains(tree, "100755 blob") {
		t.Errorf("the tree is %q", tree)
	}
	if at := strings.TrimSpace(run("rev-parse", "HEAD")); at != parent {
		t.Errorf("the checkout has moved to %s", at)
	}
	k.parent, k.made, k.entriesMade = parent, id, entries
	if err := k.advance(ctx); err != nil || strings.TrimSpace(run("rev-parse", "HEAD")) != id || run("diff", "--cached", "--name-only") != "" {
		t.Errorf("the checkout did not follow: %v", err)
	}
	if again, _, err := k.writeCommit(ctx, t.TempDir(), id, "z", []string{"run"}); err != nil || again != "" {
		t.Errorf("a commit of nothing is %q: %v", again, err)
	}
	if err := os.Symlink("run", filepath.Join(top, "link")); err != nil {
		t.Fatal(err)
	}
	if _, _, err := k.writeCommit(ctx, t.TempDir(), id, "z", []string{"link"}); err == nil {
		t.Error("a link was committed")
	}
}
