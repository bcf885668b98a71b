package main

import (
	"maps"
	"slices"

	"github.com/openbao/openbao/audit"
	auditfile "github.com/openbao/openbao/builtin/audit/file"
	"github.com/openbao/openbao/builtin/credential/approle"
	"github.com/openbao/openbao/builtin/credential/cert"
	jwtauth "github.com/openbao/openbao/builtin/credential/jwt"
	kubeauth "github.com/openbao/openbao/builtin/credential/kubernetes"
	"github.com/openbao/openbao/builtin/credential/userpass"
	"github.com/openbao/openbao/builtin/logical/kv"
	"github.com/openbao/openbao/builtin/logical/transit"
	"github.com/openbao/openbao/physical/raft"
	"github.com/openbao/openbao/sdk/v2/helper/consts"
	"github.com/openbao/openbao/sdk/v2/logical"
	"github.com/openbao/openbao/sdk/v2/physical"
	"github.com/openbao/openbao/sdk/v2/physical/file"
	"github.com/openbao/openbao/sdk/v2/physical/inmem"
)

var storages = map[string]physical.Factory{
	"file":     file.NewFileBackend,
	"inmem":    inmem.NewInmem,
	"inmem_ha": inmem.NewInmemHA,
	"raft":     raft.NewRaftBackend,
}

var audits = map[string]audit.Factory{"file": auditfile.Factory}

// engines is the part of the server's registry of engines that is in this
// server. The core itself brings token, identity, system and cubbyhole.
var engines = registry{
	consts.PluginTypeCredential: {
		"approle":    approle.Factory,
		"cert":       cert.Factory,
		"jwt":        jwtauth.Factory,
		"kubernetes": kubeauth.Factory,
		"oidc":       jwtauth.Factory,
		"userpass":   userpass.Factory,
	},
	consts.PluginTypeSecrets: {
		"kv":      kv.Factory,
		"transit": transit.Factory,
	},
}

// registry implements vault.BuiltinRegistry.
type registry map[consts.PluginType]map[string]logical.Factory

func (r registry) Contains(name string, t consts.PluginType) bool {
	_, ok := r[t][name]
	return ok
}

func (r registry) Get(name string, t consts.PluginType) (func() (any, error), bool) {
	f, ok := r[t][name]
	return func() (any, error) { return f, nil }, ok
}

func (r registry) Keys(t consts.PluginType) []string {
	return slices.Sorted(maps.Keys(r[t]))
}

func (r registry) DeprecationStatus(name string, t consts.PluginType) (consts.DeprecationStatus, bool) {
	return consts.Supported, r.Contains(name, t)
}
