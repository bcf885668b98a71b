//go:build servers

package servers_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/bloberror"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blockblob"
	"github.com/jackc/pgx/v5"

	"github.com/cofferhq/coffer/state/statetest/servers"
)

var shared servers.Package

func TestMain(m *testing.M) { os.Exit(shared.Run(m)) }

func TestPostgres(t *testing.T) {
	url := servers.Postgres(t)
	ctx := context.Background()
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(ctx)
	var version, encoding string
	var locked bool
	err = conn.QueryRow(ctx, "select current_setting('server_version'), current_setting('server_encoding'), pg_try_advisory_lock(1)").
		Scan(&version, &encoding, &locked)
	if err != nil || encoding != "UTF8" || !locked {
		t.Errorf("PostgreSQL %s: encoding %s, locked %v, %v", version, encoding, locked, err)
	}
	config, err := pgx.ParseConfig(url)
	if err != nil {
		t.Fatal(err)
	}
	config.Password = "wrong"
	if _, err := pgx.ConnectConfig(ctx, config); err == nil {
		t.Error("a wrong password is taken")
	}
}

func TestAzurite(t *testing.T) {
	b := servers.Azurite(t)
	client, err := azblob.NewClientFromConnectionString(b.ConnectionString(), nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx := context.Background()
	if _, err := client.CreateContainer(ctx, "state", nil); err != nil {
		t.Fatal(err)
	}
	create := &blockblob.UploadBufferOptions{AccessConditions: &blob.AccessConditions{
		ModifiedAccessConditions: &blob.ModifiedAccessConditions{IfNoneMatch: to.Ptr(azcore.ETagAny)},
	}}
	if _, err := client.UploadBuffer(ctx, "state", "a", []byte("x"), create); err != nil {
		t.Fatal(err)
	}
	if _, err := client.UploadBuffer(ctx, "state", "a", []byte("y"), create); !bloberror.HasCode(err, bloberror.BlobAlreadyExists) {
		t.Errorf("created twice: %v", err)
	}
}

func TestFakeGCS(t *testing.T) {
	address := servers.FakeGCS(t)
	post := func(path, kind, body string) (int, string) {
		t.Helper()
		resp, err := http.Post(address+path, kind, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		text, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, string(text)
	}
	if status, text := post("/storage/v1/b?project=p", "application/json", `{"name":"state"}`); status != http.StatusOK {
		t.Fatalf("bucket: %d %s", status, text)
	}
	upload := "--b\r\nContent-Type: application/json\r\n\r\n{\"name\":\"a\"}\r\n--b\r\nContent-Type: text/plain\r\n\r\nx\r\n--b--\r\n"
	for _, want := range []int{http.StatusOK, http.StatusPreconditionFailed} {
		status, text := post("/upload/storage/v1/b/state/o?uploadType=multipart&ifGenerationMatch=0", "multipart/related; boundary=b", upload)
		if status != want {
			t.Errorf("create: status %d, want %d: %s", status, want, text)
		}
	}
}

func object(apiVersion, kind, name string, more map[string]any) map[string]any {
	o := map[string]any{"apiVersion": apiVersion, "kind": kind, "metadata": map[string]any{"name": name}}
	for k, v := range more {
		o[k] = v
	}
	return o
}

func TestKube(t *testing.T) {
	c := shared.Kube(t)
	c.Namespace("shop")
	secrets := "/api/v1/namespaces/shop/secrets"
	c.Must(http.MethodPost, secrets, object("v1", "Secret", "db", map[string]any{"stringData": map[string]any{"password": "x"}}))
	c.Must(http.MethodPost, "/apis/coordination.k8s.io/v1/namespaces/shop/leases",
		object("coordination.k8s.io/v1", "Lease", "lock", map[string]any{"spec": map[string]any{"holderIdentity": "a"}}))

	t.Run("rights", func(t *testing.T) { rights(t, shared.Kube(t), secrets) })
	t.Run("apply", func(t *testing.T) { applies(t, shared.Kube(t), secrets) })
	t.Run("custom resource", func(t *testing.T) { customResource(t, shared.Kube(t)) })
	t.Run("quota", func(t *testing.T) { quota(t, shared.Kube(t)) })
	t.Run("webhook", func(t *testing.T) { webhook(t, shared.Kube(t)) })
	t.Run("client certificate", func(t *testing.T) { clientCertificate(t, shared.Kube(t)) })
	c.Restart()
	c.Must(http.MethodGet, secrets+"/db", nil)
	config := c.Kubeconfig(c.AdminToken)
	if !strings.Contains(config, c.Address) || !strings.Contains(config, c.CAFile) {
		t.Errorf("the kubeconfig names another server:\n%s", config)
	}
}

// rights checks sign-in and permissions of a service account.
func rights(t *testing.T, c *servers.Cluster, secrets string) {
	token := c.ServiceAccountToken("shop", "api", "vault")
	review := c.Must(http.MethodPost, "/apis/authentication.k8s.io/v1/tokenreviews", object("authentication.k8s.io/v1", "TokenReview", "",
		map[string]any{"spec": map[string]any{"token": token, "audiences": []string{"vault"}}}))
	if review["status"].(map[string]any)["authenticated"] != true {
		t.Errorf("TokenReview: %v", review["status"])
	}
	token = c.ServiceAccountToken("shop", "api")
	if status, _ := c.Do(http.MethodGet, secrets+"/db", token, nil); status != http.StatusForbidden {
		t.Errorf("read without a role: status %d", status)
	}
	rbac := "/apis/rbac.authorization.k8s.io/v1/namespaces/shop/"
	const version = "rbac.authorization.k8s.io/v1"
	c.Must(http.MethodPost, rbac+"roles", object(version, "Role", "read-db", map[string]any{"rules": []any{map[string]any{
		"apiGroups": []string{""}, "resources": []string{"secrets"}, "resourceNames": []string{"db"}, "verbs": []string{"get"},
	}}}))
	c.Must(http.MethodPost, rbac+"rolebindings", object(version, "RoleBinding", "read-db", map[string]any{
		"roleRef":  map[string]any{"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "read-db"},
		"subjects": []any{map[string]any{"kind": "ServiceAccount", "name": "api", "namespace": "shop"}},
	}))
	attributes := map[string]any{"namespace": "shop", "verb": "get", "resource": "secrets", "name": "db"}
	spec := map[string]any{"user": "system:serviceaccount:shop:api", "resourceAttributes": attributes}
	access := c.Must(http.MethodPost, "/apis/authorization.k8s.io/v1/subjectaccessreviews",
		object("authorization.k8s.io/v1", "SubjectAccessReview", "", map[string]any{"spec": spec}))
	if access["status"].(map[string]any)["allowed"] != true {
		t.Errorf("SubjectAccessReview: %v", access["status"])
	}
	if status, answer := c.Do(http.MethodGet, secrets+"/db", token, nil); status != http.StatusOK {
		t.Errorf("read with a role: status %d: %v", status, answer)
	}
}

// applies checks server-side apply of two managers on built-in types.
func applies(t *testing.T, c *servers.Cluster, secrets string) {
	applied := func(manager, value string) int {
		status, _ := c.Do(http.MethodPatch, secrets+"/applied?fieldManager="+manager, c.AdminToken,
			object("v1", "Secret", "applied", map[string]any{"data": map[string]any{"a": value}}))
		return status
	}
	if status := applied("one", "eA=="); status != http.StatusCreated {
		t.Errorf("apply: status %d", status)
	}
	if status := applied("two", "eQ=="); status != http.StatusConflict {
		t.Errorf("apply of another manager: status %d", status)
	}
	labels := map[string]any{"app": "api"}
	c.Must(http.MethodPatch, "/apis/apps/v1/namespaces/shop/deployments/api?fieldManager=one", object("apps/v1", "Deployment", "api", map[string]any{
		"spec": map[string]any{"selector": map[string]any{"matchLabels": labels}, "template": map[string]any{
			"metadata": map[string]any{"labels": labels},
			"spec":     map[string]any{"containers": []any{map[string]any{"name": "api", "image": "none"}}},
		}},
	}))
}

func customResource(t *testing.T, c *servers.Cluster) {
	schema := map[string]any{"type": "object", "properties": map[string]any{"spec": map[string]any{
		"type": "object", "properties": map[string]any{"size": map[string]any{"type": "integer"}},
	}}}
	c.Must(http.MethodPost, "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", object("apiextensions.k8s.io/v1", "CustomResourceDefinition", "boxes.test.example", map[string]any{
		"spec": map[string]any{
			"group": "test.example", "scope": "Namespaced",
			"names":    map[string]any{"plural": "boxes", "singular": "box", "kind": "Box"},
			"versions": []any{map[string]any{"name": "v1", "served": true, "storage": true, "schema": map[string]any{"openAPIV3Schema": schema}}},
		},
	}))
	boxes := "/apis/test.example/v1/namespaces/shop/boxes?fieldValidation=Strict"
	servers.Await(t, "the kind is served", func() bool {
		status, _ := c.Do(http.MethodGet, boxes, c.AdminToken, nil)
		return status == http.StatusOK
	})
	c.Must(http.MethodPost, boxes, object("test.example/v1", "Box", "a", map[string]any{"spec": map[string]any{"size": 1}}))
	for want, spec := range map[int]map[string]any{
		http.StatusUnprocessableEntity: {"size": "x"}, http.StatusBadRequest: {"unknown": 1},
	} {
		if status, answer := c.Do(http.MethodPost, boxes, c.AdminToken, object("test.example/v1", "Box", "b", map[string]any{"spec": spec})); status != want {
			t.Errorf("%v: status %d, want %d: %v", spec, status, want, answer["message"])
		}
	}
}

// quota writes the status that a controller would.
func quota(t *testing.T, c *servers.Cluster) {
	c.Namespace("small")
	quotas := "/api/v1/namespaces/small/resourcequotas"
	hard := map[string]any{"count/secrets": "0"}
	c.Must(http.MethodPost, quotas, object("v1", "ResourceQuota", "none", map[string]any{"spec": map[string]any{"hard": hard}}))
	c.Must(http.MethodPatch, quotas+"/none/status", map[string]any{"status": map[string]any{"hard": hard, "used": hard}})
	servers.Await(t, "the quota counts", func() bool {
		status, answer := c.Do(http.MethodPost, "/api/v1/namespaces/small/secrets?dryRun=All", c.AdminToken, object("v1", "Secret", "a", nil))
		return status == http.StatusForbidden && strings.Contains(fmt.Sprint(answer["message"]), "exceeded quota")
	})
}

// webhook has the server ask a webhook, which denies.
func webhook(t *testing.T, c *servers.Cluster) {
	url, ca := c.Webhook(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var review struct{ Request struct{ UID string } }
		if err := json.NewDecoder(r.Body).Decode(&review); err != nil {
			t.Error(err)
		}
		fmt.Fprintf(w, `{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","response":{"uid":%q,"allowed":false,"status":{"message":"not here"}}}`,
			review.Request.UID)
	}))
	c.Namespace("closed")
	hooks := "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations"
	c.Must(http.MethodPost, hooks, object("admissionregistration.k8s.io/v1", "ValidatingWebhookConfiguration", "closed", map[string]any{
		"webhooks": []any{map[string]any{
			"name": "closed.test.example", "sideEffects": "None", "admissionReviewVersions": []string{"v1"},
			"clientConfig":      map[string]any{"url": url, "caBundle": ca},
			"namespaceSelector": map[string]any{"matchLabels": map[string]any{"kubernetes.io/metadata.name": "closed"}},
			"rules": []any{map[string]any{
				"apiGroups": []string{""}, "apiVersions": []string{"v1"}, "resources": []string{"secrets"}, "operations": []string{"CREATE"},
			}},
		}},
	}))
	servers.Await(t, "the webhook is asked", func() bool {
		status, answer := c.Do(http.MethodPost, "/api/v1/namespaces/closed/secrets?dryRun=All", c.AdminToken, object("v1", "Secret", "a", nil))
		return status != http.StatusCreated && strings.Contains(fmt.Sprint(answer["message"]), "not here")
	})
	c.Must(http.MethodDelete, hooks+"/closed", nil)
}

func clientCertificate(t *testing.T, c *servers.Cluster) {
	cert, key := c.ClientCertificate("eve", "team")
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	client := c.Client(pair)
	body := bytes.NewReader([]byte(`{"apiVersion":"authentication.k8s.io/v1","kind":"SelfSubjectReview"}`))
	resp, err := client.Post(c.Address+"/apis/authentication.k8s.io/v1/selfsubjectreviews", "application/json", body)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil || !strings.Contains(string(text), `"eve"`) || !strings.Contains(string(text), `"team"`) {
		t.Errorf("who: %v %s", err, text)
	}
}
