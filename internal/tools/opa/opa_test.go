//go:build servers && unix

// Package opa holds docs/opa.md and the rules below docs/rego to what they say:
// its commands run word for word, with the real opa tool and a coffer that is
// built from this tree, on real plans. It knows nothing of Coffer's packages.
package opa

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const (
	binary = "COFFER_TEST_BINARY"
	root   = "../../.."
	page   = root + "/docs/opa.md"
	rules  = root + "/docs/rego"
)

// TestMain builds the program once, where COFFER_TEST_BINARY names none.
func TestMain(m *testing.M) {
	os.Exit(func() int {
		if os.Getenv(binary) != "" {
			return m.Run()
		}
		dir, err := os.MkdirTemp("", "coffer-opa-")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(dir)
		program := filepath.Join(dir, "coffer")
		build := exec.Command("go", "build", "-tags", "urfave_cli_no_docs", "-o", program, ".")
		build.Dir, build.Stderr = root, os.Stderr
		if err := errors.Join(build.Run(), os.Setenv(binary, program)); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		return m.Run()
	}())
}

// blocks returns the code blocks of the page in one language.
func blocks(t *testing.T, language string, want int) []string {
	t.Helper()
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, m := range regexp.MustCompile("(?ms)^```"+language+"\n(.*?)^```$").FindAllSubmatch(text, -1) {
		all = append(all, string(m[1]))
	}
	if len(all) != want {
		t.Fatalf("%d blocks of %s in %s, want %d", len(all), language, page, want)
	}
	return all
}

// shop is a project with the page's configuration and rules, applied once.
type shop struct {
	t     *testing.T
	dir   string
	env   []string
	names *strings.Replacer // the page's names of readers to real keys
}

func newShop(t *testing.T) *shop {
	t.Helper()
	opa := os.Getenv("COFFER_TEST_OPA")
	if opa == "" {
		t.Fatal("COFFER_TEST_OPA names no opa binary; `make test-servers` builds one")
	}
	bin := t.TempDir()
	for name, tool := range map[string]string{"opa": opa, "coffer": os.Getenv(binary)} {
		if err := os.Symlink(tool, filepath.Join(bin, name)); err != nil {
			t.Fatal(err)
		}
	}
	s := &shop{t: t, dir: t.TempDir(), env: []string{"PATH=" + bin + ":" + os.Getenv("PATH"), "STRIPE_KEY=from-the-machine"}}
	bob := s.identity(t.TempDir())
	alice := s.identity(t.TempDir()) // whose home is kept
	s.names = strings.NewReplacer("age1alice…", alice, "age1bob…", bob)
	s.write("coffer.hcl", s.names.Replace(blocks(t, "hcl", 2)[0]))
	if err := os.CopyFS(filepath.Join(s.dir, "policy"), os.DirFS(rules)); err != nil {
		t.Fatal(err)
	}
	return s
}

// identity makes an age identity in a home, which later commands use, and
// returns its public key.
func (s *shop) identity(home string) string {
	s.t.Helper()
	s.env = append(s.env, "HOME="+home)
	elsewhere := &shop{t: s.t, dir: s.t.TempDir(), env: s.env}
	out := elsewhere.must("coffer init")
	key := regexp.MustCompile(`age1[a-z0-9]+`).FindString(out)
	if key == "" {
		s.t.Fatalf("coffer init names no public key:\n%s", out)
	}
	return key
}

func (s *shop) write(name, text string) {
	s.t.Helper()
	if err := os.WriteFile(filepath.Join(s.dir, name), []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
}

// sh runs a command line as a person would and returns what is on stdout, and
// the exit code.
func (s *shop) sh(line string) (string, int) {
	s.t.Helper()
	cmd := exec.Command("bash", "-c", line)
	cmd.Dir, cmd.Env = s.dir, s.env
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		s.t.Fatal(err)
	}
	if stderr.Len() > 0 {
		s.t.Logf("%s\n%s", line, stderr.String())
	}
	return stdout.String(), cmd.ProcessState.ExitCode()
}

