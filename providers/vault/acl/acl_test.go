package acl

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/cofferhq/coffer/internal/proptest"
)

var now = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

func TestParse(t *testing.T) {
	for name, c := range map[string]struct {
		text string
		want []Rule
	}{
		"empty": {"  \n# nothing\n", nil},
		"plain": {"path \"secret/data/a\" {\n  capabilities = [\"read\", \"create\"]\n}\n", []Rule{
			{Path: "secret/data/a", Capabilities: []string{Create, Read}, Line: 1},
		}},
		"comments, commas, lines": {"# one\n// two\n/* three\n */ path \"a\" { capabilities = [ \"read\", # why\n \"list\", ] , comment = \"x\" }\npath \"b\" { capabilities = [\"sudo\"] }", []Rule{
			{Path: "a", Capabilities: []string{Read, List}, Line: 4},
			{Path: "b", Capabilities: []string{Sudo}, Line: 6},
		}},
		"the old argument": {`path "a" { policy = "read" } path "b" { policy = "write" } path "c" { policy = "sudo" } path "d" { policy = "deny" capabilities = ["read"] }`, []Rule{
			{Path: "a", Capabilities: []string{Read, List}, Line: 1},
			{Path: "b", Capabilities: []string{Create, Read, Update, Delete, List}, Line: 1},
			{Path: "c", Capabilities: []string{Create, Read, Update, Delete, List, Sudo}, Line: 1},
			{Path: "d", Capabilities: []string{Deny}, Line: 1},
		}},
		"deny among others": {`path "a" { capabilities = ["read", "deny", "read"] }`, []Rule{{Path: "a", Capabilities: []string{Deny}, Line: 1}}},
		"one as a string":   {`path "a" { capabilities = "read" }`, []Rule{{Path: "a", Capabilities: []string{Read}, Line: 1}}},
		"what it does not know": {"name = \"x\"\nfuture \"a\" \"b\" { path \"no\" { capabilities = [\"read\"] } }\npath \"a\" {\n allowed_parameters = { \"x\" = [\"1\", 2, true], y = [] }\n pagination_limit = 10\n min_wrapping_ttl = \"1s\"\n text = <<EOT\npath \"no\" { capabilities = [\"read\"] }\nEOT\n capabilities = [\"read\", \"recover\"] }", []Rule{
			{Path: "a", Capabilities: []string{Read, "recover"}, Line: 3},
		}},
		"escapes":      {`path "a\"b\\c/é" { capabilities = ["read"] }`, []Rule{{Path: `a"b\c/é`, Capabilities: []string{Read}, Line: 1}}},
		"templates":    {`path "kv/data/{{identity.entity.name}}/*" { capabilities = ["read"] }`, []Rule{{Path: "kv/data/{{identity.entity.name}}/*", Capabilities: []string{Read}, Line: 1}}},
		"interpolated": {`path "a/${x "y" {}}/b" { capabilities = ["read"] }`, []Rule{{Path: `a/${x "y" {}}/b`, Capabilities: []string{Read}, Line: 1}}},
		"expires": {`path "a" { capabilities = ["read"] expiration = "2026-12-01T00:00:00Z" }`, []Rule{
			{Path: "a", Capabilities: []string{Read}, Line: 1, Expires: time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC)},
		}},
		"json": {` {"path": {"a": {"capabilities": ["read"], "other": {"x": [1, null]}}, "b": [{"policy": "write"}], "a": {"capabilities": ["list"]}}, "name": "x"}`, []Rule{
			{Path: "a", Capabilities: []string{Read}},
			{Path: "b", Capabilities: []string{Create, Read, Update, Delete, List}},
			{Path: "a", Capabilities: []string{List}},
		}},
		"json, a list of paths": {`{"path": [{"a": {"capabilities": ["read"]}}, {"b": {"capabilities": ["list"]}}]}`, []Rule{
			{Path: "a", Capabilities: []string{Read}}, {Path: "b", Capabilities: []string{List}},
		}},
	} {
		got, err := Parse(c.text)
		if err != nil || !cmp.Equal(got, c.want) {
			t.Errorf("%s: error %v, %s", name, err, cmp.Diff(c.want, got))
		}
	}
}

