// Package delivery makes the manifests by which the External Secrets operator
// fetches secrets into a cluster: the ExternalSecret, the SecretStore it reads,
// the service account it signs in as, and the right to a token of that.
//
// It is pure. Read [Compile] first. What stands below spec.provider of a store is
// made by the driver of that store; how manifests come to a cluster or a file is
// their drivers' business. The operator's reference is
// https://external-secrets.io/latest/api/externalsecret/.
package delivery

import (
	"fmt"
	"strings"

	"github.com/cofferhq/coffer/providers"
	"github.com/cofferhq/coffer/providers/kubernetes/manifest"
)

// Kinds of the objects, as in [providers.ObjectRef].
const (
	KindExternalSecret     = "externalsecret"
	KindSecretStore        = "secretstore"
	KindClusterSecretStore = "clustersecretstore"
	KindServiceAccount     = "serviceaccount"
	KindRole               = "role"
	KindRoleBinding        = "rolebinding"
)

// APIVersion is that of the operator's own kinds in every text. A cluster that
// serves an older one is written to in that: the fields used here are the same.
const APIVersion = "external-secrets.io/v1"

// At is where a delivery goes.
type At struct {
	File            string // "" is the cluster
	Namespace, Name string // of the ExternalSecret, and of the Secret that it makes
}

// Path is that of an object of the delivery: NAMESPACE/NAME, or in a file
// FILE#KINDS/NAMESPACE/NAME. Of what lies in no namespace that part is missing.
func (a At) Path(kind, name string) string {
	path := a.Namespace + "/" + name
	if kind == KindClusterSecretStore {
		path = name
	}
	if a.File != "" {
		path = a.File + "#" + kind + "s/" + path
	}
	return path
}

// Settings are the external_secrets block of a kubernetes provider.
type Settings struct {
	// ControllerNamespace and ControllerServiceAccount are whom the operator runs
	// as: it gets the right to tokens of the service account it signs in as.
	ControllerNamespace, ControllerServiceAccount string
	APIVersion                                    string // "" is [APIVersion]
}

// Access fills in whom the store of d signs in as: a service account of its own.
func Access(d providers.Delivery, at At) providers.StoreAccess {
	access := d.Store.Access
	access.Namespace = at.Namespace
	access.Cluster = d.Store.Kind == "ClusterSecretStore"
	if access.ServiceAccount == "" {
		access.ServiceAccount = storeName(d, at)
	}
	return access
}

func storeName(d providers.Delivery, at At) string {
	if d.Store.Name != "" {
		return d.Store.Name
	}
	return at.Name
}

// Compile returns the objects of a delivery, the ExternalSecret first. An error is
// a [*providers.ArgumentError].
func Compile(d providers.Delivery, at At, s Settings) ([]providers.ObjectSpec, error) {
	c := compiler{d: d, at: at, s: s, access: Access(d, at)}
	if c.s.APIVersion == "" {
		c.s.APIVersion = APIVersion
	}
	external, err := c.external()
	if err != nil {
		return nil, err
	}
	specs := []providers.ObjectSpec{external}
	if d.Store.Existing {
		return specs, nil
	}
	store, err := c.store()
	if err != nil {
		return nil, err
	}
	specs = append(specs, store)
	if c.signsIn() {
		specs = append(specs, c.account()...)
	}
	return specs, nil
}

type compiler struct {
	d      providers.Delivery
	at     At
	s      Settings
	access providers.StoreAccess
}

func (c *compiler) storeKind() string {
	if c.access.Cluster {
		return KindClusterSecretStore
	}
	return KindSecretStore
}

// signsIn reports whether the store signs in as a service account.
func (c *compiler) signsIn() bool { return c.access.Method == "kubernetes" || c.access.Method == "jwt" }

func (c *compiler) ref(kind, name string) providers.ObjectRef {
	return providers.ObjectRef{Kind: kind, Path: c.at.Path(kind, name)}
}

func (c *compiler) object(apiVersion, kind, name string) manifest.Object {
	meta := map[string]any{"name": name}
	if kind != "ClusterSecretStore" {
		meta["namespace"] = c.at.Namespace
	}
	return manifest.Object{"apiVersion": apiVersion, "kind": kind, "metadata": meta}
}

// external makes the ExternalSecret.
func (c *compiler) external() (providers.ObjectSpec, error) {
	values := gather(c.d.Items)
	o := c.object(c.s.APIVersion, "ExternalSecret", c.at.Name)
	template, err := c.template(values)
	if err != nil {
		return providers.ObjectSpec{}, &providers.ArgumentError{Argument: "data", Err: err}
	}
	target := map[string]any{"name": c.at.Name, "template": template, "creationPolicy": c.d.CreationPolicy, "deletionPolicy": c.d.DeletionPolicy}
	if c.d.Form.Immutable {
		target["immutable"] = true
	}
	spec := map[string]any{"secretStoreRef": map[string]any{"name": storeName(c.d, c.at), "kind": kindNames(c.storeKind())}, "target": target}
	if c.d.Refresh > 0 {
		spec["refreshInterval"] = c.d.Refresh.String()
	}
	var data []any
	for _, r := range values.order {
		ref := map[string]any{"key": r.Key, "property": r.Property}
		data = append(data, map[string]any{"secretKey": values.names[r], "remoteRef": ref})
	}
	spec["data"] = data
	o["spec"] = spec
	out := providers.ObjectSpec{Ref: c.ref(KindExternalSecret, c.at.Name), Document: manifest.Encode(o)}
	if !c.d.Store.Existing {
		out.Needs = []providers.ObjectRef{c.ref(c.storeKind(), storeName(c.d, c.at))}
	}
	return out, nil
}

