//go:build servers

package plannertest

import (
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"sync/atomic"
	"testing"

	"github.com/cofferhq/coffer/planner"
	"github.com/cofferhq/coffer/providers/vault/vaulttest"
)

// twoServers are servers with a mount of one name, behind one address.
type twoServers struct {
	first, second *vaulttest.Server
	mount         string
	address       string
	target        atomic.Pointer[url.URL]
	// changes counts the requests to the second that change something.
	changes atomic.Int64
}

func newTwoServers(t *testing.T) *twoServers {
	t.Helper()
	s := &twoServers{
		first: vaulttest.Start(t, vaulttest.Options{NoAudit: true}), second: vaulttest.Start(t, vaulttest.Options{NoAudit: true}),
	}
	s.mount = s.first.KV()
	if other := s.second.KV(); other != s.mount {
		t.Fatalf("the mounts are called %s and %s", s.mount, other)
	}
	s.point(t, s.first)
	s.address = switching(t, func(r *httputil.ProxyRequest) {
		r.SetURL(s.target.Load())
		// Both take the same token, as servers do whose token is an identity's.
		if s.target.Load().String() == s.second.Address {
			r.Out.Header.Set("X-Vault-Token", s.second.RootToken)
			if r.In.Method != http.MethodGet {
				s.changes.Add(1)
			}
		}
	})
	return s
}

func (s *twoServers) point(t *testing.T, at *vaulttest.Server) {
	t.Helper()
	u, err := url.Parse(at.Address)
	if err != nil {
		t.Fatal(err)
	}
	s.target.Store(u)
}

// TestVaultIsAnother: another server behind the same address stops the plan.
func TestVaultIsAnother(t *testing.T) {
	s := newTwoServers(t)
	v := vaultWorld(t, s.first, s.mount, &prefixes{})
	v.address = s.address
	v.Configure(fleet(fleetSize))
	v.Apply()
	s.point(t, s.second)
	_, diags := planner.Connect(t.Context(), v.Providers(), v.State.snapshot("test-1"))
	if len(diags) == 0 || s.changes.Load() > 0 {
		t.Errorf("another server: %d diagnostics, %d changes", len(diags), s.changes.Load())
	}
	s.point(t, s.first)
	if err := v.converged("1"); err != nil {
		t.Error(err)
	}
}

// switching is a proxy to wherever rewrite says.
func switching(t *testing.T, rewrite func(*httputil.ProxyRequest)) string {
	t.Helper()
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	s := httptest.NewServer(&httputil.ReverseProxy{Rewrite: rewrite, Transport: transport})
	t.Cleanup(s.Close)
	return s.URL
}
