//go:build servers

package sops

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/cofferhq/coffer/providers"
	"github.com/cofferhq/coffer/providers/secret"
)

// tool runs the real sops in the configuration folder.
func (b *bench) tool(args ...string) string {
	b.t.Helper()
	out, err := b.try(nil, args...)
	if err != nil {
		b.t.Fatalf("sops %s: %v", strings.Join(args, " "), err)
	}
	return out
}

func (b *bench) try(extra []string, args ...string) (string, error) {
	b.t.Helper()
	return b.pipe("", extra, args...)
}

func (b *bench) pipe(stdin string, extra []string, args ...string) (string, error) {
	b.t.Helper()
	sops := os.Getenv("COFFER_TEST_SOPS")
	if sops == "" {
		b.t.Fatal("COFFER_TEST_SOPS names no sops binary; `make test-servers` builds one")
	}
	cmd := exec.Command(sops, args...)
	cmd.Dir = b.dir
	cmd.Env = append([]string{"HOME=" + b.dir, "PATH=" + os.Getenv("PATH"), envKey + "=" + firstKey}, extra...)
	var stdout, stderr bytes.Buffer
	cmd.Stdin = strings.NewReader(stdin)
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	if err != nil {
		b.t.Logf("sops: %s", stderr.String())
	}
	if strings.Contains(stderr.String(), "possibly unencrypted comment") {
		b.t.Errorf("sops found a comment that does not open: %s", stderr.String())
	}
	return stdout.String(), err
}

// decrypted returns what sops shows of a YAML file.
func (b *bench) decrypted(file string) map[string]any {
	b.t.Helper()
	var m map[string]any
	if err := yaml.Unmarshal([]byte(b.tool("decrypt", "secrets/"+file)), &m); err != nil {
		b.t.Fatal(err)
	}
	return m
}

