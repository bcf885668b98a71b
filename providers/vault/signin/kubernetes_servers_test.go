//go:build servers

package signin

import (
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"github.com/cofferhq/coffer/providers"
	"github.com/cofferhq/coffer/state/statetest/servers"
)

// A pod's token, made and judged by a real API server: OpenBao asks its
// TokenReview, as a service account that may.
func TestKubernetesOfAClusterOnTheServer(t *testing.T) {
	k := servers.Kube(t)
	for _, namespace := range []string{"shop", "other", "auth"} {
		k.Namespace(namespace)
	}
	reviewer := k.ServiceAccountToken("auth", "reviewer")
	k.Must("POST", "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings", map[string]any{
		"metadata": map[string]any{"name": "openbao"},
		"roleRef":  map[string]any{"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "system:auth-delegator"},
		"subjects": []any{map[string]any{"kind": "ServiceAccount", "name": "reviewer", "namespace": "auth"}},
	})
	b := start(t)
	mount := func(name, reviewer string) {
		b.enable(name, "kubernetes")
		b.Must("POST", "auth/"+name+"/config", map[string]any{
			"kubernetes_host": k.Address, "kubernetes_ca_cert": string(k.CA), "token_reviewer_jwt": reviewer, "disable_local_ca_jwt": true,
		})
		for role, audience := range map[string]string{"api": "openbao", "any": ""} {
			b.Must("POST", "auth/"+name+"/role/"+role, map[string]any{
				"bound_service_account_names": "api", "bound_service_account_namespaces": "shop", "audience": audience, "token_policies": "seer",
			})
		}
	}
	mount("kubernetes", reviewer)
	mount("unreviewed", k.ServiceAccountToken("auth", "nobody"))

	// In a pod the kubelet writes the token, and writes another one in time.
	file := filepath.Join(t.TempDir(), "token")
	pod := method(t, &kubernetesConfig{Role: "api", TokenPath: file}, Deps{})
	for range 2 {
		if err := os.WriteFile(file, []byte(k.ServiceAccountToken("shop", "api", "openbao")), 0o600); err != nil {
			t.Fatal(err)
		}
		token, err := pod.SignIn(t.Context(), b.caller)
		if err != nil || !b.sees(token.Value) {
			t.Fatalf("a good token: %v", err)
		}
		if err := os.Remove(file); err != nil {
			t.Fatal(err)
		}
	}

	gone, own := k.ServiceAccountToken("shop", "api", "openbao"), k.ServiceAccountToken("shop", "api")
	// A role without an audience takes a token that was made for anybody, so it
	// is worth writing one.
	for _, token := range []string{own, gone} {
		if _, err := method(t, &kubernetesConfig{Role: "any", JWT: from(token)}, Deps{}).SignIn(t.Context(), b.caller); err != nil {
			t.Errorf("a role without an audience: %v", err)
		}
	}
	for name, test := range map[string]struct{ mount, role, token, text string }{
		"another audience":               {"kubernetes", "api", k.ServiceAccountToken("shop", "api", "elsewhere"), "audience claim does not match"},
		"the API server's own audience":  {"kubernetes", "api", own, "audience claim does not match"},
		"another account":                {"kubernetes", "api", k.ServiceAccountToken("shop", "web", "openbao"), "service account name not authorized"},
		"another namespace":              {"kubernetes", "api", k.ServiceAccountToken("other", "api", "openbao"), "namespace not authorized"},
		"a reviewer that may not review": {"unreviewed", "api", gone, "whether the server may ask the cluster's TokenReview"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := method(t, &kubernetesConfig{Mount: test.mount, Role: test.role, JWT: from(test.token)}, Deps{}).SignIn(t.Context(), b.caller)
			wantRefusal(t, err, providers.Denied, []string{test.token}, "sign in with kubernetes "+test.role+" at auth/"+test.mount, test.text,
				"bound_service_account_namespaces and audience", "vault read auth/"+test.mount+"/role/"+test.role)
		})
	}

	// Its signature is good for an hour; only the cluster knows that the account
	// is no more.
	if status, _ := k.Do(http.MethodDelete, "/api/v1/namespaces/shop/serviceaccounts/api", k.AdminToken, nil); status != http.StatusOK {
		t.Fatalf("status %d", status)
	}
	servers.Await(t, "the cluster forgets the account", func() bool {
		_, err := method(t, &kubernetesConfig{Role: "api", JWT: from(gone)}, Deps{}).SignIn(t.Context(), b.caller)
		if err != nil {
			wantRefusal(t, err, providers.Denied, []string{gone}, "sign in with kubernetes api at auth/kubernetes")
		}
		return err != nil
	})

	k.Kill()
	_, err := method(t, &kubernetesConfig{Role: "any", JWT: from(own)}, Deps{}).SignIn(t.Context(), b.caller)
	wantRefusal(t, err, providers.Denied, []string{own}, "whether the server may ask the cluster's TokenReview")
}
