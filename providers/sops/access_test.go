package sops

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/cofferhq/coffer/providers"
	"github.com/cofferhq/coffer/providers/secret"
)

func age1(policy, recipient string, paths ...string) providers.Grant {
	return providers.Grant{Policy: policy, Environment: "dev", Reader: providers.Reader{Func: readerAge, Args: []string{recipient}}, Paths: paths}
}

func TestCompileAccess(t *testing.T) {
	managed := []providers.Managed{{Path: "dev/x/b", Environment: "dev"}, {Path: "dev/x/a", Environment: "dev"}, {Path: "dev/web.env", Environment: "dev"}, {Path: "prod/x/a", Environment: "prod"}}
	byEnvironment := Recipients{ByEnvironment: map[string][]string{"dev": {firstRecipient}, "prod": {secondRecipient}}}
	for _, c := range []struct {
		name       string
		recipients Recipients
		managed    []providers.Managed
		grants     []providers.Grant
		want       map[string][]string
		grant      int
		says       string
	}{
		{name: "a list for all", recipients: Recipients{All: []string{firstRecipient}}, managed: managed, want: map[string][]string{
			"dev/x.yaml": {firstRecipient}, "dev/web.env": {firstRecipient}, "prod/x.yaml": {firstRecipient},
		}},
		{name: "by environment", recipients: byEnvironment, managed: managed, want: map[string][]string{
			"dev/x.yaml": {firstRecipient}, "dev/web.env": {firstRecipient}, "prod/x.yaml": {secondRecipient},
		}},
		{
			name: "a reader of one file", recipients: byEnvironment, managed: managed,
			grants: []providers.Grant{age1("app.x.policy.p", secondRecipient, "dev/x/a", "dev/x/b")},
			want: map[string][]string{
				"dev/x.yaml": {firstRecipient, secondRecipient}, "dev/web.env": {firstRecipient}, "prod/x.yaml": {secondRecipient},
			},
		},
		{
			name: "two policies cover a file", recipients: byEnvironment, managed: managed[:2],
			grants: []providers.Grant{age1("p", secondRecipient, "dev/x/a"), age1("q", secondRecipient, "dev/x/b")},
			want:   map[string][]string{"dev/x.yaml": {firstRecipient, secondRecipient}},
		},
		{
			name: "half a file", recipients: byEnvironment, managed: managed, grants: []providers.Grant{age1("p", firstRecipient, "prod/x/a"), age1("p", secondRecipient, "dev/x/a")},
			grant: 1, says: "dev/x.yaml also holds dev/x/b",
		},
		{
			name: "environments that differ", recipients: byEnvironment,
			managed: []providers.Managed{{Path: "shared/x/a", Environment: "dev"}, {Path: "shared/x/b", Environment: "prod"}},
			grant:   -1, says: "recipients differ",
		},
		{name: "nobody", managed: managed[:1], grant: -1, says: "nobody could open dev/x.yaml"},
		{name: "only a policy", managed: managed[:2], grants: []providers.Grant{age1("p", firstRecipient, "dev/x/a", "dev/x/b")}, want: map[string][]string{"dev/x.yaml": {firstRecipient}}},
		{name: "not a recipient", recipients: byEnvironment, managed: managed, grants: []providers.Grant{age1("p", "age1nope", "dev/x/a")}, grant: 0, says: "not an age recipient"},
		{name: "a private key", recipients: byEnvironment, managed: managed, grants: []providers.Grant{age1("p", firstKey, "dev/x/a")}, grant: 0, says: "private key"},
		{name: "another reader", managed: managed, grants: []providers.Grant{{Reader: providers.Reader{Func: "aws_role", Args: []string{"x"}}}}, grant: 0, says: "aws_role"},
		{name: "a bad path", managed: []providers.Managed{{Path: "x"}}, grant: -1, says: "want FILE/KEY"},
		{name: "nothing", want: map[string][]string{}},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBench(t, func(cfg *Config, _ *Options) { cfg.Recipients = c.recipients })
			specs, err := b.d.CompileAccess(c.managed, c.grants)
			if c.says != "" {
				var access *providers.AccessError
				if !errors.As(err, &access) || access.Grant != c.grant || !strings.Contains(err.Error(), c.says) {
					t.Fatalf("%v (%+v), want grant %d and %q", err, access, c.grant, c.says)
				}
				if strings.Contains(err.Error(), firstKey) {
					t.Error("the error tells a private key")
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if len(specs) != len(c.want) {
				t.Errorf("%d objects, want %d", len(specs), len(c.want))
			}
			for _, s := range specs {
				want := slices.Sorted(slices.Values(c.want[s.Ref.Path]))
				if s.Document != strings.Join(want, "\n")+"\n" {
					t.Errorf("%s: %q", s.Ref.Path, s.Document)
				}
				for _, path := range s.Paths {
					if p, _ := locate(path); p.file != s.Ref.Path {
						t.Errorf("%s in %s", path, s.Ref.Path)
					}
				}
			}
		})
	}
}

