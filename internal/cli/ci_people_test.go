package cli

import (
	"bytes"
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/cofferhq/coffer/internal/forge/forgetest"
	"github.com/cofferhq/coffer/providers/memory"
	"github.com/cofferhq/coffer/providers/secret"
)

// person ARGS… runs a command as a person does, in a checkout of main, and pushes
// what it changed there: person accept app.mail -auto-approve
func (s *story) person(ts stage, args []string) {
	s.newestMain(ts)
	dir := filepath.Join(s.dir, "alice")
	vars := map[string]string{"HOME": filepath.Join(s.dir, "home"), "COFFER_FINGERPRINT_KEY": s.key, "SOPS_AGE_KEY": s.identity, "MAIL_PASSWORD": string(s.input[0].Value)}
	var out, errs bytes.Buffer
	if code := s.program(dir, vars, args, &out, &errs); code != ExitDone {
		ts.Fatalf("coffer %s ended with exit code %d:\n%s%s", strings.Join(args, " "), code, out.String(), errs.String())
	}
	s.commitAll(ts, "coffer "+args[0])
	s.git(ts, "alice", "push", "--quiet", "origin", "main")
}

// takes BRANCH merges a branch of origin into main, as a person does.
func (s *story) takes(ts stage, args []string) {
	branch := args[0]
	s.git(ts, "alice", "fetch", "--quiet", "origin")
	s.newestMain(ts)
	found := s.git(ts, "alice", "branch", "--remotes", "--list", "origin/"+branch, "--format", "%(refname)")
	s.git(ts, "alice", "merge", "--quiet", "-m", "Bring the state home", found)
	s.git(ts, "alice", "push", "--quiet", "origin", "main")
}

// undo PATH puts what lies there back to what it was before it was last changed.
func (s *story) undo(ts stage, args []string) {
	s.newestMain(ts)
	commits := strings.Fields(s.git(ts, "alice", "log", "--format=%H", "-2", "--", args[0]))
	if len(commits) < 2 {
		ts.Fatalf("%s was never changed", args[0])
	}
	s.git(ts, "alice", "checkout", "--quiet", commits[1], "--", args[0])
	s.commitAll(ts, "Undo "+args[0])
	s.git(ts, "alice", "push", "--quiet", "origin", "main")
}

// protect main|nothing: nobody but a person may push to main.
func (s *story) protect(ts stage, args []string) {
	hook := filepath.Join(s.dir, "origin", "hooks", "update")
	if args[0] == "nothing" {
		ts.Check(os.Remove(hook))
		return
	}
	text := "#!/bin/sh\n[ \"$1\" != refs/heads/main ] || [ \"$(git log -1 --format=%an \"$3\")\" != Coffer ] || { echo 'main is protected' >&2; exit 1; }\n"
	ts.Check(os.MkdirAll(filepath.Dir(hook), 0o755))
	ts.Check(os.WriteFile(hook, []byte(text), 0o755))
}

// stranger N TEXT comments on a pull request as somebody else, with our marker.
func (s *story) stranger(ts stage, args []string) {
	s.forge.AddComment(numberOf(ts, args[0]), forgetest.Comment{
		Author: forgetest.Person{ID: 666, Login: "mallory"}, Body: "<!-- coffer:shop:plan -->\n" + args[1],
	})
}

// hand STORE put|rm PATH [VALUE] changes a store as somebody else.
func (s *story) hand(ts stage, args []string) {
	if len(args) < 3 {
		ts.Fatalf("usage: hand STORE put PATH VALUE | hand STORE rm PATH")
	}
	w := s.storeOf(args[0]).world
	switch args[1] {
	case "put":
		w.Edit(args[2], secret.String(args[3]), "bob")
	case "rm":
		w.Remove(args[2], 30*24*time.Hour)
	case "destroy":
		w.Remove(args[2], 0)
	default:
		ts.Fatalf("hand: %q is not known", args[1])
	}
}

// store NAME down|up makes a store unreachable.
func (s *story) store(_ stage, args []string) {
	s.storeOf(args[0]).down = args[1] == "down"
}

