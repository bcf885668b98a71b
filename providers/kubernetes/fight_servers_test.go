//go:build servers

package kubernetes

import (
	"cmp"
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/cofferhq/coffer/providers"
	"github.com/cofferhq/coffer/providers/kubernetes/delivery"
	"github.com/cofferhq/coffer/state/statetest/servers"
)

// What somebody else sets beside our fields is seen, with its name, and gone after
// the next write, by whatever way it was set; what has a standard of the CRD's gets
// that, and is nobody's again.
func TestOthersFields(t *testing.T) {
	c := newCluster(t)
	servers.InstallCRDs(t, c.Cluster, servers.ExternalSecretsCRDs)
	namespace := c.fresh()
	d := c.admin(namespace)
	var spec providers.ObjectSpec
	for _, s := range sample(t, d, namespace) {
		if s.Ref.Kind == delivery.KindExternalSecret {
			spec = s
		}
	}
	spec.Document = strings.Replace(spec.Document, "  refreshInterval: 1h0m0s\n", "", 1)
	made, err := d.WriteObject(t.Context(), providers.ObjectRequest{Ref: spec.Ref, Document: spec.Document, OpID: "1", Attributes: marked})
	if err != nil || made.Document != spec.Document {
		t.Fatal(err, gocmp.Diff(spec.Document, made.Document))
	}
	at := objectAt(spec.Ref.Kind, namespace, "web-env")
	for i, edit := range []struct {
		query string // of server-side apply; "" is an ordinary change
		spec  map[string]any
	}{
		{"", map[string]any{"refreshInterval": "5m"}},
		{"fieldManager=argocd-controller&force=true", map[string]any{"refreshInterval": "15m"}},
		// The standard, which stands there already.
		{"fieldManager=argocd-controller&force=true", map[string]any{"refreshInterval": "1h"}},
		{"", map[string]any{"target": map[string]any{"immutable": true, "deletionPolicy": "Delete"}}},
		{"fieldManager=argocd-controller&force=true", map[string]any{"target": map[string]any{"immutable": true}}},
		{"", map[string]any{"dataFrom": []any{map[string]any{"extract": map[string]any{"key": "x"}}}}},
	} {
		body := map[string]any{"spec": edit.spec}
		if edit.query != "" {
			body["apiVersion"], body["kind"] = delivery.APIVersion, "ExternalSecret"
		}
		c.Must(http.MethodPatch, at+"?"+edit.query, body)
		edited := inspectOne(t, d, spec.Ref)
		manager := cmp.Or(strings.TrimSuffix(strings.TrimPrefix(edit.query, "fieldManager="), "&force=true"), by)
		if edited.Document == spec.Document || edited.ChangedBy != manager {
			o := c.Must(http.MethodGet, at, nil)
			managed, _ := json.Marshal(o["metadata"].(map[string]any)["managedFields"])
			t.Errorf("%d: %q set %v:\n%s\n%s", i, edited.ChangedBy, edit.spec, edited.Document, managed)
		}
		_, err := d.WriteObject(t.Context(), providers.ObjectRequest{Ref: spec.Ref, Document: spec.Document, OpID: "2", IfVersion: made.Version, Attributes: marked})
		wantError(t, err, providers.Conflict, "the ExternalSecret was changed meanwhile", `"`+manager+`" set a part of it`)
		back, err := d.WriteObject(t.Context(), providers.ObjectRequest{Ref: spec.Ref, Document: spec.Document, OpID: "3", IfVersion: edited.Version, Attributes: marked})
		if err != nil || back.Document != spec.Document || inspectOne(t, d, spec.Ref).Version != back.Version {
			o := c.Must(http.MethodGet, at, nil)
			fields, _ := json.MarshalIndent(o["metadata"].(map[string]any)["managedFields"], "", " ")
			t.Fatalf("%d: %v %v\n%s\n%s", i, edit.spec, err, gocmp.Diff(spec.Document, back.Document), fields)
		}
		made = back
	}
}
