package lang

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
	ctyjson "github.com/zclconf/go-cty/cty/json"
)

// call evaluates an HCL expression with the functions, the variable mib (1 MiB
// of text) and the variable many (10^5 elements).
func call(t testing.TB, root *os.Root, expression string) (cty.Value, error) {
	t.Helper()
	parsed, diags := hclsyntax.ParseExpression([]byte(expression), "test.hcl", hcl.InitialPos)
	if diags.HasErrors() {
		t.Fatalf("%s: %v", expression, diags)
	}
	many := make([]cty.Value, maxElements)
	for i := range many {
		many[i] = cty.StringVal(fmt.Sprint(i))
	}
	v, diags := parsed.Value(&hcl.EvalContext{
		Functions: functions(root),
		Variables: map[string]cty.Value{
			"mib": cty.StringVal(strings.Repeat("x", maxText)), "many": cty.ListVal(many),
			"huge": cty.MustParseNumberVal("1e2000"), "tiny": cty.MustParseNumberVal("1e-2000"),
			"unknown": cty.UnknownVal(cty.String), "dynamic": cty.DynamicVal, "unknownlist": cty.UnknownVal(cty.List(cty.String)),
			"none": cty.NullVal(cty.String), "set": cty.SetVal([]cty.Value{cty.StringVal("a"), cty.StringVal("b")}),
		},
	})
	if diags.HasErrors() {
		return cty.NilVal, diags
	}
	return v, nil
}

