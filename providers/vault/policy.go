package vault

import (
	"context"
	"fmt"
	"net/http"
	"strings"

	"github.com/cofferhq/coffer/providers"
	"github.com/cofferhq/coffer/providers/vault/acl"
)

// markStart begins the comment that is the owner mark of a policy, its first
// line.
const markStart = "# coffer: "

// splitMark takes the mark line off the text of a policy.
func splitMark(text string) (mark providers.Mark, rest string, marked bool) {
	line, rest, _ := strings.Cut(text, "\n")
	words, ok := strings.CutPrefix(strings.TrimRight(line, "\r"), markStart)
	if !ok {
		return mark, text, false
	}
	for word := range strings.FieldsSeq(words) {
		key, value, _ := strings.Cut(word, "=")
		switch key {
		case "project":
			mark.Project = value
		case "address":
			mark.Address = value
		case "protected":
			mark.Protected = value == "true"
		}
	}
	return mark, rest, true
}

// withMark puts the mark line before the text of a policy; the zero mark is
// none.
func withMark(mark providers.Mark, document string) (string, error) {
	if mark == (providers.Mark{}) {
		return document, nil
	}
	for _, word := range []string{mark.Project, mark.Address} {
		if strings.ContainsFunc(word, func(r rune) bool { return r <= ' ' || r == 0x7f }) {
			return "", providers.Errorf(providers.Invalid, "the project %q cannot stand in an owner mark", word)
		}
	}
	return fmt.Sprintf("%sproject=%s address=%s protected=%t\n", markStart, mark.Project, mark.Address, mark.Protected) + document, nil
}

// ours reports whether a policy carries a mark; a mark without address is that
// of any of the project's policies. A provider that keeps no marks (KV version 1)
// cannot tell its own from those without one.
func (d *Driver) ours(p *livePolicy, mark providers.Mark) bool {
	have, _, marked := splitMark(p.text)
	if !marked && d.config.AllowValueRead {
		return true
	}
	return have.Project == mark.Project && (mark.Address == "" || have.Address == mark.Address)
}

// canonicalPolicy is the text of a policy in the form in which it is compared:
// as it is, with one end of line at its end.
func canonicalPolicy(text string) string {
	return strings.TrimRight(text, " \t\r\n") + "\n"
}

// livePolicy is an ACL policy as the server has it.
type livePolicy struct {
	text string
	// cas is what a write must carry to replace this text and no other, on
	// servers that have it (OpenBao); others pass it over.
	cas int
}

func (p *livePolicy) object() *providers.Object {
	if p == nil {
		return nil
	}
	mark, rest, _ := splitMark(p.text)
	o := newObject(KindPolicy, canonicalPolicy(rest))
	o.Attributes.Mark = mark
	return o
}

func policyPath(name string) string { return "sys/policies/acl/" + name }

// livePolicy returns a policy, nil where it does not exist.
func (d *Driver) livePolicy(ctx context.Context, name string) (*livePolicy, error) {
	if err := checkPolicyName(name); err != nil {
		return nil, err
	}
	var answer struct {
		Data struct {
			Policy  string
			Version int
		}
	}
	err := d.client.do(ctx, request{method: http.MethodGet, path: policyPath(name), into: &answer})
	if providers.CodeOf(err) == providers.NotFound {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if answer.Data.Policy == "" { // no server keeps one without text
		return nil, noContent(policyPath(name))
	}
	return &livePolicy{text: answer.Data.Policy, cas: answer.Data.Version}, nil
}

func (d *Driver) inspectPolicy(ctx context.Context, name string) (*providers.Object, error) {
	p, err := d.livePolicy(ctx, name)
	return p.object(), err
}

// writePolicy replaces a policy that is the one the request was made for. Only
// OpenBao checks that itself; so the policy is read before, with little time
// between, and after.
func (d *Driver) writePolicy(ctx context.Context, req providers.ObjectRequest) (providers.Object, error) {
	name := req.Ref.Path
	live, err := d.livePolicy(ctx, name)
	if err != nil {
		return providers.Object{}, err
	}
	if gone, err := precondition(req, live.object()); gone || err != nil {
		return providers.Object{}, err
	}
	if req.Document == "" {
		if !d.ours(live, req.Attributes.Mark) {
			return providers.Object{}, providers.Errorf(providers.Conflict, "the policy %s does not carry the mark that it had from here: it is somebody else's now", name).
				WithHint("leave it to them with a removed block that has lifecycle { destroy = false }, or delete it with `vault policy delete %s`", name)
		}
		return providers.Object{}, d.client.do(ctx, request{method: http.MethodDelete, path: policyPath(name)})
	}
	if _, err := acl.Parse(req.Document); err != nil {
		return providers.Object{}, providers.Errorf(providers.Invalid, "the policy %s: %w", name, err)
	}
	text, err := withMark(req.Attributes.Mark, canonicalPolicy(req.Document))
	if err != nil {
		return providers.Object{}, err
	}
	body := map[string]any{"policy": text, "cas": 0}
	if live != nil {
		body["cas"] = live.cas
	}
	if err := d.client.do(ctx, request{method: http.MethodPost, path: policyPath(name), body: body}); err != nil {
		return providers.Object{}, err
	}
	after, err := d.livePolicy(ctx, name)
	switch {
	case err != nil:
		return providers.Object{}, unsure(req, err)
	case after == nil || after.text != text:
		return providers.Object{}, providers.Errorf(providers.Conflict, "somebody else wrote the policy %s at the same time", name).
			WithHint("look at it and run this again")
	}
	return *after.object(), nil
}
