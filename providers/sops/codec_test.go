package sops

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/cofferhq/coffer/providers"
	"github.com/cofferhq/coffer/providers/secret"
)

func getenv(key string) func(string) string {
	return func(name string) string {
		if name == envKey {
			return key
		}
		return ""
	}
}

func TestGoldenFilesOpen(t *testing.T) {
	for _, c := range []struct{ file, key, want string }{
		{"types.yaml", "a", "hello"},
		{"types.yaml", "n", "12"},
		{"types.yaml", "f", "1.5"},
		{"types.yaml", "b", "true"},
		{"types.yaml", "empty", ""},
		{"types.yaml", "db.user", "bob"},
		{"types.yaml", "db.password", "multi\nline\n"},
		{"types.yaml", "pub_unencrypted", "clear"},
		{"types.yaml", "when", "2020-01-02T03:04:05Z"},
		{"types.yaml", "big", "12345678901"},
		{"types.yaml", "neg", "-7"},
		{"types.yaml", "exp", "1000000000000000000000"},
		{"types.yaml", "unicode", "žluťoučký\u0085 \U0001F511"},
		{"types.yaml", "true", "quoted key"},
		{"types.yaml", "with space", "odd key"},
		{"types.yaml", "a/b", "slash"},
		{"app.env", "DATABASE_URL", "postgres://u:p@h/db"},
		{"app.env", "KEY", "line one\nline two"},
		{"app.env", "EMPTY", ""},
		{"app.env", "QUOTED", `"kept as it is"`},
		{"app.env", "SPACES", " around  "},
		{"tree.json", "a.b", "deep"},
		{"tree.json", "a.n", "3"},
		{"tree.json", "a.t", "true"},
		{"tree.json", "top", "level\nline"},
		{"regex.yaml", "data.password", "hunter2"},
		{"regex.yaml", "kind", "Secret"},
		{"regex.yaml", "version", "3"},
		{"maconly.yaml", "a", "one"},
		{"maconly.yaml", "b_unencrypted", "two"},
		{"two.yaml", "b.c", "two"},
	} {
		v, err := Decrypt(golden(t, c.file), FormatOf(c.file), c.key, getenv(firstKey))
		if err != nil {
			t.Errorf("%s %s: %v", c.file, c.key, err)
			continue
		}
		if got := text(t, v); got != c.want {
			t.Errorf("%s %s: %q, want %q", c.file, c.key, got, c.want)
		}
	}
	if _, err := Decrypt(golden(t, "two.yaml"), FormatYAML, "a", getenv(secondKey)); err != nil {
		t.Errorf("second recipient: %v", err)
	}
}

func TestDecryptSaysWhy(t *testing.T) {
	for _, c := range []struct {
		name, file, key, identity string
		code                      providers.Code
		says                      string
	}{
		{"no identity", "types.yaml", "a", "", providers.Denied, "coffer init"},
		{"another identity", "types.yaml", "a", secondKey, providers.Denied, "your public key is " + secondRecipient},
		{"key groups", "shamir.yaml", "a", firstKey, providers.Unsupported, "key groups"},
		{"comment rules", "commentregex.yaml", "a", firstKey, providers.Invalid, "encrypted_comment_regex"},
		{"no such key", "types.yaml", "zz", firstKey, providers.NotFound, "zz"},
		{"null", "types.yaml", "nul", firstKey, providers.Invalid, "null"},
		{"a list", "types.yaml", "list", firstKey, providers.Invalid, "more than one"},
		{"not an identity", "types.yaml", "a", "AGE-SECRET-KEY-1QQQ", providers.Denied, "not an age identity"},
		{"a plugin", "types.yaml", "a", "AGE-PLUGIN-YUBIKEY-1Q", providers.Denied, "starts none"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := Decrypt(golden(t, c.file), FormatOf(c.file), c.key, getenv(c.identity))
			mustCode(t, err, c.code)
			if !strings.Contains(err.Error(), c.says) {
				t.Errorf("%q does not say %q", err, c.says)
			}
			if strings.Contains(err.Error(), "1QQQ") || strings.Contains(err.Error(), "hello") {
				t.Errorf("%q tells a secret", err)
			}
		})
	}
}

