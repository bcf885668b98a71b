package kubernetes

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/cofferhq/coffer/providers"
)

// Why a permission is needed, for people.
const (
	whyIdentity = "which cluster this is: the uid of a namespace that every cluster has"
	whyLook     = "which Secrets exist and who changed them. Kubernetes has one right for metadata and values: Coffer asks for metadata alone"
	whyRead     = "reads values"
	whyMake     = "makes Secrets: Kubernetes cannot limit that by name"
	whyWrite    = "writes values, and the owner mark, labels and description beside them"
	whyMark     = "owner mark, labels and description"
	whyDelete   = "deletes what the configuration has no more, and what moves"
	whyLetGo    = "takes our mark off what the configuration lets go of"
)

// needs gathers permissions by path: namespaces/NAMESPACE/secrets/NAME, or
// without a name where it is for all of them.
type needs map[string]*need

type need struct {
	verbs []verb
	why   []string
}

func (n needs) add(path, why string, verbs ...verb) {
	p := n[path]
	if p == nil {
		p = &need{}
		n[path] = p
	}
	if !slices.Contains(p.why, why) {
		p.why = append(p.why, why)
	}
	for _, v := range verbs {
		if !slices.Contains(p.verbs, v) {
			p.verbs = append(p.verbs, v)
		}
	}
}

func secretsIn(namespace string) string { return "namespaces/" + namespace + "/secrets" }

// Permissions implements [providers.Permitter].
func (d *Driver) Permissions(req providers.PermissionRequest) []providers.Permission {
	n := needs{}
	n.add("namespaces/kube-system", whyIdentity, get)
	if d.namespace != "" {
		n.add(secretsIn(d.namespace), whyLook, get, list)
	}
	for _, use := range req.Secrets {
		n.use(req.Phase, use)
	}
	for _, l := range req.Leaving {
		if l.Kind == kindSecret {
			n.leave(req.Phase, l)
		}
	}
	var out []providers.Permission
	for _, path := range sortedKeys(n) {
		p := providers.Permission{Path: path, Why: strings.Join(n[path].why, "; ")}
		for _, v := range n[path].verbs {
			p.Capabilities = append(p.Capabilities, string(v))
		}
		out = append(out, p)
	}
	return out
}

func (n needs) use(phase providers.Phase, use providers.Use) {
	namespace, name := split(use.Path)
	all := secretsIn(namespace)
	n.add(all, whyLook, get, list)
	if phase != providers.PhaseApply {
		return
	}
	one := all + "/" + name
	if len(use.Reads) > 0 {
		n.add(all, whyRead, get)
	}
	if !use.Write {
		n.add(one, whyMark, patch)
		return
	}
	n.add(all, whyMake, create)
	n.add(one, whyWrite, patch)
	n.add(one, whyDelete, remove)
}

func (n needs) leave(phase providers.Phase, l providers.Leaving) {
	namespace, name := split(l.Path)
	all := secretsIn(namespace)
	n.add(all, whyLook, get, list)
	if phase != providers.PhaseApply {
		return
	}
	switch l.End {
	case providers.EndDeleted, providers.EndNamed:
		n.add(all+"/"+name, whyDelete, remove)
	case providers.EndForgotten:
		n.add(all+"/"+name, whyLetGo, patch)
	}
	if len(l.Reads) > 0 {
		n.add(all, whyRead, get)
	}
}

// PermissionDocument implements [providers.Permitter]: a Role for each namespace
// and a ClusterRole, bound to a service account.
func (d *Driver) PermissionDocument(req providers.PermissionRequest, list []providers.Permission) string {
	account := "coffer-" + string(req.Phase)
	roles := map[string][]providers.Permission{}
	for _, p := range list {
		if rest, ok := strings.CutPrefix(p.Path, "namespaces/"); ok && strings.Contains(rest, "/") {
			namespace, _ := split(rest)
			roles[namespace] = append(roles[namespace], p)
		}
	}
	names := slices.Sorted(maps.Keys(roles))
	home := "default"
	if len(names) > 0 {
		home = names[0]
	}
	var b strings.Builder
	fmt.Fprintf(&b, "# For `kubectl apply -f`. The bindings are for the service account %s of the\n# namespace %s: put in whoever runs `coffer %s`.\n", account, home, req.Phase)
	b.WriteString("# Whoever may get or list Secrets can read them: Kubernetes has no smaller right.\n")
	fmt.Fprintf(&b, "# %s.\n", whyIdentity)
	fmt.Fprintf(&b, clusterRole, account, account, account, account, home)
	for _, namespace := range names {
		fmt.Fprintf(&b, roleHead, account, namespace)
		for _, rule := range rulesOf(roles[namespace]) {
			b.WriteString(rule)
		}
		fmt.Fprintf(&b, roleBinding, account, namespace, account, account, home)
	}
	return b.String()
}

// rulesOf writes the rules of a Role: one for what is for all names, and one for
// each set of verbs by name.
func rulesOf(list []providers.Permission) []string {
	type rule struct{ why, verbs string }
	var order []rule
	named := map[rule][]string{}
	var out []string
	for _, p := range list {
		name, byName := strings.CutPrefix(p.Path[strings.Index(p.Path, "/secrets"):], "/secrets/")
		r := rule{p.Why, strings.Join(p.Capabilities, ", ")}
		if !byName {
			out = append(out, fmt.Sprintf("  # %s.\n  - apiGroups: [\"\"]\n    resources: [secrets]\n    verbs: [%s]\n", r.why, r.verbs))
			continue
		}
		if named[r] == nil {
			order = append(order, r)
		}
		named[r] = append(named[r], name)
	}
	for _, r := range order {
		text := fmt.Sprintf("  # %s.\n  - apiGroups: [\"\"]\n    resources: [secrets]\n    verbs: [%s]\n    resourceNames:\n", r.why, r.verbs)
		for _, name := range named[r] {
			text += fmt.Sprintf("      - %q\n", name)
		}
		out = append(out, text)
	}
	return out
}

const clusterRole = `apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata:
  name: %s
rules:
  - apiGroups: [""]
    resources: [namespaces]
    resourceNames: [kube-system]
    verbs: [get]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata:
  name: %s
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: ClusterRole
  name: %s
subjects:
  - kind: ServiceAccount
    name: %s
    namespace: %q
`

const roleHead = `---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata:
  name: %s
  namespace: %q
rules:
`

const roleBinding = `---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata:
  name: %s
  namespace: %q
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: Role
  name: %s
subjects:
  - kind: ServiceAccount
    name: %s
    namespace: %q
`
