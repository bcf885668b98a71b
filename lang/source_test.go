package lang

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"

	"github.com/cofferhq/coffer/lang/addr"
)

// sourcesOf loads the fields of secret "t" in app "web", environment "dev".
func sourcesOf(t *testing.T, fields string) map[string]*Source {
	t.Helper()
	dir := t.TempDir()
	write(t, dir, "coffer.hcl", bombHead+`
app "web" {
  secret "a" {
    value = random_uuid()
  }
  secret "b" {
    fields = {
      x = random_uuid()
    }
  }
  secret "t" {
    fields = {
`+fields+`
    }
  }
}
`)
	cfg, diags := Load(dir, Options{ProviderTypes: []string{"sops"}})
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	out := map[string]*Source{}
	for _, s := range cfg.Secrets {
		if s.Address == addr.Secret("web", "dev", "t") {
			for _, f := range s.Fields {
				out[f.Name] = f.Source
			}
		}
	}
	return out
}

func TestSourceRefs(t *testing.T) {
	got := sourcesOf(t, `
		plain = random_uuid()
		one   = secret.a
		many  = "${secret.b.x}-${base64encode("${self.one}${secret.a}")}-${join(",", [secret.b.x, self.plain])}"`)
	own := addr.Secret("web", "dev", "t")
	for name, want := range map[string][]Ref{
		"plain": nil,
		"one":   {{Address: addr.Secret("web", "dev", "a")}},
		"many": {
			{Address: addr.Secret("web", "dev", "b"), Field: "x"},
			{Address: own, Field: "one"},
			{Address: addr.Secret("web", "dev", "a")},
			{Address: own, Field: "plain"},
		},
	} {
		if diff := cmp.Diff(want, got[name].Refs()); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

// The text of a source says the same however it was written.
func TestSourceTextIsCanonical(t *testing.T) {
	got := sourcesOf(t, `
		a1 = random_password({ length = 20, symbols = false })
		a2 = (random_password({
		  symbols = "false" # a comment
		  length  = 10 + 10
		}))
		b1 = "x-${secret.a}-${secret.b.x}"
		b2 = "${"x-"}${app.web.secret.a}-${"${secret.b.x}"}"
		c1 = base64encode(secret.a)
		c2 = true ? base64encode((secret.a)) : manual()`)
	for _, pair := range []string{"a", "b", "c"} {
		one, two := got[pair+"1"].Text(), got[pair+"2"].Text()
		if one != two {
			t.Errorf("%s and %s should be the same", one, two)
		}
	}
	want := `"x-${app.web.secret.a}-${app.web.secret.b.x}"`
	if text := got["b1"].Text(); text != want {
		t.Errorf("got %s, want %s", text, want)
	}
}

// Everything that loads has a text that is HCL, on one line, without control
// characters.
func TestSourceTextIsHCL(t *testing.T) {
	for name, archive := range archives(t) {
		dir, o, _ := unpack(t, archive)
		cfg, diags := Load(dir, o)
		if diags.HasErrors() {
			continue
		}
		for _, s := range cfg.Secrets {
			for _, f := range s.Fields {
				t.Run(name, func(t *testing.T) { checkSource(t, f.Source) })
			}
		}
	}
}

func checkSource(t *testing.T, s *Source) {
	t.Helper()
	text := s.Text()
	if strings.ContainsFunc(text, isControl) {
		t.Errorf("control characters in %q", text)
	}
	if _, diags := hclsyntax.ParseExpression([]byte(text), "text", hcl.InitialPos); diags.HasErrors() {
		t.Errorf("%s is not HCL: %v", text, diags)
	}
	if text == "" || s.Range.Filename == "" {
		t.Errorf("a source without text or place: %q at %v", text, s.Range)
	}
}

func TestEscaped(t *testing.T) {
	for in, want := range map[string]string{
		"":               `""`,
		"a\"b\\c":        `"a\"b\\c"`,
		"\n\r\t":         `"\n\r\t"`,
		"${x} $x %{y} $": `"$${x} $x %%{y} $"`,
		"$${x}":          `"$$${x}"`,
		"\x1b[31m":       `"\u001b[31m"`,
		"a\u202eb\ue007": `"a\u202eb\ue007"`,
		"\U000e0001":     `"\U000e0001"`,
		"ünï":            `"ünï"`,
	} {
		got := quoted(in)
		if got != want {
			t.Errorf("%q: got %s, want %s", in, got, want)
		}
		expr, diags := hclsyntax.ParseExpression([]byte(got), "text", hcl.InitialPos)
		if diags.HasErrors() {
			t.Errorf("%s: %v", got, diags)
			continue
		}
		if v, _ := expr.Value(nil); v.AsString() != in {
			t.Errorf("%s reads back as %q, want %q", got, v.AsString(), in)
		}
	}
}

// A call whose text stands in many places is worked out once: what it gives,
// and what is wrong with it, is still said of each place, and a name in it means
// what it means there.
func TestSourceOfARepeatedCall(t *testing.T) {
	got := sourcesOf(t, `
		one   = random_password({ length = 20 })
		two   = random_password({ length = 20 })
		three = random_password({ length =  20 })
		here  = from_env("${upper(each.secret)}_X")
		text  = public("${each.secret}")`)
	lines := map[int]bool{}
	for _, name := range []string{"one", "two", "three"} {
		s := got[name]
		lines[s.Range.Start.Line] = true
		if s.Kind != Generated || !cmp.Equal(s.Params, map[string]any{"length": 20}) {
			t.Errorf("%s is %+v", name, s)
		}
	}
	if len(lines) != 3 || got["here"].Plain != "T_X" || got["text"].Plain != "t" {
		t.Errorf("on lines %v, %q, %q", lines, got["here"].Plain, got["text"].Plain)
	}

	dir := t.TempDir()
	write(t, dir, "coffer.hcl", bombHead+"app \"web\" {\n"+
		"secret \"a\" {\nvalue = from_env(\"${each.secret}_X\")\n}\nsecret \"b\" {\nvalue = from_env(\"${each.secret}_X\")\n}\n"+
		"secret \"c\" {\nvalue = random_password({ length = 1 })\n}\nsecret \"d\" {\nvalue = random_password({ length = 1 })\n}\n"+
		"secret \"e\" {\nvalue = random_uuid()\n}\nenv_file \"f\" {\ndata = { E = random_uuid() }\n}\n}\n")
	cfg, diags := Load(dir, Options{ProviderTypes: []string{"sops"}})
	var wrong []int
	for _, d := range diags {
		wrong = append(wrong, d.Subject.Start.Line)
	}
	if len(wrong) != 3 || wrong[1] != wrong[0]+3 || wrong[2] != wrong[1]+6 {
		t.Errorf("%v", diags)
	}
	for _, s := range cfg.Secrets {
		if name := s.Address.Name; (name == "a" || name == "b") && s.Fields[0].Source.Plain != name+"_X" {
			t.Errorf("%s comes from %q", name, s.Fields[0].Source.Plain)
		}
	}
}
