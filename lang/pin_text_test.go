package lang

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
)

// Two expressions have one text exactly when they mean the same.
func TestCanonicalExpressions(t *testing.T) {
	classes := [][]string{
		{`"a"`, `("a")`, `"${"a"}"`, `"\u0061"`},
		{`"a\n"`, "<<X\na\nX\n", "<<-X\n    a\n    X\n"},
		{`"${a}"`, `a`, `(a)`},
		{`"x${a}"`, `"x${ a }"`},
		{`"$${a}"`},
		{`1`, `1.0`, `1e0`, `(1)`},
		{`-1`, `(-1)`},
		{`- -1`},
		{`!a`},
		{`true`},
		{`false`},
		{`null`},
		{`"null"`},
		{`"true"`},
		{`"1"`},
		{`a.b`},
		{`a["b"]`, `a[ "b" ]`},
		{`a[0]`},
		{`a[b]`},
		{`a.*.b`, `a[*].b`},
		{`a[*]`},
		{`f(a)`, `f(a,)`, `f( a )`, "f(\n  a\n)"},
		{`f(a...)`},
		{`f(a, b)`},
		{`[a, b]`, `[a, b,]`, "[\n  a, # x\n  b\n]"},
		{`[b, a]`},
		{`{ a = 1, b = 2 }`, `{ b = 2, a = 1 }`, "{\n  \"a\" = 1\n  b : 2\n}"},
		{`{ (a) = 1, b = 2 }`},
		{`{ a = 2, b = 1 }`},
		{`a + b`, `(a + b)`},
		{`b + a`},
		{`a - b`},
		{`a * b + c`, `(a * b) + c`},
		{`a * (b + c)`},
		{`a ? b : c`, `(a ? b : c)`},
		{`a ? c : b`},
		{`a == b`},
		{`a != b`},
		{`a < b`},
		{`a <= b`},
		{`a > b`},
		{`a >= b`},
		{`a && b`},
		{`a || b`},
		{`a / b`},
		{`a % b`},
		{`[for x in a : x]`, "[ for x in a: x ]"},
		{`[for x in a : x if x]`},
		{`[for k, x in a : x]`},
		{`{ for x in a : x => x }`},
		{`{ for x in a : x => x... }`},
		{`"%{if a}x%{else}y%{endif}"`, `a ? "x" : "y"`, "\"%{ if a ~}x%{~ else ~}y%{~ endif }\""},
		{`"%{for x in a}${x}%{endfor}"`},
		{`f("a", b)["c"].d`},
		{`f("a", b)["c"]["d"]`},
		{`"%%{a}"`},
		{`"%{if a}x%{endif}"`, `a ? "x" : ""`},
	}
	seen := map[string]string{}
	for _, class := range classes {
		texts := map[string]bool{}
		for _, src := range class {
			texts[canonical(t, src)] = true
		}
		for text := range texts {
			if other, ok := seen[text]; ok {
				t.Errorf("%q and %q have one text: %s", other, class[0], text)
			}
			seen[text] = class[0]
		}
		// The last two are written in several ways that HCL keeps apart.
		if len(texts) > 1 && !strings.Contains(class[0], "%{if") {
			t.Errorf("%q have several texts: %q", class, slices.Collect(maps.Keys(texts)))
		}
	}
}

func canonical(t testing.TB, src string) string {
	t.Helper()
	file, diags := parseSource("x.hcl", []byte("x = "+src+"\n"))
	if diags.HasErrors() {
		t.Fatalf("%s: %s", src, diags)
	}
	attrs, _ := file.Body.JustAttributes()
	c := &pinCollector{files: map[string]*hcl.File{"x.hcl": file}}
	return c.expression(attrs["x"].Expr.(hclsyntax.Expression))
}
