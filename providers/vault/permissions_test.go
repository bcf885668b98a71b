package vault

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cofferhq/coffer/providers"
	"github.com/cofferhq/coffer/providers/vault/acl"
)

const planDocument = `# The least that ` + "`coffer plan`" + ` needs on mount secret, below shop, in namespace team.

# so that drift can tell who else holds a policy of ours.
path "auth/+/role" {
  capabilities = ["list"]
}
path "auth/+/role/+" {
  capabilities = ["read"]
}
path "auth/+/users" {
  capabilities = ["list"]
}
path "auth/+/users/+" {
  capabilities = ["read"]
}
path "identity/entity/id" {
  capabilities = ["list"]
}
path "identity/entity/id/+" {
  capabilities = ["read"]
}
path "identity/group/id" {
  capabilities = ["list"]
}
path "identity/group/id/+" {
  capabilities = ["read"]
}
path "sys/auth" {
  capabilities = ["read"]
}

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
		"secret/undelete/shop/manual":     "update | " + whyUndelete,
		"secret/metadata/shop/*":          "read,list | " + whyLook,
		"secret/detailed-metadata/shop/*": "scan | " + whyScan,
		"auth/approle/role/web":           "create,read,update | " + whyObject + "; " + whyChange,
		"sys/policies/acl/shop-web":       "read,update,delete | " + whyOwner + "; " + whyObject + "; " + whyChange,
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
// What the state has and the configuration does not: a plan looks at it, and an
// apply gets what its end takes, and not what others of its kind need.
func TestPermissionsOfWhatLeaves(t *testing.T) {
	leaving := func(kind, path string, end providers.End, reads ...string) providers.Leaving {
		return providers.Leaving{ObjectRef: providers.ObjectRef{Kind: kind, Path: path}, End: end, Reads: reads}
	}
	all := []providers.Leaving{
		leaving(KindBinding, "approle:approle/web old", providers.EndDeleted),
		leaving(KindBinding, "group:ops old", providers.EndForgotten),
		leaving(KindMount, "kv:gone", providers.EndNamed), leaving(KindMount, "kv:kept", providers.EndDeleted),
		leaving(KindPolicy, "let", providers.EndForgotten), leaving(KindPolicy, "old", providers.EndDeleted),
		leaving(KindRole, "jwt:jwt/gone", providers.EndNamed), leaving(KindRole, "jwt:jwt/kept", providers.EndDeleted),
		leaving(kindSecret, "elsewhere/db", providers.EndDeleted, "to move it"), // the prefix was another one
		leaving(kindSecret, "shop/firm", providers.EndLooked),
		leaving(kindSecret, "shop/gone", providers.EndDeleted), leaving(kindSecret, "shop/let", providers.EndForgotten),
		leaving(kindSecret, "shop/moved", providers.EndDeleted, "to move it to shop/new"),
	}
	for name, tt := range map[string]struct {
		config Config
		phase  providers.Phase
		want   map[string]string // capabilities by path, less those that every policy has
	}{
		"apply": {Config{Prefix: "shop"}, providers.PhaseApply, map[string]string{
			"auth/approle/role/web": "read,update", "identity/group/name/ops": "read",
			"sys/mounts/gone": "read", "gone/config": "read", "sys/mounts/kept": "read", "kept/config": "read",
			"sys/policies/acl/let": "read,update", "sys/policies/acl/old": "read,delete", "auth/jwt/role/gone": "read,delete", "auth/jwt/role/kept": "read",
			"secret/detailed-metadata/shop/*": "scan", "secret/metadata/shop/*": "read,list",
			"secret/delete/shop/gone": "update", "secret/metadata/shop/let": "read,patch,list", "secret/delete/shop/moved": "update", "secret/data/shop/moved": "read",
		}},
		"apply, KV version 1": {Config{Prefix: "shop", AllowValueRead: true}, providers.PhaseApply, map[string]string{
			"auth/approle/role/web": "read,update", "identity/group/name/ops": "read",
			"sys/mounts/gone": "read", "gone/config": "read", "sys/mounts/kept": "read", "kept/config": "read",
			"sys/policies/acl/let": "read,update", "sys/policies/acl/old": "read,delete", "auth/jwt/role/gone": "read,delete", "auth/jwt/role/kept": "read",
			"secret/shop/*": "list", "secret/shop/gone": "delete,list", "secret/shop/moved": "read,delete,list",
		}},
	} {
		t.Run(name, func(t *testing.T) {
			d := pure(tt.config)
			req := providers.PermissionRequest{Phase: tt.phase, Leaving: slices.Clone(all)}
			got := map[string]string{}
			list := d.Permissions(req)
			for _, p := range list {
				if p.Why != whyToken {
					got[p.Path] = strings.Join(p.Capabilities, ",")
				}
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Error(diff)
			}
			if purges := strings.Contains(d.PermissionDocument(req, list), "path \"secret/destroy/shop/*\""); purges == tt.config.AllowValueRead {
				t.Errorf("what is deleted can be purged: %v", purges)
			}
			for i := range req.Leaving { // as a plan asks
				req.Leaving[i].End, req.Leaving[i].Reads = providers.EndLooked, nil
			}
			req.Phase = providers.PhasePlan
			for _, p := range d.Permissions(req) {
				if p.Why != whyToken && slices.ContainsFunc(p.Capabilities, func(c string) bool { return c != acl.Read && c != acl.List && c != acl.Scan }) || strings.Contains(p.Path, "/data/") {
					t.Errorf("a plan gets %v on %s", p.Capabilities, p.Path)
				}
			}
		})
	}
}

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

// A policy for very many secrets has rules by folder and says so; the list that
// a doctor goes by has the same ones.
func TestPermissionsByFolder(t *testing.T) {
	d := pure(Config{Prefix: "shop"})
	request := func(apps, secrets int) providers.PermissionRequest {
		req := providers.PermissionRequest{Phase: providers.PhaseApply, Secrets: []providers.Use{
			{Path: "shop/alone", Write: true, Reads: []string{"why"}}, {Path: "shop/one/prod/alone", Write: true},
		}}
		for i := range apps {
			for j := range secrets {
				req.Secrets = append(req.Secrets, providers.Use{Path: fmt.Sprintf("shop/app-%d/prod/secret-%d", i, j), Write: true, Reads: []string{"a template"}})
			}
		}
		return req
	}
	for name, c := range map[string]struct {
		apps, secrets int
		folders       bool
		rule          string // of the first secret's value
	}{
		"few":              {10, 10, false, "secret/data/shop/app-0/prod/secret-0"},
		"many secrets":     {10, 100, true, "secret/data/shop/app-0/prod/*"},
		"many small apps":  {600, 2, false, ""},
		"very many apps":   {1500, 1, true, "secret/data/shop/*"},
		"many, not folded": {100, 1, false, "secret/data/shop/app-0/prod/secret-0"},
	} {
		req := request(c.apps, c.secrets)
		list := d.Permissions(req)
		document := d.PermissionDocument(req, list)
		if strings.Contains(document, "too many secrets") != (c.folders || c.rule == "") || len(document) > longestDocument {
			t.Errorf("%s: %d bytes\n%.500s", name, len(document), document)
		}
		live, _, _ := strings.Cut(document, "# `coffer purge`")
		read, err := acl.Parse(live)
		if err != nil {
			t.Fatal(err)
		}
		given := acl.NewSet(time.Time{}, read)
		if !slices.EqualFunc(sortedRules(read), list, func(r acl.Rule, p providers.Permission) bool {
			return r.Path == p.Path && slices.Equal(r.Capabilities, p.Capabilities)
		}) {
			t.Errorf("%s: the document is not the list", name)
		}
		if c.rule != "" && !slices.ContainsFunc(list, func(p providers.Permission) bool { return p.Path == c.rule }) {
			t.Errorf("%s: no rule %s", name, c.rule)
		}
		for _, use := range req.Secrets {
			want := map[string][]string{
				d.api("data", use.Path): {acl.Create, acl.Update, acl.Patch}, d.api("metadata", use.Path): {acl.Read, acl.Patch, acl.List},
				d.api("delete", use.Path): {acl.Update}, d.api("undelete", use.Path): {acl.Update},
			}
			for path, capabilities := range want {
				for _, capability := range capabilities {
					if !given.Allows(path, capability) {
						t.Fatalf("%s: no %s on %s", name, capability, path)
					}
				}
			}
			if c.rule != "secret/data/shop/*" && given.Allows(d.api("data", use.Path), acl.Read) != (len(use.Reads) > 0) {
				t.Fatalf("%s: %s may be read: %v", name, use.Path, len(use.Reads) == 0)
			}
		}
		if c.rule == "secret/data/shop/*" { // the last resort
			continue
		}
		if given.Allows("secret/data/shop/other", acl.Update) || given.Allows("secret/data/shop/one/prod/other", acl.Update) {
			t.Errorf("%s: gives what lies beside", name)
		}
	}
}

func sortedRules(rules []acl.Rule) []acl.Rule {
	slices.SortFunc(rules, func(a, b acl.Rule) int { return strings.Compare(a.Path, b.Path) })
	return rules
}

// The policy says what commands of people need beyond it, and gives none of it.
func TestPermissionsOfPeople(t *testing.T) {
	use := []providers.Use{{Path: "shop/a"}}
	for name, tt := range map[string]struct {
		config    Config
		phase     providers.Phase
		has, lack []string
	}{
		"apply": {Config{Prefix: "shop"}, providers.PhaseApply, []string{
			"# `coffer secret set` of a value that people write needs capabilities = [\"create\", \"update\", \"patch\"] on path \"secret/data/shop/SECRET\".\n",
			"# `coffer restore` of a secret reads its recorded version: it needs \"read\" on path \"secret/data/shop/SECRET\" as well.\n",
		}, []string{"\npath \"secret/data/"}},
		"apply, KV version 1": {Config{AllowValueRead: true}, providers.PhaseApply, []string{
			"needs capabilities = [\"create\", \"update\"] on path \"secret/SECRET\".\n",
		}, []string{"coffer restore"}},
		"plan": {Config{}, providers.PhasePlan, nil, []string{"coffer restore", "coffer secret set"}},
	} {
		d := pure(tt.config)
		req := providers.PermissionRequest{Phase: tt.phase, Secrets: use}
		text := d.PermissionDocument(req, d.Permissions(req))
		for _, want := range tt.has {
			if !strings.Contains(text, want) {
				t.Errorf("%s: no %q in\n%s", name, want, text)
			}
		}
		for _, not := range tt.lack {
			if strings.Contains(text, not) {
				t.Errorf("%s: %q in\n%s", name, not, text)
			}
		}
	}
}