func TestTamperingIsSeen(t *testing.T) {
	raw := string(golden(t, "two.yaml"))
	lines := strings.Split(raw, "\n")
	value := func(line string) string { _, v, _ := strings.Cut(line, ": "); return v }
	for name, tampered := range map[string]string{
		"swapped values":    strings.Join(slices.Concat([]string{"a: " + value(lines[2])}, lines[1:2], []string{"    c: " + value(lines[0])}, lines[3:]), "\n"),
		"another modified":  strings.Replace(raw, `lastmodified: "2026`, `lastmodified: "2025`, 1),
		"a value dropped":   strings.Join(lines[1:], "\n"),
		"a clear value":     "x_unencrypted: new\n" + raw,
		"an unsealed value": "x: new\n" + raw,
		"a flipped bit":     strings.Replace(raw, "data:FdZt", "data:FdZu", 1),
	} {
		t.Run(name, func(t *testing.T) {
			if tampered == raw && name != "a flipped bit" {
				t.Fatal("nothing was tampered with")
			}
			if tampered == raw {
				tampered = strings.Replace(raw, lines[0][:40], lines[0][:34]+"AAAA"+lines[0][38:40], 1)
			}
			_, err := Decrypt([]byte(tampered), FormatYAML, "b.c", getenv(firstKey))
			mustCode(t, err, providers.Invalid)
		})
	}
}

func TestHostileFiles(t *testing.T) {
	tail := "\n" + string(golden(t, "two.yaml"))
	bomb := "a: &a [x,x,x,x,x,x,x,x,x]\n"
	for c := 'b'; c < 'k'; c++ {
		bomb += fmt.Sprintf("%c: &%c [%s]\n", c, c, strings.TrimSuffix(strings.Repeat("*"+string(c-1)+",", 9), ","))
	}
	for name, c := range map[string]struct{ data, says string }{
		"empty":              {"", "is empty"},
		"cut short":          {tail[:60], "end of the file is missing"},
		"only a comment":     {"# x\n", "no sops metadata"},
		"no metadata":        {"a: b\n", "no sops metadata"},
		"a list":             {"- a\n", "no sops metadata"},
		"sops is text":       {"sops: x\n", "no sops metadata"},
		"no keys":            {"sops:\n  mac: x\n", "names no key"},
		"an alias bomb":      {bomb, "aliases"},
		"a repeated key":     {"x: ENC[]\nx: ENC[]" + tail, "twice"},
		"a repeated sops":    {string(golden(t, "two.yaml")) + "sops: {}\n", "twice"},
		"two documents":      {string(golden(t, "two.yaml")) + "---\nb: c\n", "more than one YAML document"},
		"a number as key":    {"1: x" + tail, "not text"},
		"a merge key":        {"<<: {a: b}" + tail, "not text"},
		"a list as key":      {"? [a]\n: b" + tail, "not text"},
		"deep":               {"x: " + strings.Repeat("[", 200) + strings.Repeat("]", 200) + tail, "nested deeper"},
		"very deep":          {"x: " + strings.Repeat("[", 100_000), "YAML"},
		"not UTF-8":          {"a: \xff" + tail, "UTF-8"},
		"too large":          {strings.Repeat("#", maxFile+1), "larger than"},
		"broken":             {"a: [1\n", "not readable as YAML"},
		"git's marks":        {"a: 1\n<<<<<<< HEAD\nb: 1\n=======\nb: 2\n>>>>>>> x\n", "line 2: git could not merge"},
		"a control mark":     {"a: \x00\n", "not readable as YAML"},
		"bad time":           {strings.Replace(tail, `"2026-`, `"20x6-`, 1), "lastmodified"},
		"bad regex":          {strings.Replace(tail, "unencrypted_suffix: _unencrypted", "encrypted_regex: '('", 1), "encrypted_regex"},
		"two rules":          {strings.Replace(tail, "unencrypted_suffix:", "encrypted_suffix: x\n    unencrypted_suffix:", 1), "more than one rule"},
		"quotes the file no": {"secretvalue: [hunter2, *x\n", "not readable as YAML"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := decode(formatYAML, []byte(c.data))
			if err == nil || !strings.Contains(err.Error(), c.says) {
				t.Fatalf("%v, want one that says %q", err, c.says)
			}
			if strings.Contains(err.Error(), "hunter2") {
				t.Errorf("%q quotes a value", err)
			}
		})
	}
	env := string(golden(t, "app.env"))
	for name, c := range map[string]struct{ data, says string }{
		"no metadata":      {"A=b\n", "no sops metadata"},
		"no equals":        {"A\n" + env, "line 1"},
		"repeated":         {"DATABASE_URL=x\n" + env, "twice"},
		"contradiction":    {env + "sops_age=x\n", "contradicts"},
		"a very deep name": {env + "sops_" + strings.Repeat("a__map_", 1000) + "=x\n", "too long"},
	} {
		t.Run("dotenv "+name, func(t *testing.T) {
			if _, err := decode(formatDotenv, []byte(c.data)); err == nil || !strings.Contains(err.Error(), c.says) {
				t.Fatalf("%v, want one that says %q", err, c.says)
			}
		})
	}
}