func (b *bench) sopsYAML(text string) {
	b.t.Helper()
	if err := os.WriteFile(filepath.Join(b.dir, rulesFile), []byte(text), 0o644); err != nil {
		b.t.Fatal(err)
	}
}

func TestCreationRulesRule(t *testing.T) {
	b := newBench(t)
	b.sopsYAML("creation_rules:\n  - path_regex: ^secrets/dev/\n    age: " + firstRecipient + "," + secondRecipient +
		"\n  - path_regex: ^secrets/prod/\n    age:\n      - " + firstRecipient + "\n    pgp: FBC7 B9E2\n" +
		"  - path_regex: ^secrets/groups/\n    encrypted_regex: ^(data|keys)$\n    key_groups:\n      - age: [" + firstRecipient + "]\n")
	b.open()
	managed := []providers.Managed{{Path: "dev/x/a", Environment: "dev"}, {Path: "prod/x/a", Environment: "prod"}}
	specs, err := b.d.CompileAccess(managed, []providers.Grant{age1("p", secondRecipient, "dev/x/a")})
	if err != nil {
		t.Fatal(err)
	}
	if specs[0].Document != document([]string{firstRecipient, secondRecipient}) || specs[1].Document != firstRecipient+"\npgp:FBC7B9E2\n" {
		t.Errorf("%+v", specs)
	}
	_, err = b.d.CompileAccess(managed, []providers.Grant{age1("p", secondRecipient, "prod/x/a")})
	var access *providers.AccessError
	if !errors.As(err, &access) || access.Grant != 0 || !strings.Contains(err.Error(), "add the line `- "+secondRecipient+"`") {
		t.Errorf("%v", err)
	}
	_, err = b.d.CompileAccess([]providers.Managed{{Path: "other/x/a"}}, nil)
	if !errors.As(err, &access) || !strings.Contains(err.Error(), "no creation rule of .sops.yaml matches secrets/other/x.yaml") {
		t.Errorf("%v", err)
	}
	if _, line, found := strings.Cut(err.Error(), "under creation_rules: "); !found || line != "- {path_regex: '^secrets/other/', age: 'age1…'}" {
		t.Errorf("%v", err)
	}
	b.write("dev/x/a", secret.String("1"))
	if err := b.opensWith(secondKey, "dev/x.yaml", "a"); err != nil {
		t.Error(err)
	}
	b.write("groups/x/keys", fields("a", "1"))
	if raw := b.get("groups/x.yaml"); !strings.Contains(raw, "\n    encrypted_regex: ^(data|keys)$\n    lastmodified:") || strings.Contains(raw, "unencrypted_suffix") {
		t.Errorf("the rule is not in the file:\n%s", raw)
	}
	_, err = b.d.Write(context.Background(), providers.WriteRequest{Path: "prod/x/a", Value: secret.String("1")})
	mustCode(t, err, providers.Unsupported)
}