// TestFunctions has at least one case for every function.
func TestFunctions(t *testing.T) {
	root := testRoot(t)
	tests := []struct{ expression, want string }{
		{`abs(-2.5)`, `2.5`},
		{`ceil(1.2)`, `2`},
		{`floor(-1.2)`, `-2`},
		{`log(8, 2)`, `3`},
		{`max(1, 3, 2)`, `3`},
		{`min(1, 3, 2)`, `1`},
		{`parseint("ff", 16)`, `255`},
		{`pow(2, 10)`, `1024`},
		{`signum(-9)`, `-1`},
		{`sum([1, 2, 3.5])`, `6.5`},

		{`chomp("a\n\n")`, `"a"`},
		{`format("%s-%03d %5.1f %q %v", "a", 7, 1.25, "b", [1])`, `"a-007   1.2 \"b\" [1]"`},
		{`format("%[2]s%[1]s", "a", "b")`, `"ba"`},
		{`format("100%%")`, `"100%"`},
		{`formatdate("DD MMM YYYY hh:mm ZZZ", "2026-01-02T03:04:05Z")`, `"02 Jan 2026 03:04 UTC"`},
		{`formatlist("%s.%s", ["a", "b"], "c")`, `["a.c","b.c"]`},
		{`indent(2, "a\nb")`, `"a\n  b"`},
		{`join(", ", ["a", "b"], ["c"])`, `"a, b, c"`},
		{`lower("ÄB")`, `"äb"`},
		{`upper("äb")`, `"ÄB"`},
		{`title("hello world")`, `"Hello World"`},
		{`regex("[a-z]+", "12abc3")`, `"abc"`},
		{`regex("(\\d+)-(\\d+)", "1-2")`, `["1","2"]`},
		{`regex("(?P<year>\\d{4})", "in 2026")`, `{"year":"2026"}`},
		{`regexall("[a-z]", "a1b2")`, `["a","b"]`},
		{`replace("a.b.c", ".", "/")`, `"a/b/c"`},
		{`replace("a1b22", "/[0-9]+/", "#")`, `"a#b#"`},
		{`replace("ab", "/(a)(b)/", "$2$1")`, `"ba"`},
		{`replace("ab", "/(?P<x>a)/", "<$${x}>")`, `"\u003ca\u003eb"`},
		{`replace("a/b", "/", "-")`, `"a-b"`},
		{`split(",", "a,b,,c")`, `["a","b","","c"]`},
		{`strrev("abc")`, `"cba"`},
		{`substr("héllo", 1, 3)`, `"éll"`},
		{`timeadd("2026-01-01T00:00:00Z", "36h")`, `"2026-01-02T12:00:00Z"`},
		{`trim("--a--", "-")`, `"a"`},
		{`trimprefix("xay", "x")`, `"ay"`},
		{`trimsuffix("xay", "y")`, `"xa"`},
		{`trimspace(" a\n")`, `"a"`},
		{`startswith("abc", "ab")`, `true`},
		{`endswith("abc", "ab")`, `false`},
		{`strcontains("abc", "b")`, `true`},
		{`base64encode("hé")`, `"aMOp"`},
		{`base64decode("aMOp")`, `"hé"`},
		{`sha256("abc")`, `"ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"`},
		{`urlencode("a b/ü~?&=+%:@")`, `"a%20b%2F%C3%BC~%3F%26%3D%2B%25%3A%40"`},
		{`urlencode("-._~Az09")`, `"-._~Az09"`},

		{`alltrue([true, true])`, `true`},
		{`alltrue([])`, `true`},
		{`alltrue([true, null])`, `false`},
		{`anytrue([false, true])`, `true`},
		{`anytrue([])`, `false`},
		{`chunklist([1, 2, 3], 2)`, `[[1,2],[3]]`},
		{`coalesce(null, "", "a", "b")`, `"a"`},
		{`coalesce(null, 1)`, `1`},
		{`coalesce("", 5)`, `"5"`},
		{`coalescelist([], [1])`, `[1]`},
		{`compact(["a", "", null, "b"])`, `["a","b"]`},
		{`concat([1], ["a"], [])`, `[1,"a"]`},
		{`contains(["a", "b"], "b")`, `true`},
		{`distinct(["a", "b", "a"])`, `["a","b"]`},
		{`distinct([{a = 1}, {a = 2}, {a = 1}])`, `[{"a":1},{"a":2}]`},
		{`distinct([])`, `[]`},
		{`element(["a", "b"], 3)`, `"b"`},
		{`flatten([[1, [2]], [], [3]])`, `[1,2,3]`},
		{`index(["a", "b"], "b")`, `1`},
		{`index([1, "a"], "a")`, `1`},
		{`keys({b = 1, a = 2})`, `["a","b"]`},
		{`values({b = 1, a = 2})`, `[2,1]`},
		{`length("héllo")`, `5`},
		{`length([1, 2])`, `2`},
		{`length({a = 1})`, `1`},
		{`length(set)`, `2`},
		{`lookup({a = 1}, "b", 3)`, `3`},
		{`merge({a = 1, b = 2}, {b = 3})`, `{"a":1,"b":3}`},
		{`one(["a"])`, `"a"`},
		{`one([])`, `null`},
		{`one(tolist(["a"]))`, `"a"`},
		{`range(3)`, `[0,1,2]`},
		{`range(1, 7, 2)`, `[1,3,5]`},
		{`reverse([1, 2])`, `[2,1]`},
		{`setintersection(["a", "b"], ["b"])`, `["b"]`},
		{`setproduct(["a", "b"], [1])`, `[["a",1],["b",1]]`},
		{`setsubtract(["a", "b"], ["b"])`, `["a"]`},
		{`setunion(["a"], ["b"])`, `["a","b"]`},
		{`slice(["a", "b", "c"], 1, 2)`, `["b"]`},
		{`sort(["b", "a"])`, `["a","b"]`},
		{`zipmap(["a", "b"], [1, 2])`, `{"a":1,"b":2}`},

		{`csvdecode("a,b\n1,2\n")`, `[{"a":"1","b":"2"}]`},
		{`jsondecode("{\"a\": [1, null, true]}")`, `{"a":[1,null,true]}`},
		{`jsonencode({b = [1, null], a = "<é>"})`, `"{\"a\":\"\\u003cé\\u003e\",\"b\":[1,null]}"`},
		{`tobool("true")`, `true`},
		{`tonumber("1.5")`, `1.5`},
		{`tostring(1.5)`, `"1.5"`},
		{`tolist(["a", 1])`, `["a","1"]`},
		{`toset(["b", "a", "b"])`, `["a","b"]`},
		{`tomap({a = 1, b = "c"})`, `{"a":"1","b":"c"}`},
		{`try(none.x, "fallback")`, `"fallback"`},
		{`can(tonumber("x"))`, `false`},
		{`can(1)`, `true`},

		{`file("a.txt")`, `"hello\n"`},
		{`file("sub/b.txt")`, `"below"`},
		{`file("./sub/../a.txt")`, `"hello\n"`},
		{`file("inside")`, `"hello\n"`},
		{`file("empty")`, `""`},
		{`filebase64("binary")`, `"/wA="`},
		{`fileexists("a.txt")`, `true`},
		{`fileexists("no.txt")`, `false`},
		{`fileexists("no/no.txt")`, `false`},
		{`length(file("mib"))`, `1048576`},
	}
	tested := map[string]bool{}
	for _, test := range tests {
		name, _, _ := strings.Cut(test.expression, "(")
		tested[name] = true
		got, err := call(t, root, test.expression)
		if err != nil {
			t.Errorf("%s: %v", test.expression, err)
			continue
		}
		text, err := ctyjson.Marshal(got, got.Type())
		if err != nil || string(text) != test.want {
			t.Errorf("%s = %s, want %s (%v)", test.expression, text, test.want, err)
		}
	}
	for name := range functions(root) {
		if !tested[name] {
			t.Errorf("%s has no case", name)
		}
	}
	for name := range bounds() {
		if !tested[name] {
			t.Errorf("there is a bound for %s, which is no function", name)
		}
	}
}

