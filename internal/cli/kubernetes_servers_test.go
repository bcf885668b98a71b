//go:build servers

package cli

import (
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/cofferhq/coffer/providers/vault/vaulttest"
	"github.com/cofferhq/coffer/state/statetest/servers"
)

// TestKubernetesScripts runs the scripts that need a cluster with the controllers
// of Sealed Secrets and External Secrets. Each has a namespace of its own there,
// $NAMESPACE, and one of its own in OpenBao, which knows the cluster's service
// accounts.
func TestKubernetesScripts(t *testing.T) {
	c := servers.Kube(t)
	servers.InstallCRDs(t, c, servers.SealedSecretsCRD)
	servers.InstallCRDs(t, c, servers.ExternalSecretsCRDs)
	sealer := servers.SealedSecrets(t, c)
	servers.ExternalSecrets(t, c)
	bao := vaulttest.Start(t, vaulttest.Options{})
	t.Run("scripts", func(t *testing.T) {
		runScripts(t, "testdata/kubernetes", atCluster(c, sealer, atVault(bao)), vaultCommands(), scriptCommands{
			"kube": callKube, "await": awaitCondition, "samevalue": sameValue, "until": untilValue,
		})
	})
}

// clusterOf is where a script's commands find its cluster.
type clusterOf struct{}

func atCluster(c *servers.Cluster, sealer *servers.Sealer, before func(*testscript.Env) error) func(*testscript.Env) error {
	return func(env *testscript.Env) error {
		if err := before(env); err != nil {
			return err
		}
		namespace := c.FreshNamespace("script")
		env.Values[clusterOf{}] = c
		config := filepath.Join(env.WorkDir, "kubeconfig")
		env.Setenv("KUBECONFIG", config)
		env.Setenv("NAMESPACE", namespace)
		env.Setenv("COFFER_VAR_namespace", namespace)
		knowCluster(env.Values[vaultOf{}].(*vaulttest.Server), c, namespace)
		if err := os.WriteFile(filepath.Join(env.WorkDir, "sealing.pem"), sealer.Cert, 0o644); err != nil {
			return err
		}
		return os.WriteFile(config, []byte(c.Kubeconfig(c.AdminToken)), 0o600)
	}
}

// knowCluster lets service accounts of the cluster sign in to a server.
func knowCluster(bao *vaulttest.Server, c *servers.Cluster, namespace string) {
	const rbac = "rbac.authorization.k8s.io"
	c.Must(http.MethodPost, "/api/v1/namespaces/"+namespace+"/serviceaccounts", map[string]any{"metadata": map[string]any{"name": "reviewer"}})
	c.Must(http.MethodPost, "/apis/"+rbac+"/v1/clusterrolebindings", map[string]any{
		"metadata": map[string]any{"name": namespace}, "roleRef": map[string]any{"apiGroup": rbac, "kind": "ClusterRole", "name": "system:auth-delegator"},
		"subjects": []any{map[string]any{"kind": "ServiceAccount", "name": "reviewer", "namespace": namespace}},
	})
	bao.Must(http.MethodPost, "sys/auth/kubernetes", map[string]any{"type": "kubernetes"})
	bao.Must(http.MethodPost, "auth/kubernetes/config", map[string]any{
		"kubernetes_host": c.Address, "kubernetes_ca_cert": string(c.CA), "token_reviewer_jwt": c.ServiceAccountToken(namespace, "reviewer"), "disable_local_ca_jwt": true,
	})
}

func scriptCluster(ts *testscript.TestScript) *servers.Cluster {
	c, ok := ts.Value(clusterOf{}).(*servers.Cluster)
	if !ok {
		ts.Fatalf("this script has no cluster")
	}
	return c
}

