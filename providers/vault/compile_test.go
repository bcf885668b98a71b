package vault

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cofferhq/coffer/providers"
)

// pure is a driver without a server.
func pure(c Config) *Driver {
	if c.Mount == "" {
		c.Mount = "secret"
	}
	return &Driver{config: c}
}

const (
	runtime = `app.checkout.policy.runtime["production"]`
	aPolicy = "secret--payments--checkout-production-runtime"
)

func grant(policy, fn string, args ...string) providers.Grant {
	return providers.Grant{Policy: policy, Environment: "production", Reader: providers.Reader{Func: fn, Args: args}, Paths: []string{
		"payments/checkout/production/db", "payments/checkout/production/api",
	}}
}

func TestCompileAccess(t *testing.T) {
	d := pure(Config{Prefix: "payments"})
	specs, err := d.CompileAccess(nil, []providers.Grant{
		grant(runtime, "vault_kubernetes", "checkout", "api"), grant(runtime, "vault_approle", "checkout"),
		grant(runtime, "vault_jwt", "ci", "team/jwt"), grant(runtime, "vault_entity", "web server"), grant(runtime, "vault_group", "ops"),
		grant(runtime, "vault_approle", "Checkout"), // the server knows one of these two
	})
	if err != nil {
		t.Fatal(err)
	}
	policy := providers.ObjectRef{Kind: KindPolicy, Path: aPolicy}
	binding := func(holder, label string, role bool) providers.ObjectSpec {
		needs := []providers.ObjectRef{policy}
		if role {
			needs = append(needs, providers.ObjectRef{Kind: KindRole, Path: holder})
		}
		return providers.ObjectSpec{
			Ref: providers.ObjectRef{Kind: KindBinding, Path: holder + " " + aPolicy}, Document: "attached\n", Needs: needs, Reads: runtime + " for " + label,
		}
	}
	want := []providers.ObjectSpec{
		{
			Ref: policy, Policy: runtime,
			Document: "path \"secret/data/payments/checkout/production/api\" {\n  capabilities = [\"read\"]\n}\npath \"secret/data/payments/checkout/production/db\" {\n  capabilities = [\"read\"]\n}\n",
		},
		{
			Ref:      providers.ObjectRef{Kind: KindRole, Path: "kubernetes:kubernetes/checkout-api"},
			Document: "type = \"kubernetes\"\nbound_service_account_names = [\"api\"]\nbound_service_account_namespace_selector = \"\"\nbound_service_account_namespaces = [\"checkout\"]\n",
			Kept:     true,
		},
		binding("approle:approle/checkout", "approle checkout", true),
		binding("entity:web server", "entity web server", false),
		binding("group:ops", "group ops", false),
		binding("jwt:team/jwt/ci", "jwt ci of auth/team/jwt", true),
		binding("kubernetes:kubernetes/checkout-api", "kubernetes checkout-api", true),
	}
	if diff := cmp.Diff(want, specs); diff != "" {
		t.Error(diff)
	}
	for _, s := range specs { // what is compiled is understood when it comes back
		if s.Ref.Kind == KindBinding || s.Ref.Kind == KindRole {
			if h, err := holderOf(s.Ref); err != nil || !strings.HasPrefix(s.Ref.Path, h.String()) {
				t.Errorf("%s is read as %v, %v", s.Ref.Path, h, err)
			}
		}
	}
}

