// Package kubernetes is the driver that keeps secrets as Secrets of a Kubernetes
// cluster, one Secret each.
//
// A plan asks for metadata only: the API server then leaves data out of its
// answers. It needs the right to read it all the same, since Kubernetes has one
// for both.
//
// # What a version is
//
// resourceVersion moves when somebody touches a label, so it is not recorded.
// metadata.managedFields says which manager last set which key of data, and
// when; together with the uid and our operation id, which is written with the
// value, that is what a version is a digest of. So a label that is touched
// leaves it alone, and a key that somebody sets, adds or takes away does not,
// nor does a Secret that was made again. Two things make it less sharp, both to
// the safe side:
//
//   - Times are whole seconds. While a second change by the same manager could
//     carry the time of the first, resourceVersion is part of the version, and a
//     look waits for that while to pass; so it is for good where nobody is named
//     as the manager of data.
//   - A manager that has set a key of data and then touches a label gets a new
//     time for both, which is a new version.
//
// Values are written by the manager "coffer" and what lies beside them by
// "coffer-attributes", so that the time of the first is when the value was made.
//
// # How a write is made safe
//
// Each request names the uid and the resourceVersion that were looked at, and the
// API server does it to that state or not at all. A new Secret is a POST, which
// takes no other's place. Everything else is a strategic merge patch. It is not
// server-side apply: apply has no way to make only what is not there, it refuses
// to change what our own POST made unless it is forced, and it takes every field
// of ours in each request, so that one could not be changed without reading the
// others. What apply would tell by a conflict is told by the version: a key that
// another manager has set is another version, and replaced only by who names it.
//
// # SealedSecrets
//
// The path sealedsecrets/NAMESPACE/NAME is a SealedSecret, which can be written,
// one field without the others too, and never read. Its values are ciphertexts, so
// that all of it may be looked at: its version is a digest of them and of the uid.
// Package manifests keeps the same [Document] in files.
//
// Read [Config] first, then Driver. The package knows no configuration language
// and no plan. How a cluster is found is in package kube.
package kubernetes

import (
	"context"
	"errors"
	"time"

	"github.com/cofferhq/coffer/internal/kube"
	"github.com/cofferhq/coffer/lang/addr"
	"github.com/cofferhq/coffer/providers"
	"github.com/cofferhq/coffer/providers/kubernetes/delivery"
)

// Config is the body of a provider "kubernetes" block.
type Config struct {
	// Kubeconfig is a file. Without it, it is KUBECONFIG, ~/.kube/config or, in a
	// pod, its service account.
	Kubeconfig string `hcl:"kubeconfig,optional"`
	// Context is one of the kubeconfig; without it, it is the current one.
	Context string `hcl:"context,optional"`
	// Namespace is that of paths without one. Where it is written, nothing
	// outside it is listed, searched or changed.
	Namespace string `hcl:"namespace,optional"`
	// KnownBindings, as NAMESPACE/NAME of a RoleBinding or NAME of a
	// ClusterRoleBinding, may let read these Secrets and are kept by somebody else:
	// drift does not report them.
	KnownBindings []string `hcl:"known_bindings,optional"`
	// Impersonate, SealedSecrets and ExternalSecrets have at most one element each.
	Impersonate     []Impersonation   `hcl:"impersonate,block"`
	SealedSecrets   []SealedSecrets   `hcl:"sealed_secrets,block"`
	ExternalSecrets []ExternalSecrets `hcl:"external_secrets,block"`
}

// SealedSecrets says what sealed_secrets are sealed with. An empty field is what
// the controller's own chart has.
type SealedSecrets struct {
	// Certificate is a file below the configuration or an https URL; "" asks the
	// controller, by way of the API server.
	Certificate string `hcl:"certificate,optional"`
	// Fingerprint pins the certificate: "sha256:" and the hex of its DER.
	Fingerprint         string `hcl:"fingerprint,optional"`
	ControllerNamespace string `hcl:"controller_namespace,optional"`
	ControllerName      string `hcl:"controller_name,optional"`
}

// DecodeBlock implements [providers.BlockDecoder].
func (s *SealedSecrets) DecodeBlock(labels []string) (any, error) {
	if len(labels) > 0 {
		return nil, errors.New("a sealed_secrets block has no label")
	}
	return s, nil
}

// ExternalSecrets says who the External Secrets operator is. An empty field is
// what its own chart has.
type ExternalSecrets struct {
	ControllerNamespace      string `hcl:"controller_namespace,optional"`
	ControllerServiceAccount string `hcl:"controller_service_account,optional"`
	// APIVersion is that of the operator's kinds in files; a cluster is asked which
	// it serves.
	APIVersion string `hcl:"api_version,optional"`
}

// DecodeBlock implements [providers.BlockDecoder].
func (e *ExternalSecrets) DecodeBlock(labels []string) (any, error) {
	if len(labels) > 0 {
		return nil, errors.New("an external_secrets block has no label")
	}
	return e, nil
}

// Impersonation is whom to act as.
type Impersonation struct {
	User   string   `hcl:"user"`
	Groups []string `hcl:"groups,optional"`
}

// DecodeBlock implements [providers.BlockDecoder].
func (i *Impersonation) DecodeBlock(labels []string) (any, error) {
	if len(labels) > 0 {
		return nil, errors.New("an impersonate block has no label")
	}
	return i, nil
}

// Type is the label of the provider block.
const Type = "kubernetes"

// Factory makes drivers of type "kubernetes".
func Factory() providers.Factory {
	return providers.Factory{
		Type:      Type,
		NewConfig: func() any { return &Config{} },
		Open: func(_ context.Context, env providers.Env, config any) (providers.Driver, error) {
			return Open(env, config.(*Config))
		},
	}
}

