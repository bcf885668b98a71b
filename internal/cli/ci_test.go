package cli

import (
	"os"
	"os/exec"
	"path/filepath"
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
