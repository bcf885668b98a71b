package vault

import (
	"context"
	"net/http"
	"slices"
	"strings"

	"github.com/cofferhq/coffer/providers"
)

// namespacesAbove returns the namespaces that a namespace lies in, the nearest
// first; "" is the root.
func namespacesAbove(namespace string) []string {
	var above []string
	for namespace = strings.Trim(namespace, "/"); namespace != ""; {
		i := strings.LastIndex(namespace, "/")
		namespace = namespace[:max(i, 0)]
		above = append(above, namespace)
	}
	return above
}

// undeclaredAbove looks at the policies of the namespaces above the provider's
// own, which can reach into it. A token of the own namespace cannot see them: what
// it may not is told as unseen, and is no error.
func (d *Driver) undeclaredAbove(ctx context.Context, managed []providers.Managed) (providers.AccessAudit, error) {
	var out providers.AccessAudit
	var unseen []string
	var failed error
	for _, namespace := range namespacesAbove(d.config.Namespace) {
		found, err := d.undeclaredIn(ctx, namespace, managed)
		switch providers.CodeOf(err) {
		case providers.Denied, providers.NotFound, providers.Unsupported:
			unseen = append(unseen, namespace)
		default:
			if failed == nil {
				failed = err
			}
		}
		out.Undeclared = append(out.Undeclared, found...)
	}
	if len(unseen) > 0 {
		out.Unseen = []string{"the policies of " + namespaceNames(unseen)}
	}
	return out, failed
}

func namespaceNames(list []string) string {
	var names []string
	for _, namespace := range list {
		if namespace == "" {
			names = append(names, "the root namespace")
		} else {
			names = append(names, "namespace "+namespace)
		}
	}
	return strings.Join(names, " and ")
}

// undeclaredIn looks at the policies of one namespace above.
func (d *Driver) undeclaredIn(ctx context.Context, namespace string, managed []providers.Managed) ([]providers.Undeclared, error) {
	var list struct{ Data struct{ Keys []string } }
	if err := d.client.do(ctx, request{method: methodList, path: "sys/policies/acl", above: &namespace, optional: true, into: &list}); err != nil {
		return nil, err
	}
	scope, err := d.objectScope(ctx)
	if err != nil {
		return nil, err
	}
	own := strings.Trim(d.config.Namespace, "/")
	below := strings.TrimPrefix(own[len(namespace):]+"/", "/")
	found, err := d.auditPolicies(ctx, list.Data.Keys, func(ctx context.Context, name string) (*providers.Undeclared, error) {
		if checkPolicyName(name) != nil {
			return nil, nil // no request can ask for it
		}
		var p struct{ Data struct{ Policy string } }
		err := d.client.do(ctx, request{method: http.MethodGet, path: policyPath(name), above: &namespace, optional: true, into: &p})
		if err != nil {
			return nil, err
		}
		return d.auditText(name, p.Data.Policy, below, managed)
	})
	for i := range found {
		u := &found[i]
		u.Scope, u.In = aboveScope(scope, own, namespace), namespace+"/"
		u.Text = "of " + namespaceNames([]string{namespace}) + ", " + u.Text
	}
	return slices.Clip(found), err
}

// aboveScope is the object scope of a namespace above the one whose scope is
// given.
func aboveScope(scope, own, namespace string) string {
	if namespace == "" {
		namespace = rootNamespace
	}
	return strings.TrimSuffix(scope, own) + namespace
}
