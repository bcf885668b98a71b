package vault

import (
	"net"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/cofferhq/coffer/providers"
	"github.com/cofferhq/coffer/providers/vault/signin"
)

// defaultAddress is that of the servers' own tools.
const defaultAddress = "https://127.0.0.1:8200"

// Open makes the driver of one provider block. It makes no call. Errors are
// *providers.Error with the code Invalid and name the argument.
func Open(env providers.Env, config *Config) (*Driver, error) {
	c, from, err := complete(*config, env.Getenv)
	if err != nil {
		return nil, err
	}
	address, err := parseAddress(from.name("address"), c.Address)
	if err != nil {
		return nil, err
	}
	if address.Scheme == "http" && !c.AllowHTTP && !onThisMachine(address.Hostname()) {
		return nil, providers.Errorf(providers.Invalid, from.name("address")+": without TLS the token would travel to %s in clear", address.Hostname()).
			WithHint("use https, or write allow_http = true where the network is trusted")
	}
	transport, err := newTransport(env, c, from)
	if err != nil {
		return nil, err
	}
	method, err := signin.Choose(c.Auth, env.Phase, signin.Deps{
		Getenv: env.Getenv, Now: env.Now, Random: env.Random, Token: c.Token, Person: env.Person,
	})
	if err != nil {
		return nil, err
	}
	client := &client{address: address, namespace: c.Namespace, api: newSender(transport), patience: oneRequest}
	client.session = signin.NewSession(method, client, env.Now)
	return &Driver{client: client, config: c, now: env.Now, locks: env.Locks, unscanned: map[string]bool{}}, nil
}

// origin has the variable that an argument was taken from, where the block left
// it empty.
type origin map[string]string

// name is what an error calls an argument.
func (o origin) name(argument string) string {
	if variable := o[argument]; variable != "" {
		return variable
	}
	return argument
}

// complete fills empty fields from the environment, then with defaults, and
// checks what can be checked without the server. A variable whose field is not
// empty is not looked at.
func complete(c Config, getenv func(string) string) (Config, origin, error) {
	from := origin{}
	fill := func(field *string, argument, variable string) {
		if text := getenv(variable); *field == "" && text != "" {
			*field, from[argument] = text, variable
		}
	}
	fill(&c.Address, "address", "VAULT_ADDR")
	fill(&c.Namespace, "namespace", "VAULT_NAMESPACE")
	fill(&c.CACert, "ca_cert", "VAULT_CACERT")
	fill(&c.TLSServerName, "tls_server_name", "VAULT_TLS_SERVER_NAME")
	// The two belong together: a certificate of the block has no key of the
	// environment.
	if c.ClientCert == "" && c.ClientKey == "" {
		fill(&c.ClientCert, "client_cert", "VAULT_CLIENT_CERT")
		fill(&c.ClientKey, "client_key", "VAULT_CLIENT_KEY")
	}
	if text := getenv("VAULT_SKIP_VERIFY"); text != "" && c.TLSSkipVerify == nil && c.CACert == "" {
		skip, err := strconv.ParseBool(text)
		if err != nil {
			return c, from, providers.Errorf(providers.Invalid, "VAULT_SKIP_VERIFY is neither true nor false").
				WithHint("correct it, unset it, or write tls_skip_verify in the provider block")
		}
		c.TLSSkipVerify = &skip
	}
	if c.Address == "" {
		c.Address = defaultAddress
	}
	if c.Mount == "" {
		c.Mount = "secret"
	}
	for argument, field := range map[string]*string{"mount": &c.Mount, "prefix": &c.Prefix, "namespace": &c.Namespace} {
		*field = strings.Trim(*field, "/")
		if *field == "" {
			continue
		}
		if err := checkPath(*field); err != nil {
			return c, from, providers.Errorf(providers.Invalid, "%s: %w", from.name(argument), err)
		}
	}
	if c.Namespace == "root" { // how some tools write the namespace without a name
		c.Namespace = ""
	}
	return c, from, c.checkSettings()
}

// checkSettings checks how long versions are kept.
func (c *Config) checkSettings() error {
	if c.MaxVersions < 0 {
		return providers.Errorf(providers.Invalid, "max_versions is %d: want 1 or more, or leave it out", c.MaxVersions)
	}
	if c.DeleteVersionAfter != "" {
		d, err := time.ParseDuration(c.DeleteVersionAfter)
		if err != nil || d < time.Second {
			return providers.Errorf(providers.Invalid, "delete_version_after is %q: want a duration of a second or more, such as \"720h\"", c.DeleteVersionAfter)
		}
	}
	if c.AllowValueRead && (c.MaxVersions > 0 || c.DeleteVersionAfter != "") {
		return providers.Errorf(providers.Invalid, "max_versions and delete_version_after are settings of KV version 2, and allow_value_read is for version 1")
	}
	return nil
}

// onThisMachine reports whether a host is the loopback.
func onThisMachine(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// parseAddress returns the server's address, which an error calls name.
// Credentials have no place in it.
func parseAddress(name, text string) (*url.URL, error) {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, providers.Errorf(providers.Invalid, "%s: want https://HOST:PORT", name).WithHint("correct it in the provider block or in VAULT_ADDR")
	}
	if u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return nil, providers.Errorf(providers.Invalid, "%s holds more than a host and a path", name).WithHint("credentials belong into an auth block")
	}
	return u, nil
}
