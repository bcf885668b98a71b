//go:build unix

package state_test

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/cofferhq/coffer/internal/durable"
	"github.com/cofferhq/coffer/state"
	"github.com/cofferhq/coffer/state/statetest"
)

// kinds puts something at path in place of the plain file that belongs there.
var kinds = map[string]func(path string) error{
	"symlink inside": func(path string) error {
		return errors.Join(os.WriteFile(path+".target", []byte("untouched"), 0o600), os.Symlink(filepath.Base(path)+".target", path))
	},
	"symlink outside": func(path string) error {
		target := filepath.Join(filepath.Dir(path), "..", "outside.target")
		return errors.Join(os.WriteFile(target, []byte("untouched"), 0o600), os.Symlink(target, path))
	},
	"symlink dangling": func(path string) error { return os.Symlink(path+".nowhere", path) },
	"hard link": func(path string) error {
		return errors.Join(os.WriteFile(path+".target", []byte("untouched"), 0o600), os.Link(path+".target", path))
	},
	"fifo":   func(path string) error { return syscall.Mkfifo(path, 0o600) },
	"folder": func(path string) error { return os.Mkdir(path, 0o700) },
}

// Umask by kind by file: what is no plain file is refused by name, and what it
// leads to is untouched. Umask belongs to the process: this test runs alone.
func TestPlacesAreNotFollowed(t *testing.T) {
	cells := 0
	for _, mask := range []int{0, 0o022, 0o077} {
		old := syscall.Umask(mask)
		for kind, put := range kinds {
			for _, suffix := range []string{"", ".lock", ".journal", ".2.backup"} {
				cells++
				dir := filepath.Join(t.TempDir(), "inside")
				must(t, os.Mkdir(dir, 0o700))
				path := filepath.Join(dir, "coffer.state.json")
				file := state.OpenFile(path, state.FileOptions{Project: project})
				must(t, push(file, statetest.Snapshot("db")))
				must(t, countOne(t.Context(), file, statetest.Who("apply"))) // leaves backup 1
				victim := path + suffix
				if suffix == "" {
					must(t, os.Remove(path))
				}
				must(t, put(victim))
				err := countOne(t.Context(), file, statetest.Who("apply"))
				if suffix == ".2.backup" { // the next number is taken instead
					must(t, err)
				} else if e, ok := errors.AsType[*durable.KindError](err); !ok || e.Path != victim {
					t.Errorf("%s at %s, umask %03o: %v", kind, victim, mask, err)
				}
				if suffix != ".lock" && suffix != ".2.backup" {
					if _, err := file.Read(t.Context()); err == nil {
						t.Errorf("%s at %s was read", kind, victim)
					}
				}
				for _, target := range []string{victim + ".target", filepath.Join(dir, "..", "outside.target")} {
					if got, err := os.ReadFile(target); err == nil && string(got) != "untouched" {
						t.Errorf("%s at %s: its target holds %q", kind, victim, got)
					}
				}
				if _, err := os.Lstat(victim + ".nowhere"); err == nil {
					t.Errorf("%s at %s was followed", kind, victim)
				}
			}
		}
		syscall.Umask(old)
	}
	t.Logf("%d cells", cells)
}

// Whatever mode or umask was there, what coffer writes is 0600; the lock can
// be read by others, to see who holds it.
func TestModes(t *testing.T) {
	for _, mask := range []int{0, 0o022, 0o077} {
		old := syscall.Umask(mask)
		for _, mode := range []fs.FileMode{0o600, 0o640, 0o644, 0o664, 0o666} {
			path := newState(t)
			must(t, os.Chmod(path, mode))
			file := state.OpenFile(path, state.FileOptions{Project: project})
			_, err := file.Read(t.Context())
			must(t, err)
			warned := len(file.Warnings()) > 0
			if warned != (mode&0o022 != 0) {
				t.Errorf("mode %v: warnings %q", mode, file.Warnings())
			}
			if warned && !strings.Contains(file.Warnings()[0], "chmod go-w "+path) {
				t.Errorf("no next step in %q", file.Warnings())
			}
			session, err := file.Lock(t.Context(), statetest.Who("apply"))
			must(t, err)
			s, err := session.Load(t.Context())
			must(t, err)
			must(t, session.Append(t.Context(), statetest.Outcome("db", "v2")))
			must(t, s.Apply(statetest.Outcome("db", "v2")))
			expectMode(t, path+".journal", 0o600)
			expectMode(t, path+".lock", 0o644&^fs.FileMode(mask))
			must(t, session.Save(t.Context(), s))
			must(t, session.Unlock(t.Context()))
			expectMode(t, path, 0o600)
			expectMode(t, path+".1.backup", 0o600)
			_, err = file.Read(t.Context())
			must(t, err)
			if len(file.Warnings()) > 0 {
				t.Errorf("still warns: %q", file.Warnings())
			}
		}
		syscall.Umask(old)
	}
}

func expectMode(t *testing.T, path string, want fs.FileMode) {
	t.Helper()
	info, err := os.Lstat(path)
	must(t, err)
	if info.Mode() != want {
		t.Errorf("%s has mode %v, want %v", filepath.Base(path), info.Mode(), want)
	}
}

