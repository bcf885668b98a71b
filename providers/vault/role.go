package vault

import (
	"context"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/cofferhq/coffer/providers"
)

// liveHolder is a role, an entity or a group as the server has it.
type liveHolder struct {
	holder holder
	data   map[string]any
}

// readHolder returns a holder, nil where it does not exist.
func (d *Driver) readHolder(ctx context.Context, h holder) (*liveHolder, error) {
	live, _, err := d.lookUp(ctx, h)
	return live, err
}

// lookUp returns a holder, nil where it does not exist, and then whether even its
// auth method does not.
func (d *Driver) lookUp(ctx context.Context, h holder) (live *liveHolder, noMethod bool, err error) {
	var answer struct{ Data map[string]any }
	err = d.client.do(ctx, request{method: http.MethodGet, path: h.api(), into: &answer})
	if providers.CodeOf(err) == providers.NotFound {
		return nil, h.isRole() && said(err, wordsNoRoute), nil
	}
	if err != nil {
		return nil, false, err
	}
	v, told := answer.Data[h.argument()]
	if _, list := v.([]any); !told || !list && v != nil {
		return nil, false, noContent(h.api())
	}
	return &liveHolder{h, answer.Data}, false, nil
}

// lacking is what is known of a role or binding whose holder does not exist: why
// it cannot be made, or nothing where it can.
func lacking(h holder, ref providers.ObjectRef, noMethod bool) *providers.Object {
	lack := &providers.Lack{}
	switch {
	case noMethod:
		lack.Text = missingMethod(h).Error()
	case ref.Kind == KindRole, h.typ == typeAppRole:
		return nil
	default:
		lack.Text = missingHolder(h).Error()
		if h.isRole() {
			lack.Ref = h.ref()
		}
	}
	return &providers.Object{Lacks: lack}
}

// missingMethod says what to do about an auth method that is not there: Coffer
// makes none, since it would not know whom to trust.
func missingMethod(h holder) error {
	return providers.Errorf(providers.NotFound, "there is no auth method at %s, so the role %s cannot be made", h.mount, h.name).
		WithHint("enable it with `vault auth enable -path=%s %s`", h.mount, h.typ)
}

// policies returns what is attached, in order. Roles that are older than the
// argument token_policies have them under their old name as well.
func (l *liveHolder) policies() []string {
	var names []string
	for _, argument := range []string{"token_policies", "policies"} {
		list, _ := l.data[argument].([]any)
		for _, e := range list {
			if s, ok := e.(string); ok {
				names = append(names, s)
			}
		}
	}
	return sortedPolicies(names)
}

// binding is the object of a policy that is attached, else nil.
func (l *liveHolder) binding(policy string) *providers.Object {
	if !slices.Contains(l.policies(), policy) {
		return nil
	}
	return newObject(KindBinding, attached)
}

func (l *liveHolder) settings() (settings, error) {
	s, name, err := settle(roleArguments(l.holder.typ), l.data, true)
	if err != nil {
		return nil, providers.Errorf(providers.Invalid, "the role %s has a %s that is not understood: %w", l.holder, name, err)
	}
	return s, nil
}

// role is the object of a role: all its settings. What is attached to it is no
// part of it.
func (l *liveHolder) role() (*providers.Object, error) {
	if l == nil {
		return nil, nil
	}
	s, err := l.settings()
	if err != nil {
		return nil, err
	}
	return newSettings(KindRole, l.holder.typ, s, roleArguments(l.holder.typ)), nil
}

// writeRole makes, changes or removes a role, and leaves what is attached to it
// alone.
func (d *Driver) writeRole(ctx context.Context, req providers.ObjectRequest) (providers.Object, error) {
	h, err := holderOf(req.Ref)
	if err != nil {
		return providers.Object{}, err
	}
	release, err := d.lockHolder(ctx, h)
	if err != nil {
		return providers.Object{}, err
	}
	defer release()
	live, err := d.readHolder(ctx, h)
	if err != nil {
		return providers.Object{}, err
	}
	was, err := live.role()
	if err != nil {
		return providers.Object{}, err
	}
	if gone, err := precondition(req, was); gone || err != nil {
		return providers.Object{}, err
	}
	if req.Document == "" {
		return providers.Object{}, d.removeRole(ctx, h, live)
	}
	typ, want, err := parseSettings(req.Document)
	if err != nil || typ != h.typ {
		return providers.Object{}, providers.Errorf(providers.Invalid, "the document of the role %s is not understood", h)
	}
	var have settings
	if live != nil {
		if have, err = live.settings(); err != nil {
			return providers.Object{}, err
		}
	}
	if err := d.sendRole(ctx, h, live, changes(roleArguments(h.typ), have, want)); err != nil {
		return providers.Object{}, err
	}
	after, err := d.readHolder(ctx, h)
	if err != nil {
		return providers.Object{}, unsure(req, err)
	}
	now, err := after.role()
	switch {
	case err != nil:
		return providers.Object{}, unsure(req, err)
	case now == nil || now.Like(req.Document) != req.Document:
		return providers.Object{}, providers.Errorf(providers.Ambiguous, "the role %s is not as it was written: somebody else wrote it at the same time, or the server does not take one of its arguments", h).
			WithHint("look at it with `vault read %s`", h.api())
	}
	return *now, nil
}

// removeRole removes a role that nothing is attached to. Whoever signs in by it
// would lose what others attached as well.
func (d *Driver) removeRole(ctx context.Context, h holder, live *liveHolder) error {
	if has := live.policies(); len(has) > 0 {
		return providers.Errorf(providers.Conflict, "the role %s still has the policies %s, which others attached", h, strings.Join(has, ", ")).
			WithHint("take them off first if nobody signs in by it any more: %s; or let go of the role with a removed block that has lifecycle { destroy = false }", h.byHand(nil))
	}
	return d.client.do(ctx, request{method: http.MethodDelete, path: h.api()})
}

// sendRole changes some arguments of a role. The servers take what is left out
// of an approle role as it is. In the other methods some arguments that are
// left out go back to their standard, so that everything is sent.
func (d *Driver) sendRole(ctx context.Context, h holder, live *liveHolder, set map[string]any) error {
	body := map[string]any{}
	if live != nil && h.typ != typeAppRole {
		for name, v := range live.data {
			if v != nil {
				body[name] = v
			}
		}
		body["token_policies"] = live.policies()
		for _, old := range []string{"policies", "bound_cidrs", "ttl", "max_ttl", "period", "num_uses"} { // sent as token_…
			delete(body, old)
		}
	}
	maps.Copy(body, set)
	if h.typ == typeJWT && body["role_type"] == nil {
		body["role_type"] = "jwt" // the servers' own standard is oidc
	}
	err := d.client.do(ctx, request{method: http.MethodPost, path: h.api(), body: body})
	if providers.CodeOf(err) == providers.NotFound && said(err, wordsNoRoute) {
		return missingMethod(h)
	}
	return err
}