func TestCompileAccessRefuses(t *testing.T) {
	odd := func(path string) providers.Grant {
		g := grant(runtime, "vault_entity", "x")
		g.Paths = []string{path}
		return g
	}
	for name, c := range map[string]struct {
		grants []providers.Grant
		want   string
	}{
		"arguments":        {[]providers.Grant{grant(runtime, "vault_approle")}, `want vault_approle("role"[, "mount"])`},
		"too many":         {[]providers.Grant{grant(runtime, "vault_group", "a", "b")}, `want vault_group("name")`},
		"an empty one":     {[]providers.Grant{grant(runtime, "vault_kubernetes", "a", "")}, "the service-account is empty"},
		"a role with a /":  {[]providers.Grant{grant(runtime, "vault_approle", "a/b")}, "has a / in its name"},
		"another platform": {[]providers.Grant{grant(runtime, "aws_role", "a")}, "has no reader aws_role"},
		"all accounts":     {[]providers.Grant{grant(runtime, "vault_kubernetes", "a", "*")}, "would be a pattern"},
		"all namespaces":   {[]providers.Grant{grant(runtime, "vault_kubernetes", "*", "a")}, "one service account of one namespace"},
		"one name, two policies": {[]providers.Grant{
			grant(`app.a-b.policy.p["c"]`, "vault_entity", "x"), grant(`app.a.policy.p["b-c"]`, "vault_entity", "x"),
		}, "are both the ACL policy secret--a-b-c-p"},
		"one role, two accounts": {[]providers.Grant{
			grant(runtime, "vault_kubernetes", "a-b", "c"), grant(runtime, "vault_kubernetes", "a", "b-c"),
		}, "two service accounts share the role name a-b-c"},
		"a wildcard in a path": {[]providers.Grant{odd("a/+/b")}, "cannot be granted"},
		"a star":               {[]providers.Grant{odd("a/b*")}, "cannot be granted"},
		"a template":           {[]providers.Grant{odd("a/{{b}}")}, "cannot be granted"},
	} {
		_, err := pure(Config{}).CompileAccess(nil, c.grants)
		var ae *providers.AccessError
		if !errors.As(err, &ae) || ae.Grant != len(c.grants)-1 || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %s at grant %d", name, err, c.want, len(c.grants)-1)
		}
	}
}

