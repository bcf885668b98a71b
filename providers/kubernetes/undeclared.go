package kubernetes

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/cofferhq/coffer/providers"
	"github.com/cofferhq/coffer/providers/kubernetes/delivery"
)

// This file looks for those who can read a managed Secret though nobody declared
// it: by any binding of any Role or ClusterRole.

var _ providers.AccessAuditor = (*Driver)(nil)

// policyRule is one rule of a role.
type policyRule struct {
	APIGroups     []string `json:"apiGroups"`
	Resources     []string `json:"resources"`
	ResourceNames []string `json:"resourceNames"`
	Verbs         []string `json:"verbs"`
}

// reads returns the verbs by which a rule lets read Secrets.
func (r policyRule) reads() []string {
	has := func(list []string, what string) bool {
		return slices.Contains(list, "*") || slices.Contains(list, what)
	}
	if !has(r.APIGroups, "") || !has(r.Resources, "secrets") {
		return nil
	}
	var verbs []string
	for _, v := range r.Verbs {
		if v == "*" || v == "get" || v == "list" || v == "watch" {
			verbs = append(verbs, v)
		}
	}
	return verbs
}

func (r policyRule) names(name string) bool {
	return len(r.ResourceNames) == 0 || slices.Contains(r.ResourceNames, name)
}

// role is a Role or a ClusterRole, binding what gives one to somebody.
type role struct {
	Rules []policyRule `json:"rules"`
}

type binding struct {
	RoleRef struct {
		Kind string `json:"kind"`
		Name string `json:"name"`
	} `json:"roleRef"`
	Subjects []subject `json:"subjects"`
}

var (
	clusterRoles = objectKind{"clusterrole", resource{"clusterroles", "ClusterRole", rbacGroup, []string{"apis", rbacGroup, "v1"}}, true}
	clusterBinds = objectKind{"clusterrolebinding", resource{"clusterrolebindings", "ClusterRoleBinding", rbacGroup, []string{"apis", rbacGroup, "v1"}}, true}
)

// audit is one look at who can read.
type audit struct {
	d        *Driver
	managed  []providers.Managed
	declared map[providers.ObjectRef]bool
	roles    map[string]role // by "Role NAMESPACE/NAME" and "ClusterRole NAME"
	out      providers.AccessAudit
}

// UndeclaredAccess implements [providers.AccessAuditor]. What the API server
// itself brings is left out as far as it gives it to its own: the system: users
// and groups of bindings that carry its label. So are bindings that the provider
// block knows.
func (d *Driver) UndeclaredAccess(ctx context.Context, managed []providers.Managed, declared []providers.ObjectRef) (providers.AccessAudit, error) {
	a := &audit{d: d, managed: managed, declared: map[providers.ObjectRef]bool{}, roles: map[string]role{}}
	for _, ref := range declared {
		a.declared[ref] = true
	}
	kinds := map[string]objectKind{}
	for _, k := range objectKinds() {
		kinds[k.kind] = k
	}
	namespaces := map[string]bool{}
	for _, m := range managed {
		namespace, _ := split(m.Path)
		namespaces[namespace] = true
	}
	all, err := a.list(ctx, clusterRoles, "")
	if err != nil {
		return a.out, err
	}
	a.know(clusterRoles.resource.kind, all)
	if err := a.bindings(ctx, clusterBinds, ""); err != nil {
		return a.out, err
	}
	for _, namespace := range slices.Sorted(maps.Keys(namespaces)) {
		all, err := a.list(ctx, kinds[delivery.KindRole], namespace)
		if err != nil {
			return a.out, err
		}
		a.know("Role", all)
		if err := a.bindings(ctx, kinds[delivery.KindRoleBinding], namespace); err != nil {
			return a.out, err
		}
	}
	return a.out, nil
}

