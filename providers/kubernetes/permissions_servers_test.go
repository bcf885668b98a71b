//go:build servers

package kubernetes

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/cofferhq/coffer/providers"
	"github.com/cofferhq/coffer/providers/secret"
	"github.com/cofferhq/coffer/state/statetest/servers"
)

// applied makes the objects of a text of YAML, as kubectl would, and returns a
// token of the service account that they name.
func (c *cluster) applied(text string) string {
	c.t.Helper()
	var account, home string
	for d := yaml.NewDecoder(strings.NewReader(text)); ; {
		var o map[string]any
		if err := d.Decode(&o); errors.Is(err, io.EOF) {
			return c.ServiceAccountToken(home, account)
		} else if err != nil {
			c.t.Fatal(err)
		}
		meta, kind := o["metadata"].(map[string]any), o["kind"].(string)
		place := "/apis/rbac.authorization.k8s.io/v1/"
		if namespace, ok := meta["namespace"]; ok {
			place += "namespaces/" + namespace.(string) + "/"
		}
		c.Must(http.MethodPost, place+strings.ToLower(kind)+"s", o)
		if subjects, ok := o["subjects"].([]any); ok {
			subject := subjects[0].(map[string]any)
			account, home = subject["name"].(string), subject["namespace"].(string)
		}
	}
}

// TestPermissions lives with what is printed, and with no more: another Secret
// of the same namespace can be neither changed nor deleted.
func TestPermissions(t *testing.T) {
	c := newCluster(t)
	first, second := c.fresh(), c.fresh()
	d := c.admin("")
	req := providers.PermissionRequest{
		Secrets: []providers.Use{{Path: first + "/a", Write: true}, {Path: first + "/manual"}, {Path: second + "/b", Write: true, Reads: []string{"a template"}}},
		Leaving: []providers.Leaving{
			{ObjectRef: providers.ObjectRef{Kind: kindSecret, Path: second + "/old"}, End: providers.EndDeleted},
			{ObjectRef: providers.ObjectRef{Kind: kindSecret, Path: second + "/let-go"}, End: providers.EndForgotten},
		},
	}
	for _, path := range []string{first + "/manual", first + "/other", second + "/old", second + "/let-go"} {
		c.edit(path, map[string]any{"value": "x"})
	}
	tokens, needed := map[providers.Phase]string{}, map[providers.Phase][]providers.Permission{}
	for _, phase := range []providers.Phase{providers.PhasePlan, providers.PhaseApply} {
		req.Phase = phase
		needed[phase] = d.Permissions(req)
		tokens[phase] = c.applied(d.PermissionDocument(req, needed[phase]))
	}
	plan := open(t, c.config(t, c.Address, tokens[providers.PhasePlan], c.CA))
	apply := open(t, c.config(t, c.Address, tokens[providers.PhaseApply], c.CA))
	servers.Await(t, "the rights count", func() bool {
		_, err := apply.Identity(t.Context())
		return err == nil && bad(plan.Examine(t.Context(), needed[providers.PhasePlan])) == 0 && bad(apply.Examine(t.Context(), needed[providers.PhaseApply])) == 0
	})
	m := put(t, apply, providers.WriteRequest{Path: first + "/a", Value: secret.String("one"), OpID: "1", Attributes: marked})
	put(t, apply, providers.WriteRequest{Path: first + "/a", Value: secret.String("two"), OpID: "2", IfVersion: m.Version, Attributes: marked})
	for _, path := range []string{first + "/manual", second + "/let-go"} {
		if _, err := apply.SetAttributes(t.Context(), path, inspect(t, plan, path).Version, marked); err != nil {
			t.Error(err)
		}
	}
	if err := apply.Delete(t.Context(), second+"/old", inspect(t, plan, second+"/old").Version); err != nil {
		t.Error(err)
	}
	other := inspect(t, plan, first+"/other")
	_, err := apply.Write(t.Context(), providers.WriteRequest{Path: first + "/other", Value: secret.String("canary"), OpID: "3", IfVersion: other.Version})
	wantError(t, err, providers.Denied, "may not patch secrets", "resourceNames: [other]")
	wantError(t, apply.Delete(t.Context(), first+"/other", other.Version), providers.Denied, "may not delete secrets")
	_, err = plan.Write(t.Context(), providers.WriteRequest{Path: first + "/new", Value: secret.String("canary"), OpID: "4"})
	wantError(t, err, providers.Denied, "verbs: [create]")
	if found, err := plan.Inspect(t.Context(), []string{first + "/a", first + "/b", first + "/c", first + "/manual", second + "/old"}); err != nil || len(found) != 2 {
		t.Errorf("%v, %v", found, err)
	}

	// A doctor says what is missing, and who is asking.
	findings := plan.Examine(t.Context(), needed[providers.PhaseApply])
	text := ""
	for _, f := range findings {
		text += string(f.Status) + " " + f.Subject + ": " + f.Text + " " + f.Next + "\n"
	}
	for _, part := range []string{
		"ok server: ", "Kubernetes v1.37", "ok credentials: \"system:serviceaccount:" + first + ":coffer-plan\"", "ok namespaces/kube-system: get",
		"error namespaces/" + first + "/secrets: these credentials may not create",
		"their Role needs the rule {apiGroups: [\"\"], resources: [secrets], verbs: [patch, delete], resourceNames: [a]}",
	} {
		if !strings.Contains(text, part) {
			t.Errorf("%s\nlacks %q", text, part)
		}
	}
}

func bad(list []providers.Finding) int {
	n := 0
	for _, f := range list {
		if f.Status != providers.FindingOK {
			n++
		}
	}
	return n
}
