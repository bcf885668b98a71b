package state_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cofferhq/coffer/state"
	"github.com/cofferhq/coffer/state/statetest"
)

// gitMerge commits base, then ours and theirs on two branches, and merges them
// with git as it comes, without anybody's settings.
func gitMerge(t *testing.T, base, ours, theirs *state.Snapshot) (merged []byte, clean bool) {
	t.Helper()
	dir := t.TempDir()
	run := func(args ...string) error {
		cmd := exec.Command("git", append([]string{"-c", "user.name=a", "-c", "user.email=a@example.com", "-c", "core.autocrlf=false"}, args...)...)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL="+os.DevNull)
		out, err := cmd.CombinedOutput()
		if err != nil && args[0] != "merge" {
			t.Fatalf("git %q: %v\n%s", args, err, out)
		}
		return err
	}
	file := filepath.Join(dir, "coffer.state.json")
	commit := func(s *state.Snapshot) {
		must(t, os.WriteFile(file, encode(t, s), 0o600))
		must(t, run("add", "."))
		must(t, run("commit", "-q", "--allow-empty", "-m", "state"))
	}
	must(t, run("init", "-q", "-b", "ours"))
	commit(base)
	must(t, run("checkout", "-q", "-b", "theirs"))
	commit(theirs)
	must(t, run("checkout", "-q", "ours"))
	commit(ours)
	clean = run("merge", "-q", "theirs", "-m", "merge") == nil
	merged, err := os.ReadFile(file)
	must(t, err)
	return merged, clean
}

// edit is what one branch did to the state.
type edit func(*state.Snapshot)

func set(name, version string) edit {
	return func(s *state.Snapshot) {
		e := statetest.Entry(name, version)
		s.Entries[e.Location] = e
	}
}

func rotated(name string, generation int, days int) edit {
	return func(s *state.Snapshot) {
		e := statetest.Entry(name, "v9-"+time.Duration(generation).String())
		e.Generation, e.RotatedAt = generation, e.RotatedAt.AddDate(0, 0, days)
		s.Entries[e.Location] = e
	}
}

func remove(name string) edit {
	return func(s *state.Snapshot) { delete(s.Entries, statetest.At(name)) }
}

func saves(n uint64) edit { return func(s *state.Snapshot) { s.Serial += n } }

func pin(ref, identity string) edit {
	return func(s *state.Snapshot) { s.Providers[ref] = identity }
}

func branch(base *state.Snapshot, edits ...edit) *state.Snapshot {
	s := base.Clone()
	s.Serial++
	for _, e := range edits {
		e(s)
	}
	return s
}

// Two branches that changed different secrets merge without a conflict, and
// the result is what both did.
func TestGitMergesDifferentSecrets(t *testing.T) {
	base := statetest.Snapshot("b", "d", "f", "h")
	base.Serial = 7
	for name, c := range map[string]struct{ ours, theirs []edit }{
		"far apart":                    {[]edit{set("b", "v2")}, []edit{set("h", "v2")}},
		"neighbours":                   {[]edit{set("b", "v2")}, []edit{set("d", "v2")}},
		"every second":                 {[]edit{set("b", "v2"), set("f", "v2")}, []edit{set("d", "v2"), set("h", "v2")}},
		"the last and one behind it":   {[]edit{set("h", "v2")}, []edit{set("i", "v1")}},
		"the first and one before it":  {[]edit{set("b", "v2")}, []edit{set("a", "v1")}},
		"new beside changed":           {[]edit{set("c", "v1")}, []edit{set("d", "v2")}},
		"new in different places":      {[]edit{set("a", "v1")}, []edit{set("e", "v1")}},
		"first and last are new":       {[]edit{set("a", "v1")}, []edit{set("z", "v1")}},
		"removed beside changed":       {[]edit{remove("d")}, []edit{set("f", "v2")}},
		"the last removed beside new":  {[]edit{remove("h")}, []edit{set("a", "v1")}},
		"removed in different places":  {[]edit{remove("b")}, []edit{remove("f")}},
		"a pin and a secret":           {[]edit{pin("sops.eu", "x")}, []edit{set("b", "v2")}},
		"saved as often on both sides": {[]edit{saves(2), set("b", "v2")}, []edit{saves(2), set("d", "v2")}},
	} {
		t.Run(name, func(t *testing.T) {
			for _, swap := range []bool{false, true} {
				ours, theirs := c.ours, c.theirs
				if swap {
					ours, theirs = theirs, ours
				}
				merged, clean := gitMerge(t, base, branch(base, ours...), branch(base, theirs...))
				if !clean {
					t.Fatalf("a conflict:\n%s", merged)
				}
				got, err := state.Decode(merged)
				must(t, err)
				want := branch(base, append(slices.Clone(c.ours), c.theirs...)...)
				want.Serial = got.Serial
				if g, w := string(encode(t, got)), string(encode(t, want)); g != w {
					t.Errorf("merged\n%s\nwant\n%s", g, w)
				}
			}
		})
	}
}