func TestParseRefuses(t *testing.T) {
	for text, want := range map[string]string{
		"path \"a\" {":     "line 1: a block is not closed",
		"path \"a\" {}\n}": `line 2: want an argument or a block, not "}"`,
		"path \"a\" {\n capabilities = [\"read\" }": `line 2: want , or ] in a list, not "}"`,
		"path \"a {}":                       `line 1: want = or a block after "path", not "\"a {}"`,
		"/* no end":                         `line 1: want an argument or a block, not "/*"`,
		"path \"a\" = {}":                   `line 1: want a block after "path"`,
		"path = \"a\"":                      `line 1: path "path" is not a block`,
		"path \"a\" { capabilities = [1] }": `line 1: path "a": capabilities is not a list of strings`,
		"path \"a\" { policy = \"admin\" }": `line 1: path "a": there is no policy "admin"`,
		"x = <<EOT\nno end":                 `want a value`,
		strings.Repeat("a {", 100):          "line 1: blocks nest too deep",
		"a = " + strings.Repeat("[", 100):   "line 1: lists nest too deep",
		`{"path": {`:                        "not JSON: EOF",
		`{} x`:                              "not JSON: there is more after the policy",
		`{"a":` + strings.Repeat("[", 100):  "not JSON: it nests too deep",
		`{"path": {"a": {"capabilities": {"x": "y"}}}}`: `path "a": capabilities is not a list of strings`,
		"path \"a\\x\" { }":                             "want = or a block",
		"path \"\xff\" { }":                             "not UTF-8",
	} {
		_, err := Parse(text)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.40q: %v, want %s", text, err, want)
		}
	}
}

// What is rendered is read as the same rules, whatever stands in the paths.
func TestRenderParses(t *testing.T) {
	proptest.Check(t, func(t *rapid.T) {
		path := rapid.StringMatching(`[a-z/+*"\\ #é{}.-]{1,20}`).Filter(func(s string) bool { return !strings.Contains(s, "${") })
		rule := rapid.Custom(func(t *rapid.T) Rule {
			return Rule{
				Path:         path.Draw(t, "path"),
				Capabilities: Sorted(rapid.SliceOfN(rapid.SampledFrom(order[:8]), 1, 4).Draw(t, "capabilities")),
				Why:          rapid.SampledFrom([]string{"", "one line", "two\nlines", "path \"x\" {}"}).Draw(t, "why"),
			}
		})
		rules := rapid.SliceOfN(rule, 0, 5).Draw(t, "rules")
		got, err := Parse(Render(rules))
		if err != nil {
			t.Fatalf("%v in\n%s", err, Render(rules))
		}
		for i := range got {
			one, err := Parse(rules[i].String())
			if err != nil || one[0].Path != rules[i].Path {
				t.Fatalf("%s: %v", rules[i], err)
			}
			got[i].Line, got[i].Why = 0, rules[i].Why
		}
		if !slices.EqualFunc(got, rules, func(a, b Rule) bool { return cmp.Equal(a, b) }) {
			t.Fatal(cmp.Diff(rules, got))
		}
	})
}

// A literal path grants itself and nothing else.
func TestLiteral(t *testing.T) {
	for path, want := range map[string]bool{
		"secret/data/a": true, "a/+b/c": true, "a+": true, `a"b\c`: true, "a*b": true, "a/{b}": true, "é": true,
		"": false, "/a": false, "a*": false, "a/+/b": false, "+": false, "a/+": false, "a/{{b}}": false, "a/${b}": false, "a\n": false,
	} {
		if Literal(path) != want {
			t.Errorf("Literal(%q) is not %v", path, want)
		}
	}
	proptest.Check(t, func(t *rapid.T) {
		path := rapid.StringMatching(`[ab/+*{}"$\\]{1,8}`).Draw(t, "path")
		other := rapid.StringMatching(`[ab/+*{}"$\\]{1,8}`).Draw(t, "other")
		if !Literal(path) {
			return
		}
		rules, err := Parse(Render([]Rule{{Path: path, Capabilities: []string{Read}}}))
		if err != nil {
			t.Fatal(err)
		}
		s := NewSet(now, rules)
		if !s.Allows(path, Read) {
			t.Fatalf("%q does not allow itself", path)
		}
		if strings.Trim(other, "/") != strings.Trim(path, "/") && s.Allows(other, Read) {
			t.Fatalf("%q allows %q", path, other)
		}
	})
}

