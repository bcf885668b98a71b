package kubernetes

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/cofferhq/coffer/providers"
)

// examination gathers the findings of [Driver.Examine].
type examination struct {
	d *Driver

	list []providers.Finding
	may  map[string]bool // what is allowed for all names, by target and verb
}

func (x *examination) ok(subject, format string, args ...any) {
	x.list = append(x.list, providers.Finding{Subject: subject, Status: providers.FindingOK, Text: fmt.Sprintf(format, args...)})
}

func (x *examination) fail(subject string, err error) {
	f := providers.Finding{Subject: subject, Status: providers.FindingFail, Text: err.Error()}
	var e *providers.Error
	if errors.As(err, &e) {
		f.Next = e.Hint
		if e.Err != nil {
			f.Text = e.Err.Error()
		}
	}
	x.list = append(x.list, f)
}

// Examine implements [providers.Examiner]. Where no server answers, there is
// nothing more to be looked at.
func (d *Driver) Examine(ctx context.Context, needed []providers.Permission) []providers.Finding {
	x := &examination{d: d, may: map[string]bool{}}
	if x.server(ctx) && x.who(ctx) {
		for _, p := range needed {
			x.permission(ctx, p)
		}
	}
	return x.list
}

func (x *examination) server(ctx context.Context) bool {
	host := x.d.client.Base.Host
	var version struct {
		GitVersion string `json:"gitVersion"`
	}
	r := request{verb: get, resource: resource{plural: "version", kind: "version"}, shape: whole}
	if _, err := x.d.client.do(ctx, r, &version); err != nil {
		x.fail("server", err)
		return false
	}
	x.ok("server", "%s answers: Kubernetes %s", host, word(strings.ReplaceAll(version.GitVersion, "+", "-")))
	return true
}

// review sends a question about the credentials in use.
func (x *examination) review(ctx context.Context, about resource, spec, into any) error {
	body, err := json.Marshal(map[string]any{
		"apiVersion": strings.Join(about.root[1:], "/"), "kind": about.kind, "spec": spec,
	})
	if err != nil {
		return err
	}
	_, err = x.d.client.do(ctx, request{verb: create, resource: about, media: plainJSON, body: body, shape: whole, review: true}, into)
	return err
}

func (x *examination) who(ctx context.Context) bool {
	var answer struct {
		Status struct {
			UserInfo struct {
				Username string   `json:"username"`
				Groups   []string `json:"groups"`
			} `json:"userInfo"`
		} `json:"status"`
	}
	err := x.review(ctx, reviews, map[string]any{}, &answer)
	switch {
	case err != nil && providers.CodeOf(err) == providers.NotFound: // before Kubernetes 1.28
		return true
	case err != nil:
		x.fail("credentials", err)
		return false
	}
	who := answer.Status.UserInfo
	x.ok("credentials", "%.100q in the groups %.300q", who.Username, strings.Join(who.Groups, ", "))
	return true
}

// permission asks whether what is needed is allowed: for all names first, which
// answers for each of them.
func (x *examination) permission(ctx context.Context, p providers.Permission) {
	t := targetOf(p.Path)
	var missing []string
	for _, v := range p.Capabilities {
		allowed, err := x.allowed(ctx, t, v)
		if err != nil {
			x.fail(p.Path, err)
			return
		}
		if !allowed {
			missing = append(missing, v)
		}
	}
	if len(missing) == 0 {
		x.ok(p.Path, "%s", strings.Join(p.Capabilities, ", "))
		return
	}
	role, rule := "ClusterRole", fmt.Sprintf(`{apiGroups: [%q], resources: [%s], verbs: [%s]`, t.group, t.resource, strings.Join(missing, ", "))
	if t.namespace != "" {
		role = "Role"
	}
	if t.name != "" {
		rule += ", resourceNames: [" + t.name + "]"
	}
	x.list = append(x.list, providers.Finding{
		Subject: p.Path, Status: providers.FindingFail,
		Text: fmt.Sprintf("these credentials may not %s (%s)", strings.Join(missing, ", "), p.Why),
		Next: "their " + role + " needs the rule " + rule + "}",
	})
}

func (x *examination) allowed(ctx context.Context, t target, v string) (bool, error) {
	all := t.named("").path() + " " + v
	known, asked := x.may[all]
	if !asked {
		var err error
		if known, err = x.ask(ctx, t.named(""), v); err != nil {
			return false, err
		}
		x.may[all] = known
	}
	if known || t.name == "" {
		return known, nil
	}
	return x.ask(ctx, t, v)
}

func (x *examination) ask(ctx context.Context, t target, v string) (bool, error) {
	var answer struct {
		Status struct {
			Allowed bool `json:"allowed"`
		} `json:"status"`
	}
	main, sub, _ := strings.Cut(t.resource, "/")
	attributes := map[string]string{"namespace": t.namespace, "verb": v, "group": t.group, "resource": main, "subresource": sub, "name": t.name}
	err := x.review(ctx, accesses, map[string]any{"resourceAttributes": attributes}, &answer)
	return answer.Status.Allowed, err
}
