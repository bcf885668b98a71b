package vault

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cofferhq/coffer/providers"
	"github.com/cofferhq/coffer/providers/vault/acl"
)

const planDocument = `# The least that ` + "`coffer plan`" + ` needs on mount secret, below shop, in namespace team.

# what policies, roles and mounts say.
path "auth/approle/role/web" {
  capabilities = ["read"]
}
path "sys/policies/acl/shop-web" {
  capabilities = ["read"]
}

# what the policy default gives as well.
path "auth/token/lookup-self" {
  capabilities = ["read"]
}
path "auth/token/renew-self" {
  capabilities = ["update"]
}
path "auth/token/revoke-self" {
  capabilities = ["update"]
}
path "sys/capabilities-self" {
  capabilities = ["update"]
}

# the same in one request. Only OpenBao has scan: leave this block out of a policy for HashiCorp Vault, which refuses it.
path "secret/detailed-metadata/shop/*" {
  capabilities = ["scan"]
}

# which secrets exist and which version lives, and no value.
path "secret/metadata/shop/*" {
  capabilities = ["read", "list"]
}

# drift: whether a policy that nobody declared can read these secrets.
path "sys/policies/acl" {
  capabilities = ["list"]
}
path "sys/policies/acl/*" {
  capabilities = ["read"]
}
`

func TestPermissions(t *testing.T) {
	d := pure(Config{Prefix: "shop", Namespace: "team"})
	req := providers.PermissionRequest{
		Phase:   providers.PhasePlan,
		Secrets: []providers.Use{{Path: "shop/db", Write: true, Reads: []string{"app.shop.secret.dsn uses it", "replica sops"}}, {Path: "shop/manual"}},
		Objects: []providers.ObjectRef{{Kind: KindBinding, Path: "approle:approle/web shop-web"}, {Kind: KindPolicy, Path: "shop-web"}},
	}
	if diff := cmp.Diff(planDocument, d.PermissionDocument(req, d.Permissions(req))); diff != "" {
		t.Error(diff)
	}
	req.Phase = providers.PhaseApply
	list := d.Permissions(req)
	got := map[string]string{}
	for _, p := range list {
		got[p.Path] = strings.Join(p.Capabilities, ",") + " | " + p.Why
	}
	for path, want := range map[string]string{
		"secret/data/shop/db":             "create,read,update,patch | reads the value: app.shop.secret.dsn uses it; replica sops; " + whyWrite,
		"secret/metadata/shop/db":         "read,patch,list | " + whyMark,
		"secret/metadata/shop/manual":     "read,patch,list | " + whyMark,
		"secret/delete/shop/db":           "update | " + whyDelete,
		"secret/undelete/shop/db":         "update | " + whyUndelete,
		"secret/metadata/shop/*":          "read,list | " + whyLook,
		"secret/detailed-metadata/shop/*": "scan | " + whyScan,
		"auth/approle/role/web":           "create,read,update | " + whyObject + "; " + whyChange,
		"sys/policies/acl/shop-web":       "read,update,delete | " + whyObject + "; " + whyChange,
		"auth/token/lookup-self":          "read | " + whyToken,
		"auth/token/renew-self":           "update | " + whyToken,
		"auth/token/revoke-self":          "update | " + whyToken,
		"sys/capabilities-self":           "update | " + whyToken,
	} {
		if got[path] != want {
			t.Errorf("%s: %s, want %s", path, got[path], want)
		}
		delete(got, path)
	}
	if len(got) > 0 {
		t.Errorf("and more: %v", got)
	}
	document := d.PermissionDocument(req, list)
	read, err := acl.Parse(document)
	if err != nil || len(read) != len(list) {
		t.Errorf("%d rules, %v in\n%s", len(read), err, document)
	}
	for _, line := range []string{
		"# path \"secret/destroy/shop/*\" {\n#   capabilities = [\"update\"]\n# }",
		"# path \"secret/metadata/shop/db\" {\n#   capabilities = [\"delete\"]\n# }",
	} {
		if !strings.Contains(document, line) {
			t.Errorf("no %s in\n%s", line, document)
		}
	}
}

// A path that a policy cannot name is never given a rule that means something
// else: the rule covers it, and what lies beside it.
func TestRulePath(t *testing.T) {
	for path, want := range map[string]string{
		"secret/data/a": "secret/data/a", "secret/data/a*": "secret/data/*", "secret/data/+/b": "secret/data/*",
		"secret/data/a/b+c": "secret/data/a/b+c", "secret/data/x/{{y}}/z": "secret/data/x/*",
	} {
		if got := rulePath(path); got != want {
			t.Errorf("%s: %s, want %s", path, got, want)
		}
	}
}

// Version 1 has no parts of the API, no marks and no scan.
func TestPermissionsV1(t *testing.T) {
	d := pure(Config{AllowValueRead: true})
	req := providers.PermissionRequest{Phase: providers.PhaseApply, Secrets: []providers.Use{{Path: "a", Write: true}, {Path: "b", Reads: []string{"why"}}}}
	got := map[string]string{}
	for _, p := range d.Permissions(req) {
		if strings.HasPrefix(p.Path, "secret") {
			got[p.Path] = strings.Join(p.Capabilities, ",")
		}
	}
	want := map[string]string{"secret/*": "list", "secret/a": "create,update,delete,list", "secret/b": "read,list"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
