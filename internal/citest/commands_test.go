package citest

import (
	"encoding/json"
	"fmt"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// help is what docs/commands.md, which another test holds to the program, says of
// the flags of each command.
type help map[string][]string

var (
	helpBlock = regexp.MustCompile("(?ms)^```text\n\\$ coffer help ?([a-z ]*)\n(.*?)^```")
	flagLine  = regexp.MustCompile(`(?m)^  (-[a-z-]+)( |$)`)
	global    = regexp.MustCompile(`(?s)Global flags: (.*?)\(coffer help\)`)
)

func commands(t *testing.T) help {
	t.Helper()
	h := help{}
	for _, m := range helpBlock.FindAllStringSubmatch(read(t, filepath.Join(root, "docs/commands.md")), -1) {
		flags := []string{}
		for _, f := range flagLine.FindAllStringSubmatch(m[2], -1) {
			flags = append(flags, f[1])
		}
		if g := global.FindStringSubmatch(m[2]); g != nil {
			flags = append(flags, strings.Fields(g[1])...)
		}
		h[m[1]] = flags
	}
	if len(h) < 20 {
		t.Fatalf("docs/commands.md has only %d commands", len(h))
	}
	return h
}

// unknown returns what is wrong with one call of coffer, given by its words
// without quotes.
func (h help) unknown(words []string) string {
	command, rest := "", words
	for len(rest) > 0 {
		longer := strings.TrimSpace(command + " " + rest[0])
		if _, ok := h[longer]; !ok {
			break
		}
		command, rest = longer, rest[1:]
	}
	if command == "" || command == "ci" {
		return fmt.Sprintf("no command: coffer %s", strings.Join(words, " "))
	}
	for _, word := range rest {
		flag, _, _ := strings.Cut(word, "=")
		if strings.HasPrefix(flag, "-") && !slices.Contains(h[command], flag) {
			return fmt.Sprintf("coffer %s has no flag %s", command, flag)
		}
	}
	return ""
}

var (
	continued = regexp.MustCompile(`\\\n\s*`)
	comment   = regexp.MustCompile(`(?m)(^|\s)#.*$`)
	// call finds coffer where a command begins, and all up to its end.
	call = regexp.MustCompile(`(?m)(?:^|[|;&(]|\$ )\s*coffer ([^|;&()\n]*)`)
)

// calls returns the words of each call of coffer in a script.
func calls(text string) [][]string {
	text = comment.ReplaceAllString(continued.ReplaceAllString(text, " "), "")
	var all [][]string
	for _, m := range call.FindAllStringSubmatch(text, -1) {
		all = append(all, strings.Fields(strings.ReplaceAll(m[1], `"`, "")))
	}
	return all
}

// inline finds commands in the prose.
var inline = regexp.MustCompile("`coffer ([a-z][^`]*)`")

// Every command that a page, a workflow or a hook runs is one of the program, with
// flags that it has.
func TestCommandsExist(t *testing.T) {
	h := commands(t)
	found := 0
	check := func(where string, words []string) {
		found++
		if wrong := h.unknown(words); wrong != "" {
			t.Errorf("%s: %s", where, wrong)
		}
	}
	for _, d := range documents(t) {
		for _, s := range scripts(d) {
			for _, words := range calls(s.text) {
				check(s.at, words)
			}
		}
	}
	for _, b := range blocks(t) {
		if b.language == "sh" {
			for _, words := range calls(b.text) {
				check(b.at, words)
			}
		}
	}
	pages, _ := filepath.Glob(filepath.Join(root, "docs/ci/*.md"))
	for _, page := range pages {
		for _, m := range inline.FindAllStringSubmatch(read(t, page), -1) {
			check(page, strings.Fields(m[1]))
		}
	}
	for _, hook := range list(one(t, hooks).docs[0]) {
		check(hooks, strings.Fields(strings.TrimPrefix(text(hook, "entry"), "coffer ")))
	}
	if found < 20 {
		t.Errorf("found only %d commands", found)
	}
	for _, wrong := range []string{"ci", "ci plans", "ci plan -commend=false", "ci apply -out x", "frob"} {
		if h.unknown(strings.Fields(wrong)) == "" {
			t.Errorf("coffer %s is taken for right", wrong)
		}
	}
	if got := fmt.Sprint(calls("a && coffer ci plan \\\n  -pin \"$x\" # no\nif coffer ci drift || [ 1 ]; then\n  echo coffer x\nfi")); got != "[[ci plan -pin $x]]" {
		// a keyword before it hides a call, so that no page may write one so
		t.Errorf("the calls are %s", got)
	}
}

// What pages use of the action, the component and the hooks is there, and what is
// there is on its page.
func TestPagesKnowWhatThereIs(t *testing.T) {
	act, comp := one(t, action).docs[0], one(t, component).docs[0]
	inputs, outputs := object(act, "inputs"), object(act, "outputs")
	ours := 0
	for _, d := range documents(t) {
		for _, step := range steps(d) {
			if !strings.HasPrefix(text(step, "uses"), "cofferhq/coffer@") {
				continue
			}
			ours++
			for name := range object(step, "with") {
				if inputs[name] == nil {
					t.Errorf("%s: the action has no input %s", d.name, name)
				}
			}
			if text(step, "with", "version") == "" || text(step, "with", "sha256") == "" {
				t.Errorf("%s: uses the action without a version or its sum", d.name)
			}
			for _, m := range regexp.MustCompile(`steps\.coffer\.outputs\.([a-z-]+)`).FindAllStringSubmatch(d.text, -1) {
				if outputs[m[1]] == nil {
					t.Errorf("%s: the action has no output %s", d.name, m[1])
				}
			}
		}
		for _, in := range list(d.docs[0], "include") {
			for name := range object(in, "inputs") {
				if at(comp, "spec", "inputs", name) == nil {
					t.Errorf("%s: the component has no input %s", d.name, name)
				}
			}
		}
		for _, repo := range list(d.docs[0], "repos") {
			for _, hook := range list(repo, "hooks") {
				if !slices.ContainsFunc(list(one(t, hooks).docs[0]), func(h any) bool { return text(h, "id") == text(hook, "id") }) {
					t.Errorf("%s: there is no hook %s", d.name, text(hook, "id"))
				}
			}
		}
	}
	if ours < 4 {
		t.Errorf("the action is used only %d times", ours)
	}
	for page, names := range map[string][]string{
		"github.md":     slices.Concat(slices.Collect(maps.Keys(inputs)), slices.Collect(maps.Keys(outputs))),
		"gitlab.md":     slices.Collect(maps.Keys(object(comp, "spec", "inputs"))),
		"pre-commit.md": {"coffer-fmt", "coffer-validate"},
	} {
		prose := read(t, filepath.Join(root, "docs/ci", page))
		for _, name := range names {
			if !strings.Contains(prose, "`"+name+"`") {
				t.Errorf("%s does not say what %s is", page, name)
			}
		}
	}
}

// The bodies that roles are written with are JSON, and each binds the repository;
// only the apply's binds the environment and one branch.
func TestRolesOfThePagesAreBound(t *testing.T) {
	roles := 0
	for _, b := range blocks(t) {
		for _, m := range regexp.MustCompile(`(?s)vault write auth/(\w+)/role/coffer-(\w+) - <<'EOF'\n(.*?)\nEOF`).FindAllStringSubmatch(b.text, -1) {
			roles++
			var role struct {
				Type     string         `json:"role_type"`
				Claims   map[string]any `json:"bound_claims"`
				Audience []string       `json:"bound_audiences"`
				Policies []string       `json:"token_policies"`
			}
			if err := json.Unmarshal([]byte(m[3]), &role); err != nil {
				t.Errorf("%s: %v", b.at, err)
			}
			repository := map[string]string{"github": "repository_id", "gitlab": "project_id"}[m[1]]
			if role.Type != "jwt" || role.Claims[repository] == nil || len(role.Audience) != 1 || !slices.Equal(role.Policies, []string{"coffer-" + m[2]}) {
				t.Errorf("%s: %s %s is %+v", b.at, m[1], m[2], role)
			}
			if _, one := role.Claims["ref"].(string); (m[2] == "apply") != (one && role.Claims["environment"] == "production") {
				t.Errorf("%s: %s %s is bound to %v", b.at, m[1], m[2], role.Claims)
			}
		}
	}
	if roles != 4 {
		t.Errorf("found %d roles", roles)
	}
}
