package vault

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"

	"github.com/cofferhq/coffer/providers"
)

// mostHolders bounds how many roles, users, entities and groups one audit reads.
const mostHolders = 10_000

// attachments gathers who has policies of ours, for [Driver.UndeclaredAccess].
type attachments struct {
	d      *Driver
	ours   map[string]bool              // declared policies by name
	bound  map[providers.ObjectRef]bool // declared bindings
	mu     sync.Mutex
	listed []listedHolder
	found  map[string][]holder // who has a policy by nobody's declaration
	failed []error
}

// listedHolder is a holder that a list names, and where it is read.
type listedHolder struct {
	holder // without name for an entity or a group
	path   string
}

// undeclaredHolders returns the bindings of declared policies that nobody
// declared. Roles, users, entities and groups that the token may not look at are
// passed over: not every token of a plan has to be able to.
func (d *Driver) undeclaredHolders(ctx context.Context, managed []providers.Managed, declared []providers.ObjectRef) ([]providers.Undeclared, error) {
	a := &attachments{d: d, ours: map[string]bool{}, bound: map[providers.ObjectRef]bool{}, found: map[string][]holder{}}
	for _, ref := range declared {
		switch ref.Kind {
		case KindPolicy:
			a.ours[ref.Path] = !slices.Contains(d.config.KnownPolicies, ref.Path)
		case KindBinding:
			if h, policy, err := parseBinding(ref.Path); err == nil {
				a.bound[h.binding(policy)] = true
			}
		}
	}
	if len(a.ours) == 0 {
		return nil, nil
	}
	kinds, err := d.holderKinds(ctx, declared)
	if err != nil {
		return nil, err
	}
	if err := parallel(ctx, kinds, a.list); err != nil {
		return nil, err
	}
	if len(a.listed) > mostHolders {
		return nil, providers.Errorf(providers.Invalid, "the server names %d roles, users, entities and groups, and at most %d are looked through for who else has these policies", len(a.listed), mostHolders).
			WithHint("do not let this token list the many of them: what it may not list is passed over")
	}
	if err := parallel(ctx, a.listed, a.read); err != nil {
		return nil, err
	}
	list, err := a.undeclared(ctx, managed)
	if err == nil && len(a.failed) > 0 {
		err = firstError(a.failed)
	}
	return list, err
}

// holderKinds returns a holder without a name for each list of holders. Where
// the token may not see the auth methods, it is those of what is declared.
func (d *Driver) holderKinds(ctx context.Context, declared []providers.ObjectRef) ([]holder, error) {
	kinds := []holder{{typ: typeEntity}, {typ: typeGroup}}
	var answer struct {
		Data map[string]struct{ Type string }
	}
	err := d.client.do(ctx, request{method: http.MethodGet, path: "sys/auth", into: &answer})
	if err != nil && providers.CodeOf(err) != providers.Denied {
		return nil, err
	}
	for _, path := range sortedNames(answer.Data) {
		typ := answer.Data[path].Type
		switch typ {
		case "oidc": // the same method
			typ = typeJWT
		case typeAppRole, typeKubernetes, typeJWT, typeUser:
		default:
			continue
		}
		kinds = append(kinds, holder{typ: typ, mount: strings.Trim(path, "/")})
	}
	if err == nil {
		return kinds, nil
	}
	for _, ref := range declared {
		if ref.Kind != KindBinding && ref.Kind != KindRole {
			continue
		}
		h, err := holderOf(ref)
		if h.name = ""; err == nil && !slices.Contains(kinds, h) {
			kinds = append(kinds, h)
		}
	}
	return kinds, nil
}

// listPath is where holders like h are listed, and where each is read. Entities
// and groups go by id: their names can be what no request can ask for.
func (h holder) listPath() string {
	switch {
	case h.typ == typeUser:
		return "auth/" + h.mount + "/users"
	case h.isRole():
		return "auth/" + h.mount + "/role"
	}
	return "identity/" + h.typ + "/id"
}

// list adds the holders like h.
func (a *attachments) list(ctx context.Context, h holder) error {
	var answer struct{ Data struct{ Keys []string } }
	err := a.d.client.do(ctx, request{method: methodList, path: h.listPath(), into: &answer})
	a.mu.Lock()
	defer a.mu.Unlock()
	a.fail(err)
	for _, key := range answer.Data.Keys {
		at := listedHolder{h, h.listPath() + "/" + key}
		if h.isRole() {
			at.name = strings.ToLower(key)
		}
		a.listed = append(a.listed, at)
	}
	return ctx.Err()
}

// fail keeps an error that is not about what may be passed over.
func (a *attachments) fail(err error) {
	switch providers.CodeOf(err) {
	case providers.Denied, providers.NotFound, providers.Unsupported:
		return
	}
	if err != nil {
		a.failed = append(a.failed, err)
	}
}

// read looks at what one holder has.
func (a *attachments) read(ctx context.Context, at listedHolder) error {
	var answer struct{ Data map[string]any }
	err := a.d.client.do(ctx, request{method: http.MethodGet, path: at.path, into: &answer})
	if name, told := answer.Data["name"].(string); told && !at.isRole() {
		at.name = strings.ToLower(name)
	}
	if _, told := answer.Data[at.argument()]; err == nil && (!told || at.name == "") {
		err = noContent(at.path)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.fail(err)
	live := &liveHolder{at.holder, answer.Data}
	for _, policy := range live.policies() {
		if a.ours[policy] && !a.bound[at.binding(policy)] {
			a.found[policy] = append(a.found[policy], at.holder)
		}
	}
	return ctx.Err()
}

// undeclared tells what the holders can read by what they have.
func (a *attachments) undeclared(ctx context.Context, managed []providers.Managed) ([]providers.Undeclared, error) {
	var list []providers.Undeclared
	for _, policy := range sortedNames(a.found) {
		u, err := a.d.auditPolicy(ctx, policy, managed)
		if err != nil {
			return list, err
		}
		if u == nil {
			continue
		}
		for _, h := range a.found[policy] {
			who := h.typ + "/" + h.name
			if h.isRole() {
				who = h.mount + "/" + h.name
			}
			list = append(list, providers.Undeclared{
				Ref: h.binding(policy), Reads: u.Reads, Text: fmt.Sprintf("policy %s is attached to %s", policy, who),
			})
		}
	}
	return list, nil
}
