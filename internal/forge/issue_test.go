package forge_test

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/cofferhq/coffer/internal/forge"
	"github.com/cofferhq/coffer/internal/forge/forgetest"
)

// report opens or changes the drift issue and demands what becomes of it.
func (p *place) report(t *testing.T, body, want string) forge.Done {
	t.Helper()
	done, err := p.open(t).OpenIssue(t.Context(), driftMarker, "Drift in shop", driftMarker+"\n"+body)
	if err != nil {
		t.Fatal(err)
	}
	if done.What != want {
		t.Fatalf("%s, want %s", done.What, want)
	}
	return done
}

func (p *place) over(t *testing.T, want string) forge.Done {
	t.Helper()
	done, err := p.open(t).CloseIssue(t.Context(), driftMarker, "The drift is gone.")
	if err != nil {
		t.Fatal(err)
	}
	if done.What != want {
		t.Fatalf("%s, want %s", done.What, want)
	}
	return done
}

func TestOneIssueIsKeptUpToDate(t *testing.T) {
	eachPlace(t, func(t *testing.T, p *place) {
		p.over(t, forge.None)
		if len(p.Written()) > 0 {
			t.Errorf("nothing to close: %v", p.Written())
		}
		made := p.report(t, "1 changed", forge.Created)
		if !strings.HasPrefix(made.Page, "https://") {
			t.Errorf("the issue is at %q", made.Page)
		}
		p.Forget()
		p.report(t, "1 changed\r\n", forge.Unchanged)
		if len(p.Written()) > 0 {
			t.Errorf("written again: %v", p.Written())
		}
		p.report(t, "2 changed", forge.Updated)
		if done := p.over(t, forge.Closed); done.Page != made.Page {
			t.Errorf("closed is %q", done.Page)
		}
		p.over(t, forge.None)
		p.report(t, "3 changed", forge.Created) // what was closed stays closed
		all := p.Issues()
		if len(all) != 2 || !all[0].Closed || all[0].Body != driftMarker+"\n2 changed" || len(all[0].Comments) != 1 ||
			all[0].Comments[0].Body != "The drift is gone." || all[1].Closed || all[1].Title != "Drift in shop" {
			t.Errorf("%+v", all)
		}
		if p.run.Kind == forge.GitHub && all[0].Reason != "completed" {
			t.Errorf("closed as %q", all[0].Reason)
		}
	})
}

func TestIssuesOfOthersAreNotTouched(t *testing.T) {
	eachPlace(t, func(t *testing.T, p *place) {
		for i := range 130 { // ours, of other projects, before and after
			p.AddIssue(forgetest.Issue{Author: p.Me, Title: "other", Body: fmt.Sprintf("<!-- coffer:other%d:drift -->", i)})
		}
		for range 300 {
			p.AddIssue(forgetest.Issue{Author: alice, Title: "one of many"})
		}
		if p.run.Kind == forge.GitHub { // which lists pull requests too
			p.AddIssue(forgetest.Issue{Author: p.Me, Pull: true, Title: "a change of ours", Body: driftMarker + "\nof a branch"})
		}
		p.AddIssue(forgetest.Issue{Author: alice, Title: "mine", Body: driftMarker + "\nhand-made"})
		p.AddIssue(forgetest.Issue{Author: otherBot, Title: "mine", Body: driftMarker + "\nbot-made"})
		p.AddIssue(forgetest.Issue{Author: p.Me, Title: "quoting", Body: "see " + driftMarker})
		before := p.Issues()
		p.report(t, "1 changed", forge.Created)
		if n := len(slices.DeleteFunc(p.Requests(), func(r forgetest.Request) bool { return !strings.Contains(r.Path, "/issues?") })); n != 2 {
			t.Errorf("%d pages were read to find ours", n)
		}
		p.report(t, "2 changed", forge.Updated)
		p.over(t, forge.Closed)
		after := p.Issues()
		for i := range before {
			if fmt.Sprint(after[i]) != fmt.Sprint(before[i]) {
				t.Errorf("%+v was %+v", after[i], before[i])
			}
		}
		if len(after) != len(before)+1 || !after[len(before)].Closed {
			t.Errorf("%d issues, want one more than %d, closed", len(after), len(before))
		}
	})
}

