//go:build servers

package kubernetes

import (
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/cofferhq/coffer/providers"
	"github.com/cofferhq/coffer/providers/kubernetes/delivery"
	"github.com/cofferhq/coffer/state/statetest/servers"
)

// conditionOf returns what is said of one thing.
func conditionOf(t *testing.T, d *Driver, kind, path string) (c providers.Condition, found bool) {
	t.Helper()
	refs, sealed := []providers.ObjectRef{{Kind: kind, Path: path}}, []string(nil)
	if kind == kindSecret {
		refs, sealed = nil, []string{path}
	}
	list, err := d.Conditions(t.Context(), refs, sealed)
	if err != nil {
		t.Fatal(err)
	}
	if len(list) == 0 {
		return c, false
	}
	return list[0], true
}

// What the real controllers say of what they were given is read as it is meant:
// before they have looked, when all is well, when not, and of an old state.
func TestConditionsOfExternalSecrets(t *testing.T) {
	c := &cluster{Cluster: servers.Kube(t), t: t}
	servers.InstallCRDs(t, c.Cluster, servers.ExternalSecretsCRDs)
	namespace := c.FreshNamespace("shop")
	d := c.admin("")
	api := "/apis/external-secrets.io/v1/namespaces/" + namespace
	c.Must(http.MethodPost, api+"/secretstores", map[string]any{
		"apiVersion": delivery.APIVersion, "kind": "SecretStore", "metadata": map[string]any{"name": "store"},
		"spec": map[string]any{"provider": map[string]any{"fake": map[string]any{"data": []any{map[string]any{"key": "/there", "value": "canary"}}}}},
	})
	external := func(name, store, key string) {
		c.Must(http.MethodPost, api+"/externalsecrets", map[string]any{
			"apiVersion": delivery.APIVersion, "kind": "ExternalSecret", "metadata": map[string]any{"name": name},
			"spec": map[string]any{
				"refreshInterval": "1h", "secretStoreRef": map[string]any{"name": store, "kind": "SecretStore"}, "target": map[string]any{"name": name},
				"data": []any{map[string]any{"secretKey": "k", "remoteRef": map[string]any{"key": key}}},
			},
		})
	}
	external("good", "store", "/there")
	external("missing", "store", "/not-there")
	external("wrong", "other-store", "/there")
	for _, name := range []string{"good", "missing", "wrong"} {
		got, found := conditionOf(t, d, delivery.KindExternalSecret, namespace+"/"+name)
		if !found || got.OK || got.Reason != "NotSeen" || got.Stale {
			t.Errorf("%s before a controller runs: %+v", name, got)
		}
	}
	if _, found := conditionOf(t, d, delivery.KindExternalSecret, namespace+"/none"); found {
		t.Error("a condition of what is not there")
	}
	servers.ExternalSecrets(t, c.Cluster)
	for name, want := range map[string]struct{ status, reason, text string }{
		"good":    {"True", "SecretSynced", "synced"},
		"missing": {"False", "SecretSyncedError", "could not get secret data from provider"},
		"wrong":   {"False", "SecretSyncedError", "there is no SecretStore " + namespace + "/other-store"},
	} {
		c.AwaitCondition(api+"/externalsecrets/"+name, "Ready", want.status)
		got, _ := conditionOf(t, d, delivery.KindExternalSecret, namespace+"/"+name)
		if got.OK != (want.status == "True") || got.Reason != want.reason || !strings.Contains(got.Text, want.text) || got.At.IsZero() || strings.Contains(got.Text, "canary") {
			t.Errorf("%s: %+v", name, got)
		}
		servers.Await(t, "it is not stale", func() bool {
			got, _ := conditionOf(t, d, delivery.KindExternalSecret, namespace+"/"+name)
			return !got.Stale
		})
	}
	c.AwaitCondition(api+"/secretstores/store", "Ready", "True")
	if got, _ := conditionOf(t, d, delivery.KindSecretStore, namespace+"/store"); !got.OK || got.Reason != "Valid" {
		t.Errorf("%+v", got)
	}
	// A status that is older than the object: its controller is away, or slow. The
	// generation is put back in the status, as one that lags has it.
	at := api + "/externalsecrets/good"
	o := c.Must(http.MethodGet, at, nil)
	synced := o["status"].(map[string]any)["syncedResourceVersion"].(string)
	_, hash, _ := strings.Cut(synced, "-")
	var l live
	l.fields = maps.Clone(o)
	status := maps.Clone(o["status"].(map[string]any))
	status["syncedResourceVersion"] = "0-" + hash
	l.fields["status"] = status
	if got := l.condition(delivery.KindExternalSecret, namespace+"/good", "Ready"); !got.Stale || !got.OK {
		t.Errorf("behind: %+v", got)
	}
}

func TestConditionsOfSealedSecrets(t *testing.T) {
	c := &cluster{Cluster: servers.Kube(t), t: t}
	namespace, other := c.FreshNamespace("shop"), c.FreshNamespace("other")
	d := c.admin("")
	path := func(name string) string { return sealedPrefix + namespace + "/" + name }
	_, err := d.Conditions(t.Context(), nil, []string{path("good")})
	wantError(t, err, providers.Invalid, "the cluster does not serve sealedsecrets.bitnami.com/v1alpha1", "install what brings it")

	s := servers.SealedSecrets(t, c.Cluster)
	api := "/apis/bitnami.com/v1alpha1/namespaces/" + namespace + "/sealedsecrets"
	seal := func(in, name string) map[string]any {
		text, err := json.Marshal(map[string]any{
			"apiVersion": "v1", "kind": "Secret", "metadata": map[string]any{"name": name, "namespace": in}, "stringData": map[string]any{"k": "canary"},
		})
		if err != nil {
			t.Fatal(err)
		}
		var o map[string]any
		if err := json.Unmarshal(s.Seal(t, text), &o); err != nil {
			t.Fatal(err)
		}
		o["metadata"].(map[string]any)["namespace"] = namespace
		return o
	}
	c.Must(http.MethodPost, api, seal(namespace, "good"))
	c.Must(http.MethodPost, api, seal(other, "moved")) // of the strict scope: it opens at its own place alone
	c.AwaitCondition(api+"/good", "Synced", "True")
	c.AwaitCondition(api+"/moved", "Synced", "False")
	list, err := d.Conditions(t.Context(), nil, []string{path("good"), path("moved"), path("none")})
	if err != nil || len(list) != 2 {
		t.Fatalf("%+v %v", list, err)
	}
	slices.SortFunc(list, func(a, b providers.Condition) int { return strings.Compare(a.Path, b.Path) })
	if good := list[0]; !good.OK || good.Stale || good.Path != path("good") || good.Kind != kindSecret || good.At.IsZero() {
		t.Errorf("%+v", good)
	}
	if moved := list[1]; moved.OK || !strings.Contains(moved.Text, "no key could decrypt secret") || strings.Contains(moved.Text, "canary") {
		t.Errorf("%+v", moved)
	}
	// The controller has seen an older generation than the object has.
	o := c.Must(http.MethodGet, api+"/good", nil)
	o["metadata"].(map[string]any)["generation"] = o["metadata"].(map[string]any)["generation"].(float64) + 1
	if behind := (&live{fields: o}).condition(kindSecret, path("good"), "Synced"); !behind.Stale {
		t.Errorf("%+v", behind)
	}
}
