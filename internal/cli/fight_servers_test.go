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
		if r.Method != http.MethodGet {
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
app "shop" {
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
`, a.bao.KV(), a.namespace, a.namespace))
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
func (a *arena) edit(n int, resource string, fields map[string]any) (manager string) {
	a.t.Helper()
	at, version, kind := "/api/v1/namespaces/"+a.namespace+"/secrets/env", "v1", "Secret"
	if resource == "externalsecrets" {
		at, version, kind = "/apis/external-secrets.io/v1/namespaces/"+a.namespace+"/externalsecrets/fetched", "external-secrets.io/v1", "ExternalSecret"
	}
	if n%2 == 0 {
		a.cluster.Must(http.MethodPatch, at, fields)
		return "Go-http-client" // that nobody names is called by its program
	}
	fields["apiVersion"], fields["kind"] = version, kind
	a.cluster.Must(http.MethodPatch, at+"?fieldManager=argocd-controller&force=true", fields)
	return "argocd-controller"
}

// TestFight has a second manager that sets a key of a Secret, and a field of an
// ExternalSecret, again and again. Drift names it, and nothing is written but in
// answer to it; where a person has to say so, nothing at all.
func TestFight(t *testing.T) {
	a := newArena(t)
	a.must(ExitDone, "apply", "-auto-approve")
	if a.wrote("secrets") != 1 || a.wrote("externalsecrets") != 1 {
		t.Error("the first apply writes each once")
	}
	const rounds, every = 50, 10
	for n := range rounds {
		edited, manager := n%every == 0, ""
		if edited {
			manager = a.edit(n/every, "externalsecrets", map[string]any{"spec": map[string]any{"refreshInterval": fmt.Sprintf("%dm", 5+n)}})
			if said := a.must(ExitChanges, "drift"); !strings.Contains(said, `external_secret.fetched["prod"]`) || !strings.Contains(said, manager) {
				t.Errorf("drift does not name %s:\n%s", manager, said)
			}
		}
		a.must(map[bool]int{true: ExitChanges, false: ExitDone}[edited], "plan", "-detailed-exitcode")
		a.must(ExitDone, "apply", "-auto-approve")
		// One applies what is ours, one takes out what only the other has set.
		if wrote := a.wrote("externalsecrets"); wrote > 2 || wrote > 0 != edited {
			t.Fatalf("round %d, edited: %v: %d writes of the ExternalSecret", n, edited, wrote)
		}
		if wrote := a.wrote("secrets"); wrote > 0 {
			t.Fatalf("round %d: %d writes of a Secret that nobody touched", n, wrote)
		}
	}
	for n := range rounds {
		if n%every == 0 {
			manager := a.edit(n/every, "secrets", map[string]any{"data": map[string]any{"LEVEL": []byte(fmt.Sprintf("debug-%d", n))}})
			if said := a.must(ExitChanges, "drift"); !strings.Contains(said, `kubernetes_secret.env["prod"]`) || !strings.Contains(said, manager) {
				t.Errorf("drift does not name %s:\n%s", manager, said)
			}
		}
		_, planned := a.coffer("plan", "-detailed-exitcode")
		if !strings.Contains(planned, `kubernetes_secret.env["prod"]`) {
			t.Errorf("a plan is silent:\n%s", planned)
		}
		a.coffer("apply", "-auto-approve")
		if wrote := a.wrote("secrets") + a.wrote("externalsecrets"); wrote > 0 {
			t.Fatalf("round %d: %d writes against another manager that nobody decided on\n%s", n, wrote, last(planned))
		}
	}
}