func TestCompileDeclaration(t *testing.T) {
	d := pure(Config{})
	for name, c := range map[string]struct {
		decl providers.Declaration
		want []providers.ObjectSpec
	}{
		"document": {
			providers.Declaration{Kind: "policy_document", Name: "ops", Args: map[string]any{"document": "# why\npath \"a/{{identity.entity.name}}\" { policy = \"read\" }\n\n"}},
			[]providers.ObjectSpec{{Ref: providers.ObjectRef{Kind: KindPolicy, Path: "ops"}, Document: "# why\npath \"a/{{identity.entity.name}}\" { policy = \"read\" }\n"}},
		},
		"approle at its standard": {
			providers.Declaration{Kind: "role", Type: "approle", Name: "checkout", Args: map[string]any{"bind_secret_id": true, "token_ttl": 0.0}},
			[]providers.ObjectSpec{{Ref: providers.ObjectRef{Kind: KindRole, Path: "approle:approle/checkout"}, Document: "type = \"approle\"\nbind_secret_id = true\ntoken_ttl = \"0s\"\n", Kept: true}},
		},
		"approle with nothing": {
			providers.Declaration{Kind: "role", Type: "approle", Name: "checkout", Args: map[string]any{"token_ttl": nil}},
			[]providers.ObjectSpec{{Ref: providers.ObjectRef{Kind: KindRole, Path: "approle:approle/checkout"}, Document: "type = \"approle\"\n", Kept: true}},
		},
		"approle with policies": {
			providers.Declaration{Kind: "role", Type: "approle", Name: "Checkout", Args: map[string]any{
				"secret_id_ttl": "90m", "token_strictly_bind_ip": true, "token_ttl": 3600.0, "token_max_ttl": "2d", "token_bound_cidrs": []any{"10.0.0.0/8", "1.2.3.4/32", "10.0.0.0/8"}, "policies": []any{"ops"}, "mount": "team/approle",
			}},
			[]providers.ObjectSpec{
				{
					Ref:      providers.ObjectRef{Kind: KindRole, Path: "approle:team/approle/checkout"},
					Document: "type = \"approle\"\nsecret_id_ttl = \"1h30m\"\ntoken_bound_cidrs = [\"1.2.3.4/32\",\"10.0.0.0/8\"]\ntoken_max_ttl = \"48h\"\ntoken_strictly_bind_ip = true\ntoken_ttl = \"1h\"\n",
					Kept:     true,
				},
				{
					Ref: providers.ObjectRef{Kind: KindBinding, Path: "approle:team/approle/checkout ops"}, Document: "attached\n", Reads: "ops for approle checkout of auth/team/approle",
					Needs: []providers.ObjectRef{{Kind: KindPolicy, Path: "ops"}, {Kind: KindRole, Path: "approle:team/approle/checkout"}},
				},
			},
		},
		"jwt": {
			providers.Declaration{Kind: "role", Type: "jwt", Name: "ci", Args: map[string]any{"user_claim": "sub", "bound_claims": map[string]any{"b": "<&>", "a": []any{"x"}}}},
			[]providers.ObjectSpec{{Ref: providers.ObjectRef{Kind: KindRole, Path: "jwt:jwt/ci"}, Document: "type = \"jwt\"\nbound_claims = {\"a\":[\"x\"],\"b\":\"<&>\"}\nuser_claim = \"sub\"\n", Kept: true}},
		},
		"mount": {
			providers.Declaration{Kind: "mount", Type: "kv", Name: "secret", Args: map[string]any{"options": map[string]any{"version": "2"}, "max_versions": 5.0, "delete_version_after": "0s", "description": "ours"}},
			[]providers.ObjectSpec{{Ref: providers.ObjectRef{Kind: KindMount, Path: "kv:secret"}, Document: "type = \"kv\"\ndelete_version_after = \"0s\"\ndescription = \"ours\"\nmax_versions = 5\nversion = \"2\"\n", Holds: true, Kept: true, Begins: []string{"type = \"kv\"\ndelete_version_after = \"0s\"\ndescription = \"ours\"\nmax_versions = 0\nversion = \"2\"\n"}}},
		},
		"mount made at once": {
			providers.Declaration{Kind: "mount", Type: "kv", Name: "other", Args: map[string]any{"description": "ours"}},
			[]providers.ObjectSpec{{Ref: providers.ObjectRef{Kind: KindMount, Path: "kv:other"}, Document: "type = \"kv\"\ndescription = \"ours\"\nversion = \"2\"\n", Kept: true}},
		},
	} {
		specs, err := d.CompileDeclaration(c.decl)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if diff := cmp.Diff(c.want, specs); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
		for _, s := range specs {
			if s.Ref.Kind != KindRole && s.Ref.Kind != KindMount {
				continue
			}
			if typ, back, err := parseSettings(s.Document); err != nil || back.document(typ) != s.Document {
				t.Errorf("%s: read back as %v, %v", name, back, err)
			}
		}
	}
}

// Where a block without a place has its object is all that a removed block tells.
func TestDeclaredAt(t *testing.T) {
	d := pure(Config{})
	for _, c := range []struct{ kind, typ, name, path string }{
		{"role", "approle", "Web", "approle:approle/web"},
		{"role", "jwt", "ci", "jwt:jwt/ci"},
		{"role", "cert", "ci", ""},
		{"mount", "kv", "team/shop", "kv:team/shop"},
		{"mount", "pki", "x", ""},
		{"policy_document", "", "ops", "ops"},
		{"", "", "", ""},
	} {
		if got := d.DeclaredAt(c.kind, c.typ, c.name); got.Path != c.path {
			t.Errorf("%s %s %s is at %+v, want %q", c.kind, c.typ, c.name, got, c.path)
		}
		if c.path == "" || c.typ == "jwt" {
			continue
		}
		args := map[string]any{}
		if c.kind == "policy_document" {
			args["document"] = "path \"a\" { policy = \"read\" }"
		}
		specs, err := d.CompileDeclaration(providers.Declaration{Kind: c.kind, Type: c.typ, Name: c.name, Args: args})
		if err != nil || specs[0].Ref != d.DeclaredAt(c.kind, c.typ, c.name) {
			t.Errorf("%s %s %s is declared at %+v, %v", c.kind, c.typ, c.name, specs, err)
		}
	}
}

