//go:build servers

package kubernetes

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cofferhq/coffer/providers"
	"github.com/cofferhq/coffer/providers/kubernetes/delivery"
	"github.com/cofferhq/coffer/state/statetest/servers"
)

// TestPermissionsOfDeliveries plans and applies everything that a delivery can be
// with what is printed, and with no more.
func TestPermissionsOfDeliveries(t *testing.T) {
	c := newCluster(t)
	servers.InstallCRDs(t, c.Cluster, servers.ExternalSecretsCRDs)
	sealer := shared.SealedSecrets(t)
	namespace := c.fresh()
	admin := c.admin("")
	specs := sample(t, admin, namespace)
	inOrder(specs)
	for i, s := range specs {
		if s.Ref.Kind == delivery.KindSecretStore { // one of the cluster besides
			cluster := s
			cluster.Ref = providers.ObjectRef{Kind: delivery.KindClusterSecretStore, Path: "store-" + namespace}
			cluster.Document = strings.NewReplacer("kind: SecretStore", "kind: ClusterSecretStore", "name: web-env\n", "name: store-"+namespace+"\n", "  namespace: "+namespace+"\n", "").Replace(s.Document)
			specs = slices.Insert(specs, i, cluster)
			break
		}
	}
	path := c.workload(namespace, "deployment", "web", map[string]any{"paused": true})
	rollout := rolloutOf(admin, path)
	sealed := sealedPrefix + namespace + "/web-sealed"
	req := providers.PermissionRequest{Secrets: []providers.Use{{Path: sealed, Write: true}}, Objects: []providers.ObjectRef{rollout}}
	for _, s := range specs {
		req.Objects = append(req.Objects, s.Ref)
	}
	open := func(phase providers.Phase) *Driver {
		req.Phase = phase
		d := c.sealing(t, c.AdminToken, sealer)
		needed := d.Permissions(req)
		token := c.granted(d.PermissionDocument(req, needed), namespace)
		d = c.sealing(t, token, sealer)
		servers.Await(t, "the rights of "+string(phase)+" count", func() bool { return bad(d.Examine(t.Context(), needed)) == 0 })
		return d
	}
	plan, apply := open(providers.PhasePlan), open(providers.PhaseApply)
	looked := func(want int) map[providers.ObjectRef]providers.Object {
		t.Helper()
		found, err := plan.InspectObjects(t.Context(), req.Objects)
		if err != nil || len(found) != want {
			t.Fatalf("%d of %d, %v", len(found), want, err)
		}
		return found
	}
	looked(0)
	for _, s := range specs {
		made, err := apply.WriteObject(t.Context(), providers.ObjectRequest{Ref: s.Ref, Document: s.Document, OpID: "1", Attributes: marked})
		if err != nil {
			t.Fatalf("%v: %v", s.Ref, err)
		}
		let, err := apply.WriteObject(t.Context(), providers.ObjectRequest{Ref: s.Ref, Document: s.Document, OpID: "2", IfVersion: made.Version, Attributes: marked})
		if err != nil || let.Document != s.Document {
			t.Errorf("%v again: %v", s.Ref, err)
		}
	}
	if _, err := apply.WriteObject(t.Context(), providers.ObjectRequest{Ref: rollout, Document: "app.a = 1\n"}); err != nil {
		t.Error(err)
	}
	m := put(t, apply, providers.WriteRequest{Path: sealed, Value: fields("a", "canary"), OpID: "1", Attributes: marked})
	m = put(t, apply, providers.WriteRequest{Path: sealed, Value: fields("b", "canary"), OpID: "2", IfVersion: m.Version, Attributes: marked})
	found := looked(len(req.Objects))

	if meta := inspect(t, plan, sealed); meta.Version != m.Version {
		t.Errorf("%+v, written %+v", meta, m)
	}
	if said, err := plan.Conditions(t.Context(), req.Objects, []string{sealed}); err != nil || len(said) != 4 {
		t.Errorf("%+v %v", said, err)
	}
	if _, err := plan.Consumers(t.Context(), []string{namespace + "/web-env"}); err != nil {
		t.Error(err)
	}
	audit, err := plan.UndeclaredAccess(t.Context(), []providers.Managed{{Path: namespace + "/web-env"}}, nil)
	if err != nil || len(audit.Unseen) > 0 {
		t.Errorf("%+v %v", audit.Unseen, err)
	}

	// No more than that: not the plan, not another name, not a wider right.
	_, err = plan.WriteObject(t.Context(), providers.ObjectRequest{Ref: specs[0].Ref, Document: specs[0].Document, IfVersion: found[specs[0].Ref].Version, Attributes: marked})
	wantError(t, err, providers.Denied, "may not patch")
	for _, s := range specs {
		other := s.Ref
		other.Path += "-other"
		document := strings.ReplaceAll(s.Document, "name: "+s.Ref.Path[strings.Index(s.Ref.Path, "/")+1:]+"\n", "name: "+other.Path[strings.Index(other.Path, "/")+1:]+"\n")
		_, err = apply.WriteObject(t.Context(), providers.ObjectRequest{Ref: other, Document: document, Attributes: marked})
		wantError(t, err, providers.Denied, "-other]} to their ")
		if s.Ref.Kind == delivery.KindRole {
			wide := strings.ReplaceAll(s.Document, "- get\n", "- update\n")
			wide = strings.ReplaceAll(wide, "- create\n", "- delete\n")
			_, err = apply.WriteObject(t.Context(), providers.ObjectRequest{Ref: s.Ref, Document: wide, IfVersion: found[s.Ref].Version, Attributes: marked})
			wantError(t, err, providers.Denied, "give more than they may do themselves")
		}
	}
	slices.Reverse(specs)
	for _, s := range specs {
		_, err := apply.WriteObject(t.Context(), providers.ObjectRequest{Ref: s.Ref, IfVersion: found[s.Ref].Version, Attributes: marked})
		if s.Kept {
			wantError(t, err, providers.Denied, "may not delete "+s.Ref.Kind)
		} else if err != nil {
			t.Error(err)
		}
	}
	if err := apply.Delete(t.Context(), sealed, m.Version); err != nil {
		t.Error(err)
	}
	looked(2) // the service account and the rollout
}

