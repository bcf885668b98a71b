//go:build peers

package peers

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/cofferhq/coffer/state/statetest/servers"
)

// How many Secrets there are, and in how many namespaces.
const (
	kubeNamespaces = 20
	kubeSecrets    = 2000
	// kubeRequests is what a plan without changes may make.
	kubeRequests = 25
)

// TestPeersKubernetes measures a plan without changes of Secrets, beside a bare
// client that makes the same calls. It asserts what is not noise: how many
// requests there are, and that no answer holds data.
func TestPeersKubernetes(t *testing.T) {
	coffer := cofferBinary(t)
	c := servers.Kube(t)
	for n := range kubeNamespaces {
		c.Namespace(fmt.Sprintf("app%d-dev", n))
	}
	dir := kubeWorkspace(t)
	direct, counted := kubeconfig(t, c, c.Address, c.CA), ""
	p := newKubeProxy(t, c)
	counted = kubeconfig(t, c, p.address, p.ca)
	apply, plan, bare := row{name: "coffer apply, all new"}, row{name: "coffer plan, no changes"}, row{name: "bare client, the same calls"}
	apply.add(program(t, dir, []string{"KUBECONFIG=" + counted}, 0, coffer, "apply", "-auto-approve"))
	apply.requests = p.take()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for range looks {
		plan.add(program(t, dir, []string{"KUBECONFIG=" + direct}, 0, coffer, "plan", "-detailed-exitcode"))
		bare.add(program(t, dir, []string{"BARE_TOKEN=" + c.AdminToken}, 0, self, "bare-kubernetes", c.Address, c.CAFile))
	}
	p.forbidData()
	program(t, dir, []string{"KUBECONFIG=" + counted}, 0, coffer, "plan", "-detailed-exitcode")
	if plan.requests = p.take(); plan.requests > kubeRequests {
		t.Errorf("a plan without changes made %d requests, want at most %d", plan.requests, kubeRequests)
	}
	if p.data > 0 {
		t.Errorf("%d answers of a plan hold data", p.data)
	}
	fmt.Printf("\n%d Secrets in %d namespaces, %d rounds (the apply once, through the proxy that counts)\n\n%s\nRatio of the medians: plan %s.\n",
		kubeSecrets, kubeNamespaces, looks, table([]row{apply, plan, bare}), ratio(plan, bare))
}

func kubeconfig(t *testing.T, c *servers.Cluster, address string, ca []byte) string {
	dir := t.TempDir()
	text := strings.NewReplacer(c.Address, address, c.CAFile, filepath.Join(dir, "ca.pem")).Replace(c.Kubeconfig(c.AdminToken))
	for name, content := range map[string]string{"config": text, "ca.pem": string(ca)} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return filepath.Join(dir, "config")
}

func kubeWorkspace(t *testing.T) string {
	dir := t.TempDir()
	files := map[string]string{"coffer.hcl": "coffer {\n  project = \"peers-1a2b3c4d\"\n}\nprovider \"kubernetes\" {}\nenvironment \"dev\" {\n  store = kubernetes\n}\n"}
	for app := range kubeNamespaces {
		var text strings.Builder
		fmt.Fprintf(&text, "app \"app%d\" {\n  environments = [\"dev\"]\n", app)
		for n := range kubeSecrets / kubeNamespaces {
			fmt.Fprintf(&text, "  secret \"s%d\" {\n    value = random_password({ length = 32 })\n  }\n", n)
		}
		text.WriteString("}\n")
		files[fmt.Sprintf("app%d.hcl", app)] = text.String()
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// kubeProxy counts requests, and answers that hold data.
type kubeProxy struct {
	address string
	ca      []byte

	mu    sync.Mutex
	seen  int64
	looks bool
	data  int
}

func newKubeProxy(t *testing.T, c *servers.Cluster) *kubeProxy {
	target, err := url.Parse(c.Address)
	if err != nil {
		t.Fatal(err)
	}
	p := &kubeProxy{}
	forward := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(target)
		r.Out.Header.Del("Accept-Encoding") // what is compressed shows nothing
	}, Transport: c.Client().Transport, ModifyResponse: p.answered}
	server := httptest.NewTLSServer(forward)
	t.Cleanup(server.Close)
	p.address, p.ca = server.URL, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	return p
}

func (p *kubeProxy) answered(resp *http.Response) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.seen++
	if !p.looks {
		return nil
	}
	body, err := io.ReadAll(resp.Body)
	resp.Body = io.NopCloser(strings.NewReader(string(body)))
	if strings.Contains(string(body), `"data":`) {
		p.data++
	}
	return err
}

func (p *kubeProxy) forbidData() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.looks = true
}

func (p *kubeProxy) take() int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := p.seen
	p.seen = 0
	return n
}

// runBareKubernetes makes the calls of a plan without changes: which cluster it
// is, and a list of metadata for each namespace.
func runBareKubernetes(address, caFile string) error {
	ca, err := os.ReadFile(caFile)
	if err != nil {
		return err
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(ca)
	c := &bare{address: address, token: os.Getenv("BARE_TOKEN"), http: &http.Client{Transport: &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: pool}, MaxIdleConnsPerHost: concurrency, ForceAttemptHTTP2: true,
	}}}
	c.kubernetes("namespaces/kube-system", "PartialObjectMetadata", nil)
	found := make([]int, kubeNamespaces)
	each(kubeNamespaces, func(i int) {
		var list struct {
			Items []struct {
				Metadata struct {
					Name, UID, ResourceVersion string
					Annotations                map[string]string
				}
			}
		}
		c.kubernetes(fmt.Sprintf("namespaces/app%d-dev/secrets?limit=500", i), "PartialObjectMetadataList", &list)
		found[i] = len(list.Items)
	})
	all := 0
	for _, n := range found {
		all += n
	}
	if all != kubeSecrets {
		c.fail(fmt.Errorf("the lists show %d Secrets, want %d", all, kubeSecrets))
	}
	fmt.Println("requests", c.calls.Load())
	if err := c.failed.Load(); err != nil {
		return *err
	}
	return nil
}

func (c *bare) kubernetes(path, kind string, into any) {
	c.calls.Add(1)
	req, err := http.NewRequest(http.MethodGet, c.address+"/api/v1/"+path, nil)
	if err != nil {
		c.fail(err)
		return
	}
	req.Header.Set("Authorization", "Bearer "+c.token)
	req.Header.Set("Accept", "application/json;as="+kind+";g=meta.k8s.io;v=v1")
	resp, err := c.http.Do(req)
	if err != nil {
		c.fail(err)
		return
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err == nil && into != nil {
		err = json.Unmarshal(body, into)
	}
	if err != nil || resp.StatusCode != http.StatusOK {
		c.fail(fmt.Errorf("GET %s: status %d, %v", path, resp.StatusCode, err))
	}
}