func TestFunctionsAreWithoutTimeAndChance(t *testing.T) {
	for _, name := range []string{"timestamp", "plantimestamp", "uuid", "uuidv5", "bcrypt", "templatefile", "pathexpand", "abspath", "rsadecrypt", "provider", "fileset"} {
		if _, ok := functions(nil)[name]; ok {
			t.Errorf("there is a function %s", name)
		}
	}
}

func testRoot(t testing.TB) *os.Root {
	t.Helper()
	outside := t.TempDir()
	dir := filepath.Join(outside, "config")
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(os.MkdirAll(filepath.Join(dir, "sub"), 0o755))
	for name, content := range map[string]string{
		"../outside.txt": "secret of another", "a.txt": "hello\n", "sub/b.txt": "below", "empty": "", "binary": "\xff\x00", "mib": strings.Repeat("x", maxText), "big": strings.Repeat("x", maxText+1),
	} {
		must(os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644))
	}
	must(os.Symlink("a.txt", filepath.Join(dir, "inside")))
	must(os.Symlink("../outside.txt", filepath.Join(dir, "outside")))
	must(os.Symlink("/etc/passwd", filepath.Join(dir, "absolute")))
	must(os.Symlink("..", filepath.Join(dir, "up")))
	must(os.Symlink("loop", filepath.Join(dir, "loop")))
	makeFIFO(t, filepath.Join(dir, "fifo"))
	root, err := os.OpenRoot(dir)
	must(err)
	t.Cleanup(func() { _ = root.Close() })
	return root
}

func TestFileFunctionsRefuse(t *testing.T) {
	root := testRoot(t)
	for _, test := range []struct{ path, want string }{
		{"../outside.txt", "not below the configuration directory"},
		{"/etc/passwd", "not below the configuration directory"},
		{"sub/../../outside.txt", "not below the configuration directory"},
		{"", "not below the configuration directory"},
		{"outside", "do not leave it"},
		{"absolute", "do not leave it"},
		{"up/outside.txt", "do not leave it"},
		{"loop", "loop"},
		{"sub", "not a regular file"},
		{".", "not a regular file"},
		{"fifo", "not a regular file"},
		{"a.txt/x", "a.txt/x"},
		{"no.txt", "no such file"},
		{"a\\u0000b", ""},
		{strings.Repeat("x", 5000), ""},
		{"big", "more than 1 MiB"},
		{"binary", "not UTF-8"},
	} {
		for _, name := range []string{"file", "filebase64", "fileexists"} {
			switch {
			case name == "filebase64" && test.path == "binary", name == "fileexists" && slices.Contains([]string{"binary", "big", "no.txt"}, test.path):
				continue // these may
			}
			v, err := call(t, root, fmt.Sprintf(`%s("%s")`, name, test.path))
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("%s(%.40q): %#v, %v, want %q", name, test.path, v, err, test.want)
				continue
			}
			if strings.Contains(err.Error(), filepath.Dir(root.Name())) || strings.Contains(err.Error(), "secret of") || len(err.Error()) > 600 {
				t.Errorf("%s(%.40q): the error tells too much: %v", name, test.path, err)
			}
		}
	}
	for _, name := range []string{"file", "filebase64", "fileexists"} {
		if _, err := call(t, nil, name+`("a.txt")`); err == nil || !strings.Contains(err.Error(), "cannot be read here") {
			t.Errorf("%s without a folder: %v", name, err)
		}
	}
}