// Where git leaves markers the error says what to keep, and doing that gives
// the state that both branches meant.
func TestGitConflictSaysWhatToKeep(t *testing.T) {
	base := statetest.Snapshot("b", "d", "f", "h")
	base.Serial = 7
	for name, c := range map[string]struct {
		ours, theirs []edit
		says         []string
		keep         func(line string) bool // among the lines between markers
		want         []edit
	}{
		"saved more often on one side": {
			[]edit{saves(2), set("b", "v2")},
			[]edit{set("h", "v2")},
			[]string{"line 5", `keep "serial": 10, the higher number`},
			func(line string) bool { return line == `"serial": 10,` },
			[]edit{saves(2), set("b", "v2"), set("h", "v2")},
		},
		"two new neighbours": {
			[]edit{set("c", "v1")},
			[]edit{set("ca", "v1")},
			[]string{`keep the lines of app.checkout.secret.c["dev"] and app.checkout.secret.ca["dev"]`, "empty line between"},
			func(string) bool { return true },
			[]edit{set("c", "v1"), set("ca", "v1")},
		},
		"one secret rotated twice here and once there": {
			[]edit{rotated("d", 3, 1)},
			[]edit{rotated("d", 2, 2)},
			[]string{`app.checkout.secret.d["dev"] is on both sides: keep the line of HEAD, with generation 3`},
			func(line string) bool { return strings.Contains(line, `"generation":3`) },
			[]edit{rotated("d", 3, 1)},
		},
		"one secret rotated on both sides": {
			[]edit{rotated("d", 2, 1)},
			[]edit{rotated("d", 2, 2)},
			[]string{"keep the line of theirs, whose rotated_at is later"},
			func(line string) bool { return strings.Contains(line, `"rotated_at":"2026-11-03`) },
			[]edit{rotated("d", 2, 2)},
		},
		"removed here, changed there": {
			[]edit{remove("d")},
			[]edit{set("d", "v2")},
			[]string{`keep the lines of app.checkout.secret.d["dev"]`},
			func(string) bool { return true },
			[]edit{set("d", "v2")},
		},
		"two new providers": {
			[]edit{pin("sops.eu", "x")},
			[]edit{pin("sops.us", "y")},
			[]string{`keep the line of "sops.eu"`, `keep the line of "sops.us"`, "a comma stands between"},
			nil, nil,
		},
	} {
		t.Run(name, func(t *testing.T) {
			merged, clean := gitMerge(t, base, branch(base, c.ours...), branch(base, c.theirs...))
			if clean {
				t.Fatalf("no conflict:\n%s", merged)
			}
			_, err := state.Decode(merged)
			if _, ok := errors.AsType[*state.MergeConflictError](err); !ok {
				t.Fatal(err)
			}
			for _, want := range append(c.says, "<<<<<<<", "coffer plan") {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%v\ndoes not say %q", err, want)
				}
			}
			if c.keep == nil {
				return
			}
			got, err := state.Decode([]byte(settle(string(merged), c.keep)))
			if err != nil {
				t.Fatalf("%v after keeping that of\n%s", err, merged)
			}
			if g, w := string(encode(t, got)), string(encode(t, branch(base, c.want...))); g != w {
				t.Errorf("settled\n%s\nwant\n%s", g, w)
			}
		})
	}
}

// settle does what the error asks a person to do.
func settle(merged string, keep func(line string) bool) string {
	var b strings.Builder
	between := false
	for line := range strings.Lines(merged) {
		switch text := strings.TrimSpace(line); {
		case strings.HasPrefix(text, "<<<<<<<"):
			between = true
		case strings.HasPrefix(text, ">>>>>>>"):
			between = false
		case strings.HasPrefix(text, "======="):
		case between && !keep(text):
		default:
			b.WriteString(line)
		}
	}
	return b.String()
}

// Text inside a state never looks like a marker.
func TestMarkersInsideText(t *testing.T) {
	s := statetest.Snapshot("db")
	s.Entries[statetest.At("db")].Description = "<<<<<<< a\n=======\n>>>>>>> b"
	got, err := state.Decode(encode(t, s))
	must(t, err)
	if got.Entries[statetest.At("db")].Description != s.Entries[statetest.At("db")].Description {
		t.Error("another description came back")
	}
}

func TestConflictWithoutEnd(t *testing.T) {
	_, err := state.Decode([]byte("{\n<<<<<<< HEAD\n\"version\": 1"))
	if _, ok := errors.AsType[*state.MergeConflictError](err); !ok || !strings.Contains(err.Error(), "end is missing") {
		t.Error(err)
	}
}
