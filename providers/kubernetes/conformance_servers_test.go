//go:build servers

package kubernetes

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/cofferhq/coffer/providers"
	"github.com/cofferhq/coffer/providers/providertest"
	"github.com/cofferhq/coffer/providers/secret"
	"github.com/cofferhq/coffer/state/statetest/servers"
)

// TestConformance is the suite on a real API server: with a namespace in the
// block, where a list answers for all of it, and without one.
func TestConformance(t *testing.T) {
	for name, fenced := range map[string]bool{"namespace": true, "everywhere": false} {
		t.Run(name, func(t *testing.T) { conform(t, fenced) })
	}
}

func conform(t *testing.T, fenced bool) {
	c := newCluster(t)
	for _, namespace := range []string{"shop-production", "shop-staging", "shop-staging-production", "production-shop", "forbidden"} {
		c.Do(http.MethodPost, "/api/v1/namespaces", c.AdminToken, map[string]any{"metadata": map[string]any{"name": namespace}})
	}
	home := "none"
	h := providertest.Harness{
		// More than a page of a list.
		Page: pageSize + 20,
		Path: func(n int) string { return fmt.Sprintf("%s/secret-%d", home, n) },
	}
	h.New = func(pt providertest.T) *providertest.Instance {
		if strings.Contains(pt.Name(), "/22_") && c.hasUsed(pt.Name()) {
			other := &cluster{Cluster: servers.Kube(t), t: t}
			return &providertest.Instance{Driver: other.admin(other.fresh())}
		}
		home = c.fresh()
		return c.instance(t, home, fenced)
	}
	providertest.Run(t, h)
}

// hasUsed reports whether a point was there before.
func (c *cluster) hasUsed(name string) bool {
	before := c.used[name]
	if c.used == nil {
		c.used = map[string]bool{}
	}
	c.used[name] = true
	return before
}

// instance is a namespace, used by a service account that may do all there.
func (c *cluster) instance(t *testing.T, home string, fenced bool) *providertest.Instance {
	c.clusterRole("identity", rule("namespaces", "get"))
	c.clusterRole("secrets", rule("secrets", "get", "list", "create", "patch", "delete"))
	token := c.ServiceAccountToken(home, "user")
	c.grant("identity", "", "user", home)
	for _, namespace := range []string{home, "shop-production", "shop-staging", "shop-staging-production", "production-shop"} {
		c.grant("secrets", namespace, "user", home)
	}
	p := newProxy(t, c)
	config := c.config(t, p.URL, token, p.CA)
	if fenced {
		config.Namespace = home
	}
	inst := &providertest.Instance{
		Driver:     open(t, config),
		Reopen:     func() providers.Driver { return open(t, config) },
		Outage:     p.setDown,
		ValueReads: p.reads,
		Editor:     by,
		Where:      c.Address + " namespace " + home,
	}
	if !fenced {
		inst.Forbidden = "forbidden/x"
	}
	awaitRights(t, open(t, config), home)
	inst.Edit = func(path string, v secret.Value) {
		err := v.Expose(func(b []byte) error {
			c.edit(path, map[string]any{"value": string(b)})
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	elsewhere := c.fresh()
	inst.Elsewhere = func() { c.edit(elsewhere+"/x", map[string]any{"value": "x"}) }
	// A list has no path of its own that fails; what is asked for one by one has.
	inst.FailInspect = func(path string) { p.on(failing(path)) }
	return inst
}

// failing lets everything that would tell of a path fail, and nothing else: a
// list is denied, so that each path is asked for.
func failing(path string) func(w http.ResponseWriter, r *http.Request) bool {
	return func(w http.ResponseWriter, r *http.Request) bool {
		switch {
		case strings.HasSuffix(r.URL.Path, at(path)):
			http.Error(w, "<html>broken</html>", http.StatusBadGateway)
		case r.Method == http.MethodGet && strings.HasSuffix(r.URL.Path, "/secrets"):
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(http.StatusForbidden)
			fmt.Fprint(w, `{"kind":"Status","reason":"Forbidden","details":{"kind":"secrets"}}`)
		default:
			return false
		}
		return true
	}
}

// awaitRights returns when what was granted counts.
func awaitRights(t *testing.T, d *Driver, namespace string) {
	t.Helper()
	servers.Await(t, "the rights count", func() bool {
		_, err := d.Identity(t.Context())
		_, lookErr := d.find(t.Context(), namespace+"/x")
		return err == nil && lookErr == nil
	})
}

// TestLargest writes as much as one Secret holds, and a byte more.
func TestLargest(t *testing.T) {
	c := newCluster(t)
	d := c.admin(c.fresh())
	path := d.namespace + "/large"
	largest := secret.New(make([]byte, maxBytes))
	m := put(t, d, providers.WriteRequest{Path: path, Value: largest, OpID: "1"})
	got, err := d.Read(t.Context(), path, m.Version)
	if err != nil {
		t.Fatal(err)
	}
	_ = got.Expose(func(b []byte) error {
		if len(b) != maxBytes {
			t.Errorf("%d bytes", len(b))
		}
		return nil
	})
	_, err = d.Write(t.Context(), providers.WriteRequest{Path: path, Value: secret.New(make([]byte, maxBytes+1)), OpID: "2", IfVersion: m.Version})
	wantError(t, err, providers.Invalid, "an object of this size")
	_, err = d.Write(t.Context(), providers.WriteRequest{Path: d.namespace + "/huge", Value: secret.New(make([]byte, 4*maxBytes)), OpID: "2"})
	wantError(t, err, providers.Invalid, "an object of this size")
}

func encoded(text string) string { return base64.StdEncoding.EncodeToString([]byte(text)) }

func wantError(t *testing.T, err error, code providers.Code, parts ...string) {
	t.Helper()
	if err == nil || providers.CodeOf(err) != code {
		t.Errorf("%v: %v, want %v", providers.CodeOf(err), err, code)
		return
	}
	for _, part := range parts {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%v\nlacks %q", err, part)
		}
	}
	if strings.Contains(err.Error(), "canary") {
		t.Errorf("a value is in %v", err)
	}
}
