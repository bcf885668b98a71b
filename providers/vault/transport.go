package vault

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/net/http/httpproxy"

	"github.com/cofferhq/coffer/providers"
)

// newTransport returns the connections to the server. The program's own
// environment is not looked at: proxies are those of env.
func newTransport(env providers.Env, c Config, from origin) (http.RoundTripper, error) {
	settings, err := tlsConfig(env.Dir, c, from)
	if err != nil {
		return nil, err
	}
	proxy := proxies(env.Getenv).ProxyFunc()
	dialer := &net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second}
	return &http.Transport{
		Proxy:                 func(r *http.Request) (*url.URL, error) { return proxy(r.URL) },
		DialContext:           dialer.DialContext,
		TLSClientConfig:       settings,
		TLSHandshakeTimeout:   10 * time.Second,
		ForceAttemptHTTP2:     true,
		MaxIdleConns:          2 * concurrency,
		MaxIdleConnsPerHost:   2 * concurrency,
		IdleConnTimeout:       90 * time.Second,
		ExpectContinueTimeout: time.Second,
		// Nothing is asked for in compressed form, so that no small answer grows
		// large in memory.
		DisableCompression:     true,
		MaxResponseHeaderBytes: 64 << 10,
	}, nil
}

func proxies(getenv func(string) string) *httpproxy.Config {
	first := func(names ...string) string {
		for _, name := range names {
			if v := getenv(name); v != "" {
				return v
			}
		}
		return ""
	}
	return &httpproxy.Config{
		HTTPProxy:  first("HTTP_PROXY", "http_proxy"),
		HTTPSProxy: first("HTTPS_PROXY", "https_proxy"),
		NoProxy:    first("NO_PROXY", "no_proxy"),
	}
}

// newSender returns what sends requests. It neither retries nor follows a
// redirect, least of all with the token.
func newSender(transport http.RoundTripper) *http.Client {
	noRedirects := func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &http.Client{Transport: transport, CheckRedirect: noRedirects}
}

// tlsConfig returns the settings of TLS. Relative paths start at dir.
func tlsConfig(dir string, c Config, from origin) (*tls.Config, error) {
	t := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: c.TLSServerName, InsecureSkipVerify: c.TLSSkipVerify != nil && *c.TLSSkipVerify}
	if c.CACert != "" {
		text, err := readFile(dir, from.name("ca_cert"), c.CACert)
		if err != nil {
			return nil, err
		}
		t.RootCAs = x509.NewCertPool()
		if !t.RootCAs.AppendCertsFromPEM(text) {
			return nil, providers.Errorf(providers.Invalid, "%s %q holds no PEM certificate", from.name("ca_cert"), c.CACert)
		}
	}
	if (c.ClientCert == "") != (c.ClientKey == "") {
		return nil, providers.Errorf(providers.Invalid, "client_cert and client_key (VAULT_CLIENT_CERT and VAULT_CLIENT_KEY) only work together")
	}
	if c.ClientCert == "" {
		return t, nil
	}
	cert, err := readFile(dir, from.name("client_cert"), c.ClientCert)
	if err != nil {
		return nil, err
	}
	key, err := readFile(dir, from.name("client_key"), c.ClientKey)
	if err != nil {
		return nil, err
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return nil, providers.Errorf(providers.Invalid, "%s %q and %s %q are no pair of PEM files", from.name("client_cert"), c.ClientCert, from.name("client_key"), c.ClientKey)
	}
	// Given whatever authorities the server names: cert auth has its own.
	t.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &pair, nil }
	return t, nil
}

func readFile(dir, argument, name string) ([]byte, error) {
	if !filepath.IsAbs(name) {
		name = filepath.Join(dir, name)
	}
	text, err := os.ReadFile(name)
	if err != nil {
		return nil, providers.Errorf(providers.Invalid, "%s: %w", argument, err)
	}
	return text, nil
}

// trust returns an error for a connection that was refused because of TLS, nil
// for any other. The request was not sent.
func trust(err error, address *url.URL) *providers.Error {
	var authority x509.UnknownAuthorityError
	var hostname x509.HostnameError
	var invalid x509.CertificateInvalidError
	var record tls.RecordHeaderError
	var alert tls.AlertError
	switch {
	case errors.As(err, &authority):
		return providers.Errorf(providers.Invalid, "the certificate of %s is signed by nobody that is trusted here", address.Host).
			WithHint("name the authority's file in ca_cert (VAULT_CACERT)")
	case errors.As(err, &hostname):
		return providers.Errorf(providers.Invalid, "the certificate of %s is for another name", address.Host).
			WithHint("write the name that it has into address, or into tls_server_name")
	case errors.As(err, &invalid):
		return providers.Errorf(providers.Invalid, "the certificate of %s is not valid: %w", address.Host, invalid).
			WithHint("renew it, or set the clock of this machine right")
	case errors.As(err, &record), address.Scheme == "https" && errors.Is(err, http.ErrSchemeMismatch):
		return providers.Errorf(providers.Invalid, "%s does not speak TLS", address.Host).
			WithHint("write http:// into address if the server really has no TLS")
	case errors.As(err, &alert):
		return providers.Errorf(providers.Invalid, "%s refuses the connection: %w", address.Host, alert).
			WithHint("if it asks for a client certificate, name it in client_cert and client_key")
	}
	return nil
}
