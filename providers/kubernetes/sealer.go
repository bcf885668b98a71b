package kubernetes

import (
	"cmp"
	"context"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"golang.org/x/net/http/httpproxy"

	"github.com/cofferhq/coffer/providers"
	"github.com/cofferhq/coffer/providers/kubernetes/sealing"
)

// This file finds the certificate that values are sealed with.

// KeySource gives the key of a provider block: from a file below the
// configuration, from an address, or from the controller by way of the API
// server. It is asked for once, and safe for concurrent use.
type KeySource struct {
	config  SealedSecrets
	dir     string
	now     func() time.Time
	cluster func() (*Driver, error)
	web     *http.Client

	mu    sync.Mutex
	key   *sealing.Key
	known error // what asking again would not change
	tries int   // that did not get through
}

// manyTries is when a source that does not answer is asked no more: a plan with
// hundreds of sealed secrets would else wait for it hundreds of times.
const manyTries = 5

// longestCertificate is above every file of a few certificates.
const longestCertificate = 64 << 10

// webPatience bounds the way to an address.
const webPatience = 30 * time.Second

// NewKeySource makes the source of one provider block; cluster is only called
// where the controller has to be asked. It makes no request. Errors are
// *providers.Error with the code Invalid and name the argument.
func NewKeySource(env providers.Env, config *Config, cluster func() (*Driver, error)) (*KeySource, error) {
	s := &KeySource{dir: env.Dir, now: env.Now, cluster: cluster, web: &http.Client{
		Timeout:   webPatience,
		Transport: &http.Transport{TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12}, Proxy: proxyOf(env.Getenv)},
		CheckRedirect: func(req *http.Request, via []*http.Request) error {
			if req.URL.Scheme != "https" || len(via) > 3 {
				return errors.New("it sends elsewhere, to what is no https address, or again and again")
			}
			return nil
		},
	}}
	switch len(config.SealedSecrets) {
	case 0:
	case 1:
		s.config = config.SealedSecrets[0]
	default:
		return nil, providers.Errorf(providers.Invalid, "there are %d sealed_secrets blocks, and a cluster has one controller", len(config.SealedSecrets))
	}
	s.config.ControllerNamespace = cmp.Or(s.config.ControllerNamespace, "kube-system")
	s.config.ControllerName = cmp.Or(s.config.ControllerName, "sealed-secrets-controller")
	return s, s.config.check()
}

// check says which argument cannot be used.
func (c *SealedSecrets) check() error {
	invalid := func(argument, format string, args ...any) error {
		return providers.Errorf(providers.Invalid, "sealed_secrets: "+argument+": "+format, args...)
	}
	u, err := url.Parse(c.Certificate)
	address := strings.Contains(c.Certificate, "://")
	plain := strings.ToLower(strings.ReplaceAll(strings.TrimPrefix(c.Fingerprint, "sha256:"), ":", ""))
	sum, hexErr := hex.DecodeString(plain)
	switch {
	case address && (err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil):
		return invalid("certificate", "an address starts with https:// and has no user in it")
	case !address && c.Certificate != "" && !filepath.IsLocal(filepath.FromSlash(c.Certificate)):
		return invalid("certificate", "%.200q is no file below the configuration", c.Certificate)
	case c.Fingerprint != "" && (hexErr != nil || len(sum) != 32):
		return invalid("fingerprint", "it is \"sha256:\" and 64 hexadecimal digits")
	case !isLabel(c.ControllerNamespace):
		return invalid("controller_namespace", "%.80q is no name of a namespace", c.ControllerNamespace)
	case !isLabel(c.ControllerName):
		return invalid("controller_name", "%.80q is no name of a service", c.ControllerName)
	}
	return nil
}