// A state of another user, as in a shared folder, is read with a warning and
// is ours once it is saved.
func TestAnotherOwner(t *testing.T) {
	path := newState(t)
	if err := os.Chown(path, 12345, -1); err != nil {
		if os.Geteuid() == 0 {
			t.Fatal(err)
		}
		path = "/etc/passwd" // whoever runs this, it is root's: no warning
	}
	file := state.OpenFile(path, state.FileOptions{Project: project})
	_, err := file.Read(t.Context())
	if path == "/etc/passwd" {
		if err == nil || len(file.Warnings()) > 0 {
			t.Errorf("%v, warnings %q", err, file.Warnings())
		}
		return
	}
	must(t, err)
	if w := file.Warnings(); len(w) != 1 || !strings.Contains(w[0], "another user") {
		t.Errorf("warnings %q", w)
	}
	must(t, countOne(t.Context(), file, statetest.Who("apply")))
	_, err = file.Read(t.Context())
	must(t, err)
	if w := file.Warnings(); len(w) != 0 {
		t.Errorf("warnings after a save %q", w)
	}
}

func TestNoFolder(t *testing.T) {
	file := state.OpenFile(filepath.Join(t.TempDir(), "nowhere", "coffer.state.json"), state.FileOptions{Project: project})
	if _, err := file.Lock(t.Context(), statetest.Who("apply")); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "nowhere") {
		t.Error(err)
	}
}

// The newest backups stay, under numbers that only rise.
func TestBackups(t *testing.T) {
	path := newState(t)
	file := state.OpenFile(path, state.FileOptions{Project: project, Backups: 3})
	var before []byte
	for range 12 {
		var err error
		before, err = os.ReadFile(path)
		must(t, err)
		must(t, countOne(t.Context(), file, statetest.Who("apply")))
	}
	backups, err := file.Backups()
	must(t, err)
	want := []string{path + ".10.backup", path + ".11.backup", path + ".12.backup"}
	if !slices.Equal(backups, want) {
		t.Errorf("backups %q, want %q", backups, want)
	}
	if got, err := os.ReadFile(backups[2]); err != nil || !bytes.Equal(got, before) {
		t.Errorf("the newest backup is not the last state: %v", err)
	}
}

// Everything that lies beside the state is ignored, and the state is not.
func TestGitIgnore(t *testing.T) {
	lines := state.GitIgnore("config/coffer.state.json")
	ignored := func(name string) bool {
		return slices.ContainsFunc(lines, func(pattern string) bool {
			ok, err := filepath.Match(pattern, name)
			return err == nil && ok
		})
	}
	for name, want := range map[string]bool{
		"coffer.state.json": false, "coffer.state.json.lock": true, "coffer.state.json.journal": true,
		"coffer.state.json.17.backup": true, ".coffer.state.json.123.tmp": true, ".coffer.state.json.journal.123.tmp": true,
		"coffer.hcl": false,
	} {
		if ignored(name) != want {
			t.Errorf("%s: ignored is %v", name, !want)
		}
	}
}

// A pull in the middle of an apply is noticed and nothing is overwritten.
func TestStateChangesUnderTheLock(t *testing.T) {
	path := newState(t)
	file := state.OpenFile(path, state.FileOptions{Project: project})
	session, err := file.Lock(t.Context(), statetest.Who("apply"))
	must(t, err)
	s, err := session.Load(t.Context())
	must(t, err)
	must(t, session.Append(t.Context(), statetest.Outcome("db", "v2")))
	pulled := statetest.Snapshot("db", "api")
	pulled.Serial = 2
	must(t, os.WriteFile(path, encode(t, pulled), 0o600))
	err = session.Save(t.Context(), s)
	if e, ok := errors.AsType[*state.ChangedError](err); !ok || e.Path != path || !strings.Contains(err.Error(), "git pull") {
		t.Errorf("%v", err)
	}
	must(t, session.Unlock(t.Context()))
	if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, encode(t, pulled)) {
		t.Error("the pulled state was overwritten")
	}
	_, err = file.Read(t.Context())
	if _, ok := errors.AsType[*state.JournalError](err); !ok {
		t.Errorf("the journal of the other state: %v", err)
	}
}

// A file that is not ours to read says so with its path.
func TestErrorsNameTheFile(t *testing.T) {
	path := newState(t)
	good, err := os.ReadFile(path)
	must(t, err)
	for name, c := range map[string]struct {
		data string
		says string
	}{
		"truncated": {string(good[:len(good)/2]), "stops in the middle"},
		"empty":     {"", "stops in the middle"},
		"edited":    {strings.Replace(string(good), "primary", "boss", 1), "line 13: app.checkout"},
		"conflict":  {strings.Replace(string(good), "\"serial\": 1,", "<<<<<<< HEAD\n\"serial\": 3,\n=======\n\"serial\": 2,\n>>>>>>> b", 1), `keep "serial": 3`},
		"newer":     {strings.Replace(string(good), "\"version\": 1", "\"version\": 9", 1), "upgrade coffer"},
		"other":     {strings.ReplaceAll(string(good), project, "other"), `project "other"`},
	} {
		must(t, os.WriteFile(path, []byte(c.data), 0o600))
		file := state.OpenFile(path, state.FileOptions{Project: project})
		_, err := file.Read(t.Context())
		if err == nil || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: read: %v", name, err)
		}
		if err := countOne(t.Context(), file, statetest.Who("apply")); err == nil {
			t.Errorf("%s: an apply went on", name)
		}
		if now, err := os.ReadFile(path); err != nil || string(now) != c.data {
			t.Errorf("%s: the file was changed", name)
		}
	}
}

// Every point that is listed is reached by one apply after another, once.
func TestPointsAreListed(t *testing.T) {
	path := newState(t)
	seen := map[string]int{}
	file := state.OpenFile(path, state.FileOptions{Project: project, At: func(p string) error {
		seen[p]++
		return nil
	}})
	must(t, countOne(t.Context(), file, statetest.Who("apply")))
	for _, p := range state.Points() {
		if seen[p] == 0 {
			t.Errorf("%s was not reached", p)
		}
		delete(seen, p)
	}
	if len(seen) > 0 {
		t.Errorf("not listed: %v", fmt.Sprint(seen))
	}
}
