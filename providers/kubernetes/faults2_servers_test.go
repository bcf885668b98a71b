//go:build servers

package kubernetes

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/cofferhq/coffer/providers"
	"github.com/cofferhq/coffer/providers/kubernetes/delivery"
	"github.com/cofferhq/coffer/state/statetest/servers"
)

// specOf returns an object of the sample by its kind.
func specOf(t *testing.T, d *Driver, namespace, kind string) providers.ObjectSpec {
	t.Helper()
	for _, s := range sample(t, d, namespace) {
		if s.Ref.Kind == kind {
			return s
		}
	}
	t.Fatalf("the sample has no %s", kind)
	return providers.ObjectSpec{}
}

// refuse makes the API server ask a webhook that refuses every change of a
// resource, and repeats what it was asked.
func (c *cluster) refuse(t *testing.T, namespace, group, version, plural string, try func() error) {
	url, ca := c.Webhook(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var review struct {
			Request struct{ UID, Name string }
		}
		_ = json.NewDecoder(r.Body).Decode(&review)
		w.Header().Set("Content-Type", "application/json")
		if strings.HasSuffix(review.Request.Name, "-broken") {
			review.Request.UID = "another"
		}
		fmt.Fprintf(w, `{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","response":{"uid":%q,"allowed":false,"status":{"message":"canary"}}}`, review.Request.UID)
	}))
	config := "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations"
	name := "no-" + plural
	c.Must(http.MethodPost, config, map[string]any{
		"metadata": map[string]any{"name": name},
		"webhooks": []any{map[string]any{
			"name": "objects.example.com", "sideEffects": "None", "admissionReviewVersions": []string{"v1"}, "failurePolicy": "Fail",
			"clientConfig":      map[string]any{"url": url, "caBundle": ca},
			"namespaceSelector": map[string]any{"matchLabels": map[string]any{"kubernetes.io/metadata.name": namespace}},
			"rules": []any{map[string]any{
				"apiGroups": []string{group}, "apiVersions": []string{version}, "operations": []string{"CREATE", "UPDATE"}, "resources": []string{plural},
			}},
		}},
	})
	t.Cleanup(func() { c.Must(http.MethodDelete, config+"/"+name, nil) })
	awaitRefusal(t, try)
}

// TestRefusalsOfObjects are those of a real API server, for what is no Secret. An
// error names the field, and nothing of what was in it.
func TestRefusalsOfObjects(t *testing.T) {
	c := newCluster(t)
	servers.InstallCRDs(t, c.Cluster, servers.ExternalSecretsCRDs)
	d := c.admin("")
	namespace := c.fresh()
	write := func(s providers.ObjectSpec, version string) (providers.Object, error) {
		return d.WriteObject(t.Context(), providers.ObjectRequest{Ref: s.Ref, Document: s.Document, OpID: "1", IfVersion: version, Attributes: marked})
	}
	with := func(s providers.ObjectSpec, from, to string) providers.ObjectSpec {
		t.Helper()
		if !strings.Contains(s.Document, from) {
			t.Fatalf("%q is not in\n%s", from, s.Document)
		}
		s.Document = strings.Replace(s.Document, from, to, 1)
		return s
	}
	external, binding := specOf(t, d, namespace, delivery.KindExternalSecret), specOf(t, d, namespace, delivery.KindRoleBinding)
	role := specOf(t, d, namespace, delivery.KindRole)

	_, err := write(specOf(t, d, "missing", delivery.KindExternalSecret), "")
	wantError(t, err, providers.Invalid, `no namespace "missing"`, "kubectl create namespace missing")
	_, err = write(specOf(t, d, "missing", delivery.KindRole), "")
	wantError(t, err, providers.Invalid, `no namespace "missing"`)
	ending := c.fresh()
	c.Must(http.MethodDelete, "/api/v1/namespaces/"+ending, nil)
	_, err = write(specOf(t, d, ending, delivery.KindServiceAccount), "")
	wantError(t, err, providers.Invalid, "is being deleted")

	// What the schema does not take.
	_, err = write(with(external, "    creationPolicy: Owner\n", "    creationPolicy: canary\n"), "")
	wantError(t, err, providers.Invalid, "does not take the ExternalSecret: spec.target.creationPolicy (FieldValueNotSupported)", "kubectl explain externalsecret")
	_, err = write(with(external, "  secretStoreRef:\n", "  unheardOf: canary\n  secretStoreRef:\n"), "")
	wantError(t, err, providers.Invalid, "the cluster's ExternalSecret has no field spec.unheardOf", "older or newer")
	made, err := write(role, "")
	if err != nil {
		t.Fatal(err)
	}
	if made, err = write(binding, ""); err != nil {
		t.Fatal(err)
	}
	_, err = write(with(binding, "roleRef:\n  apiGroup: rbac.authorization.k8s.io\n  kind: Role\n", "roleRef:\n  apiGroup: rbac.authorization.k8s.io\n  kind: ClusterRole\n"), made.Version)
	wantError(t, err, providers.Invalid, "does not take the RoleBinding: roleRef (FieldValueInvalid)")

	quota := c.fresh()
	hard := map[string]any{"count/roles.rbac.authorization.k8s.io": "0"}
	c.Must(http.MethodPost, "/api/v1/namespaces/"+quota+"/resourcequotas", map[string]any{"metadata": map[string]any{"name": "small"}, "spec": map[string]any{"hard": hard}})
	c.Must(http.MethodPatch, "/api/v1/namespaces/"+quota+"/resourcequotas/small/status", map[string]any{"status": map[string]any{"hard": hard, "used": hard}})
	_, err = write(specOf(t, d, quota, delivery.KindRole), "")
	wantError(t, err, providers.Invalid, "the ResourceQuota small", "describe quota")

	hooked := c.fresh()
	refused := specOf(t, d, hooked, delivery.KindExternalSecret)
	c.refuse(t, hooked, operatorGroup, "*", "externalsecrets", func() error { _, err := write(refused, ""); return err })
	_, err = write(refused, "")
	wantError(t, err, providers.Invalid, "the admission webhook objects.example.com refuses the ExternalSecret")
	refused.Ref.Path += "-broken"
	_, err = write(refused, "")
	wantError(t, err, providers.Unavailable, "the admission webhook objects.example.com of the cluster does not work")

	bad := open(t, c.config(t, c.Address, "canary", c.CA))
	_, err = bad.WriteObject(t.Context(), providers.ObjectRequest{Ref: role.Ref, Document: role.Document})
	wantError(t, err, providers.Denied, "(401)", "sign in again")
	as := c.config(t, c.Address, c.AdminToken, c.CA)
	as.Impersonate = []Impersonation{{User: "nobody"}}
	_, err = open(t, as).getObject(t.Context(), objectKindOf(delivery.KindRole), role.Ref.Path)
	wantError(t, err, providers.Denied, `may not get roles in the namespace "`+namespace+`"`,
		`{apiGroups: ["rbac.authorization.k8s.io"], resources: [roles], verbs: [get], resourceNames: [web-env-token]} to their Role in the namespace `+namespace)
}

