//go:build servers

package vault

import (
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cofferhq/coffer/providers"
	"github.com/cofferhq/coffer/providers/providertest"
	"github.com/cofferhq/coffer/providers/secret"
	"github.com/cofferhq/coffer/providers/vault/signin"
	"github.com/cofferhq/coffer/providers/vault/vaulttest"
)

// setting is one way to run the suite.
type setting struct {
	options   vaulttest.Options
	namespace string
	appRole   bool
	// scan is the folder that may be scanned, "" for none.
	scan string
	// noScan: the server has no scan, as HashiCorp Vault has none.
	noScan bool
	many   int
}

func TestConformance(t *testing.T) {
	for name, s := range map[string]setting{
		"token":     {scan: "ours/*"},
		"approle":   {scan: "ours/conformance/*", appRole: true, many: 200},
		"namespace": {namespace: "team", scan: "ours/*", many: 200},
		"no scan":   {noScan: true},
		"tls":       {options: vaulttest.Options{TLS: true, RequireClientCert: true}, many: 200},
	} {
		t.Run(name, func(t *testing.T) {
			server := vaulttest.Start(t, s.options)
			if s.namespace != "" {
				server = server.In(s.namespace)
			}
			providertest.Run(t, providertest.Harness{
				Path: func(n int) string { return fmt.Sprintf("ours/conformance/test/secret-%d", n) },
				Many: s.many,
				New:  func(providertest.T) *providertest.Instance { return s.instance(t, server) },
			})
		})
	}
}

const forbiddenPath = "ours/forbidden/x"

// instance makes a mount of its own.
func (s setting) instance(t *testing.T, server *vaulttest.Server) *providertest.Instance {
	mount := server.KV()
	policy := policyFor(mount, "ours/")
	for _, part := range []string{"data", "metadata", "delete", "undelete", "destroy"} {
		policy += fmt.Sprintf("path %q { capabilities = [\"deny\"] }\n", mount+"/"+part+"/ours/forbidden/*")
	}
	object := mount + "-object"
	policy += fmt.Sprintf("path %q { capabilities = [\"create\", \"read\", \"update\", \"delete\"] }\n", "sys/policies/acl/"+object)
	blindPolicy := fmt.Sprintf("path %q { capabilities = [\"read\", \"list\"] }\n", mount+"/metadata/ours/*") +
		fmt.Sprintf("path %q { capabilities = [\"read\"] }\n", "sys/policies/acl/"+object)
	if s.scan != "" {
		scan := fmt.Sprintf("path %q { capabilities = [\"scan\"] }\n", mount+"/detailed-metadata/"+s.scan)
		policy, blindPolicy = policy+scan, blindPolicy+scan
	}
	server.Policy(mount, policy)
	server.Policy(mount+"-blind", blindPolicy)
	c := Config{Address: server.Address, Namespace: server.Namespace, Mount: mount, Prefix: "ours", CACert: server.CACert, ClientCert: server.ClientCert, ClientKey: server.ClientKey}
	inst := &providertest.Instance{Where: server.Address + " " + mount}
	if s.options.TLS {
		inst.Outage = func(down bool) {
			if down {
				server.Seal()
			} else {
				server.Unseal()
			}
		}
	} else {
		p := newProxy(t, server.Address)
		c.Address = p.URL
		s.throughProxy(p, mount, inst)
	}
	blind := c
	c.Token, blind.Token = plainCredential(server.TokenWith(mount)), plainCredential(server.TokenWith(mount+"-blind"))
	if s.appRole {
		c.Token = providers.Credential{}
		c.Auth = []signin.Block{appRole(t, server, mount, mount)}
	}
	inst.Driver = open(t, c)
	inst.Reopen = func() providers.Driver { return open(t, c) }
	inst.Blind = func() providers.Driver { return open(t, blind) }
	if s.scan != "ours/*" {
		inst.Forbidden = forbiddenPath
	}
	inst.Edit = func(path string, v secret.Value) {
		text, err := encodeWrite(v, 0)
		if err != nil {
			t.Fatal(err)
		}
		server.Must(http.MethodPost, mount+"/data/"+path, map[string]any{"data": withoutOptions(t, text)})
	}
	inst.Elsewhere = func() {
		server.Must(http.MethodPost, mount+"/data/theirs/x", map[string]any{"data": map[string]string{"value": "x"}})
	}
	inst.Object = func() providers.ObjectRequest {
		return providers.ObjectRequest{
			Ref: providers.ObjectRef{Kind: KindPolicy, Path: object}, OpID: "object",
			Document: "path \"a/*\" {\n  capabilities = [\"read\"]\n}\n",
		}
	}
	inst.PassWindow = func() { passWindow(t, server, open(t, c)) }
	return inst
}

// throughProxy gives a harness what only somebody in between can do.
func (s setting) throughProxy(p *proxy, mount string, inst *providertest.Instance) {
	if s.noScan {
		p.on(noScan)
	}
	inst.Outage = p.setDown
	var reads atomic.Int64
	hook := func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method == http.MethodGet && strings.Contains(r.URL.Path, "/"+mount+"/data/") {
			reads.Add(1)
		}
		return s.noScan && noScan(w, r)
	}
	p.on(hook)
	inst.ValueReads = func() int { return int(reads.Load()) }
	if s.noScan {
		inst.FailInspect = func(path string) {
			p.on(func(w http.ResponseWriter, r *http.Request) bool {
				if strings.HasSuffix(r.URL.Path, "/metadata/"+path) {
					http.Error(w, "<html>broken</html>", http.StatusBadGateway)
					return true
				}
				return hook(w, r)
			})
		}
	}
}

// passWindow destroys what is deleted, which is when Vault lets a name go, and
// returns when the server's clock, which tells seconds, has moved on.
func passWindow(t *testing.T, server *vaulttest.Server, d *Driver) {
	t.Helper()
	found, err := d.List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for path, m := range found {
		if !m.IsDeleted() {
			continue
		}
		if err := d.Purge(t.Context(), path, m.Version); err != nil {
			t.Fatal(err)
		}
	}
	nextSecond(t, d)
}

func nextSecond(t *testing.T, d *Driver) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	first, err := d.health(t.Context())
	for now := first; err == nil && now.ServerTimeUTC <= first.ServerTimeUTC; now, err = d.health(t.Context()) {
		<-tick.C
	}
	if err != nil {
		t.Fatal(err)
	}
}
