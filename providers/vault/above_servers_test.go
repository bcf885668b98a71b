//go:build servers

package vault

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cofferhq/coffer/providers"
	"github.com/cofferhq/coffer/providers/vault/vaulttest"
)

// A policy of a namespace above reaches into the one below. It is told where the
// token may look, and else that nobody looked.
func TestUndeclaredAbove(t *testing.T) {
	s := vaulttest.Start(t, vaulttest.Options{})
	team := s.In("team")
	deep := team.In("deep")
	mount := deep.KV()
	managed := []providers.Managed{{Path: "shop/a"}, {Path: "shop/b"}}
	read := func(path string) string { return `path "` + path + `" { capabilities = ["read"] }` }
	s.Policy("wide", read("team/deep/"+mount+"/data/shop/*"))
	s.Policy("known", read("team/*"))
	s.Policy("not-there", read(mount+"/data/shop/*")) // of a mount of the root
	s.Policy("beside", read("other/deep/*"))
	team.Policy("one", read("deep/"+mount+"/data/+/a"))
	team.Policy("not-there-either", read("team/deep/*"))
	deep.Policy("own", read(mount+"/*"))
	scope, err := open(t, Config{Address: s.Address, Namespace: "team/deep", Mount: mount, Token: plainCredential(s.RootToken)}).objectScope(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	cluster := strings.TrimSuffix(scope, "/team/deep")
	wide := `wide in / of ` + cluster + `/-: of the root namespace, line 1: path "team/deep/` + mount + `/data/shop/*" (read)` + whereMeant + " shop/a,shop/b"
	one := `one in team/ of ` + cluster + `/team: of namespace team, line 1: path "deep/` + mount + `/data/+/a" (read)` + whereMeant + " shop/a"
	own := `own in  of : line 1: path "` + mount + `/*" (read)` + whereMeant + " shop/a,shop/b"

	listing := `path "+/sys/policies/acl" { capabilities = ["list"] } path "+/sys/policies/acl/*" { capabilities = ["read"] }` +
		`path "team/deep/sys/policies/acl" { capabilities = ["list"] } path "team/deep/sys/policies/acl/*" { capabilities = ["read"] }`
	s.Policy("some", listing)
	deep.Policy("within", `path "sys/policies/acl" { capabilities = ["list"] } path "sys/policies/acl/*" { capabilities = ["read"] }`)
	deepToken := inNamespace(t, deep, "within")
	for name, c := range map[string]struct {
		token  string
		want   []string
		unseen []string
	}{
		"all of them":            {s.RootToken, []string{one, own, wide}, nil},
		"a token of the root":    {s.TokenWith("some"), []string{one, own}, []string{"the policies of the root namespace"}},
		"a token of the own one": {deepToken, []string{own}, []string{"the policies of namespace team and the root namespace"}},
	} {
		d := open(t, Config{Address: s.Address, Namespace: "team/deep", Mount: mount, KnownPolicies: []string{"known"}, Token: plainCredential(c.token)})
		found, err := d.UndeclaredAccess(t.Context(), managed, nil)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		var got []string
		for _, u := range found.Undeclared {
			got = append(got, fmt.Sprintf("%s in %s of %s: %s %s", u.Ref.Path, u.In, u.Scope, u.Text, strings.Join(u.Reads, ",")))
		}
		if diff := cmp.Diff(c.want, got); diff != "" || !slices.Equal(found.Unseen, c.unseen) {
			t.Errorf("%s: unseen %q, found (-want +got):\n%s", name, found.Unseen, diff)
		}
	}
}

// inNamespace returns a token of a namespace of its own.
func inNamespace(t *testing.T, s *vaulttest.Server, policy string) string {
	t.Helper()
	status, answer := s.Do(http.MethodPost, "auth/token/create-orphan", s.RootToken, map[string]any{"policies": []string{policy}, "ttl": "1h"})
	auth, ok := answer["auth"].(map[string]any)
	if !ok {
		t.Fatalf("token: status %d: %v", status, answer["errors"])
	}
	return auth["client_token"].(string)
}

// A reader that does not exist is told by the look that every plan takes, and
// what somebody has to do, unless an apply makes it.
func TestLacking(t *testing.T) {
	s := vaulttest.Start(t, vaulttest.Options{})
	newPrograms(t, s)
	proxied := newProxy(t, s.Address)
	d := withToken(t, proxied.URL, "secret", s.RootToken)
	binding := func(path string) providers.ObjectRef { return providers.ObjectRef{Kind: KindBinding, Path: path} }
	role := func(path string) providers.ObjectRef { return providers.ObjectRef{Kind: KindRole, Path: path} }
	want := map[providers.ObjectRef]struct {
		text string // "" lacks nothing
		by   providers.ObjectRef
	}{
		binding("entity:alice p"):               {},
		binding("group:ops p"):                  {},
		binding("approle:approle/none p"):       {}, // the binding makes it
		role("approle:approle/none"):            {},
		role("jwt:team/jwt/none"):               {},
		binding("entity:none p"):                {text: "vault write identity/entity"},
		binding("group:none p"):                 {text: "vault write identity/group"},
		binding("jwt:team/jwt/none p"):          {text: `declare it with a block: role "jwt" "none"`, by: role("jwt:team/jwt/none")},
		binding("kubernetes:kubernetes/none p"): {text: `role "kubernetes" "none"`, by: role("kubernetes:kubernetes/none")},
		binding("jwt:gone/none p"):              {text: "vault auth enable -path=gone jwt"},
		binding("approle:gone/none p"):          {text: "vault auth enable -path=gone approle"},
		role("kubernetes:gone/none"):            {text: "vault auth enable -path=gone kubernetes"},
	}
	var refs []providers.ObjectRef
	holders := map[holder]bool{}
	for ref := range want {
		refs = append(refs, ref)
		h, err := holderOf(ref)
		if err != nil {
			t.Fatal(err)
		}
		holders[h] = true
	}
	req := providers.PermissionRequest{Phase: providers.PhasePlan, Objects: refs}
	s.Policy("plan", d.PermissionDocument(req, d.Permissions(req)))
	for who, token := range map[string]string{"root": s.RootToken, "an identity for plans": s.TokenWith("plan")} {
		proxied.take()
		found, err := withToken(t, proxied.URL, "secret", token).InspectObjects(t.Context(), refs)
		if err != nil {
			t.Fatalf("%s: %v", who, err)
		}
		if n := len(proxied.take()); n != len(holders) {
			t.Errorf("%s: %d requests for %d holders", who, n, len(holders))
		}
		for ref, w := range want {
			o, answered := found[ref]
			switch {
			case w.text == "" && answered:
				t.Errorf("%s: %s is %+v, %+v", who, ref.Path, o, o.Lacks)
			case w.text != "" && (o.Lacks == nil || !strings.Contains(o.Lacks.Text, w.text) || o.Lacks.Ref != w.by || o.Document != ""):
				t.Errorf("%s: %s lacks %+v", who, ref.Path, o.Lacks)
			}
		}
	}
}
