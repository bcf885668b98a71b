package servers

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
)

// The environment variables with the paths of Sealed Secrets.
const (
	SealedSecretsVariable = "COFFER_TEST_SEALEDSECRETS" // the controller
	KubesealVariable      = "COFFER_TEST_KUBESEAL"
)

// SealedSecretsNamespace is where the controller keeps its keys.
const SealedSecretsNamespace = "sealed-secrets"

// Sealer is a Sealed Secrets controller on a cluster. It is slow, as its makers
// have it: five calls a second, four for each object.
type Sealer struct {
	Cert     []byte // PEM, of the newest key
	CertFile string // holds Cert
	URL      string // http://127.0.0.1:PORT, with /v1/cert.pem, /v1/verify and /v1/rotate
	Kubeseal string // the path of the command

	dir     string
	process *process
}

// SealedSecrets installs the definition of SealedSecret, starts the controller
// and returns when it answers. A cluster takes one controller, once: with a
// [Package], see [Package.SealedSecrets].
//
// The controller finds its API server as in a pod only, below /var/run. It gets
// a folder of ours there in a mount namespace of its own, which takes Linux, and
// root or a system that lets any user make one.
func SealedSecrets(l Life, c *Cluster) *Sealer {
	l.Helper()
	controller, unshare := variable(l, SealedSecretsVariable), ownMounts(l)
	c.reserve(l, SealedSecretsNamespace)
	InstallCRDs(l, c, SealedSecretsCRD)
	ports := freePorts(l, 2)
	s := &Sealer{dir: l.TempDir(), URL: local("http", ports[0]), Kubeseal: variable(l, KubesealVariable)}
	s.CertFile = filepath.Join(s.dir, "cert.pem")
	args := append(unshare, "sh", "-c", `mount --bind "$0" /var/run && exec "$@"`, podFiles(l, s.dir, c),
		controller, fmt.Sprintf("--listen-addr=127.0.0.1:%d", ports[0]),
		fmt.Sprintf("--listen-metrics-addr=127.0.0.1:%d", ports[1]), "--key-size=2048")
	cmd := exec.Command(args[0], args[1:]...)
	host, port, _ := strings.Cut(strings.TrimPrefix(c.Address, "https://"), ":")
	cmd.Env = []string{
		"KUBERNETES_SERVICE_HOST=" + host, "KUBERNETES_SERVICE_PORT=" + port, "POD_NAMESPACE=" + SealedSecretsNamespace,
	}
	s.process = start(l, s.dir, "sealed-secrets", cmd)
	s.await(l, "it has a certificate", func([]byte) bool { return true })
	return s
}

// ownMounts returns the start of a command that runs in a mount namespace of its
// own, and may mount there.
func ownMounts(l Life) []string {
	l.Helper()
	var said []byte
	for _, flags := range []string{"-m", "-Urm"} {
		var err error
		if said, err = exec.Command("unshare", flags, "sh", "-c", "mount --bind /tmp /tmp").CombinedOutput(); err == nil {
			return []string{"unshare", flags}
		} else if len(said) == 0 {
			said = []byte(err.Error())
		}
	}
	l.Fatalf("the Sealed Secrets controller needs a mount namespace of its own (unshare -m as root, or unshare -Urm where the system lets any user do that): %s",
		bytes.TrimSpace(said))
	return nil
}

// podFiles makes a folder that stands for a pod's /var/run and returns it.
func podFiles(l Life, dir string, c *Cluster) string {
	l.Helper()
	run := filepath.Join(dir, "run")
	account := filepath.Join(run, "secrets", "kubernetes.io", "serviceaccount")
	must(l, "files of a pod", os.MkdirAll(account, 0o700))
	for name, data := range map[string][]byte{
		"token": []byte(c.AdminToken), "ca.crt": c.CA, "namespace": []byte(SealedSecretsNamespace),
	} {
		must(l, "files of a pod", os.WriteFile(filepath.Join(account, name), data, 0o600))
	}
	return run
}

// await waits for a certificate that is good, and keeps it.
func (s *Sealer) await(l Life, what string, good func(cert []byte) bool) {
	l.Helper()
	s.process.await(l, what, func() error {
		resp, err := http.Get(s.URL + "/v1/cert.pem")
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		cert, err := io.ReadAll(resp.Body)
		switch {
		case err != nil:
			return err
		case resp.StatusCode != http.StatusOK:
			return fmt.Errorf("status %d", resp.StatusCode)
		case !good(cert):
			return fmt.Errorf("not yet")
		}
		s.Cert = cert
		return nil
	})
	must(l, "certificate", os.WriteFile(s.CertFile, s.Cert, 0o600))
}

// RenewKey has the controller make a new key, and returns when Cert is its
// certificate. The controller goes on to unseal what was sealed to older ones.
func (s *Sealer) RenewKey(l Life) {
	l.Helper()
	old := s.Cert
	must(l, "sealed-secrets", s.process.cmd.Process.Signal(syscall.SIGUSR1))
	s.await(l, "it has a new certificate", func(cert []byte) bool { return !bytes.Equal(cert, old) })
}

// Seal runs kubeseal on a Secret, YAML or JSON, and returns the SealedSecret as
// JSON. kubeseal sees no cluster: it has Cert. More arguments, such as
// "--scope=namespace-wide", follow its own.
func (s *Sealer) Seal(l Life, secret []byte, args ...string) []byte {
	l.Helper()
	cmd := exec.Command(s.Kubeseal, append([]string{"--cert=" + s.CertFile, "--format=json"}, args...)...)
	var out, said bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(secret), &out, &said
	cmd.Env = []string{"HOME=" + s.dir}
	if err := cmd.Run(); err != nil {
		l.Fatalf("kubeseal: %v: %s", err, said.String())
	}
	return out.Bytes()
}

// SealedSecrets is [SealedSecrets] on the shared cluster, shared.
func (p *Package) SealedSecrets(t Life) *Sealer {
	t.Helper()
	c := p.Kube(t)
	return share(p, t, "sealed-secrets", func(l Life) *Sealer { return SealedSecrets(l, &Cluster{c.instance, l}) })
}
