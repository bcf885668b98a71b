package kubernetes

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/cofferhq/coffer/providers"
	"github.com/cofferhq/coffer/providers/kubernetes/delivery"
	"github.com/cofferhq/coffer/providers/kubernetes/manifest"
)

// This file keeps objects beside Secrets: what the External Secrets operator is
// told, and who may read what. They are written by server-side apply and read
// back as what somebody set, see projection.go.

var _ providers.ObjectDriver = (*Driver)(nil)

// operatorGroup is the API group of the External Secrets operator.
const operatorGroup = "external-secrets.io"

const rbacGroup = "rbac.authorization.k8s.io"

// objectKind is a kind of object that a document describes.
type objectKind struct {
	kind     string // of [providers.ObjectRef]
	resource resource
	cluster  bool // it lies in no namespace
}

// objectKinds are all there are, but for rollouts.
func objectKinds() []objectKind {
	operator := []string{"apis", operatorGroup, ""} // the version is the cluster's
	rbac := []string{"apis", rbacGroup, "v1"}
	return []objectKind{
		{delivery.KindExternalSecret, resource{"externalsecrets", "ExternalSecret", operatorGroup, operator}, false},
		{delivery.KindSecretStore, resource{"secretstores", "SecretStore", operatorGroup, operator}, false},
		{delivery.KindClusterSecretStore, resource{"clustersecretstores", "ClusterSecretStore", operatorGroup, operator}, true},
		{delivery.KindServiceAccount, resource{"serviceaccounts", "ServiceAccount", "", []string{"api", "v1"}}, false},
		{delivery.KindRole, resource{"roles", "Role", rbacGroup, rbac}, false},
		{delivery.KindRoleBinding, resource{"rolebindings", "RoleBinding", rbacGroup, rbac}, false},
	}
}

// kindOf returns the kind of an object, with the version that the cluster serves.
// lacks says why there can be none of it.
func (d *Driver) kindOf(ctx context.Context, kind string) (k objectKind, lacks string, err error) {
	all := objectKinds()
	i := slices.IndexFunc(all, func(k objectKind) bool { return k.kind == kind })
	if i < 0 {
		return k, "", providers.Errorf(providers.Unsupported, "a kubernetes provider has no objects of kind %q", kind)
	}
	k = all[i]
	if k.resource.group != operatorGroup {
		return k, "", nil
	}
	version, err := d.operator.version(ctx, d.client)
	if err != nil || version == "" {
		return k, "the cluster does not serve " + operatorGroup + ": the External Secrets operator is not installed there", err
	}
	k.resource.root = []string{"apis", operatorGroup, version}
	return k, "", nil
}

// operator remembers which version of its kinds the operator has.
type operator struct {
	mu     sync.Mutex
	served string
}

// version asks the cluster, until it has said one; "" is none.
func (o *operator) version(ctx context.Context, c *client) (string, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.served != "" {
		return o.served, nil
	}
	var list struct {
		Kind   string     `json:"kind"`
		Groups []apiGroup `json:"groups"`
	}
	r := request{verb: get, resource: resource{"apis", "APIGroupList", "", nil}, shape: whole}
	if _, err := c.do(ctx, r, &list); err != nil {
		return "", err
	}
	if list.Kind != "APIGroupList" {
		return "", c.strange(r, http.StatusOK)
	}
	for _, g := range list.Groups {
		if g.Name == operatorGroup {
			o.served = g.best()
		}
	}
	return o.served, nil
}

// apiGroup is what the cluster serves of a group.
type apiGroup struct {
	Name     string       `json:"name"`
	Versions []apiVersion `json:"versions"`
	// Preferred is the cluster's own choice.
	Preferred apiVersion `json:"preferredVersion"`
}

type apiVersion struct {
	Version string `json:"version"`
}

// best is the version that the texts are in, or else the cluster's choice.
func (g apiGroup) best() string {
	for _, v := range g.Versions {
		if g.Name+"/"+v.Version == delivery.APIVersion {
			return v.Version
		}
	}
	return g.Preferred.Version
}

// live is an object as the API server has it.
type live struct {
	object
	fields  map[string]any // all of it
	managed []managedTree
}

// InspectObjects implements [providers.ObjectDriver]: one list for each kind and
// namespace, or where that is denied, or of few, one request for each.
func (d *Driver) InspectObjects(ctx context.Context, refs []providers.ObjectRef) (map[providers.ObjectRef]providers.Object, error) {
	in := &inspection{found: map[providers.ObjectRef]providers.Object{}, failed: map[string]error{}}
	groups := map[string][]providers.ObjectRef{}
	for _, ref := range refs {
		namespace, _, _ := strings.Cut(ref.Path, "/")
		groups[ref.Kind+" "+namespace] = append(groups[ref.Kind+" "+namespace], ref)
	}
	each(sortedKeys(groups), func(group string) { d.inspectGroup(ctx, groups[group], in) })
	if err := ctx.Err(); err != nil {
		return nil, providers.Errorf(providers.Cancelled, "%w", err)
	}
	if len(in.failed) > 0 {
		return in.found, &providers.PartialError{Paths: in.failed}
	}
	return in.found, nil
}

