//go:build servers

package vault

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cofferhq/coffer/providers"
	"github.com/cofferhq/coffer/providers/providertest"
	"github.com/cofferhq/coffer/providers/providertest/canary"
	"github.com/cofferhq/coffer/providers/providertest/netfault"
	"github.com/cofferhq/coffer/providers/secret"
	"github.com/cofferhq/coffer/providers/vault/vaulttest"
)

// place is one mount of a real server, seen directly and through a proxy.
type place struct {
	*vaulttest.Server
	proxy *netfault.Proxy
	mount string
	ca    string // file
}

func newPlace(t *testing.T, server *vaulttest.Server) *place {
	t.Helper()
	p := &place{Server: server, mount: server.KV(), ca: filepath.Join(t.TempDir(), "ca.pem")}
	p.proxy = netfault.New(t, server.Address, netfault.Options{Class: p.class})
	if err := os.WriteFile(p.ca, p.proxy.CA, 0o600); err != nil {
		t.Fatal(err)
	}
	return p
}

// class is the part of the API that a path lies in: "data", "metadata", "sys".
func (p *place) class(_, path string) string {
	path = strings.TrimPrefix(path, "/v1/")
	rest, below := strings.CutPrefix(path, p.mount+"/")
	if !below {
		rest = path
	}
	part, _, _ := strings.Cut(rest, "/")
	return part
}

// open returns a driver that finds the server at address.
func (p *place) open(t providertest.T, address string, after time.Duration, change ...func(*Config)) *Driver {
	t.Helper()
	config := &Config{Address: address, Mount: p.mount, Token: providertoken(p.RootToken)}
	if strings.HasPrefix(address, "https:") {
		config.CACert = p.ca
	}
	for _, c := range change {
		c(config)
	}
	d, err := Open(providers.Env{
		Dir: t.TempDir(), Getenv: func(string) string { return "" }, Now: time.Now, Phase: providers.PhaseApply, Project: "conformance",
	}, config)
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	if after > 0 {
		d.client.patience = after
	}
	return d
}

func providertoken(token string) providers.Credential {
	return providers.NewCredential(`from_env("VAULT_TOKEN")`, false, func(context.Context) (secret.Value, error) {
		return secret.String(token), nil
	})
}

func (p *place) versions(path string) int {
	status, answer := p.Do(http.MethodGet, p.mount+"/metadata/"+path, p.RootToken, nil)
	if status != http.StatusOK {
		return 0
	}
	current, _ := answer["data"].(map[string]any)["current_version"].(float64)
	return int(current)
}

func (p *place) faults() providertest.FaultHarness {
	return providertest.FaultHarness{
		Proxy: p.proxy,
		Open: func(t providertest.T, address string, after time.Duration) providers.Driver {
			return p.open(t, address, after)
		},
		Versions:    p.versions,
		Path:        func(n int) string { return fmt.Sprintf("fault/%d/db", n) },
		Object:      faultObject,
		Credentials: []canary.Canary{canary.Of("token", []byte(p.RootToken), true)},
		Patience:    500 * time.Millisecond,
		Every:       soaking,
	}
}

func faultObject(n int) providers.ObjectRequest {
	return providers.ObjectRequest{
		Ref:        providers.ObjectRef{Kind: "policy", Path: fmt.Sprintf("fault-%d", n)},
		Document:   fmt.Sprintf("path \"secret/data/fault/%d\" {\n  capabilities = [\"read\"]\n}\n", n),
		Attributes: providers.Attributes{Mark: providers.Mark{Project: "conformance", Address: providers.AddressHash("policy")}},
	}
}

// TestFaults is the suite on a real server, with the scan and without it.
func TestFaults(t *testing.T) {
	p := newPlace(t, vaulttest.Start(t, vaulttest.Options{NoAudit: true}))
	h := p.faults()
	h.Direct = p.open(t, p.Address, 0)
	providertest.Faults(t, h)
}