func (s *shop) must(line string) string {
	s.t.Helper()
	out, code := s.sh(line)
	if code != 0 {
		s.t.Fatalf("%s: exit %d\n%s", line, code, out)
	}
	return out
}

// judge runs the page's first command: it must print the findings, and end with
// 1 where there are some.
func (s *shop) judge(what, findings string) {
	s.t.Helper()
	want := 0
	if findings != "" {
		want = 1
	}
	got, code := s.sh(blocks(s.t, "sh", 2)[0])
	if got = strings.TrimSuffix(got, "\n"); got != s.names.Replace(strings.TrimSuffix(findings, "\n")) || code != want {
		s.t.Errorf("%s: exit %d, want %d\n%s\nwant\n%s", what, code, want, got, findings)
	}
}

// TestPageShowsTheRules: the page is the files, and opa has nothing to say about
// them.
func TestPageShowsTheRules(t *testing.T) {
	files, err := filepath.Glob(rules + "/*.rego")
	if err != nil {
		t.Fatal(err)
	}
	shown := blocks(t, "rego", len(files))
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		found := false
		for _, block := range shown {
			found = found || block == string(text)
		}
		if !found {
			t.Errorf("no block of %s is %s", page, filepath.Base(file))
		}
	}
	s := newShop(t)
	s.must("opa check --strict policy && opa fmt --fail policy >/dev/null")
	if version := s.must("opa version"); !strings.Contains(version, "Version: 1.22.") {
		t.Errorf("the page says that the rules are tested with another version than\n%s", version)
	}
}

// change is what a pull request does to the configuration.
type change struct{ before, after string }

// TestRules breaks each rule as the page says, and mends it.
func TestRules(t *testing.T) {
	s := newShop(t)
	prints := blocks(t, "text", 4)
	broken, deleted, supplied, reader := prints[0], prints[1], prints[2], prints[3]
	var (
		base      = s.names.Replace(blocks(t, "hcl", 2)[0])
		list      = s.names.Replace(blocks(t, "json", 1)[0])
		key       = "  secret \"session_key\" {\n    value = random_hex({ bytes = 32 })\n  }\n\n"
		generated = "random_hex({ bytes = 32 })"
		end       = "    }\n  }\n}\n"
		stripe    = blocks(t, "hcl", 2)[1]
		one       = s.names.Replace(`production = ["age1alice…"]`)
		both      = s.names.Replace(`production = ["age1alice…", "age1bob…"]`)
		removed   = "app \"checkout\" {\n  environments = [\"dev\", \"production\"]\n"
		confirm   = "removed {\n  from = app.checkout.secret.session_key\n\n  lifecycle {\n    destroy = true\n  }\n}\n\n"
	)
	s.judge("without readers.json nobody is listed",
		`coffer.hcl:23: provider.sops.recipients["production/checkout.yaml"] gets a reader who is not in readers.json: age1alice…`)
	s.write("policy/readers.json", list)
	s.judge("the first plan", "")
	s.must("coffer init && coffer apply -auto-approve")
	s.judge("nothing changes", "")
	for _, step := range []struct {
		what     string
		changes  []change
		findings string
	}{
		{"a configuration that does not load", []change{{"app \"checkout\" {", "app checkout {{"}}, broken},
		{"a secret and a field are gone", []change{{key, ""}, {"      previous = random_uuid()\n", ""}}, deleted},
		{"a removed block says so", []change{{key, ""}, {removed, confirm + removed}}, ""},
		{"a field more", []change{{"previous =", "next = random_uuid()\n      previous ="}}, ""},
		{"a value from a machine", []change{{end, "    }\n  }\n\n" + stripe + "}\n"}}, supplied},
		{"another source", []change{{generated, `from_env("STRIPE_KEY")`}}, ""}, // keeps its value
		{"a secret more", []change{{end, "    }\n  }\n\n" + strings.Replace(stripe, `from_env("STRIPE_KEY")`, "manual()", 1) + "}\n"}}, ""},
		{"one more reader", []change{{one, both}}, reader},
		{"a reader less, in dev", []change{{s.names.Replace(`, "age1bob…"`), ""}}, ""},
	} {
		text := base
		for _, c := range step.changes {
			if !strings.Contains(text, c.before) {
				t.Fatalf("%s: the page's configuration has no %s", step.what, c.before)
			}
			text = strings.Replace(text, c.before, c.after, 1)
		}
		s.write("coffer.hcl", text)
		s.judge(step.what, step.findings)
	}
	s.write("coffer.hcl", strings.Replace(base, one, both, 1))
	s.write("policy/readers.json", strings.Replace(list, "]", s.names.Replace(`, "age1bob…"]`), 1))
	s.judge("a reader who is listed", "")
}

