//go:build servers && unix

package examplestest

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cofferhq/coffer/providers/vault/vaulttest"
	"github.com/cofferhq/coffer/state/statetest/servers"
)

func sopsTool(t *testing.T) string {
	t.Helper()
	tool := os.Getenv("COFFER_TEST_SOPS")
	if tool == "" {
		t.Fatal("COFFER_TEST_SOPS names no sops binary; `make test-servers` builds one")
	}
	return tool
}

// What the real tool gives a program is what the files hold.
func TestMastodonUnderExecEnv(t *testing.T) {
	p, dir, check := newMastodon(t)
	for _, environment := range mastodonEnvironments {
		file := filepath.Join("secrets", environment, "mastodon-web.env")
		onlyOK(t, p.run(dir, nil, sopsTool(t), "exec-env", file, check), p.decrypted(dir, environment))
		password := p.run(dir, nil, sopsTool(t), "exec-env", file, `printf %s "$SMTP_PASSWORD"`)
		if password != smtp["SMTP_PASSWORD_"+strings.ToUpper(environment)] {
			t.Errorf("%s: the program gets another SMTP password than was supplied", environment)
		}
	}
}

// The script starts the checker where the tool is at hand.
func TestMastodonRunsToTheEnd(t *testing.T) {
	p := newPlace(t)
	out := p.run(examples, map[string]string{"SOPS": sopsTool(t)}, "bash", "mastodon/run.sh")
	if n := strings.Count(out, "\nok "); n != 2*23 {
		t.Errorf("the checker said ok %d times", n)
	}
}

// The day on the page about Vault goes as it says, word for word but for the
// server's address.
func TestStoryOfThePageAboutVault(t *testing.T) {
	server := vaulttest.Start(t, vaulttest.Options{})
	server.Must("POST", "sys/auth/approle", map[string]any{"type": "approle"})
	page, err := os.ReadFile("../../docs/providers/vault.md")
	if err != nil {
		t.Fatal(err)
	}
	_, story, _ := strings.Cut(string(page), "## A day with it")
	story, _, _ = strings.Cut(story, "\n## ")
	script := "coffer() { \"$COFFER\" \"$@\"; echo \"exit $?\"; }\n"
	for _, block := range strings.Split(story, "```sh\n")[2:] { // the first starts the server
		commands, _, _ := strings.Cut(block, "```")
		script += commands
	}
	script = strings.NewReplacer("http://127.0.0.1:8200", server.Address, "TOKEN=root", "TOKEN="+server.RootToken, "Token: root", "Token: "+server.RootToken).Replace(script)
	out := newPlace(t).run(filepath.Dir(examples), nil, "bash", "-c", script)
	for _, want := range []string{
		"No changes. 13 secrets unchanged", "Changed outside (1)", "exit 2", "Nothing changed outside: 13 secrets unchanged",
		"1 rotated", `read by vault_approle("checkout-production")`,
	} {
		if !strings.Contains(out, want) {
			t.Errorf("the output lacks %q", want)
		}
	}
	if strings.Contains(out, "exit 1") || t.Failed() {
		t.Errorf("the story goes:\n%s", out)
	}
}

// The day with Vault, on a real OpenBao, leaves nothing behind on this machine.
func TestCheckoutVault(t *testing.T) {
	server := vaulttest.Start(t, vaulttest.Options{})
	server.Must("POST", "sys/auth/approle", map[string]any{"type": "approle"})
	p := newPlace(t)
	out := p.run(examples, map[string]string{"VAULT_ADDR": server.Address, "VAULT_TOKEN": server.RootToken}, "bash", "checkout-vault/run.sh")
	for _, want := range []string{
		"reads    checkout/production/db\n", "does not checkout/dev/db\n", "does not reports/production/db_url\n",
		`provider.vault.policy["everybody"]`, `read by vault_approle("checkout-production")`,
	} {
		if !strings.Contains(out, want) {
			t.Errorf("the output lacks %q:\n%s", want, out)
		}
	}
	if left := append(filesBelow(t, p.home), filesBelow(t, p.tmp)...); len(left) > 0 {
		t.Errorf("run.sh left %v behind", left)
	}
	// Nothing that only looks asked for a value: three times the program did, and
	// the restore read the recorded version.
	read := 0
	for _, r := range server.AuditRequests() {
		if strings.HasPrefix(r.Path, "shop/data/") && r.Operation == "read" {
			read++
		}
	}
	if read != 4 {
		t.Errorf("%d values were asked for, want 4", read)
	}
}