// TestPermissionsOfLeaving lets go of a Role, and deletes what it gave, with the
// rights for what is no longer wanted.
func TestPermissionsOfLeaving(t *testing.T) {
	c := newCluster(t)
	servers.InstallCRDs(t, c.Cluster, servers.ExternalSecretsCRDs)
	namespace := c.fresh()
	admin := c.admin("")
	specs := sample(t, admin, namespace)
	inOrder(specs)
	req := providers.PermissionRequest{Phase: providers.PhaseApply}
	versions := map[providers.ObjectRef]string{}
	forgets := func(kind string) bool { return strings.HasPrefix(kind, "role") || kind == delivery.KindExternalSecret }
	for _, s := range specs {
		made, err := admin.WriteObject(t.Context(), providers.ObjectRequest{Ref: s.Ref, Document: s.Document, OpID: "1", Attributes: marked})
		if err != nil {
			t.Fatal(err)
		}
		versions[s.Ref] = made.Version
		end := providers.EndNamed
		if forgets(s.Ref.Kind) {
			end = providers.EndForgotten
		}
		req.Leaving = append(req.Leaving, providers.Leaving{ObjectRef: s.Ref, End: end})
	}
	needed := admin.Permissions(req)
	d := open(t, c.config(t, c.Address, c.granted(admin.PermissionDocument(req, needed), namespace), c.CA))
	servers.Await(t, "the rights count", func() bool { return bad(d.Examine(t.Context(), needed)) == 0 })
	for _, s := range specs {
		r := providers.ObjectRequest{Ref: s.Ref, IfVersion: versions[s.Ref], Attributes: marked}
		if forgets(s.Ref.Kind) {
			r.Document, r.Attributes = s.Document, providers.Attributes{}
		}
		if _, err := d.WriteObject(t.Context(), r); err != nil {
			t.Errorf("%v: %v", s.Ref, err)
		}
	}
}

// inOrder puts what is needed before what needs it.
func inOrder(specs []providers.ObjectSpec) {
	order := []string{delivery.KindServiceAccount, delivery.KindRole, delivery.KindRoleBinding, delivery.KindSecretStore, delivery.KindExternalSecret}
	slices.SortStableFunc(specs, func(a, b providers.ObjectSpec) int {
		return slices.Index(order, a.Ref.Kind) - slices.Index(order, b.Ref.Kind)
	})
}

// granted applies a document under names of its own: tests share a cluster.
func (c *cluster) granted(document, suffix string) (token string) {
	return c.applied(strings.NewReplacer("coffer-plan\n", "coffer-plan-"+suffix+"\n", "coffer-apply\n", "coffer-apply-"+suffix+"\n").Replace(document))
}

// sealing opens a driver that has the controller's certificate from a file.
func (c *cluster) sealing(t *testing.T, token string, s *servers.Sealer) *Driver {
	t.Helper()
	env := environment()
	env.Dir = t.TempDir()
	if err := os.WriteFile(filepath.Join(env.Dir, "cert.pem"), s.Cert, 0o600); err != nil {
		t.Fatal(err)
	}
	config := c.config(t, c.Address, token, c.CA)
	config.SealedSecrets = []SealedSecrets{{Certificate: "cert.pem"}}
	d, err := Open(env, config)
	if err != nil {
		t.Fatal(err)
	}
	d.restarts = restarts{patience: time.Minute, look: 10 * time.Millisecond}
	return d
}
