package kubernetes

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cofferhq/coffer/providers"
	"github.com/cofferhq/coffer/providers/kubernetes/sealing"
)

// sealingCertificate makes one that ends then, with its key.
func sealingCertificate(t *testing.T, ends time.Time) ([]byte, *rsa.PrivateKey) {
	t.Helper()
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: ends}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), private
}

func keySource(t *testing.T, dir string, config SealedSecrets, cluster *Driver) *KeySource {
	t.Helper()
	s, err := NewKeySource(providers.Env{Dir: dir, Getenv: func(string) string { return "" }, Now: time.Now},
		&Config{SealedSecrets: []SealedSecrets{config}}, func() (*Driver, error) { return cluster, nil })
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func wantKey(t *testing.T, name string, s *KeySource, want string, says string) {
	t.Helper()
	key, err := s.Key(t.Context())
	switch {
	case says == "" && (err != nil || key.Fingerprint != want):
		t.Errorf("%s: %v", name, err)
	case says != "" && (err == nil || !strings.Contains(err.Error(), says)):
		t.Errorf("%s: %v\nlacks %q", name, err, says)
	}
	if err != nil && strings.Contains(fmt.Sprintf("%+v", err), "canary") {
		t.Errorf("%s: the answer, or a part of the address, is in %v", name, err)
	}
}

// TestCertificateFiles are certificates below the configuration, and what is none.
func TestCertificateFiles(t *testing.T) {
	dir, outside := t.TempDir(), t.TempDir()
	good, _ := sealingCertificate(t, time.Now().Add(time.Hour))
	other, _ := sealingCertificate(t, time.Now().Add(time.Hour))
	ended, _ := sealingCertificate(t, time.Now().Add(-time.Minute))
	key, err := sealing.ParseCertificate(good)
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string][]byte{
		filepath.Join(dir, "good.pem"): good, filepath.Join(dir, "other.pem"): other, filepath.Join(dir, "ended.pem"): ended,
		filepath.Join(dir, "none.pem"): []byte("canary"), filepath.Join(dir, "long.pem"): append(make([]byte, longestCertificate), good...), filepath.Join(outside, "out.pem"): good,
	} {
		if err := os.WriteFile(name, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(filepath.Join(outside, "out.pem"), filepath.Join(dir, "link.pem")); err != nil {
		t.Fatal(err)
	}
	for name, says := range map[string]string{
		"good.pem": "", "ended.pem": "ended on", "none.pem": "no certificate", "missing.pem": "cannot be read", "long.pem": "longer than 64 KiB",
		"link.pem": "cannot be read", ".": "no regular file",
	} {
		wantKey(t, name, keySource(t, dir, SealedSecrets{Certificate: name}, nil), key.Fingerprint, says)
	}
	pin := func(file string) SealedSecrets { return SealedSecrets{Certificate: file, Fingerprint: key.Fingerprint} }
	wantKey(t, "pinned", keySource(t, dir, pin("good.pem"), nil), key.Fingerprint, "")
	s := keySource(t, dir, pin("other.pem"), nil)
	_, err = s.Key(t.Context())
	found, _ := sealing.ParseCertificate(other)
	if providers.CodeOf(err) != providers.Invalid || !strings.Contains(err.Error(), key.Fingerprint) || !strings.Contains(err.Error(), found.Fingerprint) {
		t.Errorf("another than the pinned one: %v", err)
	}
}

// TestCertificateAddresses fetches from an address, once.
func TestCertificateAddresses(t *testing.T) {
	good, _ := sealingCertificate(t, time.Now().Add(time.Hour))
	key, _ := sealing.ParseCertificate(good)
	var asked atomic.Int64
	plain := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(good) }))
	defer plain.Close()
	s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		switch r.URL.Path {
		case "/cert.pem":
			_, _ = w.Write(good)
		case "/moved":
			http.Redirect(w, r, "/cert.pem", http.StatusFound)
		case "/plain":
			http.Redirect(w, r, plain.URL, http.StatusFound)
		case "/loop":
			http.Redirect(w, r, "/loop", http.StatusFound)
		case "/busy":
			http.Error(w, "canary", http.StatusServiceUnavailable)
		case "/long":
			_, _ = w.Write(make([]byte, 2*longestCertificate))
		default:
			http.Error(w, "canary", http.StatusNotFound)
		}
	}))
	defer s.Close()
	for path, says := range map[string]string{
		"/cert.pem?token=canary": "", "/moved": "", "/plain": "sends elsewhere", "/loop": "sends elsewhere", "/busy": "status 503", "/long": "longer than", "/gone": "status 404",
	} {
		source := keySource(t, t.TempDir(), SealedSecrets{Certificate: s.URL + path}, nil)
		source.web.Transport.(*http.Transport).TLSClientConfig = &tls.Config{RootCAs: s.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs}
		wantKey(t, path, source, key.Fingerprint, says)
		before := asked.Load()
		wantKey(t, path, source, key.Fingerprint, says)
		if says == "" && asked.Load() != before {
			t.Errorf("%s: asked twice", path)
		}
		for range 2 * manyTries {
			wantKey(t, path, source, key.Fingerprint, says)
		}
		if n := asked.Load() - before; path == "/busy" && n != manyTries-1 {
			t.Errorf("%s: asked %d times more", path, n)
		}
	}
	wantKey(t, "a server nobody vouches for", keySource(t, t.TempDir(), SealedSecrets{Certificate: s.URL + "/cert.pem"}, nil), "", "cannot be fetched")
}