func TestNamespacesAbove(t *testing.T) {
	for namespace, want := range map[string][]string{"": nil, "a": {""}, "a/b/c": {"a/b", "a", ""}, "/a/": {""}} {
		if got := namespacesAbove(namespace); !slices.Equal(got, want) {
			t.Errorf("above %q are %q, want %q", namespace, got, want)
		}
	}
	for namespace, want := range map[string]string{"a": "vault:c/a", "": "vault:c/-"} {
		if got := aboveScope("vault:c/a/b", "a/b", namespace); got != want {
			t.Errorf("the scope of %q is %q, want %q", namespace, got, want)
		}
	}
}

func TestCompileDeclarationRefuses(t *testing.T) {
	d := pure(Config{})
	role := func(typ, name string, v any) providers.Declaration {
		args := map[string]any{name: v}
		if typ == "jwt" && name != "user_claim" {
			args["user_claim"] = "sub"
		}
		return providers.Declaration{Kind: "role", Type: typ, Name: "x", Args: args}
	}
	document := func(text string) providers.Declaration {
		return providers.Declaration{Kind: "policy_document", Name: "x", Args: map[string]any{"document": text}}
	}
	for _, c := range []struct {
		decl           providers.Declaration
		argument, want string
	}{
		{role("approle", "secret_id_tll", "1h"), "secret_id_tll", "did you mean secret_id_ttl?"},
		{role("approle", "token_policies", []any{"a"}), "token_policies", "did you mean policies?"},
		{role("approle", "zzz", 1.0), "zzz", "there are bind_secret_id, local_secret_ids, mount, policies,"},
		{role("approle", "token_ttl", "1 hour"), "token_ttl", "want a duration"},
		{role("approle", "token_ttl", "1500ms"), "token_ttl", "want a duration"},
		{role("approle", "token_num_uses", 1.5), "token_num_uses", "want a whole number"},
		{role("approle", "token_num_uses", -1.0), "token_num_uses", "want a whole number"},
		{role("approle", "bind_secret_id", "yes"), "bind_secret_id", "want true or false"},
		{role("approle", "policies", []any{"Ops"}), "policies", "large letters"},
		{role("approle", "policies", []any{"root"}), "policies", "root cannot be changed"},
		{role("approle", "mount", ""), "mount", "want the path of the auth method"},
		{role("jwt", "user_claim", ""), "user_claim", "user_claim is missing"},
		{role("jwt", "bound_claims", "x"), "bound_claims", "want an object"},
		{role("kubernetes", "audience", "x"), "bound_service_account_names", "is missing"},
		{role("aprole", "x", 1.0), "", "did you mean approle?"},
		{document(""), "document", "document is missing"},
		{document("path \"a\" {\n"), "document", "line 2: a block is not closed"},
		{document(`{"path": {"a": {"policy": "read"}}}`), "document", "write it in HCL"},
		{document("# coffer: project=x\npath \"a\" { policy = \"read\" }"), "document", "take the line out"},
		{providers.Declaration{Kind: "policy_document", Name: "x", Args: map[string]any{"documnet": "x"}}, "documnet", "did you mean document?"},
		{providers.Declaration{Kind: "policy_document", Name: "root", Args: map[string]any{"document": "x"}}, "", "cannot be changed"},
		{providers.Declaration{Kind: "mount", Type: "kv", Name: "x", Args: map[string]any{"options": map[string]any{"version": "1"}}}, "options", `want { version = "2" }`},
		{providers.Declaration{Kind: "mount", Type: "kv", Name: "x", Args: map[string]any{"version": "2"}}, "version", "there is no argument version"},
		{providers.Declaration{Kind: "mount", Type: "pki", Name: "x"}, "", "only of kv"},
		{providers.Declaration{Kind: "mount", Type: "kv", Name: "x/+"}, "", "would be a pattern"},
		{providers.Declaration{Kind: "bucket", Name: "x"}, "", "no bucket blocks"},
	} {
		_, err := d.CompileDeclaration(c.decl)
		var ae *providers.ArgumentError
		if !errors.As(err, &ae) || ae.Argument != c.argument || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: %v, want %s at %q", c.decl, err, c.want, c.argument)
		}
	}
}

