package vault

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/cofferhq/coffer/providers"
	"github.com/cofferhq/coffer/providers/vault/acl"
)

// mostPolicies bounds how many policies one audit reads.
const mostPolicies = 10_000

// whereMeant is the way on for a policy that is meant to be there.
const whereMeant = ". One that is meant to be there goes into known_policies of the provider block"

// shownRules is how many rules of one policy are quoted.
const shownRules = 2

// UndeclaredAccess implements [providers.AccessAuditor]: every ACL policy of the
// namespace that is neither declared nor known is read, and those are returned
// that let somebody read the value of a managed secret; and every declared one
// that is attached to somebody by nobody's declaration; and then the policies of
// the namespaces above, as far as the token may. Policies with identity
// templates count where they could. A policy that cannot be read or understood
// is an error beside what was found.
func (d *Driver) UndeclaredAccess(ctx context.Context, managed []providers.Managed, declared []providers.ObjectRef) (providers.AccessAudit, error) {
	if len(managed) == 0 {
		return providers.AccessAudit{}, nil
	}
	found, err := d.undeclaredPolicies(ctx, managed, declared)
	attached, more := d.undeclaredHolders(ctx, managed, declared)
	above, most := d.undeclaredAbove(ctx, managed)
	if ended := ending(ctx); ended != nil {
		return providers.AccessAudit{}, ended
	}
	all := slices.Concat(found, attached, above.Undeclared)
	slices.SortFunc(all, func(a, b providers.Undeclared) int {
		return cmp.Or(compareRefs(a.Ref, b.Ref), strings.Compare(a.In, b.In))
	})
	for _, next := range []error{more, most} {
		if err == nil {
			err = next
		}
	}
	return providers.AccessAudit{Undeclared: all, Unseen: above.Unseen}, err
}

// undeclaredPolicies reads all policies that nobody declared.
func (d *Driver) undeclaredPolicies(ctx context.Context, managed []providers.Managed, declared []providers.ObjectRef) ([]providers.Undeclared, error) {
	names, err := d.listPolicies(ctx)
	if err != nil {
		return nil, err
	}
	isDeclared := make(map[string]bool, len(declared))
	for _, ref := range declared {
		isDeclared[ref.Path] = isDeclared[ref.Path] || ref.Kind == KindPolicy
	}
	names = slices.DeleteFunc(names, func(name string) bool { return isDeclared[name] })
	return d.auditPolicies(ctx, names, func(ctx context.Context, name string) (*providers.Undeclared, error) {
		return d.auditPolicy(ctx, name, managed)
	})
}

// auditPolicies looks at each of the named policies that is not known.
func (d *Driver) auditPolicies(ctx context.Context, names []string, audit func(context.Context, string) (*providers.Undeclared, error)) ([]providers.Undeclared, error) {
	slices.Sort(names)
	names = slices.Compact(names)
	if len(names) > mostPolicies {
		return nil, providers.Errorf(providers.Invalid, "the server names %d policies, and at most %d are looked through", len(names), mostPolicies)
	}
	names = slices.DeleteFunc(names, func(name string) bool { return name == "root" || slices.Contains(d.config.KnownPolicies, name) })
	var mu sync.Mutex
	var found []providers.Undeclared
	var failed []error
	err := parallel(ctx, names, func(ctx context.Context, name string) error {
		u, err := audit(ctx, name)
		mu.Lock()
		defer mu.Unlock()
		if err != nil {
			failed = append(failed, err)
		} else if u != nil {
			found = append(found, *u)
		}
		return ctx.Err()
	})
	switch {
	case err != nil:
		return nil, err
	case len(failed) > 0:
		return found, firstError(failed)
	}
	return found, nil
}

// firstError returns the same one of several errors however they came in.
func firstError(all []error) error {
	return slices.MinFunc(all, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
}

func (d *Driver) listPolicies(ctx context.Context) ([]string, error) {
	var answer struct{ Data struct{ Keys []string } }
	err := d.client.do(ctx, request{method: methodList, path: "sys/policies/acl", into: &answer})
	var e *providers.Error
	if errors.As(err, &e) && e.Code == providers.Denied {
		return nil, providers.Errorf(providers.Denied, "whether others can read these secrets cannot be told: the token may not list the policies").
			WithHint("its own policies need: %s", acl.Rule{Path: "sys/policies/acl", Capabilities: []string{acl.List}})
	}
	if err == nil && len(answer.Data.Keys) == 0 { // every server has the policies default and root
		err = noContent("sys/policies/acl")
	}
	return answer.Data.Keys, err
}

// auditPolicy returns what a policy gives on managed secrets, nil for nothing.
func (d *Driver) auditPolicy(ctx context.Context, name string, managed []providers.Managed) (*providers.Undeclared, error) {
	p, err := d.livePolicy(ctx, name)
	if err != nil || p == nil {
		return nil, err
	}
	return d.auditText(name, p.text, "", managed)
}

// auditText returns what the text of a policy gives on managed secrets, as seen
// from a namespace in which their paths begin with below.
func (d *Driver) auditText(name, text, below string, managed []providers.Managed) (*providers.Undeclared, error) {
	rules, err := acl.Parse(text)
	if err != nil {
		return nil, providers.Errorf(providers.Invalid, "whether the policy %s lets others read these secrets cannot be told: %w", name, err).
			WithHint("look at it with `vault policy read %s`", name)
	}
	u := &providers.Undeclared{Ref: providers.ObjectRef{Kind: KindPolicy, Path: name}}
	var lines []string
	set := acl.NewSet(d.now(), rules)
	for _, m := range managed {
		rule, ok := set.Grants(below+d.valuePath(m.Path), acl.Read)
		if !ok {
			continue
		}
		u.Reads = append(u.Reads, m.Path)
		line := fmt.Sprintf("path %q (%s)", rule.Path, strings.Join(rule.Capabilities, ", "))
		if rule.Line > 0 {
			line = fmt.Sprintf("line %d: %s", rule.Line, line)
		}
		if !slices.Contains(lines, line) {
			lines = append(lines, line)
		}
	}
	if len(u.Reads) == 0 {
		return nil, nil
	}
	slices.Sort(u.Reads)
	u.Reads = slices.Compact(u.Reads)
	u.Text = strings.Join(lines[:min(len(lines), shownRules)], "; ")
	if more := len(lines) - shownRules; more > 0 {
		u.Text += fmt.Sprintf("; and %d more of its rules", more)
	}
	u.Text += whereMeant
	return u, nil
}

// valuePath is where the API has the value of a secret.
func (d *Driver) valuePath(path string) string {
	if d.config.AllowValueRead { // KV version 1
		return d.config.Mount + "/" + path
	}
	return d.api("data", path)
}
