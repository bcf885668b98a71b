package main

import (
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// source is what a release is made from.
type source struct {
	version string    // "0.2.0"; "" where no tag says one, then the program itself does
	commit  string    // in full, with "+changes" where the tree has some
	time    time.Time // of the commit: every file in the release has it
}

const (
	changesSuffix = "+changes"
	shortCommit   = 12
)

// semantic fits a version as semver.org has it, and nothing else.
var semantic = regexp.MustCompile(`^(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)` +
	`(-(?:0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*)(?:\.(?:0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*))*)?` +
	`(\+[0-9a-zA-Z-]+(?:\.[0-9a-zA-Z-]+)*)?$`)

// describe finds out what the tree below root is. What is given wins over git;
// a tree that is no checkout needs all three.
func describe(root string, given source, epoch string) (source, error) {
	s := given
	if epoch != "" {
		seconds, err := strconv.ParseInt(epoch, 10, 64)
		if err != nil || seconds <= 0 {
			return s, fmt.Errorf("the epoch %q is no number of seconds since 1970", epoch)
		}
		s.time = time.Unix(seconds, 0).UTC()
	}
	if s.commit == "" || s.version == "" || s.time.IsZero() {
		if err := s.askGit(root, given.version == ""); err != nil {
			return s, err
		}
	}
	s.version = strings.TrimPrefix(s.version, "v")
	if s.version != "" && !semantic.MatchString(s.version) {
		return s, fmt.Errorf("%q is no version such as 1.2.3 or 1.2.3-rc.1 (semver.org)", s.version)
	}
	return s, nil
}

// askGit fills in what was not given.
func (s *source) askGit(root string, wantVersion bool) error {
	git := func(args ...string) (string, error) {
		cmd := exec.Command("git", append([]string{"--no-optional-locks", "-C", root}, args...)...)
		out, err := cmd.Output()
		return strings.TrimSpace(string(out)), err
	}
	if err := checkout(root, git); err != nil {
		return fmt.Errorf("%s: %w; give VERSION, COMMIT and SOURCE_DATE_EPOCH", root, err)
	}
	head, err := git("log", "-1", "--format=%H %ct")
	if err != nil {
		return fmt.Errorf("git log in %s: %w", root, err)
	}
	commit, when, _ := strings.Cut(head, " ")
	changes, err := git("status", "--porcelain")
	if err != nil {
		return fmt.Errorf("git status in %s: %w", root, err)
	}
	if changes != "" {
		commit += changesSuffix
	}
	if s.commit == "" {
		s.commit = commit
	}
	if s.time.IsZero() {
		seconds, err := strconv.ParseInt(when, 10, 64)
		if err != nil {
			return fmt.Errorf("git log in %s: %w", root, err)
		}
		s.time = time.Unix(seconds, 0).UTC()
	}
	// Without a tag there is nothing to describe, and the program knows better.
	if described, err := git("describe", "--tags", "--long", "--match", "v[0-9]*"); wantVersion && err == nil {
		s.version, err = fromTag(described, s.commit)
		return err
	}
	return nil
}

// checkout reports an error where root is not the top of a checkout: an archive
// that was unpacked inside another project must not take that one's commit.
func checkout(root string, git func(...string) (string, error)) error {
	top, err := git("rev-parse", "--show-toplevel")
	if err != nil {
		return errors.New("this is no checkout of git")
	}
	if root, err = filepath.Abs(root); err != nil {
		return err
	}
	if root, err = filepath.EvalSymlinks(root); err != nil {
		return err
	}
	if top, err = filepath.EvalSymlinks(top); err != nil {
		return err
	}
	if root != top {
		return fmt.Errorf("git's checkout is %s", top)
	}
	return nil
}

// fromTag makes a version of git's description (v1.2.3-4-gabcdef). Of a tagged
// commit it is the tag; what follows a tag, or differs from it, counts as a
// forerunner of the next version.
func fromTag(described, commit string) (string, error) {
	rest, _, _ := cutLast(described, "-g")
	tag, count, _ := cutLast(rest, "-")
	version := strings.TrimPrefix(tag, "v")
	parts := semantic.FindStringSubmatch(version)
	if parts == nil {
		return "", fmt.Errorf("the tag %s is no version such as v1.2.3 (semver.org); give VERSION", tag)
	}
	hash, changed := strings.CutSuffix(commit, changesSuffix)
	if count == "0" && !changed {
		return version, nil
	}
	patch, err := strconv.Atoi(parts[3])
	if err != nil {
		return "", fmt.Errorf("the tag %s: %w", tag, err)
	}
	next := fmt.Sprintf("%s.%s.%d-dev.%s", parts[1], parts[2], patch+1, count)
	if parts[4] != "" {
		next = fmt.Sprintf("%s.%s.%d%s.dev.%s", parts[1], parts[2], patch, parts[4], count)
	}
	next += "+" + hash[:min(len(hash), shortCommit)]
	if changed {
		next += ".changes"
	}
	return next, nil
}

func cutLast(s, sep string) (before, after string, found bool) {
	i := strings.LastIndex(s, sep)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+len(sep):], true
}