// inspection gathers the answers of [Driver.InspectObjects].
type inspection struct {
	mu     sync.Mutex
	found  map[providers.ObjectRef]providers.Object
	failed map[string]error
}

func (in *inspection) answer(ref providers.ObjectRef, o *providers.Object, err error) {
	in.mu.Lock()
	defer in.mu.Unlock()
	switch {
	case err != nil:
		in.failed[ref.Path] = err
	case o != nil:
		in.found[ref] = *o
	}
}

func (d *Driver) inspectGroup(ctx context.Context, refs []providers.ObjectRef, in *inspection) {
	if refs[0].Kind == kindRollout {
		for _, ref := range refs {
			o, err := d.inspectRollout(ctx, ref)
			in.answer(ref, o, err)
		}
		return
	}
	k, lacks, err := d.kindOf(ctx, refs[0].Kind)
	if err != nil || lacks != "" {
		for _, ref := range refs {
			in.answer(ref, &providers.Object{Lacks: &providers.Lack{Text: lacks}}, err)
		}
		return
	}
	if len(refs) > few && !k.cluster {
		namespace, _ := split(refs[0].Path)
		all, err := d.listObjects(ctx, k, namespace)
		if err == nil || providers.CodeOf(err) != providers.Denied {
			for _, ref := range refs {
				var o *providers.Object
				if l := all[ref.Path]; l != nil {
					o = d.described(k, l)
				}
				in.answer(ref, o, err)
			}
			return
		}
	}
	for _, ref := range refs {
		l, err := d.getObject(ctx, k, ref.Path)
		if err != nil || l == nil {
			in.answer(ref, nil, err)
			continue
		}
		in.answer(ref, d.described(k, l), nil)
	}
}

// place takes the path of an object apart.
func (k objectKind) place(path string) (namespace, name string) {
	if k.cluster {
		return "", path
	}
	return split(path)
}

// getObject returns one object, nil where there is none.
func (d *Driver) getObject(ctx context.Context, k objectKind, path string) (*live, error) {
	namespace, name := k.place(path)
	r := request{verb: get, resource: k.resource, namespace: namespace, name: name, shape: whole}
	var raw json.RawMessage
	if _, err := d.client.do(ctx, r, &raw); err != nil {
		if providers.CodeOf(err) == providers.NotFound {
			return nil, nil
		}
		return nil, err
	}
	l, ok := parseLive(raw)
	if !ok || l.Kind != k.resource.kind || l.Metadata.Name != name {
		return nil, d.client.strange(r, http.StatusOK)
	}
	return l, nil
}

// listObjects returns all objects of a kind in a namespace by path; "" is every
// namespace.
func (d *Driver) listObjects(ctx context.Context, k objectKind, namespace string) (map[string]*live, error) {
	found := map[string]*live{}
	r := request{verb: list, resource: k.resource, namespace: namespace, shape: whole, query: url.Values{"limit": {strconv.Itoa(pageSize)}}}
	for {
		var p struct {
			Metadata struct {
				Continue string `json:"continue"`
			} `json:"metadata"`
			Items []json.RawMessage `json:"items"`
		}
		if _, err := d.client.do(ctx, r, &p); err != nil {
			return nil, err
		}
		for _, raw := range p.Items {
			l, ok := parseLive(raw)
			if !ok {
				return nil, d.client.strange(r, http.StatusOK)
			}
			path := l.Metadata.Name
			if at, _ := l.meta("namespace"); at != "" {
				path = at + "/" + path
			}
			found[path] = l
		}
		if p.Metadata.Continue == "" {
			return found, nil
		}
		r.query.Set("continue", p.Metadata.Continue)
	}
}

func (l *live) meta(key string) (string, bool) {
	m, _ := l.fields["metadata"].(map[string]any)
	text, ok := m[key].(string)
	return text, ok
}

// described is what the contract says of an object.
func (d *Driver) described(k objectKind, l *live) *providers.Object {
	document := k.document(l)
	who, when := l.outsider()
	return &providers.Object{
		Version: l.version(document), Document: document, Attributes: l.Metadata.attributes(), ChangedBy: who, Changed: when,
		Kept: k.kind == delivery.KindServiceAccount,
	}
}

// version moves with what somebody sets and with a new object of the name, and
// not with the status or a label.
func (l *live) version(document string) string {
	sum := sha256.Sum256([]byte(l.Metadata.UID + "\x00" + document))
	return hex.EncodeToString(sum[:12])
}

// document is the canonical text of what somebody set.
func (k objectKind) document(l *live) string {
	o := manifest.Object{"apiVersion": k.apiVersion(), "kind": k.resource.kind}
	meta := map[string]any{"name": l.Metadata.Name}
	if namespace, ok := l.meta("namespace"); ok {
		meta["namespace"] = namespace
	}
	o["metadata"] = meta
	set := project(l.fields, united(l.managed))
	for key, v := range set {
		switch key {
		case "apiVersion", "kind", "metadata", "status":
		default:
			o[key] = v
		}
	}
	withoutDefaults(k.kind, o)
	return manifest.Encode(o)
}

// apiVersion is that of the texts, whatever the cluster serves.
func (k objectKind) apiVersion() string {
	switch k.resource.group {
	case "":
		return "v1"
	case operatorGroup:
		return delivery.APIVersion
	}
	return k.resource.group + "/v1"
}
