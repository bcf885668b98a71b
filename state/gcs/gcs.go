// Package gcs keeps the blobs of a state in a bucket of Google Cloud Storage.
//
// It speaks the JSON API itself: four calls are all that is needed, and Google's
// client library would be most of the program. Credentials come by Google's own
// search. What a write may replace is told by the object's generation:
// ifGenerationMatch, which is 0 for what must not exist.
//
// Read [Config] first, then blobs. The package knows nothing of a state: see
// package remote for what it must promise.
package gcs

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"golang.org/x/net/http/httpproxy"

	"github.com/cofferhq/coffer/state/remote"
)

// Config is the body of a backend "gcs" block.
type Config struct {
	Bucket string `hcl:"bucket"`
	// Key names the state's object; its journal, lock and probes lie beside it.
	Key string `hcl:"key"`
	// CredentialsFile is used in place of Google's own search.
	CredentialsFile string `hcl:"credentials_file,optional"` // GOOGLE_APPLICATION_CREDENTIALS
	// ImpersonateServiceAccount is the account, by its mail address, that every
	// request is made as.
	ImpersonateServiceAccount string `hcl:"impersonate_service_account,optional"`
	KMSKeyName                string `hcl:"kms_key_name,optional"`

	// Endpoint is another address of the service, or that of an emulator, which is
	// sent no credentials if it has no TLS.
	Endpoint string `hcl:"endpoint,optional"` // STORAGE_EMULATOR_HOST
	// AllowHTTP permits an endpoint without TLS that is not on this machine.
	AllowHTTP bool `hcl:"allow_http,optional"`
}

var _ remote.Backend = (*Config)(nil)

const service = "https://storage.googleapis.com"

// Open implements [remote.Backend]. It makes no request.
func (c *Config) Open(_ context.Context, env remote.Env) (remote.Blobs, error) {
	return c.open(env, newTransport(env.Getenv))
}

func (c *Config) open(env remote.Env, transport http.RoundTripper) (*blobs, error) {
	b := &blobs{config: *c, base: service, now: env.Now, agent: env.UserAgent}
	if err := c.check(); err != nil {
		return nil, b.invalid(err, "")
	}
	b.http = client(transport)
	anonymous, err := b.locate(env)
	if err != nil || anonymous {
		return b, err
	}
	b.tokens, err = c.credentials(env, transport)
	if err != nil {
		return nil, b.invalid(err, "name a file of credentials of Google's own form, such as the key of a service account or the configuration of a workload identity")
	}
	return b, nil
}

// locate finds out where requests go, and whether without credentials.
func (b *blobs) locate(env remote.Env) (anonymous bool, err error) {
	address := b.config.Endpoint
	if address == "" {
		if address = env.Getenv("STORAGE_EMULATOR_HOST"); address == "" {
			return false, nil
		}
		anonymous = true
		if !strings.Contains(address, "://") {
			address = "http://" + address
		}
	}
	u, err := url.Parse(address)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http":
		return false, b.invalid(errors.New("endpoint (STORAGE_EMULATOR_HOST) is no address"), "write it like http://127.0.0.1:4443")
	case u.User != nil || u.RawQuery != "" || u.Fragment != "":
		return false, b.invalid(errors.New("endpoint (STORAGE_EMULATOR_HOST) holds more than an address"), "write it like http://127.0.0.1:4443")
	case u.Scheme == "http" && !b.config.AllowHTTP && !loopback(u.Hostname()):
		return false, b.invalid(fmt.Errorf("the endpoint %s has no TLS", u.Host), "write https://, or allow_http = true if everybody on the way may read and change the state")
	}
	b.base, b.at = u.Scheme+"://"+u.Host, " at "+u.Host
	return anonymous || u.Scheme == "http", nil
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

func (b *blobs) invalid(err error, hint string) error {
	return &remote.Error{Code: remote.Invalid, Place: b.String(), Op: "open", Unchanged: true, Err: err, Hint: hint}
}

const (
	letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
	digits  = "0123456789"
)

// check looks at the arguments alone.
func (c *Config) check() error {
	switch {
	case len(c.Bucket) < 3 || strings.Trim(c.Bucket, letters+digits+".-_") != "":
		return errors.New("bucket is no name of a bucket: letters, digits, dots and hyphens")
	case !goodKey(c.Key):
		return errors.New(`key is no name for an object: letters, digits and / - _ . = @, such as "team/coffer"`)
	case remote.OwnName(c.Key):
		return errors.New("key ends like what coffer keeps beside a state (.lock, .journal, .probe-…): choose another")
	case c.ImpersonateServiceAccount != "" && (!strings.Contains(c.ImpersonateServiceAccount, "@") || strings.Trim(c.ImpersonateServiceAccount, letters+digits+".-_@") != ""):
		return errors.New("impersonate_service_account is no mail address of a service account")
	case c.KMSKeyName != "" && (!strings.HasPrefix(c.KMSKeyName, "projects/") || strings.Trim(c.KMSKeyName, letters+digits+":/-_.") != ""):
		return errors.New("kms_key_name is no name of a key: projects/PROJECT/locations/LOCATION/keyRings/RING/cryptoKeys/KEY")
	}
	return nil
}

// goodKey refuses what a condition, an address or a path would read as
// something else.
func goodKey(key string) bool {
	for part := range strings.SplitSeq(key, "/") {
		if part == "" || part == "." || part == ".." {
			return false
		}
	}
	return len(key) <= 900 && strings.Trim(key, letters+digits+"/-_.=@") == ""
}

func newTransport(getenv func(string) string) *http.Transport {
	first := func(name string) string { return cmp.Or(getenv(name), getenv(strings.ToLower(name))) }
	proxies := httpproxy.Config{HTTPProxy: first("HTTP_PROXY"), HTTPSProxy: first("HTTPS_PROXY"), NoProxy: first("NO_PROXY")}
	proxy := proxies.ProxyFunc()
	dialer := &net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second}
	return &http.Transport{
		Proxy:                  func(r *http.Request) (*url.URL, error) { return proxy(r.URL) },
		DialContext:            dialer.DialContext,
		TLSHandshakeTimeout:    10 * time.Second,
		ForceAttemptHTTP2:      true,
		MaxIdleConnsPerHost:    10,
		IdleConnTimeout:        90 * time.Second,
		ResponseHeaderTimeout:  time.Minute,
		DisableCompression:     true,
		MaxResponseHeaderBytes: 64 << 10,
	}
}

// client follows no redirect.
func client(transport http.RoundTripper) *http.Client {
	return &http.Client{
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}
