package kubernetes

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/cofferhq/coffer/lang/addr"
	"github.com/cofferhq/coffer/providers"
	"github.com/cofferhq/coffer/providers/kubernetes/delivery"
	"github.com/cofferhq/coffer/providers/kubernetes/manifest"
)

// This file turns the readers of a policy into RBAC: in each namespace a Role that
// may get the named Secrets and nothing else, and its binding. To list or watch
// would be to read all.

var _ providers.AccessCompiler = (*Driver)(nil)

const (
	readerAccount = "kubernetes_service_account"
	readerGroup   = "kubernetes_group"
)

// Readers implements [providers.AccessCompiler].
func (d *Driver) Readers() []string { return []string{readerAccount, readerGroup} }

// subject is whom a binding names.
type subject struct {
	Kind      string `json:"kind"`
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
}

func (s subject) String() string {
	if s.Namespace != "" {
		return s.Kind + " " + s.Namespace + "/" + s.Name
	}
	return s.Kind + " " + s.Name
}

// fields is the subject as a binding has it.
func (s subject) fields() map[string]any {
	out := map[string]any{"kind": s.Kind, "name": s.Name}
	if s.Kind == "ServiceAccount" {
		out["namespace"] = s.Namespace
	} else {
		out["apiGroup"] = rbacGroup
	}
	return out
}

// subjectOf returns whom a reader names.
func subjectOf(r providers.Reader) (subject, error) {
	switch {
	case r.Func == readerAccount && len(r.Args) == 2:
		if !isLabel(r.Args[0]) || !isSubdomain(r.Args[1]) {
			return subject{}, providers.Errorf(providers.Invalid, "%s: %.80q in the namespace %.80q is no name of a service account", r.Func, r.Args[1], r.Args[0])
		}
		return subject{"ServiceAccount", r.Args[0], r.Args[1]}, nil
	case r.Func == readerGroup && len(r.Args) == 1:
		if strings.HasPrefix(r.Args[0], "system:") {
			return subject{}, providers.Errorf(providers.Invalid, "%s: %.80q is a group that everybody, or every service account of a namespace, may be in", r.Func, r.Args[0]).
				WithHint("name the service accounts, or a group that your sign-in gives")
		}
		return subject{"Group", "", r.Args[0]}, nil
	}
	return subject{}, providers.Errorf(providers.Invalid, `want %s("NAMESPACE", "NAME") or %s("NAME")`, readerAccount, readerGroup)
}

// granted is what one policy gives in one namespace.
type granted struct {
	policy   string
	secrets  []string
	subjects []subject
}

// CompileAccess implements [providers.AccessCompiler].
func (d *Driver) CompileAccess(_ []providers.Managed, grants []providers.Grant) ([]providers.ObjectSpec, error) {
	all := map[string]*granted{} // by NAMESPACE/ROLE
	for i, g := range grants {
		fail := func(err error) ([]providers.ObjectSpec, error) {
			return nil, &providers.AccessError{Grant: i, Err: err}
		}
		who, err := subjectOf(g.Reader)
		if err != nil {
			return fail(err)
		}
		role, err := roleName(g.Policy)
		if err != nil {
			return fail(err)
		}
		for _, path := range g.Paths {
			namespace, name := split(path)
			in := all[namespace+"/"+role]
			if in == nil {
				in = &granted{policy: g.Policy}
				all[namespace+"/"+role] = in
			}
			if in.policy != g.Policy {
				return fail(providers.Errorf(providers.Invalid, "%s and %s are both the Role %s: rename one of them", in.policy, g.Policy, role))
			}
			if !slices.Contains(in.secrets, name) {
				in.secrets = append(in.secrets, name)
			}
			if !slices.Contains(in.subjects, who) {
				in.subjects = append(in.subjects, who)
			}
		}
	}
	var specs []providers.ObjectSpec
	stands := map[string]bool{} // one object for each policy has its address
	for _, path := range sortedKeys(all) {
		role, binding := all[path].specs(path)
		if policy := all[path].policy; !stands[policy] {
			role.Policy, stands[policy] = policy, true
		}
		specs = append(specs, role, binding)
	}
	return specs, nil
}

// roleName is the name of the Role of a policy: APP-ENVIRONMENT-POLICY.
func roleName(address string) (string, error) {
	a, err := addr.Parse(address)
	if err != nil {
		return "", err
	}
	var words []string
	for _, word := range []string{a.App, a.AppKey, a.Environment, a.Key, a.Name} {
		if word != "" {
			words = append(words, word)
		}
	}
	name := strings.ReplaceAll(strings.ToLower(strings.Join(words, "-")), "_", "-")
	if !isSubdomain(name) {
		return "", providers.Errorf(providers.Invalid, "%s would be the Role %.80q, which is no name", address, name)
	}
	return name, nil
}

func (g *granted) specs(path string) (role, binding providers.ObjectSpec) {
	namespace, name := split(path)
	slices.Sort(g.secrets)
	slices.SortFunc(g.subjects, func(a, b subject) int { return strings.Compare(a.String(), b.String()) })
	names := make([]any, len(g.secrets))
	for i, s := range g.secrets {
		names[i] = s
	}
	meta := map[string]any{"name": name, "namespace": namespace}
	role = providers.ObjectSpec{
		Ref: providers.ObjectRef{Kind: delivery.KindRole, Path: path},
		Document: manifest.Encode(manifest.Object{
			"apiVersion": rbacGroup + "/v1", "kind": "Role", "metadata": meta,
			"rules": []any{map[string]any{"apiGroups": []any{""}, "resources": []any{"secrets"}, "resourceNames": names, "verbs": []any{"get"}}},
		}),
	}
	var subjects []any
	var who []string
	for _, s := range g.subjects {
		subjects = append(subjects, s.fields())
		who = append(who, s.String())
	}
	binding = providers.ObjectSpec{
		Ref: providers.ObjectRef{Kind: delivery.KindRoleBinding, Path: path},
		Document: manifest.Encode(manifest.Object{
			"apiVersion": rbacGroup + "/v1", "kind": "RoleBinding", "metadata": maps.Clone(meta),
			"roleRef": map[string]any{"apiGroup": rbacGroup, "kind": "Role", "name": name}, "subjects": subjects,
		}),
		Needs: []providers.ObjectRef{role.Ref},
		Reads: fmt.Sprintf("%s for %s", g.policy, strings.Join(who, ", ")),
	}
	return role, binding
}
