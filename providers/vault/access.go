package vault

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/cofferhq/coffer/providers"
	"github.com/cofferhq/coffer/providers/vault/acl"
)

// attached is the document of a binding, which is there or not.
const attached = "attached\n"

// reader is one reader function: what its arguments are and whom they name.
type reader struct {
	name     string
	args     []string // the mount, if last, may be left out
	optional bool
	holder   func(args []string) holder
}

func readerFunctions() []reader {
	role := func(typ string) func([]string) holder {
		return func(args []string) holder {
			return holder{typ: typ, mount: mountOr(args, 1, typ), name: args[0]}
		}
	}
	return []reader{
		{"vault_approle", []string{"role", "mount"}, true, role(typeAppRole)},
		{"vault_entity", []string{"name"}, false, func(args []string) holder { return holder{typ: typeEntity, name: args[0]} }},
		{"vault_group", []string{"name"}, false, func(args []string) holder { return holder{typ: typeGroup, name: args[0]} }},
		{"vault_jwt", []string{"role", "mount"}, true, role(typeJWT)},
		{"vault_kubernetes", []string{"namespace", "service-account", "mount"}, true, func(args []string) holder {
			return holder{typ: typeKubernetes, mount: mountOr(args, 2, typeKubernetes), name: args[0] + "-" + args[1]}
		}},
	}
}

func mountOr(args []string, i int, standard string) string {
	if i < len(args) {
		return strings.Trim(args[i], "/")
	}
	return standard
}

// Readers implements [providers.AccessCompiler].
func (d *Driver) Readers() []string {
	var names []string
	for _, r := range readerFunctions() {
		names = append(names, r.name)
	}
	return names
}

// resolveReader returns whom a reader names.
func resolveReader(r providers.Reader) (holder, error) {
	all := readerFunctions()
	i := slices.IndexFunc(all, func(f reader) bool { return f.name == r.Func })
	if i < 0 {
		return holder{}, providers.Errorf(providers.Unsupported, "a vault provider has no reader %s", r.Func)
	}
	f := all[i]
	least := len(f.args)
	if f.optional {
		least--
	}
	if len(r.Args) < least || len(r.Args) > len(f.args) {
		form := `"` + strings.Join(f.args[:least], `", "`) + `"`
		if f.optional {
			form += `[, "mount"]`
		}
		return holder{}, providers.Errorf(providers.Invalid, "want %s(%s)", f.name, form)
	}
	if i := slices.Index(r.Args, ""); i >= 0 {
		return holder{}, providers.Errorf(providers.Invalid, "%s: the %s is empty", f.name, f.args[i])
	}
	h := f.holder(r.Args)
	h.name = strings.ToLower(h.name)
	return h, h.check()
}

// compiler gathers the objects of [Driver.CompileAccess].
type compiler struct {
	d        *Driver
	policies map[string]*compiledPolicy // by name
	roles    map[string]providers.ObjectSpec
	bindings map[string]*compiledBinding // by path
}

type compiledPolicy struct {
	address string
	paths   []string
}

type compiledBinding struct {
	holder  holder
	policy  string
	address string
}

// CompileAccess implements [providers.AccessCompiler]: for each policy block and
// environment one ACL policy that gives read on its secrets and nothing else,
// and for each reader its binding; a Kubernetes reader's role as well. Nothing
// is granted beyond what is listed, so secrets need not wait for these objects.
func (d *Driver) CompileAccess(_ []providers.Managed, grants []providers.Grant) ([]providers.ObjectSpec, error) {
	c := &compiler{d: d, policies: map[string]*compiledPolicy{}, roles: map[string]providers.ObjectSpec{}, bindings: map[string]*compiledBinding{}}
	for i, g := range grants {
		if err := c.add(g); err != nil {
			return nil, &providers.AccessError{Grant: i, Err: err}
		}
	}
	return c.specs(), nil
}

