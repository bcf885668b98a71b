//go:build servers

package vault

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cofferhq/coffer/providers"
	"github.com/cofferhq/coffer/providers/secret"
	"github.com/cofferhq/coffer/providers/vault/signin"
	"github.com/cofferhq/coffer/providers/vault/vaulttest"
)

// proxy stands before a server, counts what passes and can be in the way.
type proxy struct {
	URL string

	mu    sync.Mutex
	seen  []string // "GET secret/metadata/x"
	query []string // "GET list=true"
	hook  func(w http.ResponseWriter, r *http.Request) bool
	down  bool
	inner *httputil.ReverseProxy
}

func newProxy(t interface{ Cleanup(func()) }, target string) *proxy {
	u, err := url.Parse(target)
	if err != nil {
		panic(err)
	}
	p := &proxy{inner: httputil.NewSingleHostReverseProxy(u)}
	p.inner.Transport = &http.Transport{MaxIdleConnsPerHost: 64}
	p.inner.ErrorHandler = func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) }
	s := httptest.NewServer(p)
	t.Cleanup(s.Close)
	p.URL = s.URL
	return p
}

func (p *proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	p.seen = append(p.seen, r.Method+" "+strings.TrimPrefix(r.URL.Path, "/v1/"))
	if !strings.Contains(r.URL.Path, "/sys/") {
		p.query = append(p.query, r.Method+" "+r.URL.RawQuery)
	}
	hook, down := p.hook, p.down
	p.mu.Unlock()
	if down {
		panic(http.ErrAbortHandler)
	}
	if hook != nil && hook(w, r) {
		return
	}
	p.inner.ServeHTTP(w, r)
}

// take returns the requests since the last call.
func (p *proxy) take() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	seen := p.seen
	p.seen = nil
	return seen
}

func (p *proxy) queries() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.query
}

func (p *proxy) count(part string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := 0
	for _, s := range p.seen {
		if strings.Contains(s, part) {
			n++
		}
	}
	return n
}

func (p *proxy) on(hook func(w http.ResponseWriter, r *http.Request) bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.hook = hook
}

func (p *proxy) setDown(down bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.down = down
}

// noScan answers as a server without detailed-metadata does.
func noScan(w http.ResponseWriter, r *http.Request) bool {
	if !strings.Contains(r.URL.Path, "/detailed-metadata/") {
		return false
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusNotFound)
	fmt.Fprint(w, `{"errors":["no handler for route \"detailed-metadata\""]}`)
	return true
}

func plainCredential(text string) providers.Credential {
	return providers.NewCredential("the test", false, func(context.Context) (secret.Value, error) { return secret.String(text), nil })
}

func noEnvironment(string) string { return "" }

func env(getenv func(string) string) providers.Env {
	return providers.Env{Dir: "/", Getenv: getenv, Now: time.Now, Random: rand.Reader, Project: "test", Phase: providers.PhaseApply}
}

// fataler is the part of testing.T that harnesses have too.
type fataler interface {
	Helper()
	Fatalf(format string, args ...any)
}

func open(t fataler, c Config) *Driver {
	t.Helper()
	d, err := Open(env(noEnvironment), &c)
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	return d
}

// withToken returns a driver of a mount.
func withToken(t fataler, address, mount, token string) *Driver {
	t.Helper()
	return open(t, Config{Address: address, Mount: mount, Token: plainCredential(token)})
}

// appRole makes a role with the policies and returns the block that signs in.
func appRole(t testing.TB, s *vaulttest.Server, role string, policies ...string) signin.Block {
	t.Helper()
	if status, _ := s.Do(http.MethodGet, "auth/approle/role/x", s.RootToken, nil); status != http.StatusOK {
		s.Do(http.MethodPost, "sys/auth/approle", s.RootToken, map[string]any{"type": "approle"})
	}
	s.Must(http.MethodPost, "auth/approle/role/"+role, map[string]any{"token_policies": policies, "token_ttl": "20m"})
	id := s.Must(http.MethodGet, "auth/approle/role/"+role+"/role-id", nil)["role_id"].(string)
	secretID := s.Must(http.MethodPost, "auth/approle/role/"+role+"/secret-id", nil)["secret_id"].(string)
	var b signin.Block
	config, err := b.DecodeBlock([]string{"approle"})
	if err != nil {
		t.Fatal(err)
	}
	fields := reflect.ValueOf(config).Elem()
	fields.FieldByName("RoleID").Set(reflect.ValueOf(plainCredential(id)))
	fields.FieldByName("SecretID").Set(reflect.ValueOf(plainCredential(secretID)))
	return b
}

// policyFor is all that a driver may need below a prefix, and nothing else.
func policyFor(mount, prefix string) string {
	var b strings.Builder
	for part, capabilities := range map[string]string{
		"data": `"create", "read", "update", "patch"`, "metadata": `"create", "read", "update", "patch", "list", "delete"`,
		"delete": `"update"`, "undelete": `"update"`, "destroy": `"update"`,
	} {
		fmt.Fprintf(&b, "path %q { capabilities = [%s] }\n", mount+"/"+part+"/"+prefix+"*", capabilities)
	}
	return b.String()
}

// withoutOptions returns the data of an encoded write, for a hand that writes
// without check-and-set.
func withoutOptions(t fataler, body rawBody) map[string]any {
	t.Helper()
	var doc struct{ Data map[string]any }
	if err := json.Unmarshal(body, &doc); err != nil {
		t.Fatalf("%v", err)
	}
	return doc.Data
}