// TestCertificateOfTheController goes through the API server, as kubeseal does.
func TestCertificateOfTheController(t *testing.T) {
	good, _ := sealingCertificate(t, time.Now().Add(time.Hour))
	key, _ := sealing.ParseCertificate(good)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/api/v1/namespaces/kube-system/services/http:sealed-secrets-controller:/proxy/v1/cert.pem", "/api/v1/namespaces/seal/services/http:mine:/proxy/v1/cert.pem":
			_, _ = w.Write(good)
			return
		case "/api/v1/namespaces/denied/services/http:mine:/proxy/v1/cert.pem":
			w.WriteHeader(http.StatusForbidden)
			fmt.Fprint(w, refusal("Forbidden", "canary", ""))
			return
		case "/api/v1/namespaces/down/services/http:mine:/proxy/v1/cert.pem":
			w.WriteHeader(http.StatusServiceUnavailable)
			fmt.Fprint(w, refusal("ServiceUnavailable", "canary", ""))
			return
		}
		w.WriteHeader(http.StatusNotFound)
		fmt.Fprint(w, refusal("NotFound", "canary", `"kind":"services"`))
	}))
	defer s.Close()
	d := opened(t, s.URL, Config{})
	for name, says := range map[string]string{
		"": "", "seal": "", "denied": "resources: [services/proxy], verbs: [get], resourceNames: [http:mine:]", "down": "certificate = FILE", "other": "no sealed-secrets controller mine in the namespace other",
	} {
		config := SealedSecrets{ControllerNamespace: name}
		if name != "" {
			config.ControllerName = "mine"
		}
		wantKey(t, name, keySource(t, t.TempDir(), config, d), key.Fingerprint, says)
	}
}

func TestSealingArguments(t *testing.T) {
	for says, config := range map[string][]SealedSecrets{
		"2 sealed_secrets blocks": make([]SealedSecrets, 2),
		"certificate: an address": {{Certificate: "http://example.com/cert.pem"}},
		"has no user in it":       {{Certificate: "https://canary:x@example.com/cert.pem"}},
		"no file below":           {{Certificate: "../cert.pem"}},
		"fingerprint: ":           {{Fingerprint: "sha256:00"}},
		"controller_namespace: ":  {{ControllerNamespace: "A"}},
		"controller_name: ":       {{ControllerName: "a/b"}},
	} {
		_, err := NewKeySource(providers.Env{Getenv: func(string) string { return "" }, Now: time.Now}, &Config{SealedSecrets: config}, nil)
		if providers.CodeOf(err) != providers.Invalid || !strings.Contains(err.Error(), says) || strings.Contains(err.Error(), "canary") {
			t.Errorf("%s: %v", says, err)
		}
	}
}
