//go:build servers

package cli

import (
	"bytes"
	"context"
	"crypto/rand"
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
	"testing"
	"time"

	"github.com/cofferhq/coffer/providers/vault/vaulttest"
	"github.com/cofferhq/coffer/state/statetest/servers"
)

// arena is a workspace with a Secret and an ExternalSecret in a cluster, and what
// counts the writes to them.
type arena struct {
	t         *testing.T
	cluster   *servers.Cluster
	bao       *vaulttest.Server
	dir, home string
	namespace string

	mu     sync.Mutex
	writes map[string]int // by resource
	before func(w http.ResponseWriter, r *http.Request) bool
}

func newArena(t *testing.T) *arena {
	a := &arena{t: t, cluster: servers.Kube(t), bao: vaulttest.Start(t, vaulttest.Options{}), dir: t.TempDir(), home: t.TempDir(), writes: map[string]int{}}
	servers.InstallCRDs(t, a.cluster, servers.ExternalSecretsCRDs)
	a.namespace = a.cluster.FreshNamespace("fight")
	a.bao.Must(http.MethodPost, "sys/auth/kubernetes", map[string]any{"type": "kubernetes"})
	target, err := url.Parse(a.cluster.Address)
	if err != nil {
		t.Fatal(err)
	}
	inner := httputil.NewSingleHostReverseProxy(target)
	inner.Transport = a.cluster.Client().Transport
	inner.ErrorHandler = func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) }
	proxy := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a.mu.Lock()
		if r.Method != http.MethodGet { // a review of rights would be one too, and lies in no namespace
			parts := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
			for i, p := range parts {
				if p == "namespaces" && i+2 < len(parts) {
					a.writes[parts[i+2]]++
				}
			}
		}
		before := a.before
		a.mu.Unlock()
		if before == nil || !before(w, r) {
			inner.ServeHTTP(w, r)
		}
	}))
	t.Cleanup(proxy.Close)
	ca := filepath.Join(a.home, "ca.pem")
	a.file(ca, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: proxy.Certificate().Raw})))
	a.file(filepath.Join(a.home, "config"), strings.NewReplacer(a.cluster.Address, proxy.URL, a.cluster.CAFile, ca).Replace(a.cluster.Kubeconfig(a.cluster.AdminToken)))
	a.file(filepath.Join(a.dir, "coffer.hcl"), fmt.Sprintf(`coffer {
  project = "fight-1a2b3c4d"
}
provider "vault" {
  mount = %q
}
provider "kubernetes" {}
environment "prod" {
  store = vault
}
environment "dev" {
  store = kubernetes
}
app "direct" {
  environments = ["dev"]
  secret "token" {
    path = "%s/direct"
    fields = {
      user     = public("app")
      password = random_hex()
    }
  }
}
app "shop" {
  environments = ["prod"]
  secret "key" {
    value = random_hex()
  }
  kubernetes_secret "env" {
    namespace = %q
    name      = "env"
    data = {
      API_KEY = secret.key
      LEVEL   = "info"
    }
  }
  external_secret "fetched" {
    namespace = %q
    name      = "fetched"
    data = {
      API_KEY = secret.key
    }
  }
}
`, a.bao.KV(), a.namespace, a.namespace, a.namespace))
	return a
}

func (a *arena) file(path, text string) {
	a.t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		a.t.Fatal(err)
	}
}

// coffer runs a command and returns its exit code and all that it printed.
func (a *arena) coffer(args ...string) (code int, said string) {
	a.t.Helper()
	var out bytes.Buffer
	environ := Environ{
		Vars: map[string]string{"VAULT_ADDR": a.bao.Address, "VAULT_TOKEN": a.bao.RootToken, "HOME": a.home, "KUBECONFIG": filepath.Join(a.home, "config")},
		Now:  time.Now, Random: rand.Reader,
	}
	code = Main(context.Background(), append([]string{"coffer", "-chdir", a.dir}, args...), Streams{In: strings.NewReader(""), Out: &out, Err: &out}, environ)
	return code, out.String()
}

func (a *arena) must(want int, args ...string) string {
	a.t.Helper()
	code, said := a.coffer(args...)
	if code != want {
		a.t.Fatalf("coffer %s: exit %d, want %d\n%s", strings.Join(args, " "), code, want, last(said))
	}
	return said
}

// wrote returns the writes since the last call.
func (a *arena) wrote(resource string) int {
	a.mu.Lock()
	defer a.mu.Unlock()
	n := a.writes[resource]
	a.writes[resource] = 0
	return n
}

// edits are what the other manager does: by a patch as kubectl edit makes it, and by a controller that
// forces server-side apply.
func (a *arena) edit(n int, resource, name string, fields map[string]any) (manager string) {
	a.t.Helper()
	at, version, kind := "/api/v1/namespaces/"+a.namespace+"/secrets/"+name, "v1", "Secret"
	if resource == "externalsecrets" {
		at, version, kind = "/apis/external-secrets.io/v1/namespaces/"+a.namespace+"/externalsecrets/"+name, "external-secrets.io/v1", "ExternalSecret"
	}
	if n%2 == 0 {
		a.cluster.Must(http.MethodPatch, at, fields)
		return "Go-http-client" // that nobody names is called by its program
	}
	fields["apiVersion"], fields["kind"] = version, kind
	a.cluster.Must(http.MethodPatch, at+"?fieldManager=argocd-controller&force=true", fields)
	return "argocd-controller"
}