func TestGrants(t *testing.T) {
	const secret = "secret/data/shop/production/db"
	for text, line := range map[string]int{
		`path "secret/data/shop/production/db" { capabilities = ["read"] }`:                                                                      1,
		`path "secret/data/shop/production/db" { capabilities = ["list", "update"] }`:                                                            0,
		`path "secret/metadata/*" { capabilities = ["read"] }`:                                                                                   0,
		`path "*" { capabilities = ["read"] }`:                                                                                                   1,
		"path \"+/data/shop/+/db\" { policy = \"read\" }\npath \"+/data/+/production/db\" { policy = \"deny\" }":                                 0,
		`path "secret/+/shop/+/db" { policy = "write" }`:                                                                                         1,
		"path \"secret/*\" { capabilities = [\"read\"] }\npath \"secret/data/shop/*\" { capabilities = [\"list\"] }":                             0,
		"path \"secret/*\" { capabilities = [\"list\"] }\npath \"secret/data/shop/*\" { capabilities = [\"read\"] }":                             2,
		"path \"secret/*\" { capabilities = [\"read\"] }\npath \"secret/data/shop/production/db\" { capabilities = [\"deny\"] }":                 0,
		"path \"secret/data/*\" { capabilities = [\"list\"] }\npath \"secret/data/*\" { capabilities = [\"read\"] }":                             2,
		`path "secret/data/{{identity.entity.metadata.app}}/*" { capabilities = ["read"] }`:                                                      1,
		`path "secret/data/{{identity.entity.name}}" { capabilities = ["read"] }`:                                                                1,
		`path "secret/data/{{identity.entity.name}}/cache" { capabilities = ["read"] }`:                                                          0,
		`path "secret/data/shop-{{identity.entity.name}}/*" { capabilities = ["read"] }`:                                                         0,
		`path "secret/data/+/{{identity.entity.name}}/d*" { capabilities = ["read"] }`:                                                           1,
		"path \"secret/data/shop/*\" { capabilities = [\"deny\"] }\npath \"secret/data/{{identity.entity.name}}/*\" {capabilities = [\"read\"]}": 2,
		`path "secret/data/*" { capabilities = ["read"] expiration = "2026-01-01T00:00:00Z" }`:                                                   0,
		`path "secret/data/{{identity.entity.name}}/*" { capabilities = ["read"] expiration = "2026-01-01T00:00:00Z" }`:                          0,
	} {
		rules, err := Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		r, ok := NewSet(now, rules).Grants(secret, Read)
		if ok != (line > 0) || r.Line != line {
			t.Errorf("%s: %v by line %d, want line %d", text, ok, r.Line, line)
		}
	}
}

// What a set of policies allows does not depend on their order, one that denies
// a path adds nothing to it, and Grants finds whatever a policy allows.
func TestSetProperties(t *testing.T) {
	proptest.Check(t, func(t *rapid.T) {
		policies := rapid.SliceOfN(rapid.SliceOfN(anyRule(), 1, 4), 1, 4).Draw(t, "policies")
		path := rapid.StringMatching(`[ab]{0,2}(/[ab]{1,2}){0,3}/?`).Draw(t, "path")
		got := NewSet(now, policies...).Capabilities(path)
		backwards := slices.Clone(policies)
		slices.Reverse(backwards)
		if other := NewSet(now, backwards...).Capabilities(path); !slices.Equal(got, other) {
			t.Fatalf("%v, and %v in another order", got, other)
		}
		denied := slices.Concat(policies, [][]Rule{{{Path: strings.TrimLeft(path, "/"), Capabilities: []string{Deny}}}})
		if c := NewSet(now, denied...).Capabilities(path); !slices.Equal(c, []string{Deny}) {
			t.Fatalf("%v in spite of a denial", c)
		}
		for _, rules := range policies {
			if path = strings.Trim(path, "/"); NewSet(now, rules).Allows(path, Read) {
				if r, ok := NewSet(now, rules).Grants(path, Read); !ok || !slices.Contains(r.Capabilities, Read) {
					t.Fatalf("Grants finds nothing, or %s", r)
				}
			}
		}
	})
}

func anyRule() *rapid.Generator[Rule] {
	return rapid.Custom(func(t *rapid.T) Rule {
		return Rule{
			Path:         rapid.StringMatching(`([ab+]/){0,3}([ab]{0,2}\*|[ab]{1,2}|\+)`).Draw(t, "path"),
			Capabilities: Sorted(rapid.SliceOfN(rapid.SampledFrom([]string{Read, List, Update}), 0, 2).Draw(t, "capabilities")),
		}
	})
}

// FuzzParse: no text makes the reader fail in another way than by an error,
// and what it has read can be written and read again.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		`path "a" { capabilities = ["read"] }`, `{"path": {"a": {"policy": "write"}}}`, "path \"a\" { x = <<-EOT\nb\n EOT\n}",
		`path "a/${b}/{{c}}" { policy = "deny" }`, "/* */ // \n# \n", `path "\u00e9\n" {}`,
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		rules, err := Parse(text)
		if err != nil {
			return
		}
		NewSet(now, rules).Capabilities(text)
		NewSet(now, rules).Grants(text, Read)
		for i := range rules {
			if strings.ContainsAny(rules[i].Path, "$") { // nothing is unescaped in ${…}
				return
			}
		}
		again, err := Parse(Render(rules))
		if err != nil {
			t.Fatalf("%v in\n%s", err, Render(rules))
		}
		for i := range again {
			if again[i].Path != rules[i].Path || !slices.Equal(again[i].Capabilities, rules[i].Capabilities) {
				t.Fatalf("%q became %q", rules[i], again[i])
			}
		}
	})
}