// The day with Kubernetes, with the real controllers and OpenBao, leaves nothing
// behind on this machine.
func TestCheckoutKubernetes(t *testing.T) {
	c := servers.Kube(t)
	servers.InstallCRDs(t, c, servers.SealedSecretsCRD)
	servers.InstallCRDs(t, c, servers.ExternalSecretsCRDs)
	sealer := servers.SealedSecrets(t, c)
	servers.ExternalSecrets(t, c)
	server := vaulttest.Start(t, vaulttest.Options{})
	server.Must(http.MethodPost, "sys/mounts/secret", map[string]any{"type": "kv", "options": map[string]any{"version": "2"}})
	signInByCluster(server, c)
	for _, namespace := range []string{"checkout-dev", "checkout-production"} {
		c.Must(http.MethodPost, "/api/v1/namespaces", map[string]any{"metadata": map[string]any{"name": namespace}})
	}
	kubeconfig := filepath.Join(t.TempDir(), "kubeconfig")
	if err := os.WriteFile(kubeconfig, []byte(c.Kubeconfig(c.AdminToken)), 0o600); err != nil {
		t.Fatal(err)
	}
	p := newPlace(t)
	out := p.run(examples, map[string]string{
		"VAULT_ADDR": server.Address, "VAULT_TOKEN": server.RootToken, "KUBECONFIG": kubeconfig, "SEALING_CERTIFICATE": sealer.CertFile,
	}, "bash", "checkout-kubernetes/run.sh")
	for _, want := range []string{
		"No changes. 8 secrets unchanged", "<     API_KEY: ", "Nothing changed outside: 8 secrets",
		`read by kubernetes_service_account("checkout-production", "api")`, `read by vault_kubernetes("checkout-production", "checkout-env")`,
	} {
		if !strings.Contains(out, want) {
			t.Errorf("the output lacks %q:\n%s", want, out)
		}
	}
	if strings.Contains(out, "<     DATABASE_URL: ") {
		t.Error("an item that did not change was sealed again")
	}
	// What the pods of two environments read; staging's file nobody applied.
	for _, environment := range []string{"dev", "production"} {
		data, _ := c.Must(http.MethodGet, "/api/v1/namespaces/checkout-"+environment+"/secrets/checkout-env", nil)["data"].(map[string]any)
		if data["API_KEY"] == nil || data["DATABASE_URL"] == nil {
			t.Errorf("%s: the Secret has %d keys", environment, len(data))
		}
	}
	if left := append(filesBelow(t, p.home), filesBelow(t, p.tmp)...); len(left) > 0 {
		t.Errorf("run.sh left %v behind", left)
	}
}

// signInByCluster lets service accounts of the cluster sign in to a server, as
// the example's page says.
func signInByCluster(server *vaulttest.Server, c *servers.Cluster) {
	const rbac = "rbac.authorization.k8s.io"
	c.Must(http.MethodPost, "/api/v1/namespaces/default/serviceaccounts", map[string]any{"metadata": map[string]any{"name": "reviewer"}})
	c.Must(http.MethodPost, "/apis/"+rbac+"/v1/clusterrolebindings", map[string]any{
		"metadata": map[string]any{"name": "reviewer"}, "roleRef": map[string]any{"apiGroup": rbac, "kind": "ClusterRole", "name": "system:auth-delegator"},
		"subjects": []any{map[string]any{"kind": "ServiceAccount", "name": "reviewer", "namespace": "default"}},
	})
	server.Must(http.MethodPost, "sys/auth/kubernetes", map[string]any{"type": "kubernetes"})
	server.Must(http.MethodPost, "auth/kubernetes/config", map[string]any{
		"kubernetes_host": c.Address, "kubernetes_ca_cert": string(c.CA), "token_reviewer_jwt": c.ServiceAccountToken("default", "reviewer"), "disable_local_ca_jwt": true,
	})
}
