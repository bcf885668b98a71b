package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// repository is a checkout of its own; no configuration of the machine counts.
type repository struct {
	t   *testing.T
	dir string
}

func newRepository(t *testing.T) repository {
	t.Helper()
	r := repository{t, t.TempDir()}
	r.git("init", "-q")
	r.commit("one")
	return r
}

func (r repository) git(args ...string) string {
	r.t.Helper()
	cmd := exec.Command("git", append([]string{"-C", r.dir, "-c", "user.name=a", "-c", "user.email=a@example.com", "-c", "tag.gpgsign=false"}, args...)...)
	cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_SYSTEM=/dev/null",
		"GIT_AUTHOR_DATE=1700000000 +0200", "GIT_COMMITTER_DATE=1700000000 +0200")
	out, err := cmd.CombinedOutput()
	if err != nil {
		r.t.Fatalf("git %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(string(out))
}

func (r repository) commit(message string) {
	r.t.Helper()
	r.git("commit", "-q", "--no-gpg-sign", "--allow-empty", "-m", message)
}

func (r repository) write(name string) {
	r.t.Helper()
	if err := os.WriteFile(filepath.Join(r.dir, name), []byte("x"), 0o600); err != nil {
		r.t.Fatal(err)
	}
}

func TestDescribe(t *testing.T) {
	r := newRepository(t)
	head := r.git("rev-parse", "HEAD")
	check := func(what, version, commit string) {
		t.Helper()
		s, err := describe(r.dir, source{}, "")
		if err != nil || s.version != version || s.commit != commit || s.time.Unix() != 1700000000 || s.time.Location() != time.UTC {
			t.Errorf("%s: %q of %s at %s, %v; want %q of %s", what, s.version, s.commit, s.time, err, version, commit)
		}
	}
	check("no tag", "", head)
	r.git("tag", "latest")
	check("a tag that is no version", "", head)
	r.git("tag", "v0.2.0")
	check("a tag", "0.2.0", head)
	r.write("new.go")
	check("a tag and a file that is in nobody's history", "0.2.1-dev.0+"+head[:12]+".changes", head+"+changes")
	if err := os.Remove(filepath.Join(r.dir, "new.go")); err != nil {
		t.Fatal(err)
	}
	r.commit("two")
	r.commit("three")
	head = r.git("rev-parse", "HEAD")
	check("after a tag", "0.2.1-dev.2+"+head[:12], head)
	r.git("tag", "-m", "a release", "v0.3.0-rc.1")
	check("an annotated tag of a candidate", "0.3.0-rc.1", head)
	r.commit("four")
	head = r.git("rev-parse", "HEAD")
	check("after a candidate", "0.3.0-rc.1.dev.1+"+head[:12], head)

	given := source{version: "v9.8.7", commit: "abc"}
	if s, err := describe(r.dir, given, "1234567890"); err != nil || s.version != "9.8.7" || s.commit != "abc" || s.time.Unix() != 1234567890 {
		t.Errorf("what is given wins: %+v, %v", s, err)
	}
	if s, err := describe(t.TempDir(), given, "1234567890"); err != nil || s.version != "9.8.7" {
		t.Errorf("a folder that is no checkout, with all given: %+v, %v", s, err)
	}
	r.git("tag", "v1")
	below := filepath.Join(r.dir, "unpacked")
	if err := os.Mkdir(below, 0o700); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		root, epoch, want string
		given             source
	}{
		"no checkout":          {root: t.TempDir(), want: "give VERSION, COMMIT and SOURCE_DATE_EPOCH"},
		"inside another's":     {root: below, want: "git's checkout is " + r.dir},
		"an epoch with a date": {root: r.dir, epoch: "2026-01-02", want: "no number of seconds"},
		"half a version":       {root: r.dir, given: source{version: "1.2"}, want: "is no version such as"},
		"a version that is an option": {
			root: r.dir, given: source{version: "1.2.3 -X main.x=y"}, want: "is no version such as",
		},
		"a tag with half a version": {root: r.dir, want: "the tag v1 is no version"},
	} {
		if _, err := describe(c.root, c.given, c.epoch); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}