// Driver keeps secrets in one cluster.
type Driver struct {
	client    *client
	namespace string // "" is any
	keys      *KeySource
	delivery  delivery.Settings
	operator  *operator
	// knownBindings may read Secrets and are kept by somebody else.
	knownBindings []string
	restarts      restarts
}

var (
	_ providers.Powered    = (*Driver)(nil)
	_ providers.Patcher    = (*Driver)(nil)
	_ providers.Attributer = (*Driver)(nil)
	_ providers.Lister     = (*Driver)(nil)
	_ providers.Placer     = (*Driver)(nil)
	_ providers.Permitter  = (*Driver)(nil)
	_ providers.Examiner   = (*Driver)(nil)
)

// patience bounds one request.
const patience = time.Minute

// Open makes the driver of one provider block. It makes no request. Errors are
// *providers.Error with the code Invalid and name the argument.
func Open(env providers.Env, config *Config) (*Driver, error) {
	if config.Namespace != "" && !isLabel(config.Namespace) {
		return nil, providers.Errorf(providers.Invalid, "namespace: %.80q is no name of a namespace", config.Namespace).
			WithHint("write at most 63 lower-case letters, digits and '-', with a letter or digit at both ends")
	}
	choice := kube.Choice{Kubeconfig: config.Kubeconfig, Context: config.Context}
	switch len(config.Impersonate) {
	case 0:
	case 1:
		choice.AsUser, choice.AsGroups = config.Impersonate[0].User, config.Impersonate[0].Groups
		if choice.AsUser == "" {
			return nil, providers.Errorf(providers.Invalid, "impersonate: the user is empty")
		}
	default:
		return nil, providers.Errorf(providers.Invalid, "there are %d impersonate blocks, and one request acts as one user", len(config.Impersonate))
	}
	cluster, err := choice.Cluster(kube.Env{Dir: env.Dir, Getenv: env.Getenv, ServiceAccount: kube.ServiceAccountDir})
	if err != nil {
		return nil, providers.Errorf(providers.Invalid, "%w", err)
	}
	sender, err := kube.NewClient(cluster, "coffer", patience)
	if err != nil {
		e := providers.Errorf(providers.Invalid, "%w", err)
		if errors.Is(err, kube.ErrCredentials) {
			e.Hint = kube.HintCredentials
		}
		return nil, e
	}
	d := &Driver{
		client: &client{Client: sender, now: env.Now, as: choice.AsUser}, namespace: config.Namespace, delivery: config.Delivery(),
		operator: &operator{}, knownBindings: config.KnownBindings, restarts: restarts{restartPatience, restartLook, env.Person.Show},
	}
	if d.keys, err = NewKeySource(env, config, func() (*Driver, error) { return d, nil }); err != nil {
		return nil, err
	}
	return d, nil
}

// maxBytes is what the API server allows for all values of one Secret.
const maxBytes = 1 << 20

// concurrency is how many requests run at once.
const concurrency = 16

// Capabilities implements [providers.Driver].
func (d *Driver) Capabilities() providers.Capabilities {
	return providers.Capabilities{ConditionalWrite: true, MaxBytes: maxBytes, Concurrency: concurrency}
}

// Powers implements [providers.Powered]. A list is one of a namespace; without
// one it would be of the whole cluster, which takes the right to read every
// Secret that there is.
func (d *Driver) Powers() providers.Powers {
	p := providers.Powers{Patcher: d, Attributer: d, Placer: d, Permitter: d, Examiner: d, Deliverer: d, ObjectDriver: d, Roller: d, AccessCompiler: d, AccessAuditor: d, ConditionReader: d, FormDriver: d, Sealer: d}
	if d.namespace != "" {
		p.Lister = d
	}
	return p
}

// Identity implements [providers.Driver]: the uid of a namespace that every
// cluster has and nobody can delete.
func (d *Driver) Identity(ctx context.Context) (string, error) {
	found, err := d.client.look(ctx, request{verb: get, resource: namespaces, name: "kube-system"})
	if err != nil {
		return "", err
	}
	return "kubernetes:" + found.UID, nil
}

// kindSecret is the kind of a secret's [providers.Place] and location.
const kindSecret = addr.KindSecret

// DefaultPath implements [providers.Placer]; see [Naming.Default].
func (d *Driver) DefaultPath(p providers.Place) (string, error) {
	if err := CheckForm(p.Kind, providers.Form{}, nil); err != nil {
		return "", err
	}
	path, err := Naming{d.namespace}.Default(p)
	if err != nil {
		return "", err
	}
	return ofKind(p.Kind, path), nil
}

// ofKind is the path of what a kind of block makes.
func ofKind(kind, path string) string {
	if kind == addr.KindSealedSecret {
		return sealedPrefix + path
	}
	return path
}

// Resolve implements [providers.Placer]: NAME or NAMESPACE/NAME. What a removed
// block names, whose kind is "secret", may have the prefix of a sealed one.
func (d *Driver) Resolve(kind, written string) (string, error) {
	switch kind {
	case "", addr.KindSecret, addr.KindKubernetesSecret, addr.KindSealedSecret:
	default:
		return written, nil
	}
	plain, sealed := cutSealed(written)
	path, err := Naming{d.namespace}.Resolve(plain)
	if err != nil {
		return "", err
	}
	if sealed {
		kind = addr.KindSealedSecret
	}
	return ofKind(kind, path), nil
}

// Written implements [providers.Placer].
func (d *Driver) Written(path string) string {
	plain, sealed := cutSealed(path)
	if sealed {
		return sealedPrefix + Naming{d.namespace}.Written(plain)
	}
	return Naming{d.namespace}.Written(plain)
}
