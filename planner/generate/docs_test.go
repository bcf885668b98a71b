package generate

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/cofferhq/coffer/lang"
	"github.com/cofferhq/coffer/providers/secret"
)

var update = flag.Bool("update", false, "write the generated parts of docs/generators.md")

const docPath = "../../docs/generators.md"

// docHead is what stands below the heading of a function, above its example.
func docHead(sig lang.Signature) string {
	var b strings.Builder
	call := slices.Clone(sig.PlainArgs)
	switch {
	case sig.Name == "join":
		call = append(call, "[x, …]")
	case sig.Name == "jsonencode":
		call = append(call, "{ key = x, … }")
	case sig.MaxArgs != 0:
		call = append(call, "x")
	}
	if len(sig.Params) > 0 {
		call = append(call, "{ … }")
	}
	fmt.Fprintf(&b, "`%s(%s)`: %s\n\n", sig.Name, strings.Join(call, ", "), sig.Doc)
	if len(sig.Params) > 0 {
		b.WriteString("| parameter | type | default | allowed | |\n|---|---|---|---|---|\n")
		for _, p := range sig.Params {
			fmt.Fprintf(&b, "| `%s` | %s | `%s` | %s | %s |\n", p.Name, p.Type, docValue(p.Default), docAllowed(p), p.Doc)
		}
		b.WriteString("\n")
	}
	if sig.Entropy != "" {
		figure, rest, _ := strings.Cut(sig.Entropy, "; ")
		fmt.Fprintf(&b, "Entropy: **%s**; %s.\n\n", figure, rest)
	}
	return b.String()
}

func docValue(v any) string {
	switch v := v.(type) {
	case string:
		return fmt.Sprintf("%q", v)
	case []string:
		return fmt.Sprintf("%q", v)
	default:
		return fmt.Sprint(v)
	}
}

func docAllowed(p lang.Param) string {
	switch {
	case p.OneOf != nil:
		return strings.Join(p.OneOf, ", ")
	case p.Type == lang.ParamInt:
		return fmt.Sprintf("%d to %d", p.Min, p.Max)
	case p.Type == lang.ParamString:
		return fmt.Sprintf("%d to %d characters", p.Min, p.Max)
	case p.Type == lang.ParamStrings:
		return fmt.Sprintf("%d to %d entries", p.Min, p.Max)
	default:
		return "true, false"
	}
}

// The page has a section for each function, in the order of the signatures,
// and its tables say what the signatures say. With -update they are written.
func TestDocsSaySignatures(t *testing.T) {
	text, err := os.ReadFile(docPath)
	if err != nil {
		t.Fatal(err)
	}
	heading := regexp.MustCompile("(?m)^### `([a-z0-9_]+)`\n\n")
	var names, want []string
	for _, m := range heading.FindAllStringSubmatch(string(text), -1) {
		names = append(names, m[1])
	}
	page := string(text)
	for _, sig := range append(lang.Generators(), lang.DerivedFunctions()...) {
		want = append(want, sig.Name)
		start := "### `" + sig.Name + "`\n\n"
		before, rest, found := strings.Cut(page, start)
		if !found {
			t.Fatalf("there is no section %q", start)
		}
		fence := strings.Index(rest, "```hcl\n")
		if fence < 0 || !strings.Contains(rest[fence:fence+strings.Index(rest[fence:], "\n```\n")], sig.Name+"(") {
			t.Fatalf("the first example of %s does not use it", sig.Name)
		}
		page = before + start + docHead(sig) + rest[fence:]
	}
	if !slices.Equal(names, want) {
		t.Errorf("sections %v, want %v", names, want)
	}
	switch {
	case page == string(text):
	case *update:
		if err := os.WriteFile(docPath, []byte(page), 0o644); err != nil {
			t.Fatal(err)
		}
	default:
		t.Errorf("%s is behind the signatures: run go test ./planner/generate -run Docs -update", docPath)
	}
}

// Every example is loaded as part of a configuration, and every value in it
// is made.
func TestDocsExamples(t *testing.T) {
	text, err := os.ReadFile(docPath)
	if err != nil {
		t.Fatal(err)
	}
	examples := regexp.MustCompile("(?ms)^```hcl\n(.*?)^```\n").FindAllStringSubmatch(string(text), -1)
	if want := len(generators()) + len(derivers()); len(examples) < want {
		t.Errorf("%d examples, want at least %d", len(examples), want)
	}
	used := map[string]bool{}
	for _, example := range examples {
		runExample(t, example[1], used)
	}
	for _, sig := range append(lang.Generators(), lang.DerivedFunctions()...) {
		if !used[sig.Name] {
			t.Errorf("no example made a value with %s", sig.Name)
		}
	}
}

func runExample(t *testing.T, example string, used map[string]bool) {
	t.Helper()
	dir := t.TempDir()
	config := `coffer {
  project = "docs"
}
provider "sops" {
  path = "secrets"
}
environment "production" {
  store = sops
}
app "docs" {
  environments = ["production"]
` + example + "}\n"
	if err := os.WriteFile(filepath.Join(dir, "main.hcl"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, diags := lang.Load(dir, lang.Options{ProviderTypes: []string{"sops"}})
	if diags.HasErrors() { // an example may warn, as real ones do
		t.Errorf("%s\n%s", example, diags)
		return
	}
	if len(cfg.Secrets) == 0 {
		t.Errorf("no secret in the example:\n%s", example)
	}
	maker := exampleMaker{t: t, used: used, fields: map[lang.Ref]*lang.Source{}, made: map[lang.Ref]secret.Value{}}
	for _, s := range cfg.Secrets {
		for _, f := range s.Fields {
			maker.fields[lang.Ref{Address: s.Address, Field: f.Name}] = f.Source
		}
	}
	for ref := range maker.fields {
		if text(t, maker.at(ref)) == "" {
			t.Errorf("%v is empty", ref)
		}
	}
}

// exampleMaker makes the values of an example, each once.
type exampleMaker struct {
	t      *testing.T
	used   map[string]bool
	fields map[lang.Ref]*lang.Source
	made   map[lang.Ref]secret.Value
}

func (m exampleMaker) at(ref lang.Ref) secret.Value {
	m.t.Helper()
	source, ok := m.fields[ref]
	if !ok {
		m.t.Fatalf("nothing at %v", ref)
	}
	if _, ok := m.made[ref]; !ok {
		m.made[ref] = m.value(source)
	}
	return m.made[ref]
}

func (m exampleMaker) value(s *lang.Source) secret.Value {
	m.t.Helper()
	var v secret.Value
	var err error
	switch s.Kind {
	case lang.Reference:
		return m.at(s.Ref)
	case lang.Literal:
		return secret.String(s.Plain)
	case lang.FromFile:
		return secret.String(" the content of the file\n")
	case lang.Generated:
		v, err = New(s.Func, s.Params, seeded(31))
	case lang.Template:
		whole := ""
		for _, arg := range s.Args {
			whole += text(m.t, m.value(arg))
		}
		v = secret.String(whole)
	case lang.Computed:
		sig, _ := find(lang.DerivedFunctions(), s.Func)
		var plain []string
		var args []secret.Value
		for i, arg := range s.Args {
			if i < len(sig.PlainArgs) {
				plain = append(plain, arg.Plain)
				continue
			}
			args = append(args, m.value(arg))
		}
		v, err = Derive(s.Func, plain, s.Keys, args, s.Params, seeded(31))
	default:
		m.t.Fatalf("an example has a source of kind %d", s.Kind)
	}
	if err != nil {
		m.t.Fatal(err)
	}
	m.used[s.Func] = true
	return v
}
