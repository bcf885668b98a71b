package vault

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/cofferhq/coffer/providers"
)

// writeBinding attaches a policy to a holder or takes it off. The holder's other
// policies stay as they are: they are read and sent again, and within this
// process one change of a holder waits for the other.
func (d *Driver) writeBinding(ctx context.Context, req providers.ObjectRequest) (providers.Object, error) {
	h, policy, err := parseBinding(req.Ref.Path)
	if err != nil {
		return providers.Object{}, err
	}
	if req.Document != "" && req.Document != attached {
		return providers.Object{}, providers.Errorf(providers.Invalid, "the document of the binding %s is not understood", req.Ref.Path)
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
	var policies []string
	var was *providers.Object
	if live != nil {
		policies, was = live.policies(), live.binding(policy)
	}
	if gone, err := precondition(req, was); gone || err != nil {
		return providers.Object{}, err
	}
	if live == nil && h.typ != typeAppRole {
		return providers.Object{}, missingHolder(h)
	}
	if req.Document == "" {
		policies = slices.DeleteFunc(policies, func(p string) bool { return p == policy })
		if err := d.mayDetach(ctx, req, h, policy, policies); err != nil {
			return providers.Object{}, err
		}
	} else if was == nil {
		policies = sortedPolicies(append(policies, policy))
	}
	if err := d.sendPolicies(ctx, h, live, policies); err != nil {
		return providers.Object{}, err
	}
	after, err := d.readHolder(ctx, h)
	if err != nil {
		return providers.Object{}, unsure(req, err)
	}
	if after == nil || (after.binding(policy) == nil) != (req.Document == "") {
		return providers.Object{}, providers.Errorf(providers.Conflict, "somebody else changed the policies of %s at the same time", h.label()).
			WithHint("look at it with `vault read %s` and run this again", h.api())
	}
	if req.Document == "" {
		return providers.Object{}, nil
	}
	return *after.binding(policy), nil
}

// mayDetach refuses to take off a policy that is not one of the project's: who
// attached that one cannot be told. One that exists no more gives nothing. rest
// is what then stays attached.
func (d *Driver) mayDetach(ctx context.Context, req providers.ObjectRequest, h holder, policy string, rest []string) error {
	live, err := d.livePolicy(ctx, policy)
	if err != nil || live == nil || d.ours(live, providers.Mark{Project: req.Attributes.Mark.Project}) {
		return err
	}
	return providers.Errorf(providers.Conflict, "the policy %s is not of this project, so whether %s has it by this project alone cannot be told", policy, h.label()).
		WithHint("take it off by hand if so: %s; or let go of it with a removed block that has lifecycle { destroy = false }", h.byHand(rest))
}

// byHand says how a person leaves only some policies attached.
func (h holder) byHand(rest []string) string {
	set := fmt.Sprintf("%s=%q", h.argument(), strings.Join(rest, ","))
	if h.typ == typeJWT || h.typ == typeKubernetes {
		return fmt.Sprintf("`vault write %s %s …` with all else that `vault read %s` shows, since what is left out goes back to its standard", h.api(), set, h.api())
	}
	return fmt.Sprintf("`vault write %s %s`", h.api(), set)
}

// missingHolder says what to do about a holder that Coffer does not make by
// itself, because it would not know who that is.
func missingHolder(h holder) error {
	e := providers.Errorf(providers.NotFound, "%s does not exist, so that no policy can be attached to it", h.label())
	switch h.typ {
	case typeEntity:
		return e.WithHint("make it with `vault write identity/entity name=%q` and give it an alias", h.name)
	case typeGroup:
		return e.WithHint("make it with `vault write identity/group name=%q member_entity_ids=…`", h.name)
	}
	return e.WithHint("declare it with a block: role %q %q { … }", h.typ, h.name)
}

func (d *Driver) sendPolicies(ctx context.Context, h holder, live *liveHolder, policies []string) error {
	if policies == nil {
		policies = []string{}
	}
	set := map[string]any{h.argument(): policies}
	if h.isRole() {
		return d.sendRole(ctx, h, live, set)
	}
	if name, _ := live.data["name"].(string); strings.EqualFold(name, h.name) {
		h.name = name // the server would take another spelling for a new name
	}
	return d.client.do(ctx, request{method: http.MethodPost, path: h.api(), body: set})
}