// TestLineDiffs shows that a change touches its own lines, mac and
// lastmodified, in a file that the sops tool wrote.
func TestLineDiffs(t *testing.T) {
	for _, c := range []struct {
		name, path string
		value      secret.Value
		drop       []string
		patch      bool
		want       []string
	}{
		{name: "a value", path: "dev/types/a", value: secret.String("new"), want: []string{"a"}},
		{name: "a number becomes text", path: "dev/types/n", value: secret.String("13"), want: []string{`"n"`}},
		{name: "many lines", path: "dev/types/a", value: secret.String("x\ny\n"), want: []string{"a"}},
		{name: "to empty", path: "dev/types/a", value: secret.String(""), want: []string{"a"}},
		{name: "from empty", path: "dev/types/empty", value: secret.String("x"), want: []string{"empty"}},
		{name: "from null", path: "dev/types/nul", value: secret.String("x"), want: []string{"nul"}},
		{name: "a new value", path: "dev/types/zz", value: secret.String("x"), want: []string{"+zz"}},
		{name: "to binary", path: "dev/types/b", value: secret.String("\x00"), want: []string{"-b", "+b_base64"}},
		{name: "one field", path: "dev/types/db", value: fields("user", "eve"), patch: true, want: []string{"user"}},
		{name: "a new field", path: "dev/types/db", value: fields("host", "h"), patch: true, want: []string{"+host"}},
		{name: "drop a field", path: "dev/types/db", drop: []string{"user"}, patch: true, want: []string{"-user"}},
		{name: "all fields", path: "dev/types/db", value: fields("user", "eve", "host", "h"), want: []string{"user", "-password", "+host"}},
		{name: "a variable", path: "dev/app.env", value: fields("KEY", "x"), patch: true, want: []string{"KEY"}},
		{name: "a new variable", path: "dev/app.env", value: fields("ZZ", "x"), patch: true, want: []string{"+ZZ"}},
		{name: "an empty variable", path: "dev/app.env", value: fields("KEY", ""), patch: true, want: []string{"KEY"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBench(t)
			b.put("dev/types.yaml", golden(t, "types.yaml"))
			b.put("dev/app.env", golden(t, "app.env"))
			p, err := locate(c.path)
			if err != nil {
				t.Fatal(err)
			}
			before := b.get(p.file)
			req := providers.WriteRequest{Path: c.path, Value: c.value, Drop: c.drop, IfVersion: b.version(c.path)}
			var m providers.Meta
			if c.patch {
				m, err = b.d.Patch(context.Background(), req)
			} else {
				m, err = b.d.Write(context.Background(), req)
			}
			if err != nil {
				t.Fatal(err)
			}
			after := b.get(p.file)
			want := append(c.want, "lastmodified", "mac")
			if p.format() == formatDotenv {
				want = append(c.want, "sops_lastmodified", "sops_mac")
			}
			if got := changedLines(before, after); !slices.Equal(got, want) {
				t.Errorf("changed lines %q, want %q", got, want)
			}
			if v := b.version(c.path); v != m.Version || v == req.IfVersion && v != "" {
				t.Errorf("version %q, told %q, was %q", v, m.Version, req.IfVersion)
			}
			if got := b.read(c.path); !c.patch && text(t, got) != text(t, c.value) {
				t.Errorf("reads back %q", text(t, got))
			}
		})
	}
}

func TestDeleteTouchesItsOwnLines(t *testing.T) {
	b := newBench(t)
	b.put("dev/types.yaml", golden(t, "types.yaml"))
	before := b.get("dev/types.yaml")
	if err := b.d.Delete(context.Background(), "dev/types/db", b.version("dev/types/db")); err != nil {
		t.Fatal(err)
	}
	got := changedLines(before, b.get("dev/types.yaml"))
	want := []string{"-db", "-#ENC[AES256_GCM,data", "-user", "-password", "-#ENC[AES256_GCM,data", "lastmodified", "mac"}
	if !slices.Equal(got, want) {
		t.Errorf("changed lines %q, want %q", got, want)
	}
	if b.version("dev/types/db") != "" {
		t.Error("it is still there")
	}
}