func TestPolicyMark(t *testing.T) {
	for _, mark := range []providers.Mark{{}, {Project: "p-1", Address: "abc"}, {Project: "p-1", Address: "abc", Protected: true}} {
		text, err := withMark(mark, "path \"a\" {}\n")
		if err != nil {
			t.Fatal(err)
		}
		o := (&livePolicy{text: text}).object()
		if o.Attributes.Mark != mark || o.Document != "path \"a\" {}\n" {
			t.Errorf("%+v became %+v in\n%s", mark, o, text)
		}
	}
	if _, err := withMark(providers.Mark{Project: "a\npath \"*\" {}"}, ""); err == nil {
		t.Error("a project breaks out of its comment")
	}
}

func TestCanonicalArguments(t *testing.T) {
	ttl := argument{name: "ttl", shape: aDuration}
	for _, c := range []struct {
		in   any
		want string
	}{
		{"1d", "24h"}, {90.0, "1m30s"}, {"0", "0s"}, {nil, "0s"}, {"600s", "10m"}, {"20h10m", "20h10m"}, {"10h0m5s", "10h0m5s"}, {"36h", "36h"}, {3600.0, "1h"},
	} {
		got, err := ttl.canonical(c.in)
		if err != nil || got != c.want {
			t.Errorf("%v is %v, %v, want %s", c.in, got, err, c.want)
		}
		if again, err := ttl.canonical(got); err != nil || again != got {
			t.Errorf("%v becomes %v, %v", got, again, err)
		}
	}
	leeway := argument{name: "leeway", shape: aLeeway}
	for in, want := range map[any]string{-1.0: "-1s", "-1": "-1s", "-90s": "-1m30s", 60.0: "1m", "1m": "1m", 0.0: "0s", "-0": "0s", nil: "0s"} {
		got, err := leeway.canonical(in)
		if again, twice := leeway.canonical(got); err != nil || got != want || twice != nil || again != got {
			t.Errorf("%v is %v, %v, want %s", in, got, err, want)
		}
	}
	for _, wrong := range []any{"--1", "-", "soon", 0.5, true} {
		if got, err := leeway.canonical(wrong); err == nil || !strings.Contains(err.Error(), "-1 for none") {
			t.Errorf("%v is %v, %v", wrong, got, err)
		}
	}
	if got, err := ttl.canonical(-1.0); err == nil {
		t.Errorf("a ttl of -1 is %v", got)
	}
	// What is not wanted either way is not sent.
	live := settings{"bind_secret_id": false, "token_ttl": "1h", "token_num_uses": 3.0}
	want := settings{"token_ttl": "2h", "token_num_uses": 3.0, "token_period": "0s"}
	if diff := cmp.Diff(map[string]any{"token_ttl": "2h"}, changes(roleArguments(typeAppRole), live, want)); diff != "" {
		t.Error(diff)
	}
}

