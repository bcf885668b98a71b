//go:build servers

package servers_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/cofferhq/coffer/providers/vault/vaulttest"
	"github.com/cofferhq/coffer/state/statetest/servers"
)

// value returns a key of a Secret, "" where either is not there.
func value(c *servers.Cluster, namespace, name, key string) string {
	_, answer := c.Do(http.MethodGet, "/api/v1/namespaces/"+namespace+"/secrets/"+name, c.AdminToken, nil)
	data, _ := answer["data"].(map[string]any)
	encoded, _ := data[key].(string)
	text, _ := base64.StdEncoding.DecodeString(encoded)
	return string(text)
}

func TestSealedSecrets(t *testing.T) {
	c := shared.Kube(t)
	sealer := shared.SealedSecrets(t)
	namespace := c.FreshNamespace("sealed")
	path := "/apis/bitnami.com/v1alpha1/namespaces/" + namespace + "/sealedsecrets"
	sealed := func(name string) map[string]any {
		t.Helper()
		secret := fmt.Sprintf("apiVersion: v1\nkind: Secret\nmetadata: {name: %s, namespace: %s}\nstringData: {password: hunter-%s}\n", name, namespace, name)
		var object map[string]any
		text := sealer.Seal(t, []byte(secret))
		if err := json.Unmarshal(text, &object); err != nil || strings.Contains(string(text), "hunter") {
			t.Fatalf("sealed: %v\n%s", err, text)
		}
		return object
	}

	c.Must(http.MethodPost, path+"?fieldValidation=Strict", sealed("db"))
	servers.Await(t, "the secret is unsealed", func() bool { return value(c, namespace, "db", "password") == "hunter-db" })
	c.AwaitCondition(path+"/db", "Synced", "True")

	renamed := sealed("first")
	renamed["metadata"].(map[string]any)["name"] = "second"
	c.Must(http.MethodPost, path, renamed)
	if condition := c.AwaitCondition(path+"/second", "Synced", "False"); !strings.Contains(condition.Message, "no key could decrypt secret") {
		t.Errorf("a renamed object: %+v", condition)
	}

	before, old := sealed("before"), string(sealer.Cert)
	sealer.RenewKey(t)
	if string(sealer.Cert) == old {
		t.Error("the certificate is the same after a renewal")
	}
	c.Must(http.MethodPost, path, before)
	c.Must(http.MethodPost, path, sealed("after"))
	for _, name := range []string{"before", "after"} {
		c.AwaitCondition(path+"/"+name, "Synced", "True")
	}
}

func TestExternalSecrets(t *testing.T) {
	c := shared.Kube(t)
	shared.ExternalSecrets(t)
	bao := vaulttest.Start(t, vaulttest.Options{})
	mount := bao.KV()
	put := func(password string) {
		bao.Must(http.MethodPost, mount+"/data/shop/db", map[string]any{"data": map[string]any{"password": password}})
	}
	put("one")
	bao.Policy("reader", fmt.Sprintf(`path "%s/data/shop/*" { capabilities = ["read"] }`, mount))
	namespace := c.FreshNamespace("external")
	path := "/apis/external-secrets.io/v1/namespaces/" + namespace
	store := func(name string, auth map[string]any) {
		t.Helper()
		vault := map[string]any{"server": bao.Address, "path": mount, "version": "v2", "auth": auth}
		c.Must(http.MethodPost, path+"/secretstores?fieldValidation=Strict", object("external-secrets.io/v1", "SecretStore", name,
			map[string]any{"spec": map[string]any{"provider": map[string]any{"vault": vault}}}))
		c.AwaitCondition(path+"/secretstores/"+name, "Ready", "True")
	}
	external := func(name, store, key string) {
		t.Helper()
		c.Must(http.MethodPost, path+"/externalsecrets?fieldValidation=Strict", object("external-secrets.io/v1", "ExternalSecret", name,
			map[string]any{"spec": map[string]any{
				"refreshInterval": "1s", "secretStoreRef": map[string]any{"name": store, "kind": "SecretStore"},
				"data": []any{map[string]any{"secretKey": "password", "remoteRef": map[string]any{"key": key, "property": "password"}}},
			}}))
	}

	c.Must(http.MethodPost, "/api/v1/namespaces/"+namespace+"/secrets", object("v1", "Secret", "bao",
		map[string]any{"stringData": map[string]any{"token": bao.TokenWith("reader")}}))
	store("token", map[string]any{"tokenSecretRef": map[string]any{"name": "bao", "key": "token"}})
	signInByCluster(bao, c, namespace)
	store("account", map[string]any{"kubernetes": map[string]any{
		"mountPath": "kubernetes", "role": "shop",
		"serviceAccountRef": map[string]any{"name": "reader", "audiences": []string{"openbao"}},
	}})
	for _, name := range []string{"token", "account"} {
		external(name, name, "shop/db")
		c.AwaitCondition(path+"/externalsecrets/"+name, "Ready", "True")
		if got := value(c, namespace, name, "password"); got != "one" {
			t.Errorf("sign-in by %s: password %q", name, got)
		}
	}
	put("two")
	for _, name := range []string{"token", "account"} {
		servers.Await(t, "the new value is there", func() bool { return value(c, namespace, name, "password") == "two" })
	}

	external("missing", "account", "shop/none")
	if condition := c.AwaitCondition(path+"/externalsecrets/missing", "Ready", "False"); condition.Reason != "SecretSyncedError" {
		t.Errorf("a key that is not there: %+v", condition)
	}
}

// signInByCluster lets the account "reader" of the namespace sign in at
// auth/kubernetes, by the role "shop", where the server asks the cluster.
func signInByCluster(bao *vaulttest.Server, c *servers.Cluster, namespace string) {
	reviewer := c.ServiceAccountToken(namespace, "reviewer")
	c.Must(http.MethodPost, "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings",
		object("rbac.authorization.k8s.io/v1", "ClusterRoleBinding", namespace, map[string]any{
			"roleRef":  map[string]any{"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "system:auth-delegator"},
			"subjects": []any{map[string]any{"kind": "ServiceAccount", "name": "reviewer", "namespace": namespace}},
		}))
	c.Must(http.MethodPost, "/api/v1/namespaces/"+namespace+"/serviceaccounts", object("v1", "ServiceAccount", "reader", nil))
	bao.Must(http.MethodPost, "sys/auth/kubernetes", map[string]any{"type": "kubernetes"})
	bao.Must(http.MethodPost, "auth/kubernetes/config", map[string]any{
		"kubernetes_host": c.Address, "kubernetes_ca_cert": string(c.CA), "token_reviewer_jwt": reviewer, "disable_local_ca_jwt": true,
	})
	bao.Must(http.MethodPost, "auth/kubernetes/role/shop", map[string]any{
		"bound_service_account_names": "reader", "bound_service_account_namespaces": namespace, "audience": "openbao", "token_policies": "reader",
	})
}
