//go:build servers

package kubernetes

import (
	"encoding/json"
	"io"
	"net/http"
	"testing"

	"github.com/cofferhq/coffer/providers"
	"github.com/cofferhq/coffer/providers/secret"
)

// TestRefusals are those that only a real API server gives.
func TestRefusals(t *testing.T) {
	c := newCluster(t)
	d := c.admin("")
	namespace := c.fresh()
	create := func(path string) error {
		_, err := d.Write(t.Context(), providers.WriteRequest{Path: path, Value: secret.String("canary"), OpID: "1", Attributes: marked})
		return err
	}
	wantError(t, create("missing/a"), providers.Invalid, `no namespace "missing"`, "kubectl create namespace missing")
	if found, err := d.Inspect(t.Context(), []string{"missing/a", "missing/b", "missing/c", "missing/d"}); len(found) > 0 || err != nil {
		t.Errorf("%v %v", found, err)
	}
	ending := c.fresh()
	c.Must(http.MethodDelete, "/api/v1/namespaces/"+ending, nil)
	wantError(t, create(ending+"/a"), providers.Invalid, "is being deleted")

	api := "/api/v1/namespaces/" + namespace
	c.Must(http.MethodPost, api+"/secrets", map[string]any{
		"metadata": map[string]any{"name": "tls"}, "type": "kubernetes.io/tls", "data": map[string]any{"tls.crt": "", "tls.key": ""},
	})
	m := inspect(t, d, namespace+"/tls")
	_, err := d.Write(t.Context(), providers.WriteRequest{Path: namespace + "/tls", Value: secret.String("canary"), OpID: "1", IfVersion: m.Version})
	wantError(t, err, providers.Invalid, "data[tls.crt] (FieldValueRequired)")

	c.edit(namespace+"/kept", map[string]any{"value": "x"})
	c.Must(http.MethodPatch, at(namespace+"/kept"), map[string]any{"metadata": map[string]any{"finalizers": []string{"example.com/keep"}}})
	m = inspect(t, d, namespace+"/kept")
	wantError(t, d.Delete(t.Context(), namespace+"/kept", m.Version), providers.Ambiguous, "finalizers hold it: example.com/keep")
	_, err = d.SetAttributes(t.Context(), namespace+"/kept", m.Version, marked)
	wantError(t, err, providers.Conflict, "finalizers hold it")

	quota := c.fresh()
	c.Must(http.MethodPost, "/api/v1/namespaces/"+quota+"/resourcequotas", map[string]any{
		"metadata": map[string]any{"name": "small"}, "spec": map[string]any{"hard": map[string]any{"count/secrets": "0"}},
	})
	// No controller counts here, so the test writes what it would.
	c.Must(http.MethodPatch, "/api/v1/namespaces/"+quota+"/resourcequotas/small/status", map[string]any{
		"status": map[string]any{"hard": map[string]any{"count/secrets": "0"}, "used": map[string]any{"count/secrets": "0"}},
	})
	wantError(t, create(quota+"/a"), providers.Invalid, "the ResourceQuota small", "describe quota")

	hooked := c.fresh()
	c.webhook(t, hooked)
	wantError(t, create(hooked+"/a"), providers.Invalid, "the admission webhook coffer.example.com refuses the Secret")

	bad := c.config(t, c.Address, "canary", c.CA)
	_, err = open(t, bad).Read(t.Context(), namespace+"/kept", "")
	wantError(t, err, providers.Denied, "(401)", "sign in again")
	as := c.config(t, c.Address, c.ServiceAccountToken(namespace, "nobody"), c.CA)
	as.Impersonate = []Impersonation{{User: "root"}}
	_, err = open(t, as).Identity(t.Context())
	wantError(t, err, providers.Denied, `may not act as "root"`, "verbs: [impersonate]")
	as = c.config(t, c.Address, c.AdminToken, c.CA)
	as.Impersonate = []Impersonation{{User: "system:serviceaccount:" + namespace + ":nobody"}}
	err = open(t, as).Delete(t.Context(), namespace+"/kept", m.Version)
	wantError(t, err, providers.Denied, "may not get secrets in the namespace \""+namespace+`"`, `{apiGroups: [""], resources: [secrets], verbs: [get], resourceNames: [kept]} to their Role in the namespace `+namespace)
}

// webhook makes the API server ask a webhook that refuses, and repeats what it
// was asked.
func (c *cluster) webhook(t *testing.T, namespace string) {
	url, ca := c.Webhook(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var review map[string]any
		body, _ := io.ReadAll(r.Body)
		_ = json.Unmarshal(body, &review)
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(map[string]any{
			"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
			"response": map[string]any{
				"uid": review["request"].(map[string]any)["uid"], "allowed": false, "status": map[string]any{"message": string(body)},
			},
		})
	}))
	config := "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations"
	c.Must(http.MethodPost, config, map[string]any{
		"metadata": map[string]any{"name": "no-secrets"},
		"webhooks": []any{map[string]any{
			"name": "coffer.example.com", "sideEffects": "None", "admissionReviewVersions": []string{"v1"}, "failurePolicy": "Fail",
			"clientConfig":      map[string]any{"url": url, "caBundle": ca},
			"namespaceSelector": map[string]any{"matchLabels": map[string]any{"kubernetes.io/metadata.name": namespace}},
			"rules": []any{map[string]any{
				"apiGroups": []string{""}, "apiVersions": []string{"v1"}, "operations": []string{"CREATE"}, "resources": []string{"secrets"},
			}},
		}},
	})
	t.Cleanup(func() { c.Must(http.MethodDelete, config+"/no-secrets", nil) })
	d := c.admin(namespace)
	awaitRefusal(t, func() error {
		_, err := d.Write(t.Context(), providers.WriteRequest{Path: namespace + "/probe", Value: secret.String("x"), OpID: "1"})
		if err == nil {
			m := inspect(t, d, namespace+"/probe")
			err = d.Delete(t.Context(), namespace+"/probe", m.Version)
		}
		return err
	})
}