// What the API server refuses is told with its field and the line of the block that
// asks for it.
func TestRefusedAtItsLine(t *testing.T) {
	a := newArena(t)
	a.must(ExitDone, "apply", "-auto-approve", "-target", "app.shop.secret.key")
	a.mu.Lock()
	a.before = func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method != http.MethodPatch || !strings.HasSuffix(r.URL.Path, "/externalsecrets/fetched") {
			return false
		}
		// As the API server of a newer operator would, whose schema takes less.
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusUnprocessableEntity)
		fmt.Fprint(w, `{"kind":"Status","reason":"Invalid","message":"canary","details":{"kind":"ExternalSecret","causes":[{"reason":"FieldValueNotSupported","message":"canary","field":"spec.target.creationPolicy"}]}}`)
		return true
	}
	a.mu.Unlock()
	said := a.must(ExitError, "apply", "-auto-approve")
	text, err := os.ReadFile(filepath.Join(a.dir, "coffer.hcl"))
	if err != nil {
		t.Fatal(err)
	}
	before, _, _ := strings.Cut(string(text), "external_secret \"fetched\"")
	line := fmt.Sprintf("coffer.hcl:%d", strings.Count(before, "\n")+1)
	for _, part := range []string{"spec.target.creationPolicy (FieldValueNotSupported)", "asked for at " + line, "kubectl explain externalsecret"} {
		if !strings.Contains(strings.Join(strings.Fields(said), " "), part) { // it is wrapped
			t.Errorf("%s\nlacks %q", said, part)
		}
	}
	if strings.Contains(said, "canary") {
		t.Error("what was refused is repeated")
	}
}

// TestFight has a second manager that sets a field of an ExternalSecret, a key of a
// Secret that is made of others, and one of a Secret that nothing can be made of
// again. Drift names it, nothing is written but in answer to it, and where a person
// has to say so, nothing at all.
func TestFight(t *testing.T) {
	a := newArena(t)
	a.must(ExitDone, "apply", "-auto-approve")
	if a.wrote("secrets") != 2 || a.wrote("externalsecrets") != 1 {
		t.Error("the first apply writes each once")
	}
	a.mu.Lock()
	clear(a.writes)
	a.mu.Unlock()
	for _, test := range []struct {
		resource, name, address string
		edit                    func(n int) map[string]any
		answers                 int // writes that answer one edit, at most; 0 is none at all
	}{
		// One applies what is ours, one takes out what only the other has set.
		{"externalsecrets", "fetched", `external_secret.fetched["prod"]`, func(n int) map[string]any {
			return map[string]any{"spec": map[string]any{"refreshInterval": fmt.Sprintf("%dm", 5+n)}}
		}, 2},
		{"secrets", "env", `kubernetes_secret.env["prod"]`, func(n int) map[string]any {
			return map[string]any{"data": map[string]any{"LEVEL": fmt.Appendf(nil, "debug-%d", n)}}
		}, 1},
		{"secrets", "direct", `secret.token["dev"]`, func(n int) map[string]any {
			return map[string]any{"data": map[string]any{"password": fmt.Appendf(nil, "canary-%d", n)}}
		}, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			a.t = t
			const rounds, every = 50, 10
			for n := range rounds {
				edited := n%every == 0
				if edited {
					manager := a.edit(n/every, test.resource, test.name, test.edit(n))
					if said := a.must(ExitChanges, "drift"); !strings.Contains(said, test.address) || !strings.Contains(said, manager) || strings.Contains(said, "canary") {
						t.Errorf("drift does not name %s:\n%s", manager, said)
					}
				}
				code, planned := a.coffer("plan", "-detailed-exitcode")
				if differs := edited || test.answers == 0; code != map[bool]int{true: ExitChanges}[differs] || strings.Contains(planned, test.address) != differs {
					t.Fatalf("round %d, edited: %v: a plan exits %d\n%s", n, edited, code, last(planned))
				}
				code, said := a.coffer("apply", "-auto-approve")
				if want := map[bool]int{true: ExitError}[test.answers == 0]; code != want {
					t.Fatalf("round %d: an apply exits %d, want %d\n%s", n, code, want, last(said))
				}
				wrote, others := a.wrote(test.resource), 0
				for _, resource := range []string{"secrets", "externalsecrets", "secretstores", "roles", "rolebindings", "serviceaccounts"} {
					others += a.wrote(resource)
				}
				if wrote > test.answers || wrote > 0 != (edited && test.answers > 0) || others > 0 {
					t.Fatalf("round %d, edited: %v: %d writes of it, %d of others", n, edited, wrote, others)
				}
			}
		})
	}
}
