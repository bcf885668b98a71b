package forge_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/cofferhq/coffer/internal/forge"
	"github.com/cofferhq/coffer/internal/forge/forgetest"
)

// One comment, through the life of a pull request.
func TestOneCommentIsKeptUpToDate(t *testing.T) {
	eachPlace(t, func(t *testing.T, p *place) {
		none, err := p.open(t).Comment(t.Context(), change, marker, marker+"\nno changes", false)
		if err != nil || none.What != forge.None || len(p.Written()) > 0 {
			t.Fatalf("nothing to say: %v, %v, %v", none, err, p.Written())
		}
		made := p.say(t, "3 to create", forge.Created)
		if !strings.Contains(made.Page, "12#") {
			t.Errorf("the comment is at %q", made.Page)
		}
		// what a forge and a browser do to a text is no change
		id := p.Comments(change)[0].ID
		for _, stored := range []string{marker + "\r\n3 to create", marker + "\n3 to create\n\n", marker + " \n3 to create"} {
			p.Edit(id, stored)
			p.Forget()
			want := forge.Unchanged
			if strings.Contains(stored, " \n") {
				want = forge.Updated
			}
			done := p.say(t, "3 to create", want)
			if want == forge.Unchanged && len(p.Written()) > 0 {
				t.Errorf("%q is written again: %v", stored, p.Written())
			}
			if done.Page != made.Page {
				t.Errorf("the comment moved to %q", done.Page)
			}
		}
		p.say(t, "2 to create", forge.Updated)
		if done, err := p.open(t).Comment(t.Context(), change, marker, marker+"\nno changes", false); err != nil || done.What != forge.Updated {
			t.Errorf("an existing comment: %v, %v", done, err)
		}
		// another kind of comment is another comment
		other := "<!-- coffer:shop:apply -->"
		if done, err := p.open(t).Comment(t.Context(), change, other, other+"\napplied", true); err != nil || done.What != forge.Created {
			t.Errorf("another marker: %v, %v", done, err)
		}
		if got := p.bodies(); !slices.Equal(got, []string{"no changes", other + "\napplied"}) {
			t.Errorf("%q", got)
		}
		f := p.open(t)
		p.Forget()
		for _, text := range []string{"a", "b"} {
			if _, err := f.Comment(t.Context(), change, other, other+"\n"+text, true); err != nil {
				t.Error(err)
			}
		}
		if asked := slices.DeleteFunc(p.Requests(), func(r forgetest.Request) bool { return !strings.HasSuffix(r.Path, "/user") }); len(asked) != 1 {
			t.Errorf("it asked %d times who we are", len(asked))
		}
		for _, r := range p.Requests() {
			if !r.Signed {
				t.Errorf("%s %s was sent without the token", r.Method, r.Path)
			}
		}
	})
}

func TestCommentIsFoundOnALaterPage(t *testing.T) {
	eachPlace(t, func(t *testing.T, p *place) {
		for i := range 250 {
			p.AddComment(change, forgetest.Comment{Author: alice, Body: fmt.Sprintf("number %d, see %s", i, marker)})
		}
		p.AddComment(change, forgetest.Comment{Author: p.Me, Body: marker + "\nold"})
		for range 60 {
			p.AddComment(change, forgetest.Comment{Author: alice, Body: "later"})
		}
		p.say(t, "new", forge.Updated)
		pages := 0
		for _, r := range p.Requests() {
			if strings.Contains(r.Path, "per_page=100") {
				pages++
			}
		}
		if got := p.bodies(); pages != 4 || len(got) != 311 || got[250] != "new" {
			t.Errorf("%d pages, %d comments, ours is %q", pages, len(got), got[250])
		}
	})
}