// TestFunctionBounds: what would be too large is refused before it is made.
func TestFunctionBounds(t *testing.T) {
	root := testRoot(t)
	tests := []struct{ expression, want string }{
		{`replace(mib, "x", "yy")`, "more than 1 MiB"},
		{`replace("aaaaaaaaaa", "", mib)`, "more than 1 MiB"},
		{`replace(mib, "/x/", "yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy")`, "more than 1 MiB"},
		{`replace(substr(mib, 0, 40000), "/x*/", "$0$0$0$0$0$0$0$0$0$0$0$0$0$0$0$0$0$0$0$0$0$0$0$0$0$0$0$0")`, "more than 1 MiB"},
		{`replace("x", "/x/", mib)`, "more than 1000"},
		{`join(mib, ["a", "b", "c"])`, "more than 1 MiB"},
		{`join(substr(mib, 0, 100), many)`, "more than 1 MiB"},
		{`format("%100000000000s", "a")`, "width"},
		{`format("%.999999999f", 1)`, "width"},
		{`format("%[1]1000000s", "a")`, "width"},
		{`format(substr(replace(substr(mib, 0, 20000), "x", "%[1]s"), 0, 100000), substr(mib, 0, 100000))`, "more than 1 MiB"},
		{`formatlist("%s%s%s%s", many, mib, mib, mib)`, "more than 1 MiB"},
		{`formatlist(mib, many)`, "more than 1 MiB"},
		{`indent(1000000000, "a\nb")`, "more than 1 MiB"},
		{`indent(1e300, "a\nb\n")`, "more than 1 MiB"},
		{`indent(-1, "a\nb\n")`, "negative"},
		{`split("", mib)`, "more than 100000 elements"},
		{`split("x", mib)`, "more than 100000 elements"},
		{`regexall("x", mib)`, "more than 100000 elements"},
		{`regexall("", mib)`, "more than 100000 elements"},
		{`regexall("(((((((((((((((((((((x)))))))))))))))))))))", "x")`, "groups"},
		{`regex("((((((x?){20}){20}){20}){20}){20}){20}", "x")`, "not valid"},
		{`regex("(((x?){30}){30}){1}y", mib)`, "pattern too large"},
		{`regex(mib, "x")`, "more than 1000"},
		{`regex("(", "x")`, "not valid"},
		{`setproduct(many, many)`, "more than 100000 elements"},
		{`setproduct(many, many, many)`, "more than 100000 elements"},
		{`setproduct(range(400), range(400))`, "more than 100000 elements"},
		{`concat(many, ["one more"])`, "more than 100000 elements"},
		{`concat(many, many, many, many, many)`, "more than 400000 elements"},
		{`merge(zipmap(many, many), {a = 1})`, "more than 100000 elements"},
		{`chunklist(many, 1)`, "more than 100000 elements"},
		{`range(100000)`, "1024"},
		{`range(0, 1e300, 1e-300)`, "1024"},
		{`jsonencode(mib)`, "more than 1 MiB"},
		{`jsonencode(replace(mib, "x", "<"))`, "more than 1 MiB"},
		{`base64encode(mib)`, "more than 1 MiB"},
		{`urlencode(replace(mib, "x", "/"))`, "more than 1 MiB"},
		{`filebase64("mib")`, "more than 1 MiB"},
		{`jsondecode(replace(substr(mib, 0, 200000), "x", "["))`, "nested more than 100"},
		{`jsondecode(replace(substr(mib, 0, 100000), "x", "{\"a\":"))`, "nested more than 100"},
		{`jsondecode("[${replace(substr(mib, 0, 200000), "x", "1,")}1]")`, "more than 100000 elements"},
		{`jsondecode("1e100000000")`, "digits"},
		{`csvdecode(replace(mib, "x", "\n"))`, "more than 100000 elements"},
		{`csvdecode("${replace(substr(mib, 0, 2000), "x", ",")}\n${replace(substr(mib, 0, 1000), "x", "\n")}")`, "more than 100000 elements"},
		{`parseint(replace(mib, "x", "9"), 10)`, "at most 100 digits"},
		{`tonumber("1e100000000")`, "digits"},
		{`tostring(huge)`, "digits"},
		{`tostring(tiny)`, "digits"},
		{`format("%d", huge)`, "digits"},
		{`pow(10, 1e300)`, ""},
		{`flatten([many, many])`, "more than 100000 elements"},
		{`upper("${mib}${mib}${mib}${mib}${mib}")`, "more than 4 MiB"},
		{`sum([])`, "at least one"},
		{`index(["a"], "b")`, "does not hold"},
		{`index(set, "a")`, "no order"},
		{`index({}, "a")`, "want a list"},
		{`one(["a", "b"])`, "more than one"},
		{`one({})`, "want a list"},
		{`length(5)`, "want a list"},
		{`coalesce("", null)`, "null or empty"},
		{`base64decode("!!")`, "not base64"},
		{`base64decode("/w==")`, "not UTF-8"},
		{`sum([1, null])`, "null"},
	}
	for _, test := range tests {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		start := time.Now()
		v, err := call(t, root, test.expression)
		elapsed := time.Since(start)
		runtime.ReadMemStats(&after)
		if test.want == "" {
			if err == nil && !v.AsBigFloat().IsInf() {
				t.Errorf("%s: %#v", test.expression, v)
			}
			continue
		}
		if err == nil || !strings.Contains(strings.Join(strings.Fields(err.Error()), " "), test.want) {
			t.Errorf("%s: want %q, got %.300v", test.expression, test.want, err)
		}
		if allocated := (after.TotalAlloc - before.TotalAlloc) >> 20; allocated > 400 || elapsed > 10*time.Second {
			t.Errorf("%s: %d MiB, %v", test.expression, allocated, elapsed)
		}
	}
}

