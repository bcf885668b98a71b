package servers

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
)

// ExternalSecretsVariable is the environment variable with the path of the
// External Secrets controller.
const ExternalSecretsVariable = "COFFER_TEST_EXTERNALSECRETS"

// ExternalSecretsNamespace belongs to the controller; it keeps nothing there.
const ExternalSecretsNamespace = "external-secrets"

const secretStores = "/apis/external-secrets.io/v1/namespaces/" + ExternalSecretsNamespace + "/secretstores"

// ExternalSecrets installs the definitions, starts the External Secrets
// controller and returns when it acts on objects of every namespace. It has the
// providers vault, kubernetes and fake, no webhooks, and every right. A cluster
// takes one controller, once: with a [Package], see [Package.ExternalSecrets].
func ExternalSecrets(l Life, c *Cluster) {
	l.Helper()
	controller := variable(l, ExternalSecretsVariable)
	c.reserve(l, ExternalSecretsNamespace)
	InstallCRDs(l, c, ExternalSecretsCRDs)
	dir := l.TempDir()
	config := filepath.Join(dir, "kubeconfig")
	must(l, "kubeconfig", os.WriteFile(config, []byte(c.Kubeconfig(c.AdminToken)), 0o600))
	cmd := exec.Command(controller, fmt.Sprintf("--metrics-addr=127.0.0.1:%d", freePorts(l, 1)[0]), "--concurrent=4")
	cmd.Env = []string{"KUBECONFIG=" + config}
	p := start(l, dir, "external-secrets", cmd)

	// A store that needs no server is ready as soon as the controller sees it.
	status, answer := c.Do(http.MethodPost, secretStores, c.AdminToken, map[string]any{
		"apiVersion": "external-secrets.io/v1", "kind": "SecretStore", "metadata": map[string]any{"name": "ready"},
		"spec": map[string]any{"provider": map[string]any{"fake": map[string]any{"data": []any{}}}},
	})
	if status != http.StatusCreated {
		l.Fatalf("kube-apiserver: SecretStore: status %d: %v", status, answer["message"])
	}
	p.await(l, "it acts on a store", func() error {
		if condition, _ := c.Condition(secretStores+"/ready", "Ready"); condition.Status != "True" {
			return fmt.Errorf("the condition is %+v", condition)
		}
		return nil
	})
	c.Must(http.MethodDelete, secretStores+"/ready", nil)
}

// ExternalSecrets is [ExternalSecrets] on the shared cluster, shared.
func (p *Package) ExternalSecrets(t Life) {
	t.Helper()
	c := p.Kube(t)
	share(p, t, "external-secrets", func(l Life) struct{} {
		ExternalSecrets(l, &Cluster{c.instance, l})
		return struct{}{}
	})
}
