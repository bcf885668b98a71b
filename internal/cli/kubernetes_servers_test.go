//go:build servers

package cli

import (
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
	"go.yaml.in/yaml/v3"

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
		shared := &sealerOf{sealer: sealer}
		runScripts(t, "testdata/kubernetes", atCluster(c, shared, atVault(bao)), vaultCommands(), scriptCommands{
			"kube": callKube, "await": awaitCondition, "samevalue": sameValue, "until": untilValue,
			"argo": applyFile, "controls": controlWorkload, "reads": readsAs, "renewkey": shared.renew, "has": hasText, "seen": awaitSeen,
		})
	})
}

// sealerOf is the controller that all scripts share: one may renew its key.
type sealerOf struct {
	mu     sync.Mutex
	sealer *servers.Sealer
}

func (s *sealerOf) certificate() []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.sealer.Cert
}

// renew makes a new key, and sealing.pem its certificate: renewkey
func (s *sealerOf) renew(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) > 0 {
		ts.Fatalf("usage: renewkey")
	}
	s.mu.Lock()
	s.sealer.RenewKey(life{ts})
	s.mu.Unlock()
	ts.Check(os.WriteFile(ts.MkAbs("sealing.pem"), s.certificate(), 0o644))
}

// clusterOf is where a script's commands find its cluster.
type clusterOf struct{}

func atCluster(c *servers.Cluster, sealer *sealerOf, before func(*testscript.Env) error) func(*testscript.Env) error {
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
		if err := os.WriteFile(filepath.Join(env.WorkDir, "sealing.pem"), sealer.certificate(), 0o644); err != nil {
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

// callKube makes a call as the administrator: [!] kube METHOD KIND[/NAME] [JSON|@FILE].
// Values of Secrets are not logged.
func callKube(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) < 2 || len(args) > 3 {
		ts.Fatalf("usage: kube METHOD KIND[/NAME] [JSON|@FILE]")
	}
	c := scriptCluster(ts)
	var body any
	if len(args) == 3 {
		text := args[2]
		if file, ok := strings.CutPrefix(text, "@"); ok {
			text = ts.ReadFile(file)
		}
		ts.Check(json.Unmarshal([]byte(text), &body))
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

// hasText looks for a text in an object as JSON: [!] has KIND/NAME TEXT
func hasText(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 2 {
		ts.Fatalf("usage: has KIND/NAME TEXT")
	}
	c := scriptCluster(ts)
	status, answer := c.Do(http.MethodGet, clusterPath(ts, args[0]), c.AdminToken, nil)
	text, err := json.Marshal(answer)
	ts.Check(err)
	if status != http.StatusOK || strings.Contains(string(text), args[1]) == neg {
		ts.Fatalf("status %d; the text is there: %t", status, neg)
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

// awaitSeen waits until a controller has looked at what was last written:
// seen KIND/NAME
func awaitSeen(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: seen KIND/NAME")
	}
	c := scriptCluster(ts)
	servers.Await(life{ts}, args[0]+" was looked at", func() bool {
		_, o := c.Do(http.MethodGet, clusterPath(ts, args[0]), c.AdminToken, nil)
		meta, _ := o["metadata"].(map[string]any)
		said, _ := o["status"].(map[string]any)
		return meta["generation"] != nil && meta["generation"] == said["observedGeneration"]
	})
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

// applyFile does what Argo CD does with a manifest: argo FILE
func applyFile(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 1 {
		ts.Fatalf("usage: argo FILE")
	}
	c := scriptCluster(ts)
	for docs := yaml.NewDecoder(strings.NewReader(ts.ReadFile(args[0]))); ; {
		var doc struct {
			Kind     string
			Metadata struct{ Name, Namespace string }
		}
		var whole yaml.Node
		if err := docs.Decode(&whole); errors.Is(err, io.EOF) {
			return
		} else {
			ts.Check(err)
		}
		ts.Check(whole.Decode(&doc))
		var body map[string]any
		ts.Check(whole.Decode(&body))
		if doc.Metadata.Namespace != ts.Getenv("NAMESPACE") {
			ts.Fatalf("%s %s is for the namespace %q", doc.Kind, doc.Metadata.Name, doc.Metadata.Namespace)
		}
		path := clusterPath(ts, strings.ToLower(doc.Kind)+"s/"+doc.Metadata.Name)
		if status, answer := c.Do(http.MethodPatch, path+"?fieldManager=argocd&force=true", c.AdminToken, body); (status >= http.StatusBadRequest) != neg {
			ts.Fatalf("%s: %d %v", path, status, answer["message"])
		}
	}
}

// controlWorkload is the controller of a workload until the script ends: it
// says that all of a new generation runs: controls deployments/NAME
func controlWorkload(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: controls deployments/NAME")
	}
	c, path := scriptCluster(ts), clusterPath(ts, args[0])
	end, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		servers.Await(life{ts}, "the script ends", func() bool {
			status, o := c.Do(http.MethodGet, path, c.AdminToken, nil)
			meta, _ := o["metadata"].(map[string]any)
			said, _ := o["status"].(map[string]any)
			if now := meta["generation"]; status == http.StatusOK && now != said["observedGeneration"] {
				c.Do(http.MethodPatch, path+"/status", c.AdminToken, map[string]any{"status": map[string]any{
					"observedGeneration": now, "replicas": 1, "updatedReplicas": 1, "readyReplicas": 1, "availableReplicas": 1,
				}})
			}
			select {
			case <-end:
				return true
			default:
				return false
			}
		})
	}()
	ts.Defer(func() { close(end); <-ended })
}

// readsAs asks for Secrets as a service account of the script's namespace, one
// or, without a name, the list: [!] reads ACCOUNT [SECRET]
func readsAs(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) < 1 || len(args) > 2 {
		ts.Fatalf("usage: reads ACCOUNT [SECRET]")
	}
	c := scriptCluster(ts)
	path := clusterPath(ts, "secrets/"+strings.Join(args[1:], ""))
	status, _ := c.Do(http.MethodGet, strings.TrimSuffix(path, "/"), c.ServiceAccountToken(ts.Getenv("NAMESPACE"), args[0]), nil)
	if status != http.StatusOK && status != http.StatusForbidden || (status == http.StatusOK) == neg {
		ts.Fatalf("status %d", status)
	}
}

// life is a script as the servers package sees a test.
type life struct{ *testscript.TestScript }

func (life) Helper()            {}
func (life) Failed() bool       { return false }
func (l life) Cleanup(f func()) { l.Defer(f) }
func (l life) TempDir() string  { return l.MkAbs("tmp") }
