// Package azblob keeps a state in a container of Azure Blob Storage: one block
// blob for each blob of [remote.Blobs], replaced under If-Match and If-None-Match,
// which the service enforces, with its ETag as the tag.
//
// Read [Config] first, then blobs.go. Who signs in is decided in credentials.go,
// what an answer means in errors.go. The package knows nothing of what the blobs
// hold.
package azblob

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blockblob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/container"

	"github.com/cofferhq/coffer/state/remote"
)

// Config is the block of the backend.
type Config struct {
	// Account is the storage account, AZURE_STORAGE_ACCOUNT where it is left out.
	Account string `hcl:"account,optional"`
	// Endpoint is the account's address where it is not
	// https://ACCOUNT.blob.core.windows.net.
	Endpoint  string `hcl:"endpoint,optional"`
	Container string `hcl:"container"`
	// Key names the state's blob; those of its journal and lock are KEY.journal
	// and KEY.lock.
	Key      string `hcl:"key"`
	TenantID string `hcl:"tenant_id,optional"` // AZURE_TENANT_ID
	ClientID string `hcl:"client_id,optional"` // AZURE_CLIENT_ID
}

var _ remote.Backend = (*Config)(nil)

// publicCloud is what an account's address ends with outside sovereign clouds.
const publicCloud = ".blob.core.windows.net"

// Open implements [remote.Backend]. It asks nobody.
func (c *Config) Open(_ context.Context, env remote.Env) (remote.Blobs, error) {
	full := *c
	if full.Account == "" && full.Endpoint == "" {
		full.Account = env.Getenv("AZURE_STORAGE_ACCOUNT")
	}
	address, err := full.address()
	if err != nil {
		return nil, err
	}
	if err := checkNames(full.Container, full.Key); err != nil {
		return nil, err
	}
	s := &store{
		base:      strings.TrimSuffix(address.String(), "/"),
		container: full.Container, key: full.Key, account: full.Account,
	}
	s.options = azcore.ClientOptions{
		Transport: bounded{newClient(answerTimeout)},
		Retry:     policy.RetryOptions{MaxRetries: -1},
		Telemetry: policy.TelemetryOptions{ApplicationID: strings.ReplaceAll(env.UserAgent, " ", "/")},
	}
	if s.access, err = full.choose(env, address.Hostname(), s.options); err != nil {
		return nil, err
	}
	return s, nil
}

// address returns where the account answers.
func (c *Config) address() (*url.URL, error) {
	if c.Endpoint == "" {
		if len(c.Account) < 3 || len(c.Account) > 24 || strings.Trim(c.Account, "abcdefghijklmnopqrstuvwxyz0123456789") != "" {
			return nil, invalid("account is %q: want the name of a storage account, 3 to 24 small letters and digits (or set AZURE_STORAGE_ACCOUNT, or write endpoint)", c.Account)
		}
		return &url.URL{Scheme: "https", Host: c.Account + publicCloud}, nil
	}
	u, err := url.Parse(c.Endpoint)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http":
		return nil, invalid("endpoint is no address such as https://ACCOUNT.blob.core.usgovcloudapi.net")
	case u.User != nil || u.RawQuery != "" || u.Fragment != "":
		return nil, invalid("endpoint holds more than an address: a shared access signature belongs into AZURE_STORAGE_SAS_TOKEN")
	case u.Scheme == "http" && !onThisMachine(u.Hostname()):
		return nil, invalid("endpoint has no TLS: write https")
	}
	return u, nil
}

func onThisMachine(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

func checkNames(container, key string) error {
	if len(container) < 3 || len(container) > 63 || strings.Trim(container, "abcdefghijklmnopqrstuvwxyz0123456789-") != "" ||
		strings.HasPrefix(container, "-") || strings.HasSuffix(container, "-") || strings.Contains(container, "--") {
		return invalid("container is %q: want 3 to 63 small letters, digits and single hyphens", container)
	}
	switch {
	case key == "":
		return invalid("key is empty: name the state's blob, such as \"team/coffer\"")
	case remote.OwnName(key):
		return invalid("key ends like what coffer keeps beside a state (.lock, .journal, .probe-…): choose another")
	case len(key) > 900 || strings.Count(key, "/") > 200:
		return invalid("key is too long")
	case !utf8.ValidString(key) || strings.ContainsFunc(key, unicode.IsControl) || strings.Contains(key, "\\"):
		return invalid("key has a character that is no part of a name")
	}
	for part := range strings.SplitSeq(key, "/") {
		if part == "" || strings.HasSuffix(part, ".") {
			return invalid("key has an empty part, or one that ends with a dot, which the service takes away")
		}
	}
	return nil
}

// invalid is an error about the block.
func invalid(format string, args ...any) error {
	return &remote.Error{Code: remote.Invalid, Place: `backend "azblob"`, Op: "open", Unchanged: true, Err: fmt.Errorf(format, args...)}
}

// store is the blobs of one state.
type store struct {
	base      string // the account's address
	account   string // "" where only the address is known
	container string
	key       string
	access    access
	options   azcore.ClientOptions
}

var (
	_ remote.Blobs     = (*store)(nil)
	_ remote.Historian = (*store)(nil)
)

// String implements [remote.Blobs].
func (s *store) String() string { return s.place(s.key) }

func (s *store) place(key string) string {
	return s.base + "/" + s.container + "/" + (&url.URL{Path: key}).EscapedPath()
}

// keyOf is the name of a blob in the container.
func (s *store) keyOf(name string) string {
	if name == remote.StateBlob {
		return s.key
	}
	return s.key + "." + name
}

// client is for one blob.
func (s *store) client(key string) (*blockblob.Client, error) {
	options := &blockblob.ClientOptions{ClientOptions: s.options}
	address := s.base + "/" + s.container + "/" + url.PathEscape(key)
	switch {
	case s.access.key != nil:
		return blockblob.NewClientWithSharedKeyCredential(address, s.access.key, options)
	case s.access.sas != "":
		return blockblob.NewClientWithNoCredential(address+"?"+s.access.sas, options)
	}
	return blockblob.NewClient(address, s.access.tokens, options)
}

// list is for the container.
func (s *store) list() (*container.Client, error) {
	options := &container.ClientOptions{ClientOptions: s.options}
	address := s.base + "/" + s.container
	switch {
	case s.access.key != nil:
		return container.NewClientWithSharedKeyCredential(address, s.access.key, options)
	case s.access.sas != "":
		return container.NewClientWithNoCredential(address+"?"+s.access.sas, options)
	}
	return container.NewClient(address, s.access.tokens, options)
}

// access is one way to sign in.
type access struct {
	key    *blob.SharedKeyCredential
	sas    string
	tokens azcore.TokenCredential
}

// answerTimeout is how long an answer may take to begin.
const answerTimeout = 60 * time.Second

// newClient makes a client that follows nobody elsewhere: a redirect would take
// the credential along.
func newClient(answer time.Duration) *http.Client {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.DialContext = (&net.Dialer{Timeout: min(answer, 15*time.Second), KeepAlive: 15 * time.Second}).DialContext
	transport.ResponseHeaderTimeout = answer
	transport.MaxIdleConnsPerHost = 8
	transport.DisableCompression = true
	return &http.Client{
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}
