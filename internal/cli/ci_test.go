package cli

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/cofferhq/coffer/providers/providertest/canary"
)

// TestCIStories runs the scripts about coffer ci against a small forge: what the
// jobs of a repository do over days and weeks, what they say and where they keep
// silent. Nothing that anybody could see afterwards has a value or a token.
func TestCIStories(t *testing.T) {
	runScripts(t, "testdata/ci", func(env *testscript.Env) error {
		s, err := newStory(env.WorkDir)
		if err != nil {
			return err
		}
		env.Values[storyKey{}] = s
		env.Defer(func() {
			s.server.Close()
			s.search(t)
		})
		return nil
	}, commandsOfStory())
}

// search looks for values and credentials in what the jobs printed, wrote, asked
// the forge for and committed.
func (s *story) search(t *testing.T) {
	values := append([]canary.Canary{canary.Of("token", []byte(s.forge.Token), true), canary.Of("fingerprint key", []byte(s.key[24:]), true), canary.Of("age identity", []byte(s.identity[16:]), true)}, s.input...)
	for name, store := range s.stores {
		for _, path := range store.world.Paths() {
			if v, ok := store.world.Value(path); ok {
				_ = v.Expose(func(p []byte) error {
					values = append(values, canary.Of(name+" "+path, append([]byte(nil), p...), len(p) >= 16))
					return nil
				})
			}
		}
	}
	if len(values) < 3 {
		t.Errorf("%s: only %d values were made", s.dir, len(values))
	}
	finder, size := canary.NewFinder(values...), 0
	look := func(where string, data []byte) {
		size += len(data)
		for _, hit := range finder.Find(data) {
			t.Errorf("%s: %s: %s", s.dir, where, hit)
		}
	}
	for where, data := range s.kept {
		look(where, data)
	}
	objects := exec.Command("git", "-C", filepath.Join(s.dir, "origin"), "cat-file", "--batch", "--batch-all-objects")
	objects.Env = s.gitVariables()
	if all, err := objects.Output(); err != nil {
		t.Error(err)
	} else {
		look("the repository", all)
	}
	if environment, err := os.ReadFile(filepath.Join(s.dir, "environment")); err == nil {
		look("the environment of git", environment)
	}
	jobs, err := filepath.Glob(filepath.Join(s.dir, "job-*"))
	if err != nil || len(jobs) == 0 {
		t.Errorf("no jobs: %v", err)
	}
	for _, job := range jobs {
		if err := filepath.WalkDir(job, func(path string, d os.DirEntry, err error) error {
			if err != nil || !d.Type().IsRegular() || strings.HasSuffix(filepath.ToSlash(path), ".git/config") {
				return err // that is the checkout's own
			}
			data, err := os.ReadFile(path)
			look(path, data)
			return err
		}); err != nil {
			t.Error(err)
		}
	}
	if left, err := filepath.Glob(filepath.Join(s.dir, "coffer-base-*")); err != nil || len(left) > 0 {
		t.Errorf("copies of base commits are left: %v, %v", left, err)
	}
	t.Logf("%s: %d bytes searched for %d values", s.dir, size, len(values))
}

// Git gets what it needs to sign in by itself, and nothing that is ours.
func TestGitGetsNoCredentials(t *testing.T) {
	given := map[string]bool{
		"PATH": true, "HOME": true, "SSH_AUTH_SOCK": true, "XDG_CONFIG_HOME": true, "https_proxy": true, "NO_PROXY": true,
		"GIT_SSH_COMMAND": true, "GIT_CONFIG_COUNT": true, "GIT_AUTHOR_NAME": true,
		"GIT_TRACE": false, "GIT_TRACE_CURL": false, "GIT_TOKEN": false, "GITHUB_TOKEN": false, "GITLAB_CI": false, "CI_JOB_TOKEN": false,
		"COFFER_GITHUB_TOKEN": false, "COFFER_FINGERPRINT_KEY": false, "VAULT_TOKEN": false, "AWS_SECRET_ACCESS_KEY": false, "SOPS_AGE_KEY": false,
		"ACTIONS_ID_TOKEN_REQUEST_TOKEN": false, "STRIPE_KEY": false,
	}
	vars := map[string]string{}
	for name := range given {
		vars[name] = "value"
	}
	env := gitEnviron(vars)
	for name, want := range given {
		if got := slices.Contains(env, name+"=value"); got != want {
			t.Errorf("git gets %s: %v", name, got)
		}
	}
	for _, want := range []string{"LC_ALL=C", "GIT_TERMINAL_PROMPT=0"} {
		if !slices.Contains(env, want) {
			t.Errorf("git does not get %s", want)
		}
	}
}

func TestGitErrors(t *testing.T) {
	for said, want := range map[string]string{
		"fatal: unable to access 'https://robot:ghs_x@example.com/a.git/': 403\n":             "unable to access 'https://(hidden)@example.com/a.git/': 403",
		"To https://example.com/a\n ! [rejected] HEAD -> main (fetch first)\nhint: pull\n":    "! [rejected] HEAD -> main (fetch first)",
		"remote: \x1b]0;x\x07::error::no\nerror: failed to push some refs to 'https://x/y'\n": `remote: \x1b]0;x\x07::error::no`,
		"1\n2\n3\n4\n5\n6\n7\n8\n": "3; 4; 5; 6; 7; 8",
	} {
		if got := gitSaid(said); got != want {
			t.Errorf("%q is told as %q, want %q", said, got, want)
		}
	}
}