func (s *story) storeOf(name string) *storeInStory {
	if s.stores[name] == nil {
		s.stores[name] = &storeInStory{world: memory.NewWorld("cloud:" + name)}
	}
	return s.stores[name]
}

// fault WHAT lets something go wrong on the forge until: forge is well.
func (s *story) fault(ts stage, args []string) {
	s.ill = true
	switch what := strings.Join(args, " "); what {
	case "is down":
		s.forge.Fail(forgetest.Always, "", 503)
	case "limits once":
		s.forge.RateLimit(1, "", 403, map[string]string{"Retry-After": "20"})
	case "limits for an hour":
		s.forge.RateLimit(forgetest.Always, "", 429, map[string]string{"Retry-After": "3600"})
	case "denies writing":
		s.forge.Deny("POST /issues/")
		s.forge.Deny("PATCH /issues/")
	case "loses an answer":
		s.forge.Cut(1, "POST /comments", forgetest.After)
	case "is well":
		s.ill = false
		s.forge.Heal()
	default:
		ts.Fatalf("forge: %q is not known", what)
	}
}

// sayings: says N[/JOB[:PROJECT]] REGEXP, or says issue REGEXP: what the last comment on a pull
// request, or the newest issue, says. With ! what it does not say.
func sayings(ts *testscript.TestScript, neg bool, args []string) {
	s := ts.Value(storyKey{}).(*story)
	if len(args) != 2 {
		ts.Fatalf("usage: says N|N/apply|issue REGEXP")
	}
	text := s.said(ts, args[0])
	if regexp.MustCompile("(?m)"+args[1]).MatchString(text) == neg {
		ts.Fatalf("%s says:\n%s", args[0], text)
	}
}

func (s *story) said(ts stage, where string) string {
	if where == "issue" {
		all := s.forge.Issues()
		if len(all) == 0 {
			return "there is no issue"
		}
		last := all[len(all)-1]
		return fmt.Sprintf("#%d %s closed=%v\n%s", last.Number, last.Title, last.Closed, last.Body)
	}
	number, kind, _ := strings.Cut(where, "/")
	kind, project, _ := strings.Cut(kind, ":")
	n, err := strconv.Atoi(number)
	ts.Check(err)
	for _, c := range s.forge.Comments(n) {
		if strings.HasPrefix(c.Body, "<!-- coffer:"+cmp.Or(project, "shop")+":"+cmp.Or(kind, "plan")+" -->\n") {
			return c.Body
		}
	}
	return "there is no comment"
}

// logged: log REGEXP: what the last job printed, on both streams.
func logged(ts *testscript.TestScript, neg bool, args []string) {
	s := ts.Value(storyKey{}).(*story)
	if regexp.MustCompile("(?m)"+args[0]).MatchString(s.out) == neg {
		ts.Fatalf("the job printed:\n%s", s.out)
	}
}

// posted is what stands on the forge: each comment of a pull request and each
// issue, by its name for people.
func (s *story) posted() map[string]string {
	all := map[string]string{}
	for n := range s.pulls {
		for _, c := range s.forge.Comments(n) {
			all[fmt.Sprintf("comment on %d %d", n, c.ID)] = c.Body
		}
	}
	for n, i := range s.forge.Issues() { // GitHub numbers them with the pull requests
		all[fmt.Sprintf("issue %d", n+1)] = i.Title + "\n" + i.Body
		if i.Closed {
			all[fmt.Sprintf("issue %d", n+1)] = "closed"
		}
	}
	return all
}

// effects says what a job changed on the forge.
func effects(before, after map[string]string) string {
	var did []string
	for name, text := range after {
		was, there := before[name]
		name = regexp.MustCompile(` \d{5,}$`).ReplaceAllString(name, "") // the id of a comment
		switch {
		case !there && strings.HasPrefix(name, "issue"):
			did = append(did, name+" opened")
		case !there:
			did = append(did, name+" created")
		case was != text && text == "closed":
			did = append(did, name+" closed")
		case was != text:
			did = append(did, name+" updated")
		}
	}
	for name := range before {
		if _, there := after[name]; !there {
			did = append(did, name+" deleted")
		}
	}
	if len(did) == 0 {
		return "quiet"
	}
	slices.Sort(did)
	return strings.Join(did, ", ")
}