// TestFunctionsAtTheirBounds: the limits do not get in the way below them.
func TestFunctionsAtTheirBounds(t *testing.T) {
	for expression, want := range map[string]int64{
		`length(many)`: maxElements, `length(distinct(many))`: maxElements, `length(sort(many))`: maxElements, `length(keys(zipmap(many, many)))`: maxElements, `length(toset(slice(many, 0, 10000)))`: 10000,
		`length(join(",", many))`: 588889, `length(upper(mib))`: maxText, `length(replace(mib, "x", "y"))`: maxText, `length(split(",", join(",", many)))`: maxElements,
		`length(jsondecode(jsonencode(many)))`: maxElements, `length(setproduct(range(150), range(150)))`: 22500, `length(format("%s", mib))`: maxText, `length(formatlist("n-%s", many))`: maxElements,
		`length(regexall("x+", mib))`: 1, `length(concat(slice(many, 0, 50000), slice(many, 50000, 100000)))`: maxElements, `index(many, "99999")`: 99999, `length(reverse(many))`: maxElements,
		`length(flatten([slice(many, 0, 1000), [slice(many, 0, 1000)]]))`: 2000,
	} {
		start := time.Now()
		got, err := call(t, nil, expression)
		if err != nil {
			t.Errorf("%s: %v", expression, err)
			continue
		}
		if n, _ := got.AsBigFloat().Int64(); n != want {
			t.Errorf("%s = %d, want %d", expression, n, want)
		}
		if elapsed := time.Since(start); elapsed > 10*time.Second {
			t.Errorf("%s took %v", expression, elapsed)
		}
	}
}

// TestFunctionsTakeUnknowns: planning without a value is no error.
func TestFunctionsTakeUnknowns(t *testing.T) {
	for _, expression := range []string{
		`upper(unknown)`, `join(",", unknownlist)`, `join(",", [unknown])`, `format("%s", unknown)`, `replace(unknown, "a", "b")`, `jsonencode({a = unknown})`, `length(unknown)`, `length(dynamic)`,
		`split(",", unknown)`, `distinct([unknown, "a"])`, `index([unknown], "a")`, `alltrue([false == (unknown == "a")])`, `urlencode(unknown)`, `file(unknown)`, `jsondecode(unknown)`, `coalesce(unknown, "a")`,
		`setproduct(unknownlist, ["a"])`, `regex(unknown, "a")`, `concat(unknownlist, ["a"])`, `sort(unknownlist)`, `one(unknownlist)`, `sum([length(unknown)])`, `upper(dynamic)`,
	} {
		v, err := call(t, nil, expression)
		if err != nil || v.IsWhollyKnown() {
			t.Errorf("%s: %#v, %v", expression, v, err)
		}
	}
}