// TestFormattingSurvives edits a file that a person has formatted by hand.
func TestFormattingSurvives(t *testing.T) {
	b := newBench(t, withRecipients(firstRecipient))
	b.write("dev/x/one", secret.String("1"))
	b.write("dev/x/two", fields("a", "1", "b", "2"))
	raw := b.get("dev/x.yaml")
	for name, change := range map[string]func(string) string{
		"two spaces": func(s string) string { return strings.ReplaceAll(s, "    a:", "  a:") },
		"comments": func(s string) string {
			return "# top\n\n" + strings.Replace(s, "two:", "# before\ntwo: # beside", 1)
		},
		"blank lines": func(s string) string { return strings.Replace(s, "two:", "\n\ntwo:", 1) },
		"line breaks": func(s string) string { return strings.ReplaceAll(s, "\n", "\r\n") },
		"a start":     func(s string) string { return "---\n" + s },
		"quotes":      func(s string) string { return strings.Replace(s, "one: ENC", "'one': ENC", 1) },
		"value below": func(s string) string { return strings.Replace(s, "one: ENC", "one:\n  ENC", 1) },
		"wide chars":  func(s string) string { return "# žluť\u2028# x\n" + s },
		"no last end": func(s string) string { return strings.TrimSuffix(s, "\n") },
		"sops first": func(s string) string {
			i := strings.Index(s, "sops:")
			return s[i:] + s[:i]
		},
	} {
		t.Run(name, func(t *testing.T) {
			if name == "two spaces" {
				raw := strings.ReplaceAll(raw, "    b:", "  b:")
				b.put("dev/x.yaml", []byte(change(raw)))
			} else {
				b.put("dev/x.yaml", []byte(change(raw)))
			}
			before := b.get("dev/x.yaml")
			b.write("dev/x/one", secret.String("new"))
			b.write("dev/x/two", fields("a", "1", "b", "22", "c", "3"))
			b.write("dev/x/three", secret.String("new"))
			if got := text(t, b.read("dev/x/two")); got != "a=1\nb=22\nc=3" {
				t.Errorf("fields read %q", got)
			}
			after := b.get("dev/x.yaml")
			for _, line := range strings.Split(before, "\n") {
				if key := lineKey(line); !slices.Contains([]string{"a", "b", "one", "'one'", "ENC[AES256_GCM,data", "mac", "lastmodified"}, key) &&
					!strings.Contains(after, strings.TrimSuffix(line, "\r")) {
					t.Errorf("the line %q is gone", line)
				}
			}
			if strings.Contains(before, "\r\n") && strings.Count(after, "\n") != strings.Count(after, "\r\n") {
				t.Error("mixed line breaks")
			}
		})
	}
}

func TestFlowStyleIsRefused(t *testing.T) {
	b := newBench(t, withRecipients(firstRecipient))
	b.write("dev/x/one", secret.String("1"))
	f, err := decode(formatYAML, []byte(b.get("dev/x.yaml")))
	if err != nil {
		t.Fatal(err)
	}
	one := find(f.entries, "one")
	raw := "{\"one\": \"" + one.value.(string) + "\",\n" + "sops: {age: [{recipient: " + firstRecipient + ", enc: " + fmt.Sprintf("%q", f.meta.age[0].enc) +
		"}], lastmodified: \"" + f.meta.lastModified + "\", mac: \"" + f.meta.mac + "\"}}\n"
	b.put("dev/x.yaml", []byte(raw))
	if got := text(t, b.read("dev/x/one")); got != "1" {
		t.Errorf("reads %q", got)
	}
	_, err = b.d.Write(context.Background(), providers.WriteRequest{Path: "dev/x/one", Value: secret.String("2"), IfVersion: b.version("dev/x/one")})
	mustCode(t, err, providers.Invalid)
	if !strings.Contains(err.Error(), "flow style") || b.get("dev/x.yaml") != raw {
		t.Errorf("%v, or the file changed", err)
	}
}