// path completes "externalsecrets/NAME" and its like.
func clusterPath(ts *testscript.TestScript, short string) string {
	kind, name, _ := strings.Cut(short, "/")
	root := map[string]string{
		"externalsecrets": "/apis/external-secrets.io/v1", "secretstores": "/apis/external-secrets.io/v1", "sealedsecrets": "/apis/bitnami.com/v1alpha1",
		"secrets": "/api/v1", "serviceaccounts": "/api/v1", "roles": "/apis/rbac.authorization.k8s.io/v1", "rolebindings": "/apis/rbac.authorization.k8s.io/v1",
		"deployments": "/apis/apps/v1",
	}[kind]
	if root == "" {
		ts.Fatalf("unknown kind %q", kind)
	}
	path := root + "/namespaces/" + ts.Getenv("NAMESPACE") + "/" + kind
	if name != "" {
		path += "/" + name
	}
	return path
}

// callKube makes a call as the administrator: [!] kube METHOD KIND[/NAME] [JSON].
// Values of Secrets are not logged.
func callKube(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) < 2 || len(args) > 3 {
		ts.Fatalf("usage: kube METHOD KIND[/NAME] [JSON]")
	}
	c := scriptCluster(ts)
	var body any
	if len(args) == 3 {
		ts.Check(json.Unmarshal([]byte(args[2]), &body))
	}
	status, answer := c.Do(args[0], clusterPath(ts, args[1]), c.AdminToken, body)
	delete(answer, "data")
	text, err := json.Marshal(answer)
	ts.Check(err)
	ts.Logf("%d %s", status, text)
	if failed := status >= http.StatusBadRequest; failed != neg {
		ts.Fatalf("status %d", status)
	}
}

// awaitCondition waits for what a controller says: await KIND/NAME TYPE STATUS
func awaitCondition(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: await KIND/NAME TYPE STATUS")
	}
	c := scriptCluster(ts)
	cond := c.AwaitCondition(clusterPath(ts, args[0]), args[1], args[2])
	ts.Logf("%s: %s", cond.Reason, cond.Message)
}

// secretKey returns a key of a Secret of the cluster.
func secretKey(ts *testscript.TestScript, name, key string) []byte {
	c := scriptCluster(ts)
	_, answer := c.Do(http.MethodGet, clusterPath(ts, "secrets/"+name), c.AdminToken, nil)
	data, _ := answer["data"].(map[string]any)
	text, _ := data[key].(string)
	plain, err := base64.StdEncoding.DecodeString(text)
	ts.Check(err)
	return plain
}

// vaultField returns a field of a secret of the script's mount.
func vaultField(ts *testscript.TestScript, path, field string) []byte {
	data := vaultServerOf(ts).Must(http.MethodGet, ts.Getenv("MOUNT")+"/data/"+path, nil)
	fields, _ := data["data"].(map[string]any)
	text, _ := fields[field].(string)
	return []byte(text)
}

// sameValue compares a key of a Secret with a field of OpenBao, or with text:
// [!] samevalue SECRET KEY vault PATH FIELD | text TEXT
func sameValue(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) < 4 {
		ts.Fatalf("usage: samevalue SECRET KEY vault PATH FIELD | text TEXT")
	}
	want := []byte(args[3])
	if args[2] == "vault" {
		want = vaultField(ts, args[3], args[4])
	}
	got := secretKey(ts, args[0], args[1])
	if same := len(got) > 0 && subtle.ConstantTimeCompare(got, want) == 1; same == neg {
		ts.Fatalf("the values are the same: %t (%d and %d bytes)", same, len(got), len(want))
	}
}

// untilValue waits until a key of a Secret is a field of OpenBao:
// until SECRET KEY PATH FIELD
func untilValue(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 4 {
		ts.Fatalf("usage: until SECRET KEY PATH FIELD")
	}
	want := vaultField(ts, args[2], args[3])
	servers.Await(life{ts}, args[0]+" has the value", func() bool {
		return len(want) > 0 && subtle.ConstantTimeCompare(secretKey(ts, args[0], args[1]), want) == 1
	})
}

// life is a script as the servers package sees a test.
type life struct{ *testscript.TestScript }

func (life) Helper()            {}
func (life) Failed() bool       { return false }
func (l life) Cleanup(f func()) { l.Defer(f) }
func (l life) TempDir() string  { return l.MkAbs("tmp") }
