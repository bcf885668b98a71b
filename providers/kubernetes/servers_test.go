//go:build servers

package kubernetes

import (
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cofferhq/coffer/providers"
	"github.com/cofferhq/coffer/providers/secret"
	"github.com/cofferhq/coffer/state/statetest/servers"
)

var (
	shared servers.Package
	names  atomic.Int64
)

func TestMain(m *testing.M) { os.Exit(shared.Run(m)) }

// cluster is a real API server, and what a test does to it past the driver.
type cluster struct {
	*servers.Cluster
	t    *testing.T
	used map[string]bool
}

func newCluster(t *testing.T) *cluster { return &cluster{Cluster: shared.Kube(t), t: t} }

// fresh makes a namespace of its own: a deleted one stays, terminating.
func (c *cluster) fresh() string {
	name := fmt.Sprintf("ns-%d", names.Add(1))
	c.Namespace(name)
	return name
}

func at(path string) string {
	namespace, name := split(path)
	return "/api/v1/namespaces/" + namespace + "/secrets/" + name
}

// by is how another manager than kubectl's own shows in managedFields.
const by = "Go-http-client"

// edit sets keys of data as somebody else, and makes the Secret where there is
// none.
func (c *cluster) edit(path string, data map[string]any) {
	c.t.Helper()
	for key, text := range data {
		if text != nil {
			data[key] = base64.StdEncoding.EncodeToString([]byte(text.(string)))
		}
	}
	namespace, name := split(path)
	status, answer := c.Do(http.MethodPatch, at(path), c.AdminToken, map[string]any{"data": data})
	if status == http.StatusNotFound {
		c.Must(http.MethodPost, "/api/v1/namespaces/"+namespace+"/secrets", map[string]any{"metadata": map[string]any{"name": name}, "data": data})
		return
	}
	if status != http.StatusOK {
		c.t.Fatalf("edit %s: %d %v", path, status, answer["message"])
	}
}

func (c *cluster) touch(path string, labels map[string]any) {
	c.Must(http.MethodPatch, at(path), map[string]any{"metadata": map[string]any{"labels": labels}})
}

// config is a kubeconfig for the cluster at address, where ca signs, with a
// token. Without TLS client-go would send no token.
func (c *cluster) config(t interface{ TempDir() string }, address, token string, ca []byte) *Config {
	dir := t.TempDir()
	text := strings.ReplaceAll(c.Kubeconfig(token), c.Address, address)
	text = strings.ReplaceAll(text, c.CAFile, filepath.Join(dir, "ca.pem"))
	for name, content := range map[string]string{"config": text, "ca.pem": string(ca)} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			c.t.Fatal(err)
		}
	}
	return &Config{Kubeconfig: filepath.Join(dir, "config")}
}

func environment() providers.Env {
	return providers.Env{Getenv: func(string) string { return "" }, Now: time.Now, Project: "conformance", Phase: providers.PhaseApply}
}

func open(t interface {
	Helper()
	Fatalf(string, ...any)
}, config *Config,
) *Driver {
	t.Helper()
	d, err := Open(environment(), config)
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	return d
}

// admin opens a driver of one namespace as the administrator.
func (c *cluster) admin(namespace string) *Driver {
	config := c.config(c.t, c.Address, c.AdminToken, c.CA)
	config.Namespace = namespace
	return open(c.t, config)
}

// grant gives a service account a ClusterRole in a namespace, or everywhere.
func (c *cluster) grant(role, namespace, account, home string) {
	kind, place := "ClusterRoleBinding", "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings"
	if namespace != "" {
		kind, place = "RoleBinding", "/apis/rbac.authorization.k8s.io/v1/namespaces/"+namespace+"/rolebindings"
	}
	c.Must(http.MethodPost, place, map[string]any{
		"kind": kind, "apiVersion": "rbac.authorization.k8s.io/v1", "metadata": map[string]any{"name": role + "-" + home + "-" + account},
		"roleRef":  map[string]any{"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
		"subjects": []any{map[string]any{"kind": "ServiceAccount", "name": account, "namespace": home}},
	})
}

func (c *cluster) clusterRole(name string, rules ...map[string]any) {
	status, answer := c.Do(http.MethodPost, "/apis/rbac.authorization.k8s.io/v1/clusterroles", c.AdminToken, map[string]any{
		"metadata": map[string]any{"name": name}, "rules": rules,
	})
	if status != http.StatusCreated && status != http.StatusConflict {
		c.t.Fatalf("%d %v", status, answer["message"])
	}
}

func rule(resource string, verbs ...string) map[string]any {
	return map[string]any{"apiGroups": []string{""}, "resources": []string{resource}, "verbs": verbs}
}

// proxy stands before the API server, counts what passes and can be in the way.
type proxy struct {
	URL   string
	CA    []byte
	inner *httputil.ReverseProxy

	mu     sync.Mutex
	seen   []string // "GET /api/v1/…"
	values int      // answers about Secrets that are not metadata alone
	down   bool
	hook   func(w http.ResponseWriter, r *http.Request) bool
}

func newProxy(t *testing.T, c *cluster) *proxy {
	u, err := url.Parse(c.Address)
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{inner: httputil.NewSingleHostReverseProxy(u)}
	p.inner.Transport = c.Client().Transport
	p.inner.ErrorHandler = func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) }
	s := httptest.NewTLSServer(p)
	t.Cleanup(s.Close)
	p.URL, p.CA = s.URL, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})
	return p
}

func (p *proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	p.seen = append(p.seen, r.Method+" "+r.URL.Path)
	if strings.Contains(r.URL.Path, "/secrets") && !strings.Contains(r.Header.Get("Accept"), "as=PartialObjectMetadata") {
		p.values++
	}
	hook, down := p.hook, p.down
	p.mu.Unlock()
	if down {
		panic(http.ErrAbortHandler)
	}
	if hook == nil || !hook(w, r) {
		p.inner.ServeHTTP(w, r)
	}
}

func (p *proxy) setDown(down bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.down = down
}

func (p *proxy) on(hook func(w http.ResponseWriter, r *http.Request) bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.hook = hook
}

func (p *proxy) reads() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.values
}

// take returns the requests since the last call.
func (p *proxy) take() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	seen := p.seen
	p.seen = nil
	return seen
}

func inspect(t *testing.T, d *Driver, path string) providers.Meta {
	t.Helper()
	found, err := d.Inspect(t.Context(), []string{path})
	if err != nil {
		t.Fatal(err)
	}
	m, ok := found[path]
	if !ok {
		t.Fatalf("%s is not there", path)
	}
	return m
}

func put(t *testing.T, d *Driver, req providers.WriteRequest) providers.Meta {
	t.Helper()
	m, err := d.Write(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func fields(pairs ...string) secret.Value {
	fields := map[string]secret.Value{}
	for i := 0; i < len(pairs); i += 2 {
		fields[pairs[i]] = secret.String(pairs[i+1])
	}
	return secret.Object(fields)
}

// awaitRefusal returns when what was set up refuses.
func awaitRefusal(t *testing.T, try func() error) {
	t.Helper()
	servers.Await(t, "it refuses", func() bool { return try() != nil })
}