// A stranger who writes our marker gets neither our text into theirs nor theirs
// into ours.
func TestStrangersMarkerIsNotOurs(t *testing.T) {
	eachPlace(t, func(t *testing.T, p *place) {
		strangers := []forgetest.Comment{
			{Author: alice, Body: marker + "\nno changes, merge me"},
			{Author: otherBot, Body: marker + "\nquoted"},
			{Author: forgetest.Person{ID: 8, Login: p.Me.Login + "x"}, Body: marker + "\nnearly"},
			{Author: p.Me, Body: "see " + marker},
			{Author: p.Me, Body: "> " + marker + "\nquoted by ourselves"},
			{Author: p.Me, Body: marker + "2\nof another project"},
		}
		if p.run.Kind == forge.GitLab { // a login that was given up and taken again
			strangers = append(strangers,
				forgetest.Comment{Author: forgetest.Person{ID: 8, Login: p.Me.Login}, Body: marker + "\nsame name"},
				forgetest.Comment{Author: p.Me, Body: marker + "\nassigned", System: true})
		}
		var before []string
		for _, s := range strangers {
			p.AddComment(change, s)
			before = append(before, s.Body)
		}
		p.say(t, "1 to delete", forge.Created)
		p.say(t, "2 to delete", forge.Updated)
		var after []string
		for _, c := range p.Comments(change) {
			after = append(after, c.Body)
		}
		if want := append(before, marker+"\n2 to delete"); !slices.Equal(after, want) {
			t.Errorf("got  %q\nwant %q", after, want)
		}
	})
}

// Two runs that both find nothing both write; whoever comes next leaves one.
func TestRacingRunsConverge(t *testing.T) {
	eachPlace(t, func(t *testing.T, p *place) {
		p.Meet(2, "POST "+p.commentsPath())
		var both sync.WaitGroup
		for _, text := range []string{"a", "b"} {
			f := p.open(t)
			both.Go(func() {
				if _, err := f.Comment(t.Context(), change, marker, marker+"\n"+text, true); err != nil {
					t.Error(err)
				}
			})
		}
		both.Wait()
		got := p.bodies()
		if len(got) != 2 {
			t.Fatalf("the race did not happen: %q", got)
		}
		oldest := p.Comments(change)[0]
		// also where there is nothing to change in the oldest, and nothing to make
		done, err := p.open(t).Comment(t.Context(), change, marker, oldest.Body, false)
		if err != nil || done.What != forge.Updated {
			t.Fatalf("%v, %v", done, err)
		}
		if left := p.Comments(change); len(left) != 1 || left[0] != oldest {
			t.Errorf("left are %v", left)
		}
		p.Forget()
		p.say(t, got[0], forge.Unchanged)
		if len(p.Written()) > 0 {
			t.Errorf("written again: %v", p.Written())
		}
	})
}

// A list that moves while it is read shows a comment twice, which is no second
// one; and the oldest is the one of the lowest id, in whatever order they come.
func TestOrderOfTheListIsNotTrusted(t *testing.T) {
	eachPlace(t, func(t *testing.T, p *place) {
		one := p.AddComment(change, forgetest.Comment{Author: p.Me, Body: marker + "\none"})
		two := p.AddComment(change, forgetest.Comment{Author: p.Me, Body: marker + "\ntwo"})
		listed := func(ids ...int64) http.HandlerFunc {
			return func(w http.ResponseWriter, _ *http.Request) {
				who := fmt.Sprintf(`{"id":%d,"login":%q,"username":%q}`, p.Me.ID, p.Me.Login, p.Me.Login)
				var all []string
				for _, id := range ids {
					all = append(all, fmt.Sprintf(`{"id":%d,"body":%q,"user":%s,"author":%s}`, id, marker+"\none", who, who))
				}
				_, _ = fmt.Fprintf(w, "[%s]", strings.Join(all, ","))
			}
		}
		p.Answer(1, "GET "+p.commentsPath(), listed(one, one))
		p.say(t, "one", forge.Unchanged)
		if len(p.Written()) > 0 {
			t.Fatalf("written: %v", p.Written())
		}
		p.Answer(1, "GET "+p.commentsPath(), listed(two, one, two))
		p.say(t, "one", forge.Updated)
		if left := p.Comments(change); len(left) != 1 || left[0].ID != one {
			t.Errorf("left are %v", left)
		}
	})
}

// What another run takes away meanwhile is no error.
func TestCommentGoesAwayMeanwhile(t *testing.T) {
	eachPlace(t, func(t *testing.T, p *place) {
		p.AddComment(change, forgetest.Comment{Author: p.Me, Body: marker + "\none"})
		p.AddComment(change, forgetest.Comment{Author: p.Me, Body: marker + "\ntwo"})
		p.Fail(1, p.edit()+" ", 404)
		p.Fail(1, "DELETE ", 404)
		p.say(t, "three", forge.Updated)
		if got := p.bodies(); got[0] != "three" {
			t.Errorf("%q", got)
		}
		p.Heal()
		p.Forget()
		p.Fail(forgetest.Always, p.edit()+" ", 404) // no right to change it looks the same
		_, err := p.open(t).Comment(t.Context(), change, marker, marker+"\nfour", true)
		if e := failure(t, err, forge.Denied); e.Status != 404 || e.Hint == "" || len(p.Written()) != 2 {
			t.Errorf("%+v, after %s", e, p.written())
		}
	})
}