// template is what the Secret is made by. Without one it has each fetched value
// under its own name, which is enough where nothing else is asked for.
func (c *compiler) template(values *fetched) (map[string]any, error) {
	out := map[string]any{}
	if c.d.Form.Type != "" {
		out["type"] = c.d.Form.Type
	}
	if len(c.d.Labels)+len(c.d.Form.Annotations) > 0 {
		out["metadata"] = map[string]any{"labels": literals(c.d.Labels), "annotations": literals(c.d.Form.Annotations)}
	}
	plain := true
	for _, item := range c.d.Items {
		r, ok := whole(item)
		plain = plain && ok && values.names[r] == item.Name
	}
	if !plain {
		data := map[string]any{}
		for _, item := range c.d.Items {
			text, err := values.template(item.Parts)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", item.Name, err)
			}
			data[item.Name] = text
		}
		out["data"] = data
	}
	if len(out) > 0 {
		out["engineVersion"] = "v2"
	}
	return out, nil
}

// store makes the SecretStore.
func (c *compiler) store() (providers.ObjectSpec, error) {
	provider, err := c.d.Store.Provider(c.access)
	if err != nil {
		return providers.ObjectSpec{}, err
	}
	name, kind := storeName(c.d, c.at), c.storeKind()
	o := c.object(c.s.APIVersion, kindNames(kind), name)
	spec := map[string]any{"provider": provider}
	if c.access.Cluster { // else every namespace could read by it
		spec["conditions"] = []any{map[string]any{"namespaces": []any{c.at.Namespace}}}
	}
	o["spec"] = spec
	out := providers.ObjectSpec{Ref: c.ref(kind, name), Document: manifest.Encode(o)}
	if c.signsIn() {
		out.Needs = []providers.ObjectRef{c.ref(KindServiceAccount, c.access.ServiceAccount), c.ref(KindRoleBinding, c.tokenRole())}
	}
	return out, nil
}

func (c *compiler) tokenRole() string { return c.access.ServiceAccount + "-token" }

// account makes the service account and the operator's right to its tokens,
// which is all that it needs there.
func (c *compiler) account() []providers.ObjectSpec {
	const rbac = "rbac.authorization.k8s.io"
	account := c.object("v1", "ServiceAccount", c.access.ServiceAccount)
	role := c.object(rbac+"/v1", "Role", c.tokenRole())
	role["rules"] = []any{map[string]any{
		"apiGroups": []any{""}, "resources": []any{"serviceaccounts/token"}, "resourceNames": []any{c.access.ServiceAccount}, "verbs": []any{"create"},
	}}
	binding := c.object(rbac+"/v1", "RoleBinding", c.tokenRole())
	binding["roleRef"] = map[string]any{"apiGroup": rbac, "kind": "Role", "name": c.tokenRole()}
	binding["subjects"] = []any{map[string]any{"kind": "ServiceAccount", "name": c.s.ControllerServiceAccount, "namespace": c.s.ControllerNamespace}}
	accountRef, roleRef := c.ref(KindServiceAccount, c.access.ServiceAccount), c.ref(KindRole, c.tokenRole())
	return []providers.ObjectSpec{
		{Ref: accountRef, Document: manifest.Encode(account), Kept: true},
		{Ref: roleRef, Document: manifest.Encode(role)},
		{
			Ref: c.ref(KindRoleBinding, c.tokenRole()), Document: manifest.Encode(binding), Needs: []providers.ObjectRef{roleRef, accountRef},
			Reads: fmt.Sprintf("tokens of %s/%s for the operator", c.at.Namespace, c.access.ServiceAccount),
		},
	}
}

// kindNames is how the API calls a kind.
func kindNames(kind string) string {
	return map[string]string{KindSecretStore: "SecretStore", KindClusterSecretStore: "ClusterSecretStore"}[kind]
}

// Split takes a path apart that [At.Path] made.
func Split(kind, path string) (At, string) {
	var at At
	if file, rest, inFile := strings.Cut(path, "#"); inFile {
		at.File, path = file, strings.TrimPrefix(rest, kind+"s/")
	}
	if kind == KindClusterSecretStore {
		return at, path
	}
	name := path
	at.Namespace, name, _ = strings.Cut(path, "/")
	return at, name
}
