//go:build servers

package kubernetes

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cofferhq/coffer/providers/providertest/netfault"
	"github.com/cofferhq/coffer/state/remote"
	"github.com/cofferhq/coffer/state/statetest"
	"github.com/cofferhq/coffer/state/statetest/servers"
)

// authorized adds the token, which client-go sends nowhere without TLS.
type authorized struct {
	http.RoundTripper
	token string
}

func (a authorized) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("Authorization", "Bearer "+a.token)
	return a.RoundTripper.RoundTrip(r)
}

func TestFaults(t *testing.T) {
	r := &real{Cluster: servers.Kube(t)}
	namespace := r.namespace()
	statetest.Faults(t, statetest.FaultHarness{
		Proxy:  netfault.New(t, r.Address, netfault.Options{Transport: authorized{r.Client().Transport, r.AdminToken}}),
		Direct: r.Address, Hidden: []string{r.AdminToken},
		Open: func(t testing.TB, address string) remote.Blobs {
			text := strings.Replace(r.Kubeconfig(r.AdminToken), r.Address, address, 1)
			if address != r.Address { // without TLS
				text = strings.Replace(text, "    certificate-authority: "+r.CAFile+"\n", "", 1)
			}
			file := filepath.Join(t.TempDir(), "config")
			if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			b, err := (&Config{Namespace: namespace, Name: "shop", Kubeconfig: file}).open(environment(), serviceAccountDir)
			if err != nil {
				t.Fatal(err)
			}
			return b
		},
	})
}