func TestRacingIssuesConverge(t *testing.T) {
	eachPlace(t, func(t *testing.T, p *place) {
		p.Meet(2, "POST /issues")
		var both sync.WaitGroup
		for _, text := range []string{"a", "b"} {
			f := p.open(t)
			both.Go(func() {
				if _, err := f.OpenIssue(t.Context(), driftMarker, "drift", driftMarker+"\n"+text); err != nil {
					t.Error(err)
				}
			})
		}
		both.Wait()
		if n := len(p.Issues()); n != 2 {
			t.Fatalf("the race did not happen: %d issues", n)
		}
		p.Fail(1, p.edit()+" /issues/2", 404) // which somebody took away meanwhile
		p.Fail(1, p.edit()+" /issues/14", 404)
		p.report(t, "c", forge.Updated)
		p.report(t, "c", forge.Updated)
		all := p.Issues()
		if all[0].Closed || all[0].Body != driftMarker+"\nc" || !all[1].Closed || len(all[1].Comments) > 0 {
			t.Errorf("%+v", all)
		}
		if p.run.Kind == forge.GitHub && all[1].Reason != "not_planned" {
			t.Errorf("closed as %q", all[1].Reason)
		}
		// two are left open, and drift is gone
		p.AddIssue(forgetest.Issue{Author: p.Me, Title: "drift", Body: driftMarker + "\nd"})
		p.over(t, forge.Closed)
		if slices.ContainsFunc(p.Issues(), func(i forgetest.Issue) bool { return !i.Closed }) {
			t.Errorf("%+v", p.Issues())
		}
	})
}

// A close that breaks off between its two requests is finished by the next run,
// which says nothing twice.
func TestCloseIsResumed(t *testing.T) {
	eachPlace(t, func(t *testing.T, p *place) {
		p.report(t, "1 changed", forge.Created)
		p.Fail(forgetest.Always, p.edit()+" ", 500)
		_, err := p.open(t).CloseIssue(t.Context(), driftMarker, "The drift is gone.")
		failure(t, err, forge.Unreachable)
		p.Heal()
		p.over(t, forge.Closed)
		if i := p.Issues()[0]; !i.Closed || len(i.Comments) != 1 {
			t.Errorf("%+v", i)
		}
	})
}

func TestChangeOf(t *testing.T) {
	const direct = "1111111111111111111111111111111111111111"
	eachPlace(t, func(t *testing.T, p *place) {
		own := "acme/shop"
		if p.run.Kind == forge.GitLab {
			own = "4711"
		}
		p.Foreign(commit, "main", "99", 3)
		p.Pending(commit, "main", 4)
		p.Merge(commit, "release", 5)
		ask := func(c string, want int) {
			t.Helper()
			got, err := p.open(t).ChangeOf(t.Context(), c)
			if err != nil || got != want {
				t.Errorf("%d, %v, want %d", got, err, want)
			}
		}
		ask(commit, 0)
		p.Foreign(commit, "main", own, change)
		ask(commit, change)
		p.MergeWithin(commit, "main", 40) // of a branch that was merged into main later
		ask(commit, change)
		p.MergeWithin(direct, "main", 41)
		p.MergeWithin(direct, "main", 42)
		ask(direct, 42)
		ask("2222222222222222222222222222222222222222", 0)
		p.Fail(1, "* /commits/", 422)
		_, err := p.open(t).ChangeOf(t.Context(), commit)
		failure(t, err, forge.Refused)
	})
}

func TestPlainDoesNothing(t *testing.T) {
	f, err := forge.New(forge.Run{Kind: forge.Plain}, forge.Token{}, nil, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, call := range map[string]func() (forge.Done, error){
		"comment": func() (forge.Done, error) { return f.Comment(t.Context(), 1, marker, marker, true) },
		"open":    func() (forge.Done, error) { return f.OpenIssue(t.Context(), marker, "t", marker) },
		"close":   func() (forge.Done, error) { return f.CloseIssue(t.Context(), marker, "c") },
	} {
		if done, err := call(); err != nil || done != (forge.Done{What: forge.None}) {
			t.Errorf("%s: %v, %v", name, done, err)
		}
	}
	if n, err := f.ChangeOf(t.Context(), commit); n != 0 || err != nil || f.Limit() != 65_536 {
		t.Errorf("%d, %v, %d", n, err, f.Limit())
	}
}