// TestOursOpens shows what Coffer writes to the real tool.
func TestOursOpens(t *testing.T) {
	b := newBench(t, withRecipients(firstRecipient, secondRecipient))
	values := map[string]string{
		"plain": "hunter2", "lines": "a\nb\n", "trailing": "x\n\n", "empty": "", "space": " x ", "quote": `'"\`, "true": "true", "num": "0123",
		"unicode": "žluť\u0085\u2028\U0001F511", "control": "\x01\x1b[31m", "hash": "# no comment", "enc": "ENC[AES256_GCM,data:x]", "long": strings.Repeat("0123456789", 5000),
		"crlf": "a\r\nb\r", "tab": "\tx", "bom": "\ufeffx",
	}
	for name, value := range values {
		b.write("dev/x/"+name, secret.String(value))
	}
	b.write("dev/x/bin", secret.String("\x00\xff\n"))
	b.write("dev/x/db", fields("user", "bob", "n", "1", "key", "\xfe"))
	shown := b.decrypted("dev/x.yaml")
	for name, value := range values {
		if shown[name] != value {
			t.Errorf("%s: sops shows %q, want %q", name, shown[name], value)
		}
	}
	if shown["bin_base64"] != base64.StdEncoding.EncodeToString([]byte("\x00\xff\n")) {
		t.Errorf("binary: %v", shown["bin_base64"])
	}
	db := shown["db"].(map[string]any)
	if db["user"] != "bob" || db["n"] != "1" || db["key_base64"] != "/g==" {
		t.Errorf("fields: %v", db)
	}
	if err := b.d.Delete(context.Background(), "dev/x/db", b.version("dev/x/db")); err != nil {
		t.Fatal(err)
	}
	if _, left := b.decrypted("dev/x.yaml")["db"]; left {
		t.Error("db is left")
	}
}

// TestLayoutIsTheTools: the tool changes nothing but the value's own lines in
// a file that we wrote, so both write one layout.
func TestLayoutIsTheTools(t *testing.T) {
	b := newBench(t, withRecipients(firstRecipient, secondRecipient))
	b.write("dev/x/a", secret.String("1"))
	b.write("dev/x/n", secret.String("1"))
	b.write("dev/x/on.off", fields("u", "1", "y", "2", "0x1f", "3"))
	b.write("dev/x/2026-01-01", secret.String("\x00"))
	before := b.get("dev/x.yaml")
	b.tool("set", "secrets/dev/x.yaml", `["a"]`, `"new"`)
	if got := changedLines(before, b.get("dev/x.yaml")); !slices.Equal(got, []string{"a", "lastmodified", "mac"}) {
		t.Errorf("sops changed %q", got)
	}
	if got := text(t, b.read("dev/x/a")); got != "new" {
		t.Errorf("reads %q", got)
	}
	b.write("dev/w.env", fields("A", "1", "B", "x\ny", "EMPTY", ""))
	before = b.get("dev/w.env")
	b.tool("set", "secrets/dev/w.env", `["A"]`, `"new"`)
	if got := changedLines(before, b.get("dev/w.env")); !slices.Equal(got, []string{"A", "sops_lastmodified", "sops_mac"}) {
		t.Errorf("sops changed %q", got)
	}
	if got := text(t, b.read("dev/w.env")); got != "A=new\nB=x\ny\nEMPTY=" && got != "A=new\nB=x\ny\nEMPTY=\n" {
		t.Errorf("reads %q", got)
	}
}

// TestTheirsThenOurs runs over files of the tool with every type of value and
// comments at every place: our write, then theirs, then ours, each opens.
func TestTheirsThenOurs(t *testing.T) {
	plain := "# head\n\n# a\na: hello # inline\nn: 12\nf: 1.50\nb: true\nempty: \"\"\nnul: null\n# db\ndb:\n    # in\n    user: bob\n    pw: x\n    # foot\n\nlist:\n    - 1\n    # c\n    - y: z\nwhen: 2020-01-02T03:04:05Z\n# end\n"
	b := newBench(t)
	b.put("dev/x.yaml", []byte(plain))
	b.tool("encrypt", "--age", firstRecipient, "-i", "secrets/dev/x.yaml")
	theirs := b.tool("decrypt", "secrets/dev/x.yaml")
	b.write("dev/x/a", secret.String("changed"))
	if got, want := b.tool("decrypt", "secrets/dev/x.yaml"), strings.Replace(theirs, "hello", "changed", 1); got != want {
		t.Errorf("sops shows\n%s\nwant\n%s", got, want)
	}
	b.write("dev/x/new", fields("k", "v"))
	m, err := b.d.Patch(context.Background(), providers.WriteRequest{Path: "dev/x/db", Value: fields("host", "h"), Drop: []string{"pw"}, IfVersion: b.version("dev/x/db")})
	if err != nil {
		t.Fatal(err)
	}
	b.tool("set", "secrets/dev/x.yaml", `["n"]`, `13`)
	if b.version("dev/x/db") != m.Version {
		t.Error("the tool's change of another value moved ours")
	}
	for path, want := range map[string]string{"n": "13", "f": "1.5", "b": "true", "when": "2020-01-02T03:04:05Z", "a": "changed", "db": "host=h\nuser=bob", "new": "k=v"} {
		if got := text(t, b.read("dev/x/"+path)); got != want {
			t.Errorf("%s reads %q, want %q", path, got, want)
		}
	}
	if got := b.tool("decrypt", "secrets/dev/x.yaml"); strings.Count(got, "#") != strings.Count(theirs, "#") {
		t.Errorf("comments were lost:\n%s", got)
	}
}

func TestEditRotateUpdatekeys(t *testing.T) {
	b := newBench(t, withRecipients(firstRecipient))
	b.write("dev/x/a", secret.String("1"))
	b.write("dev/x/b", fields("u", "2"))
	all := func() map[string]providers.Meta {
		found, err := b.d.List(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		return found
	}
	before := all()

	editor := filepath.Join(b.dir, "editor")
	if err := os.WriteFile(editor, []byte("#!/bin/sh\nsed -i 's/^a: .*/a: edited/' \"$1\"\necho 'c: added' >> \"$1\"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := b.try([]string{"EDITOR=" + editor}, "edit", "secrets/dev/x.yaml"); err != nil {
		t.Fatal(err)
	}
	edited := all()
	if edited["dev/x/a"].Version == before["dev/x/a"].Version || edited["dev/x/b"].Version != before["dev/x/b"].Version || edited["dev/x/a"].Envelope != before["dev/x/a"].Envelope {
		t.Errorf("after edit %+v", edited)
	}
	if got := text(t, b.read("dev/x/a")) + text(t, b.read("dev/x/c")); got != "editedadded" {
		t.Errorf("reads %q", got)
	}

	b.tool("rotate", "-i", "secrets/dev/x.yaml")
	rotated := all()
	for path := range rotated {
		if rotated[path].Version == edited[path].Version || rotated[path].Envelope == edited[path].Envelope {
			t.Errorf("%s: rotate left the version or the envelope", path)
		}
	}
	b.write("dev/x/a", secret.String("ours"))

	b.sopsYAML("creation_rules:\n  - age: " + firstRecipient + "," + secondRecipient + "\n")
	b.tool("updatekeys", "-y", "secrets/dev/x.yaml")
	updated := all()
	if updated["dev/x/b"].Version != rotated["dev/x/b"].Version || updated["dev/x/b"].Envelope == rotated["dev/x/b"].Envelope {
		t.Errorf("after updatekeys %+v", updated["dev/x/b"])
	}
	if err := b.opensWith(secondKey, "dev/x.yaml", "a"); err != nil {
		t.Error(err)
	}
	if got := text(t, b.read("dev/x/b")); got != "u=2" {
		t.Errorf("reads %q", got)
	}
}

func TestOurRecipientsOpenTheTool(t *testing.T) {
	for _, file := range []string{"dev/x.yaml", "dev/x.env"} {
		b := newBench(t, withRecipients(firstRecipient))
		plain := map[string]string{"dev/x.yaml": "# c\na: one # in\nb:\n    # d\n    c: two\n    # e\nz: [1, x]\n", "dev/x.env": "# c\na=one\nb=two\n"}[file]
		b.put(file, []byte(plain))
		b.tool("encrypt", "--age", firstRecipient, "-i", "secrets/"+file)
		shown := b.tool("decrypt", "secrets/"+file)
		for _, recipients := range [][]string{{firstRecipient, secondRecipient}, {secondRecipient}} {
			r := b.d.WriteBatch(context.Background(), providers.Batch{Container: file, Ops: []providers.Operation{recipientsOp(file, b.object(file).Version, recipients...)}})
			if r[0].Err != nil {
				t.Fatal(r[0].Err)
			}
			got, err := b.try([]string{envKey + "=" + secondKey}, "decrypt", "secrets/"+file)
			if err != nil || got != shown {
				t.Errorf("%s for %d: %v\n%s", file, len(recipients), err, got)
			}
		}
		if _, err := b.try(nil, "decrypt", "secrets/"+file); err == nil {
			t.Error("the first identity still opens the file")
		}
	}
}

func TestExecEnv(t *testing.T) {
	b := newBench(t, withRecipients(firstRecipient))
	values := map[string]string{
		"PLAIN": "x", "EMPTY": "", "LINES": "a\nb\n", "SPACES": "  x ", "QUOTES": `"a" 'b' $HOME \n`, "EQUALS": "a=b=c", "HASH": "#x", "UNICODE": "žluť",
	}
	pairs := []string{}
	for name, value := range values {
		pairs = append(pairs, name, value)
	}
	b.write("dev/web.env", fields(pairs...))
	for name, value := range values {
		if got := b.tool("exec-env", "secrets/dev/web.env", `printf '%s|' "$`+name+`"`); got != value+"|" {
			t.Errorf("%s is %q, want %q", name, got, value)
		}
	}
	b.put("dev/theirs.env", []byte("# c\nA=one\nB=x\\ny\n"))
	b.tool("encrypt", "--age", firstRecipient, "-i", "secrets/dev/theirs.env")
	if got := text(t, b.read("dev/theirs.env")); got != "A=one\nB=x\ny" {
		t.Errorf("reads %q", got)
	}
	b.write("dev/theirs.env", fields("A", "two", "B", "z"))
	if got := b.tool("decrypt", "secrets/dev/theirs.env"); got != "# c\nA=two\nB=z\n" {
		t.Errorf("sops shows %q", got)
	}
}

func TestEmptyFileOpens(t *testing.T) {
	b := newBench(t)
	for _, file := range []string{"dev/x.yaml", "dev/x.env"} {
		if _, err := b.d.WriteObject(context.Background(), providers.ObjectRequest{
			Ref: providers.ObjectRef{Kind: KindRecipients, Path: file}, Document: document([]string{firstRecipient}),
		}); err != nil {
			t.Fatal(err)
		}
		if got := strings.TrimSpace(b.tool("decrypt", "secrets/"+file)); got != "{}" && got != "" {
			t.Errorf("sops shows %q", got)
		}
		b.tool("set", "secrets/"+file, `["a"]`, `"1"`)
	}
	if got := text(t, b.read("dev/x/a")) + text(t, b.read("dev/x.env")); got != "1a=1" {
		t.Errorf("reads %q", got)
	}
}

// TestSettleAMerge is what docs/providers/sops.md tells to do where git merged
// two changes of one file.
func TestSettleAMerge(t *testing.T) {
	b := newBench(t, withRecipients(firstRecipient))
	b.write("dev/x/a", secret.String("1"))
	b.write("dev/x/b", secret.String("1"))
	base := b.get("dev/x.yaml")
	b.write("dev/x/a", secret.String("ours"))
	ours := b.get("dev/x.yaml")
	b.put("dev/x.yaml", []byte(base))
	b.write("dev/x/b", secret.String("theirs"))
	theirs := strings.Split(b.get("dev/x.yaml"), "\n")
	merged := strings.Split(ours, "\n")
	merged[1] = theirs[1] // the value of b; mac and lastmodified stay ours
	b.put("dev/x.yaml", []byte(strings.Join(merged, "\n")))

	_, err := b.d.Read(context.Background(), "dev/x/a", "")
	mustCode(t, err, providers.Invalid)
	a, bb := b.version("dev/x/a"), b.version("dev/x/b")
	if _, err := b.try([]string{"EDITOR=" + `sh -c 'echo "settled: x" >> "$0"'`}, "edit", "--ignore-mac", "secrets/dev/x.yaml"); err != nil {
		t.Fatal(err)
	}
	b.tool("unset", "secrets/dev/x.yaml", `["settled"]`)
	if b.version("dev/x/a") != a || b.version("dev/x/b") != bb {
		t.Error("a version moved")
	}
	if got := text(t, b.read("dev/x/a")) + text(t, b.read("dev/x/b")); got != "ourstheirs" {
		t.Errorf("reads %q", got)
	}
}

// TestCarryOver is the page's way where the two sides have different data
// keys; this test stands where the page has git and jq.
func TestCarryOver(t *testing.T) {
	b := newBench(t, withRecipients(firstRecipient))
	b.write("dev/x/a", secret.String("1"))
	b.write("dev/x/db", fields("u", "line\n", "p", "2"))
	b.put("dev/other.yaml", []byte(b.get("dev/x.yaml")))
	if err := b.d.Delete(context.Background(), "dev/x/db", b.version("dev/x/db")); err != nil {
		t.Fatal(err)
	}
	b.tool("rotate", "-i", "secrets/dev/x.yaml")
	shown := b.tool("decrypt", "--input-type", "yaml", "--output-type", "json", "secrets/dev/other.yaml")
	var all map[string]json.RawMessage
	if err := json.Unmarshal([]byte(shown), &all); err != nil {
		t.Fatal(err)
	}
	if _, err := b.pipe(string(all["db"]), nil, "set", "--value-stdin", "secrets/dev/x.yaml", `["db"]`); err != nil {
		t.Fatal(err)
	}
	if got := text(t, b.read("dev/x/db")); got != "p=2\nu=line\n" {
		t.Errorf("reads %q", got)
	}
}

// TestAValueInClear walks the ways out that the error and the page give, and
// the one that the tool refuses.
func TestAValueInClear(t *testing.T) {
	ctx := context.Background()
	b := newBench(t, withRecipients(firstRecipient))
	b.write("dev/x/a", secret.String("1"))
	b.write("dev/x/b", secret.String("2"))
	committed := b.get("dev/x.yaml")
	inClear := func(file string) {
		t.Helper()
		_, err := b.d.Read(ctx, "dev/x/a", "")
		mustCode(t, err, providers.Invalid)
		if _, err := b.try([]string{"EDITOR=true"}, "edit", file); err == nil {
			t.Error("sops edits a file with a value in clear, so the advice can be shorter")
		}
	}
	const file = "secrets/dev/x.yaml"
	edit := []string{"EDITOR=" + `sh -c 'echo "c: three" >> "$0"'`}

	b.put("dev/x.yaml", []byte("c: hunter2\n"+committed)) // a line more: take it away
	inClear(file)
	b.put("dev/x.yaml", []byte(committed))
	if _, err := b.try(edit, "edit", file); err != nil {
		t.Fatal(err)
	}
	if got := text(t, b.read("dev/x/c")); got != "three" {
		t.Errorf("reads %q", got)
	}

	// In place of an encrypted one, and git does not have that: the mac covers
	// what is lost.
	lines := strings.Split(committed, "\n")
	b.put("dev/x.yaml", []byte(strings.Join(append([]string{"a: hunter2"}, lines[1:]...), "\n")))
	inClear(file)
	b.put("dev/x.yaml", []byte(strings.Join(lines[1:], "\n")))
	_, err := b.d.Read(ctx, "dev/x/b", "")
	mustCode(t, err, providers.Invalid)
	if _, err := b.pipe(`"new"`, nil, "set", "--ignore-mac", "--value-stdin", file, `["a"]`); err != nil {
		t.Fatal(err)
	}
	if got := text(t, b.read("dev/x/a")) + text(t, b.read("dev/x/b")); got != "new2" {
		t.Errorf("reads %q", got)
	}
}

// TestTheRuleToAddIsTheTools adds the line that the error gives.
func TestTheRuleToAddIsTheTools(t *testing.T) {
	b := newBench(t)
	rules := "creation_rules:\n  - path_regex: ^secrets/dev/\n    age: " + firstRecipient + "\n"
	b.sopsYAML(rules)
	b.open()
	_, err := b.d.Write(context.Background(), providers.WriteRequest{Path: "prod/x/a", Value: secret.String("1")})
	mustCode(t, err, providers.Invalid)
	_, line, found := strings.Cut(err.Error(), "under creation_rules: ")
	if !found {
		t.Fatal(err)
	}
	b.sopsYAML(rules + "  " + line + "\n")
	b.open()
	b.write("prod/x/a", secret.String("1"))
	b.put("prod/y.yaml", []byte("a: one\n"))
	b.tool("encrypt", "-i", "secrets/prod/y.yaml")
	if got := text(t, b.read("prod/x/a")) + text(t, b.read("prod/y/a")); got != "1one" {
		t.Errorf("reads %q", got)
	}
}

func TestRulesOfTheToolAreOurs(t *testing.T) {
	b := newBench(t)
	b.sopsYAML("creation_rules:\n  - path_regex: ^secrets/k8s/\n    encrypted_regex: ^(data|stringData)$\n    mac_only_encrypted: true\n    age: " + firstRecipient + "\n  - age: " + firstRecipient + "," + secondRecipient + "\n")
	b.open()
	b.write("k8s/x/data", fields("a", "1"))
	b.put("k8s/y.yaml", []byte("data:\n    a: one\n"))
	b.tool("encrypt", "-i", "secrets/k8s/y.yaml")
	metadata := func(file string) string {
		var kept []string
		for line := range strings.SplitSeq(b.get(file), "\n") {
			key := lineKey(line)
			if strings.HasPrefix(line, "    ") && !strings.HasPrefix(line, "     ") && key != "mac" && key != "lastmodified" && key != "a" {
				kept = append(kept, line)
			}
		}
		return strings.Join(kept, "\n")
	}
	if ours, theirs := metadata("k8s/x.yaml"), metadata("k8s/y.yaml"); ours != theirs {
		t.Errorf("our metadata\n%s\ntheirs\n%s", ours, theirs)
	}
	if got := b.decrypted("k8s/x.yaml")["data"].(map[string]any)["a"]; got != "1" {
		t.Errorf("sops shows %v", got)
	}
	b.write("dev/x/a", secret.String("1"))
	if got, err := b.try([]string{envKey + "=" + secondKey}, "decrypt", "secrets/dev/x.yaml"); err != nil || got != "a: \"1\"\n" {
		t.Errorf("%q, %v", got, err)
	}
}