// list lists a kind, and notes what it may not see.
func (a *audit) list(ctx context.Context, k objectKind, namespace string) (map[string]*live, error) {
	all, err := a.d.listObjects(ctx, k, namespace)
	if providers.CodeOf(err) == providers.Denied {
		what := "the " + k.resource.kind + "s"
		if namespace != "" {
			what += " of the namespace " + namespace
		}
		a.out.Unseen = append(a.out.Unseen, what)
		return nil, nil
	}
	return all, err
}

func (a *audit) know(kind string, all map[string]*live) {
	for path, l := range all {
		var r role
		if l.into(&r) {
			a.roles[kind+" "+path] = r
		}
	}
}

// into decodes an object.
func (l *live) into(v any) bool {
	text, err := json.Marshal(l.fields)
	return err == nil && json.Unmarshal(text, v) == nil
}

// bindings looks at all bindings of a namespace, or of the cluster.
func (a *audit) bindings(ctx context.Context, k objectKind, namespace string) error {
	all, err := a.list(ctx, k, namespace)
	if err != nil {
		return err
	}
	for _, path := range sortedKeys(all) {
		ref := providers.ObjectRef{Kind: k.kind, Path: path}
		var b binding
		if a.declared[ref] || slices.Contains(a.d.knownBindings, path) || !all[path].into(&b) {
			continue
		}
		if k.cluster && all[path].builtIn() {
			b.Subjects = slices.DeleteFunc(b.Subjects, subject.ofTheServer)
		}
		if u, reads := a.gives(ref, b, namespace); reads {
			a.out.Undeclared = append(a.out.Undeclared, u)
		}
	}
	return nil
}

// ofTheServer reports whether a subject is one that the API server and its
// controllers are. Groups that everybody, or every service account, is in are none.
func (s subject) ofTheServer() bool {
	if s.Kind == "Group" {
		return s.Name == "system:masters" || s.Name == "system:nodes"
	}
	return strings.HasPrefix(s.Name, "system:") && s.Name != "system:anonymous" || s.Kind == "ServiceAccount" && s.Namespace == "kube-system"
}

// builtIn reports whether the API server keeps the object itself: by a label, which
// anybody can set, under a name that is the server's own
// (https://kubernetes.io/docs/reference/access-authn-authz/rbac/#auto-reconciliation).
func (l *live) builtIn() bool {
	meta, _ := l.fields["metadata"].(map[string]any)
	labels, _ := meta["labels"].(map[string]any)
	name := l.Metadata.Name
	return labels["kubernetes.io/bootstrapping"] == "rbac-defaults" && (name == "cluster-admin" || strings.HasPrefix(name, "system:"))
}

// gives says what a binding lets its subjects read.
func (a *audit) gives(ref providers.ObjectRef, b binding, namespace string) (providers.Undeclared, bool) {
	if len(b.Subjects) == 0 {
		return providers.Undeclared{}, false
	}
	name := b.RoleRef.Kind + " " + b.RoleRef.Name
	if b.RoleRef.Kind == "Role" {
		name = "Role " + namespace + "/" + b.RoleRef.Name
	}
	verbs := map[string]bool{}
	var reads []string
	for _, m := range a.managed {
		in, secret := split(m.Path)
		if namespace != "" && in != namespace {
			continue
		}
		could := false
		for _, r := range a.roles[name].Rules {
			if list := r.reads(); len(list) > 0 && r.names(secret) {
				could = true
				for _, v := range list {
					verbs[v] = true
				}
			}
		}
		if could && !slices.Contains(reads, m.Path) {
			reads = append(reads, m.Path)
		}
	}
	slices.Sort(reads)
	var who []string
	for _, s := range b.Subjects {
		who = append(who, s.String())
	}
	return providers.Undeclared{
		Ref: ref, Reads: reads,
		Text: fmt.Sprintf("%s, by the %s (%s)", strings.Join(who, ", "), name, strings.Join(slices.Sorted(maps.Keys(verbs)), ", ")),
	}, len(reads) > 0
}