func (c *compiler) add(g providers.Grant) error {
	name, err := c.d.policyName(g.Policy)
	if err != nil {
		return err
	}
	p := c.policies[name]
	if p == nil {
		p = &compiledPolicy{address: g.Policy}
		c.policies[name] = p
	}
	if p.address != g.Policy {
		return providers.Errorf(providers.Invalid, "%s and %s are both the ACL policy %s: rename one of them", p.address, g.Policy, name)
	}
	for _, path := range g.Paths {
		if !acl.Literal(c.d.valuePath(path)) {
			return providers.Errorf(providers.Invalid, "the path %q cannot be granted: in a policy its +, *, {{ or ${ would mean something else", path).
				WithHint("give the secret another path")
		}
		p.paths = append(p.paths, path)
	}
	h, err := resolveReader(g.Reader)
	if err != nil {
		return err
	}
	if h.typ == typeKubernetes {
		if err := c.addRole(h, g.Reader.Args[0], g.Reader.Args[1]); err != nil {
			return err
		}
	}
	c.bindings[h.binding(name).Path] = &compiledBinding{h, name, g.Policy}
	return nil
}

// addRole compiles the role of one service account.
func (c *compiler) addRole(h holder, namespace, account string) error {
	for _, word := range []string{namespace, account} {
		if strings.ContainsAny(word, "*, ") {
			return providers.Errorf(providers.Invalid, "vault_kubernetes: %q is no name: a reader is one service account of one namespace", word)
		}
	}
	s := settings{
		"bound_service_account_names": []any{account}, "bound_service_account_namespaces": []any{namespace},
		"bound_service_account_namespace_selector": "", // one that somebody adds lets other namespaces in
	}
	spec := providers.ObjectSpec{Ref: h.ref(), Document: s.document(h.typ), Kept: true}
	if other, made := c.roles[h.String()]; made && other.Document != spec.Document {
		return providers.Errorf(providers.Invalid, "two service accounts share the role name %s, so that each would get what the other reads: rename one", h.name)
	}
	c.roles[h.String()] = spec
	return nil
}

func (c *compiler) specs() []providers.ObjectSpec {
	var specs []providers.ObjectSpec
	for _, name := range slices.Sorted(maps.Keys(c.policies)) {
		p := c.policies[name]
		specs = append(specs, providers.ObjectSpec{
			Ref:      providers.ObjectRef{Kind: KindPolicy, Path: name},
			Document: c.d.readPolicy(p.paths),
			Policy:   p.address,
		})
	}
	for _, role := range slices.Sorted(maps.Keys(c.roles)) {
		specs = append(specs, c.roles[role])
	}
	for _, path := range slices.Sorted(maps.Keys(c.bindings)) {
		b := c.bindings[path]
		specs = append(specs, c.d.bindingSpec(b.holder, b.policy, b.address))
	}
	return specs
}

// bindingSpec is a policy attached to a holder; what says where the policy
// comes from.
func (d *Driver) bindingSpec(h holder, policy, what string) providers.ObjectSpec {
	needs := []providers.ObjectRef{{Kind: KindPolicy, Path: policy}}
	if h.isRole() {
		needs = append(needs, h.ref())
	}
	return providers.ObjectSpec{
		Ref: h.binding(policy), Document: attached, Needs: needs,
		Reads: fmt.Sprintf("%s for %s", what, h.label()),
	}
}

// readPolicy is the text that gives read on each of the secrets.
func (d *Driver) readPolicy(paths []string) string {
	var rules []acl.Rule
	for _, path := range paths {
		rules = append(rules, acl.Rule{Path: d.valuePath(path), Capabilities: []string{acl.Read}})
	}
	slices.SortFunc(rules, func(a, b acl.Rule) int { return cmp.Compare(a.Path, b.Path) })
	rules = slices.CompactFunc(rules, func(a, b acl.Rule) bool { return a.Path == b.Path })
	return acl.Render(rules)
}

func sortedNames[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