// TestOneEnvironmentIsFree: the rules are about production alone.
func TestOneEnvironmentIsFree(t *testing.T) {
	s := newShop(t)
	base := strings.ReplaceAll(s.names.Replace(blocks(t, "hcl", 2)[0]), `environments = ["dev", "production"]`, `environments = ["dev"]`)
	s.write("coffer.hcl", base)
	s.judge("no readers.json, and no production", "")
	s.must("coffer apply -auto-approve")
	s.write("coffer.hcl", strings.Replace(base, "  secret \"webhook", blocks(t, "hcl", 2)[1]+"  secret \"webhook", 1))
	s.judge("a value from a machine", "")
	s.write("coffer.hcl", strings.Replace(base, "      previous = random_uuid()\n", "", 1))
	s.judge("a field is gone", "")
}

// TestSavedPlan: the page's second command applies what passes, and nothing else.
func TestSavedPlan(t *testing.T) {
	s := newShop(t)
	line := blocks(t, "sh", 2)[1]
	if out, code := s.sh(line); code != 1 || strings.Contains(out, "Applied") {
		t.Errorf("exit %d, want 1\n%s", code, out)
	}
	s.write("policy/readers.json", s.names.Replace(blocks(t, "json", 1)[0]))
	if out, code := s.sh(line); code != 0 || !strings.Contains(out, "Applied: 4 created") {
		t.Errorf("exit %d, want 0\n%s", code, out)
	}
}

// TestFindingsAreForLogs: what a pull request names its files cannot command a
// CI system by way of a finding.
func TestFindingsAreForLogs(t *testing.T) {
	s := newShop(t)
	for name, shown := range map[string]string{
		"##vso[task.complete]x.hcl": "?vso[task.complete]x.hcl",
		"::error::x.hcl":            "?error::x.hcl",
		"a\u202eb.hcl":              "a?b.hcl",
	} {
		if err := os.Rename(filepath.Join(s.dir, "coffer.hcl"), filepath.Join(s.dir, name)); err != nil {
			t.Fatal(err)
		}
		s.judge(name, shown+`:23: provider.sops.recipients["production/checkout.yaml"] gets a reader who is not in readers.json: age1alice…`)
		if err := os.Rename(filepath.Join(s.dir, name), filepath.Join(s.dir, "coffer.hcl")); err != nil {
			t.Fatal(err)
		}
	}
}

// TestProductionIsTold: by the environment of an address, not by a key that reads
// like one.
func TestProductionIsTold(t *testing.T) {
	s := newShop(t)
	yes := []string{
		`app.a.secret.b["production"]`, `app.a.secret.b["prod"]`, `app.a.secret.b["prod-eu"]@aws.eu`, `app.a["dev"].env_file.b["production-eu"]`,
		`app.a.secret.b["dev"]["production"]`, `app.a.policy.b["production"]`,
	}
	no := []string{
		`app.a.secret.b["dev"]`, `app.a.secret.b["preproduction"]`, `app.a.secret.b["production"]["dev"]`, `app.a["prod"].secret.b["dev"]@aws.prod`,
		`provider.sops.recipients["production"]`, `app.production.secret.prod["dev"]`,
	}
	list, err := json.Marshal(append(slices.Clone(yes), no...))
	if err != nil {
		t.Fatal(err)
	}
	s.write("query.rego", "[a | some a in "+string(list)+"; data.coffer.in_production({\"address\": a})]")
	var got []string
	if err := json.Unmarshal([]byte(s.must("opa eval --data policy --format raw --stdin <query.rego")), &got); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(got, yes) {
		t.Errorf("of production are %q, want %q", got, yes)
	}
}
