//go:build servers

package vault

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/cofferhq/coffer/providers"
	"github.com/cofferhq/coffer/providers/providertest"
	"github.com/cofferhq/coffer/providers/providertest/canary"
	"github.com/cofferhq/coffer/providers/providertest/netfault"
	"github.com/cofferhq/coffer/providers/secret"
	"github.com/cofferhq/coffer/providers/vault/signin"
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
	config := &Config{Address: address, Mount: p.mount, Token: providertoken(p.RootToken), AllowHTTP: true} // names that resolve nowhere
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
		Path:        p.onlyOne,
		Object:      faultObject,
		Credentials: []canary.Canary{canary.Of("token", []byte(p.RootToken), true)},
		Patience:    500 * time.Millisecond,
		Every:       soaking,
	}
}

// onlyOne is the path of the nth cell. The one before it goes: where a fault
// spoils the scan, a list walks through all that is there, and how many requests
// that takes is not to grow with the number of cells.
func (p *place) onlyOne(n int) string {
	path := func(n int) string { return fmt.Sprintf("fault/%d/db", n) }
	p.Do(http.MethodDelete, p.mount+"/metadata/"+path(n-1), p.RootToken, nil)
	return path(n)
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

// TestFaultsWhileSigningIn lets the sign-in of each kind fail: no error, no log
// and no other host ever gets what it signs in with.
func TestFaultsWhileSigningIn(t *testing.T) {
	p := newPlace(t, vaulttest.Start(t, vaulttest.Options{NoAudit: true}))
	p.Policy("kv", policyFor(p.mount, ""))
	const password = "pW7rXk2ZqT9vLm4NhB8sYd3J"
	p.Must(http.MethodPost, "sys/auth/userpass", map[string]string{"type": "userpass"})
	p.Must(http.MethodPost, "auth/userpass/users/alice", map[string]any{"password": password, "token_policies": []string{"kv"}})
	role := appRole(t, p.Server, "suite", "kv")
	hidden := []canary.Canary{canary.Of("password", []byte(password), true)}
	secretID, err := reflect.ValueOf(role.Config).Elem().FieldByName("SecretID").Interface().(providers.Credential).Value(t.Context())
	must(t, err)
	must(t, secretID.Expose(func(b []byte) error {
		hidden = append(hidden, canary.Of("secret_id", bytes.Clone(b), true))
		return nil
	}))
	var user signin.Block
	config, err := user.DecodeBlock([]string{"userpass"})
	must(t, err)
	fields := reflect.ValueOf(config).Elem()
	fields.FieldByName("Username").SetString("alice")
	fields.FieldByName("Password").Set(reflect.ValueOf(plainCredential(password)))
	finder, cells := canary.NewFinder(hidden...), 0
	for _, block := range []signin.Block{role, user} {
		for _, f := range netfault.Faults() {
			for nth := 1; nth <= 2; nth++ { // the sign-in, and what comes after it
				cells++
				p.signInUnder(t, f, nth, block, finder)
			}
		}
	}
	t.Logf("%d cells", cells)
}

func (p *place) signInUnder(t *testing.T, f netfault.Fault, nth int, block signin.Block, finder *canary.Finder) {
	t.Helper()
	var sink bytes.Buffer
	after := time.Duration(0)
	if f.Endless {
		after = 300 * time.Millisecond
	}
	before := len(p.proxy.Elsewhere())
	signedIn := func(c *Config) { c.Token, c.Auth = providers.Credential{}, []signin.Block{block} }
	driver := providers.New("suite", p.open(t, p.proxy.Address(f), after, signedIn), providers.Options{
		Sleep: func(ctx context.Context, _ time.Duration) error { return ctx.Err() },
		Log:   slog.New(slog.NewJSONHandler(&sink, &slog.HandlerOptions{Level: slog.LevelDebug - 4})),
	})
	p.proxy.Inject(f, netfault.Match{Nth: nth, Times: 2})
	_, err := driver.Inspect(t.Context(), []string{"sign/in"})
	p.proxy.Lift()
	p.proxy.Settle()
	fmt.Fprintf(&sink, "%v %+v %#v", err, err, err)
	var e *providers.Error
	var partial *providers.PartialError
	switch {
	case err == nil:
	case errors.As(err, &partial):
		err = partial.Paths["sign/in"]
		fmt.Fprintf(&sink, "%v", err)
	case !errors.As(err, &e):
		t.Errorf("%s at request %d, %s: not typed: %v", f.Name, nth, block.Method, err)
	case f.Person && e.Hint == "":
		t.Errorf("%s at request %d, %s: no next step: %v", f.Name, nth, block.Method, err)
	}
	for _, hit := range finder.Find(sink.Bytes()) {
		t.Errorf("%s at request %d, %s: in the error or log: %v", f.Name, nth, block.Method, hit)
	}
	for _, a := range p.proxy.Elsewhere()[before:] {
		t.Errorf("%s, %s: another host got %s %s with %v", f.Name, block.Method, a.Method, a.Path, a.Credentials)
	}
	if _, err := providers.New("suite", p.open(t, p.proxy.URL, 0, signedIn), providers.Options{}).Inspect(t.Context(), []string{"sign/in"}); err != nil {
		t.Errorf("%s at request %d, %s: afterwards: %v", f.Name, nth, block.Method, err)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// TestFaultsWithoutTheScan is the suite on a server that offers what HashiCorp
// Vault does: folders are walked, and each secret is asked for.
func TestFaultsWithoutTheScan(t *testing.T) {
	p := newPlace(t, vaulttest.Start(t, vaulttest.Options{NoAudit: true}))
	plain := newProxy(t, p.Address)
	plain.on(noScan)
	p.proxy = netfault.New(t, plain.URL, netfault.Options{Class: p.class})
	must(t, os.WriteFile(p.ca, p.proxy.CA, 0o600))
	h := p.faults()
	h.Direct = p.open(t, p.Address, 0)
	h.Object = nil
	// A walk goes through all that the suite has written, so it has a few faults.
	report := providertest.VerifyFaults(t.Context(), h,
		"refused", "answer dropped", "429", "502", "404 of a gateway", "truncated JSON", "HTML sign-in page", "redirect to another host")
	for _, failure := range report.Failures {
		t.Error(failure)
	}
}