// Key returns the key. Errors are *providers.Error: [providers.Invalid] for a
// certificate that is not the pinned one, or has ended.
func (s *KeySource) Key(ctx context.Context) (*sealing.Key, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.key != nil || s.known != nil {
		return s.key, s.known
	}
	text, err := s.fetch(ctx)
	var key *sealing.Key
	if err == nil {
		key, err = s.parse(text)
	}
	switch {
	case err == nil:
		s.key = key
	case providers.CodeOf(err) == providers.Invalid || providers.CodeOf(err) == providers.Denied:
		s.known = err
	case ctx.Err() == nil:
		if s.tries++; s.tries == manyTries {
			s.known = err
		}
	}
	return key, err
}

// place says where the certificate comes from, for a message; nothing of an
// address is in it but the host and path.
func (s *KeySource) place() string {
	switch u, err := url.Parse(s.config.Certificate); {
	case s.config.Certificate == "":
		return "the certificate of the controller " + s.config.ControllerNamespace + "/" + s.config.ControllerName
	case err == nil && u.Host != "":
		return "the certificate https://" + u.Host + u.Path
	}
	return "the certificate " + s.config.Certificate
}

func (s *KeySource) parse(text []byte) (*sealing.Key, error) {
	key, err := sealing.ParseCertificate(text)
	switch {
	case err != nil:
		return nil, providers.Errorf(providers.Invalid, "%s cannot be used: %w", s.place(), err).
			WithHint("`kubeseal --fetch-cert` prints the controller's")
	case s.config.Fingerprint != "" && !key.Is(s.config.Fingerprint):
		return nil, providers.Errorf(providers.Invalid, "%s is another than the pinned one: its fingerprint is %s, and the provider block says %s", s.place(), key.Fingerprint, s.config.Fingerprint).
			WithHint("if the controller made a new key, ask who runs it for the fingerprint, and write that")
	case !s.now().Before(key.Expires):
		return nil, providers.Errorf(providers.Invalid, "%s ended on %s", s.place(), key.Expires.UTC().Format("2006-01-02")).
			WithHint("fetch the controller's newest one: `kubeseal --fetch-cert`")
	}
	return key, nil
}

func (s *KeySource) fetch(ctx context.Context) ([]byte, error) {
	switch {
	case s.config.Certificate == "":
		d, err := s.cluster()
		if err != nil {
			return nil, err
		}
		return d.certificate(ctx, s.config.ControllerNamespace, s.config.ControllerName)
	case strings.Contains(s.config.Certificate, "://"):
		return s.download(ctx)
	}
	return s.file()
}

// file reads a file below the configuration; a link that leads out of it is no
// file there.
func (s *KeySource) file() ([]byte, error) {
	name := filepath.FromSlash(s.config.Certificate)
	unreadable := func(err error) error {
		var pe *fs.PathError
		if errors.As(err, &pe) {
			err = pe.Err
		}
		return providers.Errorf(providers.Invalid, "%s cannot be read: %w", s.place(), err).
			WithHint("`kubeseal --fetch-cert > %s` writes it", s.config.Certificate)
	}
	root, err := os.OpenRoot(s.dir)
	if err != nil {
		return nil, unreadable(err)
	}
	defer root.Close()
	if info, err := root.Stat(name); err != nil {
		return nil, unreadable(err)
	} else if !info.Mode().IsRegular() {
		return nil, unreadable(errors.New("it is no regular file"))
	}
	f, err := root.Open(name)
	if err != nil {
		return nil, unreadable(err)
	}
	defer f.Close()
	return s.bounded(f, unreadable)
}

func (s *KeySource) bounded(from io.Reader, failed func(error) error) ([]byte, error) {
	text, err := io.ReadAll(io.LimitReader(from, longestCertificate+1))
	switch {
	case err != nil:
		return nil, failed(err)
	case len(text) > longestCertificate:
		return nil, providers.Errorf(providers.Invalid, "%s is longer than %d KiB", s.place(), longestCertificate>>10)
	}
	return text, nil
}

