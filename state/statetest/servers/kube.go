package servers

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
)

// Cluster is a Kubernetes API server with its etcd, and nothing else: no
// controller. A deleted namespace therefore stays, terminating (take a new name
// for each test), a namespace has no default service account, and what an owner
// leaves behind is not collected.
//
// Its methods end the test when something is wrong.
type Cluster struct {
	*instance
	life Life // of the test that it is seen by
}

// instance is what the views of one cluster share.
type instance struct {
	owner Life // how long the servers run
	args  []string
	http  *http.Client

	Address    string // https://127.0.0.1:PORT
	Dir        string // all its files; the servers' logs are in it
	CA         []byte // PEM, of the server's certificate; CAFile holds it
	CAFile     string
	AdminToken string // of a user in the group system:masters
	// ServiceAccountKey is the public key, in PEM, of the tokens that the server
	// makes for service accounts; their issuer is [Issuer].
	ServiceAccountKey []byte

	authority *authority

	mu     sync.Mutex
	server *process
}

// Issuer is the issuer, and the audience where a request names none, of the
// tokens of service accounts.
const Issuer = "https://kubernetes.default.svc"

// Kube starts an etcd and an API server. That takes ten seconds and more: see
// [Package].
func Kube(l Life) *Cluster {
	l.Helper()
	server := variable(l, KubeAPIServerVariable)
	ports := freePorts(l, 3)
	c := &Cluster{life: l, instance: &instance{
		owner: l, Address: local("https", ports[0]), Dir: l.TempDir(), AdminToken: password(),
	}}
	storage := startEtcd(l, c.Dir, local("http", ports[1]), local("http", ports[2]))
	c.args = append([]string{
		server, "--etcd-servers=" + storage, fmt.Sprintf("--secure-port=%d", ports[0]),
		"--bind-address=127.0.0.1", "--advertise-address=127.0.0.1", "--endpoint-reconciler-type=none",
		"--service-cluster-ip-range=10.0.0.0/24", "--authorization-mode=RBAC",
	}, c.writeCredentials()...)
	c.run()
	return c
}

func startEtcd(l Life, dir, client, peer string) string {
	l.Helper()
	p := start(l, dir, "etcd", exec.Command(variable(l, EtcdVariable), "--data-dir="+filepath.Join(dir, "etcd"),
		"--listen-client-urls="+client, "--advertise-client-urls="+client, "--listen-peer-urls="+peer,
		"--initial-advertise-peer-urls="+peer, "--initial-cluster=default="+peer, "--unsafe-no-fsync", "--log-level=warn"))
	p.await(l, "it is healthy", func() error { return healthy(http.DefaultClient, client+"/health", "") })
	return client
}

// writeCredentials makes certificates, keys and the administrator's token, and
// returns the settings that name their files.
func (c *Cluster) writeCredentials() []string {
	c.life.Helper()
	c.authority = newAuthority(c.life)
	c.CA = c.authority.pem()
	c.CAFile = c.write("ca.pem", c.CA)
	serverCert, serverKey := c.authority.sign(c.life, serverTemplate())
	private, public := keyPair(c.life)
	c.ServiceAccountKey = public
	c.http = c.Client()
	return []string{
		"--cert-dir=" + c.Dir, "--client-ca-file=" + c.CAFile,
		"--tls-cert-file=" + c.write("server.pem", serverCert), "--tls-private-key-file=" + c.write("server-key.pem", serverKey),
		"--token-auth-file=" + c.write("tokens.csv", []byte(c.AdminToken+`,admin,admin,"system:masters"`+"\n")),
		"--service-account-issuer=" + Issuer, "--service-account-key-file=" + c.write("sa.pub", public),
		"--service-account-signing-key-file=" + c.write("sa.key", private),
	}
}

func (c *Cluster) write(name string, data []byte) string {
	c.life.Helper()
	file := filepath.Join(c.Dir, name)
	must(c.life, "kube-apiserver", os.WriteFile(file, data, 0o600))
	return file
}

// run starts the API server and returns when it is ready: its hooks have run
// and the namespaces that every cluster has are there.
func (c *Cluster) run() {
	c.life.Helper()
	p := start(life{c.owner, c.life}, c.Dir, "kube-apiserver", exec.Command(c.args[0], c.args[1:]...))
	c.mu.Lock()
	c.server = p
	c.mu.Unlock()
	p.await(c.life, "it is ready", func() error {
		for _, path := range []string{"/readyz", "/api/v1/namespaces/default", "/api/v1/namespaces/kube-system"} {
			if err := healthy(c.http, c.Address+path, c.AdminToken); err != nil {
				return err
			}
		}
		return nil
	})
}

// Kill ends the API server at once, as a crash would; etcd goes on.
func (c *Cluster) Kill() {
	c.mu.Lock()
	p := c.server
	c.mu.Unlock()
	p.stop(syscall.SIGKILL)
}

// Restart kills the API server if it runs and starts it again at the same
// address, on the same data.
func (c *Cluster) Restart() {
	c.life.Helper()
	c.Kill()
	c.run()
}

// Kubeconfig returns the text of a kubeconfig whose only context, "test", is
// this cluster with the given bearer token.
func (c *Cluster) Kubeconfig(token string) string {
	return fmt.Sprintf(`apiVersion: v1
kind: Config
clusters:
- name: test
  cluster:
    server: %s
    certificate-authority: %s
users:
- name: test
  user:
    token: %s
contexts:
- name: test
  context:
    cluster: test
    user: test
current-context: test
`, c.Address, c.CAFile, token)
}

// ClientCertificate returns a certificate and its key, in PEM, with which a
// client is the given user in the given groups.
func (c *Cluster) ClientCertificate(user string, groups ...string) (cert, key []byte) {
	c.life.Helper()
	return c.authority.sign(c.life, clientTemplate(user, groups))
}

// healthy makes one call that has to succeed.
func healthy(client *http.Client, url, token string) error {
	req, err := http.NewRequest(http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: status %d", req.URL.Path, resp.StatusCode)
	}
	return nil
}
