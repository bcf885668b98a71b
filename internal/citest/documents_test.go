package citest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

const (
	root      = "../.."
	action    = "action.yml"
	component = "templates/coffer.yml"
	hooks     = ".pre-commit-hooks.yaml"
)

// kind is which program reads a document.
type kind string

const (
	githubAction   kind = "github-action"
	githubWorkflow kind = "github-workflow"
	githubSteps    kind = "steps of a github-workflow"
	preCommitHooks kind = "pre-commit-hooks"
	preCommitUse   kind = "pre-commit-config"
	gitlab         kind = "gitlab"
	atlantisServer kind = "atlantis server"
	atlantisRepo   kind = "atlantis repository"
)

// document is one YAML file, or a block of a page, which names its file in its
// first line.
type document struct {
	name string // where it stands
	kind kind
	text string
	docs []any // a file may have several, between lines of ---
}

// kindOf returns the kind by the name of a file.
func kindOf(path string) (kind, error) {
	switch path {
	case action:
		return githubAction, nil
	case component, ".gitlab-ci.yml":
		return gitlab, nil
	case hooks:
		return preCommitHooks, nil
	case ".pre-commit-config.yaml":
		return preCommitUse, nil
	case "repos.yaml":
		return atlantisServer, nil
	case "atlantis.yaml":
		return atlantisRepo, nil
	}
	if strings.HasPrefix(path, "a step of .github/workflows/") {
		return githubSteps, nil
	}
	if ok, _ := filepath.Match(".github/workflows/*.yml", path); ok {
		return githubWorkflow, nil
	}
	return "", fmt.Errorf("the first line names no file that is known: %q", path)
}

// parse reads YAML strictly: a key that stands twice is an error, and so is one
// that is no text.
func parse(name string, k kind, text string) (document, error) {
	d := document{name: name, kind: k, text: text}
	dec := yaml.NewDecoder(strings.NewReader(text))
	for {
		var doc any
		err := dec.Decode(&doc)
		if errors.Is(err, io.EOF) {
			return d, nil
		}
		if err == nil {
			err = textKeys(doc)
		}
		if err != nil {
			return d, fmt.Errorf("%s: %w", name, err)
		}
		d.docs = append(d.docs, doc)
	}
}

func textKeys(v any) error {
	switch v := v.(type) {
	case map[any]any:
		return fmt.Errorf("a key is no text: %v", v)
	case map[string]any:
		for _, below := range v {
			if err := textKeys(below); err != nil {
				return err
			}
		}
	case []any:
		for _, below := range v {
			if err := textKeys(below); err != nil {
				return err
			}
		}
	}
	return nil
}

var block = regexp.MustCompile("(?ms)^ *```(\\w+)\n(.*?)^ *```")

// block of a page: its language, its text and where it stands.
type fenced struct{ page, at, language, text string }

func blocks(t *testing.T) []fenced {
	t.Helper()
	pages, err := filepath.Glob(filepath.Join(root, "docs/ci/*.md"))
	if err != nil || len(pages) < 6 {
		t.Fatalf("found only the pages %v: %v", pages, err)
	}
	var all []fenced
	for _, page := range pages {
		text := read(t, page)
		name, _ := filepath.Rel(root, page)
		for _, m := range block.FindAllStringSubmatchIndex(text, -1) {
			line := 1 + strings.Count(text[:m[0]], "\n")
			all = append(all, fenced{page: name, at: fmt.Sprintf("%s:%d", name, line), language: text[m[2]:m[3]], text: text[m[4]:m[5]]})
		}
	}
	return all
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// documents returns every YAML document that another program reads.
func documents(t *testing.T) []document {
	t.Helper()
	var all []document
	add := func(name, path, text string) {
		k, err := kindOf(path)
		if err == nil {
			var d document
			if d, err = parse(name, k, text); err == nil {
				all = append(all, d)
			}
		}
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, file := range []string{action, component, hooks} {
		add(file, file, read(t, filepath.Join(root, file)))
	}
	for _, b := range blocks(t) {
		if b.language == "yaml" {
			first, _, _ := strings.Cut(b.text, "\n")
			add(b.at, strings.TrimPrefix(first, "# "), b.text)
		}
	}
	if len(all) < 12 {
		t.Fatalf("found only %d documents", len(all))
	}
	return all
}

// one returns the only document of a file.
func one(t *testing.T, name string) document {
	t.Helper()
	for _, d := range documents(t) {
		if d.name == name {
			return d
		}
	}
	t.Fatalf("there is no %s", name)
	return document{}
}

// at follows keys into a document; nil where there is nothing.
func at(v any, keys ...any) any {
	for _, key := range keys {
		switch k := key.(type) {
		case string:
			m, _ := v.(map[string]any)
			v = m[k]
		case int:
			list, _ := v.([]any)
			if k >= len(list) {
				return nil
			}
			v = list[k]
		}
	}
	return v
}

func text(v any, keys ...any) string {
	s, _ := at(v, keys...).(string)
	return s
}

func list(v any, keys ...any) []any {
	l, _ := at(v, keys...).([]any)
	return l
}

func object(v any, keys ...any) map[string]any {
	m, _ := at(v, keys...).(map[string]any)
	return m
}

func TestParserIsStrict(t *testing.T) {
	for name, bad := range map[string]string{
		"a key twice":      "a: 1\nb: 2\na: 3\n",
		"deeper":           "a:\n  - b: 1\n    b: 2\n",
		"in the second":    "a: 1\n---\nb: 1\nb: 2\n",
		"a number as key":  "1: a\n",
		"no YAML":          "a: b: c\n",
		"a tab as indent":  "a:\n\tb: 1\n",
		"an open quote":    "a: \"b\n",
		"an unknown alias": "a: *b\n",
	} {
		if _, err := parse(name, gitlab, bad); err == nil {
			t.Errorf("%s: parsed %q", name, bad)
		}
	}
	var again bytes.Buffer
	if err := yaml.NewEncoder(&again).Encode(map[string]any{"on": "push"}); err != nil || !strings.HasPrefix(again.String(), "\"on\"") {
		t.Errorf("the key on is %q: %v", again.String(), err)
	}
}
