package lang

import (
	"strings"
	"testing"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
)

// What parseTemplate accepts says in HCL the same.
func FuzzTemplate(f *testing.F) {
	for _, text := range []string{
		"", "x", "${a}", "a ${ b } c", "$${a}", "$$${a}", "$$$${a}", "%%{if}", "%%%{if}", "5% $", "$", "%", "${", "${a", "${}", "${~a~}", "${a.b}",
		"%{ if a }x%{ endif }", "${a}${b}\n${a}\n", "$\n{a}", "{a}", "}", "${a}}", "\"${a}\"", "\\${a}", "${a}\r\n", "$%{", "%${a}", "ä${a}\u0301",
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if guardText("text", []byte(text)) != nil { // no such text comes out of cty
			return
		}
		parts, problem := parseTemplate(text)
		if problem != nil {
			if problem.line < 1 || problem.line > 1+strings.Count(text, "\n") {
				t.Errorf("%q: line %d", text, problem.line)
			}
			return
		}
		values, got := map[string]cty.Value{}, ""
		for _, p := range parts {
			if got += p.text; p.name != "" {
				got += "<" + p.name + ">"
				values[p.name] = cty.StringVal("<" + p.name + ">")
			}
		}
		expr, diags := hclsyntax.ParseTemplate([]byte(text), "text", hcl.InitialPos)
		for _, word := range []string{"true", "false", "null", "for"} {
			if values[word] != cty.NilVal {
				return // a word of HCL, and a name like others here
			}
		}
		if diags.HasErrors() {
			t.Fatalf("%q: %v", text, diags)
		}
		want, diags := expr.Value(&hcl.EvalContext{Variables: values})
		if diags.HasErrors() {
			t.Fatalf("%q: %v", text, diags)
		}
		if cty.StringVal(got) != cty.StringVal(want.AsString()) {
			t.Errorf("%q gives %q, and in HCL %q", text, got, want.AsString())
		}
	})
}

func TestTemplateIsBounded(t *testing.T) {
	if _, problem := parseTemplate(strings.Repeat("${a}", maxPlaces)); problem != nil {
		t.Error(problem)
	}
	if _, problem := parseTemplate(strings.Repeat("${a}", maxPlaces+1)); problem == nil || problem.summary != "Template too long" {
		t.Error(problem)
	}
	dir := t.TempDir()
	write(t, dir, "long.tmpl", strings.Repeat("${text}", 100)+"${secret}")
	write(t, dir, "text", strings.Repeat("x", 20_000))
	write(t, dir, "coffer.hcl", bombHead+`
app "web" {
  secret "a" {
    value = random_uuid()
  }
  secret "t" {
    value = template(file("long.tmpl"), { text = file("text"), secret = secret.a })
  }
}
`)
	_, diags := Load(dir, Options{ProviderTypes: []string{"sops"}})
	if len(diags) != 1 || diags[0].Summary != "Text too long" {
		t.Error(diags)
	}
}

// The text of a template() tells every change of what it makes, and no other.
func TestTemplateTextIsCanonical(t *testing.T) {
	got := sourcesOf(t, `
		a1 = template("x$${a}y$${b}", { a = secret.a, b = "q" })
		a2 = template("${"x"}$${a}y$${b}", {
		  b = lower("Q") # a comment
		  a = app.web.secret.a
		})
		b  = template("z$${a}y$${b}", { a = secret.a, b = "q" })
		c  = template("x$${a}y$${b}", { a = secret.b.x, b = "q" })
		d  = template("x$${a}y$${b}", { a = secret.a, b = "Q" })
		e  = template("x$${b}y$${a}", { b = secret.a, a = "q" })`)
	seen := map[string]string{}
	for _, name := range []string{"a1", "b", "c", "d", "e"} {
		text := got[name].Text()
		if other := seen[text]; other != "" {
			t.Errorf("%s and %s are both %s", name, other, text)
		}
		seen[text] = name
	}
	if got["a1"].Text() != got["a2"].Text() {
		t.Errorf("%s is not %s", got["a1"].Text(), got["a2"].Text())
	}
	if s := got["a1"]; s.Kind != Template || len(s.Args) != 3 || len(s.Refs()) != 1 {
		t.Errorf("%+v", s)
	}
}

// The provider of files is no second block to pin.
func TestManifestsAreNotPinned(t *testing.T) {
	load := func(output string) Loaded {
		dir := t.TempDir()
		write(t, dir, "coffer.hcl", bombHead+"provider \"kubernetes\" {\n  context = \"prod\"\n}\napp \"web\" {\n  sealed_secret \"a\" {\n"+output+"    data = { A = \"x\" }\n  }\n}\n")
		cfg, diags := Load(dir, Options{ProviderTypes: []string{"sops", "kubernetes"}})
		if diags.HasErrors() {
			t.Fatal(diags)
		}
		return Loaded{dir, cfg}
	}
	cluster, file := load(""), load("    output = \"x.yaml\"\n")
	if n := len(file.Config.Providers); n != len(cluster.Config.Providers)+1 {
		t.Errorf("%d providers", n)
	}
	for _, pair := range [][2]Loaded{{cluster, file}, {file, cluster}} {
		if diags := ComparePinned(pair[0], pair[1]); len(diags) > 0 {
			t.Error(diags)
		}
	}
}