// TestFunctionsKeepMarks: whoever marks a value finds the mark on the result.
func TestFunctionsKeepMarks(t *testing.T) {
	for name, f := range functions(nil) {
		if name == "try" || name == "can" {
			continue
		}
		params := f.Params()
		if len(params) != 1 || f.VarParam() != nil || params[0].Type != cty.String || strings.HasPrefix(name, "file") || slices.Contains([]string{"jsondecode", "csvdecode"}, name) {
			continue
		}
		v, err := f.Call([]cty.Value{cty.StringVal("aGk=").Mark("secret")})
		if err != nil || !v.HasMark("secret") {
			t.Errorf("%s: %#v, %v", name, v, err)
		}
	}
	v, err := functions(nil)["length"].Call([]cty.Value{cty.StringVal("aGk=").Mark("secret")})
	if err != nil || !v.HasMark("secret") {
		t.Errorf("length: %#v, %v", v, err)
	}
}

func TestCheckSize(t *testing.T) {
	deep := cty.True
	for range maxDepth {
		deep = cty.TupleVal([]cty.Value{deep})
	}
	text := func(n int) cty.Value { return cty.StringVal(strings.Repeat("x", n)) }
	number := func(s string) cty.Value { return cty.MustParseNumberVal(s) }
	for name, test := range map[string]struct {
		value cty.Value
		want  string
	}{
		"text": {text(maxText), ""}, "more text": {text(maxText + 1), "1 MiB"}, "text in parts": {cty.TupleVal([]cty.Value{text(maxText), text(1)}), "1 MiB"},
		"key": {cty.ObjectVal(map[string]cty.Value{strings.Repeat("k", maxText): text(1)}), "1 MiB"}, "set": {cty.SetVal([]cty.Value{text(maxText)}), ""},
		"deep": {deep, ""}, "deeper": {cty.ListVal([]cty.Value{deep}), "nested"}, "number": {number("1e1000"), ""}, "larger": {number("1e1300"), "digits"}, "smaller": {number("1e-1300"), "digits"}, "infinite": {cty.PositiveInfinity, ""},
		"null": {cty.NullVal(cty.DynamicPseudoType), ""}, "unknown": {cty.DynamicVal, ""}, "nil": {cty.NilVal, ""}, "marked": {text(maxText + 1).Mark(1), "1 MiB"},
		"capsule": {cty.CapsuleVal(cty.Capsule("secret", reflect.TypeFor[int]()), new(int)), ""},
	} {
		err := checkSize(test.value)
		if (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want %q", name, err, test.want)
		}
	}
	// A chain of values that double is refused without being walked to the end.
	doubled := text(1)
	for range 90 {
		doubled = cty.TupleVal([]cty.Value{doubled, doubled})
	}
	if err := checkSize(doubled); err == nil {
		t.Error("2^90 elements pass")
	}
}

func FuzzFunctions(f *testing.F) {
	names := make([]string, 0, 80)
	all := functions(nil)
	for name := range all {
		names = append(names, name)
	}
	slices.Sort(names)
	for i := range names {
		f.Add(uint8(i), "a,b", "[0-9]*", 7.0)
	}
	f.Add(uint8(0), "%[1]99s%d", "/(x)/", 1e300)
	f.Fuzz(func(t *testing.T, which uint8, s, u string, n float64) {
		name := names[int(which)%len(names)]
		if name == "try" || name == "can" || n != n {
			return
		}
		strs := cty.ListVal([]cty.Value{cty.StringVal(s), cty.StringVal(u)})
		for _, args := range [][]cty.Value{
			{cty.StringVal(s)},
			{cty.NumberFloatVal(n)},
			{strs},
			{cty.StringVal(s), cty.StringVal(u)},
			{cty.StringVal(s), cty.NumberFloatVal(n)},
			{cty.NumberFloatVal(n), cty.StringVal(s)},
			{cty.StringVal(s), strs},
			{strs, strs},
			{strs, cty.NumberFloatVal(n)},
			{cty.StringVal(s), cty.StringVal(u), cty.StringVal(s)},
			{cty.StringVal(s), cty.NumberFloatVal(n), cty.NumberFloatVal(-n)},
			{cty.MapVal(map[string]cty.Value{s: cty.StringVal(u)}), cty.StringVal(u), cty.StringVal(s)},
		} {
			v, err := all[name].Call(args)
			if err == nil && checkSize(v) != nil {
				t.Fatalf("%s(%#v) is too large", name, args)
			}
			if errors.Is(err, errPanic) {
				t.Fatalf("%s(%#v) panics", name, args)
			}
		}
	})
}
