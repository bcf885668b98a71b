package kubernetes

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/cofferhq/coffer/providers"
)

// This file writes permissions as what `kubectl apply` takes.

// PermissionDocument implements [providers.Permitter]: a Role for each namespace
// and a ClusterRole, bound to a service account.
func (d *Driver) PermissionDocument(req providers.PermissionRequest, list []providers.Permission) string {
	account := "coffer-" + string(req.Phase)
	roles := map[string][]providers.Permission{}
	for _, p := range list {
		namespace := targetOf(p.Path).namespace
		roles[namespace] = append(roles[namespace], p)
	}
	names := slices.Sorted(maps.Keys(roles))
	names = slices.DeleteFunc(names, func(n string) bool { return n == "" })
	home := homeOf(req, names)
	var b strings.Builder
	fmt.Fprintf(&b, "# For `kubectl apply -f`. The bindings are for the service account %s of the\n# namespace %s: put in whoever runs `coffer %s`.\n", account, home, req.Phase)
	b.WriteString("# Whoever may get or list Secrets can read them: Kubernetes has no smaller right.\n")
	fmt.Fprintf(&b, clusterRole, account)
	for _, rule := range rulesOf(roles[""]) {
		b.WriteString(rule)
	}
	fmt.Fprintf(&b, clusterBinding, account, account, account, home)
	for _, namespace := range names {
		fmt.Fprintf(&b, roleHead, account, namespace)
		for _, rule := range rulesOf(roles[namespace]) {
			b.WriteString(rule)
		}
		fmt.Fprintf(&b, roleBinding, account, namespace, account, account, home)
	}
	return b.String()
}

// homeOf is the first namespace that something of ours lies in: the controller's,
// where a certificate is asked for, is no home.
func homeOf(req providers.PermissionRequest, names []string) string {
	var ours []string
	for _, u := range req.Secrets {
		namespace, _ := split(strings.TrimPrefix(u.Path, sealedPrefix))
		ours = append(ours, namespace)
	}
	for _, ref := range req.Objects {
		if t, ok := targetOfRef(ref); ok && t.namespace != "" {
			ours = append(ours, t.namespace)
		}
	}
	switch {
	case len(ours) > 0:
		return slices.Min(ours)
	case len(names) > 0:
		return names[0]
	}
	return "default"
}

// rulesOf writes the rules of a Role: one for what is for all names, and one for
// each set of verbs by name.
func rulesOf(list []providers.Permission) []string {
	type rule struct{ why, verbs, group, resource string }
	var order []rule
	named := map[rule][]string{}
	for _, p := range list {
		t := targetOf(p.Path)
		r := rule{p.Why, strings.Join(p.Capabilities, ", "), t.group, t.resource}
		if named[r] == nil {
			order = append(order, r)
		}
		named[r] = append(named[r], t.name)
	}
	slices.SortStableFunc(order, func(a, b rule) int { // what is for all names comes first
		return cmp.Compare(min(len(named[a][0]), 1), min(len(named[b][0]), 1))
	})
	var out []string
	for _, r := range order {
		text := fmt.Sprintf("  # %s.\n  - apiGroups: [%q]\n    resources: [%s]\n    verbs: [%s]\n", r.why, r.group, r.resource, r.verbs)
		if named[r][0] != "" {
			text += "    resourceNames:\n"
			for _, name := range named[r] {
				text += fmt.Sprintf("      - %q\n", name)
			}
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
`

const clusterBinding = `---
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