func TestCreationRulesRefused(t *testing.T) {
	for name, c := range map[string]struct{ text, says string }{
		"yaml":      {"creation_rules: [", "not readable"},
		"regex":     {"creation_rules:\n  - path_regex: '('\n    age: " + firstRecipient, "path_regex"},
		"recipient": {"creation_rules:\n  - age: age1nope\n", "not an age recipient"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := parseRules([]byte(c.text)); err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("%v", err)
			}
		})
	}
	for name, c := range map[string]struct{ text, says string }{
		"groups":   {"creation_rules:\n  - key_groups:\n      - age: [" + firstRecipient + "]\n      - age: [" + secondRecipient + "]\n", "key_groups"},
		"no age":   {"creation_rules:\n  - pgp: ABCD\n", "no age recipient"},
		"comments": {"creation_rules:\n  - encrypted_comment_regex: x\n    age: " + firstRecipient, "encrypted_comment_regex"},
	} {
		t.Run(name, func(t *testing.T) {
			all, err := parseRules([]byte(c.text))
			if err != nil {
				t.Fatal(err)
			}
			if _, err := ruleFor(all, "x"); err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("%v", err)
			}
		})
	}
	b := newBench(t)
	b.sopsYAML("creation_rules:\n  - age: " + firstRecipient + "\n")
	env := providers.Env{Dir: b.dir, Getenv: getenv("")}
	if _, err := Open(env, Config{Recipients: Recipients{All: []string{firstRecipient}}}, Options{}); err == nil || !strings.Contains(err.Error(), "remove `recipients` from the block, or `creation_rules` from .sops.yaml") {
		t.Errorf("%v", err)
	}
	b.sopsYAML("stores:\n  yaml:\n    indent: 2\n")
	if _, err := Open(env, Config{Recipients: Recipients{All: []string{firstRecipient}}}, Options{}); err != nil {
		t.Errorf("a file without rules: %v", err)
	}
}

// The line that the error gives makes a rule that matches.
func TestTheRuleToAdd(t *testing.T) {
	text := "creation_rules:\n  - path_regex: ^a/\n    age: " + firstRecipient + "," + secondRecipient + "\n"
	for _, file := range []string{"top.yaml", "b+c/dev/x.env"} {
		all, err := parseRules([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		_, err = ruleFor(all, file)
		if err == nil {
			t.Fatalf("%s has a rule", file)
		}
		_, line, _ := strings.Cut(err.Error(), "under creation_rules: ")
		all, err = parseRules([]byte(text + "  " + line + "\n"))
		if err != nil {
			t.Fatal(err)
		}
		rule, err := ruleFor(all, file)
		if err != nil || !slices.Equal(rule.recipients, all[0].recipients) {
			t.Errorf("%s: %q gives %v, %v", file, line, rule, err)
		}
		if _, err := ruleFor(all, "elsewhere/"+file); err == nil {
			t.Errorf("%q matches elsewhere/%s too", line, file)
		}
	}
}

func TestConfig(t *testing.T) {
	for name, c := range map[string]struct {
		in   any
		want Recipients
		says string
	}{
		"list":        {[]any{secondRecipient, firstRecipient, firstRecipient}, Recipients{All: slices.Sorted(slices.Values([]string{firstRecipient, secondRecipient}))}, ""},
		"map":         {map[string]any{"dev": []any{firstRecipient}}, Recipients{ByEnvironment: map[string][]string{"dev": {firstRecipient}}}, ""},
		"text":        {firstRecipient, Recipients{}, "want a list"},
		"number":      {[]any{1.0}, Recipients{}, "as text"},
		"map of text": {map[string]any{"dev": firstRecipient}, Recipients{}, "want a list"},
		"bad":         {[]any{"age1x"}, Recipients{}, "not an age recipient"},
		"bad in map":  {map[string]any{"dev": []any{"x"}}, Recipients{}, `recipients of "dev"`},
		"plugin":      {[]any{"age1yubikey1q0000"}, Recipients{}, "plugin"},
		"private":     {[]any{firstKey}, Recipients{}, "private key"},
	} {
		t.Run(name, func(t *testing.T) {
			var r Recipients
			err := r.DecodeConfig(c.in)
			if c.says != "" {
				if err == nil || !strings.Contains(err.Error(), c.says) {
					t.Errorf("%v", err)
				}
				return
			}
			if err != nil || !slices.Equal(r.All, c.want.All) || !slices.Equal(r.ByEnvironment["dev"], c.want.ByEnvironment["dev"]) {
				t.Errorf("%+v, %v", r, err)
			}
		})
	}
	for _, path := range []string{"/etc", "..", "../x", "a/../../x"} {
		if _, err := Open(providers.Env{Dir: t.TempDir()}, Config{Path: path}, Options{}); err == nil {
			t.Errorf("path %q is accepted", path)
		}
	}
	f := Factory()
	if f.Type != "sops" {
		t.Errorf("type %q", f.Type)
	}
	d, err := f.Open(context.Background(), providers.Env{Dir: t.TempDir()}, f.NewConfig())
	if err != nil || d == nil {
		t.Fatal(err)
	}
	if _, err := f.Open(context.Background(), providers.Env{}, 1); err == nil {
		t.Error("an int is a configuration")
	}
}
