//go:build servers

package kubernetes

import (
	"maps"
	"net/http"
	"strconv"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cofferhq/coffer/providers"
	"github.com/cofferhq/coffer/state/statetest/servers"
)

// pod is the template of pods that use Secrets in one way.
func pod(volumes, containers, initContainers []any) map[string]any {
	base := func(list []any) (named []any) {
		for _, one := range list {
			o := maps.Clone(one.(map[string]any))
			o["name"], o["image"] = "c"+strconv.Itoa(len(named)), "example.com/app"
			named = append(named, o)
		}
		return named
	}
	if len(containers) == 0 {
		containers = []any{map[string]any{}}
	}
	initial := base(initContainers)
	for _, one := range initial {
		one.(map[string]any)["name"] = "init-" + one.(map[string]any)["name"].(string)
	}
	return map[string]any{
		"metadata": map[string]any{"labels": map[string]any{"app": "x"}},
		"spec":     map[string]any{"volumes": volumes, "containers": base(containers), "initContainers": initial, "restartPolicy": "Always"},
	}
}

// Every way in which a pod uses a Secret is found, in every kind of workload.
func TestConsumers(t *testing.T) {
	c := newCluster(t)
	namespace, other := c.fresh(), c.fresh()
	d := c.admin("")
	secretVolume := func(name string) []any {
		return []any{map[string]any{"name": "v", "secret": map[string]any{"secretName": name}}}
	}
	env := map[string]any{"env": []any{
		map[string]any{"name": "PLAIN", "value": "x"},
		map[string]any{"name": "KEY", "valueFrom": map[string]any{"secretKeyRef": map[string]any{"name": "db", "key": "password"}}},
	}}
	envFrom := map[string]any{"envFrom": []any{
		map[string]any{"configMapRef": map[string]any{"name": "db"}}, map[string]any{"secretRef": map[string]any{"name": "key"}},
	}}
	projected := []any{map[string]any{"name": "v", "projected": map[string]any{"sources": []any{
		map[string]any{"configMap": map[string]any{"name": "key"}}, map[string]any{"secret": map[string]any{"name": "db"}},
	}}}}
	pulls := pod(nil, nil, nil)
	pulls["spec"].(map[string]any)["imagePullSecrets"] = []any{map[string]any{"name": "db"}}
	job := pod(secretVolume("key"), nil, nil)
	job["spec"].(map[string]any)["restartPolicy"] = "Never"

	c.workload(namespace, "deployment", "volume", map[string]any{"template": pod(secretVolume("db"), nil, nil), "selector": selectX})
	c.workload(namespace, "deployment", "env", map[string]any{"template": pod(nil, []any{map[string]any{}, env}, nil), "selector": selectX})
	c.workload(namespace, "deployment", "pulls", map[string]any{"template": pulls, "selector": selectX})
	c.workload(namespace, "deployment", "none", nil)
	c.workload(namespace, "statefulset", "from", map[string]any{"template": pod(nil, []any{envFrom}, nil), "selector": selectX})
	c.workload(namespace, "daemonset", "init", map[string]any{"template": pod(projected, nil, []any{envFrom}), "selector": selectX})
	c.workload(other, "deployment", "same-name", map[string]any{"template": pod(secretVolume("db"), nil, nil), "selector": selectX})
	c.Must(http.MethodPost, "/apis/batch/v1/namespaces/"+namespace+"/cronjobs", map[string]any{
		"metadata": map[string]any{"name": "nightly"},
		"spec":     map[string]any{"schedule": "0 0 * * *", "jobTemplate": map[string]any{"spec": map[string]any{"template": job}}},
	})
	found, err := d.Consumers(t.Context(), []string{namespace + "/db", namespace + "/key", namespace + "/unused"})
	if err != nil {
		t.Fatal(err)
	}
	in := func(kind, name string) providers.Workload {
		return providers.Workload{Kind: kind, Namespace: namespace, Name: name}
	}
	want := map[string][]providers.Workload{
		namespace + "/db":  {in("daemonset", "init"), in("deployment", "env"), in("deployment", "volume")},
		namespace + "/key": {in("cronjob", "nightly"), in("daemonset", "init"), in("statefulset", "from")},
	}
	if diff := cmp.Diff(want, found); diff != "" {
		t.Error(diff)
	}

	// One request a kind and namespace, and who may not look is told the rule.
	p := newProxy(t, c)
	d = open(t, c.config(t, p.URL, c.AdminToken, p.CA))
	if _, err := d.Consumers(t.Context(), []string{namespace + "/db", namespace + "/key", other + "/db"}); err != nil || len(p.take()) != 8 {
		t.Errorf("requests, %v", err)
	}
	token := c.ServiceAccountToken(namespace, "looks")
	c.Must(http.MethodPost, "/apis/rbac.authorization.k8s.io/v1/namespaces/"+namespace+"/roles", map[string]any{
		"metadata": map[string]any{"name": "looks"}, "rules": []any{map[string]any{
			"apiGroups": []any{"apps"}, "resources": []any{"deployments", "statefulsets", "daemonsets"}, "verbs": []any{"list"},
		}},
	})
	c.Must(http.MethodPost, "/apis/rbac.authorization.k8s.io/v1/namespaces/"+namespace+"/rolebindings", map[string]any{
		"metadata": map[string]any{"name": "looks"}, "roleRef": map[string]any{"apiGroup": rbacGroup, "kind": "Role", "name": "looks"},
		"subjects": []any{map[string]any{"kind": "ServiceAccount", "namespace": namespace, "name": "looks"}},
	})
	d = open(t, c.config(t, c.Address, token, c.CA))
	servers.Await(t, "the rights count", func() bool {
		_, err = d.using(t.Context(), workloads()["daemonset"], namespace)
		return err == nil
	})
	_, err = d.Consumers(t.Context(), []string{namespace + "/db"})
	wantError(t, err, providers.Denied, `may not list cronjobs in the namespace "`+namespace+`"`,
		`{apiGroups: ["batch"], resources: [cronjobs], verbs: [list]} to their Role in the namespace `+namespace)
}

// selectX selects the pods of [pod].
var selectX = map[string]any{"matchLabels": map[string]any{"app": "x"}}
