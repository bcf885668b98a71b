package vault

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cofferhq/coffer/providers"
)

func exporter() *Driver {
	return &Driver{config: Config{Address: "https://vault.example:8200", Mount: "kv", Namespace: "team", Prefix: "shop/"}}
}

func TestSecretStore(t *testing.T) {
	ref := map[string]any{"name": "approle", "key": "id"}
	for _, c := range []struct {
		name   string
		access providers.StoreAccess
		want   map[string]any // below auth
		reader providers.Reader
		ours   bool
	}{
		{
			"kubernetes, with the role of the reader",
			providers.StoreAccess{Method: "kubernetes"},
			map[string]any{"kubernetes": map[string]any{"mountPath": "kubernetes", "role": "web-env", "serviceAccountRef": map[string]any{"name": "env"}}},
			providers.Reader{Func: "vault_kubernetes", Args: []string{"web", "env"}},
			true,
		},
		{
			"kubernetes, elsewhere, of a whole cluster",
			providers.StoreAccess{Method: "kubernetes", Cluster: true, Args: map[string]any{"mount": "k8s-eu"}},
			map[string]any{"kubernetes": map[string]any{"mountPath": "k8s-eu", "role": "web-env", "serviceAccountRef": map[string]any{"name": "env", "namespace": "web"}}},
			providers.Reader{Func: "vault_kubernetes", Args: []string{"web", "env", "k8s-eu"}},
			true,
		},
		{
			"kubernetes, with a role of somebody else",
			providers.StoreAccess{Method: "kubernetes", Args: map[string]any{"role": "operators"}},
			map[string]any{"kubernetes": map[string]any{"mountPath": "kubernetes", "role": "operators", "serviceAccountRef": map[string]any{"name": "env"}}},
			providers.Reader{},
			false,
		},
		{
			"approle",
			providers.StoreAccess{Method: "approle", Args: map[string]any{"role_id": "r-1", "secret_ref": ref}},
			map[string]any{"appRole": map[string]any{"path": "approle", "roleId": "r-1", "secretRef": ref}},
			providers.Reader{},
			false,
		},
		{
			"jwt",
			providers.StoreAccess{Method: "jwt", Args: map[string]any{"role": "eso", "audiences": []any{"vault"}}},
			map[string]any{"jwt": map[string]any{"path": "jwt", "role": "eso", "kubernetesServiceAccountToken": map[string]any{
				"serviceAccountRef": map[string]any{"name": "env"}, "audiences": []any{"vault"},
			}}},
			providers.Reader{Func: "vault_jwt", Args: []string{"eso"}},
			true,
		},
		{
			"token",
			providers.StoreAccess{Method: "token", Cluster: true, Args: map[string]any{"secret_ref": ref}},
			map[string]any{"tokenSecretRef": map[string]any{"name": "approle", "key": "id", "namespace": "web"}},
			providers.Reader{},
			false,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.access.Namespace, c.access.ServiceAccount = "web", "env"
			got, err := exporter().SecretStore(c.access)
			if err != nil {
				t.Fatal(err)
			}
			want := map[string]any{"vault": map[string]any{"server": "https://vault.example:8200", "path": "kv", "version": "v2", "namespace": "team", "auth": c.want}}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Error(diff)
			}
			reader, ours, err := exporter().StoreReader(c.access)
			if err != nil || ours != c.ours || !cmp.Equal(reader, c.reader) {
				t.Errorf("the reader is %v, %t, %v", reader, ours, err)
			}
		})
	}
}

func TestSecretStoreRefuses(t *testing.T) {
	for _, c := range []struct {
		access         providers.StoreAccess
		argument, want string
	}{
		{providers.StoreAccess{Method: "ldap"}, "", `not sign in to Vault by auth "ldap"`},
		{providers.StoreAccess{Method: "kubernetes", Args: map[string]any{"rolle": "x"}}, "rolle", "has no argument rolle"},
		{providers.StoreAccess{Method: "approle", Args: map[string]any{"role_id": "x"}}, "", "needs secret_ref"},
		{providers.StoreAccess{Method: "approle", Args: map[string]any{"role_id": "x", "secret_ref": "s"}}, "secret_ref", "secret_ref is {"},
		{providers.StoreAccess{Method: "token", Args: map[string]any{"secret_ref": map[string]any{"name": "x"}}}, "secret_ref", "secret_ref is {"},
		{providers.StoreAccess{Method: "kubernetes", Args: map[string]any{"mount": 1.0}}, "mount", "mount is text"},
	} {
		_, err := exporter().SecretStore(c.access)
		var ae *providers.ArgumentError
		if !errors.As(err, &ae) || ae.Argument != c.argument || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: %v", c.access, err)
		}
	}
}

// A policy and an external_secret of one name are two ACL policies.
func TestPolicyNamesOfDeliveries(t *testing.T) {
	a, err := exporter().policyName(`app.shop.policy.env["prod"]`)
	if err != nil {
		t.Fatal(err)
	}
	b, err := exporter().policyName(`app.shop.external_secret.env["prod"]`)
	if err != nil || a == b {
		t.Errorf("%q and %q, %v", a, b, err)
	}
}