// No two places of one server lead to one policy.
func TestPolicyNames(t *testing.T) {
	taken := map[string]Config{}
	for _, c := range []Config{
		{Mount: "secret"},
		{Mount: "secret", Prefix: "payments"},
		{Mount: "secret-payments"},
		{Mount: "secret", Prefix: "a/b"},
		{Mount: "secret", Prefix: "a-b"},
		{Mount: "secret", Prefix: "a--b"},
		{Mount: "secret", Prefix: "A-b"},
		{Mount: "secret", Prefix: "a b"},
		{Mount: "secret", Prefix: "a-b-"},
		{Mount: "secret", Prefix: "checkout-production-runtime"},
		{Mount: "secret-a", Prefix: "b"},
	} {
		name, err := pure(c).policyName(runtime)
		if other, twice := taken[name]; twice || err != nil {
			t.Errorf("%+v and %+v are both %s, %v", c, other, name, err)
		}
		taken[name] = c
	}
	name, err := pure(Config{Prefix: "team/payments"}).policyName(`app.check--out.policy.run-["production"]`)
	if want := "secret--team--payments--check-out-production-run"; name != want || err != nil {
		t.Errorf("%s, %v, want %s", name, err, want)
	}
}

func TestObjectScope(t *testing.T) {
	for _, mount := range []string{"secret", "team/kv"} {
		if got, want := pure(Config{Mount: mount}).ObjectScope("vault:c-1/a/b/"+mount), "vault:c-1/a/b"; got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
}

// What a policy would read as a pattern is no path, but it can be found.
func TestPatternsAreNoPaths(t *testing.T) {
	d := pure(Config{Prefix: "shop"})
	for _, path := range []string{"a*", "+", "a/+/b", "a/+", "x+*y", "{{identity.entity.id}}", "a}}", "${x}"} {
		if _, err := d.Resolve(kindSecret, path); providers.CodeOf(err) != providers.Invalid {
			t.Errorf("%s: %v", path, err)
		}
		if _, err := d.DefaultPath(providers.Place{App: "app", Environment: "prod", Name: path}); providers.CodeOf(err) != providers.Invalid {
			t.Errorf("%s as a name: %v", path, err)
		}
		for argument, c := range map[string]Config{"mount": {Mount: path}, "prefix": {Prefix: path}} {
			if _, _, err := complete(c, func(string) string { return "" }); providers.CodeOf(err) != providers.Invalid || !strings.HasPrefix(err.Error(), argument) {
				t.Errorf("%s as %s: %v", path, argument, err)
			}
		}
		if err := d.within("shop/" + path); err != nil {
			t.Errorf("%s where somebody else made it: %v", path, err)
		}
	}
	if got, err := d.Resolve(kindSecret, "a*b/c+d/{x}"); err != nil || got != "shop/a*b/c+d/{x}" {
		t.Errorf("%s, %v", got, err)
	}
}

// Two spellings that the server takes for one are one holder.
func TestSpellingsOfAHolder(t *testing.T) {
	for _, pair := range [][2]string{
		{"approle:approle/Web", "approle:approle/web"}, {"jwt:Team/jwt/CI", "jwt:Team/jwt/ci"}, {"entity:Alice", "entity:alice"}, {"group:OPS", "group:ops"},
	} {
		if h, err := parseHolder(pair[0]); err != nil || h.String() != pair[1] {
			t.Errorf("%s is read as %s, %v", pair[0], h, err)
		}
	}
	for _, fn := range []string{"vault_approle", "vault_jwt", "vault_entity", "vault_group"} {
		upper, err := resolveReader(providers.Reader{Func: fn, Args: []string{"Web"}})
		lower, err2 := resolveReader(providers.Reader{Func: fn, Args: []string{"web"}})
		if upper != lower || err != nil || err2 != nil {
			t.Errorf("%s: %v and %v, %v, %v", fn, upper, lower, err, err2)
		}
	}
}

// What the state has outside the prefix is not touched, and the error says the way.
func TestAnotherPrefix(t *testing.T) {
	d := pure(Config{Prefix: "new"})
	_, err := d.Inspect(t.Context(), []string{"old/db"})
	var partial *providers.PartialError
	if !errors.As(err, &partial) {
		t.Fatalf("%v", err)
	}
	wantError(t, "another prefix", partial.Paths["old/db"], providers.Invalid, "take it out, give each secret the path that it is to have (`path = \"new/…\"`)")
}