// download asks an address.
func (s *KeySource) download(ctx context.Context) ([]byte, error) {
	failed := func(err error) error {
		var ue *url.Error
		if errors.As(err, &ue) {
			err = ue.Err // its text has the whole address
		}
		if ctx.Err() != nil {
			return providers.Errorf(providers.Cancelled, "%w", ctx.Err())
		}
		return providers.Errorf(providers.Unavailable, "%s cannot be fetched: %w", s.place(), err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.config.Certificate, nil)
	if err != nil {
		return nil, providers.Errorf(providers.Invalid, "%s is at no address", s.place())
	}
	resp, err := s.web.Do(req)
	if err != nil {
		return nil, failed(err)
	}
	defer resp.Body.Close()
	switch {
	case resp.StatusCode >= 500 || resp.StatusCode == http.StatusTooManyRequests:
		return nil, providers.Errorf(providers.Unavailable, "%s cannot be fetched: status %d", s.place(), resp.StatusCode)
	case resp.StatusCode != http.StatusOK:
		return nil, providers.Errorf(providers.Invalid, "%s cannot be fetched: status %d", s.place(), resp.StatusCode)
	}
	return s.bounded(resp.Body, failed)
}

// Sealing returns what a sealed_secret of a form is to be sealed with. Errors are
// those of [KeySource.Key].
func (s *KeySource) Sealing(ctx context.Context, f providers.Form) (providers.Sealing, error) {
	key, err := s.Key(ctx)
	if err != nil {
		return providers.Sealing{}, err
	}
	return providers.Sealing{Envelope: key.Envelope(sealing.Scope(f.Scope)), Expires: key.Expires}, nil
}

// certificate asks the controller through the API server, as kubeseal does.
func (d *Driver) certificate(ctx context.Context, namespace, name string) ([]byte, error) {
	service := "http:" + name + ":"
	r := request{verb: get, resource: resource{"services/proxy", "Service", "", []string{"api", "v1"}}, namespace: namespace, name: service}
	u := d.client.Base.JoinPath("api", "v1", "namespaces", namespace, "services", service, "proxy", "v1", "cert.pem")
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return nil, providers.Errorf(providers.Invalid, "no request can be made of %s", r)
	}
	resp, err := d.client.Send(req)
	if err != nil {
		return nil, d.client.unanswered(ctx, r, err, true)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, longestCertificate+1))
	const hint = "write controller_namespace and controller_name into the sealed_secrets block, or certificate = FILE with what `kubeseal --fetch-cert` prints"
	switch {
	case resp.StatusCode == http.StatusNotFound:
		return nil, providers.Errorf(providers.Invalid, "there is no sealed-secrets controller %s in the namespace %s", name, namespace).WithHint(hint)
	case resp.StatusCode < 200 || resp.StatusCode > 299:
		err := d.client.refused(r, resp, text)
		if e, ok := errors.AsType[*providers.Error](err); ok && e.Hint == "" {
			e.Hint = hint
		}
		return nil, err
	case err != nil:
		return nil, d.client.unanswered(ctx, r, err, true)
	case len(text) > longestCertificate:
		return nil, providers.Errorf(providers.Invalid, "the answer of the controller %s/%s is longer than %d KiB", namespace, name, longestCertificate>>10)
	}
	return text, nil
}

// Sealing implements [providers.Sealer].
func (d *Driver) Sealing(ctx context.Context, path string, a providers.Attributes) (providers.Sealing, error) {
	if _, sealed := cutSealed(path); !sealed {
		return providers.Sealing{}, nil
	}
	return d.keys.Sealing(ctx, a.Form)
}

func proxyOf(getenv func(string) string) func(*http.Request) (*url.URL, error) {
	first := func(names ...string) string {
		for _, name := range names {
			if v := getenv(name); v != "" {
				return v
			}
		}
		return ""
	}
	proxy := (&httpproxy.Config{HTTPSProxy: first("HTTPS_PROXY", "https_proxy"), NoProxy: first("NO_PROXY", "no_proxy")}).ProxyFunc()
	return func(r *http.Request) (*url.URL, error) { return proxy(r.URL) }
}