func objectKindOf(kind string) objectKind {
	for _, k := range objectKinds() {
		if k.kind == kind {
			return k
		}
	}
	return objectKind{}
}

// An API server that goes away, or does not answer, in the middle of a write: what
// may have happened is said to, and the next look tells.
func TestFaultsOfObjects(t *testing.T) {
	c := &cluster{Cluster: servers.Kube(t), t: t}
	namespace := c.fresh()
	p := newProxy(t, c)
	d := open(t, c.config(t, p.URL, c.AdminToken, p.CA))
	role := specOf(t, d, namespace, delivery.KindRole)
	write := func(version string) (providers.Object, error) {
		return d.WriteObject(t.Context(), providers.ObjectRequest{Ref: role.Ref, Document: role.Document, OpID: "1", IfVersion: version, Attributes: marked})
	}
	onPatch := func(do func(w http.ResponseWriter, r *http.Request) bool) {
		p.on(func(w http.ResponseWriter, r *http.Request) bool { return r.Method == http.MethodPatch && do(w, r) })
	}

	onPatch(func(w http.ResponseWriter, _ *http.Request) bool {
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Retry-After", "7")
		w.WriteHeader(http.StatusTooManyRequests)
		fmt.Fprint(w, `{"kind":"Status","reason":"TooManyRequests","message":"canary"}`)
		return true
	})
	_, err := write("")
	wantError(t, err, providers.Throttled, "too many requests (429)")
	var e *providers.Error
	if !errors.As(err, &e) || e.RetryAfter != 7*time.Second {
		t.Errorf("%+v", e)
	}

	onPatch(func(http.ResponseWriter, *http.Request) bool { c.Kill(); return false })
	_, err = write("")
	wantError(t, err, providers.Ambiguous)
	p.on(nil)
	_, err = d.InspectObjects(t.Context(), []providers.ObjectRef{role.Ref})
	if err == nil {
		t.Error("an API server that is gone answers")
	}
	c.Restart()
	servers.Await(t, "the API server answers", func() bool {
		_, err := d.InspectObjects(t.Context(), []providers.ObjectRef{role.Ref})
		return err == nil
	})
	if o := inspectOne(t, d, role.Ref); o != nil {
		t.Fatalf("it was killed before: %+v", o)
	}

	// It was written, and the answer is lost.
	onPatch(func(_ http.ResponseWriter, r *http.Request) bool {
		p.inner.ServeHTTP(httptest.NewRecorder(), r)
		panic(http.ErrAbortHandler)
	})
	_, err = write("")
	wantError(t, err, providers.Ambiguous)
	p.on(nil)
	if o := inspectOne(t, d, role.Ref); o == nil || o.Document != role.Document {
		t.Errorf("%+v", o)
	}

	// A token that ends while it is in use.
	onPatch(func(w http.ResponseWriter, r *http.Request) bool {
		r.Header.Set("Authorization", "Bearer ended")
		return false
	})
	_, err = write(inspectOne(t, d, role.Ref).Version)
	wantError(t, err, providers.Denied, "(401)", "sign in again")
}
