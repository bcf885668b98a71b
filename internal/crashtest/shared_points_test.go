//go:build unix

package crashtest

import (
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/cofferhq/coffer/state/remote"
)

// TestEveryPointOfASharedState kills the program at every point of what it does
// to a state in a bucket and to its stores, and lets the next run take over:
// the plan is empty, nothing is lost, and no value that was live is another one.
// A recovery that is killed too is a soak.
func TestEveryPointOfASharedState(t *testing.T) {
	endpoint := newS3(t)
	less := settings + plainStore + shopApp(keyBlock, tokenBlock) + `
app "mail" {
  environments = ["dev"]
  secret "url" {
    value = "smtp://${app.shop.secret.key}@mail"
  }
}
`
	for _, s := range []scenario{
		{name: "create", hcl: base(), command: apply, check: agree, least: 60},
		{name: "update", start: base(), env: map[string]string{"SMTP": "second"}, command: apply, replaces: []string{smtp, url, env + "#URL"}, check: agree, least: 40},
		{name: "rotate", start: base(), command: rotating, replaces: []string{key, url, env}, check: agree, least: 30},
		{name: "add", start: less, hcl: base(), command: apply, replaces: []string{url, env}, check: agree, least: 40},
		{
			name: "state mv", start: base(), hcl: renamed(), check: agree, least: 6,
			command: []string{"state", "mv", "app.shop.secret.key", "app.shop.secret.master"},
		},
		{name: "state rm", start: base(), command: []string{"state", "rm", "app.shop.secret.key"}, check: agree, least: 6},
	} {
		t.Run(s.name, func(t *testing.T) {
			e := &sharedPoints{enumeration: &enumeration{scenario: &s, dir: t.TempDir()}, endpoint: endpoint}
			e.prepare(t)
			points := e.each(t)
			if points < s.least {
				t.Errorf("only %d points, there should be at least %d", points, s.least)
			}
			t.Logf("%d points, %d inside recoveries, %v", points, e.nestedPoints, slices.Sorted(maps.Keys(e.hit)))
			for _, blob := range []string{remote.StateBlob, remote.JournalBlob, remote.LockBlob} {
				for _, point := range []string{"before-write-" + blob, "after-write-" + blob} {
					if !e.hit[point] && (blob != remote.JournalBlob || s.command[0] != "state") {
						t.Errorf("no run was killed at %s", point)
					}
				}
			}
		})
	}
}

// sharedPoints is a scenario on a shared state.
type sharedPoints struct {
	*enumeration
	endpoint string
	copies   int
	hit      map[string]bool
}

// at is the nth copy of the state; 0 is the one that the scenario begins with.
func (e *sharedPoints) at(n int) place {
	return onS3(e.endpoint, fmt.Sprintf("%s/%d", strings.ReplaceAll(e.name, " ", "-"), n))
}

func (e *sharedPoints) prepare(t *testing.T) {
	t.Helper()
	if e.hcl == "" {
		e.hcl = e.start
	}
	e.hit = map[string]bool{}
	e.base = e.at(0).folder(t, nil)
	if e.start != "" {
		e.base.configure(t, e.at(0).kept(e.start))
		if r := e.base.run(apply...); r.code != 0 {
			t.Fatalf("first apply: %s", r)
		}
	}
	maps.Copy(e.base.env, e.env)
	var err error
	e.before, err = e.base.values()
	must(t, err)
	f, at := e.copy(t, e.base, e.at(0), "whole")
	if r := f.start(t, "none", e.command); r.killed || r.code != 0 {
		t.Fatalf("without a crash: %s", r)
	}
	must(t, e.again(t, f, at))
	e.end, err = f.values()
	must(t, err)
	must(t, e.kept(e.before, e.end))
}

// copy copies a folder and its state.
func (e *sharedPoints) copy(t *testing.T, from *folder, was place, name string) (*folder, place) {
	t.Helper()
	e.copies++
	f, at := from.copy(t, filepath.Join(e.dir, name)), e.at(e.copies)
	f.env = maps.Clone(from.env)
	f.env["HOME"] = t.TempDir()
	f.configure(t, at.kept(e.hcl))
	old, next := was.blobs(t, from), at.blobs(t, f)
	for _, blob := range []string{remote.StateBlob, remote.JournalBlob, remote.LockBlob} {
		b, err := old.Get(t.Context(), blob)
		if errors.Is(err, remote.ErrNotFound) {
			continue
		}
		must(t, err)
		_, err = next.Put(t.Context(), blob, b.Data, "")
		must(t, err)
	}
	return f, at
}

// each kills a run at every point, and returns how many there are.
func (e *sharedPoints) each(t *testing.T) (points int) {
	t.Helper()
	for {
		f, at := e.copy(t, e.base, e.at(0), "killed")
		r := f.start(t, strconv.Itoa(points+1), e.command)
		if !r.killed {
			if r.code != 0 || r.passed > points {
				t.Fatalf("point %d: %s", points+1, r)
			}
			return points
		}
		points++
		e.hit[r.at] = true
		where := fmt.Sprintf("killed at point %d, %s", points, r.at)
		if soaking {
			e.inside(t, f, at, where)
		}
		e.look(t, f, at, where)
	}
}

// again does what a person does.
func (e *sharedPoints) again(t *testing.T, f *folder, at place) error {
	t.Helper()
	if e.command[0] == "state" {
		// It was done or not: doing it again fails where it was.
		_, _ = f.recovered(e.command...)
	}
	if _, err := f.recovered(apply...); err != nil {
		return err
	}
	return f.nothingLeft(at.state(t, f))
}

func (e *sharedPoints) look(t *testing.T, f *folder, at place, where string) {
	t.Helper()
	after, err := f.values()
	must(t, err)
	if err := e.again(t, f, at); err != nil {
		t.Fatalf("%s: %v", where, err)
	}
	end, err := f.values()
	must(t, err)
	if err := e.survived(after, end); err != nil {
		t.Fatalf("%s: %v\nafter the crash:\n%sat the end:\n%s", where, err, text(after), text(end))
	}
}

// inside kills the recovery at every point of its own, once the lock is broken.
func (e *sharedPoints) inside(t *testing.T, left *folder, was place, where string) {
	t.Helper()
	after, err := left.values()
	must(t, err)
	for n := 1; ; n++ {
		f, at := e.copy(t, left, was, "nested")
		if r := f.run("-lock-timeout", "0s", "apply", "-auto-approve", "-target", "app.none"); r.code != 0 {
			if id := unlockable.FindStringSubmatch(r.stderr); id != nil {
				if u := f.run("state", "unlock", id[1]); u.code != 0 {
					t.Fatalf("%s: unlock: %s", where, u)
				}
			}
		}
		r := f.start(t, strconv.Itoa(n), apply)
		if !r.killed {
			if r.code != 0 || r.passed >= n {
				t.Fatalf("%s, then at point %d: %s", where, n, r)
			}
			return
		}
		e.nestedPoints++
		twice := fmt.Sprintf("%s, then at point %d, %s", where, n, r.at)
		between, err := f.values()
		if err == nil {
			err = e.newValuesKept(after, between)
		}
		if err != nil {
			t.Fatalf("%s: %v", twice, err)
		}
		e.look(t, f, at, twice)
	}
}
