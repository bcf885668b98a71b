// Package vault is the driver of HashiCorp Vault and OpenBao: secrets in a KV
// version 2 mount, and the policies, roles and mounts around them.
//
// A plan needs no value: it reads metadata, in one call where the server can
// list a whole tree with it (OpenBao), else with as many reads as there are
// secrets. Writes carry check-and-set, so that a race is lost and not won.
//
// A KV version 1 mount keeps neither versions nor marks and has no
// check-and-set. With allow_value_read it is worked on all the same: every
// secret has the version "1", so that changes by others are not seen and a race
// is not prevented. Nothing is computed from a value to make up for it.
//
// Requests are written down by the servers' own client library and sent by a
// client of this package: that of the library would take the program's own
// environment, retry, follow and decode by itself.
//
// Read [Config] first, then Driver. The package knows no configuration language
// and no plan. What the server's policies say is in package acl, how a token is
// come by in package signin.
package vault

import (
	"context"
	"sync"
	"time"

	"github.com/cofferhq/coffer/providers"
	"github.com/cofferhq/coffer/providers/vault/signin"
)

// Config is the body of a provider "vault" block. An empty field is taken from
// the VAULT_* variable of the same meaning where there is one.
type Config struct {
	Address string `hcl:"address,optional"` // VAULT_ADDR
	// AllowHTTP permits an address without TLS that is not on this machine: the
	// token then travels in clear.
	AllowHTTP bool   `hcl:"allow_http,optional"`
	Namespace string `hcl:"namespace,optional"` // VAULT_NAMESPACE
	// Mount is where the KV engine is mounted, "secret" if empty.
	Mount string `hcl:"mount,optional"`
	// Prefix comes before every path; nothing outside it is listed, searched or
	// granted.
	Prefix string `hcl:"prefix,optional"`

	// How long versions are kept; 0 and "" leave it to the mount.
	MaxVersions        int    `hcl:"max_versions,optional"`
	DeleteVersionAfter string `hcl:"delete_version_after,optional"`
	// AllowValueRead permits a KV version 1 mount, where nothing can be told
	// without reading the value.
	AllowValueRead bool `hcl:"allow_value_read,optional"`
	// KnownPolicies may read these secrets and are kept by somebody else: drift
	// does not report them.
	KnownPolicies []string `hcl:"known_policies,optional"`

	CACert        string `hcl:"ca_cert,optional"`         // VAULT_CACERT
	ClientCert    string `hcl:"client_cert,optional"`     // VAULT_CLIENT_CERT
	ClientKey     string `hcl:"client_key,optional"`      // VAULT_CLIENT_KEY
	TLSServerName string `hcl:"tls_server_name,optional"` // VAULT_TLS_SERVER_NAME
	TLSSkipVerify *bool  `hcl:"tls_skip_verify,optional"` // VAULT_SKIP_VERIFY

	Token providers.Credential `hcl:"token,optional"` // VAULT_TOKEN, then ~/.vault-token
	Auth  []signin.Block       `hcl:"auth,block"`
}

// Factory makes drivers of type "vault".
func Factory() providers.Factory {
	return providers.Factory{
		Type:      "vault",
		NewConfig: func() any { return &Config{} },
		Open: func(_ context.Context, env providers.Env, config any) (providers.Driver, error) {
			return Open(env, config.(*Config))
		},
	}
}

// Driver keeps secrets in one KV mount of one Vault or OpenBao.
type Driver struct {
	client *client
	config Config // with every default filled in
	now    func() time.Time

	mu        sync.Mutex
	seen      *mount          // as the server told last
	noScan    bool            // the server has no scan
	unscanned map[string]bool // folders that the token may not scan
	scope     string          // that of [Driver.lockHolder], "" until it is asked for

	locks *providers.Locks // one change at a time of what a holder of policies has
}