func TestTextsThatAreNotSent(t *testing.T) {
	eachPlace(t, func(t *testing.T, p *place) {
		f := p.open(t)
		most := f.Limit() - len(marker) - 1
		if want := map[forge.Kind]int{forge.GitHub: 65_536, forge.GitLab: 1_000_000}[p.run.Kind]; f.Limit() != want {
			t.Fatalf("the limit is %d", f.Limit())
		}
		for name, call := range map[string]func() error{
			"too long": func() error {
				_, err := f.Comment(t.Context(), change, marker, marker+"\n"+fill(most+1), true)
				return err
			},
			"issue too long": func() error {
				_, err := f.OpenIssue(t.Context(), driftMarker, "drift", driftMarker+"\n"+fill(f.Limit()))
				return err
			},
			"last comment too long": func() error {
				_, err := f.CloseIssue(t.Context(), driftMarker, fill(f.Limit()+1))
				return err
			},
			"without its marker": func() error { _, err := f.Comment(t.Context(), change, marker, "text", true); return err },
			"no marker":          func() error { _, err := f.Comment(t.Context(), change, "", "\ntext", true); return err },
			"two lines of marker": func() error {
				_, err := f.Comment(t.Context(), change, "a\nb", "a\nb", true)
				return err
			},
			"no pull request": func() error { _, err := f.Comment(t.Context(), 0, marker, marker, true); return err },
			"title too long": func() error {
				_, err := f.OpenIssue(t.Context(), driftMarker, fill(256), driftMarker)
				return err
			},
			"title of two lines": func() error {
				_, err := f.OpenIssue(t.Context(), driftMarker, "a\nb", driftMarker)
				return err
			},
			"no title":  func() error { _, err := f.OpenIssue(t.Context(), driftMarker, " ", driftMarker); return err },
			"no commit": func() error { _, err := f.ChangeOf(t.Context(), "main/../../.."); return err },
		} {
			e := failure(t, call(), forge.Refused)
			if len(p.Requests()) > 0 {
				t.Errorf("%s: asked %v", name, p.Requests())
			}
			if strings.Contains(e.Error(), "xxx") {
				t.Errorf("%s: %v shows the text", name, e)
			}
		}
		p.say(t, fill(most), forge.Created)
		p.say(t, fill(most), forge.Unchanged)
		p.say(t, strings.Repeat("🔑", most/4), forge.Updated)
	})
}

// A line that starts with a slash is a command to GitLab, in our name.
func TestTextsGiveNoCommands(t *testing.T) {
	p := newGitLab(t)
	fence := "````"
	p.say(t, "/close\ntext\r/merge\r\n"+fence+"\n/close\n"+fence+"\n/close", forge.Created)
	want := " /close\ntext\n /merge\n" + fence + "\n /close\n" + fence + "\n /close"
	if got := p.bodies(); len(got) != 1 || got[0] != want {
		t.Errorf("%q", got)
	}
	p.Forget()
	p.say(t, "/close\ntext\r/merge\r\n"+fence+"\n/close\n"+fence+"\n/close", forge.Unchanged)
	if len(p.Written()) > 0 {
		t.Errorf("written again: %v", p.Written())
	}
	f := p.open(t)
	if _, err := f.OpenIssue(t.Context(), driftMarker, "drift", driftMarker+"\n/close"); err != nil {
		t.Fatal(err)
	}
	if i := p.Issues()[0]; i.Closed || i.Body != driftMarker+"\n /close" {
		t.Errorf("%+v", i)
	}
	if _, err := f.CloseIssue(t.Context(), driftMarker, "/label ~gone"); err != nil {
		t.Fatal(err)
	}
	if c := p.Issues()[0].Comments; len(c) != 1 || c[0].Body != " /label ~gone" {
		t.Errorf("%+v", c)
	}
}

func TestInvalidUTF8IsSentOnce(t *testing.T) {
	eachPlace(t, func(t *testing.T, p *place) {
		p.say(t, "a\xff\xfeb", forge.Created)
		p.say(t, "a\xff\xfeb", forge.Unchanged)
	})
}