func TestRekeyTouchesEveryCiphertext(t *testing.T) {
	for _, name := range []string{"types.yaml", "app.env", "regex.yaml"} {
		f, err := decode(formatOf(name), golden(t, name))
		if err != nil {
			t.Fatal(err)
		}
		key, err := dataKey(f, name, getenv(firstKey))
		if err != nil {
			t.Fatal(err)
		}
		o, err := f.decrypt(key)
		if err != nil {
			t.Fatal(err)
		}
		fresh := bytes.Repeat([]byte{7}, keySize)
		next, err := changeKey(f, o, fresh, []string{secondRecipient}, rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		done, err := finish(next, fresh, testTime, rand.Reader, f.contents(o), o.unread)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if done.meta.age[0].recipient != secondRecipient || len(done.meta.age) != 1 {
			t.Errorf("%s: recipients %v", name, done.meta.recipients())
		}
		again, err := done.decrypt(fresh)
		if err != nil {
			t.Fatal(err)
		}
		for _, old := range regexp.MustCompile(`ENC\[[^]]*type:comment\]`).FindAllString(string(f.raw), -1) {
			if strings.Contains(string(done.raw), old) {
				t.Errorf("%s: a comment still has the old ciphertext", name)
			}
		}
		for i := range o.plains {
			if string(o.plains[i].text) != string(again.plains[i].text) || o.plains[i].kind != again.plains[i].kind {
				t.Errorf("%s: leaf %d differs", name, i)
			}
			if l := f.leaves[i]; isSealed(l.text()) && l.text() == done.leaves[i].text() {
				t.Errorf("%s: leaf %d still has the old ciphertext", name, i)
			}
		}
		if _, err := Decrypt(done.raw, FormatOf(name), "a", getenv(firstKey)); providers.CodeOf(err) == providers.Unknown {
			t.Errorf("%s: the one who left still opens it", name)
		}
	}
}

func TestForeignKeysAreKept(t *testing.T) {
	foreign := "    pgp:\n        - created_at: \"2026-01-01T00:00:00Z\"\n          enc: |-\n            -----BEGIN PGP MESSAGE-----\n            x\n            -----END PGP MESSAGE-----\n          fp: FBC7B9E2A4F9289AC0C1D4843D16CEE4A27381B4\n"
	raw := strings.Replace(string(golden(t, "two.yaml")), "    unencrypted_suffix:", foreign+"    unencrypted_suffix:", 1)
	b := newBench(t)
	b.put("dev/two.yaml", []byte(raw))
	b.write("dev/two/a", secret.String("new"))
	if !strings.Contains(b.get("dev/two.yaml"), foreign) {
		t.Error("the pgp entry changed")
	}
	ref := providers.ObjectRef{Kind: KindRecipients, Path: "dev/two.yaml"}
	found, err := b.d.InspectObjects(context.Background(), []providers.ObjectRef{ref})
	if err != nil {
		t.Fatal(err)
	}
	live := found[ref]
	if !strings.Contains(live.Document, "pgp:FBC7B9E2A4F9289AC0C1D4843D16CEE4A27381B4\n") {
		t.Errorf("document %q", live.Document)
	}
	third, err := wrap(secondRecipient, make([]byte, keySize))
	if err != nil || third.recipient != secondRecipient {
		t.Fatal(err)
	}
	_, err = b.d.WriteObject(context.Background(), providers.ObjectRequest{
		Ref: ref, IfVersion: live.Version,
		Document: strings.Replace(live.Document, secondRecipient+"\n", "", 1),
	})
	mustCode(t, err, providers.Invalid)
	if !strings.Contains(err.Error(), "sops rotate -i --rm-age") {
		t.Errorf("%v", err)
	}
	_, err = b.d.WriteObject(context.Background(), providers.ObjectRequest{
		Ref: ref, IfVersion: live.Version, Document: firstRecipient + "\n" + secondRecipient + "\n",
	})
	mustCode(t, err, providers.Unsupported)
}

func TestSealedForm(t *testing.T) {
	key := bytes.Repeat([]byte{1}, keySize)
	sealed, err := seal(rand.Reader, key, []byte("a:"), plain{typeString, []byte("x")})
	if err != nil {
		t.Fatal(err)
	}
	if p, err := open(key, []byte("a:"), sealed); err != nil || string(p.text) != "x" {
		t.Fatal(p, err)
	}
	if _, err := open(key, []byte("b:"), sealed); err == nil {
		t.Error("opens at another place")
	}
	for _, broken := range []string{
		"ENC[AES256_GCM,]", "ENC[AES256_GCM,data:x]", sealed[:len(sealed)-1],
		strings.Replace(sealed, "type:str", "type:odd", 1), strings.Replace(sealed, ",tag:", ",tug:", 1),
		strings.Replace(sealed, "iv:", "iv:=", 1),
	} {
		if _, err := open(key, []byte("a:"), broken); err == nil {
			t.Errorf("%q opens", broken)
		}
	}
	if _, err := seal(strings.NewReader("short"), key, nil, plain{typeString, []byte("x")}); err == nil {
		t.Error("seals without randomness")
	}
	if _, err := typed(typeInt, []byte("x")); err == nil || errors.Is(err, errForm) {
		t.Error("a text is an int")
	}
}
