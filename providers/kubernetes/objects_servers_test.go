//go:build servers

package kubernetes

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cofferhq/coffer/providers"
	"github.com/cofferhq/coffer/providers/kubernetes/delivery"
	"github.com/cofferhq/coffer/state/statetest/servers"
)

// sample is a delivery in a namespace with everything that one can have.
func sample(t *testing.T, d *Driver, namespace string) []providers.ObjectSpec {
	t.Helper()
	store := func(a providers.StoreAccess) (map[string]any, error) {
		return map[string]any{"vault": map[string]any{
			"server": "https://vault.example", "path": "secret", "version": "v2",
			"auth": map[string]any{"kubernetes": map[string]any{"mountPath": "kubernetes", "role": "web", "serviceAccountRef": map[string]any{"name": a.ServiceAccount}}},
		}}, nil
	}
	specs, err := d.CompileDelivery(providers.Delivery{
		Place:   providers.Place{App: "web", Environment: "prod", Name: "env"},
		Written: namespace + "/web-env",
		Items: []providers.DeliveryItem{
			{Name: "KEY", Parts: []providers.DeliveryPart{{Remote: &providers.Remote{Key: "web/key", Property: "value"}}}},
			{Name: "URL", Parts: []providers.DeliveryPart{{Text: "https://u:"}, {Remote: &providers.Remote{Key: "web/db", Property: "pass"}}, {Text: "@db"}}},
		},
		Form: providers.Form{Type: "Opaque", Annotations: map[string]string{"example.com/a": "b"}}, Labels: map[string]string{"team": "web"},
		Refresh: 3600e9, DeletionPolicy: "Retain", CreationPolicy: "Owner",
		Store: providers.DeliveryStore{Provider: store, Access: providers.StoreAccess{Method: "kubernetes"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	access, err := d.CompileAccess(nil, []providers.Grant{
		{Policy: `app.web.policy.run["prod"]`, Reader: providers.Reader{Func: readerAccount, Args: []string{"apps", "web"}}, Paths: []string{namespace + "/web-env", namespace + "/other"}},
		{Policy: `app.web.policy.run["prod"]`, Reader: providers.Reader{Func: readerGroup, Args: []string{"ops"}}, Paths: []string{namespace + "/web-env"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return append(specs, access...)
}

// inspectOne returns one object as the driver sees it, nil where it is not there.
func inspectOne(t *testing.T, d *Driver, ref providers.ObjectRef) *providers.Object {
	t.Helper()
	found, err := d.InspectObjects(context.Background(), []providers.ObjectRef{ref})
	if err != nil {
		t.Fatal(err)
	}
	if o, ok := found[ref]; ok {
		return &o
	}
	return nil
}

func objectAt(k, namespace, name string) string {
	for _, kind := range objectKinds() {
		if kind.kind == k {
			root := strings.Join(kind.resource.root, "/")
			if strings.HasSuffix(root, "/") {
				root += "v1"
			}
			return "/" + root + "/namespaces/" + namespace + "/" + kind.resource.plural + "/" + name
		}
	}
	return ""
}

// Every kind is written, read back as it was written, changed by somebody, seen,
// written over, let go of and deleted, with the real schemas.
func TestObjects(t *testing.T) {
	c := newCluster(t)
	servers.InstallCRDs(t, c.Cluster, servers.ExternalSecretsCRDs)
	namespace := c.fresh()
	d := c.admin(namespace)
	ctx := context.Background()
	attributes := providers.Attributes{Mark: providers.Mark{Project: "shop", Address: "a1", Protected: true}}
	for _, spec := range sample(t, d, namespace) {
		t.Run(spec.Ref.Kind, func(t *testing.T) {
			if o := inspectOne(t, d, spec.Ref); o != nil {
				t.Fatalf("it is there before: %+v", o)
			}
			made, err := d.WriteObject(ctx, providers.ObjectRequest{Ref: spec.Ref, Document: spec.Document, OpID: "op-1", Attributes: attributes})
			if err != nil {
				t.Fatal(err)
			}
			live := inspectOne(t, d, spec.Ref)
			if diff := cmp.Diff(spec.Document, live.Document); diff != "" || made.Version != live.Version || live.Attributes.Mark != attributes.Mark {
				t.Fatalf("%+v (-written +read):\n%s", live.Attributes, diff)
			}
			if _, err := d.WriteObject(ctx, providers.ObjectRequest{Ref: spec.Ref, Document: spec.Document, OpID: "op-2", Attributes: attributes}); providers.CodeOf(err) != providers.Conflict {
				t.Errorf("made twice: %v", err)
			}
			namespace, name := split(spec.Ref.Path)
			at := objectAt(spec.Ref.Kind, namespace, name)
			c.Must(http.MethodPatch, at, map[string]any{"metadata": map[string]any{"labels": map[string]any{"other": "x"}}})
			if touched := inspectOne(t, d, spec.Ref); touched.Version != live.Version {
				t.Error("a label that is touched is another version")
			}
			if edit := edits[spec.Ref.Kind]; edit != nil {
				c.Must(http.MethodPatch, at, edit)
				edited := inspectOne(t, d, spec.Ref)
				if edited.Version == live.Version || edited.Document == live.Document {
					t.Fatalf("an edit is not seen:\n%s", edited.Document)
				}
				if _, err := d.WriteObject(ctx, providers.ObjectRequest{Ref: spec.Ref, Document: spec.Document, OpID: "op-3", IfVersion: live.Version, Attributes: attributes}); providers.CodeOf(err) != providers.Conflict {
					t.Errorf("written over what was not looked at: %v", err)
				}
				back, err := d.WriteObject(ctx, providers.ObjectRequest{Ref: spec.Ref, Document: spec.Document, OpID: "op-4", IfVersion: edited.Version, Attributes: attributes})
				if err != nil || back.Document != spec.Document {
					t.Fatalf("written over: %v\n%s", err, cmp.Diff(spec.Document, back.Document))
				}
				live = &back
			}
			let, err := d.WriteObject(ctx, providers.ObjectRequest{Ref: spec.Ref, Document: spec.Document, OpID: "op-5", IfVersion: live.Version})
			if err != nil || let.Attributes.Mark != (providers.Mark{}) || let.Document != spec.Document {
				t.Errorf("let go: %+v %v", let.Attributes, err)
			}
			if _, err := d.WriteObject(ctx, providers.ObjectRequest{Ref: spec.Ref, IfVersion: "other", Attributes: attributes}); providers.CodeOf(err) != providers.Conflict {
				t.Errorf("deleted another version: %v", err)
			}
			if _, err := d.WriteObject(ctx, providers.ObjectRequest{Ref: spec.Ref, IfVersion: let.Version, Attributes: attributes}); err != nil {
				t.Fatal(err)
			}
			if o := inspectOne(t, d, spec.Ref); o != nil {
				t.Errorf("it is there after: %+v", o)
			}
		})
	}
}

// edits are what somebody changes by hand.
var edits = map[string]map[string]any{
	delivery.KindExternalSecret: {"spec": map[string]any{"refreshInterval": "5m", "target": map[string]any{"deletionPolicy": "Delete"}}},
	delivery.KindSecretStore:    {"spec": map[string]any{"provider": map[string]any{"vault": map[string]any{"server": "https://other.example"}}}},
	delivery.KindRole:           {"rules": []any{map[string]any{"apiGroups": []any{""}, "resources": []any{"secrets"}, "verbs": []any{"get", "list"}}}},
	delivery.KindRoleBinding: {"subjects": []any{
		map[string]any{"kind": "Group", "apiGroup": rbacGroup, "name": "ops"}, map[string]any{"kind": "User", "apiGroup": rbacGroup, "name": "mallory"},
	}},
}

// Where the operator is not installed a plan can say so, and an apply does.
func TestNoOperator(t *testing.T) {
	c := &cluster{Cluster: servers.Kube(t), t: t}
	namespace := c.fresh()
	d := c.admin(namespace)
	spec := sample(t, d, namespace)[0]
	o := inspectOne(t, d, spec.Ref)
	if o == nil || o.Lacks == nil || !strings.Contains(o.Lacks.Text, "operator is not installed") {
		t.Fatalf("%+v", o)
	}
	_, err := d.WriteObject(context.Background(), providers.ObjectRequest{Ref: spec.Ref, Document: spec.Document})
	if err == nil || !strings.Contains(err.Error(), "operator is not installed") {
		t.Fatal(err)
	}
}

// Whoever can read a managed Secret by any binding is found, and nobody else.
func TestUndeclaredReaders(t *testing.T) {
	c := newCluster(t)
	namespace, elsewhere := c.fresh(), c.fresh()
	d := c.admin(namespace)
	secrets := func(name string, verbs []any, names ...any) map[string]any {
		return map[string]any{"metadata": map[string]any{"name": name}, "rules": []any{
			map[string]any{"apiGroups": []any{""}, "resources": []any{"secrets"}, "verbs": verbs, "resourceNames": names},
		}}
	}
	roles := "/apis/rbac.authorization.k8s.io/v1/namespaces/" + namespace + "/roles"
	cluster := "/apis/rbac.authorization.k8s.io/v1/clusterroles"
	c.Must(http.MethodPost, roles, secrets("one", []any{"get"}, "db"))
	c.Must(http.MethodPost, roles, secrets("another", []any{"get"}, "unmanaged"))
	c.Must(http.MethodPost, roles, secrets("writes", []any{"create", "update"}))
	c.Must(http.MethodPost, cluster, secrets("all-"+namespace, []any{"list", "watch"}))
	c.Must(http.MethodPost, cluster, map[string]any{"metadata": map[string]any{"name": "stars-" + namespace}, "rules": []any{
		map[string]any{"apiGroups": []any{"*"}, "resources": []any{"*"}, "verbs": []any{"*"}},
	}})
	bind := func(in, name, kind, role, who string) {
		at := "/apis/rbac.authorization.k8s.io/v1/namespaces/" + in + "/rolebindings"
		if in == "" {
			at = "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings"
		}
		c.Must(http.MethodPost, at, map[string]any{
			"metadata": map[string]any{"name": name}, "roleRef": map[string]any{"apiGroup": rbacGroup, "kind": kind, "name": role},
			"subjects": []any{map[string]any{"kind": "User", "apiGroup": rbacGroup, "name": who}},
		})
	}
	bind(namespace, "one", "Role", "one", "anna")
	bind(namespace, "declared", "Role", "one", "api")
	bind(namespace, "another", "Role", "another", "boris")
	bind(namespace, "writes", "Role", "writes", "carla")
	bind(namespace, "all", "ClusterRole", "all-"+namespace, "dora")
	bind(elsewhere, "all", "ClusterRole", "all-"+namespace, "emil")
	bind("", "stars-"+namespace, "ClusterRole", "stars-"+namespace, "frida")
	bind(namespace, "gone", "Role", "gone", "gustav")
	// The label of what the API server keeps itself can be set by anybody.
	c.Must(http.MethodPost, "/apis/rbac.authorization.k8s.io/v1/namespaces/"+namespace+"/rolebindings", map[string]any{
		"metadata": map[string]any{"name": "posing", "labels": map[string]any{"kubernetes.io/bootstrapping": "rbac-defaults"}},
		"roleRef":  map[string]any{"apiGroup": rbacGroup, "kind": "Role", "name": "one"},
		"subjects": []any{map[string]any{"kind": "Group", "apiGroup": rbacGroup, "name": "system:authenticated"}},
	})
	declared := []providers.ObjectRef{{Kind: delivery.KindRoleBinding, Path: namespace + "/declared"}}
	managed := []providers.Managed{{Path: namespace + "/db"}, {Path: namespace + "/key"}}
	found, err := d.UndeclaredAccess(context.Background(), managed, declared)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, u := range found.Undeclared {
		if strings.Contains(u.Ref.Path, namespace) { // other tests bind too
			got = append(got, fmt.Sprintf("%s %s reads %d: %s", u.Ref.Kind, strings.ReplaceAll(u.Ref.Path, namespace, "NS"), len(u.Reads), strings.ReplaceAll(u.Text, namespace, "NS")))
		}
	}
	want := []string{
		"clusterrolebinding stars-NS reads 2: User frida, by the ClusterRole stars-NS (*)",
		"rolebinding NS/all reads 2: User dora, by the ClusterRole all-NS (list, watch)",
		"rolebinding NS/one reads 1: User anna, by the Role NS/one (get)",
		"rolebinding NS/posing reads 1: Group system:authenticated, by the Role NS/one (get)",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	for _, u := range found.Undeclared {
		if u.Ref.Path == "cluster-admin" {
			t.Errorf("what every cluster has is told: %s", u.Text)
		}
	}
	known := c.config(t, c.Address, c.AdminToken, c.CA)
	known.KnownBindings = []string{namespace + "/all", "stars-" + namespace}
	less, err := open(t, known).UndeclaredAccess(context.Background(), managed, declared)
	if err != nil || slices.ContainsFunc(less.Undeclared, func(u providers.Undeclared) bool {
		return strings.Contains(u.Text, "dora") || strings.Contains(u.Text, "frida")
	}) {
		t.Errorf("known bindings are told: %v %v", less.Undeclared, err)
	}
}

// The compiled Role lets its readers get exactly what it names.
func TestReadersCanRead(t *testing.T) {
	c := newCluster(t)
	namespace := c.fresh()
	d := c.admin(namespace)
	c.Must(http.MethodPost, "/api/v1/namespaces/"+namespace+"/serviceaccounts", map[string]any{"metadata": map[string]any{"name": "api"}})
	for _, name := range []string{"db", "other"} {
		c.edit(namespace+"/"+name, map[string]any{"value": "x"})
	}
	specs, err := d.CompileAccess(nil, []providers.Grant{
		{Policy: `app.web.policy.run["prod"]`, Reader: providers.Reader{Func: readerAccount, Args: []string{namespace, "api"}}, Paths: []string{namespace + "/db"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range specs {
		if _, err := d.WriteObject(context.Background(), providers.ObjectRequest{Ref: s.Ref, Document: s.Document, Attributes: marked}); err != nil {
			t.Fatal(err)
		}
	}
	token := c.ServiceAccountToken(namespace, "api")
	for path, want := range map[string]int{
		at(namespace + "/db"): http.StatusOK, at(namespace + "/other"): http.StatusForbidden, strings.TrimSuffix(at(namespace+"/db"), "/db"): http.StatusForbidden,
	} {
		if status, _ := c.Do(http.MethodGet, path, token, nil); status != want {
			t.Errorf("%s: %d, want %d", path, status, want)
		}
	}
}
